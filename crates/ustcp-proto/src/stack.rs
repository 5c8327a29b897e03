//! The stack: packets in, packets out, sockets between. (Signatures; bodies are being written.)
#![allow(clippy::todo, unused_variables, reason = "skeleton")]

use core::net::SocketAddr;

use ustcp_wire::{Checksum, Headers};

use crate::{Census, Config, Counters, Error, Event, Family, Info, Instant, Options, Readiness, Shutdown, SocketId, State, Timer};

/// One packet to be sent: headers and text where they lie.
pub struct Transmit<'a> {
    /// IP and TCP (or ICMP) headers.
    pub headers: Headers,
    /// The text, in two parts.
    pub text: [&'a [u8]; 2],
    /// The device must split the text into pieces of so many bytes (`gso_size`); `None`: one packet.
    pub segment_size: Option<u16>,
    /// Whether the device must complete the TCP checksum.
    pub checksum: Checksum,
}

impl Transmit<'_> {
    /// The whole packet in one piece. With [`Checksum::Offloaded`] the TCP checksum is still to be completed.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let [first, second] = self.text;
        [self.headers.bytes(), first, second].concat()
    }
}

/// A TCP/IP stack.
pub struct Stack {}

impl Stack {
    /// A stack without sockets.
    #[must_use]
    pub fn new(config: Config) -> Stack { todo!() }

    // Inputs.
    /// An IP packet arrived.
    pub fn on_packet(&mut self, now: Instant, packet: &[u8], checksum: Checksum) { todo!() }
    /// Time has come to `now`. Harmless when early.
    pub fn on_timeout(&mut self, now: Instant) { todo!() }
    /// The device is gone for good: every connection ends, every call says [`Error::NetworkDown`].
    pub fn on_network_down(&mut self, now: Instant) { todo!() }

    // Outputs.
    /// The next packet to send; call until `None`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit<'_>> { todo!() }
    /// When [`on_timeout`](Stack::on_timeout) is due, and why.
    pub fn poll_timeout(&mut self) -> Option<(Instant, Timer)> { todo!() }
    /// A socket whose readiness may have changed since it was last returned here.
    pub fn poll_ready(&mut self) -> Option<SocketId> { todo!() }
    /// The next event, when the config asks for a trace.
    pub fn poll_event(&mut self) -> Option<Event> { todo!() }

    // Calls.
    /// A new socket.
    pub fn socket(&mut self, family: Family) -> Result<SocketId, Error> { todo!() }
    /// Gives a socket its local address; port 0 picks one.
    pub fn bind(&mut self, id: SocketId, address: SocketAddr) -> Result<(), Error> { todo!() }
    /// Makes it a listener, or changes a listener's backlog.
    pub fn listen(&mut self, now: Instant, id: SocketId, backlog: usize) -> Result<(), Error> { todo!() }
    /// Takes the oldest completed connection.
    pub fn accept(&mut self, id: SocketId) -> Result<(SocketId, SocketAddr), Error> { todo!() }
    /// Starts a connection: `Err(InProgress)` when begun, `Err(AlreadyInProgress)` while under way, `Ok` the first time
    /// it is called after success, then `AlreadyConnected`; the error of a failed attempt once.
    pub fn connect(&mut self, now: Instant, id: SocketId, address: SocketAddr) -> Result<(), Error> { todo!() }
    /// Takes as much of `data` as the send buffer holds; `WouldBlock` when none.
    pub fn send(&mut self, now: Instant, id: SocketId, data: &[u8]) -> Result<usize, Error> { todo!() }
    /// Moves received bytes into `into`: `Ok(0)` is the end of the stream, `WouldBlock` is nothing yet.
    pub fn recv(&mut self, now: Instant, id: SocketId, into: &mut [u8]) -> Result<usize, Error> { todo!() }
    /// Copies received bytes, skipping the first `offset`, and leaves them in place.
    pub fn peek(&self, id: SocketId, offset: usize, into: &mut [u8]) -> Result<usize, Error> { todo!() }
    /// Drops up to `len` received bytes unseen (`MSG_TRUNC`).
    pub fn discard(&mut self, now: Instant, id: SocketId, len: usize) -> Result<usize, Error> { todo!() }
    /// Closes one or both halves.
    pub fn shutdown(&mut self, now: Instant, id: SocketId, how: Shutdown) -> Result<(), Error> { todo!() }
    /// Gives the socket up. The connection goes on without a user until its close is done; unread data or
    /// `linger == Some(0)` sends RST instead.
    pub fn close(&mut self, now: Instant, id: SocketId) -> Result<(), Error> { todo!() }
    /// ABORT: RST to the peer, and the socket's user gets `ConnectionAborted`.
    pub fn abort(&mut self, now: Instant, id: SocketId) -> Result<(), Error> { todo!() }
    /// Changes options.
    pub fn set_options(&mut self, now: Instant, id: SocketId, options: Options) -> Result<(), Error> { todo!() }
    /// Fetches and clears the pending error (`SO_ERROR`).
    pub fn take_error(&mut self, id: SocketId) -> Result<Option<Error>, Error> { todo!() }

    // Getters.
    /// Options.
    pub fn options(&self, id: SocketId) -> Result<Options, Error> { todo!() }
    /// What poll would say.
    pub fn readiness(&self, id: SocketId) -> Result<Readiness, Error> { todo!() }
    /// The connection's state; LISTEN for a listener, CLOSED before and after.
    pub fn state(&self, id: SocketId) -> Result<State, Error> { todo!() }
    /// Local address; unspecified and port 0 before bind.
    pub fn local_address(&self, id: SocketId) -> Result<SocketAddr, Error> { todo!() }
    /// The peer's address; `NotConnected` without one.
    pub fn peer_address(&self, id: SocketId) -> Result<SocketAddr, Error> { todo!() }
    /// Bytes that can be read now (`FIONREAD`).
    pub fn queued_in(&self, id: SocketId) -> Result<usize, Error> { todo!() }
    /// Bytes written and not yet acknowledged, a FIN counted as one (`SIOCOUTQ`).
    pub fn queued_out(&self, id: SocketId) -> Result<usize, Error> { todo!() }
    /// Figures of the connection.
    pub fn info(&self, now: Instant, id: SocketId) -> Result<Info, Error> { todo!() }
    /// Whether some connection still has data or a FIN to be acknowledged, user or none: what exit waits for.
    pub fn has_unacknowledged(&self) -> bool { todo!() }
    /// Counts.
    pub fn counters(&self) -> &Counters { todo!() }
    /// What is held now.
    pub fn census(&self) -> Census { todo!() }
    /// What it was made with.
    pub fn config(&self) -> &Config { todo!() }
}
