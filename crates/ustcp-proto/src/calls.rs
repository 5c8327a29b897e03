//! What a user asks of a socket. Nothing here waits: what cannot be done now is [`Error::WouldBlock`].

use core::net::{IpAddr, SocketAddr};

use crate::ports::{Claim, Reuse};
use crate::stack::Control;
use crate::table::{Kind, Listener, Socket};
use crate::tcp::{Connection, FastOpen};
use crate::{
    Cause, Error, ErrorReport, EventKind, Family, Flow, Framing, Info, Instant, Options, Readiness, Shutdown, SocketId,
    Stack, State, address, route,
};

impl Stack {
    /// A new socket. `NoBuffers` beyond the configured limit.
    pub fn socket(&mut self, family: Family) -> Result<SocketId, Error> {
        self.check_up()?;
        if self.sockets.len() >= self.cx.config.socket_limit {
            return Err(Error::NoBuffers);
        }
        let options = self.default_options();
        Ok(self.sockets.insert(Socket::new(family, options)))
    }

    fn default_options(&self) -> Options {
        Options {
            congestion: self.cx.config.congestion,
            ..Options::default()
        }
    }

    fn check_up(&self) -> Result<(), Error> {
        if self.down { Err(Error::NetworkDown) } else { Ok(()) }
    }

    /// Gives a socket its local address; port 0 picks one. `InvalidArgument` when it has one, `AddressNotAvailable` for
    /// an address that is not the stack's, `AddressInUse` by the rules of SO_REUSEADDR and SO_REUSEPORT in Linux.
    pub fn bind(&mut self, id: SocketId, address: SocketAddr) -> Result<(), Error> {
        self.check_up()?;
        let socket = self.sockets.held(id)?;
        let address = address::inward(socket, address, Error::InvalidArgument)?;
        if !socket.may_be_bound() {
            return Err(Error::InvalidArgument);
        }
        let ip = address.ip();
        let config = &self.cx.config;
        let foreign = socket.options.transparent && route::may_be_host(config, ip);
        if !ip.is_unspecified() && !route::is_local(config, ip) && !foreign {
            return Err(Error::AddressNotAvailable);
        }
        let (v6_only, reuse) = (socket.options.v6_only, Reuse::of(&socket.options));
        let port = match address.port() {
            0 => self.unused_port()?,
            port if self.conflicts((ip, v6_only), port, reuse) => return Err(Error::AddressInUse),
            port => port,
        };
        self.hold_port(id, SocketAddr::new(ip, port));
        Ok(())
    }

    fn hold_port(&mut self, id: SocketId, local: SocketAddr) {
        self.ports.hold(local.port(), id);
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.local = Some(local);
            socket.bound = Some(local);
            socket.claim = Claim::Holder;
        }
    }

    /// Linux's rules: two sockets share a port when their addresses differ, when both have SO_REUSEADDR and none of them
    /// listens, or when both have SO_REUSEPORT.
    fn conflicts(&self, place: (IpAddr, bool), port: u16, reuse: Reuse) -> bool {
        let Some(used) = self.ports.get(port) else { return false };
        used.connections_forbid(reuse, |other| address::overlap((other, false), place))
            || used
                .holders
                .iter()
                .filter_map(|holder| self.sockets.get(*holder))
                .any(|holder| {
                    let overlap = holder.place().is_some_and(|other| address::overlap(other, place));
                    let listens = matches!(holder.kind, Kind::Listener(_));
                    overlap && !reuse.allows(Reuse::of(&holder.options), listens)
                })
    }

    /// Makes it a listener, or changes a listener's backlog. An unbound socket gets a port of the stack's choice.
    pub fn listen(&mut self, now: Instant, id: SocketId, backlog: usize) -> Result<(), Error> {
        self.check_up()?;
        self.cx.now = now;
        let backlog = backlog.min(self.cx.config.accept_backlog);
        let socket = self.sockets.held_mut(id)?;
        match &mut socket.kind {
            Kind::Listener(listener) => {
                listener.backlog = backlog;
                return Ok(());
            }
            Kind::Connection(_) => return Err(Error::InvalidArgument),
            Kind::Fresh => {}
        }
        let family = socket.family;
        let local = match socket.local {
            Some(local) => local,
            None => {
                let local = SocketAddr::new(family.unspecified(), self.unused_port()?);
                self.hold_port(id, local);
                local
            }
        };
        if self.is_listened_on(id, local.port()) {
            return Err(Error::AddressInUse);
        }
        self.listeners.entry(local).or_default().push(id);
        self.record_listener(local, State::Closed, Cause::PassiveOpen);
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.kind = Kind::Listener(Listener {
                backlog,
                ..Listener::default()
            });
        }
        self.note_transparency(id);
        self.notify(id);
        Ok(())
    }

    /// Whether another socket listens where this one is about to.
    fn is_listened_on(&self, id: SocketId, port: u16) -> bool {
        let Some((socket, place)) = self.sockets.get(id).and_then(|socket| Some((socket, socket.place()?))) else {
            return false;
        };
        let reuse = Reuse::of(&socket.options);
        let others = self.ports.get(port).into_iter().flat_map(|port| &port.holders);
        others.filter_map(|holder| self.sockets.get(*holder)).any(|holder| {
            let listens = matches!(holder.kind, Kind::Listener(_));
            let overlap = holder.place().is_some_and(|other| address::overlap(other, place));
            listens && overlap && !reuse.allows(Reuse::of(&holder.options), true)
        })
    }

    /// Takes the oldest completed connection. `InvalidArgument` when it does not listen.
    pub fn accept(&mut self, id: SocketId) -> Result<(SocketId, SocketAddr), Error> {
        self.check_up()?;
        let Kind::Listener(listener) = &mut self.sockets.held_mut(id)?.kind else {
            return Err(Error::InvalidArgument);
        };
        let accepted = listener.completed.pop_front().ok_or(Error::WouldBlock)?;
        let socket = self.sockets.get_mut(accepted).ok_or(Error::ConnectionAborted)?;
        socket.held = true;
        let family = socket.family;
        let remote = self
            .sockets
            .connection(accepted)
            .ok_or(Error::ConnectionAborted)?
            .flow
            .remote;
        self.notify(id);
        self.notify(accepted);
        Ok((accepted, address::outward(family, remote)))
    }

    /// Starts a connection: `InProgress` when begun, `AlreadyInProgress` while under way, `Ok` the first time it is
    /// called after success, then `AlreadyConnected`; the error of a failed attempt once, after which the socket may try
    /// again.
    pub fn connect(&mut self, now: Instant, id: SocketId, address: SocketAddr) -> Result<(), Error> {
        let fast_open = self.deferral(id, address.ip().to_canonical());
        let begun = self.begin_connect(now, id, address, fast_open);
        match (begun, fast_open, self.sockets.connection_mut(id)) {
            (Err(Error::InProgress), FastOpen::Deferred(_), Some(connection)) => {
                connection.connect_told = true;
                Ok(())
            }
            (result, ..) => result,
        }
    }

    /// connect, of which a new connection begins as `fast_open` says.
    pub(crate) fn begin_connect(
        &mut self,
        now: Instant,
        id: SocketId,
        address: SocketAddr,
        fast_open: FastOpen,
    ) -> Result<(), Error> {
        self.check_up()?;
        self.cx.now = now;
        let socket = self.sockets.held_mut(id)?;
        let address = address::inward(socket, address, Error::NetworkUnreachable)?;
        match &mut socket.kind {
            Kind::Listener(_) => Err(Error::AlreadyConnected),
            Kind::Fresh => self.open(id, address, fast_open),
            Kind::Connection(_) => self.connected(id),
        }
    }

    /// What became of the attempt that [`connect`](Stack::connect) began, told as connect tells it when called again, but
    /// none is begun: an attempt that was undone meanwhile has failed.
    pub fn connected(&mut self, id: SocketId) -> Result<(), Error> {
        let socket = self.sockets.held_mut(id)?;
        let Kind::Connection(connection) = &mut socket.kind else {
            return Err(socket.error.take().unwrap_or(Error::ConnectionAborted));
        };
        match connection.state {
            State::SynSent if connection.connect_told => Err(Error::AlreadyConnected), // `TCP_FASTOPEN_CONNECT`
            State::SynSent | State::SynReceived => Err(Error::AlreadyInProgress),
            _ if connection.was_established => {
                let told = core::mem::replace(&mut connection.connect_told, true);
                if told { Err(Error::AlreadyConnected) } else { Ok(()) }
            }
            _ => {
                let error = connection.error.take().unwrap_or(Error::ConnectionAborted);
                self.forget_attempt(id);
                Err(error)
            }
        }
    }

    fn open(&mut self, id: SocketId, address: SocketAddr, fast_open: FastOpen) -> Result<(), Error> {
        let socket = self.sockets.held(id)?;
        let bound = socket.local.filter(|local| local.port() != 0);
        let from = bound.map(|local| local.ip()).filter(|ip| !ip.is_unspecified());
        // As Linux: the unspecified address is this host, in the family that the socket was bound to.
        let ip = if address.ip().is_unspecified() {
            route::localhost(Family::of(from.unwrap_or(address.ip())))
        } else {
            address.ip()
        };
        if route::is_no_host(&self.cx.config, ip) {
            return Err(Error::NetworkUnreachable); // RFC 9293 MUST-46
        }
        let remote = SocketAddr::new(ip, address.port());
        let options = socket.options;
        let source = match from {
            Some(from) => same_family(from, ip)?,            // MUST-43
            None => route::source_for(&self.cx.config, ip)?, // MUST-44
        };
        let port = match bound {
            Some(local) => local.port(),
            None => self.port_towards(source, remote)?,
        };
        let flow = Flow {
            local: SocketAddr::new(source, port),
            remote,
        };
        let last = self.vacate(&flow)?;
        if bound.is_none() {
            self.ports.share(flow.local, Reuse::of(&options));
        }
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.local = Some(flow.local);
            if bound.is_none() {
                socket.claim = Claim::Shared {
                    reuse: Reuse::of(&options),
                };
            }
        }
        let iss = self.keys.initial_sequence(self.cx.now, &flow, last);
        let timestamps = self.timestamps_for(&flow);
        let connection = Connection::open(&mut self.cx, flow, options, iss, timestamps, fast_open);
        self.register(id, connection);
        self.settle(id);
        Err(Error::InProgress)
    }

    /// The attempt failed; the socket is as before it.
    pub(crate) fn forget_attempt(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.kind = Kind::Fresh;
        self.release_shared_port(id);
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.local = socket.bound;
        }
        self.notify(id);
    }

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
            Kind::Connection(connection) => connection.send(&self.cx.config, data, framing),
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
            Kind::Connection(connection) => connection.room(&self.cx.config),
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
            Kind::Connection(connection) => connection.recv(now, into),
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
                connection.recv(now, &mut [0])
            };
        }
        connection.consume(now, count);
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
    fn record_listener(&mut self, local: SocketAddr, from: State, cause: Cause) {
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

    /// ABORT, RFC 9293 §3.10.5: RST to the peer; whoever waits on the socket gets `ConnectionAborted`.
    pub fn abort(&mut self, now: Instant, id: SocketId) -> Result<(), Error> {
        self.cx.now = now;
        self.sockets.held(id)?;
        self.reset(id);
        Ok(())
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
            Kind::Connection(connection) => connection.readiness(&self.cx.config),
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

/// The bound address that connect is to speak from, with Linux's errors where it cannot reach the peer's family.
fn same_family(from: IpAddr, to: IpAddr) -> Result<IpAddr, Error> {
    match (Family::of(from), Family::of(to)) {
        (Family::V6, Family::V4) => Err(Error::NetworkUnreachable),
        (Family::V4, Family::V6) => Err(Error::AddressFamilyNotSupported),
        _ => Ok(from),
    }
}
