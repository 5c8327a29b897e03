//! A descriptor becomes a socket of the engine: connected to it, greeted, and full.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, FdFlags, fcntl_getfd};
use rustix::net::SocketAddrUnix;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_timeout};

use crate::engine::Engine;
use crate::protocol::Greeting;
use crate::sys::epoll::Registrations;
use crate::sys::{self, Socket, Source, Transient};
use crate::whereabouts::Listener;

/// What fills a socket until it is connected; nobody looks at it.
static JUNK: [u8; 64 << 10] = [0; 64 << 10];

impl Engine {
    /// Attaches a socket, unless it is: whether this did. Until the engine says otherwise it is neither readable nor writable.
    pub(super) fn attach(&self, socket: &Socket) -> Result<bool, Errno> {
        if socket.is_attached() {
            return Ok(false);
        }
        match self.reach(Listener::Streams, socket, |to, patience| {
            connect_at_once(socket, to, patience)
        }) {
            // Another thread was faster.
            Err(Errno::ISCONN) => return Ok(false),
            result => result?,
        }
        self.greet(socket).map(|()| true)
    }

    fn greet(&self, socket: &Socket) -> Result<(), Errno> {
        let greeting = Greeting {
            token: self.token(),
            socket: socket.tag.socket,
            is_v6: socket.tag.is_v6,
            run: self.run(),
        };
        match sys::send(socket.as_fd(), &[Source::of(&greeting.to_bytes())], libc::MSG_DONTWAIT) {
            // The engine turns it away; the request to come will say why.
            Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => {}
            Err(errno) => return Err(errno),
        }
        let junk = [Source::of(&JUNK); 8];
        while sys::send(socket.as_fd(), &junk, libc::MSG_DONTWAIT).is_ok() {}
        Ok(())
    }

    /// Puts a fresh socket under the number of one whose stream is spent, with its number at the engine, all that is set on
    /// the descriptor, and in every epoll of this process where it was. The file is another one, which other numbers of the
    /// former do not have. Nothing else would do, as a stream of AF_UNIX is connected once.
    pub(super) fn renew(&self, socket: &Socket) -> Result<(), Errno> {
        let flags = fcntl_getfl(socket)?;
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        let fresh = Transient::socket(kind)?;
        let renewed = Socket::tagged(fresh.number(), socket.tag)?;
        for time in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(renewed, time, socket_timeout(socket, time)?)?;
        }
        self.attach(&renewed)?;
        renewed.set_as(socket)?;
        fcntl_setfl(renewed, flags & OFlags::NONBLOCK)?;
        let close_on_exec = fcntl_getfd(socket)?.contains(FdFlags::CLOEXEC);
        let registrations = Registrations::take(socket.number());
        let replaced = fresh.replace(socket.number(), close_on_exec);
        registrations.put(socket.number());
        replaced?;
        // O_ASYNC only now, as a signal says which number it is about.
        fcntl_setfl(socket, flags)
    }
}

/// connect(2) that waits for room in the engine's queue, so long and whatever the program has set.
fn connect_at_once(socket: &Socket, to: &SocketAddrUnix, patience: Duration) -> Result<(), Errno> {
    let (flags, time) = (fcntl_getfl(socket)?, socket_timeout(socket, Timeout::Send)?);
    fcntl_setfl(socket, flags - OFlags::NONBLOCK)?;
    set_socket_timeout(socket, Timeout::Send, Some(patience))?;
    let result = rustix::net::connect(socket, to);
    set_socket_timeout(socket, Timeout::Send, time)?;
    fcntl_setfl(socket, flags)?;
    result
}
