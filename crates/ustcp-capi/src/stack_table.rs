//! The stacks of the manual port, by what C holds for a pointer: a number that is followed nowhere and never used
//! again, so that a stale one is told from one that lives.

use std::collections::HashMap;
use std::ptr;
use std::sync::{Arc, LazyLock};

use libc::{c_int, ssize_t};
use parking_lot::{Mutex, RwLock};
use ustcp_runtime::Errno;
use ustcp_runtime::manual::ManualStack;

use crate::boundary::{caught, without_errno};

/// A stack of the manual port. What is in it is the library's.
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct ustcp_stack(());

#[derive(Default)]
struct Table {
    stacks: HashMap<usize, Arc<Mutex<ManualStack>>>,
    last: usize,
}

static TABLE: LazyLock<RwLock<Table>> = LazyLock::new(RwLock::default);

/// Enters a stack.
pub(crate) fn enter(stack: ManualStack) -> *mut ustcp_stack {
    let mut table = TABLE.write();
    table.last += 1;
    let number = table.last;
    table.stacks.insert(number, Arc::new(Mutex::new(stack)));
    ptr::without_provenance_mut(number)
}

/// Takes a stack out: `EFAULT` for null, `EBADF` for one that is not there (any more).
pub(crate) fn remove(stack: *mut ustcp_stack) -> Result<(), Errno> {
    check(stack)?;
    let removed = TABLE.write().stacks.remove(&stack.addr());
    removed.map(drop).ok_or(Errno(libc::EBADF))
}

/// The one door between C and a stack: runs `body` on it; an error is its number, negative. `EFAULT` and `EBADF` as
/// [`remove`]; `EBUSY` while another thread uses it.
pub(crate) fn on<T: Number>(stack: *mut ustcp_stack, body: impl FnOnce(&mut ManualStack) -> Result<T, Errno>) -> T {
    door(|| {
        check(stack)?;
        let entry = TABLE.read().stacks.get(&stack.addr()).cloned();
        let entry = entry.ok_or(Errno(libc::EBADF))?;
        let mut stack = entry.try_lock().ok_or(Errno(libc::EBUSY))?;
        body(&mut stack)
    })
}

/// The same without a stack.
pub(crate) fn door<T: Number>(body: impl FnOnce() -> Result<T, Errno>) -> T {
    without_errno(|| caught(body)).unwrap_or_else(|Errno(number)| T::negative(number))
}

fn check(stack: *mut ustcp_stack) -> Result<(), Errno> {
    if stack.is_null() {
        Err(Errno(libc::EFAULT))
    } else {
        Ok(())
    }
}

/// A result type of C that can say an error's number, negative.
pub(crate) trait Number {
    /// It says it.
    fn negative(number: c_int) -> Self;
}

impl Number for c_int {
    fn negative(number: c_int) -> c_int {
        -number
    }
}

impl Number for ssize_t {
    fn negative(number: c_int) -> ssize_t {
        ssize_t::try_from(-number).unwrap_or(-1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(stack: *mut ustcp_stack) -> c_int {
        on(stack, |stack| stack.now().map(|_| 0))
    }

    #[test]
    fn what_is_no_stack_is_told() {
        let stack = enter(ManualStack::new(Some(1)).unwrap());
        assert_eq!(answer(stack), 0);
        assert_eq!(answer(ptr::null_mut()), -libc::EFAULT);
        assert_eq!(answer(ptr::without_provenance_mut(usize::MAX)), -libc::EBADF);
        assert_eq!(remove(stack), Ok(()));
        assert_eq!(remove(stack), Err(Errno(libc::EBADF)));
        assert_eq!(answer(stack), -libc::EBADF);
        let next = enter(ManualStack::new(Some(1)).unwrap());
        assert_ne!(next, stack);
        remove(next).unwrap();
    }

    #[test]
    fn a_second_user_at_a_time_is_sent_away() {
        let stack = enter(ManualStack::new(Some(1)).unwrap());
        let nested = on(stack, |_| Ok(answer(stack)));
        assert_eq!(nested, -libc::EBUSY);
        assert_eq!(answer(stack), 0);
        remove(stack).unwrap();
    }

    #[test]
    fn a_panic_is_the_end_of_that_stack_only() {
        let (one, other) = (
            enter(ManualStack::new(Some(1)).unwrap()),
            enter(ManualStack::new(Some(1)).unwrap()),
        );
        let panicked: c_int = on(one, |stack| stack.plant_panic().map(|()| 0));
        assert_eq!(
            (panicked, answer(one), answer(other)),
            (-libc::ENETDOWN, -libc::ENETDOWN, 0)
        );
        remove(one).unwrap();
        remove(other).unwrap();
    }
}
