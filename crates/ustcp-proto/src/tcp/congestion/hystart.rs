//! HyStart++, RFC 9406: leaves slow start when round trips grow longer, before losses end it.
//!
//! The shortest round trip of a round does so only when the window is already twice what the path holds. A sign that comes
//! in time is HyStart's other one, which RFC 9406 leaves out and Linux has (RFC 9438 §4.10): a train of acknowledgements.

use core::time::Duration;

use super::control::AckSample;
use crate::Instant;

#[cfg(test)]
mod tests;

const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
const CSS_GROWTH_DIVISOR: usize = 4;
const CSS_ROUNDS: u8 = 5;

/// Acknowledgements that follow each other so closely are of one train: Linux's `hystart_ack_delta_us`.
const TRAIN_GAP: Duration = Duration::from_millis(2);
/// How long a receiver may wait to acknowledge several segments at once, as Linux allows for it.
const TRAIN_SLACK: Duration = Duration::from_millis(1);

/// What slow start is to do with an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Grow by this many bytes.
    Grow(usize),
    /// The same, though there are signs that the path is full.
    GrowWarned(usize),
    /// The path is full: congestion avoidance begins.
    Leave,
}

/// Conservative slow start: grow slowly until it is sure that the path is full.
#[derive(Clone, Copy, Debug)]
struct Conservative {
    /// Round trips shorter than this show that the alarm was false.
    baseline: Duration,
    rounds: u8,
}

/// Acknowledgements without a gap between them, from the first of a round on.
#[derive(Clone, Copy, Debug)]
struct Train {
    began: Instant,
    last: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HyStart {
    /// The round ends with the acknowledgement of what was sent after this much was delivered.
    round_end: Option<u64>,
    last_min: Option<Duration>,
    current_min: Option<Duration>,
    samples: u32,
    /// The shortest round trip of all.
    shortest: Option<Duration>,
    train: Option<Train>,
    conservative: Option<Conservative>,
}

impl HyStart {
    /// An acknowledgement in the first slow start of a connection.
    // L, the most segments that one acknowledgement adds, is unlimited: acknowledgements of super-segments stand for
    // the many that their receiver left out.
    pub(crate) fn on_ack(&mut self, ack: &AckSample) -> Pace {
        let ended = self.advance_round(ack);
        if let Some(rtt) = ack.rtt {
            self.current_min = Some(self.current_min.map_or(rtt, |min| min.min(rtt)));
            self.shortest = Some(self.shortest.map_or(rtt, |shortest| shortest.min(rtt)));
            self.samples += 1;
        }
        let long_train = self.train_fills_path(ack.now);
        match self.conservative {
            None => self.watch_for_delay(),
            Some(phase) => self.watch_for_false_alarm(phase, ended),
        }
        match self.conservative {
            None if long_train => Pace::GrowWarned(ack.acked),
            None => Pace::Grow(ack.acked),
            Some(phase) if phase.rounds >= CSS_ROUNDS => Pace::Leave,
            Some(_) => Pace::GrowWarned(ack.acked / CSS_GROWTH_DIVISOR),
        }
    }

    /// RFC 9406 §4.2's rounds, timed by what is delivered rather than by SND.NXT: both end when something is
    /// acknowledged that was sent after the round began.
    fn advance_round(&mut self, ack: &AckSample) -> bool {
        let Some(rate) = ack.rate else { return false };
        match self.round_end {
            Some(end) if rate.prior_delivered < end => false,
            first_or_ended => {
                self.round_end = Some(rate.total_delivered);
                self.last_min = self.current_min.take();
                self.samples = 0;
                self.train = Some(Train {
                    began: ack.now,
                    last: ack.now,
                });
                first_or_ended.is_some()
            }
        }
    }

    /// The window takes half a round trip to pass the narrowest link, and what it lets go will take a whole one.
    fn train_fills_path(&mut self, now: Instant) -> bool {
        let (Some(train), Some(shortest)) = (&mut self.train, self.shortest) else {
            return false;
        };
        if now.since(train.last) > TRAIN_GAP {
            return false; // and so it is for the rest of the round
        }
        train.last = now;
        now.since(train.began) > (shortest + TRAIN_SLACK) / 2
    }

    fn watch_for_delay(&mut self) {
        let (Some(current), Some(last)) = (self.current_min, self.last_min) else {
            return;
        };
        let threshold = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
        if self.samples >= N_RTT_SAMPLE && current >= last + threshold {
            self.conservative = Some(Conservative {
                baseline: current,
                rounds: 0,
            });
        }
    }

    fn watch_for_false_alarm(&mut self, mut phase: Conservative, round_ended: bool) {
        // The round in which it began counts, though it was a part of one.
        phase.rounds += u8::from(round_ended);
        let shorter = self.current_min.is_some_and(|min| min < phase.baseline);
        let resume = self.samples >= N_RTT_SAMPLE && shorter;
        self.conservative = (!resume).then_some(phase);
    }
}
