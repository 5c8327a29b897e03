//! The sending half: SND.UNA, SND.NXT, the peer's window, and the bytes on their way.

use ustcp_wire::SeqNum;

use super::records::Records;
use super::ring::Ring;
use super::scoreboard::Scoreboard;

#[derive(Debug)]
pub(crate) struct Send {
    pub(crate) iss: SeqNum,
    pub(crate) una: SeqNum,
    pub(crate) nxt: SeqNum,
    /// The peer's window in bytes.
    pub(crate) wnd: usize,
    wl1: SeqNum,
    wl2: SeqNum,
    /// The largest window the peer ever offered.
    pub(crate) max_wnd: usize,
    /// The peer's window shift; 0 when not negotiated.
    pub(crate) scale: u8,
    pub(crate) ring: Ring,
    /// Sequence number of the ring's first byte.
    start: SeqNum,
    pub(crate) records: Records,
    pub(crate) fin_queued: bool,
    pub(crate) in_flight: Scoreboard,
    /// SND.UP: after the last urgent byte.
    pub(crate) up: SeqNum,
    /// The segment size we send with: the peer's MSS, our path and our user permitting.
    pub(crate) mss: usize,
    /// End of the last segment sent that was smaller than `mss`: Nagle as Minshall refined it, and Linux has it.
    pub(crate) small_end: SeqNum,
}

impl Send {
    pub(crate) fn new(iss: SeqNum, buffer: usize, mss: usize) -> Send {
        Send {
            iss,
            una: iss,
            nxt: iss,
            wnd: 0,
            wl1: SeqNum(0),
            wl2: SeqNum(0),
            max_wnd: 0,
            scale: 0,
            ring: Ring::new(buffer),
            start: iss + 1,
            records: Records::default(),
            fin_queued: false,
            in_flight: Scoreboard::default(),
            up: iss,
            mss,
            small_end: iss,
        }
    }

    /// The sequence number after the last byte written.
    pub(crate) fn text_end(&self) -> SeqNum {
        self.start + self.ring.len()
    }

    /// The sequence number after all there is to send, a FIN among it.
    pub(crate) fn end(&self) -> SeqNum {
        self.text_end() + usize::from(self.fin_queued)
    }

    /// Bytes written and not yet sent.
    pub(crate) fn unsent(&self) -> usize {
        self.text_end().distance_from(self.nxt.max(self.start))
    }

    /// Whether poll calls it writable that there is `space` for more: not for crumbs, as Linux.
    pub(crate) fn is_worth_writing(&self, space: usize) -> bool {
        space > 0 && space >= self.ring.len() / 2
    }

    /// Something waits to be sent for the first time.
    pub(crate) fn has_unsent(&self) -> bool {
        self.end().after(self.nxt)
    }

    /// Our SYN has been acknowledged.
    pub(crate) fn syn_acked(&self) -> bool {
        self.una.after(self.iss)
    }

    /// Our FIN has been sent and acknowledged.
    pub(crate) fn fin_acked(&self) -> bool {
        self.fin_queued && self.una == self.end()
    }

    /// How far the peer's window lets us go beyond SND.NXT; 0 when it was shrunk below (RFC 9293 MUST-34).
    pub(crate) fn usable(&self) -> usize {
        (self.una + self.wnd).distance_from(self.nxt)
    }

    /// Where `seq` lies in the ring.
    pub(crate) fn offset_of(&self, seq: SeqNum) -> usize {
        seq.distance_from(self.start)
    }

    /// SND.WND from an acceptable segment, unless it is older than the last one that set it, RFC 9293 §3.10.7.4.
    /// Says whether the window changed. To be called before [`advance`](Send::advance).
    pub(crate) fn update_window(&mut self, seq: SeqNum, ack: SeqNum, window: usize) -> bool {
        if ack.before(self.una) {
            return false; // its window begins where ours no longer does
        }
        // As Linux: what acknowledges more is newer, even when it carries old text again. Were SND.UNA to move and
        // SND.WND to stay, the window would end where the peer never said.
        let newer = ack.after(self.una) || self.wl1.before(seq);
        // As Linux: of two that say otherwise the same, the one with the larger window was sent later, or the one that
        // shuts it.
        let moves = window > self.wnd || window == 0;
        if newer || (self.wl1 == seq && self.wl2.at_or_before(ack) && moves) {
            self.set_window(seq, ack, window)
        } else {
            false
        }
    }

    /// SND.WND from the segment that synchronizes.
    pub(crate) fn set_window(&mut self, seq: SeqNum, ack: SeqNum, window: usize) -> bool {
        let changed = self.wnd != window;
        self.wnd = window;
        self.max_wnd = self.max_wnd.max(window);
        self.wl1 = seq;
        self.wl2 = ack;
        changed
    }

    /// SND.UNA moves to `ack`: frees what it covers. The scoreboard is the caller's to tell.
    pub(crate) fn advance(&mut self, ack: SeqNum) {
        self.una = ack;
        self.records.forget(ack);
        self.up = self.up.max(ack);
        let freed = ack.distance_from(self.start).min(self.ring.len());
        self.ring.consume(freed);
        self.start += freed;
    }

    /// Whether a segment smaller than MSS is still unacknowledged.
    pub(crate) fn small_in_flight(&self) -> bool {
        self.small_end.after(self.una)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn established() -> Send {
        let mut snd = Send::new(SeqNum(1000), 65_536, 1460);
        snd.set_window(SeqNum(5000), SeqNum(1001), 4000);
        snd.advance(SeqNum(1001));
        snd.nxt = SeqNum(4001);
        snd
    }

    #[test]
    fn what_acknowledges_more_sets_the_window_though_it_carries_old_text() {
        let mut snd = established();
        assert!(snd.update_window(SeqNum(4000), SeqNum(3001), 2000));
        snd.advance(SeqNum(3001));
        assert_eq!(
            snd.una + snd.wnd,
            SeqNum(5001),
            "the edge the peer named, and no further"
        );
    }

    #[test]
    fn what_acknowledges_less_sets_no_window() {
        let mut snd = established();
        snd.advance(SeqNum(3001));
        assert!(!snd.update_window(SeqNum(6000), SeqNum(2001), 9000));
        assert_eq!(snd.wnd, 4000);
    }
}
