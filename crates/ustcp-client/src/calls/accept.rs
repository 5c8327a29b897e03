//! accept(2): a record of the listener's stream, with the connection's descriptor beside it.

use std::os::fd::AsFd;

use core::net::SocketAddr;

use libc::c_int;
use rustix::event::{Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_timeout};

use super::address::AddressRoom;
use crate::engine::Engine;
use crate::protocol::Arrival;
use crate::sys::{self, Received, Socket, Source, Transient};

/// The new socket's first byte, which the engine leaves where it is: the poison.
const CONFIRMED: [u8; 1] = [0];

/// How long an accept takes that hears once more of the engine's end.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

impl Engine {
    /// accept4(2); waits as the listener's own flags say. A cancellation point. `ENETDOWN`: the engine has ended.
    ///
    /// Where there is no descriptor left, nothing is taken: the engine offers again what was not confirmed.
    pub fn accept(&self, listener: &Socket, room: AddressRoom, flags: c_int) -> Result<c_int, Errno> {
        may_accept(listener, flags)?;
        let len = if room.is_unwanted() { None } else { Some(room.room()?) };
        let (connection, peer) = self.next(listener, flags)?;
        if let Some(len) = len {
            room.write_in(len, peer)?;
        }
        Ok(connection.keep())
    }

    /// The same for who wants no `struct sockaddr`: the connection, and its peer.
    pub fn next(&self, listener: &Socket, flags: c_int) -> Result<(Transient, SocketAddr), Errno> {
        may_accept(listener, flags)?;
        Transient::probe(listener.number())?;
        let mut record = [0; Arrival::LEN];
        let close_on_exec = flags & libc::SOCK_CLOEXEC != 0;
        let connection = match sys::receive_descriptor(listener, &mut record, close_on_exec) {
            Err(Errno::CONNRESET) => return Err(gone(listener)),
            Ok(Received { bytes: 0, .. }) => return Err(gone_still(listener)),
            received => received?.descriptor.ok_or(Errno::MFILE)?,
        };
        let arrival = Arrival::from_bytes(&record).ok_or(Errno::NETDOWN)?;
        take(listener, &connection, flags)?;
        Ok((connection, arrival.peer.0))
    }
}

fn may_accept(listener: &Socket, flags: c_int) -> Result<(), Errno> {
    let known = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    if flags & !known == 0 && listener.listens() {
        Ok(())
    } else {
        Err(Errno::INVAL)
    }
}

/// A listener's stream ends with its engine, or because it was shut down, by another thread perhaps.
fn gone(listener: &Socket) -> Errno {
    match Socket::of(listener.number()) {
        Some(listener) if !listener.listens() => Errno::INVAL,
        _ => Errno::NETDOWN,
    }
}

/// The same of one that has said so before. poll shows it for ever, so a server with a loop comes back at once: it sleeps
/// here, or it would keep a processor busy.
fn gone_still(listener: &Socket) -> Errno {
    let errno = gone(listener);
    if errno == Errno::NETDOWN {
        let _ = poll(&mut [], Some(&PAUSE)); // which a signal ends
    }
    errno
}

/// Makes the connection the program's: confirmed, with what it inherits from its listener's descriptor.
fn take(listener: &Socket, connection: &Transient, flags: c_int) -> Result<(), Errno> {
    for time in [Timeout::Recv, Timeout::Send] {
        if let Some(inherited) = socket_timeout(listener, time)? {
            set_socket_timeout(connection, time, Some(inherited))?;
        }
    }
    // One that was reset meanwhile says so when it is read.
    let _ = sys::send(connection.as_fd(), &[Source::of(&CONFIRMED)], libc::MSG_DONTWAIT);
    if flags & libc::SOCK_NONBLOCK != 0 {
        fcntl_setfl(connection, OFlags::RDWR | OFlags::NONBLOCK)?;
    }
    Ok(())
}
