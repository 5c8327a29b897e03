//! What this process was started with and does not keep: for the program that it becomes.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::{mem, ptr};

use libc::c_int;

/// Signals that were ignored, a bit for each of [`LOOKED_AT`] by its number.
static IGNORED: AtomicU64 = AtomicU64::new(0);
/// Of the standard descriptors those that were closed, a bit for each: Rust's runtime opens `/dev/null` there.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// SIGPIPE, which Rust's runtime ignores; SIGCHLD, since no child can be waited for where it is ignored; and those that nohup(1)
/// and shells have ignored by what is to go on.
const LOOKED_AT: [c_int; 4] = [libc::SIGPIPE, libc::SIGCHLD, libc::SIGHUP, libc::SIGINT];

/// Before `main`, and so before Rust's runtime changes what is looked at.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    for signal in LOOKED_AT {
        // SAFETY: all-zero is a valid sigaction; it lives across the call, which asks only.
        let action = unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            libc::sigaction(signal, ptr::null(), &raw mut action);
            action
        };
        if action.sa_sigaction == libc::SIG_IGN {
            IGNORED.fetch_or(bit(signal), Relaxed);
        }
    }
    for descriptor in 0..3 {
        // SAFETY: takes numbers only.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << descriptor, Relaxed);
        }
    }
    set(libc::SIGCHLD, libc::SIG_DFL);
}

fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

fn set(signal: c_int, disposition: libc::sighandler_t) {
    // SAFETY: what is set is no handler.
    unsafe { libc::signal(signal, disposition) };
}

/// Whether a signal of [`LOOKED_AT`] was ignored from the start.
pub(crate) fn is_ignored(signal: c_int) -> bool {
    IGNORED.load(Relaxed) & bit(signal) != 0
}

/// As it was, for who becomes another program. What is returned takes it back where that fails.
pub(super) fn put_back() -> impl FnOnce() {
    for signal in [libc::SIGPIPE, libc::SIGCHLD] {
        set(
            signal,
            if is_ignored(signal) {
                libc::SIG_IGN
            } else {
                libc::SIG_DFL
            },
        );
    }
    for descriptor in 0..3 {
        if CLOSED.load(Relaxed) & 1 << descriptor != 0 {
            // SAFETY: takes a number only. It is Rust's, or nobody's any more.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    || {
        // Whoever is told of the failure may have closed our standard error.
        set(libc::SIGPIPE, libc::SIG_IGN);
        set(libc::SIGCHLD, libc::SIG_DFL);
    }
}
