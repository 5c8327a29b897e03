//! The one door between C and Rust.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::c_int;
use ustcp_runtime::{Errno, Uncancelled, cancellation_point};

/// A result type of C that can say -1.
pub(crate) trait Failure {
    /// -1.
    const FAILURE: Self;
}

impl Failure for c_int {
    const FAILURE: c_int = -1;
}

impl Failure for libc::ssize_t {
    const FAILURE: libc::ssize_t = -1;
}

/// A call that is a cancellation point in POSIX: a thread that has been cancelled ends here, before there is anything
/// of ours to drop. Cancelled later, it ends at its next cancellation point.
pub(crate) fn waiting_boundary<T: Failure>(body: impl FnOnce() -> Result<T, Errno>) -> T {
    // SAFETY: cancellation unwinds through this frame and the exported function's, which have nothing to drop.
    unsafe { cancellation_point() };
    boundary(body)
}

/// Runs `body` and turns its error into -1 and errno.
pub(crate) fn boundary<T: Failure>(body: impl FnOnce() -> Result<T, Errno>) -> T {
    match caught(body) {
        Ok(value) => value,
        Err(Errno(number)) => {
            set_errno(number);
            T::FAILURE
        }
    }
}

/// Runs `body`, which may make system calls, and leaves errno as it was.
pub(crate) fn without_errno<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: the address of this thread's errno is always valid.
    let before = unsafe { *libc::__errno_location() };
    let result = body();
    set_errno(before);
    result
}

fn set_errno(number: c_int) {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() = number };
}

/// Runs `body`, not to be cancelled. A panic is our bug and stops here: it is `ENETDOWN`, as from the stack that it left
/// unusable.
pub(crate) fn caught<T>(body: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let _uncancelled = Uncancelled::new();
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(Errno(libc::ENETDOWN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno() -> c_int {
        std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }

    #[test]
    fn an_error_is_minus_one_and_errno() {
        assert_eq!(boundary::<c_int>(|| Err(Errno(libc::ENOTCONN))), -1);
        assert_eq!(errno(), libc::ENOTCONN);
    }

    #[test]
    fn a_panic_stops_at_the_boundary() {
        assert_eq!(boundary::<libc::ssize_t>(|| panic!("planted")), -1);
        assert_eq!(errno(), libc::ENETDOWN);
    }

    /// What a C program does; in Rust nothing may be alive in this frame.
    extern "C" fn cancelled_before_a_call(_: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: this thread is its own; a null buffer of no bytes.
        unsafe {
            libc::pthread_cancel(libc::pthread_self());
            crate::ustcp_read(-1, std::ptr::null_mut(), 0);
        }
        std::ptr::null_mut()
    }

    #[test]
    fn a_call_that_waits_is_a_cancellation_point_at_its_entry() {
        const PTHREAD_CANCELED: usize = usize::MAX;
        let (mut thread, mut ended) = (0, std::ptr::null_mut());
        // SAFETY: places for the answers live across the calls, and no attributes or argument are given.
        unsafe {
            let made = libc::pthread_create(
                &raw mut thread,
                std::ptr::null(),
                cancelled_before_a_call,
                std::ptr::null_mut(),
            );
            assert_eq!(made, 0);
            assert_eq!(libc::pthread_join(thread, &raw mut ended), 0);
        }
        assert_eq!(ended.addr(), PTHREAD_CANCELED);
    }
}
