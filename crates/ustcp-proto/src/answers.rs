//! What a user may know and set of a socket: options, errors, readiness, addresses, what waits.

use core::net::SocketAddr;

use crate::table::Kind;
use crate::{Error, ErrorReport, Info, Instant, Options, Readiness, SocketId, Stack, State, address};

impl Stack {
    /// Changes options. `InvalidArgument` for a change of `v6_only` once there is a local address. Buffers count from now on; the window's scale stays as the SYN had it.
    pub fn set_options(&mut self, now: Instant, id: SocketId, options: Options) -> Result<(), Error> {
        self.cx.now = now;
        let socket = self.sockets.held_mut(id)?;
        if options.v6_only != socket.options.v6_only && socket.local.is_some() {
            return Err(Error::InvalidArgument);
        }
        socket.options = options;
        if let Kind::Connection(connection) = &mut socket.kind {
            connection.set_options(now, options);
        }
        self.note_transparency(id);
        self.settle(id);
        Ok(())
    }

    /// Fetches and clears the pending error (`SO_ERROR`); without one, what ICMP last said of a connection that goes on, as
    /// Linux (RFC 9293 SHLD-25).
    pub fn take_error(&mut self, id: SocketId) -> Result<Option<Error>, Error> {
        let socket = self.sockets.held_mut(id)?;
        let error = match &mut socket.kind {
            Kind::Connection(connection) => connection.error.take().or_else(|| connection.soft_error.take()),
            Kind::Fresh | Kind::Listener(_) => socket.error.take(),
        };
        if error.is_some() {
            self.notify(id);
        }
        Ok(error)
    }

    /// Fetches the oldest ICMP error that is kept for the user (`MSG_ERRQUEUE`); `WouldBlock` when there is none. As in
    /// Linux the pending error goes with it.
    pub fn take_report(&mut self, id: SocketId) -> Result<ErrorReport, Error> {
        let Kind::Connection(connection) = &mut self.sockets.held_mut(id)?.kind else {
            return Err(Error::WouldBlock);
        };
        let mut report = connection.reports.pop().ok_or(Error::WouldBlock)?;
        connection.error = connection.reports.next_error();
        let family = self.sockets.held(id)?.family;
        report.destination = address::outward(family, report.destination);
        report.offender = address::outward(family, SocketAddr::new(report.offender, 0)).ip();
        self.notify(id);
        Ok(report)
    }

    /// `TCP_QUICKACK`: 0 lets acknowledgements wait for answers; an odd number pays what is owed and ends that, an even
    /// one only pays. A connection falls back to its own rhythm; without one it is how one begins.
    pub fn set_quick_ack(&mut self, now: Instant, id: SocketId, value: i32) -> Result<(), Error> {
        self.cx.now = now;
        let socket = self.sockets.held_mut(id)?;
        match &mut socket.kind {
            Kind::Connection(connection) => connection.set_quick_ack(value),
            Kind::Fresh | Kind::Listener(_) => socket.options.quick_ack = value != 0,
        }
        self.settle(id);
        Ok(())
    }

    /// Whether acknowledgements do not wait for answers (`TCP_QUICKACK`).
    pub fn quick_ack(&self, id: SocketId) -> Result<bool, Error> {
        let socket = self.sockets.held(id)?;
        Ok(match &socket.kind {
            Kind::Connection(connection) => connection.quick_ack(),
            Kind::Fresh | Kind::Listener(_) => socket.options.quick_ack,
        })
    }

    /// Options.
    pub fn options(&self, id: SocketId) -> Result<Options, Error> {
        Ok(self.sockets.held(id)?.options)
    }

    /// What poll would say.
    pub fn readiness(&self, id: SocketId) -> Result<Readiness, Error> {
        let socket = self.sockets.held(id)?;
        Ok(match &socket.kind {
            // As Linux: an unconnected socket can be written to (and fails) and has hung up.
            Kind::Fresh => Readiness {
                writable: true,
                hang_up: true,
                error: socket.error.is_some(),
                ..Readiness::default()
            },
            Kind::Listener(listener) => Readiness {
                readable: !listener.completed.is_empty(),
                arrivals: listener.arrivals,
                ..Readiness::default()
            },
            Kind::Connection(connection) => connection.readiness(&self.cx),
        })
    }

    /// The connection's state; LISTEN for a listener, CLOSED before and after.
    pub fn state(&self, id: SocketId) -> Result<State, Error> {
        Ok(match &self.sockets.held(id)?.kind {
            Kind::Fresh => State::Closed,
            Kind::Listener(_) => State::Listen,
            Kind::Connection(connection) => connection.state,
        })
    }

    /// Local address; unspecified and port 0 before bind.
    pub fn local_address(&self, id: SocketId) -> Result<SocketAddr, Error> {
        let socket = self.sockets.held(id)?;
        let local = socket.local.unwrap_or(SocketAddr::new(socket.family.unspecified(), 0));
        Ok(address::outward(socket.family, local))
    }

    /// The peer's address; `NotConnected` without one.
    pub fn peer_address(&self, id: SocketId) -> Result<SocketAddr, Error> {
        let socket = self.sockets.held(id)?;
        match &socket.kind {
            Kind::Connection(connection)
                if (connection.was_established || connection.is_early())
                    && !matches!(connection.state, State::Closed | State::TimeWait) =>
            {
                Ok(address::outward(socket.family, connection.flow.remote))
            }
            _ => Err(Error::NotConnected),
        }
    }

    /// Bytes that can be read now (`FIONREAD`); `InvalidArgument` for a listener.
    pub fn queued_in(&self, id: SocketId) -> Result<usize, Error> {
        match &self.sockets.held(id)?.kind {
            Kind::Fresh => Ok(0),
            Kind::Listener(_) => Err(Error::InvalidArgument),
            Kind::Connection(connection) => Ok(connection.queued_in()),
        }
    }

    /// Bytes written and not yet acknowledged, a FIN counted as one (`SIOCOUTQ`); `InvalidArgument` for a listener.
    pub fn queued_out(&self, id: SocketId) -> Result<usize, Error> {
        match &self.sockets.held(id)?.kind {
            Kind::Fresh => Ok(0),
            Kind::Listener(_) => Err(Error::InvalidArgument),
            Kind::Connection(connection) => Ok(connection.queued_out()),
        }
    }

    /// Bytes written and never sent (`SIOCOUTQNSD`); `InvalidArgument` for a listener.
    pub fn not_sent(&self, id: SocketId) -> Result<usize, Error> {
        match &self.sockets.held(id)?.kind {
            Kind::Fresh => Ok(0),
            Kind::Listener(_) => Err(Error::InvalidArgument),
            Kind::Connection(connection) => Ok(connection.not_sent()),
        }
    }

    /// What `TCP_INQ` tells with what was read: the bytes that are left, and at the end of the stream 1. `None`: the option
    /// is off.
    pub fn left_to_read(&self, id: SocketId) -> Result<Option<i32>, Error> {
        let socket = self.sockets.held(id)?;
        let Kind::Connection(connection) = &socket.kind else {
            return Ok(None);
        };
        let left = match connection.rcv.ring.len() {
            0 if connection.rcv.is_finished() => 1,
            left => i32::try_from(left).unwrap_or(i32::MAX),
        };
        Ok(socket.options.tell_left.then_some(left))
    }

    /// The sizes of the receive and the send buffer, in bytes: what the connection's have grown to, or what one would
    /// begin with.
    pub fn buffers(&self, id: SocketId) -> Result<(usize, usize), Error> {
        let socket = self.sockets.held(id)?;
        let config = &self.cx.config;
        Ok(match &socket.kind {
            Kind::Connection(connection) => (connection.rcv.ring.limit(), connection.snd.ring.limit()),
            Kind::Fresh | Kind::Listener(_) => (
                socket.options.receive_buffer.unwrap_or(config.receive_buffer),
                socket.options.send_buffer.unwrap_or(config.send_buffer),
            ),
        })
    }

    /// Figures of the connection; `NotConnected` without one.
    pub fn info(&self, now: Instant, id: SocketId) -> Result<Info, Error> {
        match &self.sockets.held(id)?.kind {
            Kind::Connection(connection) => Ok(connection.info(&self.cx.config, now)),
            Kind::Fresh | Kind::Listener(_) => Err(Error::NotConnected),
        }
    }
}
