//! Waiting for more to arrive than what is there already: poll says only that there is something.

use libc::c_int;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, socket_timeout};

use super::{Socket, Transient, call, epoll};

/// An epoll of one socket, which tells of each arrival once.
#[derive(Debug)]
pub(crate) struct Arrivals {
    epoll: Transient,
    /// Milliseconds that one wait lasts; -1: for ever.
    patience: c_int,
}

impl Arrivals {
    pub(crate) fn of(socket: &Socket) -> Result<Arrivals, Errno> {
        // SAFETY: no pointers.
        let fd = unsafe { call(libc::SYS_epoll_create1, [libc::EPOLL_CLOEXEC as usize, 0, 0, 0, 0, 0]) }?;
        let epoll = Transient(fd as c_int);
        let events = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET).cast_unsigned();
        epoll::control(epoll.number(), libc::EPOLL_CTL_ADD, socket.number(), events, 0)?;
        let patience = socket_timeout(socket, Timeout::Recv)?;
        let patience = patience.map_or(-1, |time| c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX));
        Ok(Arrivals { epoll, patience })
    }

    /// Waits for the next. `false`: there is nothing more to wait for, as the stream has ended, the socket's time
    /// (`SO_RCVTIMEO`) has passed or a signal has come.
    pub(crate) fn wait(&self) -> bool {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let (fd, at) = (self.epoll.number() as usize, &raw mut event as usize);
        // SAFETY: there is room for one event.
        let told = unsafe { call(libc::SYS_epoll_pwait, [fd, at, 1, self.patience as usize, 0, 0]) };
        let end = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned();
        told == Ok(1) && event.events & end == 0
    }
}
