//! A connection: its parts, what its user can do, and how it moves from state to state.

use ustcp_wire::SeqNum;

use super::autotune::{Limits, RightSizing};
use super::congestion::{Congestion, Pacer};
use super::cork::Cork;
use super::delayed_ack::DelayedAck;
use super::ecn::EcnFeedback;
use super::mtu_probing::MtuProbing;
use super::path::Path;
use super::receive::Receive;
use super::rtt::Rtt;
use super::send::Send;
use super::tail_probe::TailProbe;
use super::tally::Tally;
use super::timers::Timers;
use super::transmit::Probe;
use super::undo::Undo;
use super::{FastOpen, HalfOpen, Lesson, MIN_MSS, Offer, Timestamps, announced_mss, receive_buffer, window_scale};
use crate::context::Context;
use crate::report::{ErrorReport, Reports, Severity};
use crate::{Cause, Error, EventKind, Family, Flow, Instant, Options, State};

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

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) flow: Flow,
    pub(crate) state: State,
    pub(crate) opening: Opening,
    pub(crate) snd: Send,
    pub(crate) rcv: Receive,
    pub(crate) timestamps: Timestamps,
    pub(crate) rtt: Rtt,
    pub(crate) congestion: Congestion,
    pub(crate) pacer: Pacer,
    pub(crate) tail_probe: TailProbe,
    pub(crate) undo: Undo,
    pub(crate) ecn: EcnFeedback,
    pub(super) acks: DelayedAck,
    pub(super) sizing: RightSizing,
    pub(super) limits: Limits,
    pub(crate) timers: Timers,
    pub(crate) options: Options,
    pub(crate) cork: Cork,
    pub(crate) tally: Tally,
    /// The headers of its SYN (`TCP_SAVED_SYN`).
    pub(crate) saved_syn: Option<Box<[u8]>>,
    /// What SO_ERROR will say.
    pub(crate) error: Option<Error>,
    /// What ICMP said without ending the connection: the reason, should it time out.
    pub(crate) soft_error: Option<Error>,
    /// What ICMP said about the attempt to connect, for `MSG_ERRQUEUE`.
    pub(crate) reports: Reports,
    /// Its user has closed it, or gone and will.
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
    pub(crate) fast_open: FastOpen,
    /// What an attempt at Fast Open has shown and the stack has not heard yet.
    pub(crate) lesson: Option<Lesson>,
    /// Text of the SYN was taken, by whoever it came to.
    pub(crate) syn_text_acked: bool,
    /// The SYN or SYN-ACK is to be sent (again).
    pub(crate) syn_pending: bool,
    /// A window or keepalive probe is to be sent.
    pub(super) probe: Probe,
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
    /// When the first window probe was due since text could last be sent.
    pub(crate) probing_since: Option<Instant>,
    /// When the SYN or SYN-ACK was sent first, as far as that was kept.
    pub(crate) syn_sent_at: Option<Instant>,
    pub(crate) last_text_sent: Instant,
    pub(crate) last_text_received: Instant,
    pub(crate) last_received: Instant,
    /// When the last acknowledgement of an unacceptable segment or challenge was sent, RFC 5961 §5.3 and §10.
    pub(crate) last_challenge: Option<Instant>,
    pub(crate) path: Path,
    pub(super) mtu_probing: MtuProbing,
    identification: u16,
    pub(crate) peer_mss: usize,
    pub(crate) window_scaling: bool,
    pub(crate) segments_in: u32,
    pub(crate) segments_out: u32,
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_retransmitted: u64,
    pub(crate) retransmissions: u32,
    /// Segments that D-SACKs told of.
    pub(crate) duplicates_told: u32,
}

impl Connection {
    fn new(cx: &Context, flow: Flow, options: Options, iss: SeqNum, opening: Opening) -> Connection {
        let path = Path::towards(cx, flow.remote.ip());
        let family = Family::of(flow.local.ip());
        let peer_mss = usize::from(family.default_mss());
        let limits = Limits::of(&cx.config);
        let our_mss = usize::from(announced_mss(path.mtu, family, &options)).max(1);
        let mss = peer_mss.min(path.mtu.saturating_sub(family.headers())).max(MIN_MSS);
        Connection {
            flow,
            state: State::Closed,
            opening,
            snd: Send::new(
                iss,
                options
                    .send_buffer
                    .map_or(cx.config.send_buffer, |asked| limits.send_buffer(asked)),
                mss,
            ),
            rcv: Receive::new(receive_buffer(&cx.config, &options), our_mss, options.window_clamp),
            timestamps: Timestamps::OFF,
            rtt: Rtt::new(&cx.config),
            congestion: Congestion::new(options.congestion, cx.config.initial_window, mss, u64::from(iss.0)),
            pacer: Pacer::default(),
            tail_probe: TailProbe::default(),
            undo: Undo::default(),
            ecn: EcnFeedback::new(false),
            acks: DelayedAck::new(cx.now, &cx.config, options.quick_ack),
            sizing: RightSizing::new(cx.now, our_mss),
            limits,
            timers: Timers::default(),
            options,
            cork: Cork::default(),
            tally: Tally::default(),
            saved_syn: None,
            error: None,
            soft_error: None,
            reports: Reports::default(),
            orphan: false,
            read_shut: false,
            notify: false,
            arrivals: 0,
            was_established: false,
            connect_told: opening == Opening::Passive,
            fast_open: FastOpen::Off,
            lesson: None,
            syn_text_acked: false,
            syn_pending: false,
            probe: Probe::None,
            retransmit_pending: false,
            duplicate_acks: 0,
            recover: iss,
            cwnd_limited: false,
            timeouts: 0,
            first_timeout: None,
            syn_was_lost: false,
            probes: 0,
            probe_backoff: 0,
            probing_since: None,
            syn_sent_at: None,
            last_text_sent: cx.now,
            last_text_received: cx.now,
            last_received: cx.now,
            last_challenge: None,
            path,
            mtu_probing: MtuProbing::default(),
            identification: 0,
            peer_mss,
            window_scaling: cx.config.window_scaling,
            segments_in: 0,
            segments_out: 0,
            bytes_acked: 0,
            bytes_sent: 0,
            bytes_retransmitted: 0,
            retransmissions: 0,
            duplicates_told: 0,
        }
    }

    /// Active OPEN: the SYN goes out with the next output.
    pub(crate) fn open(
        cx: &mut Context,
        flow: Flow,
        options: Options,
        iss: SeqNum,
        timestamps: Timestamps,
        fast_open: FastOpen,
    ) -> Connection {
        let mut connection = Connection::new(cx, flow, options, iss, Opening::Active);
        connection.timestamps = timestamps;
        connection.rcv.scale = window_scale(&cx.config, &options);
        connection.rcv.sack = cx.config.sack;
        connection.fast_open = fast_open;
        connection.syn_pending = !matches!(fast_open, FastOpen::Deferred(_));
        connection.enter(cx, Cause::ActiveOpen);
        cx.counters.active_opens += 1;
        connection
    }

    /// A listener's half-open connection whose SYN-ACK is about to be acknowledged.
    pub(crate) fn complete(cx: &mut Context, half: &HalfOpen, options: Options) -> Connection {
        let mut connection = Connection::new(cx, half.flow, options, half.iss, Opening::Passive);
        connection.state = State::SynReceived;
        connection.rcv.scale = half.our_scale;
        connection.rcv.synchronize(half.irs, half.our_window);
        connection.timestamps = half.timestamps;
        connection.accept_offer(cx, half.offer);
        connection.snd.nxt = half.iss + 1;
        connection.snd.set_window(half.irs, half.iss, half.peer_window);
        connection.syn_was_lost = half.resent;
        connection.syn_sent_at = half.acked_after.map(|rtt| cx.now - rtt).or(half.sent_at);
        connection.ecn = EcnFeedback::new(half.ecn);
        connection
    }

    /// Both SYNs' options are known, RFC 7323 §2.2, RFC 2018 §2.
    pub(crate) fn accept_offer(&mut self, cx: &Context, offer: Offer) {
        self.mtu_probing = MtuProbing::begin(&cx.config);
        self.take_peer_mss(offer.mss);
        self.congestion = Congestion::new(
            self.options.congestion,
            cx.config.initial_window,
            self.snd.mss,
            u64::from(self.snd.iss.0),
        );
        self.rcv.reserve(self.timestamps.overhead());
        self.rcv.sack = offer.sack;
        self.rcv.dsack = cx.config.dsack;
        let offered = self.opening == Opening::Passive || self.window_scaling;
        let peer_scale = offer.window_scale.filter(|_| offered);
        self.window_scaling = peer_scale.is_some();
        self.snd.scale = peer_scale.unwrap_or(0);
        if !self.window_scaling {
            self.rcv.scale = 0;
        }
    }

    pub(crate) fn family(&self) -> Family {
        Family::of(self.flow.local.ip())
    }

    /// The IP identification of the next packet, when it may be fragmented: then it needs one (RFC 6864 §4.1).
    pub(crate) fn next_identification(&mut self, text: usize) -> Option<u16> {
        let packets = u16::try_from(text.div_ceil(self.snd.mss.max(1)))
            .unwrap_or(u16::MAX)
            .max(1);
        let identification = self.identification;
        self.identification = identification.wrapping_add(packets);
        self.path.fragmentable.then_some(identification)
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
            State::TimeWait | State::Closed => self.retire(),
            _ => {}
        }
    }

    /// Nobody listens any more, so the peer is not waited for for ever. `true`: it is not waited for at all, and gets RST.
    pub(crate) fn start_fin_wait_2(&mut self, cx: &mut Context) -> bool {
        match self.fin_wait(&cx.config) {
            Some(time) => self.timers.fin_wait_2 = Some(cx.now + time),
            None => self.enter(cx, Cause::Aborted),
        }
        self.state == State::Closed
    }

    /// Nothing more will be sent or taken in; what was received may still be read.
    fn retire(&mut self) {
        self.timers = Timers::default();
        self.snd.ring.clear();
        self.snd.in_flight.clear();
        self.rcv.stop();
        self.syn_pending = false;
        self.probe = Probe::None;
    }

    /// The connection ends without ceremony.
    pub(crate) fn fail(&mut self, cx: &mut Context, cause: Cause, error: Error) {
        self.error = Some(error);
        self.arrivals = self.arrivals.wrapping_add(1);
        self.enter(cx, cause);
    }

    /// A router or the other host says that a segment of ours did not arrive.
    pub(crate) fn on_icmp_error(&mut self, cx: &mut Context, report: ErrorReport, severity: Severity) {
        let error = report.error;
        // SYN-RECEIVED is here a simultaneous open.
        let attempt = matches!(self.state, State::SynSent | State::SynReceived) && !self.was_established;
        let ends = attempt && (severity == Severity::Hard || cx.config.soft_errors_end_connect);
        if attempt && (ends || self.options.error_queue) {
            self.reports.push(report);
            self.notify = true;
        }
        if ends {
            self.fail(cx, Cause::Aborted, error);
        } else if self.options.error_queue {
            self.error = Some(error); // as Linux: the next call tells it, and the connection goes on
            self.notify = true;
        } else {
            self.soft_error = Some(error);
        }
    }

    pub(crate) fn disposal(&self) -> Disposal {
        match self.state {
            State::Closed => Disposal::Closed,
            State::TimeWait => Disposal::TimeWait,
            _ => Disposal::Keep,
        }
    }
}
