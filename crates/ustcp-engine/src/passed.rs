//! Options of a program's socket whose connection is the kernel's: which of them are that connection's.
//!
//! The others would act on the engine instead of the program (`SO_RCVLOWAT`, `SO_ATTACH_FILTER`, `TCP_ULP`, `SO_ZEROCOPY`), or
//! with the engine's rights (`SO_MARK`, `SO_RCVBUFFORCE`): the stack answers them, as it does for a connection of its own.

use libc::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET, c_int};

/// An option: its level and its number there.
type Name = (c_int, c_int);

const PASSED: [Name; 46] = [
    (SOL_SOCKET, libc::SO_ERROR),
    (SOL_SOCKET, libc::SO_ACCEPTCONN),
    (SOL_SOCKET, libc::SO_REUSEADDR),
    (SOL_SOCKET, libc::SO_REUSEPORT),
    (SOL_SOCKET, libc::SO_KEEPALIVE),
    (SOL_SOCKET, libc::SO_LINGER),
    (SOL_SOCKET, libc::SO_RCVBUF),
    (SOL_SOCKET, libc::SO_SNDBUF),
    (SOL_SOCKET, libc::SO_MAX_PACING_RATE),
    (SOL_SOCKET, libc::SO_DONTROUTE),
    (IPPROTO_IP, libc::IP_TOS),
    (IPPROTO_IP, libc::IP_TTL),
    (IPPROTO_IP, libc::IP_MTU),
    (IPPROTO_IP, libc::IP_MTU_DISCOVER),
    (IPPROTO_IP, libc::IP_RECVERR),
    (IPPROTO_IP, libc::IP_FREEBIND),
    (IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT),
    (IPPROTO_IPV6, libc::IPV6_V6ONLY),
    (IPPROTO_IPV6, libc::IPV6_TCLASS),
    (IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
    (IPPROTO_IPV6, libc::IPV6_MTU),
    (IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    (IPPROTO_IPV6, libc::IPV6_RECVERR),
    (IPPROTO_IPV6, libc::IPV6_FREEBIND),
    (IPPROTO_TCP, libc::TCP_NODELAY),
    (IPPROTO_TCP, libc::TCP_CORK),
    (IPPROTO_TCP, libc::TCP_QUICKACK),
    (IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (IPPROTO_TCP, libc::TCP_KEEPCNT),
    (IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (IPPROTO_TCP, libc::TCP_SYNCNT),
    (IPPROTO_TCP, libc::TCP_LINGER2),
    (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (IPPROTO_TCP, libc::TCP_MAXSEG),
    (IPPROTO_TCP, libc::TCP_WINDOW_CLAMP),
    (IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT),
    (IPPROTO_TCP, libc::TCP_CONGESTION),
    (IPPROTO_TCP, libc::TCP_CC_INFO),
    (IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS),
    (IPPROTO_TCP, libc::TCP_THIN_DUPACK),
    (IPPROTO_TCP, libc::TCP_FASTOPEN),
    (IPPROTO_TCP, libc::TCP_FASTOPEN_KEY),
    (IPPROTO_TCP, libc::TCP_SAVE_SYN),
    (IPPROTO_TCP, libc::TCP_SAVED_SYN),
    (IPPROTO_TCP, libc::TCP_INFO),
];

/// Whether an option is the connection's, where that is the kernel's.
pub(crate) fn passes(option: Name) -> bool {
    PASSED.contains(&option)
}

/// Bytes of a value that are kept: none is longer, and what stands behind an integer means nothing.
const VALUE_MAX: usize = 64;

/// Options that a program has set, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(Vec<(Name, Vec<u8>)>);

impl Asked {
    /// One was set, in place of what it was before.
    pub(crate) fn note(&mut self, option: Name, value: &[u8]) {
        self.0.retain(|(other, _)| *other != option);
        let value = value.get(..VALUE_MAX).unwrap_or(value);
        self.0.push((option, value.to_vec()));
    }

    /// Those that pass.
    pub(crate) fn passed(&self) -> impl Iterator<Item = (Name, &[u8])> {
        let passed = self.0.iter().filter(|(option, _)| passes(*option));
        passed.map(|(option, value)| (*option, &value[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_values_so_many_bytes_are_kept() {
        let mut asked = Asked::default();
        for round in 0..3 {
            (0..100).for_each(|name| asked.note((SOL_SOCKET, name), &[round; 4096]));
        }
        asked.note((IPPROTO_TCP, libc::TCP_CONGESTION), b"reno");
        let kept: usize = asked.0.iter().map(|(_, value)| value.capacity()).sum();
        assert_eq!(kept, 100 * VALUE_MAX + 4);
    }
}
