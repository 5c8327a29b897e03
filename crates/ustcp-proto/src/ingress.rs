//! What comes in: from the device, or round inside the stack.

use core::net::SocketAddr;

use ustcp_wire::{Checksum, Flags, IcmpError, IpHeader, IpPacket, Malformed, Protocol, SeqNum, TcpHeader, TcpSegment};

use crate::icmp::reason_for;
use crate::stack::{Control, Target, summary};
use crate::table::Kind;
use crate::tcp::{
    Aftermath, Completion, Connection, EcnFeedback, FLOOR, HalfOpen, Offer, Timestamps, announced_mss, initial_window,
    receive_buffer, reset_for, window_scale,
};
use crate::{Cause, DropReason, EventKind, Family, Flow, Instant, Options, SocketId, Stack, State, route, saved_syn};

/// The one protocol beside TCP whose ports we speak of, to say that nobody listens on them.
const UDP: u8 = 17;

/// Where a packet came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Device,
    Loopback,
}

impl Stack {
    /// An IP packet arrived. Whatever its bytes are: it is processed, or dropped and counted.
    pub fn on_packet(&mut self, now: Instant, packet: &[u8], checksum: Checksum) {
        self.cx.now = now;
        self.cx.counters.packets_in += 1;
        if !self.down {
            self.receive(packet, checksum, Origin::Device);
        }
    }

    /// A packet that we sent to ourselves.
    pub(crate) fn loop_back(&mut self, packet: &[u8]) {
        self.receive(packet, Checksum::Offloaded, Origin::Loopback);
    }

    fn receive(&mut self, packet: &[u8], checksum: Checksum, origin: Origin) {
        let ip = match IpPacket::parse(packet) {
            Ok(ip) => ip,
            Err(malformed) => {
                self.cx.dropped(None, reason_for(malformed));
                if let Malformed::Problem(problem) = malformed {
                    self.complain(IcmpError::ParameterProblem(problem), packet);
                }
                return;
            }
        };
        if let Some(reason) = self.unwelcome(&ip, origin) {
            return self.cx.dropped(None, reason);
        }
        if ip.fragment.is_some() {
            let whole = self.reassembler.add(self.cx.now, packet, &ip);
            self.count_lost_fragments();
            if let Some(whole) = whole {
                // What was sent in fragments was not summed by the device that split it.
                self.receive(&whole, Checksum::Full, origin);
            }
            return;
        }
        match ip.header.protocol {
            Protocol::Tcp => self.receive_tcp(packet, &ip, checksum),
            Protocol::Icmp | Protocol::Icmpv6 => self.receive_icmp(&ip),
            Protocol::Other(number) => {
                self.cx.dropped(None, DropReason::Protocol);
                self.complain(
                    if number == UDP {
                        IcmpError::PortUnreachable
                    } else {
                        IcmpError::ProtocolUnreachable
                    },
                    packet,
                );
            }
        }
    }

    fn unwelcome(&self, ip: &IpPacket<'_>, origin: Origin) -> Option<DropReason> {
        let config = &self.cx.config;
        let IpHeader {
            source, destination, ..
        } = ip.header;
        if origin == Origin::Loopback {
            return None;
        }
        if route::is_no_host(config, source) || route::is_local(config, source) {
            return Some(DropReason::Martian); // RFC 1122 §3.2.1.3, RFC 9293 MUST-63; our own address: LAND
        }
        if source == destination {
            return Some(DropReason::Martian); // LAND, to an address that is ours as any other is
        }
        if source != source.to_canonical() {
            return Some(DropReason::Martian); // RFC 4942 §2.2: to a user it would look like the IPv4 peer it names
        }
        (!route::is_taken(config, destination)).then_some(DropReason::NotOurs)
    }

    fn receive_tcp(&mut self, packet: &[u8], ip: &IpPacket<'_>, checksum: Checksum) {
        let segment = match TcpSegment::parse(&ip.header, ip.payload, checksum) {
            Ok(segment) => segment,
            Err(malformed) => return self.cx.dropped(None, reason_for(malformed)),
        };
        self.cx.counters.in_segs += 1;
        let flow = Flow {
            local: SocketAddr::new(ip.header.destination, segment.header.destination_port),
            remote: SocketAddr::new(ip.header.source, segment.header.source_port),
        };
        let headers = ip.header_len + ip.payload.len() - segment.payload.len();
        let headers = packet.get(..headers).unwrap_or_default();
        match self.demux.get(&flow) {
            Some(&Target::Connection(id)) => self.on_connection_segment(id, &segment),
            Some(&Target::HalfOpen(key)) => self.on_half_open_segment(key, &segment),
            Some(&Target::TimeWait(key)) => self.on_time_wait_segment(key, &segment, headers),
            None => self.on_listener_segment(flow, &segment, headers, None),
        }
    }

    fn on_connection_segment(&mut self, id: SocketId, segment: &TcpSegment<'_>) {
        let Some(connection) = self.sockets.connection_mut(id) else {
            return;
        };
        let (flow, before, scale) = (connection.flow, connection.state, connection.snd.scale);
        let answer = connection
            .on_segment(&mut self.cx, segment)
            .map(|header| Control::of(connection, header));
        let after = connection.state;
        self.record_received(flow, segment, scale, (before, after));
        if let Some(answer) = answer {
            self.answer(answer);
        }
        self.settle(id);
    }

    fn record_received(&mut self, flow: Flow, segment: &TcpSegment<'_>, scale: u8, states: (State, State)) {
        if self.cx.events.enabled() {
            let (before, after) = states;
            let segment = summary(&segment.header, segment.payload.len(), scale, None);
            self.cx
                .record(Some(flow), EventKind::Received { segment, before, after });
        }
    }

    fn on_half_open_segment(&mut self, key: usize, segment: &TcpSegment<'_>) {
        let Some(half) = self.half_open.get(key).copied() else {
            return;
        };
        let scale = half.offer.window_scale.unwrap_or(0);
        let stays = (State::SynReceived, State::SynReceived);
        match half.on_segment(self.cx.now, segment) {
            Completion::Wait => self.record_received(half.flow, segment, scale, stays),
            Completion::Answer(header) => {
                self.record_received(half.flow, segment, scale, stays);
                let now = self.cx.now;
                if !self
                    .half_open
                    .get_mut(key)
                    .is_some_and(|half| half.may_answer(now, &header, segment))
                {
                    return self.cx.dropped(Some(half.flow), DropReason::Limit);
                }
                let retransmission = header.flags.has(Flags::SYN);
                self.answer(
                    Control::of_half(&half, header)
                        .again(retransmission)
                        .scaled(half.shift()),
                );
            }
            Completion::Forget => {
                self.forget_half_open(key, Cause::PeerReset);
                self.record_received(half.flow, segment, scale, (State::SynReceived, State::Closed));
            }
            Completion::Complete if self.defers(&half, segment) => {
                self.record_received(half.flow, segment, scale, stays);
                let after = self.cx.now.since(half.sent_at.unwrap_or(self.cx.now));
                if let Some(half) = self.half_open.get_mut(key) {
                    half.acked_after.get_or_insert(after);
                }
            }
            Completion::Complete => self.complete(key, &half, segment),
        }
    }

    /// `TCP_DEFER_ACCEPT`: the listener has nothing to do before there is text.
    fn defers(&self, half: &HalfOpen, segment: &TcpSegment<'_>) -> bool {
        let listener = self.sockets.get(half.listener);
        listener.is_some_and(|listener| half.defers(listener.options.defer_accept, segment))
    }

    /// The handshake is done: a connection of its own, which waits for accept.
    fn complete(&mut self, key: usize, half: &HalfOpen, segment: &TcpSegment<'_>) {
        let Some((_, options)) = self.room_to_accept(half.listener) else {
            self.overflow(half.flow);
            if self.cx.config.abort_on_overflow {
                self.forget_half_open(key, Cause::Aborted);
                self.refuse(half.flow, segment);
            }
            return; // else, as Linux: the SYN-ACK goes out again, and there may be room by then
        };
        let saved_syn = self.saved_syns.remove(&key);
        self.take_half_open(key);
        let mut connection = Connection::complete(&mut self.cx, half, options);
        connection.saved_syn = saved_syn;
        self.establish(half, options, connection, segment);
    }

    /// Enters a connection that `segment` completes.
    pub(crate) fn establish(
        &mut self,
        half: &HalfOpen,
        options: Options,
        connection: Connection,
        segment: &TcpSegment<'_>,
    ) {
        let id = self.enter_accepted(half, options, connection);
        self.on_connection_segment(id, segment);
    }

    /// The listener's family and options for its connections, if one more may wait for accept.
    pub(crate) fn room_to_accept(&self, listener: SocketId) -> Option<(Family, Options)> {
        let socket = self.sockets.get(listener)?;
        let Kind::Listener(queues) = &socket.kind else {
            return None;
        };
        // As Linux: a backlog of n lets n + 1 wait.
        let room = queues.completed.len() <= queues.backlog && self.sockets.len() < self.cx.config.socket_limit;
        let mut options = socket.options;
        options.kept.priority = 0; // as Linux: that is a word about what this socket sends
        room.then_some((socket.family, options))
    }

    fn on_time_wait_segment(&mut self, key: usize, segment: &TcpSegment<'_>, headers: &[u8]) {
        let Some(flow) = self.time_wait.get(key).map(|remains| remains.flow) else {
            return;
        };
        let listens = self.listener_for(&flow).is_some();
        let Some(remains) = self.time_wait.get_mut(key) else {
            return;
        };
        let aftermath = remains.on_segment(&self.cx, segment, listens);
        let remains = *remains;
        if let Aftermath::MakeWay(last) = aftermath {
            self.end_time_wait(key, Cause::Aborted);
            return self.on_listener_segment(flow, segment, headers, Some(last));
        }
        self.record_received(flow, segment, 0, (State::TimeWait, State::TimeWait));
        match aftermath {
            Aftermath::Ignore | Aftermath::MakeWay(_) => self.cx.dropped(Some(flow), DropReason::State),
            Aftermath::Answer(header) => self.answer(Control::of_remains(&remains, header)),
            Aftermath::AnswerAndRestart(header) => {
                self.restart_time_wait(key);
                self.answer(Control::of_remains(&remains, header));
            }
            Aftermath::End => self.end_time_wait(key, Cause::Aborted),
        }
    }

    /// RFC 9293 §3.10.7.2, LISTEN, and §3.10.7.1, CLOSED, when there is no listener. `beyond`: our last sequence number
    /// of an earlier connection between the same ends.
    fn on_listener_segment(&mut self, flow: Flow, segment: &TcpSegment<'_>, headers: &[u8], beyond: Option<SeqNum>) {
        let header = &segment.header;
        let Some(listener) = self.listener_for(&flow) else {
            self.cx.dropped(Some(flow), DropReason::NoSocket);
            return self.refuse(flow, segment);
        };
        if header.flags.has(Flags::RST) {
            self.cx.dropped(Some(flow), DropReason::State); // first
        } else if header.flags.has(Flags::ACK) {
            if !self.redeem_cookie(listener, flow, segment) {
                self.cx.dropped(Some(flow), DropReason::BadAck); // second
                self.refuse(flow, segment);
            }
        } else if header.flags.has(Flags::SYN) && !header.flags.has(Flags::FIN) {
            self.take_syn(listener, flow, segment, headers, beyond); // third
        } else {
            self.cx.dropped(Some(flow), DropReason::State); // fourth
        }
    }

    fn refuse(&mut self, flow: Flow, segment: &TcpSegment<'_>) {
        if !segment.header.flags.has(Flags::RST) {
            let header = reset_for(&segment.header, segment.payload.len());
            self.answer(Control::new(flow, header, State::Closed));
        }
    }

    fn take_syn(&mut self, id: SocketId, flow: Flow, segment: &TcpSegment<'_>, headers: &[u8], beyond: Option<SeqNum>) {
        let limit = self.cx.config.syn_backlog;
        if self.cx.under_pressure() {
            return self.drop_of_listener(flow, DropReason::Limit);
        }
        let header = &segment.header;
        let Some(listener) = self.sockets.listener_mut(id) else {
            return;
        };
        // As Linux: who was in TIME-WAIT with us is no stranger, and has room beyond the backlog.
        let stranger = beyond.is_none();
        let most = if stranger { listener.backlog.min(limit) } else { limit };
        let full = listener.half_open.len() > most;
        let wants_cookie = stranger && self.wants_cookie(full);
        let Some((_, options)) = self.room_to_accept(id) else {
            return self.overflow(flow);
        };
        if wants_cookie {
            self.answer_with_cookie(id, flow, &options, segment);
            return self.record_received(flow, segment, 0, (State::Listen, State::Listen));
        }
        if full {
            self.recycle_half_open(id, flow);
        }
        self.cx.counters.passive_opens += 1;
        let iss = self.keys.initial_sequence(self.cx.now, &flow, beyond);
        let mut half = self.half_open_from(id, flow, &options, header, iss);
        half.ecn = EcnFeedback::accepts(self.cx.config.ecn, header.flags, segment.ecn);
        if !self.admit_early(&mut half, options, segment, headers) {
            self.insert_half_open(half, saved_syn::keep(&options, headers));
        }
        self.record_received(flow, segment, 0, (State::Listen, State::SynReceived));
    }

    /// What a listener with `options` makes of `syn`.
    pub(crate) fn half_open_from(
        &self,
        listener: SocketId,
        flow: Flow,
        options: &Options,
        syn: &TcpHeader,
        iss: SeqNum,
    ) -> HalfOpen {
        let (now, config) = (self.cx.now, &self.cx.config);
        let family = Family::of(flow.local.ip());
        let mut timestamps = match syn.options.timestamps {
            Some(_) => self.timestamps_for(&flow),
            None => Timestamps::OFF,
        };
        timestamps.accept(now, &syn.options);
        let our_mss = announced_mss(self.cx.path_mtu(flow.remote.ip()), family, options);
        let buffer = receive_buffer(config, options).min(FLOOR.max(self.cx.share_left(options.owner) / 2));
        HalfOpen {
            listener,
            serial: self.cx.counters.passive_opens,
            flow,
            iss,
            irs: syn.seq,
            offer: Offer::from_options(config, family, &syn.options),
            timestamps,
            peer_window: usize::from(syn.window),
            our_mss,
            our_window: initial_window(
                buffer.min(options.window_clamp.unwrap_or(usize::MAX)),
                usize::from(our_mss).saturating_sub(timestamps.overhead()), // full segments fill it
            ),
            our_scale: window_scale(config, options),
            ecn: false,
            service: options.service(),
            sent_at: Some(now),
            fast_open: None,
            retransmissions: 0,
            resent: false,
            acked_after: None,
            last_answer: None,
            due: now + config.rto_initial,
        }
    }
}
