//! poll and epoll as the program itself calls them, and a few calls that std has no name for.
#![allow(unsafe_code, reason = "the system's own calls, as a program makes them")]

use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_void};

const ALL: c_int = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP;

/// Longest wait for something that must come, in milliseconds.
const PATIENCE: c_int = 10_000;

fn letters(events: c_int) -> String {
    let names = [
        (libc::EPOLLIN, 'I'),
        (libc::EPOLLOUT, 'O'),
        (libc::EPOLLRDHUP, 'R'),
        (libc::EPOLLHUP, 'H'),
        (libc::EPOLLERR, 'E'),
    ];
    names
        .iter()
        .filter(|(bit, _)| events & bit != 0)
        .map(|(_, name)| name)
        .collect()
}

/// The mask of `fd` at this moment.
pub(crate) fn mask(fd: RawFd) -> String {
    let mut entry = libc::pollfd {
        fd,
        events: ALL as i16,
        revents: 0,
    };
    // SAFETY: one entry, as said.
    unsafe { libc::poll(&raw mut entry, 1, 0) };
    letters(i32::from(entry.revents))
}

/// An epoll instance.
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    fn new() -> Epoll {
        // SAFETY: a new descriptor, ours alone.
        Epoll(unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) })
    }

    fn add(&self, fd: RawFd, events: c_int) {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: fd as u64,
        };
        // SAFETY: `event` lives across the call.
        let done = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        assert_eq!(done, 0);
    }

    /// Watches one descriptor for edges.
    pub(crate) fn edge_triggered(fd: RawFd) -> Epoll {
        let epoll = Epoll::new();
        epoll.add(fd, ALL | libc::EPOLLET);
        epoll
    }

    /// Watches one descriptor for input.
    pub(crate) fn level_triggered(fd: RawFd) -> Epoll {
        let epoll = Epoll::new();
        epoll.add(fd, libc::EPOLLIN);
        epoll
    }

    /// One more.
    pub(crate) fn add_level_triggered(&self, fd: RawFd) {
        self.add(fd, libc::EPOLLIN);
    }

    fn wait(&self, timeout: c_int) -> Vec<(RawFd, c_int)> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        // SAFETY: room for 64.
        let ready = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 64, timeout) };
        let ready = usize::try_from(ready).unwrap_or(0);
        events[..ready]
            .iter()
            .map(|event| (event.u64 as RawFd, event.events as c_int))
            .collect()
    }

    /// Edges until one has `expected`; its mask, or what came last before patience ended.
    pub(crate) fn wait_for(&self, expected: &str) -> String {
        let mut last = String::from("no edge");
        loop {
            let Some((_, events)) = self.wait(PATIENCE).pop() else {
                return last;
            };
            last = letters(events);
            if last == expected {
                return last;
            }
        }
    }

    /// What is ready, when something is.
    pub(crate) fn ready(&self) -> Vec<RawFd> {
        let ready = self.wait(PATIENCE);
        assert!(!ready.is_empty(), "nothing became ready");
        ready.into_iter().map(|(fd, _)| fd).collect()
    }
}

/// SO_LINGER of 0 seconds: close sends RST.
pub(crate) fn linger_zero(fd: RawFd) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: `linger` lives across the call.
    let done = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast::<c_void>(),
            size,
        )
    };
    assert_eq!(done, 0);
}

/// Closes the connection now, while the descriptor lives on as something else.
pub(crate) fn close_early(stream: &TcpStream) {
    // SAFETY: the number stays open: it is standard error from here on.
    assert!(unsafe { libc::dup2(2, stream.as_raw_fd()) } >= 0);
}

/// A thread of this process as the system names it.
#[derive(Clone, Copy)]
pub(crate) struct Thread(libc::pid_t);

impl Thread {
    /// The calling one.
    pub(crate) fn current() -> Thread {
        // SAFETY: no arguments.
        Thread(unsafe { libc::gettid() })
    }

    /// Whether it sleeps in the kernel.
    pub(crate) fn is_asleep(self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.0)).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
    }

    /// Returns once it sleeps in the kernel.
    pub(crate) fn until_asleep(self) {
        while !self.is_asleep() {
            std::thread::yield_now();
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(self, signal: c_int) {
        // SAFETY: numbers only. A thread that has ended makes it ESRCH.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.0, signal) };
    }
}

/// Installs a handler.
pub(crate) fn handle(signal: c_int, handler: extern "C" fn(c_int), flags: c_int) {
    // SAFETY: all-zero is a valid sigaction; the handler is async-signal-safe, for it only counts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Runs `child` in a forked child, which ends with what it returns; returns that.
pub(crate) fn in_child(child: impl FnOnce() -> u8) -> u8 {
    // SAFETY: the child runs `child` and nothing of this test, and leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(255);
        // SAFETY: ends the child.
        unsafe { libc::_exit(c_int::from(code)) };
    }
    let mut status = 0;
    // SAFETY: `status` lives across the call.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "the child was killed: {status:x}");
    u8::try_from(libc::WEXITSTATUS(status)).unwrap()
}

/// A descriptor as the program holds it by its number.
pub(crate) fn take(fd: RawFd) -> OwnedFd {
    // SAFETY: for a test of what happens when the library's own descriptor is closed behind its back.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Takes every descriptor that the process may still have, of `limit` at most from now on.
pub(crate) fn exhaust_descriptors(limit: libc::rlim_t) -> Vec<OwnedFd> {
    let limit = libc::rlimit {
        rlim_cur: limit,
        rlim_max: limit,
    };
    // SAFETY: `limit` lives across the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    // SAFETY: each number is a new one, ours alone.
    std::iter::from_fn(|| match unsafe { libc::dup(2) } {
        -1 => None,
        // SAFETY: as above.
        fd => Some(unsafe { OwnedFd::from_raw_fd(fd) }),
    })
    .collect()
}

/// SIGPIPE kills, as in programs not written in Rust.
pub(crate) fn default_sigpipe() {
    // SAFETY: no handler of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// The process ends in so many seconds, unless it ends before.
pub(crate) fn alarm(seconds: u32) {
    // SAFETY: numbers only.
    unsafe { libc::alarm(seconds) };
}

/// Puts `file` under the number of standard error.
pub(crate) fn stderr_to(file: &impl AsRawFd) {
    // SAFETY: numbers only; standard error stays open.
    assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), 2) }, 2);
}
