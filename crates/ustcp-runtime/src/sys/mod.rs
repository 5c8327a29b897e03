//! Every system call that needs `unsafe`, as safe functions. Nothing else in this crate is unsafe.
#![allow(unsafe_code, reason = "the syscall files: each block says why it is sound")]

pub mod namespace;
