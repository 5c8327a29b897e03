//! ioctl(2) where a socket of TCP would answer otherwise than one of AF_UNIX.

use rustix::io::Errno;

use crate::engine::{Engine, Question};
use crate::protocol::Operation;
use crate::sys::{Sink, Socket, Transient};

/// `SIOCINQ` is `FIONREAD` and `SIOCOUTQ` is `TIOCOUTQ` on a socket.
const SIOCINQ: u32 = 0x541b;
const SIOCOUTQ: u32 = 0x5411;
/// Of `<linux/sockios.h>`: what was never sent.
const SIOCOUTQNSD: u32 = 0x894b;

/// Whether ioctl with this request may be other than native. What can be read natively is what there is, but for a
/// listener; the urgent mark (`SIOCATMARK`) is the stream's own.
#[must_use]
pub fn is_asked(request: u64) -> bool {
    u32::try_from(request).is_ok_and(|request| matches!(request, SIOCINQ | SIOCOUTQ | SIOCOUTQNSD))
}

/// Of `<linux/sockios.h>`, from `SIOCADDRT` on: routes, interfaces, ARP, links; and those of `<linux/wireless.h>`.
const HOST: std::ops::RangeInclusive<u32> = 0x890b..=0x8bff;

/// Whether ioctl with this request asks of the host, which any socket of TCP would answer alike.
#[must_use]
pub fn is_of_host(request: u64) -> bool {
    !is_asked(request) && u32::try_from(request).is_ok_and(|request| HOST.contains(&request))
}

/// ioctl(2) of such a request, by a socket of the kernel's TCP that lives as long as the call.
pub fn ask_host(socket: &Socket, request: u64, argument: Sink) -> Result<i32, Errno> {
    let family = if socket.tag.is_v6 {
        libc::AF_INET6
    } else {
        libc::AF_INET
    };
    let asked = Transient::of_family(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC)?;
    asked.ioctl(request, argument)
}

impl Engine {
    /// Whether ioctl of such a request is to be asked for, and not native, on this socket.
    #[must_use]
    pub fn is_number_asked(&self, socket: &Socket, request: u64) -> bool {
        request != u64::from(SIOCINQ) || socket.listens()
    }

    /// ioctl(2) of a request that is to be asked for.
    pub fn number(&self, socket: &Socket, request: u64, to: Sink) -> Result<(), Errno> {
        match u32::try_from(request).unwrap_or(0) {
            SIOCINQ if socket.listens() => Err(Errno::INVAL),
            _ if !socket.is_attached() => write(to, 0),
            request => write(to, self.ask_number(socket, request)?),
        }
    }

    fn ask_number(&self, socket: &Socket, request: u32) -> Result<i32, Errno> {
        let question = Question {
            a: request,
            ..Question::of(socket, Operation::Ioctl)
        };
        self.ask(question, &[])?.number()
    }
}

fn write(to: Sink, number: i32) -> Result<(), Errno> {
    to.write(&number.to_ne_bytes()).map(drop)
}
