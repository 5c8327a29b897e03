//! Whether the program has put itself into a sandbox, which may kill it for any call that it does not make itself.
//!
//! From then on the calls that move bytes are the system call and nothing more, errors included: to look at the descriptor
//! would be a call. It is the one thing that is remembered here beside the engine, as only the kernel knows it, and to ask
//! it would be a call too. The flag is the process's, for threads have none that a hook may use, and is never taken back: a
//! filter of one thread counts for all, and that of a child of vfork for its parent.

use core::sync::atomic::{AtomicBool, Ordering};

use libc::{c_int, c_ulong};

use crate::hook::pass;

static ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether it has.
pub(crate) fn is_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// prctl(2). In C all but its first argument are variadic, which on the machines of this library are passed as any other.
///
/// # Safety
/// As of prctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prctl(option: c_int, b: c_ulong, c: c_ulong, d: c_ulong, e: c_ulong) -> c_int {
    let arguments = [option as usize, b as usize, c as usize, d as usize, e as usize, 0];
    // SAFETY: the caller's promise.
    let change = || unsafe { pass(libc::SYS_prctl, arguments) as c_int };
    if option != libc::PR_SET_SECCOMP {
        return change();
    }
    // First, as other threads may be in it at once; and after it, as one of them may have failed and taken it back.
    let before = ENTERED.swap(true, Ordering::Relaxed);
    let result = change();
    ENTERED.store(before || result == 0, Ordering::Relaxed);
    result
}
