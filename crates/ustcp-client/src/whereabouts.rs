//! Which engine it is, and what lets a program in: the one line of its `engine` file, and `USTCP_TOKEN`.

use core::fmt;

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

use crate::protocol::Token;
use crate::sys::is_one_user;

/// An engine's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Sockets of programs are attached here: `SOCK_STREAM`.
    Streams,
    /// Requests are made here: `SOCK_SEQPACKET`.
    Control,
}

impl Listener {
    /// Its file in the engine's directory.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Listener::Streams => "streams",
            Listener::Control => "control",
        }
    }
}

/// An engine that runs, or ran.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Whereabouts {
    /// Tells it from every other engine. It is no secret: the kernel lists the names of sockets.
    pub id: [u8; 16],
    /// Whoever has it is served.
    pub token: Token,
    /// The engine's user, by the number that it has in the user namespace of who asks. Nobody else is the engine, whatever
    /// name he answers at, but root.
    pub user: u32,
    /// The engine's process; `None` where that was not said.
    pub pid: Option<u32>,
}

const HEAD: &[u8] = b"ustcp-engine 1 ";

impl Whereabouts {
    /// From the line of the `engine` file, whose owner is `user`.
    #[must_use]
    pub fn from_line(line: &[u8], user: u32) -> Option<Whereabouts> {
        let rest = line.strip_prefix(HEAD)?;
        let (id, rest) = hexadecimal(rest)?;
        let (token, rest) = hexadecimal(rest.strip_prefix(b" ")?)?;
        let pid = decimal(rest.strip_prefix(b" ")?.strip_suffix(b"\n")?)?;
        Some(Whereabouts {
            id,
            token,
            user,
            pid: Some(pid),
        })
    }

    /// As the line of the `engine` file, with the end of the line.
    #[must_use]
    pub fn line(&self) -> impl fmt::Display {
        let Whereabouts { id, token, pid, .. } = *self;
        fmt::from_fn(move |f| {
            write!(f, "ustcp-engine 1 {} {} ", Hexadecimal(id), Hexadecimal(token))?;
            writeln!(f, "{}", pid.unwrap_or(0))
        })
    }

    /// From the value of `USTCP_TOKEN`.
    #[must_use]
    pub fn from_variable(value: &[u8]) -> Option<Whereabouts> {
        let (id, rest) = hexadecimal(value)?;
        let (token, rest) = hexadecimal(rest.strip_prefix(b":")?)?;
        let user = decimal(rest.strip_prefix(b":")?)?;
        let pid = None;
        Some(Whereabouts { id, token, user, pid })
    }

    /// As the value of `USTCP_TOKEN`.
    #[must_use]
    pub fn variable(&self) -> impl fmt::Display {
        let Whereabouts { id, token, user, .. } = *self;
        fmt::from_fn(move |f| write!(f, "{}:{}:{user}", Hexadecimal(id), Hexadecimal(token)))
    }

    /// Tells of a user whether a process of that user may be this engine. Abstract names are anybody's once their owner has
    /// ended. `EMFILE`, `ENFILE`: that cannot be told now.
    pub fn judge(&self) -> Result<impl Fn(u32) -> bool + use<>, Errno> {
        let (own, is_one) = (self.user, is_one_user(self.user)?);
        Ok(move |user| user == 0 || user == own && is_one)
    }

    /// A listener's abstract name, behind its zero byte: `ustcp-ID-streams`, `ustcp-ID-control`.
    #[must_use]
    pub fn abstract_name(&self, listener: Listener) -> [u8; NAME] {
        let mut name = [0; NAME];
        let digits = self.id.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit);
        let text = b"ustcp-".iter().copied().chain(digits).chain([b'-']);
        let whole = text.chain(listener.file().bytes());
        name.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        name
    }

    /// A listener's abstract address.
    pub fn address(&self, listener: Listener) -> Result<SocketAddrUnix, Errno> {
        SocketAddrUnix::new_abstract_name(&self.abstract_name(listener))
    }
}

/// The token is not for logs.
impl fmt::Debug for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "engine {} (pid {:?})", Hexadecimal(self.id), self.pid)
    }
}

/// Bytes of an abstract name: both listeners' words are of one length.
pub const NAME: usize = "ustcp-".len() + 32 + "-streams".len();

struct Hexadecimal([u8; 16]);

impl fmt::Display for Hexadecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

fn hexadecimal(text: &[u8]) -> Option<([u8; 16], &[u8])> {
    let (digits, rest) = text.split_first_chunk::<32>()?;
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| {
            char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        });
        *byte = high? << 4 | low?;
    }
    Some((bytes, rest))
}

fn decimal(text: &[u8]) -> Option<u32> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHERE: Whereabouts = Whereabouts {
        id: [0x0f; 16],
        token: [0xa5; 16],
        user: 1000,
        pid: Some(4711),
    };

    #[test]
    fn the_line_of_the_file_is_read_as_written() {
        let line = WHERE.line().to_string();
        assert_eq!(
            line,
            format!("ustcp-engine 1 {} {} 4711\n", "0f".repeat(16), "a5".repeat(16))
        );
        assert_eq!(Whereabouts::from_line(line.as_bytes(), 1000), Some(WHERE));
        for cut in 0..line.len() {
            assert_eq!(
                Whereabouts::from_line(&line.as_bytes()[..cut], 1000),
                None,
                "{cut} bytes of it"
            );
        }
        assert_eq!(
            Whereabouts::from_line(line.replace("engine 1", "engine 2").as_bytes(), 1000),
            None
        );
        assert_eq!(
            Whereabouts::from_line(line.replace("0f0f", "0g0f").as_bytes(), 1000),
            None
        );
    }

    #[test]
    fn the_variable_is_read_as_written() {
        let value = WHERE.variable().to_string();
        assert_eq!(value, format!("{}:{}:1000", "0f".repeat(16), "a5".repeat(16)));
        let read = Whereabouts::from_variable(value.as_bytes());
        assert_eq!(read, Some(Whereabouts { pid: None, ..WHERE }));
        for wrong in [&value[..value.len() - ":1000".len()], &format!("{value} "), "", ":"] {
            assert_eq!(Whereabouts::from_variable(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_engine_is_of_its_user_or_of_root() {
        let users = [1000, 0, 1001, 65534];
        assert_eq!(users.map(WHERE.judge().unwrap()), [true, true, false, false]);
    }

    #[test]
    fn the_listeners_have_abstract_names() {
        let name = WHERE.abstract_name(Listener::Control);
        assert_eq!(
            String::from_utf8(name.to_vec()).unwrap(),
            format!("ustcp-{}-control", "0f".repeat(16))
        );
        let address = WHERE.address(Listener::Streams).unwrap();
        assert_eq!(
            address.abstract_name(),
            Some(&WHERE.abstract_name(Listener::Streams)[..])
        );
    }

    #[test]
    fn the_token_is_not_for_logs() {
        assert!(!format!("{WHERE:?}").contains("a5a5"));
    }
}
