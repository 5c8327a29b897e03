//! A socket: calls that block, time out and set errno as the system's do. (Signatures; bodies are being written.)
#![allow(clippy::todo, unused_variables, dead_code, reason = "skeleton")]

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ustcp_proto::{Family, Info, Options, Readiness, Shutdown};

use crate::{Errno, Runtime};

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: `EAGAIN`.
    Never,
    /// Until then: `EAGAIN` after.
    Until(Instant),
    /// As long as it takes.
    Forever,
}

/// Flags of `send`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendFlags {
    /// `MSG_NOSIGNAL`: no SIGPIPE with `EPIPE`.
    pub no_signal: bool,
}

/// Flags of `recv`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecvFlags {
    /// `MSG_PEEK`.
    pub peek: bool,
    /// `MSG_WAITALL`.
    pub wait_all: bool,
    /// `MSG_TRUNC`: drop the bytes instead of copying them.
    pub truncate: bool,
}

/// One entry of a poll over ustcp and foreign descriptors.
pub struct PollRequest {
    /// Any descriptor; negative: ignored.
    pub fd: RawFd,
    /// `POLLIN` and so on.
    pub events: i16,
    /// What came.
    pub revents: i16,
}

/// A socket of a [`Runtime`]. Cloning makes another handle on the same socket; every method may be called from any
/// thread at any time.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

struct Inner {}

impl Socket {
    /// The file descriptor: good for poll, select, epoll and fstat; for nothing else.
    pub fn fd(&self) -> RawFd { todo!() }
    /// The runtime it belongs to.
    pub fn runtime(&self) -> &Arc<Runtime> { todo!() }
    /// Address family it was made with.
    pub fn family(&self) -> Family { todo!() }
    /// `O_NONBLOCK` as last set.
    pub fn nonblocking(&self) -> bool { todo!() }
    /// Sets `O_NONBLOCK`.
    pub fn set_nonblocking(&self, on: bool) { todo!() }
    /// `SO_RCVTIMEO`; `None`: forever.
    pub fn receive_timeout(&self) -> Option<Duration> { todo!() }
    /// Sets `SO_RCVTIMEO`.
    pub fn set_receive_timeout(&self, timeout: Option<Duration>) { todo!() }
    /// `SO_SNDTIMEO`.
    pub fn send_timeout(&self) -> Option<Duration> { todo!() }
    /// Sets `SO_SNDTIMEO`.
    pub fn set_send_timeout(&self, timeout: Option<Duration>) { todo!() }
    /// How long a reading call (recv, accept) waits by `O_NONBLOCK` and `SO_RCVTIMEO`.
    pub fn receive_wait(&self) -> Wait { todo!() }
    /// How long a writing call (send, connect) waits by `O_NONBLOCK` and `SO_SNDTIMEO`.
    pub fn send_wait(&self) -> Wait { todo!() }

    /// bind(2).
    pub fn bind(&self, address: SocketAddr) -> Result<(), Errno> { todo!() }
    /// listen(2); negative backlogs count as the largest, as in Linux.
    pub fn listen(&self, backlog: i32) -> Result<(), Errno> { todo!() }
    /// accept(2).
    pub fn accept(&self, wait: Wait) -> Result<(Socket, SocketAddr), Errno> { todo!() }
    /// connect(2). `EINPROGRESS` when `wait` ends first.
    pub fn connect(&self, address: SocketAddr, wait: Wait) -> Result<(), Errno> { todo!() }
    /// send(2) and writev(2): blocks until all of it is taken, as Linux does; a partial count when interrupted or timed out
    /// after some. Raises SIGPIPE with `EPIPE` unless told not to.
    pub fn send(&self, data: &[IoSlice<'_>], flags: SendFlags, wait: Wait) -> Result<usize, Errno> { todo!() }
    /// recv(2) and readv(2).
    pub fn recv(&self, into: &mut [IoSliceMut<'_>], flags: RecvFlags, wait: Wait) -> Result<usize, Errno> { todo!() }
    /// shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Errno> { todo!() }
    /// close(2): the descriptor is closed at once, waiting calls end with `EBADF`, the connection finishes by itself.
    /// Waits as `SO_LINGER` says.
    pub fn close(&self) -> Result<(), Errno> { todo!() }
    /// getsockname(2).
    pub fn local_address(&self) -> Result<SocketAddr, Errno> { todo!() }
    /// getpeername(2).
    pub fn peer_address(&self) -> Result<SocketAddr, Errno> { todo!() }
    /// The stack's options of this socket.
    pub fn options(&self) -> Result<Options, Errno> { todo!() }
    /// Reads, changes and writes the options under one lock.
    pub fn change_options(&self, change: impl FnOnce(&mut Options)) -> Result<(), Errno> { todo!() }
    /// `SO_ERROR`: the pending error's errno, cleared by this; 0 when none.
    pub fn take_error(&self) -> Result<i32, Errno> { todo!() }
    /// `TCP_INFO`.
    pub fn info(&self) -> Result<Info, Errno> { todo!() }
    /// What poll would say.
    pub fn readiness(&self) -> Result<Readiness, Errno> { todo!() }
    /// `FIONREAD`.
    pub fn queued_in(&self) -> Result<usize, Errno> { todo!() }
    /// `SIOCOUTQ`.
    pub fn queued_out(&self) -> Result<usize, Errno> { todo!() }
}
