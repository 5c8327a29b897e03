//! CUBIC, RFC 9438: the window as a cubic function of the time since the last loss.
//!
//! Windows are in bytes; the RFC's equations are in segments and seconds, so C = 0.4 becomes 0.4 MSS a cubic second.
//! Times inside the cube are in microseconds.

use core::time::Duration;

use super::control::{AckSample, CongestionControl, Memory, Restart, Signal, scaled};
use super::hystart::{HyStart, Pace};
use crate::Instant;

#[cfg(test)]
mod tests;

/// RFC 9438 §5: β and C as fractions.
const BETA: (usize, usize) = (7, 10);
const C: (u128, u128) = (2, 5);

/// RFC 8511 §3.1: what is kept after an ECN echo.
const BETA_ECN: (usize, usize) = (85, 100);

/// α of §4.3, 3 (1 − β) / (1 + β), as a fraction. At or above the window of the last loss it is 1.
const ALPHA: (u128, u128) = (9, 17);

/// Farther from K than this the curve is steeper than any window can follow: beyond it the cube could overflow.
const FARTHEST: u64 = 100_000_000_000;

/// A stage of congestion avoidance.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// When it began, put off by the time in which the window was not in use (§5.8).
    start: Instant,
    /// The last acknowledgement that was accounted for.
    last: Instant,
    /// Where the curve is flat.
    origin: usize,
    /// When it is, in microseconds after the start.
    k: u64,
    /// W_est: the window that Reno would have, with its remainder.
    estimate: usize,
    estimate_credit: usize,
    credit: usize,
}

/// What the curve is drawn from.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    /// W_max: the window when it was last reduced, or somewhat less (fast convergence). 0: the next stage is the first,
    /// or the first after a timeout, and its curve begins flat (§4.8, §4.10).
    w_max: usize,
    /// cwnd_prior: the window when it was last reduced.
    prior: usize,
    epoch: Option<Epoch>,
}

/// What undo restores.
#[derive(Clone, Copy, Debug)]
struct Before {
    cwnd: usize,
    ssthresh: usize,
    shape: Shape,
}

/// In a smaller window no sign is believed that stands alone (Linux's `hystart_low_window`). Segments.
const LOW_WINDOW: usize = 16;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cubic {
    cwnd: usize,
    ssthresh: usize,
    initial: usize,
    hystart: HyStart,
    /// The path has been seen to feign losses: a reduction was undone.
    misled: bool,
    shape: Shape,
    before: Memory<Before>,
}

impl Cubic {
    pub(crate) fn new(initial: usize) -> Cubic {
        Cubic {
            cwnd: initial,
            ssthresh: usize::MAX,
            initial,
            hystart: HyStart::default(),
            misled: false,
            shape: Shape::default(),
            before: Memory::EMPTY,
        }
    }

    fn slow_start(&mut self, ack: &AckSample) {
        if self.ssthresh < usize::MAX {
            let room = self.ssthresh - self.cwnd;
            self.cwnd += ack.acked.min(room.max(ack.mss));
            return;
        }
        // RFC 9406 §4.3: HyStart++ is for the first slow start only. Where a path reorders its first sign is enough, for an
        // overshoot is dear there: what repairs it carries new timestamps past text that is late, which the peer then must
        // throw away (RFC 7323 §5.3), so that one recovery is the cause of the next.
        match self.hystart.on_ack(ack) {
            Pace::Grow(bytes) => self.cwnd += bytes,
            Pace::GrowWarned(bytes) if !self.misled || self.cwnd < LOW_WINDOW * ack.mss => self.cwnd += bytes,
            Pace::GrowWarned(_) | Pace::Leave => {
                self.ssthresh = self.cwnd;
                self.shape.prior = self.cwnd;
            }
        }
    }

    /// §4.2 to §4.5.
    fn avoid_congestion(&mut self, ack: &AckSample) {
        let cwnd = self.cwnd;
        let prior = self.shape.prior;
        let mut epoch = match self.shape.epoch {
            Some(epoch) => epoch,
            None => self.begin_epoch(ack),
        };
        epoch.last = ack.now;
        let elapsed = ack.now.since(epoch.start);
        epoch.estimate_as_reno(ack, cwnd, prior);
        let now = epoch.window_at(elapsed, ack.mss);
        self.cwnd = if now < epoch.estimate {
            cwnd.max(epoch.estimate) // the Reno-friendly region
        } else {
            let rtt = ack.srtt.unwrap_or_default();
            let target = epoch.window_at(elapsed + rtt, ack.mss).clamp(cwnd, cwnd + cwnd / 2);
            cwnd + epoch.step_towards(target, cwnd, ack.acked)
        };
        self.shape.epoch = Some(epoch);
    }

    fn begin_epoch(&mut self, ack: &AckSample) -> Epoch {
        self.shape.w_max = self.shape.w_max.max(self.cwnd);
        Epoch {
            start: ack.now,
            last: ack.now,
            origin: self.shape.w_max,
            k: cubic_k(self.shape.w_max - self.cwnd, ack.mss),
            estimate: self.cwnd,
            estimate_credit: 0,
            credit: 0,
        }
    }

    /// §4.6 and §4.7.
    fn reduce(&mut self, signal: &Signal, (kept, of): (usize, usize)) {
        self.before.remember(
            signal,
            Before {
                cwnd: self.cwnd,
                ssthresh: self.ssthresh,
                shape: self.shape,
            },
        );
        // What was not in use says nothing about the path: RFC 9438 §4.6 by way of FlightSize.
        let window = self.cwnd.min(signal.flight.max(2 * signal.mss));
        self.shape = Shape {
            w_max: if window < self.shape.w_max {
                scaled(window, BETA.1 + BETA.0, 2 * BETA.1)
            } else {
                window
            },
            prior: window,
            epoch: None,
        };
        self.ssthresh = scaled(signal.flight, kept, of).max(2 * signal.mss);
        self.cwnd = self.ssthresh;
    }

    fn restore(&mut self, before: Option<Before>) {
        if let Some(before) = before {
            self.misled = true;
            self.cwnd = self.cwnd.max(before.cwnd);
            self.ssthresh = self.ssthresh.max(before.ssthresh);
            self.shape = before.shape;
        }
    }
}

impl CongestionControl for Cubic {
    fn on_ack(&mut self, ack: &AckSample) {
        if !ack.cwnd_limited {
            if let Some(epoch) = &mut self.shape.epoch {
                epoch.pause_until(ack.now);
            }
        } else if ack.in_recovery {
            // The window is held, and the next stage begins when recovery is over.
        } else if self.cwnd < self.ssthresh {
            self.slow_start(ack);
        } else {
            self.avoid_congestion(ack);
        }
    }

    fn on_loss(&mut self, signal: &Signal) {
        self.reduce(signal, BETA);
    }

    fn on_timeout(&mut self, signal: &Signal, first: bool) {
        if first {
            self.reduce(signal, BETA);
            self.shape.w_max = 0; // §4.8
        }
        self.cwnd = signal.mss;
    }

    fn on_ecn(&mut self, signal: &Signal) {
        self.reduce(signal, BETA_ECN);
        self.before = Memory::EMPTY; // a mark is no guess that could prove wrong
    }

    fn on_restart(&mut self, restart: &Restart) {
        if restart.rto_passed && self.cwnd > self.initial {
            self.cwnd = self.initial; // RFC 5681 §4.1
            self.shape.epoch = None;
            self.hystart = HyStart::default();
        }
        if let Some(epoch) = &mut self.shape.epoch {
            epoch.pause_until(restart.now);
        }
    }

    fn begin_at(&mut self, cwnd: usize, ssthresh: usize) {
        self.cwnd = cwnd;
        self.ssthresh = ssthresh;
    }

    fn undo(&mut self) {
        let before = self.before.undo();
        self.restore(before);
    }

    fn undo_earlier(&mut self) {
        let before = self.before.undo_earlier();
        self.restore(before);
    }

    fn cwnd(&self) -> usize {
        self.cwnd
    }

    fn ssthresh(&self) -> usize {
        self.ssthresh
    }
}

impl Epoch {
    /// The time since the last acknowledgement does not count.
    fn pause_until(&mut self, now: Instant) {
        self.start = self.start + now.since(self.last);
        self.last = now;
    }

    /// §4.3: W_est grows by α segments for each window acknowledged.
    fn estimate_as_reno(&mut self, ack: &AckSample, cwnd: usize, prior: usize) {
        let (numerator, denominator) = if self.estimate < prior { ALPHA } else { (1, 1) };
        let growth = numerator * ack.mss as u128 * ack.acked as u128 / denominator;
        let whole = whole_of(growth, cwnd, &mut self.estimate_credit);
        self.estimate = self.estimate.saturating_add(whole);
    }

    /// §4.2: W_cubic, in bytes.
    fn window_at(&self, elapsed: Duration, mss: usize) -> usize {
        let elapsed = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let distance = u128::from(elapsed.abs_diff(self.k).min(FARTHEST));
        let rise = distance.pow(3) * C.0 * mss as u128 / (C.1 * 1_000_000_000_000_000_000);
        let rise = usize::try_from(rise).unwrap_or(usize::MAX);
        if elapsed >= self.k {
            self.origin.saturating_add(rise)
        } else {
            self.origin.saturating_sub(rise)
        }
    }

    /// §4.4: (target − cwnd) / cwnd segments for each segment acknowledged.
    fn step_towards(&mut self, target: usize, cwnd: usize, acked: usize) -> usize {
        whole_of((target - cwnd) as u128 * acked as u128, cwnd, &mut self.credit)
    }
}

/// `growth / by`, with what is left over from time to time kept in `credit`.
fn whole_of(growth: u128, by: usize, credit: &mut usize) -> usize {
    let sum = growth + *credit as u128;
    let by = by.max(1) as u128;
    *credit = usize::try_from(sum % by).unwrap_or(0);
    usize::try_from(sum / by).unwrap_or(usize::MAX)
}

/// §4.2's K in microseconds: the cube root of `below` / C.
fn cubic_k(below: usize, mss: usize) -> u64 {
    cube_root(below as u128 * 1_000_000_000_000_000_000 * C.1 / (C.0 * mss.max(1) as u128))
}

/// The largest number whose cube is at most `value`, as far as 2^42.
fn cube_root(value: u128) -> u64 {
    (0..42).rev().fold(0, |root, bit| {
        let larger = root | 1 << bit;
        if u128::from(larger).pow(3) <= value {
            larger
        } else {
            root
        }
    })
}
