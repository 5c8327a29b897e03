//! The hook of dlopen(3): with `RTLD_DEEPBIND` a library finds the C library before this one, and its sockets are the
//! kernel's. It is told of for `ustcp run --explain`, and opened as ever.
//!
//! Where dlopen looks for a library depends on who calls it, by the address that it returns to. So the hook leaves that
//! where it is, and jumps.

use libc::{c_char, c_int, c_void};

use crate::next::Next;
use crate::programs::tell_of_library;

static DLOPEN: Next = Next::new(c"dlopen");

/// Tells of such a library; the C library's own dlopen.
extern "C" fn prepare(path: *const c_char, flags: c_int) -> *mut c_void {
    if flags & libc::RTLD_DEEPBIND != 0 && !path.is_null() {
        tell_of_library(path);
    }
    DLOPEN.get()
}

/// dlopen(3).
///
/// # Safety
/// As of dlopen(3).
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void {
    core::arch::naked_asm!(
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {prepare}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        prepare = sym prepare,
    )
}

/// dlopen(3).
///
/// # Safety
/// As of dlopen(3).
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void {
    core::arch::naked_asm!(
        "stp x0, x1, [sp, #-32]!",
        "str x30, [sp, #16]",
        "bl {prepare}",
        "mov x16, x0",
        "ldr x30, [sp, #16]",
        "ldp x0, x1, [sp], #32",
        "br x16",
        prepare = sym prepare,
    )
}
