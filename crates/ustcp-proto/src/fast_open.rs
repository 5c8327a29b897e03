//! Fast Open, RFC 7413: what the stack remembers of servers, and how its listeners hand out cookies and count those who
//! come with one.

use std::collections::VecDeque;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use ustcp_wire::{FastOpenCookie, TcpSegment};

use crate::fast_open_keys::Worth;
use crate::ports::{Claim, Reuse};
use crate::table::Socket;
use crate::tcp::{Connection, FastOpen, HalfOpen, Lesson, Pass};
use crate::{Error, Family, Instant, Options, SocketId, Stack, State, saved_syn};

/// Bits of `tcp_fastopen`, as Linux has them.
const CLIENT: u32 = 1;
const SERVER: u32 = 2;
const CLIENT_NEEDS_NO_COOKIE: u32 = 4;
const SERVER_NEEDS_NO_COOKIE: u32 = 0x200;

/// How long a connection that an RST ended counts among those that a listener lets in early: a flood of them with one
/// stolen cookie gains nothing (RFC 7413 §5.1, as Linux).
const RESET_COUNTS_FOR: Duration = Duration::from_secs(60);

/// What is remembered of servers, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Passes(VecDeque<(IpAddr, Known)>);

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    pass: Option<Pass>,
    /// SYNs with the option that met silence in a row, and when there may be another.
    losses: u8,
    not_before: Option<Instant>,
}

impl Passes {
    const LIMIT: usize = 256;

    fn of(&self, server: IpAddr) -> Option<&Known> {
        self.0
            .iter()
            .find(|(known, _)| *known == server)
            .map(|(_, known)| known)
    }

    fn learn(&mut self, now: Instant, server: IpAddr, lesson: Lesson) {
        let mut known = self.of(server).copied().unwrap_or_default();
        match lesson {
            Lesson::Cookie(pass) => {
                known = Known {
                    pass: Some(pass),
                    ..Known::default()
                }
            }
            Lesson::Lost => {
                known.losses = known.losses.saturating_add(1);
                // As Linux: an hour and more for who is silent again and again.
                known.not_before = Some(now + Duration::from_secs(60 << known.losses.min(6)));
            }
        }
        self.0.retain(|(other, _)| *other != server);
        if self.0.len() >= Passes::LIMIT {
            self.0.pop_front();
        }
        self.0.push_back((server, known));
    }
}

/// Connections of a listener that were let in before their handshake was done.
#[derive(Debug, Default)]
pub(crate) struct EarlyCount {
    pending: usize,
    /// Until when those count that an RST ended.
    resets: VecDeque<Instant>,
}

impl EarlyCount {
    fn total(&mut self, now: Instant) -> usize {
        while self.resets.front().is_some_and(|until| *until <= now) {
            self.resets.pop_front();
        }
        self.pending + self.resets.len()
    }
}

/// What becomes of a SYN's Fast Open option.
enum Admission {
    /// It goes the common way.
    None,
    /// So it does, and the SYN-ACK brings a cookie.
    Grant(FastOpenCookie),
    /// Its text is let in, and the SYN-ACK may bring another cookie.
    Early(Option<FastOpenCookie>),
}

impl Stack {
    /// How a new connection to `server` may begin.
    pub(crate) fn fast_open_towards(&self, server: IpAddr, options: &Options) -> FastOpen {
        let knob = self.cx.config.fast_open;
        let known = self.passes.of(server);
        let waits = known
            .and_then(|known| known.not_before)
            .is_some_and(|at| self.cx.now < at);
        if knob & CLIENT == 0 || waits {
            return FastOpen::Off;
        }
        let without = (knob & CLIENT_NEEDS_NO_COOKIE != 0 || options.fast_open_no_cookie).then_some(Pass {
            cookie: FastOpenCookie::REQUEST,
            mss: 536,
        });
        match known.and_then(|known| known.pass).or(without) {
            Some(pass) => FastOpen::Text(pass),
            None => FastOpen::Request,
        }
    }

    /// connect on a socket that may let its SYN wait for text (`TCP_FASTOPEN_CONNECT`).
    pub(crate) fn deferral(&self, id: SocketId, server: IpAddr) -> FastOpen {
        let options = self.sockets.get(id).map(|socket| socket.options);
        match options.filter(|options| options.fast_open_connect) {
            None => FastOpen::Off,
            Some(options) => match self.fast_open_towards(server, &options) {
                FastOpen::Text(pass) => FastOpen::Deferred(pass),
                other => other,
            },
        }
    }

    /// connect and the first send in one (`MSG_FASTOPEN`), RFC 7413: as much of `data` as was taken, to go with the SYN
    /// and after it; or `InProgress` when none was, because the server has given us no cookie yet. `NotSupported` where
    /// the configuration forbids it; otherwise as [`connect`](Stack::connect).
    pub fn connect_with(
        &mut self,
        now: Instant,
        id: SocketId,
        address: SocketAddr,
        data: &[u8],
    ) -> Result<usize, Error> {
        if self.cx.config.fast_open & CLIENT == 0 {
            return Err(Error::NotSupported);
        }
        self.cx.now = now;
        let options = self.sockets.held(id)?.options;
        let fast_open = self.fast_open_towards(address.ip().to_canonical(), &options);
        match self.begin_connect(now, id, address, fast_open) {
            Err(Error::InProgress) => {}
            Ok(()) => return Err(Error::AlreadyConnected),
            Err(error) => return Err(error),
        }
        let FastOpen::Text(_) = fast_open else {
            return Err(Error::InProgress);
        };
        let connection = self.sockets.connection_mut(id).ok_or(Error::BadSocket)?;
        connection.snd.ring.append(data)
    }

    /// Takes in what an attempt has taught, and counts who is no longer early.
    pub(crate) fn settle_fast_open(&mut self, id: SocketId) {
        let now = self.cx.now;
        let Some(connection) = self.sockets.connection_mut(id) else {
            return;
        };
        if let Some(lesson) = connection.lesson.take() {
            self.passes.learn(now, connection.flow.remote.ip(), lesson);
        }
        let FastOpen::Early { listener, .. } = connection.fast_open else {
            return;
        };
        if connection.state == State::SynReceived {
            return;
        }
        let was_reset = connection.state == State::Closed && connection.error.is_some();
        connection.fast_open = FastOpen::Off;
        if let Some(listener) = self.sockets.listener_mut(listener) {
            listener.early.pending = listener.early.pending.saturating_sub(1);
            if was_reset {
                listener.early.resets.push_back(now + RESET_COUNTS_FOR);
            }
        }
    }

    /// A SYN with these headers has come for a listener, and `half` was made of it: whether its connection begins at once.
    pub(crate) fn admit_early(
        &mut self,
        half: &mut HalfOpen,
        options: Options,
        segment: &TcpSegment<'_>,
        headers: &[u8],
    ) -> bool {
        match self.admission(half, &options, segment) {
            Admission::None => false,
            Admission::Grant(cookie) => {
                half.fast_open = Some(cookie);
                false
            }
            Admission::Early(renewal) => {
                let mut connection = Connection::complete(&mut self.cx, half, options);
                connection.saved_syn = saved_syn::keep(&options, headers);
                connection.begin_early(half.listener, renewal, segment.payload);
                self.open_early(half, options, connection);
                true
            }
        }
    }

    fn admission(&mut self, half: &HalfOpen, options: &Options, segment: &TcpSegment<'_>) -> Admission {
        let knob = self.cx.config.fast_open;
        let now = self.cx.now;
        let limit = options.fast_open_backlog;
        if knob & SERVER == 0 || limit == 0 {
            return Admission::None;
        }
        let keys = options.fast_open_keys.unwrap_or(self.keys.fast_open);
        let unchecked = knob & SERVER_NEEDS_NO_COOKIE != 0 || options.fast_open_no_cookie;
        let offered = segment.header.options.fast_open;
        let worth = offered.map_or(Worth::None, |cookie| keys.judge(&half.flow, cookie));
        let cookie = keys.cookie(&half.flow);
        let room = self
            .sockets
            .listener_mut(half.listener)
            .is_some_and(|listener| listener.early.total(now) < limit);
        match worth {
            _ if !room => Admission::None,
            _ if unchecked && !segment.payload.is_empty() => Admission::Early(None),
            Worth::Good => Admission::Early(None),
            Worth::Outdated(cookie) => Admission::Early(Some(cookie)),
            Worth::None if offered.is_some() => Admission::Grant(cookie),
            Worth::None => Admission::None,
        }
    }

    fn open_early(&mut self, half: &HalfOpen, options: Options, connection: Connection) {
        half.record_birth(&mut self.cx);
        let id = self.enter_accepted(half, options, connection);
        if let Some(listener) = self.sockets.listener_mut(half.listener) {
            listener.early.pending += 1;
        }
        self.settle(id);
    }

    /// Enters a connection that a listener has made, to wait for accept.
    pub(crate) fn enter_accepted(&mut self, half: &HalfOpen, options: Options, connection: Connection) -> SocketId {
        let local = half.flow.local;
        let options = Options {
            fast_open_backlog: 0, // as Linux: it is no listener
            fast_open_keys: None,
            ..options
        };
        let of_listener = self.sockets.get(half.listener).map(|listener| listener.family);
        let family = of_listener.unwrap_or(Family::of(local.ip()));
        let mut socket = Socket::new(family, options);
        socket.local = Some(local);
        socket.claim = Claim::Shared {
            reuse: Reuse::of(&options),
        };
        socket.held = false;
        let id = self.sockets.insert(socket);
        self.ports.share(local, Reuse::of(&options));
        self.register(id, connection);
        if let Some(listener) = self.sockets.listener_mut(half.listener) {
            listener.completed.push_back(id);
            listener.arrivals = listener.arrivals.wrapping_add(1);
        }
        self.notify(half.listener);
        id
    }
}
