//! Pacing: segments leave when their time has come, so that a window does not become a burst.

use core::time::Duration;

use crate::Instant;

#[cfg(test)]
mod tests;

/// What leaves in one piece lasts about this long at the pacing rate.
const QUANTUM_TIME: Duration = Duration::from_millis(1);

/// And is no larger than this.
const QUANTUM_LIMIT: usize = 64 * 1024;

/// The earliest time of departure of the next segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pacer {
    next: Instant,
}

impl Pacer {
    /// When the next segment may leave, if that is not yet.
    pub(crate) fn wait(&self, now: Instant) -> Option<Instant> {
        (self.next > now).then_some(self.next)
    }

    /// `bytes` left at `now`, at a rate of so many a second. A timer that went off late costs no rate: what was missed
    /// is made up, to the extent of one quantum.
    pub(crate) fn on_sent(&mut self, now: Instant, bytes: usize, rate: u64) {
        self.next = self.next.max(now - QUANTUM_TIME) + time_for(bytes, rate);
    }
}

/// The largest piece to hand out at once: 1 ms of `rate`, at most 64 KiB, at least two segments.
pub(crate) fn quantum(rate: u64, mss: usize) -> usize {
    let a_while = usize::try_from(volume_in(QUANTUM_TIME, rate)).unwrap_or(QUANTUM_LIMIT);
    a_while.min(QUANTUM_LIMIT).max(2 * mss)
}

/// What `rate` bytes a second come to in `time`.
pub(crate) fn volume_in(time: Duration, rate: u64) -> u64 {
    u64::try_from(u128::from(rate) * time.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
}

fn time_for(bytes: usize, rate: u64) -> Duration {
    let nanos = bytes as u128 * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
