//! The life of a socket: socket, bind, listen, shutdown.

use core::net::SocketAddr;

use libc::c_int;
use rustix::io::Errno;
use rustix::net::Shutdown;
use rustix::rand::{GetRandomFlags, getrandom};

use super::address;
use crate::engine::{Engine, Question};
use crate::protocol::{Address, Operation, Standing, Tag};
use crate::sys::{Socket, Source, Transient};

/// What a program asks socket(2) for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP: ours.
    Tcp {
        /// Whether of AF_INET6.
        is_v6: bool,
        /// `SOCK_NONBLOCK`, `SOCK_CLOEXEC`, and what the kernel will say `EINVAL` to.
        flags: c_int,
    },
    /// A stream between hosts that is not TCP.
    OtherStream,
    /// Anything else.
    Other,
}

/// `IPPROTO_MPTCP`, which falls back to TCP everywhere; Go listens with it.
const MPTCP: c_int = 262;
const TYPE_MASK: c_int = 0xf;

/// What a program asks socket(2) for.
#[must_use]
pub fn kind(domain: c_int, kind: c_int, protocol: c_int) -> Kind {
    let is_v6 = domain == libc::AF_INET6;
    let flags = kind & !TYPE_MASK;
    match (domain, kind & TYPE_MASK, protocol) {
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP | MPTCP) => {
            Kind::Tcp { is_v6, flags }
        }
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, _) => Kind::OtherStream,
        _ => Kind::Other,
    }
}

impl Engine {
    /// socket(2) of [`Kind::Tcp`]. Asks nobody.
    pub fn socket(&self, is_v6: bool, flags: c_int) -> Result<c_int, Errno> {
        let socket = Transient::socket(libc::SOCK_STREAM | flags)?;
        let tag = Tag {
            socket: fresh_number()?,
            is_v6,
        };
        Socket::tagged(socket.number(), tag)?;
        Ok(socket.keep())
    }

    /// bind(2).
    pub fn bind(&self, socket: &Socket, address: Source) -> Result<(), Errno> {
        self.bind_to(socket, address::of_bind(address, socket.tag.is_v6)?)
    }

    /// The same of an address that was read already.
    pub fn bind_to(&self, socket: &Socket, address: SocketAddr) -> Result<(), Errno> {
        let question = Question::of(socket, Operation::Bind);
        self.ask_fresh(socket, || self.ask(question, &Address(address).to_bytes()).map(drop))?;
        socket.mark(Standing::Idle)
    }

    /// listen(2).
    pub fn listen(&self, socket: &Socket, backlog: c_int) -> Result<(), Errno> {
        let question = Question {
            a: backlog.cast_unsigned(),
            ..Question::of(socket, Operation::Listen)
        };
        self.ask_fresh(socket, || self.ask(question, &[]).map(drop))?;
        socket.mark(Standing::Listening)
    }

    /// shutdown(2): the engine is told first, and judges. Where there is no descriptor left to ask it by, the stream's own end
    /// says the same: a FIN, or that nobody reads or listens. A listener that the engine has heard of keeps half of it, as it
    /// may listen again: with neither it would be closed.
    pub fn shutdown(&self, socket: &Socket, how: c_int) -> Result<(), Errno> {
        let native = match how {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(Errno::INVAL),
        };
        if !socket.is_attached() {
            return Err(Errno::NOTCONN);
        }
        let question = Question {
            a: how.cast_unsigned(),
            ..Question::of(socket, Operation::Shutdown)
        };
        let asked = self.ask(question, &[]);
        match asked {
            Err(Errno::MFILE | Errno::NFILE) if socket.standing == Standing::Idle => return Err(Errno::NOTCONN),
            Ok(_) | Err(Errno::MFILE | Errno::NFILE) => {}
            Err(errno) => return Err(errno),
        }
        match socket.listens() {
            false => rustix::net::shutdown(socket, native),
            true if how == libc::SHUT_WR => Ok(()), // as Linux: it writes nothing, and listens on
            true => {
                socket.mark(Standing::Plain)?;
                rustix::net::shutdown(socket, if asked.is_ok() { Shutdown::Read } else { native })
            }
        }
    }

    /// Asks about a socket that is to begin something: attached, and anew where its stream is spent.
    pub(super) fn ask_fresh(&self, socket: &Socket, ask: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
        self.attach(socket)?;
        match ask() {
            Err(Errno::STALE) => {
                self.renew(socket)?;
                ask()
            }
            result => result,
        }
    }
}

/// 47 random bits that are not all zero: no number of a socket's.
fn fresh_number() -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok((u64::from_ne_bytes(bytes) & Tag::SOCKET_MASK).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_is_ours_and_nothing_else() {
        use libc::{AF_INET, AF_INET6, AF_UNIX, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP};
        use libc::{SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW, SOCK_STREAM};
        let tcp = |is_v6, flags| Kind::Tcp { is_v6, flags };
        let table = [
            (AF_INET, SOCK_STREAM, 0, tcp(false, 0)),
            (AF_INET6, SOCK_STREAM, IPPROTO_TCP, tcp(true, 0)),
            (AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, MPTCP, tcp(true, SOCK_NONBLOCK)),
            (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0, tcp(false, SOCK_CLOEXEC)),
            (AF_INET, SOCK_STREAM | 0x10, 0, tcp(false, 0x10)),
            (AF_INET, SOCK_STREAM, IPPROTO_SCTP, Kind::OtherStream),
            (AF_INET, SOCK_DGRAM, IPPROTO_UDP, Kind::Other),
            (AF_INET, SOCK_RAW, IPPROTO_TCP, Kind::Other),
            (AF_UNIX, SOCK_STREAM, 0, Kind::Other),
            (-1, SOCK_STREAM, 0, Kind::Other),
        ];
        for (domain, kind_, protocol, expected) in table {
            assert_eq!(
                kind(domain, kind_, protocol),
                expected,
                "{domain} {kind_:#x} {protocol}"
            );
        }
    }
}
