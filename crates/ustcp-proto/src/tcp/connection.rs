//! A connection: its parts, what its user can do, and how it moves from state to state.

use core::time::Duration;

use ustcp_wire::SeqNum;

use super::congestion::{Congestion, Pacer};
use super::receive::{AckDebt, Receive};
use super::rtt::Rtt;
use super::send::Send;
use super::timers::Timers;
use super::{HalfOpen, MIN_MSS, Offer, announced_mss, window_scale_for};
use crate::context::Context;
use crate::{Cause, Config, Error, EventKind, Family, Flow, Info, Instant, Options, Readiness, Shutdown, State};

/// Who began: RFC 9293 MUST-11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Active,
    Passive,
}

/// What is to become of a connection after its user or its peer did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposal {
    /// It lives on.
    Keep,
    /// The 2 MSL begin: only a [`TimeWait`](super::TimeWait) has to be kept.
    TimeWait,
    /// It is gone.
    Closed,
}

/// RFC 1191 §7: sizes that paths have.
const PLATEAUS: [usize; 6] = [32_000, 17_914, 8166, 4352, 1492, 1006];

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) flow: Flow,
    pub(crate) state: State,
    pub(crate) opening: Opening,
    pub(crate) snd: Send,
    pub(crate) rcv: Receive,
    pub(crate) rtt: Rtt,
    pub(crate) congestion: Congestion,
    pub(crate) pacer: Pacer,
    pub(crate) timers: Timers,
    pub(crate) options: Options,
    /// What SO_ERROR will say.
    pub(crate) error: Option<Error>,
    /// What ICMP said without ending the connection: the reason, should it time out.
    pub(crate) soft_error: Option<Error>,
    /// Its user has closed it.
    pub(crate) orphan: bool,
    /// shutdown(SHUT_RD).
    pub(crate) read_shut: bool,
    /// Readiness may have changed since the stack last looked.
    pub(crate) notify: bool,
    /// Counts what a poller with EPOLLET must be told of.
    pub(crate) arrivals: u32,
    /// Has been ESTABLISHED.
    pub(crate) was_established: bool,
    /// connect has told its user so.
    pub(crate) connect_told: bool,
    /// The SYN or SYN-ACK is to be sent (again).
    pub(crate) syn_pending: bool,
    /// A window or keepalive probe is to be sent.
    pub(crate) probe_pending: bool,
    /// The next retransmission does not ask the congestion window.
    pub(crate) retransmit_pending: bool,
    /// Duplicate acknowledgements in a row.
    pub(crate) duplicate_acks: usize,
    /// RFC 6582's recover: duplicates below it are echoes of our own retransmissions.
    pub(crate) recover: SeqNum,
    /// The congestion window was in full use when something was last to be sent. It stays said through a burst of
    /// acknowledgements, each of which empties the window a little before any text can fill it again.
    pub(crate) cwnd_limited: bool,
    /// Timeouts in a row, and when the first was.
    pub(crate) timeouts: u8,
    pub(crate) first_timeout: Option<Instant>,
    /// The SYN was sent more than once.
    pub(crate) syn_was_lost: bool,
    /// Probes in a row that nothing answered.
    pub(crate) probes: u8,
    pub(crate) probe_backoff: u8,
    pub(crate) syn_sent_at: Instant,
    pub(crate) last_text_sent: Instant,
    pub(crate) last_text_received: Instant,
    pub(crate) last_received: Instant,
    /// When the last acknowledgement of an unacceptable segment or challenge was sent, RFC 5961 §5.3 and §10.
    pub(crate) last_challenge: Option<Instant>,
    /// What routers and the device let through, in bytes of IP packet.
    pub(crate) path_mtu: usize,
    /// Our packets may be fragmented on their way (no DF).
    pub(crate) fragmentable: bool,
    identification: u16,
    pub(crate) peer_mss: usize,
    pub(crate) window_scaling: bool,
    pub(crate) segments_in: u32,
    pub(crate) segments_out: u32,
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_retransmitted: u64,
    pub(crate) retransmissions: u32,
}

impl Connection {
    fn new(cx: &Context, flow: Flow, options: Options, iss: SeqNum, opening: Opening) -> Connection {
        let path_mtu = cx.config.mtu;
        let family = Family::of(flow.local.ip());
        let peer_mss = usize::from(family.default_mss());
        let mss = peer_mss.min(path_mtu.saturating_sub(family.headers())).max(MIN_MSS);
        Connection {
            flow,
            state: State::Closed,
            opening,
            snd: Send::new(iss, options.send_buffer, mss),
            rcv: Receive::new(
                options.receive_buffer,
                usize::from(announced_mss(&cx.config, family, &options)).max(1),
            ),
            rtt: Rtt::new(&cx.config),
            congestion: Congestion::new(options.congestion, cx.config.initial_window, mss, u64::from(iss.0)),
            pacer: Pacer::default(),
            timers: Timers::default(),
            options,
            error: None,
            soft_error: None,
            orphan: false,
            read_shut: false,
            notify: false,
            arrivals: 0,
            was_established: false,
            connect_told: opening == Opening::Passive,
            syn_pending: false,
            probe_pending: false,
            retransmit_pending: false,
            duplicate_acks: 0,
            recover: iss,
            cwnd_limited: false,
            timeouts: 0,
            first_timeout: None,
            syn_was_lost: false,
            probes: 0,
            probe_backoff: 0,
            syn_sent_at: cx.now,
            last_text_sent: cx.now,
            last_text_received: cx.now,
            last_received: cx.now,
            last_challenge: None,
            path_mtu,
            fragmentable: false,
            identification: 0,
            peer_mss,
            window_scaling: true,
            segments_in: 0,
            segments_out: 0,
            bytes_acked: 0,
            bytes_sent: 0,
            bytes_retransmitted: 0,
            retransmissions: 0,
        }
    }

    /// Active OPEN: the SYN goes out with the next output.
    pub(crate) fn open(cx: &mut Context, flow: Flow, options: Options, iss: SeqNum) -> Connection {
        let mut connection = Connection::new(cx, flow, options, iss, Opening::Active);
        connection.rcv.scale = window_scale_for(options.receive_buffer);
        connection.rcv.sack = true;
        connection.syn_pending = true;
        connection.enter(cx, Cause::ActiveOpen);
        cx.counters.active_opens += 1;
        connection
    }

    /// A listener's half-open connection whose SYN-ACK is about to be acknowledged.
    pub(crate) fn complete(cx: &mut Context, half: &HalfOpen, options: Options) -> Connection {
        let mut connection = Connection::new(cx, half.flow, options, half.iss, Opening::Passive);
        connection.state = State::SynReceived;
        connection.rcv.scale = half.our_scale;
        connection.rcv.synchronize(half.irs);
        connection.accept_offer(cx, half.offer);
        connection.snd.nxt = half.iss + 1;
        connection.snd.set_window(half.irs, half.iss, half.peer_window);
        connection.syn_was_lost = half.resent;
        connection.syn_sent_at = half.sent_at;
        connection
    }

    /// Both SYNs' options are known, RFC 7323 §2.2, RFC 2018 §2.
    pub(crate) fn accept_offer(&mut self, cx: &Context, offer: Offer) {
        self.peer_mss = usize::from(offer.mss);
        self.update_mss();
        self.congestion = Congestion::new(
            self.options.congestion,
            cx.config.initial_window,
            self.snd.mss,
            u64::from(self.snd.iss.0),
        );
        self.rcv.sack = offer.sack;
        self.window_scaling = offer.window_scale.is_some();
        self.snd.scale = offer.window_scale.unwrap_or(0);
        if !self.window_scaling {
            self.rcv.scale = 0;
        }
    }

    pub(crate) fn family(&self) -> Family {
        Family::of(self.flow.local.ip())
    }

    /// What the path carries in one packet, headers without options taken off.
    fn largest_segment(&self) -> usize {
        self.path_mtu.saturating_sub(self.family().headers())
    }

    /// RFC 9293 MUST-16: the peer's MSS, the path and the user all have a say.
    pub(crate) fn update_mss(&mut self) {
        let user = self.options.max_segment.map_or(usize::MAX, usize::from);
        self.snd.mss = self.peer_mss.min(self.largest_segment()).min(user).max(MIN_MSS);
    }

    /// RFC 1191 §6.4: a router says that the path carries less. What is in flight was too large for it and goes again,
    /// without blame on congestion.
    pub(crate) fn on_fragmentation_needed(&mut self, mtu: usize) {
        // Routers older than RFC 1191 name no size: its §7 table, the step below.
        let named = if mtu == 0 {
            PLATEAUS.into_iter().find(|step| *step < self.path_mtu)
        } else {
            Some(mtu)
        };
        // As Linux: below the least we believe in, routers may cut our packets instead; in IPv6 no router does.
        let least = self.family().min_path_mtu();
        self.fragmentable |= self.family() == Family::V4 && named.is_some_and(|named| named < least);
        let mtu = named.unwrap_or(least).max(least);
        if mtu >= self.path_mtu {
            return;
        }
        self.path_mtu = mtu;
        self.update_mss();
        self.snd.in_flight.mark_all_lost();
        drop(self.snd.in_flight.take_losses());
        self.retransmit_pending = true;
    }

    /// The IP identification of the next packet, when it may be fragmented: then it needs one (RFC 6864 §4.1).
    pub(crate) fn next_identification(&mut self, text: usize) -> Option<u16> {
        let packets = u16::try_from(text.div_ceil(self.snd.mss.max(1)))
            .unwrap_or(u16::MAX)
            .max(1);
        let identification = self.identification;
        self.identification = identification.wrapping_add(packets);
        self.fragmentable.then_some(identification)
    }

    /// Follows Figure 5's arrow for `cause`, if there is one. The only place where `state` changes.
    pub(crate) fn enter(&mut self, cx: &mut Context, cause: Cause) {
        let Some(to) = self.state.on(cause) else { return };
        let from = core::mem::replace(&mut self.state, to);
        cx.record(Some(self.flow), EventKind::Transition { from, to, cause });
        self.notify = true;
        match from {
            // RFC 4022: tcpAttemptFails, tcpEstabResets.
            State::SynSent | State::SynReceived if to == State::Closed => cx.counters.attempt_fails += 1,
            State::Established | State::CloseWait if to == State::Closed => cx.counters.estab_resets += 1,
            _ => {}
        }
        match to {
            State::Established => {
                self.was_established = true;
                cx.counters.established += 1;
                self.start_keepalive(cx.now);
            }
            State::FinWait2 if self.orphan => self.timers.fin_wait_2 = Some(cx.now + cx.config.fin_timeout),
            State::TimeWait | State::Closed => self.retire(),
            _ => {}
        }
    }

    /// Nothing more will be sent or taken in; what was received may still be read.
    fn retire(&mut self) {
        self.timers = Timers::default();
        self.snd.ring.clear();
        self.snd.in_flight.clear();
        self.rcv.stop();
        self.syn_pending = false;
        self.probe_pending = false;
    }

    /// The connection ends without ceremony.
    pub(crate) fn fail(&mut self, cx: &mut Context, cause: Cause, error: Error) {
        self.error = Some(error);
        self.arrivals = self.arrivals.wrapping_add(1);
        self.enter(cx, cause);
    }

    pub(crate) fn disposal(&self) -> Disposal {
        match self.state {
            State::Closed => Disposal::Closed,
            State::TimeWait => Disposal::TimeWait,
            _ => Disposal::Keep,
        }
    }

    // What the user can do.

    /// SEND: as much of `data` as there is room for.
    pub(crate) fn send(&mut self, data: &[u8]) -> Result<usize, Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        match self.state {
            State::SynSent | State::SynReceived => Err(Error::WouldBlock),
            State::Established | State::CloseWait if !self.snd.fin_queued => {
                let taken = self.snd.ring.append(data)?;
                if taken == 0 && !data.is_empty() {
                    Err(Error::WouldBlock)
                } else {
                    Ok(taken)
                }
            }
            _ => Err(Error::BrokenPipe),
        }
    }

    /// RECEIVE: what can be read at `offset`; `Ok(0)` at the end of the stream. An error is told once.
    pub(crate) fn peek(&mut self, offset: usize, into: &mut [u8]) -> Result<usize, Error> {
        let copied = self.rcv.ring.copy_to(offset, into);
        if copied > 0 || into.is_empty() {
            return Ok(copied);
        }
        if let Some(error) = self.error.take() {
            self.notify = true;
            return Err(error);
        }
        let at_end = self.read_shut || self.rcv.is_finished() || self.state == State::Closed;
        if at_end { Ok(0) } else { Err(Error::WouldBlock) }
    }

    /// RECEIVE, for good.
    pub(crate) fn recv(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        let count = self.peek(0, into)?;
        self.consume(count);
        Ok(count)
    }

    /// The first `count` bytes received have been read.
    pub(crate) fn consume(&mut self, count: usize) {
        self.rcv.read(count);
        let text_may_come = matches!(self.state, State::Established | State::FinWait1 | State::FinWait2);
        if text_may_come && !self.rcv.is_finished() && self.rcv.should_update_window() {
            self.rcv.owe(AckDebt::Now);
        }
        if !text_may_come && self.rcv.ring.is_empty() {
            self.rcv.ring.clear();
        }
    }

    /// CLOSE of one or both halves, RFC 9293 §3.10.4.
    pub(crate) fn shutdown(&mut self, cx: &mut Context, how: Shutdown) {
        if how != Shutdown::Write {
            self.read_shut = true;
            self.arrivals = self.arrivals.wrapping_add(1);
            self.notify = true;
        }
        if how != Shutdown::Read && !self.snd.fin_queued && self.state != State::Closed {
            self.snd.fin_queued = true;
            self.enter(cx, Cause::UserClosed);
        }
    }

    /// The user gives the connection up. `true`: with an RST, because what the peer sent is thrown away
    /// (RFC 9293 SHLD-3, RFC 2525 §2.17) or the user wants it so.
    pub(crate) fn close(&mut self, cx: &mut Context) -> bool {
        self.orphan = true;
        let unread = !self.rcv.ring.is_empty();
        let no_linger = self.options.linger == Some(Duration::ZERO);
        let resets = (unread || no_linger) && self.may_reset();
        if resets {
            self.enter(cx, Cause::Aborted);
            return true;
        }
        self.shutdown(cx, Shutdown::Write);
        self.rcv.stop();
        if self.state == State::FinWait2 {
            self.timers.fin_wait_2 = Some(cx.now + cx.config.fin_timeout);
        }
        false
    }

    /// The peer has a connection that an RST would end, RFC 9293 §3.10.5.
    pub(crate) fn may_reset(&self) -> bool {
        matches!(
            self.state,
            State::SynReceived | State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait
        ) || matches!(self.state, State::Closing | State::LastAck) && self.options.linger == Some(Duration::ZERO)
    }

    /// Changed options take effect.
    pub(crate) fn set_options(&mut self, now: Instant, options: Options) {
        let keepalive_changed = self.options.keepalive != options.keepalive
            || self.options.keepalive_idle != options.keepalive_idle
            || self.options.keepalive_interval != options.keepalive_interval;
        self.options = options;
        self.snd.ring.set_limit(options.send_buffer);
        self.rcv.ring.set_limit(options.receive_buffer);
        self.update_mss();
        self.congestion.select(options.congestion, self.snd.mss);
        if keepalive_changed {
            self.start_keepalive(now);
        }
        self.notify = true;
    }

    /// RFC 9293 MUST-26: the clock of keepalive starts when the connection falls silent.
    pub(crate) fn start_keepalive(&mut self, now: Instant) {
        let alive = self.state.is_synchronized() && self.state != State::TimeWait;
        self.timers.keepalive = (self.options.keepalive && alive).then(|| now + self.options.keepalive_idle);
    }

    // What the user can see.

    /// Linux's `tcp_poll`.
    pub(crate) fn readiness(&self) -> Readiness {
        let opening = matches!(self.state, State::SynSent | State::SynReceived);
        let dead = self.state == State::Closed;
        let read_closed = self.read_shut || self.rcv.is_finished() || dead;
        let write_closed = self.snd.fin_queued || dead;
        let room = self.snd.ring.space() >= self.snd.ring.len() / 2 && self.snd.ring.space() > 0;
        Readiness {
            readable: (!opening && !self.rcv.ring.is_empty()) || read_closed || self.error.is_some(),
            writable: !opening && (write_closed || room) || dead,
            read_closed,
            hang_up: (read_closed && write_closed) || dead,
            error: self.error.is_some(),
            arrivals: self.arrivals,
        }
    }

    /// Bytes, and a FIN, that the peer has not acknowledged: `SIOCOUTQ`.
    pub(crate) fn queued_out(&self) -> usize {
        if self.snd.syn_acked() {
            self.snd.end().distance_from(self.snd.una)
        } else {
            0
        }
    }

    /// Whether bytes or a FIN are still to be acknowledged.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        !matches!(self.state, State::Closed | State::TimeWait) && self.queued_out() > 0
    }

    pub(crate) fn buffer_bytes(&self) -> usize {
        self.snd.ring.allocated() + self.rcv.ring.allocated()
    }

    pub(crate) fn info(&self, config: &Config, now: Instant) -> Info {
        let mss = self.snd.mss.max(1);
        let segments = |bytes: usize| count32(bytes.div_ceil(mss));
        Info {
            state: self.state,
            rto: self.rtt.rto(),
            srtt: self.rtt.srtt().unwrap_or_default(),
            rttvar: self.rtt.variation(),
            min_rtt: self.rtt.min().unwrap_or_default(),
            cwnd: segments(self.congestion.cwnd()),
            ssthresh: if self.congestion.ssthresh() == usize::MAX {
                u32::MAX
            } else {
                segments(self.congestion.ssthresh())
            },
            congestion: self.congestion.algorithm(),
            pacing_rate: self.congestion.pacing_rate(),
            snd_mss: count32(mss),
            rcv_mss: count32(self.rcv.largest_text.min(self.largest_segment())),
            advmss: u32::from(announced_mss(config, self.family(), &self.options)),
            pmtu: count32(self.path_mtu),
            snd_wnd: count32(self.snd.wnd),
            rcv_wnd: count32(self.rcv.window()),
            unacked: segments(self.snd.in_flight.outstanding()),
            sacked: segments(self.snd.in_flight.sacked()),
            lost: segments(self.snd.in_flight.lost()),
            retrans: segments(self.snd.in_flight.retransmitted()),
            total_retrans: self.retransmissions,
            delivered: count32(
                usize::try_from(self.snd.in_flight.delivered())
                    .unwrap_or(usize::MAX)
                    .div_ceil(mss),
            ),
            retransmits: self.timeouts,
            probes: self.probes,
            backoff: self.rtt.backoff().max(self.probe_backoff),
            window_scale: self.window_scaling.then_some((self.snd.scale, self.rcv.scale)),
            sack: self.rcv.sack,
            bytes_acked: self.bytes_acked,
            bytes_received: self.rcv.bytes_received,
            bytes_sent: self.bytes_sent,
            bytes_retrans: self.bytes_retransmitted,
            segs_out: self.segments_out,
            segs_in: self.segments_in,
            notsent: count32(self.snd.unsent()),
            last_data_sent: now.since(self.last_text_sent),
            last_data_received: now.since(self.last_text_received),
            last_ack_received: now.since(self.last_received),
        }
    }
}

fn count32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
