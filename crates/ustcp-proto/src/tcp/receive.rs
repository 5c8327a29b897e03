//! The receiving half: RCV.NXT, the window we announce, reassembly, and when to acknowledge.

use std::collections::VecDeque;

use ustcp_wire::{SackBlock, SackBlocks, SeqNum};

use super::FLOOR;
use super::assembler::Assembler;
use super::pages::Pages;
use super::urgent::Urgent;
use crate::{DropReason, Family};

/// Whether an acknowledgement is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AckDebt {
    /// No.
    None,
    /// Soon: it may ride on data, or wait for the timer.
    Delayed,
    /// With this turn's output.
    Now,
}

/// The size that Linux takes a peer's segments to have, to begin with (`TCP_MSS_DEFAULT`).
const NOT_TINY: usize = 536;

/// The memory that a segment takes beside its text: Linux's headers and bookkeeping.
const OVERHEAD: usize = 682;

/// Most of what arrived twice that waits to be told: as many as acknowledgements may be owed.
const DUPLICATES: usize = 256;

#[derive(Debug)]
pub(crate) struct Receive {
    pub(crate) nxt: SeqNum,
    pub(crate) irs: SeqNum,
    /// RFC 7323's Last.ACK.sent.
    pub(crate) last_ack_sent: SeqNum,
    /// The right edge of the window as announced. It moves left only when it is [withdrawn](Receive::withdraw), and for the
    /// rounding of the scale.
    right: SeqNum,
    /// Where it was when it was withdrawn, until it is there again.
    withdrawn: Option<SeqNum>,
    /// A window has been announced by more than a SYN, whose field is not scaled and may say too little.
    told: bool,
    /// Our window's shift; 0 when not negotiated.
    pub(crate) scale: u8,
    pub(crate) ring: Pages,
    /// How much more the owner of the socket may hold, in all of them, as last heeded.
    pub(crate) share_left: usize,
    /// `TCP_WINDOW_CLAMP`.
    clamp: usize,
    assembler: Assembler,
    pub(crate) urgent: Urgent,
    /// Where the peer's FIN stands, as last seen.
    fin: Option<SeqNum>,
    /// The FIN has been taken: RCV.NXT is beyond it.
    finished: bool,
    /// The segment size we announced, and what of it options take.
    mss: usize,
    options: usize,
    /// The largest segment seen: what "a full-sized segment" of this peer is.
    pub(crate) largest_text: usize,
    pub(crate) debt: AckDebt,
    /// An acknowledgement is due that is owed for nothing: a challenge.
    challenged: bool,
    /// Acknowledgements owed beyond one: RFC 5681 §4.2 wants one for each segment out of order.
    duplicates_owed: u8,
    /// Bytes taken since the last acknowledgement.
    unacknowledged: usize,
    pub(crate) sack: bool,
    /// What arrived twice is told (`tcp_dsack`).
    pub(crate) dsack: bool,
    /// What arrived twice, until it is told: RFC 2883. One block for a segment, and one in an acknowledgement.
    duplicates: VecDeque<SackBlock>,
    pub(crate) bytes_received: u64,
}

impl Receive {
    pub(crate) fn new(buffer: usize, mss: usize, clamp: Option<usize>) -> Receive {
        Receive {
            nxt: SeqNum(0),
            irs: SeqNum(0),
            last_ack_sent: SeqNum(0),
            right: SeqNum(0),
            withdrawn: None,
            told: false,
            scale: 0,
            ring: Pages::new(buffer),
            share_left: usize::MAX,
            clamp: clamp.unwrap_or(usize::MAX),
            assembler: Assembler::default(),
            urgent: Urgent::None,
            fin: None,
            finished: false,
            mss,
            options: 0,
            largest_text: 0,
            debt: AckDebt::None,
            challenged: false,
            duplicates_owed: 0,
            unacknowledged: 0,
            sack: false,
            dsack: false,
            duplicates: VecDeque::new(),
            bytes_received: 0,
        }
    }

    /// The peer's SYN has come; the window that our SYN or SYN-ACK carries is the first we announce.
    pub(crate) fn synchronize(&mut self, irs: SeqNum, window: u16) {
        self.irs = irs;
        self.nxt = irs + 1;
        self.last_ack_sent = self.nxt;
        self.right = self.nxt + usize::from(window);
    }

    /// The window field of a SYN: never scaled, RFC 7323 §2.2.
    pub(crate) fn initial_window(&self) -> u16 {
        super::initial_window(self.capacity().min(self.clamp), self.mss)
    }

    /// The user's limit of the window. What was announced already is not taken back (RFC 9293 SHLD-14).
    pub(crate) fn set_clamp(&mut self, clamp: Option<usize>) {
        self.clamp = clamp.unwrap_or(usize::MAX);
    }

    /// Whether poll calls it readable: from `low` bytes on, or when the window has no room for them to come (as Linux).
    pub(crate) fn is_worth_reading(&self, low: usize) -> bool {
        self.ring.len() >= low || self.window() <= self.segment_size()
    }

    /// The most that it may hold. Of what the owner may have more of no more than half is promised: text takes whole pages.
    fn capacity(&self) -> usize {
        let shared = self.ring.len().saturating_add(self.share_left / 2);
        self.ring.limit().min(shared.max(self.floor()))
    }

    /// What it may hold whatever its owner has: as much as the window field can tell of a segment at least.
    fn floor(&self) -> usize {
        FLOOR.max(self.mss.next_multiple_of(self.unit()))
    }

    /// How many more bytes it may hold.
    fn space(&self) -> usize {
        self.capacity().saturating_sub(self.ring.len())
    }

    /// What one in the window field stands for.
    fn unit(&self) -> usize {
        1 << self.scale
    }

    /// How many bytes of text at `seq` there may be memory for, what the window field was rounded up by among them.
    pub(crate) fn room_at(&self, seq: SeqNum) -> usize {
        match self.share_left {
            0 => (self.copied() + (self.floor() + self.unit() - 1)).distance_from(seq),
            _ => usize::MAX, // what the window has room for
        }
    }

    /// It has no room for another segment if its owner has its share, and otherwise has.
    pub(crate) fn lives_by_its_share(&self) -> bool {
        let wanted = self.ring.len() + self.mss;
        self.ring.limit() >= wanted && self.floor() < wanted
    }

    /// The sequence number of the next byte to be read.
    pub(crate) fn copied(&self) -> SeqNum {
        self.nxt - (self.ring.len() + usize::from(self.finished))
    }

    /// RCV.WND as the peer knows it.
    pub(crate) fn window(&self) -> usize {
        self.right.distance_from(self.nxt)
    }

    /// RFC 9293 §3.10.7.4, first step, one further at either end than its four cases, as Linux. Who has filled our
    /// window and lost part of it acknowledges from the edge, and two such ends would never hear each other again. And
    /// what ends where our last acknowledgement ended was sent by a peer who has not had that: the text is old, but its
    /// ACK and its timestamp may be the newest there are. So with what comes behind text that was sent into a window that
    /// has been withdrawn (RFC 7323 §2.4).
    pub(crate) fn is_acceptable(&self, seq: SeqNum, len: usize) -> bool {
        let right = self.nxt + self.window();
        let right = self.withdrawn.map_or(right, |edge| right.max(edge));
        (seq + len).at_or_after(self.last_ack_sent) && seq.at_or_before(right)
    }

    /// Takes in the part of `text` that is new and inside the window, and the FIN behind it if there is one. The segment
    /// began with `old` bytes before that. `Err` when some of it had to be dropped for want of memory or of ranges.
    pub(crate) fn take(&mut self, seq: SeqNum, old: usize, text: &[u8], fin: bool) -> Result<(), DropReason> {
        let text = text.get(self.nxt.distance_from(seq)..).unwrap_or(&[]);
        let seq = seq.max(self.nxt);
        let text = text.get(..text.len().min(self.right.distance_from(seq))).unwrap_or(&[]);
        if self.finished || text.is_empty() && !fin {
            return Ok(());
        }
        let end = seq + text.len();
        // As Linux: text that goes on where a FIN stood is believed, and of two FINs the first.
        let overruled = self.fin.take_if(|at| at.at_or_after(seq) && at.before(end));
        let fin = fin && self.believe_fin(end);
        if seq == self.nxt {
            if fin {
                self.assembler.clear(); // no part of the stream
            }
            self.take_in_order(old, text)
        } else {
            self.take_out_of_order(seq, text, fin, overruled)
        }
    }

    /// Whether a FIN at `end` is the first. The number of one that is not never was a byte, and counts no more.
    fn believe_fin(&mut self, end: SeqNum) -> bool {
        if self.fin.is_some_and(|at| at.before(end)) {
            return false;
        }
        if let Some(later) = self.fin.replace(end).filter(|at| *at != end) {
            self.assembler.truncate(later);
        }
        true
    }

    fn take_in_order(&mut self, old: usize, text: &[u8]) -> Result<(), DropReason> {
        match old {
            0 => self.note_overlap(self.nxt, text.len()),
            _ => self.note_duplicate(self.nxt - old, self.nxt), // as Linux, which tells no second thing of a segment
        }
        self.ring.write_at(0, text).map_err(|_| DropReason::Reassembly)?;
        let filled_gap = !self.assembler.is_empty();
        let reached = self.assembler.continue_from(self.nxt + text.len());
        let reached = self.fin.map_or(reached, |fin| reached.min(fin)); // nothing follows it
        let count = reached.distance_from(self.nxt);
        self.ring.extend(count);
        self.nxt = reached;
        self.bytes_received += count as u64;
        self.unacknowledged += text.len();
        if text.is_empty() {
            return Ok(()); // a bare FIN, which is answered in its own way
        }
        self.owe(if filled_gap { AckDebt::Now } else { AckDebt::Delayed }); // RFC 5681 §4.2
        Ok(())
    }

    /// Options take `overhead` bytes of every segment.
    pub(crate) fn reserve(&mut self, overhead: usize) {
        self.options = overhead;
    }

    /// A segment of `len` bytes, old ones among them, has come.
    pub(crate) fn note_segment_size(&mut self, len: usize) {
        self.largest_text = self.largest_text.max(len);
    }

    /// `overruled`: where a FIN stood in the place of which text has come.
    fn take_out_of_order(
        &mut self,
        seq: SeqNum,
        text: &[u8],
        fin: bool,
        overruled: Option<SeqNum>,
    ) -> Result<(), DropReason> {
        self.owe_duplicate();
        let len = text.len() + usize::from(fin);
        if len == 0 {
            return Ok(());
        }
        self.note_overlap(seq, len);
        // As Linux: of two that say different things about the same bytes, the one that begins earlier is believed, and
        // of two that begin together the older.
        let held = self.assembler.held_until(seq).map_or(0, |end| end.distance_from(seq));
        let held = overruled.map_or(held, |at| held.min(at.distance_from(seq)));
        let fresh = text.get(held..).unwrap_or(&[]);
        if !self.assembler.insert(seq, seq + len) {
            return Err(DropReason::Reassembly);
        }
        self.ring
            .write_at(seq.distance_from(self.nxt) + held, fresh)
            .map_err(|_| {
                // Without its bytes a range must not be believed in; what else was held ahead comes again as well.
                self.assembler.clear();
                DropReason::Reassembly
            })
    }

    /// Nothing has arrived ahead of its turn.
    pub(crate) fn holds_nothing_ahead(&self) -> bool {
        self.assembler.is_empty()
    }

    /// What of `len` bytes at `seq` is held ahead already, they bring twice.
    fn note_overlap(&mut self, seq: SeqNum, len: usize) {
        if let Some(SackBlock { start, end }) = self.assembler.overlap(seq, seq + len) {
            self.note_duplicate(start, end);
        }
    }

    /// `[start, end)` has arrived before. Told once.
    pub(crate) fn note_duplicate(&mut self, start: SeqNum, end: SeqNum) {
        let tells = self.sack && self.dsack && start.before(end);
        if tells && self.duplicates.len() < DUPLICATES {
            self.duplicates.push_back(SackBlock { start, end });
        }
    }

    /// Text has come: what arrived twice before it and has not been told is old news (as Linux). Not where the two came in
    /// one turn, and only for that the acknowledgement of the first has not left yet.
    pub(crate) fn forget_duplicates(&mut self) {
        if self.debt < AckDebt::Now {
            self.duplicates = VecDeque::new();
        }
    }

    /// The first `count` bytes have been read.
    pub(crate) fn read(&mut self, count: usize) {
        self.ring.consume(count);
        if self.ring.is_empty() && self.assembler.is_empty() {
            self.ring.relax();
        }
    }

    /// The stream up to the peer's FIN is complete and the FIN not yet counted.
    pub(crate) fn fin_is_next(&self) -> bool {
        !self.finished && self.fin == Some(self.nxt)
    }

    /// Moves RCV.NXT over the FIN.
    pub(crate) fn take_fin(&mut self) {
        self.finished = true;
        self.assembler.clear();
        self.duplicates = VecDeque::new();
        self.nxt += 1;
        self.right = self.right.max(self.nxt);
    }

    /// The peer's FIN has been taken.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// At least `debt` is owed.
    pub(crate) fn owe(&mut self, debt: AckDebt) {
        let full = debt == AckDebt::Delayed && self.owes_for_two() && self.keeps_its_window();
        self.debt = self.debt.max(if full { AckDebt::Now } else { debt });
    }

    /// RFC 9293 SHLD-19; as Linux, what is more than one full segment counts as two, if segments are not tiny.
    pub(crate) fn owes_for_two(&self) -> bool {
        let size = self.segment_size();
        self.unacknowledged > size && self.unacknowledged >= (2 * size).min(NOT_TINY)
    }

    /// An acknowledgement now would announce no less than the last one. As Linux, which fills the window by the memory that
    /// segments take: where it would announce less the reader is behind, and gives the acknowledgement when it reads.
    fn keeps_its_window(&self) -> bool {
        let size = self.segment_size();
        let capacity = 2 * self.ring.limit() * size / (size + OVERHEAD);
        let announced = self.right.distance_from(self.last_ack_sent);
        capacity.saturating_sub(self.ring.len()).min(self.largest_window()) >= announced
    }

    /// An acknowledgement is due with this turn's output.
    pub(crate) fn owes_ack(&self) -> bool {
        self.debt == AckDebt::Now || self.challenged
    }

    /// An acknowledgement is to be sent although nothing has come that would want one.
    pub(crate) fn challenge(&mut self) {
        self.challenged = true;
    }

    /// As Linux: each segment out of order, or that brings nothing new, has an acknowledgement of its own.
    pub(crate) fn owe_duplicate(&mut self) {
        if self.debt == AckDebt::Now {
            self.duplicates_owed = self.duplicates_owed.saturating_add(1);
        }
        self.debt = AckDebt::Now;
    }

    /// An acknowledgement leaves: what is owed after it.
    pub(crate) fn acknowledged(&mut self) {
        self.last_ack_sent = self.nxt;
        self.unacknowledged = 0;
        self.challenged = false;
        let more = self.duplicates_owed > 0 || !self.duplicates.is_empty();
        self.debt = if more { AckDebt::Now } else { AckDebt::None };
        self.duplicates_owed = self.duplicates_owed.saturating_sub(1);
    }

    /// What "every second full-sized segment" counts by: at most what a single packet carries.
    pub(super) fn segment_size(&self) -> usize {
        self.largest_text
            .max(usize::from(Family::V4.default_mss()))
            .min(self.mss.saturating_sub(self.options).max(1))
    }

    /// The window field to send now, and with it the right edge moves.
    pub(crate) fn announce(&mut self) -> u16 {
        let unit = self.unit();
        let space = self.space();
        let rounded_up = self.window().div_ceil(unit) * unit;
        // Rounding up keeps the right edge from moving left (RFC 7323 §2.4), as long as the peer's use of what was
        // rounded fits into one unit beyond the buffer.
        let kept = if rounded_up < space + unit || rounded_up == self.window() {
            rounded_up
        } else {
            rounded_up.saturating_sub(unit)
        };
        let offered = self.offerable();
        let window = if self.is_worth_announcing() {
            offered.max(kept)
        } else {
            kept
        }
        .min(self.largest_window());
        // What the scale rounds off stays promised, or it would add up, segment after segment.
        self.right = self.right.max(self.nxt + window);
        self.withdrawn.take_if(|edge| edge.at_or_before(self.right));
        self.told = true;
        u16::try_from(window >> self.scale).unwrap_or(u16::MAX)
    }

    /// The window field of a segment that announces nothing: what the peer knows of.
    pub(crate) fn window_as_known(&self) -> u16 {
        u16::try_from(self.window().div_ceil(self.unit())).unwrap_or(u16::MAX)
    }

    /// Silly-window avoidance: the edge moves only by a segment or half the buffer, RFC 9293 §3.8.6.2.2, MUST-39.
    fn is_worth_announcing(&self) -> bool {
        self.offerable() >= self.window() + self.mss.min(self.capacity().min(self.clamp) / 2).max(1)
    }

    /// What the window would be if it were announced now, as the scale rounds it.
    fn offerable(&self) -> usize {
        let most = self.space().min(self.largest_window()).min(self.clamp);
        most / self.unit() * self.unit()
    }

    /// Something that the window had room for was refused, as the owner has its share: the peer hears at once how much there
    /// is. So the right edge moves left, against RFC 9293 SHLD-14: whatever else was sent up to it would be lost. As Linux,
    /// where it cannot keep its word for want of memory. Says whether the edge has moved.
    pub(crate) fn withdraw(&mut self) -> bool {
        let before = self.right;
        self.right = before.min(self.nxt + self.offerable());
        let moved = self.right != before;
        if moved {
            self.withdrawn.get_or_insert(before);
        }
        self.owe(AckDebt::Now);
        moved
    }

    /// The most that the window field can say.
    fn largest_window(&self) -> usize {
        usize::from(u16::MAX) << self.scale
    }

    /// Whether reading has opened the window so far that the peer should be told unasked: twice what it knows of
    /// (Linux's rule), so that a busy reader does not send an acknowledgement for every read.
    pub(crate) fn should_update_window(&self) -> bool {
        // What a SYN could not say can wait for the first acknowledgement that is due anyway.
        let in_need = self.told || self.window() < 2 * self.mss;
        in_need && self.is_worth_announcing() && self.offerable() >= 2 * self.window()
    }

    /// How many blocks a SACK option has, room permitting.
    pub(crate) fn sack_block_count(&self) -> usize {
        let duplicates = self.duplicates.len().min(1);
        if self.sack {
            (duplicates + self.assembler.len()).min(4)
        } else {
            0
        }
    }

    /// Up to `room` blocks for a SACK option; none when not permitted. One of what arrived twice is told with it.
    pub(crate) fn take_sack_blocks(&mut self, room: usize) -> SackBlocks {
        let blocks = self.sack_blocks(room);
        self.duplicates.pop_front();
        if self.duplicates.is_empty() {
            self.duplicates = VecDeque::new(); // which is rare, and no memory is kept for it
        }
        blocks
    }

    /// The same without saying that it was told.
    pub(crate) fn sack_blocks(&self, room: usize) -> SackBlocks {
        if self.sack {
            self.assembler.sack_blocks(self.duplicates.front().copied(), room)
        } else {
            SackBlocks::NONE
        }
    }

    /// No more text will come: what is held ahead is of no use.
    pub(crate) fn stop(&mut self) {
        self.assembler.clear();
        if self.ring.is_empty() {
            self.ring.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FSM-10: of two stories about the same bytes the one that begins earlier is believed, and never a mixture.
    #[test]
    fn the_earlier_story_is_believed() {
        let mut rcv = Receive::new(1000, 100, None);
        rcv.synchronize(SeqNum(0), 1000);
        for (seq, text) in [
            (11, b"aaaaaaaaaa"),
            (16, b"bbbbbbbbbb"),
            (13, b"cccccccccc"),
            (1, b"dddddddddd"),
        ] {
            assert_eq!(rcv.take(SeqNum(seq), 0, text, false), Ok(()));
        }
        let mut read = [0; 99];
        let count = rcv.ring.copy_to(0, &mut read);
        assert_eq!(&read[..count], b"ddddddddddaaaaaaaaaabbbbb");
    }
}
