//! Signals: a thread without any, SIGPIPE, and what EINTR means.

use std::mem;
use std::ptr;

use libc::c_int;

/// All signals blocked in this thread until dropped; a thread started meanwhile is born with them blocked.
pub(crate) struct Blocked(libc::sigset_t);

impl Blocked {
    /// Blocks them.
    pub(crate) fn all() -> Blocked {
        // SAFETY: all-zero is a valid sigset_t.
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { (mem::zeroed(), mem::zeroed()) };
        // SAFETY: both sets live across the calls.
        unsafe {
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        }
        Blocked(before)
    }
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
