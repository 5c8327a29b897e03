//! Waiting for more to arrive than what is there already: poll says only that there is something.

use std::time::{Duration, Instant};

use libc::c_int;
use rustix::io::{Errno, ioctl_fionread};

use super::{Socket, Transient, call, closing, epoll, wait_in};

/// Looks at a socket after each arrival, until there is as much as `wanted` or nothing more to wait for: the stream has
/// ended, the deadline has passed or a signal has come. A cancellation point.
pub(crate) fn look_again(
    socket: &Socket,
    wanted: usize,
    deadline: Option<Instant>,
    look: impl Fn() -> Result<usize, Errno> + Copy,
) -> Result<usize, Errno> {
    closing(arrivals(socket)?, |epoll| {
        loop {
            let more_may_come = wait(epoll, deadline);
            let seen = look()?;
            if seen >= wanted || !more_may_come {
                return Ok(seen);
            }
        }
    })
}

/// Waits until there is something to read, or the end. `false`: neither came in time, or an error did. A cancellation point.
pub(crate) fn wait_for_some(socket: &Socket, patience: Option<Duration>) -> bool {
    let mut asked = libc::pollfd {
        fd: socket.number(),
        events: libc::POLLIN | libc::POLLRDHUP,
        revents: 0,
    };
    // The kernel writes there how much of it is left.
    let mut patience = patience.map(|time| libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    let patience = patience.as_mut().map_or(0, |time| core::ptr::from_mut(time) as usize);
    let arguments = [&raw mut asked as usize, 1, patience, 0, 0, 0];
    // SAFETY: both live across the call; nothing is to be dropped.
    let told = unsafe { wait_in(libc::SYS_ppoll, arguments) };
    // What came before an error is read before it.
    told == Ok(1) && (asked.revents & libc::POLLERR == 0 || ioctl_fionread(socket).is_ok_and(|count| count > 0))
}

/// An epoll of one socket, which tells of each arrival once.
fn arrivals(socket: &Socket) -> Result<Transient, Errno> {
    // SAFETY: no pointers.
    let fd = unsafe { call(libc::SYS_epoll_create1, [libc::EPOLL_CLOEXEC as usize, 0, 0, 0, 0, 0]) }?;
    let epoll = Transient(fd as c_int);
    let events = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET).cast_unsigned();
    epoll::control(epoll.number(), libc::EPOLL_CTL_ADD, socket.number(), events, 0)?;
    Ok(epoll)
}

/// Waits for the next. `false`: there is nothing more to wait for.
fn wait(epoll: c_int, deadline: Option<Instant>) -> bool {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left == Some(Duration::ZERO) {
        return false;
    }
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    let at = &raw mut event as usize;
    let arguments = [epoll as usize, at, 1, left.map_or(-1, milliseconds) as usize, 0, 0];
    // SAFETY: there is room for one event; nothing is to be dropped.
    let told = unsafe { wait_in(libc::SYS_epoll_pwait, arguments) };
    let end = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned();
    told == Ok(1) && event.events & end == 0
}

/// Rounded up, so that the last wait is one.
fn milliseconds(time: Duration) -> c_int {
    c_int::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::super::Tag;
    use super::*;

    #[test]
    fn what_came_before_an_error_is_read_before_it() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let tag = Tag {
            socket: 1,
            is_v6: false,
        };
        let socket = Socket::tagged(ours.as_raw_fd(), tag).unwrap();
        let is_there = || wait_for_some(&socket, Some(Duration::ZERO));
        assert!(!is_there());
        theirs.write_all(b"text").unwrap();
        assert!(is_there());
        ours.write_all(b"unread, which makes the end a reset").unwrap();
        drop(theirs);
        assert!(is_there());
        ours.read_exact(&mut [0; 4]).unwrap();
        assert!(!is_there());
    }

    #[test]
    fn less_than_a_millisecond_is_waited_for_too() {
        let times = [0, 1, 999_999, 1_000_000, 1_000_001].map(Duration::from_nanos);
        assert_eq!(times.map(milliseconds), [0, 1, 1, 1, 2]);
        assert_eq!(milliseconds(Duration::MAX), c_int::MAX);
    }
}
