//! What the peer's SACK option says: what it holds beyond a hole (RFC 2018), and what it got twice (RFC 2883).

use ustcp_wire::{SackBlock, TcpHeader};

use super::connection::Connection;
use super::progress::Progress;
use crate::context::Context;

impl Connection {
    /// Blocks that lie in flight; all others are ignored, but for a first one that tells of a duplicate.
    pub(super) fn take_sack(&mut self, cx: &mut Context, header: &TcpHeader, progress: &mut Progress) {
        if !self.rcv.sack {
            return;
        }
        if let Some(block) = duplicate(header) {
            self.take_dsack(cx, block, progress);
        }
        let (una, nxt) = (self.snd.una.max(header.ack), self.snd.nxt);
        for block in header.options.sack.iter() {
            if block.start.at_or_after(una) && block.start.before(block.end) && block.end.at_or_before(nxt) {
                progress.newly_sacked += self.snd.in_flight.sack(block, cx.now, self.snd.mss);
            }
        }
    }

    /// As Linux: what claims more than was ever sent again comes from a network that duplicates, or from a liar.
    fn take_dsack(&mut self, cx: &mut Context, block: SackBlock, progress: &mut Progress) {
        let len = block.end.distance_from(block.start);
        let segments = len.div_ceil(self.snd.mss);
        let sent_again = usize::try_from(self.retransmissions).unwrap_or(usize::MAX);
        if block.end.after(self.snd.nxt) || len == 0 || len > self.snd.max_wnd || segments > sent_again {
            return;
        }
        progress.duplicate_told = true;
        self.duplicates_told = self
            .duplicates_told
            .saturating_add(u32::try_from(segments).unwrap_or(u32::MAX));
        cx.counters.dsacks_received += 1;
        if self.tail_probe.ends_at(block.end) {
            progress.probe_was_needless = true;
            return;
        }
        self.snd.in_flight.rack.note_needless_retransmission();
        self.widen_reordering_window(&cx.config);
        self.undo.on_duplicate(block.start, block.end);
    }
}

/// RFC 2883 §4: the first block lies below the cumulative acknowledgement, or inside the second.
fn duplicate(header: &TcpHeader) -> Option<SackBlock> {
    let mut blocks = header.options.sack.iter();
    let first = blocks.next().filter(|block| block.start.before(block.end))?;
    let inside = |outer: SackBlock| first.start.at_or_after(outer.start) && first.end.at_or_before(outer.end);
    let told =
        first.start.before(header.ack) && first.end.at_or_before(header.ack) || blocks.next().is_some_and(inside);
    told.then_some(first)
}
