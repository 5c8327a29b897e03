//! recv(2) and its kin, where a socket of TCP would do otherwise than one of AF_UNIX.

use std::time::{Duration, Instant};

use libc::c_int;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, socket_timeout};

use super::address::AddressRoom;
use super::faults::Direction;
use crate::engine::Engine;
use crate::sys::arrivals::{look_again, wait_for_some};
use crate::sys::message::{self, Message};
use crate::sys::{Sink, Socket};

/// Looking at all of what is wanted. The descriptor shows what there is.
const PEEK_ALL: c_int = libc::MSG_PEEK | libc::MSG_WAITALL;

/// Whether a socket of TCP takes one of these flags otherwise than one of AF_UNIX. `MSG_WAITALL` alone differs but in what
/// becomes of an error.
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
    let wanted = into.len();
    if flags & libc::MSG_TRUNC != 0 {
        return take(socket, wanted, flags, |taken, flags| {
            message::discard(socket, wanted - taken, flags)
        });
    }
    take(socket, wanted, flags, |taken, flags| {
        message::receive(socket, into.after(taken), flags)
    })
}

/// Reads by `read`, which is handed how much there is already, as the flags say.
fn take(
    socket: &Socket,
    wanted: usize,
    flags: c_int,
    read: impl Fn(usize, c_int) -> Result<usize, Errno> + Copy,
) -> Result<usize, Errno> {
    let native = flags & !libc::MSG_TRUNC;
    match flags & PEEK_ALL {
        PEEK_ALL => look_at_all(socket, wanted, flags, || read(0, native)),
        libc::MSG_WAITALL if flags & libc::MSG_OOB == 0 => wait_for_all(socket, wanted, native, read),
        _ => read(0, native),
    }
}

/// `MSG_WAITALL`: a stream of AF_UNIX that has read something and then meets an error returns what it has, and forgets the
/// error; TCP tells it next. So nothing is read where an error is what there is.
fn wait_for_all(
    socket: &Socket,
    wanted: usize,
    flags: c_int,
    read: impl Fn(usize, c_int) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let patience = patience(socket, flags)?;
    let deadline = patience.and_then(|time| Instant::now().checked_add(time));
    let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let native = flags & !libc::MSG_WAITALL;
    let mut taken = read(0, native)?;
    while taken > 0 && taken < wanted && patience != Some(Duration::ZERO) && wait_for_some(socket, left()) {
        match read(taken, native) {
            Ok(more) if more > 0 => taken += more,
            Ok(_) | Err(_) => break,
        }
    }
    Ok(taken)
}

/// `MSG_PEEK` with `MSG_WAITALL`: a stream of AF_UNIX shows what there is, TCP waits until there is all, or the end. One
/// `SO_RCVTIMEO` is for the whole call.
fn look_at_all(
    socket: &Socket,
    wanted: usize,
    flags: c_int,
    look: impl Fn() -> Result<usize, Errno> + Copy,
) -> Result<usize, Errno> {
    let patience = patience(socket, flags)?;
    let deadline = patience.and_then(|time| Instant::now().checked_add(time));
    let first = look()?;
    if patience == Some(Duration::ZERO) || first >= wanted {
        return Ok(first);
    }
    look_again(socket, wanted, deadline, look)
}

/// Waits for the next message, as reading it would. `false`: none came, or an error did, which reading would take from who
/// reads next. A cancellation point.
#[must_use]
pub fn next_is_there(socket: &Socket, flags: c_int) -> bool {
    if flags & libc::MSG_OOB != 0 {
        return false; // as Linux: the urgent byte is the last
    }
    patience(socket, flags).is_ok_and(|patience| wait_for_some(socket, patience))
}

/// How long a read waits; `None`: for ever.
fn patience(socket: &Socket, flags: c_int) -> Result<Option<Duration>, Errno> {
    match flags & libc::MSG_DONTWAIT == 0 && !fcntl_getfl(socket)?.contains(OFlags::NONBLOCK) {
        true => socket_timeout(socket, Timeout::Recv),
        false => Ok(Some(Duration::ZERO)),
    }
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
    let wanted = match flags & (libc::MSG_TRUNC | libc::MSG_WAITALL) {
        0 => 0, // nobody asks
        _ => message.room()?,
    };
    if flags & libc::MSG_TRUNC != 0 {
        let discard = |taken, flags| message::discard(socket, wanted - taken, flags);
        let discarded = take(socket, wanted, flags, discard)?;
        return message.tell_end(header).map(|()| discarded);
    }
    take(socket, wanted, flags, |taken, flags| match taken {
        0 => message.receive(socket, flags, header),
        _ => message::receive(socket, message.room_after(taken)?, flags),
    })
}
