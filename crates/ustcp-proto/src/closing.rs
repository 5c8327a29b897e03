//! How a user ends it: half by half, all at once, or with RST.

use core::net::SocketAddr;

use crate::stack::Control;
use crate::table::Kind;
use crate::{Cause, Error, EventKind, Family, Flow, Instant, Shutdown, SocketId, Stack, State};

impl Stack {
    /// Closes one or both halves. `NotConnected` without a connection; a listener stops listening.
    pub fn shutdown(&mut self, now: Instant, id: SocketId, how: Shutdown) -> Result<(), Error> {
        self.cx.now = now;
        match &mut self.sockets.held_mut(id)?.kind {
            Kind::Fresh => Err(Error::NotConnected),
            Kind::Listener(_) if how == Shutdown::Write => Ok(()),
            Kind::Listener(_) => {
                self.stop_listening(id);
                Ok(())
            }
            Kind::Connection(connection) => match connection.state {
                // As Linux, where a socket has nothing to do with the 2 MSL of its ports.
                State::Closed | State::TimeWait => Err(Error::NotConnected),
                State::SynSent => self.disconnect(now, id), // as Linux, whichever half it is about
                _ => {
                    connection.shutdown(&mut self.cx, how);
                    self.settle(id);
                    Ok(())
                }
            },
        }
    }

    /// A listener is no connection, but Figure 5 has arrows for it. Its peer is nobody.
    pub(crate) fn record_listener(&mut self, local: SocketAddr, from: State, cause: Cause) {
        let remote = SocketAddr::new(Family::of(local.ip()).unspecified(), 0);
        if let Some(to) = from.on(cause) {
            let flow = Some(Flow { local, remote });
            self.cx.record(flow, EventKind::Transition { from, to, cause });
        }
    }

    /// LISTEN ends: half-open connections are forgotten, completed ones reset. The address stays bound.
    pub(crate) fn stop_listening(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let Kind::Listener(listener) = core::mem::replace(&mut socket.kind, Kind::Fresh) else {
            return;
        };
        if let Some(local) = socket.local {
            self.leave_listeners(local, id);
            self.record_listener(local, State::Listen, Cause::UserClosed);
        }
        self.note_transparency(id);
        let mine = self
            .half_open
            .iter()
            .filter(|(_, half)| half.listener == id)
            .map(|(key, _)| key);
        for key in mine.collect::<Vec<_>>() {
            self.forget_half_open(key, Cause::Aborted);
        }
        for waiting in listener.completed {
            self.reset(waiting);
            self.give_up(waiting);
        }
        self.notify(id);
    }

    /// Gives the socket up. The connection goes on without a user until its close is done; unread data or
    /// `linger == Some(0)` sends RST instead (RFC 9293 §3.10.4, RFC 2525 §2.17).
    pub fn close(&mut self, now: Instant, id: SocketId) -> Result<(), Error> {
        self.cx.now = now;
        match &mut self.sockets.held_mut(id)?.kind {
            Kind::Fresh => self.remove(id),
            Kind::Listener(_) => {
                self.stop_listening(id);
                self.remove(id);
            }
            Kind::Connection(_) => self.give_up(id),
        }
        Ok(())
    }

    /// The connection loses its user.
    fn give_up(&mut self, id: SocketId) {
        let now = self.cx.now;
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.held = false;
        let Kind::Connection(connection) = &mut socket.kind else {
            return;
        };
        let reset = Control::of(connection, connection.reset(now));
        let over = matches!(connection.state, State::Closed | State::TimeWait);
        if connection.close(&mut self.cx) {
            self.answer(reset);
        }
        if over { self.remove(id) } else { self.settle(id) }
    }

    /// The user has gone and what it left is still handed in; then comes `close`. The peer has no more time for that than it
    /// has with a connection that is closed.
    pub fn abandon(&mut self, id: SocketId) -> Result<(), Error> {
        if let Kind::Connection(connection) = &mut self.sockets.held_mut(id)?.kind {
            connection.orphan = true;
        }
        Ok(())
    }

    /// ABORT, RFC 9293 §3.10.5: RST to the peer; whoever waits on the socket gets `ConnectionAborted`.
    pub fn abort(&mut self, now: Instant, id: SocketId) -> Result<(), Error> {
        self.cx.now = now;
        self.sockets.held(id)?;
        self.reset(id);
        Ok(())
    }

    /// RST to every peer that has not acknowledged everything, before the stack ends: it would wait for the rest.
    pub fn abort_unacknowledged(&mut self, now: Instant) {
        self.cx.now = now;
        for id in self.sockets.ids() {
            let connection = self.sockets.connection(id);
            if connection.is_some_and(|connection| connection.has_unacknowledged()) {
                self.reset(id);
            }
        }
    }

    pub(crate) fn reset(&mut self, id: SocketId) {
        let now = self.cx.now;
        let Some(connection) = self.sockets.connection_mut(id) else {
            return;
        };
        if connection.state == State::TimeWait {
            return; // as Linux: nothing is left to break off, and the 2 MSL protect whoever uses the ports next
        }
        let reset = Control::of(connection, connection.reset(now));
        let resets = connection.may_reset();
        connection.fail(&mut self.cx, Cause::Aborted, Error::ConnectionAborted);
        if resets {
            self.answer(reset);
        }
        self.settle(id);
    }
}
