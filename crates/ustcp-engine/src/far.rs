//! The far side of a socket: a connection of the stack, or one of the kernel's that the engine relays. Its bytes are in
//! `text`.
//!
//! Both speak as system calls do: `EAGAIN` is "not now".

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use libc::{c_int, c_ulong};
use rustix::net::sockopt::{set_socket_linger, set_tcp_user_timeout, socket_error, socket_linger, tcp_user_timeout};
use ustcp_proto::{Shutdown, SocketId, State};
use ustcp_runtime::{Errno, kernel};

use crate::ground::Ground;
use crate::kernel::{address, system};

/// A socket's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Far<'a> {
    /// The stack's.
    Stack(SocketId),
    /// The kernel's.
    Kernel(BorrowedFd<'a>),
}

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

    /// connect(2) with `AF_UNSPEC`: connect or listen is undone, and what bind gave stays.
    pub(crate) fn disconnect(self, on: &mut Ground) -> Result<(), Errno> {
        match self {
            Far::Stack(id) => Ok(on.machine.stack().disconnect(on.now, id)?),
            Far::Kernel(fd) => Ok(system(rustix::net::connect_unspec(fd))?),
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

    /// getsockopt(2) of who has so much room, in bytes.
    pub(crate) fn option(self, on: &mut Ground, option: (c_int, c_int), room: usize) -> Result<Vec<u8>, Errno> {
        match self {
            Far::Stack(id) => on.machine.option(on.now, id, option, room),
            Far::Kernel(fd) => kernel::option(fd, option.0, option.1, room),
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

    /// Its program has gone, and what that left is still on its way: the peer has as long to take it as Linux gives to
    /// connections that are closed.
    pub(crate) fn abandon(self, on: &mut Ground) {
        match self {
            Far::Stack(id) => drop(on.machine.stack().abandon(id)), // it fails for none
            Far::Kernel(fd) => {
                let patience = on.machine.stack().config().orphan_patience().as_millis();
                let limit = u32::try_from(patience).unwrap_or(u32::MAX);
                if tcp_user_timeout(fd) == Ok(0) {
                    let _ = set_tcp_user_timeout(fd, limit); // what it fails of would end it anyway
                }
            }
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
