//! What losses have taught BBR: how fast and how much is safe, for now and in the long term.

use super::super::control::scaled;
use super::super::rate::{Loss, RateSample};

/// More than this share lost, in percent, and too much was in flight.
const LOSS_THRESHOLD: u64 = 2;

/// What is kept when the model has to shrink, in tenths.
const BETA: usize = 7;

/// Room left for others below the long-term bound, in percent.
const HEADROOM: usize = 15;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub(super) bandwidth_shortterm: Option<u64>,
    pub(super) inflight_shortterm: Option<usize>,
    pub(super) inflight_longterm: Option<usize>,
    /// The best of the latest round.
    pub(super) bandwidth_latest: u64,
    pub(super) inflight_latest: usize,
    loss_in_round: bool,
    loss_round_delivered: u64,
    /// The acknowledgement at hand ends a round that began with a loss.
    pub(super) loss_round_started: bool,
    pub(super) ranges_lost: u32,
}

impl Bounds {
    /// Says whether this is the first loss of a round.
    pub(super) fn note_loss(&mut self, delivered: u64) -> bool {
        let first = !self.loss_in_round;
        if first {
            self.loss_round_delivered = delivered;
        }
        self.loss_in_round = true;
        self.ranges_lost = self.ranges_lost.saturating_add(1);
        first
    }

    /// Before anything else is made of an acknowledgement.
    pub(super) fn begin_ack(&mut self, rate: &RateSample) {
        let volume = usize::try_from(rate.delivered).unwrap_or(usize::MAX);
        self.bandwidth_latest = self.bandwidth_latest.max(rate.rate().unwrap_or(0));
        self.inflight_latest = self.inflight_latest.max(volume);
        self.loss_round_started = rate.prior_delivered >= self.loss_round_delivered;
        if self.loss_round_started {
            self.loss_round_delivered = rate.total_delivered;
        }
    }

    /// Once a round, unless it is the sender that pushes: towards what the path delivered last.
    pub(super) fn adapt(&mut self, probing: bool, bandwidth: u64, cwnd: usize) {
        if !self.loss_round_started {
            return;
        }
        if self.loss_in_round && !probing {
            let rate = self.bandwidth_shortterm.unwrap_or(bandwidth);
            let volume = self.inflight_shortterm.unwrap_or(cwnd);
            self.bandwidth_shortterm = Some(self.bandwidth_latest.max(rate / 10 * BETA as u64));
            self.inflight_shortterm = Some(self.inflight_latest.max(scaled(volume, BETA, 10)));
        }
        self.loss_in_round = false;
    }

    /// After everything else.
    pub(super) fn end_ack(&mut self, rate: &RateSample) {
        if self.loss_round_started {
            self.bandwidth_latest = rate.rate().unwrap_or(0);
            self.inflight_latest = usize::try_from(rate.delivered).unwrap_or(usize::MAX);
            self.ranges_lost = 0;
        }
    }

    pub(super) fn reset_signals(&mut self) {
        self.loss_in_round = false;
        self.bandwidth_latest = 0;
        self.inflight_latest = 0;
    }

    pub(super) fn reset_shortterm(&mut self) {
        self.bandwidth_shortterm = None;
        self.inflight_shortterm = None;
    }

    /// The window of data that losses allow, with room for others.
    pub(super) fn with_headroom(&self, mss: usize, least: usize) -> Option<usize> {
        self.inflight_longterm
            .map(|bound| bound.saturating_sub(scaled(bound, HEADROOM, 100).max(mss)).max(least))
    }

    /// Too much was in flight: the long-term bound falls to where losses began, but not by more than β.
    pub(super) fn lower_longterm(&mut self, at_loss: usize, target: usize) {
        self.inflight_longterm = Some(at_loss.max(scaled(target, BETA, 10)));
    }

    /// What was undone had never been lost.
    pub(super) fn restore(&mut self, before: &Bounds) {
        self.loss_in_round = false;
        self.bandwidth_shortterm = largest(self.bandwidth_shortterm, before.bandwidth_shortterm);
        self.inflight_shortterm = largest(self.inflight_shortterm, before.inflight_shortterm);
        self.inflight_longterm = largest(self.inflight_longterm, before.inflight_longterm);
    }
}

/// No bound at all is the largest.
fn largest<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    Some(one?.max(other?))
}

pub(super) fn is_too_much(lost: u64, in_flight: usize) -> bool {
    u128::from(lost) * 100 > in_flight as u128 * u128::from(LOSS_THRESHOLD)
}

/// How much was in flight when the share of losses rose above the threshold, which may have been inside of `loss`.
pub(super) fn inflight_at(loss: &Loss) -> usize {
    let before = loss.in_flight.saturating_sub(loss.bytes) as u64;
    let lost_before = loss.lost.saturating_sub(loss.bytes as u64);
    let tolerated = before.saturating_mul(LOSS_THRESHOLD);
    let prefix = tolerated.saturating_sub(lost_before.saturating_mul(100)) / (100 - LOSS_THRESHOLD);
    usize::try_from(before.saturating_add(prefix)).unwrap_or(usize::MAX)
}
