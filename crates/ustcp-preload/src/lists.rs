//! Hooks of execl(3), execle(3) and execlp(3), whose arguments are a list, which Rust does not know.
//!
//! A list is an array but for its first words, which are in registers: those are put before the others, which are on the
//! stack, and that is the array that execv(3) takes. Behind its null pointer is what comes after the list.

use libc::{c_char, c_int};

use crate::environment::Words;
use crate::programs::{execv, execve, execvp};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("how a list of arguments is passed is written down for x86_64 and aarch64 only");

/// `$name` hands its first argument and the array on to `$by`.
macro_rules! list {
    ($(#[$comment:meta])* $name:ident by $by:path) => {
        $(#[$comment])*
        #[cfg(target_arch = "x86_64")]
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name(path: *const c_char) -> c_int {
            core::arch::naked_asm!(
                "pop rax", // where it returns to
                "push r9",
                "push r8",
                "push rcx",
                "push rdx",
                "push rsi",
                "mov rsi, rsp",
                "push rax",
                "call {by}",
                "pop rcx",
                "add rsp, 40",
                "push rcx",
                "ret",
                by = sym $by,
            )
        }

        $(#[$comment])*
        #[cfg(target_arch = "aarch64")]
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name(path: *const c_char) -> c_int {
            core::arch::naked_asm!(
                "stp x29, x30, [sp, #-80]!",
                "mov x29, sp",
                "stp x1, x2, [sp, #24]",
                "stp x3, x4, [sp, #40]",
                "stp x5, x6, [sp, #56]",
                "str x7, [sp, #72]",
                "add x1, sp, #24",
                "bl {by}",
                "ldp x29, x30, [sp], #80",
                "ret",
                by = sym $by,
            )
        }
    };
}

list! {
    /// execl(3).
    ///
    /// # Safety
    /// As of execl(3).
    execl by execv
}

list! {
    /// execlp(3).
    ///
    /// # Safety
    /// As of execlp(3).
    execlp by execvp
}

list! {
    /// execle(3).
    ///
    /// # Safety
    /// As of execle(3).
    execle by with_environment
}

/// The environment comes after the list.
unsafe extern "C" fn with_environment(path: *const c_char, words: Words) -> c_int {
    let mut end = words;
    // SAFETY: the caller's promise: a null pointer ends the list, and one more pointer follows.
    unsafe {
        while !(*end).is_null() {
            end = end.add(1);
        }
        execve(path, words, (*end.add(1)).cast())
    }
}
