//! libustcp_preload.so: what LD_PRELOAD puts before the C library, so that an unchanged program's TCP is ustcp's.
//!
//! It keeps no state but who the engine is, and whether the program is in a sandbox. A socket of ours is a tagged
//! descriptor, which every hook recognises by itself; on any other descriptor a hook is the system call and nothing more. No
//! hook allocates or locks: they run in children of vfork, in signal handlers and between threads. What each call becomes is
//! `ustcp-client`'s to know; what is not hooked (close, dup, poll, epoll, fork, sendfile, ...) is right as it is, because the
//! descriptor is a stream of the kernel's. docs/preload.md is for its users.
#![allow(
    unsafe_code,
    reason = "hooks: exported names of the C library's, and the program's pointers, which only the kernel looks at"
)]

pub mod control;
pub mod data;
mod environment;
mod hook;
pub mod libraries;
pub mod lists;
pub mod messages;
mod next;
pub mod programs;
pub mod sandbox;
mod start;
