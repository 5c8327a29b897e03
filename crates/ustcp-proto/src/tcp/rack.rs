//! RACK, RFC 8985 §6: what was sent well before something that has since been delivered is lost.

use core::time::Duration;

use ustcp_wire::SeqNum;

use super::connection::Connection;
use crate::context::Context;
use crate::{Config, Instant};

/// RFC 8985 §6.2.4: after so many recoveries without a D-SACK the reordering window is small again.
const PERSISTENCE: u8 = 16;

/// RFC 5681's threshold: the degree of reordering that is expected before any was seen.
pub(super) const DUPLICATE_THRESHOLD: usize = 3;

/// Linux's `tcp_max_reordering`, in segments.
const MAX_REORDERING: usize = 300;

/// `tcp_recovery`: the reordering window does not grow with D-SACKs.
const STATIC_WINDOW: u8 = 2;

/// `tcp_recovery`: the count of duplicates says nothing.
const NO_DUPLICATE_THRESHOLD: u8 = 4;

/// A range as far as RACK is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) start: SeqNum,
    pub(super) end: SeqNum,
    pub(super) sent_at: Instant,
    /// Its number among all departures: as its time, but no two are the same.
    pub(super) departure: u64,
    pub(super) retransmitted: bool,
}

impl Sending {
    /// RACK_sent_after: what left in one piece is told apart by its place in the stream.
    fn is_after(&self, (departure, end): (u64, SeqNum)) -> bool {
        self.departure > departure || self.departure == departure && self.end.after(end)
    }
}

/// What the connection knows of order and time on its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rack {
    /// Of what was delivered, what was sent last: its departure, for RACK.xmit_ts, and RACK.end_seq.
    newest: Option<(u64, SeqNum)>,
    /// RACK.rtt: the round trip of that.
    rtt: Duration,
    /// RACK.fack: the end of what was delivered farthest, and what it was before the acknowledgement at hand.
    farthest: Option<SeqNum>,
    farthest_before: Option<SeqNum>,
    /// Of what the acknowledgement at hand delivers and was sent once: the first.
    original: Option<Sending>,
    /// Retransmissions that are answered sooner than this answer the original.
    min_rtt: Duration,
    /// How often the path was seen to reorder, and by how many segments at most.
    pub(crate) reorderings: u32,
    pub(crate) reordering: usize,
    /// RACK.reo_wnd_mult, RACK.reo_wnd_persist, RACK.dsack_round.
    steps: u8,
    persist: u8,
    round: Option<SeqNum>,
}

impl Default for Rack {
    fn default() -> Rack {
        Rack {
            newest: None,
            rtt: Duration::ZERO,
            farthest: None,
            farthest_before: None,
            original: None,
            min_rtt: Duration::ZERO,
            reorderings: 0,
            reordering: DUPLICATE_THRESHOLD,
            steps: 1,
            persist: 0,
            round: None,
        }
    }
}

impl Rack {
    /// An acknowledgement has come; what it delivers follows.
    pub(super) fn begin(&mut self, min_rtt: Option<Duration>) {
        self.min_rtt = min_rtt.unwrap_or_default();
        self.farthest_before = self.farthest;
        self.original = None;
    }

    /// RFC 8985 §6.2 steps 2 and 3, for one range that is newly known to have arrived; the answer is to what left before
    /// `answers_before`, as far as that is known.
    pub(super) fn on_delivered(&mut self, range: Sending, now: Instant, answers_before: Option<Instant>) {
        self.farthest = Some(self.farthest.map_or(range.end, |farthest| farthest.max(range.end)));
        if !range.retransmitted && self.original.is_none_or(|first| range.start.before(first.start)) {
            self.original = Some(range);
        }
        let rtt = now.since(range.sent_at);
        let too_soon = rtt < self.min_rtt || answers_before.is_some_and(|before| range.sent_at >= before);
        if range.retransmitted && too_soon {
            return; // the original has arrived
        }
        if self.newest.is_none_or(|newest| range.is_after(newest)) {
            self.newest = Some((range.departure, range.end));
            self.rtt = rtt;
        }
    }

    /// The first of what this acknowledgement delivered and was sent only once.
    pub(super) fn original(&self) -> Option<Sending> {
        self.original
    }

    /// RFC 8985 §6.2 step 4: what was sent once arrived after something from beyond it.
    pub(super) fn note_reordering(&mut self, mss: usize) -> bool {
        let Some((original, farthest)) = self.original.zip(self.farthest_before) else {
            return false;
        };
        let reordered = original.end.before(farthest);
        if reordered {
            self.path_reorders(farthest.distance_from(original.start).div_ceil(mss));
        }
        reordered
    }

    /// By more than duplicate acknowledgements were ever trusted to bridge.
    pub(super) fn path_is_known_to_reorder(&self) -> bool {
        self.reordering > DUPLICATE_THRESHOLD
    }

    /// What lies at `first` was late and not lost.
    pub(super) fn note_late(&mut self, first: SeqNum, mss: usize) {
        let farthest = self.farthest.unwrap_or(first);
        self.path_reorders(farthest.distance_from(first).div_ceil(mss));
    }

    /// A retransmission was needless: more segments than the threshold had overtaken what was only late.
    pub(super) fn note_needless_retransmission(&mut self) {
        self.path_reorders(DUPLICATE_THRESHOLD + 1);
    }

    /// The path reorders by so many segments.
    fn path_reorders(&mut self, segments: usize) {
        self.reorderings = self.reorderings.saturating_add(1);
        self.reordering = self.reordering.max(segments.min(MAX_REORDERING));
    }

    /// A D-SACK says that a retransmission was needless: wait longer, at most once in a round trip (`nxt` is SND.NXT).
    pub(super) fn widen(&mut self, una: SeqNum, nxt: SeqNum) {
        if self.round.is_some_and(|round| una.before(round)) || self.reorderings == 0 {
            return;
        }
        self.round = Some(nxt);
        self.steps = self.steps.saturating_add(1);
        self.persist = PERSISTENCE;
    }

    /// A recovery is over and was no mistake.
    pub(super) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.steps = 1;
        }
    }

    /// RACK_update_reo_wnd. `eager`: losses are being repaired, or as many segments have been SACKed as are seldom
    /// overtaken.
    pub(super) fn reordering_window(&self, eager: bool, srtt: Option<Duration>) -> Duration {
        if self.reorderings == 0 && eager {
            return Duration::ZERO;
        }
        let grown = (self.min_rtt / 4).saturating_mul(u32::from(self.steps));
        grown.min(srtt.unwrap_or(grown))
    }

    /// Whether `range` left before what was delivered last.
    pub(super) fn is_overtaken(&self, range: &Sending) -> bool {
        self.newest
            .is_some_and(|newest| newest != (range.departure, range.end) && !range.is_after(newest))
    }

    /// When what left at `sent_at` will have been overtaken for too long.
    pub(super) fn patience_ends(&self, sent_at: Instant, window: Duration) -> Instant {
        sent_at + self.rtt + window
    }

    /// What left before this has had its round trip and the reordering window.
    pub(super) fn oldest_alive(&self, now: Instant, window: Duration) -> Instant {
        now - (self.rtt + window)
    }
}

impl Connection {
    /// RACK_detect_loss, and the timer for what is overtaken but not yet given up.
    pub(super) fn find_overtaken(&mut self, cx: &Context) {
        let window = self.reordering_window(&cx.config);
        self.timers.reordering = self.snd.in_flight.mark_overtaken(cx.now, window);
    }

    pub(super) fn reordering_window(&self, config: &Config) -> Duration {
        let board = &self.snd.in_flight;
        // In segments or, where they are small, in acknowledgements that brought something new.
        let threshold = DUPLICATE_THRESHOLD;
        let many = board.sacked() > (threshold - 1) * self.snd.mss || self.duplicate_acks >= threshold;
        let counts = config.recovery & NO_DUPLICATE_THRESHOLD == 0;
        let eager = self.congestion.is_recovering() || many && counts;
        board.rack.reordering_window(eager, self.rtt.srtt())
    }

    /// RFC 8985 §6.2.4: D-SACKs widen the reordering window.
    pub(super) fn widen_reordering_window(&mut self, config: &Config) {
        if config.recovery & STATIC_WINDOW == 0 {
            let (una, nxt) = (self.snd.una, self.snd.nxt);
            self.snd.in_flight.rack.widen(una, nxt);
        }
    }

    /// RFC 8985 §6.3: nothing more has come that would show it, and yet it is lost.
    pub(super) fn on_reordering_timeout(&mut self, cx: &mut Context) {
        let progress = self.progress_so_far();
        self.find_overtaken(cx);
        self.begin_recovery_if_lost(cx, &progress);
        self.tell_losses(cx);
    }
}
