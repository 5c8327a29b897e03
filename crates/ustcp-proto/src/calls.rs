//! How a user's socket comes to be, to its address and to its connection. Nothing here waits: what cannot be done now is [`Error::WouldBlock`].

use core::net::{IpAddr, SocketAddr};

use crate::ports::{Claim, Reuse};
use crate::table::{Kind, Listener, Socket};
use crate::tcp::{Connection, FastOpen};
use crate::{Cause, Error, Family, Flow, Instant, Options, SocketId, Stack, State, address, route};

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

    pub(crate) fn check_up(&self) -> Result<(), Error> {
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
        if !self.is_bindable(&socket.options, ip) {
            return Err(Error::AddressNotAvailable);
        }
        let (v6_only, reuse) = (socket.options.v6_only, Reuse::of(&socket.options));
        if socket.options.bind_without_port && address.port() == 0 {
            self.sockets.held_mut(id)?.bind_to(SocketAddr::new(ip, 0));
            return Ok(());
        }
        let port = match address.port() {
            0 => self.unused_port()?,
            port if self.conflicts((ip, v6_only), port, reuse) => return Err(Error::AddressInUse),
            port => port,
        };
        self.hold_port(id, SocketAddr::new(ip, port));
        Ok(())
    }

    /// Whether bind takes that address: one of ours, or any that a host can have where the user wants it so.
    fn is_bindable(&self, options: &Options, ip: IpAddr) -> bool {
        let config = &self.cx.config;
        let anywhere = options.transparent || options.free_bind;
        ip.is_unspecified() || route::is_local(config, ip) || anywhere && route::may_be_host(config, ip)
    }

    fn hold_port(&mut self, id: SocketId, local: SocketAddr) {
        self.ports.hold(local.port(), id);
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.bind_to(local);
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
        let local = socket.local.unwrap_or(SocketAddr::new(socket.family.unspecified(), 0));
        let local = match local.port() {
            0 => {
                let local = SocketAddr::new(local.ip(), self.unused_port()?);
                self.hold_port(id, local);
                local
            }
            _ => local,
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
        let from = socket.local.map(|local| local.ip()).filter(|ip| !ip.is_unspecified());
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
}

/// The bound address that connect is to speak from, with Linux's errors where it cannot reach the peer's family.
fn same_family(from: IpAddr, to: IpAddr) -> Result<IpAddr, Error> {
    match (Family::of(from), Family::of(to)) {
        (Family::V6, Family::V4) => Err(Error::NetworkUnreachable),
        (Family::V4, Family::V6) => Err(Error::AddressFamilyNotSupported),
        _ => Ok(from),
    }
}
