//! Ends of records (`MSG_EOR`): as in Linux, what was written before one never shares a segment with what follows.

use std::collections::VecDeque;

use ustcp_wire::SeqNum;

/// Where records end that are not acknowledged yet, in order.
#[derive(Debug, Default)]
pub(crate) struct Records(VecDeque<SeqNum>);

impl Records {
    /// Ends kept at most: a user who writes records of a byte without end forgoes some of them.
    const LIMIT: usize = 4096;

    /// A record ends before `end`.
    pub(crate) fn mark(&mut self, end: SeqNum) {
        if self.0.len() < Records::LIMIT && self.0.back() != Some(&end) {
            self.0.push_back(end);
        }
    }

    /// Bytes from `seq` to the end of its record; `usize::MAX` when none is in sight.
    pub(crate) fn left(&self, seq: SeqNum) -> usize {
        let next = self.0.partition_point(|end| end.at_or_before(seq));
        self.0.get(next).map_or(usize::MAX, |end| end.distance_from(seq))
    }

    /// Everything before `una` is acknowledged.
    pub(crate) fn forget(&mut self, una: SeqNum) {
        while self.0.front().is_some_and(|end| end.at_or_before(una)) {
            self.0.pop_front();
        }
    }
}
