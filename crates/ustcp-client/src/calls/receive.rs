//! recv(2) and its kin, where a socket of TCP would do otherwise than one of AF_UNIX.

use std::time::Instant;

use libc::c_int;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, socket_timeout};

use super::address::AddressRoom;
use super::faults::Direction;
use crate::engine::Engine;
use crate::sys::arrivals::look_again;
use crate::sys::message::{self, Message};
use crate::sys::{Sink, Socket};

/// Looking at all of what is wanted.
const PEEK_ALL: c_int = libc::MSG_PEEK | libc::MSG_WAITALL;

/// Whether a socket of TCP takes one of these flags otherwise than one of AF_UNIX.
#[must_use]
pub fn is_otherwise(flags: c_int) -> bool {
    flags & (libc::MSG_TRUNC | libc::MSG_ERRQUEUE) != 0 || flags & PEEK_ALL == PEEK_ALL
}

/// recvfrom(2): a stream names nobody. A cancellation point.
pub fn receive(socket: &Socket, into: Sink, flags: c_int, room: Option<AddressRoom>) -> Result<usize, Errno> {
    // First, so that a bad pointer costs no bytes.
    if let Some(room) = room {
        room.room()?;
        room.write_none()?;
    }
    if flags & libc::MSG_ERRQUEUE != 0 {
        return Err(Errno::AGAIN); // errors of ICMP are not kept here
    }
    if flags & libc::MSG_OOB == 0 {
        socket.must_carry()?;
    }
    match flags {
        flags if flags & libc::MSG_TRUNC != 0 => message::discard(socket, into.len(), flags & !libc::MSG_TRUNC),
        flags if flags & PEEK_ALL == PEEK_ALL => {
            look_at_all(socket, into.len(), flags, || message::receive(socket, into, flags))
        }
        flags => message::receive(socket, into, flags),
    }
}

/// `MSG_PEEK` with `MSG_WAITALL`: a stream of AF_UNIX shows what there is, TCP waits until there is all, or the end. One
/// `SO_RCVTIMEO` is for the whole call.
fn look_at_all(
    socket: &Socket,
    wanted: usize,
    flags: c_int,
    look: impl Fn() -> Result<usize, Errno> + Copy,
) -> Result<usize, Errno> {
    let patience = socket_timeout(socket, Timeout::Recv)?;
    let deadline = patience.and_then(|time| Instant::now().checked_add(time));
    let first = look()?;
    let waits = flags & libc::MSG_DONTWAIT == 0 && !fcntl_getfl(socket)?.contains(OFlags::NONBLOCK);
    if !waits || first >= wanted {
        return Ok(first);
    }
    look_again(socket, wanted, deadline, look)
}

impl Engine {
    /// recvmsg(2). A cancellation point.
    pub fn receive_message(&self, socket: &Socket, header: Sink, flags: c_int) -> Result<usize, Errno> {
        match receive_message(socket, header, flags) {
            Err(native) => {
                self.fault(socket, native, Direction::receiving(flags))?;
                Message::read(header.source())?.tell_end(header).map(|()| 0)
            }
            received => received,
        }
    }
}

fn receive_message(socket: &Socket, header: Sink, flags: c_int) -> Result<usize, Errno> {
    if flags & libc::MSG_ERRQUEUE != 0 {
        return Err(Errno::AGAIN);
    }
    if flags & libc::MSG_OOB == 0 {
        socket.must_carry()?;
    }
    let message = Message::read(header.source())?;
    let flags = flags & !libc::MSG_TRUNC;
    match flags & PEEK_ALL {
        PEEK_ALL => look_at_all(socket, message.room()?, flags, || {
            message.receive(socket, flags, header)
        }),
        _ => message.receive(socket, flags, header),
    }
}
