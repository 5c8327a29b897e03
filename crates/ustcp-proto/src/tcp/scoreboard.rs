//! What is in flight: byte ranges with the time they were sent and what became of them.
//!
//! A range is what left in one piece, up to a super-segment; acknowledgements and losses split it where they fall.
//! Nothing here counts packets: whoever wants segments divides bytes by the segment size.

use std::collections::VecDeque;

use core::time::Duration;

use ustcp_wire::{SackBlock, SeqNum};

use super::congestion::{Loss, RateSample, Sampler, Snapshot};
use super::rack::{Rack, Sending};
use crate::Instant;

mod timeline;

use timeline::{Departure, Timeline};

/// Sent and not yet cumulatively acknowledged. A FIN counts as the byte after the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentRange {
    pub(crate) start: SeqNum,
    pub(crate) end: SeqNum,
    pub(crate) sent_at: Instant,
    departure: u64,
    /// It left in segments of this size, of which it is a part, or in several but for the last of them.
    segment_size: usize,
    /// How deliveries stood when this was sent: what delivery rates are measured by.
    rate: Snapshot,
    /// Counted as delivered: SACKed, though a timeout may have forgotten that.
    counted: bool,
    pub(crate) sacked: bool,
    /// Held to be lost, and not sent again since.
    pub(crate) lost: bool,
    /// Sent more than once.
    pub(crate) retransmitted: bool,
    /// So many ranges after a SACKed one are SACKed as well, at least: a block that covers them need not look at each.
    run: usize,
}

impl SentRange {
    fn len(&self) -> usize {
        self.end.distance_from(self.start)
    }

    fn sending(&self) -> Sending {
        Sending {
            start: self.start,
            end: self.end,
            sent_at: self.sent_at,
            departure: self.departure,
            retransmitted: self.retransmitted,
        }
    }

    fn departing(&self) -> Departure {
        Departure {
            number: self.departure,
            start: self.start,
            end: self.end,
        }
    }

    /// Neither known to have arrived nor held to be lost.
    fn is_on_its_way(&self) -> bool {
        !self.sacked && !self.lost
    }
}

/// The ranges in flight in sequence order, without gaps.
#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    ranges: VecDeque<SentRange>,
    /// The size of the segments in which text leaves now.
    pub(crate) segment_size: usize,
    sacked: usize,
    lost: usize,
    sampler: Sampler,
    pub(crate) rack: Rack,
    timeline: Timeline,
    departures: u64,
    /// No range before this one is held to be lost.
    no_loss_before: Option<SeqNum>,
    /// When the youngest was sent of what the acknowledgement at hand SACKs and was sent just once.
    sack_sample: Option<Instant>,
    /// The largest segment that it delivers.
    largest_delivered: usize,
    /// What was held to be lost since it was last asked for.
    losses: Vec<Loss>,
    /// Retransmissions that were lost themselves, likewise.
    lost_again: u64,
    /// Ranges looked at: what an acknowledgement costs.
    #[cfg(test)]
    steps: usize,
}

/// What a cumulative acknowledgement covered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acknowledged {
    /// Bytes, a FIN among them.
    pub(crate) bytes: usize,
    /// Segments of which nothing is left.
    pub(crate) segments: usize,
    /// Some of them were sent more than once.
    pub(crate) resent: bool,
    /// When the oldest and the youngest of them were sent, if all of them were sent just once: round-trip samples (Karn).
    /// What was sent once but acknowledged only with a retransmission had to wait for it, and says nothing of the path. A
    /// segment is measured once, when nothing of it is left (of a super-segment, as Linux, when what is left makes fewer): a
    /// peer that acknowledges piecemeal weighs no more.
    pub(crate) sent_once: Option<(Instant, Instant)>,
    /// When the first of them was sent last.
    pub(crate) first_sent_last: Option<Instant>,
}

impl Scoreboard {
    /// Ranges kept apart at most. Beyond it new text joins the last range, so that tiny writes cannot grow the list, and
    /// SACK blocks split no more.
    const LIMIT: usize = 4096;

    /// Ranges of this size on average may be more.
    const FAIR_SIZE: usize = 512;

    /// An acknowledgement has come; what it delivers follows.
    pub(crate) fn begin_acknowledgement(&mut self, min_rtt: Option<Duration>) {
        self.rack.begin(min_rtt);
        self.sack_sample = None;
        self.largest_delivered = 0;
    }

    /// Bytes of the largest segment that the acknowledgement at hand delivers.
    pub(crate) fn largest_delivered(&self) -> usize {
        self.largest_delivered
    }

    /// A round-trip sample by SACK: when what it measures was sent. After a timeout only of what was sent since: what is
    /// older may have been SACKed before, by an acknowledgement that was lost.
    pub(crate) fn sack_sample(&self, timed_out: bool) -> Option<Instant> {
        let since = self.ranges.front().filter(|_| timed_out).map(|first| first.sent_at);
        self.sack_sample.filter(|sent_at| Some(*sent_at) >= since)
    }

    /// Bytes in flight whatever became of them.
    pub(crate) fn outstanding(&self) -> usize {
        match (self.ranges.front(), self.ranges.back()) {
            (Some(first), Some(last)) => last.end.distance_from(first.start),
            _ => 0,
        }
    }

    /// At least so many segments are in flight, when each has `mss` bytes at most.
    pub(crate) fn segments(&self, mss: usize) -> usize {
        self.outstanding().div_ceil(mss).max(self.ranges.len())
    }

    /// All that is in flight left as one segment; `text` bytes of it are text, a FIN is not.
    pub(crate) fn is_one_segment(&self, text: usize) -> bool {
        self.ranges.len() == 1 && self.ranges.front().is_some_and(|range| text <= range.segment_size)
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

    /// Bytes sent again that are on their way.
    pub(crate) fn retransmitted(&self) -> usize {
        self.ranges
            .iter()
            .filter(|range| range.retransmitted && range.is_on_its_way())
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

    /// How many retransmissions were held to be lost since this was last called.
    pub(crate) fn take_lost_again(&mut self) -> u64 {
        core::mem::take(&mut self.lost_again)
    }

    /// `[start, end)` was sent for the first time; `start` is where the last range ended.
    pub(crate) fn sent(&mut self, start: SeqNum, end: SeqNum, now: Instant) {
        let in_flight = self.pipe();
        let range = SentRange {
            start,
            end,
            sent_at: now,
            departure: self.departures,
            segment_size: self.segment_size.min(end.distance_from(start)),
            rate: self.sampler.on_sent(now, end.distance_from(start), in_flight),
            counted: false,
            sacked: false,
            lost: false,
            retransmitted: false,
            run: 0,
        };
        let full = self.ranges.len() >= Scoreboard::LIMIT.max(self.outstanding() / Scoreboard::FAIR_SIZE);
        match self.ranges.back_mut() {
            Some(last) if full && !last.counted && !last.lost && !last.retransmitted => {
                last.end = end;
                last.segment_size = last.segment_size.min(self.segment_size);
                last.sent_at = now; // no part of it may be judged as older than it is
                last.departure = self.departures;
                let departing = last.departing();
                self.depart(departing);
            }
            _ => {
                self.depart(range.departing());
                self.ranges.push_back(range);
            }
        }
    }

    fn depart(&mut self, departure: Departure) {
        self.departures += 1;
        self.timeline.push(departure);
        if self.timeline.len() > 2 * self.ranges.len() + 64 {
            self.rebuild_timeline();
        }
    }

    fn rebuild_timeline(&mut self) {
        let waiting = self.ranges.iter().filter(|range| range.is_on_its_way());
        self.timeline.rebuild(waiting.map(SentRange::departing));
    }

    /// Everything before `una` is acknowledged, in answer to what left before `answers_before` as far as that is known.
    pub(crate) fn acknowledge(
        &mut self,
        una: SeqNum,
        now: Instant,
        answers_before: Option<Instant>,
        unit: usize,
    ) -> Acknowledged {
        let mut result = Acknowledged::default();
        while let Some(front) = self.ranges.front_mut() {
            if front.start.at_or_after(una) {
                break;
            }
            let range = *front;
            let covered = range.end.min(una).distance_from(range.start);
            result.bytes += covered;
            let left = range.len() - covered;
            if left > 0 {
                front.start = una;
            } else {
                self.ranges.pop_front();
            }
            let segments = range.len().div_ceil(unit) - left.div_ceil(unit);
            result.segments += segments;
            self.sacked -= if range.sacked { covered } else { 0 };
            self.lost -= if range.lost { covered } else { 0 };
            result.resent |= range.retransmitted;
            result.first_sent_last.get_or_insert(range.sent_at);
            if !range.counted {
                self.sampler.on_delivered(now, &range.rate, range.sent_at, covered);
            }
            if !range.sacked {
                self.largest_delivered = self.largest_delivered.max(range.segment_size);
                self.rack.on_delivered(range.sending(), now, answers_before);
                if segments > 0 {
                    let (oldest, _) = result.sent_once.unwrap_or((range.sent_at, range.sent_at));
                    result.sent_once = Some((oldest, range.sent_at));
                }
            }
        }
        self.timeline.acknowledge(una);
        result.sent_once = result.sent_once.filter(|_| !result.resent);
        result
    }

    /// When the first text that is not acknowledged was sent last.
    pub(crate) fn oldest_sent_at(&self) -> Option<Instant> {
        self.ranges.front().map(|range| range.sent_at)
    }

    /// The receiver holds `block`. Returns how many bytes of it are news. The caller has checked that it lies in flight.
    /// Super-segments are split at multiples of `unit` only, inside the block, as Linux does.
    pub(crate) fn sack(&mut self, block: SackBlock, now: Instant, unit: usize) -> usize {
        // A peer that cuts what is in flight into pieces (CVE-2019-11478) gets so many and no more: beyond it only
        // ranges that a block covers whole count as SACKed.
        if self.ranges.len() < Scoreboard::LIMIT {
            self.split_inside(block.start, unit, usize::div_ceil);
            self.split_inside(block.end, unit, core::ops::Div::div);
        }
        let first = self.ranges.partition_point(|range| range.start.before(block.start));
        let beyond = self.ranges.partition_point(|range| range.end.at_or_before(block.end));
        let mut news = 0;
        let mut at = first;
        while at < beyond
            && let Some(range) = self.ranges.get_mut(at)
        {
            if !core::mem::replace(&mut range.sacked, true) {
                news += range.len();
                if core::mem::take(&mut range.lost) {
                    self.lost -= range.len();
                }
                self.largest_delivered = self.largest_delivered.max(range.segment_size);
                if !range.retransmitted {
                    self.sack_sample = self.sack_sample.max(Some(range.sent_at));
                }
                // TSecr is about what was acknowledged last, not about what is SACKed.
                self.rack.on_delivered(range.sending(), now, None);
                if !core::mem::replace(&mut range.counted, true) {
                    self.sampler.on_delivered(now, &range.rate, range.sent_at, range.len());
                }
            }
            at += 1 + range.run;
            self.count_step();
        }
        self.sacked += news;
        self.remember_run(first, beyond, at);
        news
    }

    /// Everything from `first` to `end` is SACKed: the next block that covers it goes over it in one step.
    fn remember_run(&mut self, first: usize, beyond: usize, end: usize) {
        let mut at = first;
        while at < beyond
            && let Some(range) = self.ranges.get_mut(at)
        {
            let next = at + 1 + range.run;
            range.run = end - at - 1;
            at = next;
        }
    }

    /// RACK_detect_loss: what was overtaken and has waited its round trip and `window` since is lost. Returns when the
    /// next range will be, if any is overtaken.
    pub(crate) fn mark_overtaken(&mut self, now: Instant, window: Duration) -> Option<Instant> {
        while let Some(Departure { number, start, end }) = self.timeline.oldest().copied() {
            let mut index = self.ranges.partition_point(|range| range.end.at_or_before(start));
            while let Some(range) = self.ranges.get(index).filter(|range| range.start.before(end)) {
                if range.is_on_its_way() && range.departure == number {
                    if !self.rack.is_overtaken(&range.sending()) {
                        return None;
                    }
                    let patience_ends = self.rack.patience_ends(range.sent_at, window);
                    if patience_ends > now {
                        return Some(patience_ends);
                    }
                    self.mark_lost(index);
                }
                index += 1;
                self.count_step();
                // What is dealt with is not looked at again.
                if let Some(next) = self.ranges.get(index)
                    && let Some(oldest) = self.timeline.oldest()
                {
                    oldest.start = next.start;
                }
            }
            self.timeline.pop();
            self.count_step();
        }
        None
    }

    fn mark_lost(&mut self, index: usize) {
        let Some(range) = self.ranges.get_mut(index).filter(|range| range.is_on_its_way()) else {
            return;
        };
        range.lost = true;
        self.lost += range.len();
        self.losses.push(self.sampler.on_lost(&range.rate, range.len()));
        self.lost_again += u64::from(range.retransmitted);
        let start = range.start;
        self.no_loss_before = Some(self.no_loss_before.map_or(start, |hint| hint.min(start)));
    }

    /// The first `len` bytes in flight are lost: a third duplicate acknowledgement or a partial one without SACK.
    pub(crate) fn mark_first_lost(&mut self, len: usize) {
        let Some(first) = self.ranges.front() else { return };
        if !first.is_on_its_way() {
            return;
        }
        let end = first.start + len;
        self.split_at(end);
        self.mark_lost(0);
    }

    /// All before `end` that is not SACKed is lost.
    pub(crate) fn mark_lost_before(&mut self, end: SeqNum) {
        self.split_at(end);
        let beyond = self.ranges.partition_point(|range| range.end.at_or_before(end));
        (0..beyond).for_each(|index| self.mark_lost(index));
    }

    /// Bytes of the first range in flight.
    pub(crate) fn first_len(&self) -> usize {
        self.ranges.front().map_or(0, SentRange::len)
    }

    /// The first range in flight is SACKed, which no receiver that keeps its word would say of it (RFC 2018 §8).
    pub(crate) fn is_reneged_on(&self) -> bool {
        self.ranges.front().is_some_and(|range| range.sacked)
    }

    /// What was SACKed has been thrown away: all is lost.
    pub(crate) fn renege(&mut self) {
        for range in &mut self.ranges {
            range.sacked = false;
            range.run = 0;
        }
        self.sacked = 0;
        self.mark_all_lost();
    }

    /// A timeout: the first range is lost, and all that is not SACKed and left before `alive`.
    pub(crate) fn mark_timed_out(&mut self, alive: Instant) {
        for index in 0..self.ranges.len() {
            let timed_out = |range: &SentRange| index == 0 || range.sent_at <= alive;
            if self.ranges.get(index).is_some_and(timed_out) {
                self.mark_lost(index);
            }
        }
    }

    /// All that is not SACKed is lost: it was too large for the path.
    pub(crate) fn mark_all_lost(&mut self) {
        for index in 0..self.ranges.len() {
            self.mark_lost(index);
        }
    }

    /// Nothing was lost after all.
    pub(crate) fn unmark_lost(&mut self) {
        for range in &mut self.ranges {
            range.lost = false;
        }
        self.lost = 0;
        self.no_loss_before = None;
        self.rebuild_timeline();
    }

    /// The first lost range.
    pub(crate) fn first_lost(&mut self) -> Option<SentRange> {
        if self.lost == 0 {
            self.no_loss_before = None;
            return None;
        }
        let hint = self.no_loss_before?;
        let mut index = self.ranges.partition_point(|range| range.end.at_or_before(hint));
        while self.ranges.get(index).is_some_and(|range| !range.lost) {
            index += 1;
            self.count_step();
        }
        let range = self.ranges.get(index).copied()?;
        self.no_loss_before = Some(range.start);
        Some(range)
    }

    /// The last range, if it is on its way.
    pub(crate) fn last(&self) -> Option<SentRange> {
        self.ranges.back().filter(|range| range.is_on_its_way()).copied()
    }

    /// `[start, end)`, part of one range, was sent again.
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
            range.departure = self.departures;
            range.segment_size = self.segment_size.min(range.len());
            range.rate = rate;
            let departing = range.departing();
            self.depart(departing);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Scoreboard {
            sampler: self.sampler,
            rack: self.rack,
            departures: self.departures,
            segment_size: self.segment_size,
            ..Scoreboard::default()
        };
    }

    /// Splits the range that `at` lies in at the multiple of `unit` that `round` finds next to it. One that is SACKed
    /// already stays whole.
    fn split_inside(&mut self, at: SeqNum, unit: usize, round: impl Fn(usize, usize) -> usize) {
        let index = self.ranges.partition_point(|range| range.end.at_or_before(at));
        if let Some(range) = self.ranges.get(index).filter(|range| !range.sacked) {
            let units = round(at.distance_from(range.start), unit);
            self.split_at(range.end.min(range.start + units * unit));
        }
    }

    /// Makes `at` a border between two ranges when it lies inside one.
    fn split_at(&mut self, at: SeqNum) {
        let index = self.ranges.partition_point(|range| range.end.at_or_before(at));
        let Some(range) = self.ranges.get_mut(index) else {
            return;
        };
        if range.start.before(at) {
            let several = range.len() > range.segment_size;
            let mut tail = *range;
            tail.start = at;
            range.end = at;
            for part in [&mut *range, &mut tail].into_iter().filter(|_| several) {
                part.segment_size = part.segment_size.min(part.len());
            }
            self.ranges.insert(index + 1, tail);
        }
    }

    fn count_step(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }
}

#[cfg(test)]
mod tests;
