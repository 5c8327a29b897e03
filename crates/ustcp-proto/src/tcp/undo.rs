//! Reductions of the window that were a mistake, and how they are found out: by D-SACKs for all that was sent again (RFC
//! 3708), by what was sent once arriving after a timeout (F-RTO, RFC 5682), by timestamps (Eifel, RFC 3522). Then window
//! and threshold are what they were (RFC 4015).

use core::time::Duration;

use ustcp_wire::SeqNum;

use super::congestion::InDoubt;
use super::connection::Connection;
use super::progress::Progress;
use crate::Instant;
use crate::context::Context;

/// F-RTO: what a timeout still has to prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doubt {
    /// The timeout was right, or there was none.
    #[default]
    None,
    /// Only the first segment was sent again.
    First,
    /// New text goes before what is held to be lost: its acknowledgements will tell.
    NewText,
}

/// What is known of the last reduction of the window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Undo {
    /// SND.UNA when the window was reduced, as long as that may be undone.
    marker: Option<SeqNum>,
    /// Bytes sent again that no D-SACK has called needless; `None` before there were any.
    unexplained: Option<usize>,
    /// When text was first sent again since.
    first_resent: Option<Instant>,
    last_resent: Option<Instant>,
    doubt: Doubt,
    earlier: Option<Earlier>,
}

/// Recoveries before this one that may still prove needless: what was late arrives after what was sent again, and by
/// then the next recovery may have begun.
#[derive(Clone, Copy, Debug)]
struct Earlier {
    /// What was sent again in them lies here.
    marker: SeqNum,
    until: SeqNum,
    unexplained: usize,
}

impl Undo {
    /// The window is being reduced. `in_flight` bytes that were sent again before are still on their way.
    pub(super) fn begin(&mut self, una: SeqNum, in_flight: usize) {
        *self = Undo {
            marker: Some(una),
            unexplained: Some(in_flight).filter(|bytes| *bytes > 0),
            ..Undo::default()
        };
    }

    /// The same, and those before it are not forgotten as long as D-SACKs about them may come: a round trip after the
    /// copies have arrived. Says which reductions are still in doubt.
    pub(super) fn begin_another(&mut self, una: SeqNum, in_flight: usize, now: Instant, srtt: Duration) -> InDoubt {
        let recent = self.last_resent.is_some_and(|sent| now.since(sent) <= srtt * 2);
        let last = self.marker.zip(self.unexplained).map(|(marker, unexplained)| Earlier {
            marker,
            until: una,
            unexplained,
        });
        let (earlier, in_doubt) = match (self.earlier, last) {
            _ if !recent => (None, InDoubt::Nothing),
            (Some(earlier), Some(last)) if earlier.until == last.marker => (
                Some(Earlier {
                    marker: earlier.marker,
                    unexplained: earlier.unexplained + last.unexplained,
                    ..last
                }),
                InDoubt::All,
            ),
            (_, Some(last)) => (Some(last), InDoubt::Last),
            (Some(earlier), None) => (Some(earlier), InDoubt::Earlier),
            (None, None) => (None, InDoubt::Nothing),
        };
        self.begin(una, in_flight);
        self.earlier = earlier;
        in_doubt
    }

    pub(super) fn on_resent(&mut self, len: usize, now: Instant) {
        self.unexplained = Some(self.unexplained.unwrap_or(0) + len);
        self.first_resent.get_or_insert(now);
        self.last_resent = Some(now);
    }

    /// A D-SACK: `[start, end)` arrived twice.
    pub(super) fn on_duplicate(&mut self, start: SeqNum, end: SeqNum) {
        let len = end.distance_from(start);
        if let Some(earlier) = &mut self.earlier
            && end.after(earlier.marker)
            && end.at_or_before(earlier.until)
        {
            earlier.unexplained = earlier.unexplained.saturating_sub(len);
        } else if self.marker.is_some_and(|marker| end.after(marker)) {
            self.unexplained = self.unexplained.map(|bytes| bytes.saturating_sub(len));
        }
    }

    /// All that the recoveries before this one sent again arrived twice. Said once.
    fn take_needless_earlier(&mut self) -> bool {
        self.earlier.take_if(|earlier| earlier.unexplained == 0).is_some()
    }

    /// The last reduction has been undone.
    fn settle(&mut self) {
        *self = Undo {
            last_resent: self.last_resent,
            earlier: self.earlier,
            ..Undo::default()
        };
    }

    /// All that was sent again arrived twice.
    fn all_was_needless(&self) -> bool {
        self.marker.is_some() && self.unexplained == Some(0)
    }

    /// RFC 3522: the answer is to what left before anything was sent again.
    fn original_is_answered(&self, progress: &Progress) -> bool {
        self.marker.is_some() && progress.answers_earlier_than(self.first_resent)
    }

    /// The answer to anything sent again would have taken longer.
    fn came_too_soon_for_a_copy(&self, now: Instant, min_rtt: Option<Duration>) -> bool {
        let age = self.first_resent.map(|resent| now.since(resent));
        age < min_rtt
    }

    /// The timeout may have been a mistake: look for signs of it.
    pub(super) fn doubt_timeout(&mut self) {
        self.doubt = Doubt::First;
    }

    pub(super) fn believe_timeout(&mut self) {
        self.doubt = Doubt::None;
    }

    /// RFC 5682 §2.1 step 2b: new text goes first.
    pub(super) fn wants_new_text(&self) -> bool {
        self.doubt == Doubt::NewText
    }
}

impl Connection {
    /// Whether the acknowledgement shows that the last reduction was for nothing, and what is done about it. `una` is
    /// before it.
    pub(super) fn undo_if_spurious(&mut self, cx: &mut Context, progress: &Progress) {
        if self.undo.take_needless_earlier() {
            self.congestion.undo_earlier();
            cx.counters.dsack_undos += 1;
        }
        if self.congestion.is_after_timeout() {
            self.doubt_repair_of_timeout(cx, progress);
        } else if self.undo.all_was_needless() {
            self.undo();
            cx.counters.dsack_undos += 1;
        } else if progress.acked > 0 && self.congestion.is_recovering() && self.undo.original_is_answered(progress) {
            self.undo_recovery(cx, progress);
        }
    }

    /// Recovery was needless: all of it, or what there was of it so far.
    fn undo_recovery(&mut self, cx: &mut Context, progress: &Progress) {
        let before = self.snd.una - progress.acked;
        self.snd.in_flight.rack.note_late(before, self.snd.mss);
        if self.snd.una.at_or_after(self.recover) {
            self.undo();
            cx.counters.full_undos += 1;
        } else if self.snd.in_flight.retransmitted() == 0 {
            self.undo();
            self.snd.in_flight.unmark_lost();
            cx.counters.partial_undos += 1;
        }
    }

    /// RFC 5682 §3.1, in Linux's order.
    fn doubt_repair_of_timeout(&mut self, cx: &mut Context, progress: &Progress) {
        let una_advanced = progress.acked > 0;
        if una_advanced && (self.undo.all_was_needless() || self.undo.original_is_answered(progress)) {
            self.undo_timeout(cx, progress);
            return;
        }
        match self.undo.doubt {
            Doubt::None => {}
            _ if self.timed_out_text_arrives(progress) => {
                self.undo_timeout(cx, progress); // step 3b
                cx.counters.spurious_rtos += 1;
            }
            Doubt::NewText => self.undo.doubt = Doubt::None, // step 3a, or nothing said in its favour
            Doubt::First if una_advanced && self.snd.una.before(self.recover) => {
                self.undo.doubt = Doubt::NewText; // step 2b
            }
            Doubt::First if progress.duplicate || progress.newly_sacked > 0 => self.undo.doubt = Doubt::None, // step 2a
            Doubt::First => {}
        }
    }

    /// What had been sent before the timeout, and only once, is acknowledged now.
    fn timed_out_text_arrives(&self, progress: &Progress) -> bool {
        let original = self.snd.in_flight.rack.original();
        let certain = self.rcv.sack || !progress.resent;
        certain && original.is_some_and(|range| range.end.at_or_before(self.recover))
    }

    fn undo_timeout(&mut self, cx: &mut Context, progress: &Progress) {
        let original = self.snd.in_flight.rack.original();
        let late = original.map(|range| cx.now.since(range.sent_at)).or(progress.rtt);
        // What came a round trip after the second copy may be the answer to that, when the one to the first was lost: then
        // it is late because our timeout was, and tells nothing of the path. Nor does one that came after timeouts in a row.
        let to_first_copy = self.undo.came_too_soon_for_a_copy(cx.now, self.rtt.min());
        let tells = to_first_copy && !progress.duplicate_told && progress.timeouts <= 1;
        if let Some(rtt) = late.filter(|_| tells) {
            self.rtt.adapt(rtt);
        }
        self.undo();
        self.snd.in_flight.unmark_lost();
        cx.counters.loss_undos += 1;
    }

    fn undo(&mut self) {
        self.undo.settle();
        self.congestion.undo();
        self.retransmit_pending = false;
    }
}
