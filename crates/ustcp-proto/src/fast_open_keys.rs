//! The keys of Fast Open's cookies: the stack's own, or those that a listener was given (`TCP_FASTOPEN_KEY`).

use core::fmt;
use core::hash::Hasher;
use core::net::IpAddr;

use siphasher::sip::SipHasher24;
use ustcp_wire::FastOpenCookie;

use crate::Flow;

const LEN: usize = 16;

type Key = [u8; LEN];

/// What cookies are made with, and by what they are known. Several hosts that are one server to its clients share them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FastOpenKeys {
    primary: Key,
    /// Its cookies are good too, and are replaced: it is the key of before, or the one to come.
    backup: Option<Key>,
}

/// What a cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// The text that comes with it is let in.
    Good,
    /// So it is, and the SYN-ACK brings one of the primary key.
    Outdated(FastOpenCookie),
    /// It is none of these keys'.
    None,
}

impl fmt::Debug for FastOpenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FastOpenKeys(..)") // as of a secret
    }
}

impl FastOpenKeys {
    /// Of 16 bytes, or with a backup of 32.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<FastOpenKeys> {
        let (primary, rest) = bytes.split_first_chunk()?;
        let backup = match rest {
            [] => None,
            rest => Some(rest.try_into().ok()?),
        };
        Some(FastOpenKeys {
            primary: *primary,
            backup,
        })
    }

    /// One key.
    pub(crate) fn of((first, second): (u64, u64)) -> FastOpenKeys {
        let key = u128::from(second) << 64 | u128::from(first);
        FastOpenKeys {
            primary: key.to_le_bytes(),
            backup: None,
        }
    }

    /// As they were given.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let backup = self.backup.as_ref().map_or(&[][..], Key::as_slice);
        [self.primary.as_slice(), backup].concat()
    }

    /// The cookie that lets the client of `flow` put text into its SYN, RFC 7413 §4.1.2.
    pub(crate) fn cookie(&self, flow: &Flow) -> FastOpenCookie {
        cookie(&self.primary, flow)
    }

    pub(crate) fn judge(&self, flow: &Flow, offered: FastOpenCookie) -> Worth {
        let current = self.cookie(flow);
        match self.backup {
            _ if offered == current => Worth::Good,
            Some(backup) if offered == cookie(&backup, flow) => Worth::Outdated(current),
            _ => Worth::None,
        }
    }
}

/// As Linux makes it, so that hosts of both may share a key: SipHash of the client's address and the server's.
fn cookie(key: &Key, flow: &Flow) -> FastOpenCookie {
    let mut hasher = SipHasher24::new_with_key(key);
    for end in [flow.remote.ip(), flow.local.ip()] {
        match end {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
    }
    FastOpenCookie::new(&hasher.finish().to_le_bytes()).expect("8 bytes are a cookie")
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;

    fn keys(len: u8) -> Option<FastOpenKeys> {
        FastOpenKeys::from_bytes(&(0..len).collect::<Vec<u8>>())
    }

    #[test]
    fn sixteen_bytes_or_thirty_two() {
        for len in 0..40 {
            let told = keys(len).map(|keys| keys.to_bytes());
            let expected = matches!(len, 16 | 32).then(|| (0..len).collect());
            assert_eq!(told, expected, "{len}");
        }
    }

    /// 7413-2: what a kernel of 6.18 hands out with these keys, from 10.77.0.2 to 10.77.0.1.
    #[test]
    fn cookies_are_those_of_linux() {
        let end = |last| SocketAddr::from(([10, 77, 0, last], 80));
        let flow = Flow {
            local: end(2),
            remote: end(1),
        };
        let current = [0xbc, 0x5a, 0xe6, 0x27, 0x9f, 0xdc, 0x51, 0xc7];
        let other = [0x1a, 0x9f, 0x86, 0x1d, 0x0e, 0xba, 0x30, 0x5e];
        let [current, other] = [current, other].map(|bytes| FastOpenCookie::new(&bytes).expect("a cookie"));
        let (one, two) = (keys(16).expect("a key"), keys(32).expect("two keys"));
        assert_eq!((one.cookie(&flow), two.cookie(&flow)), (current, current));
        assert_eq!(one.judge(&flow, current), Worth::Good);
        assert_eq!(one.judge(&flow, other), Worth::None);
        assert_eq!(two.judge(&flow, current), Worth::Good);
        assert_eq!(two.judge(&flow, other), Worth::Outdated(current));
    }
}
