//! What is in flight: byte ranges with the time they were sent and what became of them.
//!
//! A range is what left in one piece, up to a super-segment; acknowledgements and losses split it where they fall.
//! Nothing here counts packets: whoever wants segments divides bytes by the segment size.

use std::collections::VecDeque;

use core::time::Duration;

use ustcp_wire::{SackBlock, SeqNum};

use super::congestion::{Loss, RateSample, Sampler, Snapshot};
use crate::Instant;

/// Sent and not yet cumulatively acknowledged. A FIN counts as the byte after the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentRange {
    pub(crate) start: SeqNum,
    pub(crate) end: SeqNum,
    pub(crate) sent_at: Instant,
    /// How deliveries stood when this was sent: what delivery rates are measured by.
    rate: Snapshot,
    /// Counted as delivered: SACKed, though a timeout may have forgotten that.
    counted: bool,
    pub(crate) sacked: bool,
    /// Held to be lost, and not sent again since.
    pub(crate) lost: bool,
    pub(crate) retransmitted: bool,
}

impl SentRange {
    fn len(&self) -> usize {
        self.end.distance_from(self.start)
    }
}

/// The ranges in flight in sequence order, without gaps.
#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    ranges: VecDeque<SentRange>,
    sacked: usize,
    lost: usize,
    sampler: Sampler,
    /// What was held to be lost since it was last asked for.
    losses: Vec<Loss>,
}

/// What a cumulative acknowledgement covered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acknowledged {
    /// Bytes, a FIN among them.
    pub(crate) bytes: usize,
    /// When the youngest of them was sent, if all of them were sent just once: a round-trip sample (Karn). What was sent
    /// once but acknowledged only with a retransmission had to wait for it, and says nothing of the path.
    pub(crate) sample: Option<Instant>,
}

impl Scoreboard {
    /// Ranges kept apart at most. Beyond it new text joins the last range, so that tiny writes cannot grow the list.
    const LIMIT: usize = 4096;

    /// Bytes in flight whatever became of them.
    pub(crate) fn outstanding(&self) -> usize {
        match (self.ranges.front(), self.ranges.back()) {
            (Some(first), Some(last)) => last.end.distance_from(first.start),
            _ => 0,
        }
    }

    /// Bytes held to be still in the network: RFC 6675's pipe.
    pub(crate) fn pipe(&self) -> usize {
        self.outstanding().saturating_sub(self.sacked).saturating_sub(self.lost)
    }

    /// Bytes the receiver holds beyond a hole.
    pub(crate) fn sacked(&self) -> usize {
        self.sacked
    }

    /// Bytes held to be lost and not sent again since.
    pub(crate) fn lost(&self) -> usize {
        self.lost
    }

    /// Bytes sent again and not yet acknowledged.
    pub(crate) fn retransmitted(&self) -> usize {
        self.ranges
            .iter()
            .filter(|range| range.retransmitted)
            .map(SentRange::len)
            .sum()
    }

    /// Bytes delivered in the connection's life.
    pub(crate) fn delivered(&self) -> u64 {
        self.sampler.delivered()
    }

    /// There is nothing more to send, and the congestion window has room.
    pub(crate) fn on_app_limited(&mut self) {
        let in_flight = self.pipe();
        self.sampler.on_app_limited(in_flight);
    }

    /// The delivery rate that the acknowledgement at hand has measured.
    pub(crate) fn take_rate_sample(&mut self, min_rtt: Option<Duration>) -> Option<RateSample> {
        self.sampler.take_sample(min_rtt)
    }

    /// What was held to be lost since this was last called.
    pub(crate) fn take_losses(&mut self) -> impl ExactSizeIterator<Item = Loss> {
        self.losses.drain(..)
    }

    /// `[start, end)` was sent for the first time; `start` is where the last range ended.
    pub(crate) fn sent(&mut self, start: SeqNum, end: SeqNum, now: Instant) {
        let in_flight = self.pipe();
        let range = SentRange {
            start,
            end,
            sent_at: now,
            rate: self.sampler.on_sent(now, end.distance_from(start), in_flight),
            counted: false,
            sacked: false,
            lost: false,
            retransmitted: false,
        };
        let full = self.ranges.len() >= Scoreboard::LIMIT;
        match self.ranges.back_mut() {
            Some(last) if full && !last.counted && !last.lost => last.end = end,
            _ => self.ranges.push_back(range),
        }
    }

    /// Everything before `una` is acknowledged.
    pub(crate) fn acknowledge(&mut self, una: SeqNum, now: Instant) -> Acknowledged {
        let mut result = Acknowledged::default();
        let mut ambiguous = false;
        while let Some(front) = self.ranges.front_mut() {
            if front.start.at_or_after(una) {
                break;
            }
            let range = *front;
            let covered = range.end.min(una).distance_from(range.start);
            result.bytes += covered;
            if range.end.after(una) {
                front.start = una;
            } else {
                self.ranges.pop_front();
            }
            self.sacked -= if range.sacked { covered } else { 0 };
            self.lost -= if range.lost { covered } else { 0 };
            ambiguous |= range.retransmitted;
            if !range.counted {
                self.sampler.on_delivered(now, &range.rate, range.sent_at, covered);
            }
            if !range.sacked {
                result.sample = Some(range.sent_at);
            }
        }
        result.sample = result.sample.filter(|_| !ambiguous);
        result
    }

    /// The receiver holds `block`. Returns how many bytes of it are news. The caller has checked that it lies in flight.
    pub(crate) fn sack(&mut self, block: SackBlock, now: Instant) -> usize {
        // A peer that cuts what is in flight into bytes (CVE-2019-11478) gets so many pieces and no more: beyond it only
        // ranges that a block covers whole count as SACKed.
        if self.ranges.len() < Scoreboard::LIMIT {
            self.split_at(block.start);
            self.split_at(block.end);
        }
        let first = self.ranges.partition_point(|range| range.start.before(block.start));
        let beyond = self.ranges.partition_point(|range| range.end.at_or_before(block.end));
        let mut news = 0;
        for range in self.ranges.range_mut(first..beyond.max(first)) {
            if range.sacked {
                continue;
            }
            range.sacked = true;
            news += range.len();
            if !core::mem::replace(&mut range.counted, true) {
                self.sampler.on_delivered(now, &range.rate, range.sent_at, range.len());
            }
            if core::mem::take(&mut range.lost) {
                self.lost -= range.len();
            }
        }
        self.sacked += news;
        news
    }

    /// RFC 6675's IsLost: what has more than `threshold` SACKed bytes above it, and was not sent again, is lost.
    pub(crate) fn mark_lost_below_sacked(&mut self, threshold: usize) {
        let mut above = 0;
        for range in self.ranges.iter_mut().rev() {
            if range.sacked {
                above += range.len();
            } else if above > threshold && !range.lost && !range.retransmitted {
                range.lost = true;
                self.lost += range.len();
                self.losses.push(self.sampler.on_lost(&range.rate, range.len()));
            }
        }
    }

    /// The first `len` bytes in flight are lost: a third duplicate acknowledgement or a partial one without SACK.
    pub(crate) fn mark_first_lost(&mut self, len: usize) {
        let Some(first) = self.ranges.front() else { return };
        let end = first.start + len;
        self.split_at(end);
        if let Some(first) = self.ranges.front_mut()
            && !first.lost
            && !first.sacked
        {
            first.lost = true;
            self.lost += first.len();
            self.losses.push(self.sampler.on_lost(&first.rate, first.len()));
        }
    }

    /// The first range in flight was sent more than once.
    pub(crate) fn first_was_resent(&self) -> bool {
        self.ranges.front().is_some_and(|range| range.retransmitted)
    }

    /// A timeout: all of it is lost, and what was SACKed may have been reneged on (RFC 2018 §8).
    pub(crate) fn mark_all_lost(&mut self) {
        for range in &mut self.ranges {
            if !range.lost && !range.sacked {
                self.losses.push(self.sampler.on_lost(&range.rate, range.len()));
            }
            range.lost = true;
            range.sacked = false;
        }
        self.sacked = 0;
        self.lost = self.outstanding();
    }

    /// The first lost range.
    pub(crate) fn first_lost(&self) -> Option<SentRange> {
        if self.lost == 0 {
            None
        } else {
            self.ranges.iter().find(|range| range.lost).copied()
        }
    }

    /// `[start, end)`, part of one lost range, was sent again.
    pub(crate) fn resent(&mut self, start: SeqNum, end: SeqNum, now: Instant) {
        self.split_at(start);
        self.split_at(end);
        let rate = self.sampler.on_sent(now, end.distance_from(start), self.pipe());
        let index = self.ranges.partition_point(|range| range.start.before(start));
        if let Some(range) = self.ranges.get_mut(index) {
            if core::mem::take(&mut range.lost) {
                self.lost -= range.len();
            }
            range.retransmitted = true;
            range.sent_at = now;
            range.rate = rate;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Scoreboard {
            sampler: self.sampler,
            ..Scoreboard::default()
        };
    }

    /// Makes `at` a border between two ranges when it lies inside one.
    fn split_at(&mut self, at: SeqNum) {
        let index = self.ranges.partition_point(|range| range.end.at_or_before(at));
        let Some(range) = self.ranges.get_mut(index) else {
            return;
        };
        if range.start.before(at) {
            let mut tail = *range;
            tail.start = at;
            range.end = at;
            self.ranges.insert(index + 1, tail);
        }
    }
}

#[cfg(test)]
mod tests;
