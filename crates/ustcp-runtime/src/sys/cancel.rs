//! pthread cancellation: a thread that is cancelled inside our calls is cancelled after them, at its next cancellation
//! point.

use libc::c_int;

const PTHREAD_CANCEL_DISABLE: c_int = 1;

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// Cancellation disabled in this thread until dropped: unwinding by it would end the process at the first Rust frame
/// with something to drop.
#[derive(Debug)]
pub struct Uncancelled(c_int);

impl Uncancelled {
    /// Disables it.
    #[allow(clippy::new_without_default, reason = "it is not a value but a deed")]
    pub fn new() -> Uncancelled {
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

unsafe extern "C-unwind" {
    fn pthread_testcancel();
}

/// Ends a thread that has been cancelled.
///
/// # Safety
/// No frame of Rust between here and C has anything to drop: cancellation unwinds through them.
pub unsafe fn cancellation_point() {
    // SAFETY: the caller's promise.
    unsafe { pthread_testcancel() };
}
