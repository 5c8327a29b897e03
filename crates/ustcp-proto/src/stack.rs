//! The stack: packets in, packets out, and the books that every connection is kept in.

use std::collections::{BTreeMap, HashMap, VecDeque};

use core::net::SocketAddr;

use slab::Slab;
use ustcp_wire::{Checksum, Headers, IcmpError, IpHeader, Protocol, TcpHeader};

use crate::context::Context;
use crate::fast_open::Passes;
use crate::icmp::ErrorLimit;
use crate::keys::{Keys, TableHash};
use crate::ports::Ports;
use crate::reassembly::{Reassembler, ReassemblyCounts};
use crate::schedule::{Owner, Schedule};
use crate::socket::Service;
use crate::table::{Kind, Table};
use crate::tcp::{Connection, HalfOpen, Outgoing, Overdue, TimeWait, Timestamps, Verdict};
use crate::{
    Cause, Census, Config, Counters, Error, Event, EventKind, Flow, Instant, SegmentSummary, SocketId, State, Timer,
    route,
};

/// One packet to be sent: headers and text where they lie.
pub struct Transmit<'a> {
    /// IP and TCP headers; empty when `text` is a whole packet (ICMP).
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

/// Who a segment of a pair of ends belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Connection(SocketId),
    HalfOpen(usize),
    TimeWait(usize),
}

/// A segment that no connection's send buffer has a part in: an answer of LISTEN, CLOSED or TIME-WAIT, an RST.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control {
    pub(crate) flow: Flow,
    pub(crate) header: TcpHeader,
    pub(crate) state: State,
    pub(crate) retransmission: bool,
    /// How far the header's window is shifted.
    pub(crate) scale: u8,
    pub(crate) service: Service,
}

impl Control {
    /// One sent for the first time, with a window that is not shifted.
    pub(crate) fn new(flow: Flow, header: TcpHeader, state: State) -> Control {
        let (retransmission, scale) = (false, 0);
        Control {
            flow,
            header,
            state,
            retransmission,
            scale,
            service: Service::default(),
        }
    }

    /// One of a connection.
    pub(crate) fn of(connection: &Connection, header: TcpHeader) -> Control {
        Control::new(connection.flow, header, connection.state).by(connection.options.service())
    }

    /// One of a connection whose SYN-ACK is not acknowledged yet.
    pub(crate) fn of_half(half: &HalfOpen, header: TcpHeader) -> Control {
        Control::new(half.flow, header, State::SynReceived).by(half.service)
    }

    /// One of what is left of a connection in TIME-WAIT.
    pub(crate) fn of_remains(remains: &TimeWait, header: TcpHeader) -> Control {
        Control::new(remains.flow, header, State::TimeWait)
            .scaled(remains.scale)
            .by(remains.service)
    }

    /// It has, or has not, been sent before.
    pub(crate) fn again(self, retransmission: bool) -> Control {
        Control { retransmission, ..self }
    }

    /// As its user wants it carried.
    pub(crate) fn by(self, service: Service) -> Control {
        Control { service, ..self }
    }

    /// With a window shifted by `scale`.
    pub(crate) fn scaled(self, scale: u8) -> Control {
        Control { scale, ..self }
    }
}

/// A TCP/IP stack.
pub struct Stack {
    pub(crate) cx: Context,
    pub(crate) keys: Keys,
    pub(crate) sockets: Table,
    pub(crate) half_open: Slab<HalfOpen>,
    /// What the SYNs of some of them said, by their keys.
    pub(crate) saved_syns: BTreeMap<usize, Box<[u8]>>,
    pub(crate) time_wait: Slab<TimeWait>,
    pub(crate) demux: HashMap<Flow, Target, TableHash>,
    pub(crate) listeners: HashMap<SocketAddr, Vec<SocketId>, TableHash>,
    /// Those of them that take every port.
    pub(crate) transparent: Vec<SocketId>,
    pub(crate) ports: Ports,
    pub(crate) schedule: Schedule,
    /// Connections that may have something to send.
    pub(crate) output: VecDeque<SocketId>,
    pub(crate) control: VecDeque<Control>,
    /// Whole packets that are no TCP.
    pub(crate) replies: VecDeque<Vec<u8>>,
    /// The one that was handed out last.
    reply: Vec<u8>,
    pub(crate) ready: VecDeque<SocketId>,
    /// What servers gave us for Fast Open.
    pub(crate) passes: Passes,
    pub(crate) reassembler: Reassembler,
    /// How many of what it gave up have been counted.
    pub(crate) fragments_lost: u64,
    pub(crate) icmp_limit: ErrorLimit,
    /// The device is gone.
    pub(crate) down: bool,
}

/// Most answers that wait to be sent: what comes in faster than it can be answered is not answered.
pub(crate) const ANSWER_LIMIT: usize = 1024;

/// Most packets that go round inside the stack in one turn.
const LOOPBACK_TURN: usize = 4096;

impl Stack {
    /// A stack without sockets.
    #[must_use]
    pub fn new(config: Config) -> Stack {
        let hash = TableHash::new(&config.secret);
        Stack {
            keys: Keys::new(&config),
            cx: Context::new(config),
            sockets: Table::default(),
            half_open: Slab::new(),
            saved_syns: BTreeMap::new(),
            time_wait: Slab::new(),
            demux: HashMap::with_hasher(hash.clone()),
            listeners: HashMap::with_hasher(hash.clone()),
            transparent: Vec::new(),
            ports: Ports::new(hash),
            schedule: Schedule::default(),
            output: VecDeque::new(),
            control: VecDeque::new(),
            replies: VecDeque::new(),
            reply: Vec::new(),
            ready: VecDeque::new(),
            passes: Passes::default(),
            reassembler: Reassembler::default(),
            fragments_lost: 0,
            icmp_limit: ErrorLimit::new(),
            down: false,
        }
    }

    // Inputs. (`on_packet` is in ingress.rs.)

    /// Time has come to `now`. Harmless when early.
    pub fn on_timeout(&mut self, now: Instant) {
        self.cx.now = now;
        for fragment in self.reassembler.on_timeout(now) {
            self.complain(IcmpError::ReassemblyTimeout, &fragment);
        }
        self.count_lost_fragments();
        while let Some(owner) = self.schedule.pop_due(now) {
            match owner {
                Owner::Socket(id) => self.on_socket_timeout(id),
                Owner::HalfOpen(key) => self.on_half_open_timeout(key),
                Owner::TimeWait(key) => self.end_time_wait(key, Cause::TwoMslPassed),
            }
        }
    }

    fn on_socket_timeout(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.scheduled = None;
        let now = self.cx.now;
        let Kind::Connection(connection) = &mut socket.kind else {
            return;
        };
        let reset = Control::of(connection, connection.reset(now));
        if connection.on_timeout(&mut self.cx) == Verdict::Reset {
            self.answer(reset);
        }
        self.settle(id);
    }

    fn on_half_open_timeout(&mut self, key: usize) {
        let Some(half) = self.half_open.get_mut(key) else {
            return;
        };
        self.cx
            .record(Some(half.flow), EventKind::Expired(Timer::Retransmission));
        let options = self.sockets.get(half.listener).map(|socket| socket.options);
        let retries = options.and_then(|options| options.syn_retries);
        let deferred = options.map_or(0, |options| options.defer_accept);
        let overdue = half.on_timeout(retries.unwrap_or(self.cx.config.syn_ack_retries), deferred);
        if overdue == Overdue::Forget {
            self.forget_half_open(key, Cause::Aborted);
            return;
        }
        let gap = self
            .cx
            .config
            .rto_initial
            .saturating_mul(1 << half.retransmissions.min(20));
        half.due = self.cx.now + gap.min(self.cx.config.rto_max);
        let half = *half;
        self.cx.counters.timeouts += 1;
        self.schedule.insert(half.due, Owner::HalfOpen(key));
        if overdue == Overdue::Resend {
            self.answer(Control::of_half(&half, half.syn_ack(self.cx.now)).again(true));
        }
    }

    /// The device is gone for good: every connection ends, every call says [`Error::NetworkDown`].
    pub fn on_network_down(&mut self, now: Instant) {
        self.cx.now = now;
        self.down = true;
        for id in self.sockets.ids() {
            if let Some(connection) = self.sockets.connection_mut(id) {
                connection.fail(&mut self.cx, Cause::Aborted, Error::NetworkDown);
            }
            self.notify(id);
            self.settle(id);
        }
        self.control.clear();
        self.replies.clear();
    }

    /// The timestamps that a connection begins with.
    pub(crate) fn timestamps_for(&self, flow: &Flow) -> Timestamps {
        Timestamps::new(self.cx.config.timestamps, self.keys.timestamp_offset(flow))
    }

    // Outputs.

    /// The next packet to send; call until `None`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit<'_>> {
        self.cx.now = now;
        if let Some(reply) = self.replies.pop_front() {
            self.reply = reply;
            self.cx.counters.packets_out += 1;
            return Some(Transmit {
                headers: Headers::default(),
                text: [&self.reply, &[]],
                segment_size: None,
                checksum: Checksum::Full,
            });
        }
        for _ in 0..LOOPBACK_TURN {
            let (id, control, outgoing) = self.next_segment()?;
            if route::is_local(&self.cx.config, control.flow.remote.ip()) {
                let packet = self.transmit(id, &control, &outgoing, Checksum::Offloaded).to_vec();
                self.loop_back(&packet);
            } else {
                self.cx.counters.packets_out += 1;
                return Some(self.transmit(id, &control, &outgoing, self.cx.config.checksum));
            }
        }
        None // the rest in the next turn, which `poll_timeout` asks for at once
    }

    /// The next segment of anyone, counted and recorded.
    fn next_segment(&mut self) -> Option<(Option<SocketId>, Control, Outgoing)> {
        if let Some(control) = self.control.pop_front() {
            let outgoing = Outgoing::bare(control.header, control.retransmission);
            self.record_sent(&control, &outgoing);
            return Some((None, control, outgoing));
        }
        while let Some(&id) = self.output.front() {
            let Some(socket) = self.sockets.get_mut(id) else {
                self.output.pop_front();
                continue;
            };
            let Kind::Connection(connection) = &mut socket.kind else {
                socket.in_output = false;
                self.output.pop_front();
                continue;
            };
            let Some(outgoing) = connection.poll_transmit(&mut self.cx) else {
                let told = core::mem::take(&mut connection.notify);
                socket.in_output = false;
                self.output.pop_front();
                self.reschedule(id);
                if told {
                    self.notify(id);
                }
                continue;
            };
            connection.segments_out = connection.segments_out.wrapping_add(1);
            let control = Control::of(connection, outgoing.header)
                .again(outgoing.retransmission)
                .scaled(connection.rcv.scale);
            self.output.rotate_left(1); // one segment each: nobody waits for a long queue of somebody else
            self.record_sent(&control, &outgoing);
            return Some((Some(id), control, outgoing));
        }
        None
    }

    fn record_sent(&mut self, control: &Control, outgoing: &Outgoing) {
        let counters = &mut self.cx.counters;
        counters.out_segs += 1;
        if control.header.flags.has(ustcp_wire::Flags::RST) {
            counters.out_rsts += 1;
        }
        if self.cx.events.enabled() {
            let segment = summary(&control.header, outgoing.text.1, control.scale, outgoing.segment_size);
            let (state, retransmission) = (control.state, control.retransmission);
            self.cx.record(
                Some(control.flow),
                EventKind::Sent {
                    segment,
                    state,
                    retransmission,
                },
            );
        }
    }

    fn transmit(
        &self,
        id: Option<SocketId>,
        control: &Control,
        outgoing: &Outgoing,
        checksum: Checksum,
    ) -> Transmit<'_> {
        let (offset, len) = outgoing.text;
        let connection = id.and_then(|id| self.sockets.connection(id));
        let text = connection.map_or([&[][..]; 2], |connection| connection.snd.ring.slices(offset, len));
        let ip = self.ip_header(control, outgoing);
        let headers = Headers::new(&ip, &outgoing.header, text, checksum);
        Transmit {
            headers,
            text,
            segment_size: outgoing.segment_size,
            checksum,
        }
    }

    /// The IP header of what we send: the user's wishes, DF, and no identification, which nobody needs who may not be fragmented
    /// (RFC 6864); or the other way round.
    fn ip_header(&self, control: &Control, outgoing: &Outgoing) -> IpHeader {
        let (flow, service) = (&control.flow, control.service);
        let identification = outgoing.identification;
        IpHeader {
            source: flow.local.ip(),
            destination: flow.remote.ip(),
            protocol: Protocol::Tcp,
            traffic_class: service.traffic_class | outgoing.ecn.bits(),
            hop_limit: service.hop_limit.unwrap_or(self.cx.config.default_ttl),
            identification: identification.unwrap_or(0),
            dont_fragment: identification.is_none(),
            flow_label: if flow.local.is_ipv6() {
                self.keys.flow_label(flow)
            } else {
                0
            },
        }
    }

    /// When [`on_timeout`](Stack::on_timeout) is due, and why.
    pub fn poll_timeout(&mut self) -> Option<(Instant, Timer)> {
        if !self.output.is_empty() || !self.control.is_empty() {
            return Some((self.cx.now, Timer::Retransmission));
        }
        let rest = self.reassembler.poll_timeout().map(|at| (at, Timer::Reassembly));
        let next = self.next_of_connections();
        rest.into_iter().chain(next).min_by_key(|(at, _)| *at)
    }

    fn next_of_connections(&mut self) -> Option<(Instant, Timer)> {
        loop {
            let (at, owner) = self.schedule.first()?;
            let Owner::Socket(id) = owner else {
                let timer = if matches!(owner, Owner::TimeWait(_)) {
                    Timer::TimeWait
                } else {
                    Timer::Retransmission
                };
                return Some((at, timer));
            };
            let next = self
                .sockets
                .connection(id)
                .and_then(|connection| connection.timers.next());
            if next.is_some_and(|(due, _)| due <= at) {
                return next;
            }
            // The connection's timer has moved on since; so does its entry.
            self.unschedule(id);
            self.reschedule(id);
        }
    }

    /// A socket whose readiness may have changed since it was last returned here.
    pub fn poll_ready(&mut self) -> Option<SocketId> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(socket) = self.sockets.get_mut(id) {
                socket.in_ready = false;
                return Some(id);
            }
        }
        None
    }

    /// The next event, when the config asks for a trace.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.cx.events.pop()
    }

    // Getters of the whole.

    /// Whether some connection still has data or a FIN to be acknowledged, user or none: what exit waits for.
    #[must_use]
    pub fn has_unacknowledged(&self) -> bool {
        self.sockets.iter().any(|socket| match &socket.kind {
            Kind::Connection(connection) => connection.has_unacknowledged(),
            Kind::Fresh | Kind::Listener(_) => false,
        })
    }

    /// Counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.cx.counters
    }

    /// What became of the fragments that came in.
    #[must_use]
    pub fn reassembly(&self) -> ReassemblyCounts {
        self.reassembler.counts()
    }

    /// What it was told.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.cx.config
    }

    /// Tells it anew, from now on: what sockets and connections were given at their birth stays. The secret stays too.
    pub fn set_config(&mut self, config: Config) {
        let secret = self.cx.config.secret;
        self.cx.events.enable(config.trace);
        self.cx.config = Config { secret, ..config };
    }

    /// What is held now.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census {
            half_open: self.half_open.len(),
            time_wait: self.time_wait.len(),
            timers: self.schedule.len(),
            fragment_bytes: self.reassembler.held(),
            saved_syn_bytes: self.saved_syns.values().map(|headers| headers.len()).sum(),
            ..Census::default()
        };
        for socket in self.sockets.iter() {
            match &socket.kind {
                _ if socket.held => census.sockets += 1,
                Kind::Connection(connection) if connection.orphan => census.orphans += 1,
                _ => census.unaccepted += 1,
            }
            if let Kind::Connection(connection) = &socket.kind {
                census.buffer_bytes += connection.buffer_bytes();
                census.saved_syn_bytes += connection.saved_syn.as_ref().map_or(0, |headers| headers.len());
            }
        }
        census
    }
}

/// A segment in figures.
pub(crate) fn summary(header: &TcpHeader, len: usize, scale: u8, segment_size: Option<u16>) -> SegmentSummary {
    let scale = if header.flags.has(ustcp_wire::Flags::SYN) {
        0
    } else {
        scale
    };
    SegmentSummary {
        flags: header.flags.0,
        seq: header.seq.0,
        ack: header.ack.0,
        len: u32::try_from(len).unwrap_or(u32::MAX),
        window: u32::from(header.window) << scale,
        segment_size: segment_size.unwrap_or(0),
        timestamps: header.options.timestamps.map(|stamps| (stamps.value, stamps.echo)),
    }
}
