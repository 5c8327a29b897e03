//! The one door between C and Rust.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::c_int;
use ustcp_runtime::Errno;

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

/// Runs `body` and turns its error into -1 and errno. A panic is our bug and stops here: it is `ENETDOWN`, as from
/// the stack that it left unusable.
pub(crate) fn boundary<T: Failure>(body: impl FnOnce() -> Result<T, Errno>) -> T {
    match catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(Errno(libc::ENETDOWN))) {
        Ok(value) => value,
        Err(Errno(number)) => {
            // SAFETY: the address of this thread's errno is always valid.
            unsafe { *libc::__errno_location() = number };
            T::FAILURE
        }
    }
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
}
