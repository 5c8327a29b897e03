//! The hooks of dlopen(3) and dlmopen(3): with `RTLD_DEEPBIND` a library finds the C library before this one, and its sockets are the
//! kernel's; so are those of one in another namespace. It is told of for `ustcp run --explain`, and opened as ever.
//!
//! Where dlopen looks for a library depends on who calls it, by the address that it returns to. So the hook leaves that
//! where it is, and jumps.

use libc::{c_char, c_int, c_long, c_void};

use ustcp_client::protocol::PassedBy;

use crate::next::Next;
use crate::programs::tell_of_library;

static DLOPEN: Next = Next::new(c"dlopen");
static DLMOPEN: Next = Next::new(c"dlmopen");

/// Tells of such a library; the C library's own dlopen.
extern "C" fn prepare(path: *const c_char, flags: c_int) -> *mut c_void {
    if flags & libc::RTLD_DEEPBIND != 0 && !path.is_null() {
        tell_of_library(PassedBy::DeepBind, path);
    }
    DLOPEN.get()
}

/// The same of dlmopen: any other namespace than the first has its own C library, and not this one.
extern "C" fn prepare_in_namespace(namespace: c_long, path: *const c_char, flags: c_int) -> *mut c_void {
    let why = match namespace {
        libc::LM_ID_BASE => (flags & libc::RTLD_DEEPBIND != 0).then_some(PassedBy::DeepBind),
        _ => Some(PassedBy::Namespace),
    };
    if let Some(why) = why.filter(|_| !path.is_null()) {
        tell_of_library(why, path);
    }
    DLMOPEN.get()
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

/// dlmopen(3).
///
/// # Safety
/// As of dlmopen(3).
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlmopen(namespace: c_long, path: *const c_char, flags: c_int) -> *mut c_void {
    core::arch::naked_asm!(
        "push rdi",
        "push rsi",
        "push rdx",
        "call {prepare}",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        prepare = sym prepare_in_namespace,
    )
}

/// dlmopen(3).
///
/// # Safety
/// As of dlmopen(3).
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlmopen(namespace: c_long, path: *const c_char, flags: c_int) -> *mut c_void {
    core::arch::naked_asm!(
        "stp x0, x1, [sp, #-32]!",
        "stp x2, x30, [sp, #16]",
        "bl {prepare}",
        "mov x16, x0",
        "ldp x2, x30, [sp, #16]",
        "ldp x0, x1, [sp], #32",
        "br x16",
        prepare = sym prepare_in_namespace,
    )
}
