//! What BBR knows of the path: its bandwidth, its round trip, its rounds, and whether it is full.

use core::time::Duration;

use super::super::pacing::volume_in;
use super::super::rate::RateSample;
use crate::Instant;

/// Round trips count towards the minimum for so long.
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);

/// The minimum is measured anew when it was not seen for so long.
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);

/// Rounds over which the aggregation of acknowledgements is remembered.
const AGGREGATION_ROUNDS: u64 = 10;

/// Packet-timed round trips: one ends when something is delivered that was sent after it began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    next_delivered: u64,
    /// The acknowledgement at hand begins a round.
    pub(super) started: bool,
    pub(super) count: u64,
    pub(super) since_probe: u64,
}

impl Rounds {
    pub(super) fn on_ack(&mut self, rate: &RateSample) {
        self.started = rate.prior_delivered >= self.next_delivered;
        if self.started {
            self.begin(rate.total_delivered);
            self.count += 1;
            self.since_probe += 1;
        }
    }

    pub(super) fn begin(&mut self, delivered: u64) {
        self.next_delivered = delivered;
    }
}

/// The highest delivery rate of this probing cycle and the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxBandwidth {
    current: u64,
    previous: u64,
}

impl MaxBandwidth {
    pub(super) fn get(&self) -> u64 {
        self.current.max(self.previous)
    }

    /// A rate that the application limited counts only when it shows that the path can do more than we thought.
    pub(super) fn on_ack(&mut self, rate: &RateSample) {
        let Some(sample) = rate.rate() else { return };
        if sample >= self.get() || !rate.app_limited {
            self.current = self.current.max(sample);
        }
    }

    pub(super) fn next_cycle(&mut self) {
        if self.current > 0 {
            self.previous = core::mem::take(&mut self.current);
        }
    }
}

/// The shortest round trip, and when it has to be looked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MinRtt {
    min: Option<(Duration, Instant)>,
    probed: Option<(Duration, Instant)>,
    /// It has not been seen lately.
    pub(super) due: bool,
}

impl MinRtt {
    pub(super) fn get(&self) -> Option<Duration> {
        self.min.map(|(rtt, _)| rtt)
    }

    pub(super) fn on_ack(&mut self, now: Instant, rtt: Option<Duration>) {
        self.due = self.probed.is_some_and(|(_, at)| now > at + PROBE_RTT_INTERVAL);
        if let Some(rtt) = rtt
            && (self.due || self.probed.is_none_or(|(probed, _)| rtt < probed))
        {
            self.probed = Some((rtt, now));
        }
        let expired = self.min.is_none_or(|(_, at)| now > at + MIN_RTT_FILTER);
        if let Some(probed) = self.probed
            && (expired || self.min.is_some_and(|(min, _)| probed.0 < min))
        {
            self.min = Some(probed);
        }
    }

    /// It was looked for: the interval begins again.
    pub(super) fn looked(&mut self, now: Instant) {
        if let Some((_, at)) = &mut self.probed {
            *at = now;
        }
    }
}

/// Whether sending faster still delivers faster.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FullPipe {
    baseline: u64,
    flat_rounds: u8,
    /// In this probe it does not.
    pub(super) now: bool,
    /// It once did not.
    pub(super) reached: bool,
}

impl FullPipe {
    /// A new probe begins at a rate of `baseline`.
    pub(super) fn restart(&mut self, baseline: u64) {
        self.baseline = baseline;
        self.flat_rounds = 0;
        self.now = false;
    }

    /// Three rounds with less than a quarter's gain: full.
    pub(super) fn on_ack(&mut self, rate: &RateSample, round_started: bool) {
        let Some(sample) = rate.rate() else { return };
        if self.now || !round_started || rate.app_limited {
            return;
        }
        if u128::from(sample) * 4 >= u128::from(self.baseline) * 5 {
            self.restart(sample);
            return;
        }
        self.flat_rounds += 1;
        self.now = self.flat_rounds >= 3;
        self.reached |= self.now;
    }
}

/// How much more than the bandwidth explains is acknowledged in one go: the window has to be larger by that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aggregation {
    since: Instant,
    delivered: u64,
    /// The largest excess of these rounds and of those before.
    current: u64,
    previous: u64,
    round: u64,
}

impl Aggregation {
    pub(super) fn get(&self) -> usize {
        usize::try_from(self.current.max(self.previous)).unwrap_or(usize::MAX)
    }

    pub(super) fn restart(&mut self, now: Instant) {
        self.since = now;
        self.delivered = 0;
    }

    /// `rounds`, and whether the pipe has been full: before, one round is remembered.
    pub(super) fn on_ack(&mut self, now: Instant, delivered: usize, bandwidth: u64, cwnd: usize, rounds: (u64, bool)) {
        let mut expected = volume_in(now.since(self.since), bandwidth);
        if self.delivered <= expected {
            self.restart(now);
            expected = 0;
        }
        self.delivered += delivered as u64;
        let excess = (self.delivered - expected).min(cwnd as u64);
        // Two halves of the filter's length stand for a window that slides.
        let half = if rounds.1 { AGGREGATION_ROUNDS / 2 } else { 1 };
        if rounds.0 >= self.round + half {
            self.round = rounds.0;
            self.previous = core::mem::take(&mut self.current);
        }
        self.current = self.current.max(excess);
    }
}
