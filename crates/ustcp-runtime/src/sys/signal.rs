//! Signals: a thread without any, those of writing, and what EINTR means.

use std::mem;
use std::ptr;

use libc::c_int;

/// Signals blocked in this thread until dropped; a thread started meanwhile is born with them blocked.
pub(crate) struct Blocked(libc::sigset_t);

impl Blocked {
    /// Blocks all.
    pub(crate) fn all() -> Blocked {
        let mut all = empty();
        // SAFETY: the set lives across the call.
        unsafe { libc::sigfillset(&raw mut all) };
        Blocked::these(&all)
    }

    fn these(signals: &libc::sigset_t) -> Blocked {
        let mut before = empty();
        // SAFETY: both sets live across the call.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, signals, &raw mut before) };
        Blocked(before)
    }
}

fn empty() -> libc::sigset_t {
    // SAFETY: all-zero is a valid sigset_t, and empty.
    unsafe { mem::zeroed() }
}

/// What write(2) itself sends: where nobody reads a pipe any more, and where a file has grown to RLIMIT_FSIZE.
const OF_WRITING: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

/// Runs `body`, which writes, and of whose signals the program gets none. One that was pending before stays.
pub(crate) fn writing<R>(body: impl FnOnce() -> R) -> R {
    let (mut fresh, mut pending) = (empty(), empty());
    // SAFETY: the sets live across the calls, which check the numbers.
    unsafe {
        libc::sigpending(&raw mut pending);
        for signal in OF_WRITING {
            if libc::sigismember(&raw const pending, signal) == 0 {
                libc::sigaddset(&raw mut fresh, signal);
            }
        }
    }
    let _blocked = Blocked::these(&fresh);
    let result = body();
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: set and time live across the call; nothing is asked about the signal.
    unsafe { libc::sigtimedwait(&raw const fresh, ptr::null_mut(), &raw const at_once) };
    result
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set lives across the call; the old mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// Sends SIGPIPE to the calling thread.
pub(crate) fn raise_sigpipe() {
    // SAFETY: no pointers. What the handler does is the program's affair.
    unsafe { libc::raise(libc::SIGPIPE) };
}

/// What the processor raises: language runtimes handle these without `SA_RESTART`, and no wait is broken by them.
const FAULTS: [c_int; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// Whether every handler that the program has installed asks for restarts (`SA_RESTART`). Which signal broke a wait
/// is not told, so an interrupted call goes on only when none of them wants `EINTR`.
pub(crate) fn every_handler_restarts() -> bool {
    let mut signals = (1..=libc::SIGRTMAX()).filter(|signal| !FAULTS.contains(signal));
    signals.all(|signal| handler_restarts(signal) != Some(false))
}

/// `None`: no handler.
fn handler_restarts(signal: c_int) -> Option<bool> {
    // SAFETY: all-zero is a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: only asks; `action` lives across the call.
    let asked = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    let handled = asked == 0 && action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN;
    handled.then_some(action.sa_flags & libc::SA_RESTART != 0)
}
