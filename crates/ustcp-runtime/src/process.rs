//! The process-wide runtime, and which descriptor is which socket. (Signatures; bodies are being written.)
#![allow(clippy::todo, unused_variables, dead_code, reason = "skeleton")]

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use crate::{Errno, PollRequest, Runtime, Settings, Socket, StartError};

/// Starts the process-wide runtime; `EALREADY` when it runs. Registers the end at exit and the rules of fork.
pub fn init(settings: &Settings) -> Result<(), StartError> { todo!() }

/// The process-wide runtime, started from the environment when there is none yet. Its error line goes to standard
/// error once.
pub fn runtime() -> Result<Arc<Runtime>, Errno> { todo!() }

/// Ends it. A later [`init`] may start another.
pub fn fini() { todo!() }

/// Enters a socket under its descriptor.
pub fn register(socket: Socket) -> RawFd { todo!() }

/// The socket behind a descriptor; `EBADF` for any other.
pub fn socket(fd: RawFd) -> Result<Socket, Errno> { todo!() }

/// Takes the socket out of the table and closes it.
pub fn close(fd: RawFd) -> Result<(), Errno> { todo!() }

/// poll(2) over ustcp and foreign descriptors together: the caller drives the stack while it waits. Returns how many
/// entries have events. `None`: forever. `EINTR` as poll(2).
pub fn poll(requests: &mut [PollRequest], timeout: Option<Duration>) -> Result<usize, Errno> { todo!() }
