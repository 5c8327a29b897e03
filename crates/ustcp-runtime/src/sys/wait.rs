//! Waiting: poll, epoll and futex, with deadlines as durations.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use libc::{c_int, nfds_t, timespec};

use super::check;
use super::fd::PrivateFd;

pub(crate) use libc::pollfd as PollFd;

fn spec(duration: Duration) -> timespec {
    timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(duration.subsec_nanos()),
    }
}

fn spec_pointer(spec: &Option<timespec>) -> *const timespec {
    spec.as_ref().map_or(ptr::null(), ptr::from_ref)
}

/// poll(2) to the nanosecond. Returns how many entries have events; `EINTR` as it comes.
pub(crate) fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.map(spec);
    // SAFETY: `fds` is as long as said; the timeout is null or lives across the call; no signal mask is given.
    let ready = unsafe {
        libc::ppoll(
            fds.as_mut_ptr(),
            fds.len() as nfds_t,
            spec_pointer(&timeout),
            ptr::null(),
        )
    };
    check(ready).map(|n| n as usize)
}

/// Sleeps while `word` is `expected`, at most for `timeout`. Returns on a wake, on a change seen, at the timeout, or
/// without cause; `Err` is `EINTR` alone.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(spec);
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: `word` lives across the call; the timeout is null or does.
    let done = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            operation,
            expected,
            spec_pointer(&timeout),
        )
    };
    if done == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EINTR) {
        Err(error)
    } else {
        Ok(())
    }
}

/// Wakes the thread that sleeps on `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: `word` is a valid address; the kernel does not write there.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        )
    };
}

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Epoll(PrivateFd);

impl Epoll {
    /// One that watches nothing.
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just made it for us alone.
        Ok(Epoll(PrivateFd::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Watches `fd` for `events` (`EPOLLIN`, `EPOLLET` ...) and reports it as `tag`.
    pub(crate) fn add(&self, fd: RawFd, events: c_int, tag: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: tag,
        };
        self.control(libc::EPOLL_CTL_ADD, fd, &mut event)
    }

    fn control(&self, operation: c_int, fd: RawFd, event: &mut libc::epoll_event) -> io::Result<()> {
        // SAFETY: `event` lives across the call.
        check(unsafe { libc::epoll_ctl(self.0.borrow().as_raw_fd(), operation, fd, event) }).map(drop)
    }

    /// What is ready, as tag and events, at most `N`, and how many; 0 at the timeout, which counts in whole
    /// milliseconds, rounded up.
    pub(crate) fn wait<const N: usize>(&self, timeout: Option<Duration>) -> io::Result<([(u64, u32); N], usize)> {
        let millis = timeout.map_or(-1, |t| {
            c_int::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
        });
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; N];
        // SAFETY: `events` has room for `N`.
        let ready = unsafe { libc::epoll_wait(self.0.borrow().as_raw_fd(), events.as_mut_ptr(), N as c_int, millis) };
        let ready = check(ready)? as usize;
        Ok((events.map(|event| (event.u64, event.events)), ready))
    }
}
