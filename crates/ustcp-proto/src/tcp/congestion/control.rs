//! What a congestion control algorithm is told, and what it answers.

use core::time::Duration;

use super::rate::{Loss, RateSample};
use crate::Instant;

/// An acknowledgement that delivered something, as an algorithm sees it. All volumes are in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckSample {
    pub(crate) now: Instant,
    /// The segment size we send with.
    pub(crate) mss: usize,
    /// Newly acknowledged cumulatively, a segment that was smaller counted as a full one (RFC 5681 §3.1 recommends its bytes;
    /// Linux counts segments). It counts once nothing of it is left.
    pub(crate) acked: usize,
    /// Newly known to have reached the peer, cumulatively or by SACK.
    pub(crate) delivered: usize,
    /// Round trip measured by this acknowledgement.
    pub(crate) rtt: Option<Duration>,
    pub(crate) srtt: Option<Duration>,
    /// Held to be in the network after this acknowledgement.
    pub(crate) in_flight: usize,
    /// The congestion window was what held the sender back: only a window in use may grow (RFC 7661, RFC 9438 §5.8).
    pub(crate) cwnd_limited: bool,
    /// In fast recovery, which holds the window.
    pub(crate) in_recovery: bool,
    pub(crate) rate: Option<RateSample>,
}

/// Congestion was felt: a loss that begins recovery, a timeout, or an ECN echo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signal {
    pub(crate) mss: usize,
    /// RFC 5681's FlightSize, sent and not cumulatively acknowledged, as far as the window allowed it.
    pub(crate) flight: usize,
    /// Losses were being repaired already, so that what undo restores is older than this.
    pub(crate) in_recovery: bool,
    /// Which of the reductions before this one may still prove needless.
    pub(crate) in_doubt: InDoubt,
}

/// Reductions that may still be undone when the next one comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InDoubt {
    Nothing,
    /// The last.
    Last,
    /// The last and those before it, all together.
    All,
    /// Those before the last, which has been undone.
    Earlier,
}

/// How things were before the last reduction, and before those in doubt when it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory<T> {
    last: Option<T>,
    earlier: Option<T>,
}

impl<T: Copy> Memory<T> {
    pub(crate) const EMPTY: Memory<T> = Memory {
        last: None,
        earlier: None,
    };

    /// A reduction begins from `now`.
    pub(crate) fn remember(&mut self, signal: &Signal, now: T) {
        if signal.in_recovery && self.last.is_some() {
            return; // of which this one is a part
        }
        self.earlier = match signal.in_doubt {
            InDoubt::Nothing => None,
            InDoubt::Last => self.last,
            InDoubt::All => self.earlier.or(self.last),
            InDoubt::Earlier => self.earlier,
        };
        self.last = Some(now);
    }

    /// What the last reduction is to be undone to.
    pub(crate) fn undo(&mut self) -> Option<T> {
        self.last.take()
    }

    /// The same for those before it: at once, or when the last proves needless too.
    pub(crate) fn undo_earlier(&mut self) -> Option<T> {
        let earlier = self.earlier.take()?;
        match &mut self.last {
            Some(last) => {
                *last = earlier;
                None
            }
            None => Some(earlier),
        }
    }
}

/// Something is about to be sent when nothing is in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restart {
    pub(crate) now: Instant,
    /// The last text was sent longer ago than a retransmission timeout, RFC 5681 §4.1.
    pub(crate) rto_passed: bool,
    pub(crate) srtt: Option<Duration>,
}

/// How much may be in flight, and how fast it may leave. Integers only, so that every machine computes the same.
pub(crate) trait CongestionControl {
    fn on_ack(&mut self, ack: &AckSample);

    /// A range is held to be lost. Told once for each of them.
    fn on_range_lost(&mut self, _now: Instant, _loss: &Loss) {}

    /// Fast recovery begins.
    fn on_loss(&mut self, signal: &Signal);

    /// The retransmission timer went off: `first` when it is not the same text once more.
    fn on_timeout(&mut self, signal: &Signal, first: bool);

    /// The peer echoes ECN marks, RFC 3168 §6.1.2. At most once in a round trip.
    fn on_ecn(&mut self, signal: &Signal);

    /// What recovery, of either kind, was about is acknowledged.
    fn on_recovered(&mut self) {}

    fn on_restart(&mut self, restart: &Restart);

    /// Begins with another window than the initial one.
    fn begin_at(&mut self, cwnd: usize, ssthresh: usize);

    /// The last reaction to loss was wrong: nothing was lost (RFC 4015, RFC 5682, RFC 9438 §4.9).
    fn undo(&mut self);

    /// Those before the last were.
    fn undo_earlier(&mut self) {}

    /// Most bytes in flight.
    fn cwnd(&self) -> usize;

    /// Below this, slow start; `usize::MAX` before the first loss.
    fn ssthresh(&self) -> usize;

    /// Bytes a second, for an algorithm that wants its segments spread out.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    /// Fast recovery sends by proportional rate reduction towards `ssthresh`, RFC 9937.
    fn reduces_proportionally(&self) -> bool {
        true
    }
}

/// RFC 6928: at most `segments` or about 14,600 bytes, and never below two segments.
pub(crate) fn initial_window(segments: u32, mss: usize) -> usize {
    let segments = usize::try_from(segments).unwrap_or(10);
    (segments * mss).min((2 * mss).max(segments * 1460))
}

/// `value * numerator / denominator`, whatever their sizes.
pub(crate) fn scaled(value: usize, numerator: usize, denominator: usize) -> usize {
    let product = value as u128 * numerator as u128;
    usize::try_from(product / denominator.max(1) as u128).unwrap_or(usize::MAX)
}
