//! Every system call that needs `unsafe`, as safe functions. Nothing else in this crate is unsafe.
#![allow(unsafe_code, reason = "the syscall files: each block says why it is sound")]

pub(crate) mod cancel;
pub(crate) mod credentials;
pub(crate) mod fd;
pub(crate) mod fork;
pub mod namespace;
pub(crate) mod netlink;
pub mod option;
pub(crate) mod signal;
pub(crate) mod time;
pub(crate) mod tun;
pub(crate) mod wait;

fn check(result: libc::c_int) -> std::io::Result<libc::c_int> {
    if result < 0 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
