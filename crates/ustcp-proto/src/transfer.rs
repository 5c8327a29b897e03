//! What a user sends and receives.

use crate::table::Kind;
use crate::{Error, Framing, Instant, SocketId, Stack};

impl Stack {
    /// Takes as much of `data` as the send buffer holds; `WouldBlock` when none. `BrokenPipe` without a connection, as
    /// Linux.
    pub fn send(&mut self, now: Instant, id: SocketId, data: &[u8]) -> Result<usize, Error> {
        self.send_framed(now, id, data, Framing::default())
    }

    /// As [`send`](Stack::send), with what the user says of the bytes.
    pub fn send_framed(&mut self, now: Instant, id: SocketId, data: &[u8], framing: Framing) -> Result<usize, Error> {
        self.cx.now = now;
        let socket = self.sockets.held_mut(id)?;
        let result = match &mut socket.kind {
            Kind::Connection(connection) => connection.send(&self.cx, data, framing),
            Kind::Fresh | Kind::Listener(_) => Err(socket.error.take().unwrap_or(Error::BrokenPipe)),
        };
        self.settle(id);
        if result == Err(Error::BrokenPipe) {
            self.check_up()?; // the better reason, told every time
        }
        result
    }

    /// How many bytes [`send`](Stack::send) would take now; 0 where it would fail.
    pub fn room(&self, id: SocketId) -> Result<usize, Error> {
        Ok(match &self.sockets.held(id)?.kind {
            Kind::Connection(connection) => connection.room(&self.cx),
            Kind::Fresh | Kind::Listener(_) => 0,
        })
    }

    /// Takes the urgent byte, or only looks at it (`MSG_OOB`); `None` at the end of the stream. `InvalidArgument` when
    /// there is none, or it is in the stream; `WouldBlock` while it is announced and has not come.
    pub fn recv_urgent(&mut self, now: Instant, id: SocketId, peek: bool) -> Result<Option<u8>, Error> {
        self.cx.now = now;
        let result = match &mut self.sockets.held_mut(id)?.kind {
            Kind::Connection(connection) => connection.recv_urgent(peek),
            Kind::Fresh => Err(Error::InvalidArgument),
            Kind::Listener(_) => Err(Error::NotConnected),
        };
        self.settle(id);
        result
    }

    /// Whether the next byte to read is the urgent one (`SIOCATMARK`); without a connection it is not.
    pub fn at_mark(&self, id: SocketId) -> Result<bool, Error> {
        match &self.sockets.held(id)?.kind {
            Kind::Fresh | Kind::Listener(_) => Ok(false),
            Kind::Connection(connection) => Ok(connection.at_mark()),
        }
    }

    /// Moves received bytes into `into`: `Ok(0)` is the end of the stream, `WouldBlock` is nothing yet. `NotConnected`
    /// without a connection.
    pub fn recv(&mut self, now: Instant, id: SocketId, into: &mut [u8]) -> Result<usize, Error> {
        self.cx.now = now;
        let socket = self.sockets.held_mut(id)?;
        let result = match &mut socket.kind {
            Kind::Connection(connection) => connection.recv(&self.cx, into),
            Kind::Fresh | Kind::Listener(_) => Err(socket.error.take().unwrap_or(Error::NotConnected)),
        };
        self.settle_reader(id);
        if result == Ok(0) {
            self.check_up()?; // no end of the stream: what is missing was never heard
        }
        result
    }

    /// Copies received bytes, skipping the first `offset`, and leaves them in place. An error is told once, as by
    /// [`recv`](Stack::recv).
    pub fn peek(&mut self, id: SocketId, offset: usize, into: &mut [u8]) -> Result<usize, Error> {
        let result = match &mut self.sockets.held_mut(id)?.kind {
            Kind::Connection(connection) => connection.peek(offset, into),
            Kind::Fresh | Kind::Listener(_) => Err(Error::NotConnected),
        };
        self.settle(id);
        result
    }

    /// As [`recv`](Stack::recv), but `take` is shown the bytes where they are, in pieces, and says how many it has taken.
    /// At the end of the stream it is not called.
    pub fn recv_in_place(
        &mut self,
        now: Instant,
        id: SocketId,
        take: impl FnOnce(&mut dyn Iterator<Item = &[u8]>) -> usize,
    ) -> Result<usize, Error> {
        self.cx.now = now;
        let result = match &mut self.sockets.held_mut(id)?.kind {
            Kind::Connection(connection) => connection.recv_in_place(&self.cx, take),
            Kind::Fresh | Kind::Listener(_) => Err(Error::NotConnected),
        };
        match result {
            Ok(1..) => self.settle_reader(id),
            _ => self.settle(id), // who took nothing knows what is to be known, and need not be called again
        }
        result
    }

    /// Drops up to `len` received bytes unseen (`MSG_TRUNC`); otherwise as [`recv`](Stack::recv).
    pub fn discard(&mut self, now: Instant, id: SocketId, len: usize) -> Result<usize, Error> {
        self.cx.now = now;
        let Kind::Connection(connection) = &mut self.sockets.held_mut(id)?.kind else {
            return Err(Error::NotConnected);
        };
        let count = connection.readable().min(len);
        if count == 0 {
            // Nothing to drop: the end, an error or "not yet" are told as to any reader.
            return if len == 0 {
                Ok(0)
            } else {
                connection.recv(&self.cx, &mut [0])
            };
        }
        connection.consume(&self.cx, count);
        self.settle_reader(id);
        Ok(count)
    }

    /// After a read: what is shown may have changed, and a window update may be due.
    fn settle_reader(&mut self, id: SocketId) {
        if let Some(connection) = self.sockets.connection_mut(id) {
            connection.notify |= connection.rcv.ring.is_empty();
        }
        self.settle(id);
    }
}
