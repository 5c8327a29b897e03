//! What was sent, in the order of its departure: RACK looks for losses at the old end and stops at the first range that
//! is still young, so that an acknowledgement costs no more than what it finds.

use std::collections::VecDeque;

use ustcp_wire::SeqNum;

/// `[start, end)` left, as the departure of this number. What of it has been acknowledged, SACKed, held lost or sent again since then is told
/// by the scoreboard, not here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    pub(super) number: u64,
    pub(super) start: SeqNum,
    pub(super) end: SeqNum,
}

#[derive(Debug, Default)]
pub(super) struct Timeline {
    departures: VecDeque<Departure>,
}

impl Timeline {
    pub(super) fn push(&mut self, departure: Departure) {
        self.departures.push_back(departure);
    }

    pub(super) fn oldest(&mut self) -> Option<&mut Departure> {
        self.departures.front_mut()
    }

    pub(super) fn pop(&mut self) {
        self.departures.pop_front();
    }

    /// Everything before `una` is acknowledged.
    pub(super) fn acknowledge(&mut self, una: SeqNum) {
        while self
            .departures
            .front()
            .is_some_and(|oldest| oldest.end.at_or_before(una))
        {
            self.departures.pop_front();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.departures.len()
    }

    /// These alone are on their way.
    pub(super) fn rebuild(&mut self, departures: impl Iterator<Item = Departure>) {
        self.departures.clear();
        self.departures.extend(departures);
        self.departures
            .make_contiguous()
            .sort_by_key(|departure| departure.number);
    }
}
