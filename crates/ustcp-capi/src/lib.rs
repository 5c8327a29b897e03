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
mod ancillary;
mod boundary;
mod engine;
mod memory;

// The header has their functions in this order.
mod config;

mod socket;

mod transfer;

mod message;

mod poll;

mod options;

mod control;

mod stack_table;

mod stack;

mod stack_event;

mod stack_socket;

pub use config::{USTCP_EXIT_WAIT_CLOSED, USTCP_EXIT_WAIT_NONE, ustcp_config, ustcp_fini, ustcp_init, ustcp_version};
pub use control::{ustcp_fcntl, ustcp_ioctl};
pub use message::{ustcp_readv, ustcp_recvmsg, ustcp_sendmsg, ustcp_writev};
pub use options::{ustcp_getsockopt, ustcp_setsockopt};
pub use poll::ustcp_poll;
pub use socket::{
    ustcp_accept, ustcp_accept4, ustcp_bind, ustcp_close, ustcp_connect, ustcp_getpeername, ustcp_getsockname,
    ustcp_listen, ustcp_shutdown, ustcp_socket,
};
pub use stack::{
    USTCP_INPUT_CHECKSUM_GOOD, ustcp_packet, ustcp_stack_advance, ustcp_stack_deadline, ustcp_stack_free,
    ustcp_stack_get, ustcp_stack_input, ustcp_stack_new, ustcp_stack_output, ustcp_stack_set,
};
pub use stack_event::{
    USTCP_EVENT_DROPPED, USTCP_EVENT_EXPIRED, USTCP_EVENT_RECEIVED, USTCP_EVENT_SENT, USTCP_EVENT_TRANSITION,
    ustcp_event, ustcp_stack_event, ustcp_state_name,
};
pub use stack_socket::{
    ustcp_stack_accept, ustcp_stack_bind, ustcp_stack_close, ustcp_stack_connect, ustcp_stack_getpeername,
    ustcp_stack_getsockname, ustcp_stack_getsockopt, ustcp_stack_ioctl, ustcp_stack_listen, ustcp_stack_poll,
    ustcp_stack_ready, ustcp_stack_recvfrom, ustcp_stack_recvmsg, ustcp_stack_sendmsg, ustcp_stack_sendto,
    ustcp_stack_setsockopt, ustcp_stack_shutdown, ustcp_stack_socket,
};
pub use stack_table::ustcp_stack;
pub use transfer::{ustcp_read, ustcp_recv, ustcp_recvfrom, ustcp_send, ustcp_sendto, ustcp_write};
