//! libustcp: the C face of the stack.
//!
//! Each function is its namesake of the system with `ustcp_` before the name: the same types, constants and
//! semantics, -1 and `errno`. This crate checks and copies arguments and calls `ustcp-runtime`; it knows no protocol.
//! `include/ustcp.h` is generated from it, comments and all, so the comments are written for C programmers.
#![allow(
    unsafe_code,
    reason = "the C face: exported names and the caller's pointers; memory.rs says why it is sound"
)]

mod address;
mod boundary;
mod memory;

// The header has their functions in this order.
mod config;

mod socket;

mod transfer;

mod message;

mod poll;

mod options;

mod control;

pub use config::{USTCP_EXIT_WAIT_CLOSED, USTCP_EXIT_WAIT_NONE, ustcp_config, ustcp_fini, ustcp_init, ustcp_version};
pub use control::{ustcp_fcntl, ustcp_ioctl};
pub use message::{ustcp_readv, ustcp_recvmsg, ustcp_sendmsg, ustcp_writev};
pub use options::{ustcp_getsockopt, ustcp_setsockopt};
pub use poll::ustcp_poll;
pub use socket::{
    ustcp_accept, ustcp_accept4, ustcp_bind, ustcp_close, ustcp_connect, ustcp_getpeername, ustcp_getsockname,
    ustcp_listen, ustcp_shutdown, ustcp_socket,
};
pub use transfer::{ustcp_read, ustcp_recv, ustcp_recvfrom, ustcp_send, ustcp_sendto, ustcp_write};
