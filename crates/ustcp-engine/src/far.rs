//! The far side of a socket: a connection of the stack, or one of the kernel's that the engine relays.
//!
//! Both speak as system calls do: `EAGAIN` is "not now".

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libc::{c_int, c_ulong};
use rustix::io::Errno as SystemErrno;
use rustix::net::sockopt::{set_socket_linger, socket_error, socket_linger};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType};
use ustcp_proto::{Family, Framing, Instant, Shutdown, SocketId, State};
use ustcp_runtime::{Errno, Machine, kernel};

use crate::stream;

/// The stack with its device, and the time of this turn.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) machine: Machine,
    pub(crate) now: Instant,
}

/// A socket's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Far<'a> {
    /// The stack's.
    Stack(SocketId),
    /// The kernel's.
    Kernel(BorrowedFd<'a>),
}

/// `SIOCATMARK` of <asm-generic/sockios.h>.
const SIOCATMARK: c_ulong = 0x8905;

impl Far<'_> {
    /// bind(2).
    pub(crate) fn bind(self, on: &mut Ground, to: SocketAddr) -> Result<(), Errno> {
        match self {
            Far::Stack(id) => Ok(on.machine.stack().bind(id, to)?),
            Far::Kernel(fd) => Ok(system(rustix::net::bind(fd, &to))?),
        }
    }

    /// listen(2).
    pub(crate) fn listen(self, on: &mut Ground, backlog: usize) -> Result<(), Errno> {
        match self {
            Far::Stack(id) => Ok(on.machine.stack().listen(on.now, id, backlog)?),
            Far::Kernel(fd) => {
                let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
                Ok(system(rustix::net::listen(fd, backlog))?)
            }
        }
    }

    /// connect(2) that does not wait. Called again it tells how the attempt stands, as Linux does.
    pub(crate) fn connect(self, on: &mut Ground, to: SocketAddr) -> Result<(), Errno> {
        match self {
            Far::Stack(id) => Ok(on.machine.stack().connect(on.now, id, to)?),
            Far::Kernel(fd) => Ok(system(rustix::net::connect(fd, &to))?),
        }
    }

    /// getsockname(2).
    pub(crate) fn local(self, on: &mut Ground) -> Result<SocketAddr, Errno> {
        match self {
            Far::Stack(id) => Ok(on.machine.stack().local_address(id)?),
            Far::Kernel(fd) => address(system(rustix::net::getsockname(fd))?),
        }
    }

    /// getpeername(2).
    pub(crate) fn peer(self, on: &mut Ground) -> Result<SocketAddr, Errno> {
        match self {
            Far::Stack(id) => Ok(on.machine.stack().peer_address(id)?),
            Far::Kernel(fd) => {
                let peer = system(rustix::net::getpeername(fd))?;
                peer.map_or(Err(Errno(libc::ENOTCONN)), address)
            }
        }
    }

    /// setsockopt(2).
    pub(crate) fn set_option(self, on: &mut Ground, (level, name): (c_int, c_int), value: &[u8]) -> Result<(), Errno> {
        match self {
            Far::Stack(id) => on.machine.set_option(on.now, id, level, name, value),
            Far::Kernel(fd) => kernel::set_option(fd, level, name, value),
        }
    }

    /// getsockopt(2).
    pub(crate) fn option(self, on: &mut Ground, (level, name): (c_int, c_int)) -> Result<Vec<u8>, Errno> {
        match self {
            Far::Stack(id) => on.machine.option(on.now, id, level, name),
            Far::Kernel(fd) => kernel::option(fd, level, name),
        }
    }

    /// ioctl(2) where the answer is a number.
    pub(crate) fn ask_number(self, on: &Ground, request: c_ulong) -> Result<c_int, Errno> {
        match self {
            Far::Stack(id) => on.machine.ask_number(id, request),
            Far::Kernel(fd) => kernel::ask_number(fd, request),
        }
    }

    /// shutdown(2).
    pub(crate) fn shutdown(self, on: &mut Ground, how: Shutdown) -> Result<(), Errno> {
        match self {
            Far::Stack(id) => Ok(on.machine.stack().shutdown(on.now, id, how)?),
            Far::Kernel(fd) => {
                let how = match how {
                    Shutdown::Read => rustix::net::Shutdown::Read,
                    Shutdown::Write => rustix::net::Shutdown::Write,
                    Shutdown::Both => rustix::net::Shutdown::Both,
                };
                Ok(system(rustix::net::shutdown(fd, how))?)
            }
        }
    }

    /// What has arrived, behind the first `offset` bytes of it; it stays. 0 at the end of the stream.
    pub(crate) fn peek(self, on: &mut Ground, offset: usize, into: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Far::Stack(id) => Ok(on.machine.stack().peek(id, offset, into)?),
            Far::Kernel(fd) => match system(stream::look(fd, into))? {
                0 => Ok(0),
                len if len > offset => {
                    into.copy_within(offset..len, 0);
                    Ok(len - offset)
                }
                _ => Err(Errno(libc::EAGAIN)),
            },
        }
    }

    /// Takes what was looked at.
    pub(crate) fn consume(self, on: &mut Ground, count: usize, spare: &mut [u8]) {
        // Neither fails: it was there a moment ago.
        match self {
            Far::Stack(id) => drop(on.machine.stack().discard(on.now, id, count)),
            Far::Kernel(fd) => {
                let room = spare.get_mut(..count).unwrap_or_default();
                let _ = rustix::net::recv(fd, room, RecvFlags::DONTWAIT | RecvFlags::TRUNC);
            }
        }
    }

    /// Gives a program what has arrived, as far as it has room.
    pub(crate) fn give_to(self, on: &mut Ground, stream: &OwnedFd, chunk: &mut [u8]) -> Result<Given, Errno> {
        match self {
            Far::Stack(id) => give_in_place(on, id, stream),
            Far::Kernel(_) => self.give_copied(on, stream, chunk),
        }
    }

    fn give_copied(self, on: &mut Ground, stream: &OwnedFd, chunk: &mut [u8]) -> Result<Given, Errno> {
        let of = self.peek(on, 0, chunk)?;
        let Ok(count) = stream::give(stream, chunk.get(..of).unwrap_or_default()) else {
            return Ok(Given::Deaf);
        };
        if count > 0 {
            self.consume(on, count, chunk);
        }
        Ok(Given::Some { count, of })
    }

    /// The urgent byte, where it stands here and has come.
    pub(crate) fn urgent(self, on: &mut Ground) -> Option<u8> {
        match self {
            Far::Stack(id) => {
                let stack = on.machine.stack();
                let here = stack.at_mark(id).ok()? && stack.readiness(id).ok()?.urgent;
                here.then(|| stack.recv_urgent(on.now, id, true).ok()?)?
            }
            Far::Kernel(fd) => {
                let here = kernel::ask_number(fd, SIOCATMARK) == Ok(1);
                here.then(|| urgent(fd, RecvFlags::PEEK))?
            }
        }
    }

    /// Takes it.
    pub(crate) fn take_urgent(self, on: &mut Ground) {
        match self {
            Far::Stack(id) => drop(on.machine.stack().recv_urgent(on.now, id, false)),
            Far::Kernel(fd) => drop(urgent(fd, RecvFlags::empty())),
        }
    }

    /// Bytes that have arrived.
    pub(crate) fn unread(self, on: &mut Ground) -> usize {
        match self {
            Far::Stack(id) => on.machine.stack().queued_in(id).unwrap_or(0),
            Far::Kernel(fd) => stream::queued(fd),
        }
    }

    /// send(2): how much was taken.
    pub(crate) fn send(self, on: &mut Ground, bytes: &[u8], urgent: bool) -> Result<usize, Errno> {
        let framing = Framing {
            urgent,
            ..Framing::default()
        };
        match self {
            Far::Stack(id) => Ok(on.machine.stack().send_framed(on.now, id, bytes, framing)?),
            Far::Kernel(fd) => {
                let oob = if urgent { SendFlags::OOB } else { SendFlags::empty() };
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | oob;
                Ok(system(rustix::net::send(fd, bytes, flags))?)
            }
        }
    }

    /// An error that no call has told yet. It is told once.
    pub(crate) fn take_error(self, on: &mut Ground) -> Option<Errno> {
        match self {
            Far::Stack(id) => {
                let stack = on.machine.stack();
                let waits = stack.readiness(id).is_ok_and(|readiness| readiness.error);
                let error = waits.then(|| stack.take_error(id))?.ok()?;
                error.map(Errno::from)
            }
            Far::Kernel(fd) => match socket_error(fd) {
                Ok(Err(errno)) => Some(Errno(errno.raw_os_error())),
                Ok(Ok(())) | Err(_) => None,
            },
        }
    }

    /// Whether the connection is over.
    pub(crate) fn is_closed(self, on: &mut Ground) -> bool {
        match self {
            Far::Stack(id) => on.machine.stack().state(id).is_ok_and(|state| state == State::Closed),
            Far::Kernel(_) => self.peer(on).is_err(),
        }
    }

    /// Whether the program wants no lingering (`SO_LINGER` of no time).
    pub(crate) fn lingers_not(self, on: &mut Ground) -> bool {
        let linger = match self {
            Far::Stack(id) => on.machine.stack().options(id).ok().and_then(|options| options.linger),
            Far::Kernel(fd) => socket_linger(fd).ok().flatten(),
        };
        linger.is_some_and(|time| time.is_zero())
    }

    /// It is about to be closed: what is unsent goes on its way, and nobody waits for that. `SO_LINGER` of some time is the
    /// patience of a program, not of the engine.
    pub(crate) fn release(self) {
        if let Far::Kernel(fd) = self
            && socket_linger(fd).is_ok_and(|linger| linger.is_some_and(|time| !time.is_zero()))
        {
            let _ = set_socket_linger(fd, None); // it has had such an option
        }
    }

    /// RST to the peer, at the latest when it is closed.
    pub(crate) fn abort(self, on: &mut Ground) {
        // Both fail where there is no such connection any more.
        match self {
            Far::Stack(id) => drop(on.machine.stack().abort(on.now, id)),
            Far::Kernel(fd) => drop(set_socket_linger(fd, Some(std::time::Duration::ZERO))),
        }
    }
}

/// A socket of the kernel's.
pub(crate) fn kernel_socket(family: Family) -> Result<OwnedFd, Errno> {
    let family = match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    system(rustix::net::socket_with(family, SocketType::STREAM, flags, None))
}

/// The next connection of a kernel's listener, and its peer.
pub(crate) fn kernel_accept(listener: impl AsFd) -> rustix::io::Result<(OwnedFd, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    loop {
        match rustix::net::acceptfrom_with(&listener, flags) {
            // accept(2): that one has gone while it waited.
            Err(SystemErrno::CONNABORTED) => {}
            Ok((connection, Some(peer))) => {
                let peer = SocketAddr::try_from(peer).map_err(|_| SystemErrno::IO)?;
                return Ok((connection, peer));
            }
            Ok((_, None)) => return Err(SystemErrno::IO),
            Err(errno) => return Err(errno),
        }
    }
}

/// What was given to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// So many bytes, of so many that there were; none: the end of the stream.
    Some {
        /// How many it had room for.
        count: usize,
        /// How many were offered.
        of: usize,
    },
    /// It reads no more.
    Deaf,
}

/// From the connection's own memory: no copy between.
fn give_in_place(on: &mut Ground, id: SocketId, stream: &OwnedFd) -> Result<Given, Errno> {
    let mut outcome = Given::Some { count: 0, of: 0 };
    let give = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let given = stream::give_pieces(stream, pieces);
        outcome = given.map_or(Given::Deaf, |(count, of)| Given::Some { count, of });
        given.map_or(0, |(count, _)| count)
    };
    on.machine.stack().recv_in_place(on.now, id, give)?;
    Ok(outcome)
}

fn urgent(fd: BorrowedFd<'_>, flags: RecvFlags) -> Option<u8> {
    let mut byte = [0];
    let (_, len) = rustix::net::recv(fd, &mut byte, RecvFlags::OOB | RecvFlags::DONTWAIT | flags).ok()?;
    (len == 1).then_some(byte[0])
}

fn address(any: SocketAddrAny) -> Result<SocketAddr, Errno> {
    SocketAddr::try_from(any).map_err(|_| Errno(libc::EIO))
}

/// The kernel's answer, as errno has it.
pub(crate) fn system<T>(result: rustix::io::Result<T>) -> Result<T, Errno> {
    result.map_err(|errno: SystemErrno| Errno(errno.raw_os_error()))
}
