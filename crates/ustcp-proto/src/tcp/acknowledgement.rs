//! What an acceptable acknowledgement does: SND.UNA and the window move, losses show, recovery begins and ends.

use ustcp_wire::{SeqNum, TcpHeader};

use super::arrival::Arrival;
use super::connection::Connection;
use super::progress::Progress;
use crate::Instant;
use crate::context::Context;

impl Connection {
    /// SND.UNA, the window, and what they set free.
    pub(super) fn acknowledge(&mut self, cx: &mut Context, arrival: &Arrival<'_>) {
        let header = &arrival.header;
        let before = self.snd.una;
        let mut progress = self.progress_so_far();
        let newly_sacked = self.take_sack(header, cx.now);
        let window_changed = self
            .snd
            .update_window(header.seq, header.ack, self.scaled_window(header));
        if header.ack.after(before) {
            self.on_new_ack(cx, header, &mut progress);
        } else if header.ack == before && self.snd.in_flight.outstanding() > 0 {
            // RFC 5681 §2: with data outstanding, no text, no SYN or FIN, the same number, the same window.
            let is_duplicate = !arrival.occupied && !window_changed;
            if is_duplicate || newly_sacked > 0 {
                self.on_duplicate_ack(cx, &mut progress);
            }
        }
        if self.snd.wnd > 0 {
            self.probes = 0;
            if window_changed {
                self.hasten_persist(cx.now);
            }
        }
        self.notify |= self.snd.una != before;
        self.control_congestion(cx, &progress);
    }

    fn on_new_ack(&mut self, cx: &mut Context, header: &TcpHeader, progress: &mut Progress) {
        let ack = header.ack;
        let acknowledged = self.snd.in_flight.acknowledge(ack, cx.now);
        self.snd.advance(ack);
        self.bytes_acked += acknowledged.bytes as u64;
        progress.acked = acknowledged.bytes;
        // Our own clock is finer than TSecr's, which is for what was sent more than once: RFC 7323 §4.1, as Linux.
        progress.rtt = acknowledged
            .sample
            .map(|sent_at| cx.now.since(sent_at))
            .or_else(|| self.timestamps.round_trip(cx.now, &header.options));
        if let Some(rtt) = progress.rtt {
            self.rtt.sample(rtt);
        }
        self.timeouts = 0;
        self.first_timeout = None;
        self.soft_error = None;
        self.advance_recovery(ack, acknowledged.bytes);
        let outstanding = self.snd.in_flight.outstanding() > 0;
        self.timers.retransmission = outstanding.then(|| cx.now + self.rtt.rto()); // RFC 6298 (5.2), (5.3)
    }

    fn advance_recovery(&mut self, ack: SeqNum, acked: usize) {
        let mss = self.snd.mss;
        // RFC 6582 §3.2 step 3 (1): without SACK, all of a window may be free at once, and would leave in a burst.
        let bound = (!self.rcv.sack).then(|| self.snd.in_flight.pipe().max(mss) + mss);
        self.congestion.advance(ack, bound);
        if self.congestion.recovery().is_none() {
            self.duplicate_acks = 0;
            return;
        }
        // A partial acknowledgement: the next hole is lost too, RFC 6582 §3.2 step 3 (2).
        self.duplicate_acks = self.duplicate_acks.saturating_sub((acked / mss).max(1));
        if self.rcv.sack {
            self.snd.in_flight.mark_lost_below_sacked(2 * mss);
        }
        // With SACK it may be no hole but simply on its way, for the first time or again.
        let board = &self.snd.in_flight;
        if !self.rcv.sack || board.sacked() > 0 && !board.first_was_resent() {
            self.snd.in_flight.mark_first_lost(mss);
            self.retransmit_pending = true;
        }
    }

    /// RFC 5681 §3.2, RFC 6582 §3.2 step 2: the third in a row, or SACK blocks that say as much, begin recovery.
    fn on_duplicate_ack(&mut self, cx: &mut Context, progress: &mut Progress) {
        let mss = self.snd.mss;
        self.duplicate_acks += 1;
        progress.duplicate = true;
        if self.rcv.sack {
            self.snd.in_flight.mark_lost_below_sacked(2 * mss);
        }
        if self.congestion.recovery().is_some() {
            return;
        }
        // RFC 6582 §3.2 step 1 wants more acknowledged than `recover`: at it, duplicates may still be echoes of what was
        // sent again needlessly. SACK blocks are no such echoes.
        let fresh = if self.rcv.sack {
            self.snd.una.at_or_after(self.recover)
        } else {
            self.snd.una.after(self.recover)
        };
        let lost = self.snd.in_flight.lost() > 0 && self.timeouts == 0;
        if !fresh || (self.duplicate_acks < 3 && !lost) {
            return;
        }
        self.snd.in_flight.mark_first_lost(mss);
        self.recover = self.snd.nxt;
        let signal = self.congestion.signal(mss, progress.flight);
        let recover_fs = progress.flight - progress.sacked; // RFC 9937 §6.1
        self.congestion.on_loss(&signal, self.recover, recover_fs);
        self.retransmit_pending = true;
        cx.counters.fast_retransmits += 1;
    }

    /// RFC 2018: blocks that lie in flight; all others are ignored. Returns how many bytes are news.
    fn take_sack(&mut self, header: &TcpHeader, now: Instant) -> usize {
        if !self.rcv.sack {
            return 0;
        }
        let (una, nxt) = (self.snd.una.max(header.ack), self.snd.nxt);
        let mut news = 0;
        for block in header.options.sack.iter() {
            if block.start.at_or_after(una) && block.start.before(block.end) && block.end.at_or_before(nxt) {
                news += self.snd.in_flight.sack(block, now);
            }
        }
        news
    }
}
