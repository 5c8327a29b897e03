//! What an acceptable acknowledgement does: SND.UNA and the window move, losses show, recovery begins and ends.

use core::time::Duration;

use ustcp_wire::TcpHeader;

use super::arrival::Arrival;
use super::congestion::Signal;
use super::connection::Connection;
use super::progress::Progress;
use super::rack::DUPLICATE_THRESHOLD;
use super::scoreboard::Acknowledged;
use crate::Instant;
use crate::context::Context;

/// What a peer that seems to have reneged is given at least to fill the gap: Linux's 10 ms.
const LEAST_GRACE: Duration = Duration::from_millis(10);

impl Connection {
    /// SND.UNA, the window, and what they set free.
    pub(super) fn acknowledge(&mut self, cx: &mut Context, arrival: &Arrival<'_>) {
        let header = &arrival.header;
        let before = self.snd.una;
        let mut progress = self.progress_so_far();
        progress.answers_before = self.timestamps.answers_before(cx.now, &header.options);
        self.snd.in_flight.begin_acknowledgement(self.rtt.min());
        self.take_sack(cx, header, &mut progress);
        progress.rtt = self.round_trip_by_sack(cx.now);
        let window_changed = self
            .snd
            .update_window(header.seq, header.ack, self.scaled_window(header));
        if header.ack.after(before) {
            self.on_new_ack(cx, header, &mut progress);
        } else {
            // RFC 5681 §2: no text, no SYN or FIN, the same number, the same window. One that tells of a duplicate says
            // why it came (RFC 2883 §5).
            let same = header.ack == before && !arrival.occupied && !window_changed;
            progress.duplicate = same && !progress.duplicate_told;
            if let Some(rtt) = progress.rtt {
                self.rtt.sample(rtt, rtt);
            }
        }
        self.weigh_evidence();
        self.take_answer_to_probe(cx, header.ack, &progress);
        self.repair(cx, &progress);
        self.take_echo(cx, header, &progress);
        if self.snd.wnd > 0 {
            self.probes = 0;
            if window_changed {
                self.hasten_persist(cx.now);
            }
        }
        self.notify |= self.snd.una != before;
        self.control_congestion(cx, &progress);
        self.size_send_buffer(progress.flight);
    }

    fn on_new_ack(&mut self, cx: &mut Context, header: &TcpHeader, progress: &mut Progress) {
        let ack = header.ack;
        let mss = self.snd.mss;
        let acknowledged = self
            .snd
            .in_flight
            .acknowledge(ack, cx.now, progress.answers_before, mss);
        self.snd.advance(ack);
        self.judge_size();
        self.bytes_acked += acknowledged.bytes as u64;
        progress.acked = acknowledged.bytes;
        progress.acked_whole = acknowledged.segments * mss;
        progress.resent = acknowledged.resent;
        // Our own clock is finer than TSecr's, which is for what was sent more than once: RFC 7323 §4.1, as Linux.
        progress.rtt = acknowledged
            .sent_once
            .map(|(_, youngest)| cx.now.since(youngest))
            .or(progress.rtt)
            .or_else(|| self.round_trip_by_timestamps(cx, header, progress, &acknowledged));
        if let Some(rtt) = progress.rtt {
            // The path's is the youngest's. The timeout is to outlast the delay of the acknowledgement too: RFC 7323 §4.3 (A).
            let delayed = acknowledged.sent_once.map_or(rtt, |(oldest, _)| cx.now.since(oldest));
            self.rtt.sample(delayed, rtt);
        }
        self.timeouts = 0;
        self.tally.on_timeout_answered(cx.now, self.first_timeout.take());
        self.tally.refused = false;
        let outstanding = self.snd.in_flight.outstanding() > 0;
        self.timers.retransmission = outstanding.then(|| cx.now + self.retransmission_timeout()); // RFC 6298 (5.2), (5.3)
    }

    /// As Linux, what is SACKed and was sent once ends the backoff as well: while the hole before it is open nothing else
    /// will measure a round trip.
    fn round_trip_by_sack(&self, now: Instant) -> Option<Duration> {
        let backed_off = self.rtt.backoff() > 0;
        let sent_at = self.snd.in_flight.sack_sample(self.timeouts > 0).filter(|_| backed_off);
        sent_at.map(|sent_at| now.since(sent_at))
    }

    /// None of a part of a segment. None where the peer says that it got the second copy of what it had: TSecr is still of
    /// the first, whose acknowledgement was lost, and our own timeouts lie in between. Yet what was sent again has been
    /// answered. After timeouts in a row none either where TSecr names an earlier copy than the last: it may be the same
    /// without the peer's saying so, and Karn's rule holds, with the backoff (RFC 9293 MUST-18).
    fn round_trip_by_timestamps(
        &mut self,
        cx: &Context,
        header: &TcpHeader,
        progress: &Progress,
        acknowledged: &Acknowledged,
    ) -> Option<Duration> {
        if acknowledged.segments == 0 {
            return None;
        }
        if progress.duplicate_told {
            self.rtt.reset_backoff();
            return None;
        }
        if progress.timeouts > 1 && progress.answers_earlier_than(acknowledged.first_sent_last) {
            return None;
        }
        self.timestamps.round_trip(cx.now, &header.options)
    }

    /// RFC 6298's, unless the peer seems to have thrown away what it SACKed: then, as Linux, half a round trip and it
    /// is all sent again.
    fn retransmission_timeout(&self) -> Duration {
        if self.snd.in_flight.is_reneged_on() {
            self.rtt.srtt().map_or(LEAST_GRACE, |srtt| LEAST_GRACE.max(srtt / 2))
        } else {
            self.rtt.rto()
        }
    }

    /// What the acknowledgement says of losses: of those that were none, of those under repair, and of new ones.
    fn repair(&mut self, cx: &mut Context, progress: &Progress) {
        let mss = self.snd.mss;
        if self.rcv.sack && self.snd.in_flight.rack.note_reordering(mss) {
            cx.counters.sack_reorderings += 1;
        }
        self.undo_if_spurious(cx, progress);
        if progress.acked > 0 {
            self.advance_recovery(progress.acked);
        }
        if self.rcv.sack {
            self.duplicate_acks += usize::from(progress.newly_sacked > 0);
            self.find_overtaken(cx);
        } else if progress.duplicate && self.snd.in_flight.outstanding() > 0 {
            self.count_duplicate(mss);
            self.find_third_duplicate();
        }
        self.begin_recovery_if_lost(cx, progress);
        if progress.acked > 0 {
            self.schedule_tail_probe(cx);
        }
    }

    /// Without SACK each says that a segment has arrived. As Linux, no more have than left after the one that is missing,
    /// whatever a peer makes of this: with three in flight the third is an acknowledgement that came twice itself.
    fn count_duplicate(&mut self, mss: usize) {
        let behind = self.snd.in_flight.segments(mss) - 1;
        self.duplicate_acks = (self.duplicate_acks + 1).min(behind);
    }

    fn advance_recovery(&mut self, acked: usize) {
        let mss = self.snd.mss;
        // RFC 6582 §3.2 step 3 (1): without SACK, all of a window may be free at once, and would leave in a burst.
        let bound = (!self.rcv.sack).then(|| self.snd.in_flight.pipe().max(mss) + mss);
        let before = self.congestion.is_recovering();
        self.congestion.advance(self.snd.una, bound);
        if before && !self.congestion.is_recovering() {
            self.snd.in_flight.rack.on_recovered();
        }
        if self.congestion.recovery().is_none() {
            self.duplicate_acks = 0;
        } else if !self.rcv.sack {
            // A partial acknowledgement: the next hole is lost too, RFC 6582 §3.2 step 3 (2).
            self.duplicate_acks = self.duplicate_acks.saturating_sub((acked / mss).max(1));
            self.snd.in_flight.mark_first_lost(mss);
            self.retransmit_pending = true;
        }
    }

    /// RFC 5681 §3.2 without SACK, RFC 6582 §3.2 steps 1 and 2: the third in a row, unless duplicates may still be echoes
    /// of what was sent again needlessly.
    fn find_third_duplicate(&mut self) {
        let fresh = self.snd.una.after(self.recover);
        if fresh && self.duplicate_acks >= DUPLICATE_THRESHOLD && !self.congestion.is_recovering() {
            self.snd.in_flight.mark_first_lost(self.snd.mss);
        }
    }

    /// Fast recovery, when something is lost and it is not being repaired already.
    pub(super) fn begin_recovery_if_lost(&mut self, cx: &mut Context, progress: &Progress) {
        if self.snd.in_flight.lost() == 0 || self.congestion.is_recovering() || self.forgives_lost_probe() {
            return;
        }
        self.recover = self.snd.nxt;
        let srtt = self.rtt.srtt().unwrap_or_default();
        let resent = self.snd.in_flight.retransmitted();
        let in_doubt = self.undo.begin_another(self.snd.una, resent, cx.now, srtt);
        self.tail_probe.cancel();
        self.timers.loss_probe = None;
        let signal = Signal {
            in_doubt,
            ..self.congestion.signal(self.snd.mss, progress.flight)
        };
        let recover_fs = progress.flight - progress.sacked; // RFC 9937 §6.1
        self.congestion.on_loss(&signal, self.recover, recover_fs);
        self.retransmit_pending = true;
        cx.counters.fast_retransmits += 1;
    }
}
