//! recv(2) and its kin, where a socket of TCP would do otherwise than one of AF_UNIX.

use libc::c_int;
use rustix::io::Errno;

use super::address::AddressRoom;
use crate::sys::message::{self, Message};
use crate::sys::{Sink, Socket};

/// Flags that a socket of TCP takes otherwise than one of AF_UNIX.
pub const OTHERWISE: c_int = libc::MSG_TRUNC | libc::MSG_ERRQUEUE;

/// recvfrom(2): a stream names nobody. A cancellation point.
pub fn receive(socket: &Socket, into: Sink, flags: c_int, room: Option<AddressRoom>) -> Result<usize, Errno> {
    // First, so that a bad pointer costs no bytes.
    if let Some(room) = room {
        room.room()?;
        room.write_none()?;
    }
    match flags {
        // Errors of ICMP are not kept here.
        flags if flags & libc::MSG_ERRQUEUE != 0 => Err(Errno::AGAIN),
        flags if flags & libc::MSG_TRUNC != 0 => message::discard(socket, into.len(), flags & !libc::MSG_TRUNC),
        flags => message::receive(socket, into, flags),
    }
}

/// recvmsg(2). A cancellation point.
pub fn receive_message(socket: &Socket, header: Sink, flags: c_int) -> Result<usize, Errno> {
    if flags & libc::MSG_ERRQUEUE != 0 {
        return Err(Errno::AGAIN);
    }
    Message::read(header.source())?.receive(socket, flags & !libc::MSG_TRUNC, header)
}
