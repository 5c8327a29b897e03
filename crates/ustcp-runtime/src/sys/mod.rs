//! Every system call that needs `unsafe`, as safe functions. Nothing else in this crate is unsafe.
#![allow(unsafe_code, reason = "the syscall files: each block says why it is sound")]

pub(crate) mod credentials;
pub mod namespace;
pub(crate) mod tun;
