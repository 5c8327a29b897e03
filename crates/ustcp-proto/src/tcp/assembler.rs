//! Which parts of the stream have arrived ahead of their turn, RFC 9293 §3.10.7.4 (seventh), SHLD-31.

use ustcp_wire::{SackBlock, SackBlocks, SeqNum};

/// Ranges held beyond RCV.NXT: sorted, apart from each other, and bounded in number.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    ranges: Vec<Range>,
    clock: u32,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    start: SeqNum,
    end: SeqNum,
    touched: u32,
}

impl Range {
    fn block(&self) -> SackBlock {
        SackBlock {
            start: self.start,
            end: self.end,
        }
    }
}

impl Assembler {
    /// Most ranges of one connection: what a peer can make us search through.
    pub(crate) const LIMIT: usize = 1024;

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Takes in `[start, end)`, joining what it touches. When that is one range too many, the farthest is given up; `false`
    /// when that is this one.
    pub(crate) fn insert(&mut self, start: SeqNum, end: SeqNum) -> bool {
        let first = self.ranges.partition_point(|range| range.end.before(start));
        let last = self.ranges.partition_point(|range| range.start.at_or_before(end));
        self.clock = self.clock.wrapping_add(1);
        let mut joined = Range {
            start,
            end,
            touched: self.clock,
        };
        for range in self.ranges.get(first..last).unwrap_or(&[]) {
            joined.start = joined.start.min(range.start);
            joined.end = joined.end.max(range.end);
        }
        let full = first >= last && self.ranges.len() >= Assembler::LIMIT;
        if full && first == self.ranges.len() {
            return false;
        }
        if full {
            self.ranges.pop(); // what is nearer to RCV.NXT is of use sooner
        }
        self.ranges.splice(first..last.max(first), [joined]);
        true
    }

    /// The first part of `[start, end)` that is held already.
    pub(crate) fn overlap(&self, start: SeqNum, end: SeqNum) -> Option<SackBlock> {
        let index = self.ranges.partition_point(|range| range.end.at_or_before(start));
        let range = self.ranges.get(index).filter(|range| range.start.before(end))?;
        Some(SackBlock {
            start: range.start.max(start),
            end: range.end.min(end),
        })
    }

    /// With everything before `next` in place: removes the range that continues there, and says where it ends.
    pub(crate) fn continue_from(&mut self, next: SeqNum) -> SeqNum {
        let done = self.ranges.partition_point(|range| range.start.at_or_before(next));
        self.ranges
            .drain(..done)
            .fold(next, |reached, range| reached.max(range.end))
    }

    /// Forgets everything from `end` on.
    pub(crate) fn truncate(&mut self, end: SeqNum) {
        let kept = self.ranges.partition_point(|range| range.start.before(end));
        self.ranges.truncate(kept);
        if let Some(last) = self.ranges.last_mut() {
            last.end = last.end.min(end);
        }
    }

    /// Where `start` lies inside a range that began earlier: where that ends.
    pub(crate) fn held_until(&self, start: SeqNum) -> Option<SeqNum> {
        self.range_at(start).map(|range| range.end)
    }

    fn range_at(&self, seq: SeqNum) -> Option<&Range> {
        let at = self.ranges.partition_point(|range| range.end.at_or_before(seq));
        self.ranges.get(at).filter(|range| range.start.at_or_before(seq))
    }

    /// How many ranges are held.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// What a SACK option with `room` for so many blocks says of it: `duplicate` if there is one, and the range around that,
    /// RFC 2883 §4 (3); then the range touched last, and so on, RFC 2018 §4.
    pub(crate) fn sack_blocks(&self, duplicate: Option<SackBlock>, room: usize) -> SackBlocks {
        let around = duplicate.and_then(|block| self.around(block));
        let mut blocks = SackBlocks::NONE;
        for block in duplicate.into_iter().chain(around).take(room) {
            blocks.push(block);
        }
        let mut below = None;
        while blocks.len() < room
            && let Some(range) = self.most_recent(below)
        {
            below = Some(range.touched);
            if around != Some(range.block()) && !blocks.push(range.block()) {
                break;
            }
        }
        blocks
    }

    /// The range that `block` lies in.
    fn around(&self, block: SackBlock) -> Option<SackBlock> {
        let range = self.range_at(block.start)?;
        block.end.at_or_before(range.end).then(|| range.block())
    }

    pub(crate) fn clear(&mut self) {
        self.ranges = Vec::new();
    }

    fn most_recent(&self, below: Option<u32>) -> Option<&Range> {
        let age = |range: &Range| self.clock.wrapping_sub(range.touched);
        let oldest_seen = below.map(|touched| self.clock.wrapping_sub(touched));
        self.ranges
            .iter()
            .filter(|range| oldest_seen.is_none_or(|seen| age(range) > seen))
            .min_by_key(|range| age(range))
    }
}

#[cfg(test)]
mod tests;
