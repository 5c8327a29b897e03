//! Congestion control: how much may be in flight, and how fast it may leave.
//!
//! [`Congestion`] is what a connection holds: one of three algorithms behind [`CongestionControl`], and what they share
//! in loss recovery.

mod bbr;
#[cfg(test)]
mod bottleneck;
mod control;
mod cubic;
mod hystart;
mod pacing;
mod prr;
mod rate;
mod reno;
#[cfg(test)]
mod tests;

use ustcp_wire::SeqNum;

use bbr::Bbr;
use control::{CongestionControl, initial_window};
use cubic::Cubic;
use prr::Prr;
use reno::Reno;

use crate::Instant;

pub(crate) use control::{AckSample, InDoubt, Restart, Signal};
pub(crate) use pacing::{Pacer, quantum};
pub(crate) use prr::RecoveryAck;
pub(crate) use rate::{Loss, RateSample, Sampler, Snapshot};

/// The congestion control algorithms, by their names in Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406).
    #[default]
    Cubic,
    /// NewReno (RFC 5681, RFC 6582).
    Reno,
    /// BBR, version 3 (draft-ietf-ccwg-bbr), which paces what it sends.
    Bbr,
}

impl Algorithm {
    /// All of them, in the order in which they are preferred.
    pub const ALL: [Algorithm; 3] = [Algorithm::Cubic, Algorithm::Reno, Algorithm::Bbr];

    /// What `TCP_CONGESTION` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Cubic => "cubic",
            Algorithm::Reno => "reno",
            Algorithm::Bbr => "bbr",
        }
    }

    /// The one that `TCP_CONGESTION` calls so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// An algorithm at work.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every connection runs CUBIC, and needs no allocation for it"
)]
enum Control {
    Cubic(Cubic),
    Reno(Reno),
    /// Some 500 bytes, which the others do not need.
    Bbr(Box<Bbr>),
}

impl Control {
    fn new(algorithm: Algorithm, initial: usize, mss: usize, seed: u64) -> Control {
        match algorithm {
            Algorithm::Cubic => Control::Cubic(Cubic::new(initial)),
            Algorithm::Reno => Control::Reno(Reno::new(initial)),
            Algorithm::Bbr => Control::Bbr(Box::new(Bbr::new(initial, mss, seed))),
        }
    }

    fn get(&self) -> &dyn CongestionControl {
        match self {
            Control::Cubic(cubic) => cubic,
            Control::Reno(reno) => reno,
            Control::Bbr(bbr) => bbr.as_ref(),
        }
    }

    fn get_mut(&mut self) -> &mut dyn CongestionControl {
        match self {
            Control::Cubic(cubic) => cubic,
            Control::Reno(reno) => reno,
            Control::Bbr(bbr) => bbr.as_mut(),
        }
    }
}

/// Which losses are being repaired, until everything before `until` is acknowledged.
#[derive(Clone, Copy, Debug)]
enum Recovery {
    None,
    /// Fast recovery; by proportional rate reduction, with the window that it allows.
    Fast {
        until: SeqNum,
        reduction: Option<(Prr, usize)>,
    },
    /// Nothing is lost, but the peer has echoed an ECN mark: the same reduction (RFC 9937 §6), until something sent
    /// after it is acknowledged, for the echo goes on until our CWR has arrived.
    Marked {
        until: SeqNum,
        reduction: Option<(Prr, usize)>,
    },
    /// After a timeout.
    Loss {
        until: SeqNum,
    },
}

/// The congestion control of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Congestion {
    algorithm: Algorithm,
    control: Control,
    recovery: Recovery,
    /// The window was reduced, and the peer not yet told (CWR, RFC 3168 §6.1.2).
    reduced: bool,
    seed: u64,
}

impl Congestion {
    /// `initial_segments` of `mss` bytes to begin with, RFC 6928. `seed` sets apart connections that would do the same
    /// thing at the same time.
    pub(crate) fn new(algorithm: Algorithm, initial_segments: u32, mss: usize, seed: u64) -> Congestion {
        Congestion {
            algorithm,
            control: Control::new(algorithm, initial_window(initial_segments, mss), mss, seed),
            recovery: Recovery::None,
            reduced: false,
            seed,
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Another algorithm takes over the window, as with Linux's `TCP_CONGESTION`.
    pub(crate) fn select(&mut self, algorithm: Algorithm, mss: usize) {
        if algorithm == self.algorithm {
            return;
        }
        let (cwnd, ssthresh) = (self.control.get().cwnd(), self.control.get().ssthresh());
        self.algorithm = algorithm;
        self.control = Control::new(algorithm, cwnd, mss, self.seed);
        self.control.get_mut().begin_at(cwnd, ssthresh);
    }

    /// RFC 5681 §3.1: a SYN or SYN-ACK was lost, so begin with one segment.
    pub(crate) fn after_lost_syn(&mut self, mss: usize) {
        let ssthresh = self.ssthresh();
        self.control.get_mut().begin_at(mss, ssthresh);
    }

    /// Most bytes in flight now.
    pub(crate) fn cwnd(&self) -> usize {
        match self.recovery {
            Recovery::Fast {
                reduction: Some((_, window)),
                ..
            }
            | Recovery::Marked {
                reduction: Some((_, window)),
                ..
            } => window,
            Recovery::Fast { reduction: None, .. }
            | Recovery::Marked { reduction: None, .. }
            | Recovery::Loss { .. }
            | Recovery::None => self.control.get().cwnd(),
        }
    }

    pub(crate) fn ssthresh(&self) -> usize {
        self.control.get().ssthresh()
    }

    pub(crate) fn pacing_rate(&self) -> Option<u64> {
        self.control.get().pacing_rate()
    }

    /// What fast recovery waits for.
    pub(crate) fn recovery(&self) -> Option<SeqNum> {
        match self.recovery {
            Recovery::Fast { until, .. } => Some(until),
            Recovery::Marked { .. } | Recovery::Loss { .. } | Recovery::None => None,
        }
    }

    /// The window is being reduced, and held meanwhile.
    pub(crate) fn is_reducing(&self) -> bool {
        matches!(self.recovery, Recovery::Fast { .. } | Recovery::Marked { .. })
    }

    fn reduction_mut(&mut self) -> Option<&mut (Prr, usize)> {
        match &mut self.recovery {
            Recovery::Fast { reduction, .. } | Recovery::Marked { reduction, .. } => reduction.as_mut(),
            Recovery::Loss { .. } | Recovery::None => None,
        }
    }

    /// Losses are being repaired.
    pub(crate) fn is_recovering(&self) -> bool {
        matches!(self.recovery, Recovery::Fast { .. } | Recovery::Loss { .. })
    }

    /// They are those that a timeout has brought to light.
    pub(crate) fn is_after_timeout(&self) -> bool {
        matches!(self.recovery, Recovery::Loss { .. })
    }

    /// Losses that are no sign of congestion are repaired until everything before `until` is acknowledged.
    pub(crate) fn repair_without_blame(&mut self, until: SeqNum) {
        self.recovery = Recovery::Loss { until };
    }

    /// Text is about to be sent when none is in flight.
    pub(crate) fn on_restart(&mut self, restart: &Restart) {
        self.control.get_mut().on_restart(restart);
    }

    /// Text was sent, for the first time or again.
    pub(crate) fn on_sent(&mut self, bytes: usize) {
        if let Some((prr, _)) = self.reduction_mut() {
            prr.on_sent(bytes);
        }
    }

    /// An acknowledgement that delivered something. It comes after what it has shown to be lost, and after the end of
    /// recovery if it brings that.
    pub(crate) fn on_ack(&mut self, ack: &AckSample) {
        self.control.get_mut().on_ack(ack);
    }

    pub(crate) fn on_range_lost(&mut self, now: Instant, loss: &Loss) {
        self.control.get_mut().on_range_lost(now, loss);
    }

    /// Fast recovery begins. `recover_fs` is RFC 9937's: what it can deliver.
    pub(crate) fn on_loss(&mut self, signal: &Signal, until: SeqNum, recover_fs: usize) {
        let reduction = match self.recovery {
            // RFC 3168 §6.1.2: one window of data, one reduction, whether marks or losses asked for it first.
            Recovery::Marked {
                reduction: Some(reduction),
                ..
            } => Some(reduction),
            _ => {
                self.control.get_mut().on_loss(signal);
                self.begin_reduction(recover_fs)
            }
        };
        self.recovery = Recovery::Fast { until, reduction };
    }

    fn begin_reduction(&mut self, recover_fs: usize) -> Option<(Prr, usize)> {
        self.reduced = true;
        let control = self.control.get();
        control
            .reduces_proportionally()
            .then(|| (Prr::on_entry(control.ssthresh(), recover_fs), control.cwnd()))
    }

    /// An acknowledgement in fast recovery, the first one among them: how much it lets go.
    pub(crate) fn reduce(&mut self, ack: &RecoveryAck, mss: usize) {
        if let Some((prr, window)) = self.reduction_mut()
            && let Some(allowed) = prr.on_ack(ack, mss)
        {
            *window = ack.in_flight + allowed;
        }
    }

    /// The retransmission timer went off: `first` when it is not the same text once more.
    pub(crate) fn on_timeout(&mut self, signal: &Signal, until: SeqNum, first: bool) {
        let first = first && !matches!(self.recovery, Recovery::Marked { .. });
        self.control.get_mut().on_timeout(signal, first);
        self.reduced = true;
        self.recovery = Recovery::Loss { until };
    }

    /// `una` is acknowledged, and perhaps recovery is over with it: then the window is at most `bound`.
    pub(crate) fn advance(&mut self, una: SeqNum, bound: Option<usize>) {
        let (until, fast) = match self.recovery {
            Recovery::Fast { until, .. } => (until, true),
            Recovery::Marked { until, .. } => (until + 1, false),
            Recovery::Loss { until } => (until, false),
            Recovery::None => return,
        };
        if una.before(until) {
            return;
        }
        self.recovery = Recovery::None;
        let control = self.control.get_mut();
        control.on_recovered(); // RFC 9937 §6.2: at ssthresh
        if let Some(bound) = bound.filter(|bound| fast && *bound < control.cwnd()) {
            let ssthresh = control.ssthresh();
            control.begin_at(bound, ssthresh);
        }
    }

    /// What was held to be lost never was: window and threshold are those of before, and nothing is repaired.
    pub(crate) fn undo(&mut self) {
        self.recovery = Recovery::None;
        self.reduced = false;
        self.control.get_mut().undo();
    }

    /// The same about the recoveries before the last one; the last is judged by itself.
    pub(crate) fn undo_earlier(&mut self) {
        self.control.get_mut().undo_earlier();
    }

    /// The peer echoes an ECN mark. Says whether that is news: it is not while the window is being reduced, or was
    /// after a timeout, for what was sent before that.
    pub(crate) fn on_ecn(&mut self, signal: &Signal, until: SeqNum, recover_fs: usize) -> bool {
        if !matches!(self.recovery, Recovery::None) {
            return false;
        }
        let control = self.control.get_mut();
        let reduction = if control.cwnd() > signal.mss {
            control.on_ecn(signal);
            self.begin_reduction(recover_fs)
        } else {
            self.reduced = true; // the least window there is
            None
        };
        self.recovery = Recovery::Marked { until, reduction };
        true
    }

    /// Whether the window was reduced since this was last asked.
    pub(crate) fn take_reduced(&mut self) -> bool {
        core::mem::take(&mut self.reduced)
    }

    /// What the algorithm is told of congestion felt with `flight` bytes unacknowledged.
    // What limited transmit has added does not count (RFC 5681 §3.2 step 2), and neither does what was SACKed and
    // replaced beyond a hole that stays open: a loss must not make the window larger.
    pub(crate) fn signal(&self, mss: usize, flight: usize) -> Signal {
        Signal {
            mss,
            flight: flight.min(self.control.get().cwnd()),
            in_recovery: self.is_recovering(),
            in_doubt: InDoubt::Nothing,
        }
    }
}
