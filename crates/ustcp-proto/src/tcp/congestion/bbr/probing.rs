//! When BBR probes for bandwidth, and how it raises its long-term bound while it does.

use core::time::Duration;

use crate::Instant;

/// Which acknowledgements belong to a probe for bandwidth: they come a round trip after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feedback {
    Starting,
    Coming,
    Stopping,
    Over,
    Refilling,
}

/// In rounds: a Reno flow on the same path is left time to recover.
const LONGEST_WAIT: u64 = 63;

#[derive(Clone, Copy, Debug)]
pub(super) struct Probing {
    pub(super) feedback: Feedback,
    /// Losses are the fault of the probe, and have not been answered yet.
    pub(super) answerable: bool,
    cycle_start: Instant,
    wait: Duration,
    up_rounds: u32,
    up_acked: usize,
    /// Bytes acknowledged for each byte by which the long-term bound rises.
    up_count: usize,
    random: u64,
}

impl Probing {
    pub(super) fn new(seed: u64) -> Probing {
        Probing {
            feedback: Feedback::Stopping,
            answerable: false,
            cycle_start: Instant::ZERO,
            wait: Duration::ZERO,
            up_rounds: 0,
            up_acked: 0,
            up_count: usize::MAX,
            random: seed,
        }
    }

    /// The next probe comes in 2 to 3 s. Returns with which count of rounds the wait begins, 0 or 1.
    pub(super) fn begin_cycle(&mut self, now: Instant) -> u64 {
        self.feedback = Feedback::Stopping;
        self.up_count = usize::MAX;
        self.cycle_start = now;
        let random = self.next_random();
        self.wait = Duration::from_secs(2) + Duration::from_micros(random % 1_000_000);
        random >> 63
    }

    pub(super) fn refill(&mut self) {
        self.up_rounds = 0;
        self.up_acked = 0;
        self.feedback = Feedback::Refilling;
    }

    /// `window` in segments is how many rounds Reno would need to get back what it lost.
    pub(super) fn is_time(&self, now: Instant, rounds: u64, window: u64) -> bool {
        now > self.cycle_start + self.wait || rounds >= window.min(LONGEST_WAIT)
    }

    /// The bound rises by 1, 2, 4 ... segments in each round.
    pub(super) fn raise_slope(&mut self, cwnd: usize, mss: usize) {
        let growth = mss.saturating_mul(1 << self.up_rounds.min(30));
        self.up_rounds += 1;
        self.up_count = (cwnd / growth.max(1)).max(1);
    }

    /// By how many bytes `acked` raise the bound.
    pub(super) fn raise(&mut self, acked: usize) -> usize {
        self.up_acked += acked;
        let raise = self.up_acked / self.up_count;
        self.up_acked -= raise * self.up_count;
        raise
    }

    /// SplitMix64: good enough to keep flows from probing together, and the same on every run.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
