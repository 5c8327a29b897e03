//! pthread cancellation: a thread that is cancelled inside our calls is cancelled after them.

use libc::c_int;

const PTHREAD_CANCEL_DISABLE: c_int = 1;

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// Cancellation disabled in this thread until dropped.
pub(crate) struct Uncancelled(c_int);

impl Uncancelled {
    /// Disables it.
    pub(crate) fn new() -> Uncancelled {
        let mut before = 0;
        // SAFETY: `before` lives across the call.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut before) };
        Uncancelled(before)
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        let mut ignored = 0;
        // SAFETY: `ignored` lives across the call; the state is one that the call above gave.
        unsafe { pthread_setcancelstate(self.0, &raw mut ignored) };
    }
}
