//! What a connection sends next, and whether it may.

use core::ops::ControlFlow;

use ustcp_wire::SeqNum;

use super::congestion::{Restart, quantum};
use super::connection::Connection;
use super::segment::Outgoing;
use crate::context::Context;
use crate::{Instant, State};

/// What is still to be sent to ask a peer whether it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Probe {
    #[default]
    None,
    Due,
    /// The segment with the urgent pointer has gone ahead.
    BehindUrgent,
}

impl Connection {
    /// The next segment; `None` when there is none to send now.
    pub(crate) fn poll_transmit(&mut self, cx: &mut Context) -> Option<Outgoing> {
        self.follow_path(cx);
        let outgoing = self.next_segment(cx);
        self.heed_user_timeout();
        self.keep_time(cx.now);
        outgoing
    }

    fn next_segment(&mut self, cx: &mut Context) -> Option<Outgoing> {
        if matches!(self.state, State::Closed | State::Listen | State::TimeWait) {
            return None;
        }
        if core::mem::take(&mut self.syn_pending) {
            return Some(self.transmit_syn(cx));
        }
        if self.is_opening() {
            return self.transmit_ack_if_owed(cx.now);
        }
        self.transmit_text(cx)
            .or_else(|| self.transmit_probe(cx))
            .or_else(|| self.transmit_ack_if_owed(cx.now))
    }

    /// Bytes a second at which text leaves: as the congestion control wants, and no more than the user.
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        let own = self.congestion.pacing_rate();
        match self.options.max_pacing_rate {
            0 | u64::MAX => own,
            most => Some(own.map_or(most, |rate| rate.min(most))),
        }
    }

    /// Text, when its time of departure has come.
    fn transmit_text(&mut self, cx: &mut Context) -> Option<Outgoing> {
        let rate = self.pacing_rate();
        let paced = || rate.and_then(|_| self.pacer.wait(cx.now));
        let wait = self.ecn.wait(cx.now).or_else(paced);
        let waiting = self.snd.has_unsent() || self.snd.in_flight.lost() > 0;
        self.timers.pacing = wait.filter(|_| waiting);
        if self.timers.pacing.is_some() {
            return None;
        }
        let outgoing = self.transmit_next(cx)?;
        let (_, len) = outgoing.text;
        self.congestion.on_sent(len);
        if let Some(rate) = rate {
            self.pacer.on_sent(cx.now, len, rate);
        }
        Some(outgoing)
    }

    /// What is held to be lost goes before anything new, unless it is in doubt whether anything is lost at all.
    fn transmit_next(&mut self, cx: &mut Context) -> Option<Outgoing> {
        if self.undo.wants_new_text() {
            let outgoing = self.transmit_new(cx);
            if outgoing.is_some() || self.snd.nxt.after(self.recover) {
                return outgoing;
            }
            self.undo.believe_timeout(); // there is none that would clear it up
        }
        self.transmit_tail_probe(cx)
            .or_else(|| self.retransmit(cx))
            .or_else(|| self.transmit_new(cx))
    }

    fn retransmit(&mut self, cx: &mut Context) -> Option<Outgoing> {
        let range = self.snd.in_flight.first_lost()?;
        let len = range.end.distance_from(range.start).min(self.packet_text());
        let fits = self.pipe() + len <= self.congestion.cwnd() || self.pipe() == 0;
        if !core::mem::take(&mut self.retransmit_pending) && !fits {
            self.cwnd_limited = true;
            return None;
        }
        let end = range.start + len;
        let first = range.start == self.snd.una;
        if first || self.timers.retransmission.is_none() {
            self.timers.retransmission = Some(cx.now + self.rtt.rto());
        }
        self.undo.on_resent(len, cx.now);
        Some(self.resend(cx, range.start, end))
    }

    /// `[start, end)`, part of one range, once more.
    pub(super) fn resend(&mut self, cx: &mut Context, start: SeqNum, end: SeqNum) -> Outgoing {
        self.snd.in_flight.resent(start, end, cx.now);
        self.mtu_probing.on_resent();
        cx.counters.retrans_segs += 1;
        self.retransmissions = self.retransmissions.wrapping_add(1);
        self.bytes_retransmitted += end.distance_from(start) as u64;
        self.segment(cx, start, end, true)
    }

    /// Bytes held to be in the network. Without SACK each duplicate acknowledgement says that one segment has left it.
    pub(super) fn pipe(&self) -> usize {
        let left = if self.rcv.sack {
            0
        } else {
            self.duplicate_acks * self.snd.mss
        };
        self.snd.in_flight.pipe().saturating_sub(left)
    }

    /// Text sent for the first time, with the FIN when it is the last.
    fn transmit_new(&mut self, cx: &mut Context) -> Option<Outgoing> {
        if !self.snd.has_unsent() {
            self.cwnd_limited = self.pipe() + self.snd.mss > self.congestion.cwnd();
            if !self.cwnd_limited && self.snd.in_flight.lost() == 0 {
                self.snd.in_flight.on_app_limited();
            }
            return None;
        }
        self.restart_after_idle(cx);
        if let ControlFlow::Break(outgoing) = self.transmit_mtu_probe(cx) {
            return outgoing;
        }
        let Some((len, fin)) = self.sendable(cx) else {
            self.arm_persist(cx);
            return None;
        };
        let start = self.snd.nxt;
        let outgoing = self.send_new(cx, start, start + len + usize::from(fin));
        self.schedule_tail_probe(cx);
        Some(outgoing)
    }

    /// `[start, end)`, which begins at SND.NXT, for the first time.
    pub(super) fn send_new(&mut self, cx: &mut Context, start: SeqNum, end: SeqNum) -> Outgoing {
        self.snd.nxt = end;
        self.snd.in_flight.sent(start, end, cx.now);
        let text = end.min(self.snd.text_end()).distance_from(start);
        if !text.is_multiple_of(self.packet_text()) {
            self.snd.small_end = end;
        }
        self.timers.persist = None;
        self.probing_since = None;
        self.notify |= self.minds_unsent(&cx.config);
        if self.timers.retransmission.is_none() {
            self.timers.retransmission = Some(cx.now + self.rtt.rto()); // RFC 6298 (5.1)
        }
        self.segment(cx, start, end, false)
    }

    /// RFC 5681 §4.1.
    fn restart_after_idle(&mut self, cx: &Context) {
        if self.snd.in_flight.outstanding() == 0 {
            self.congestion.on_restart(&Restart {
                now: cx.now,
                rto_passed: cx.config.slow_start_after_idle && cx.now.since(self.last_text_sent) > self.rtt.rto(),
                srtt: self.rtt.srtt(),
            });
        }
    }

    /// How much may go now, and whether the FIN goes along: RFC 9293 §3.8.6.2.1 and §3.7.4, both windows.
    fn sendable(&mut self, cx: &Context) -> Option<(usize, bool)> {
        let whole = self.packet_text();
        let unsent = self.snd.unsent();
        let usable = self.snd.usable();
        let record = self.snd.records.left(self.snd.nxt);
        let wanted = unsent.min(record).min(usable).min(self.largest_text(cx));
        let allowed = self.within_congestion_window(wanted);
        let all = allowed == unsent;
        let fin = all && self.snd.fin_queued && usable > allowed;
        let ends_record = allowed == record && !all; // and more waits behind it: nothing to wait for
        let len = if allowed.is_multiple_of(whole) || ends_record || self.may_send_small(allowed, all, fin) {
            allowed
        } else {
            allowed / whole * whole
        };
        let fin = fin && len == allowed;
        (len > 0 || fin).then_some((len, fin))
    }

    /// One segment without offload; else as many whole ones as a super-segment holds, and as may leave in one piece.
    fn largest_text(&self, cx: &Context) -> usize {
        let whole = self.packet_text();
        if self.is_urgent() {
            return whole; // who splits a super-segment does not move the pointer
        }
        let piece = self
            .pacing_rate()
            .map_or(usize::MAX, |rate| quantum(rate, self.snd.mss));
        (cx.config.segmentation_offload.min(piece) / whole).max(1) * whole
    }

    fn within_congestion_window(&mut self, wanted: usize) -> usize {
        let whole = self.packet_text();
        let room = self.congestion.cwnd().saturating_sub(self.pipe());
        if wanted <= room || self.snd.in_flight.outstanding() == 0 && wanted <= whole {
            self.cwnd_limited = false;
            return wanted;
        }
        self.cwnd_limited = true;
        room / whole * whole
    }

    /// Whether a piece that ends in less than a full segment may go: it is the last of what there is and Nagle has no
    /// objection, or it is half of the largest window this peer ever had.
    fn may_send_small(&self, len: usize, all: bool, fin: bool) -> bool {
        let patient = self.is_corked() || !self.options.no_delay && self.snd.small_in_flight();
        let nagle = fin || self.is_urgent() || !patient;
        let half_window = len * 2 >= self.snd.max_wnd && self.snd.max_wnd > 0;
        nagle && (all || half_window) && len > 0 || fin
    }

    /// The window has changed: what waits for it need not wait for the backed-off rest of a probe's time. It does wait
    /// for its own, however often a window too small is repeated.
    pub(crate) fn hasten_persist(&mut self, now: Instant) {
        self.probe_backoff = 0;
        let soon = now + self.rtt.scaled(0);
        self.timers.persist = self.timers.persist.map(|at| at.min(soon));
    }

    /// Nothing in flight will bring an acknowledgement, and what waits cannot go: ask from time to time.
    fn arm_persist(&mut self, cx: &Context) {
        if self.snd.in_flight.outstanding() == 0 && self.timers.persist.is_none() && self.probe == Probe::None {
            self.timers.persist = Some(cx.now + self.rtt.scaled(self.probe_backoff));
        }
    }

    /// A probe: what fits of the data when the window is merely small (the sender's override of silly-window
    /// avoidance), else a bare segment one before the window, which must be answered.
    fn transmit_probe(&mut self, cx: &mut Context) -> Option<Outgoing> {
        match core::mem::take(&mut self.probe) {
            Probe::None => return None,
            Probe::Due => {}
            Probe::BehindUrgent => return Some(self.bare_probe(cx.now)),
        }
        let waiting = self.snd.has_unsent();
        let record = self.snd.records.left(self.snd.nxt);
        let len = self
            .snd
            .unsent()
            .min(record)
            .min(self.snd.usable())
            .min(self.packet_text());
        if waiting && len > 0 {
            let (start, end) = (self.snd.nxt, self.snd.nxt + len);
            self.snd.nxt = end;
            self.snd.in_flight.sent(start, end, cx.now);
            self.timers.retransmission = Some(cx.now + self.rtt.rto());
            self.probing_since = None;
            return Some(self.segment(cx, start, end, false));
        }
        if waiting {
            self.probes = self.probes.saturating_add(1);
            self.probe_backoff = self.probe_backoff.saturating_add(1);
            self.timers.persist = Some(cx.now + self.rtt.scaled(self.probe_backoff)); // RFC 9293 SHLD-30
        }
        if self.is_urgent() && self.snd.up.distance_from(self.snd.una) <= usize::from(u16::MAX) {
            // As Linux: the pointer where it is acceptable, and so heeded, before the probe that is neither.
            self.probe = Probe::BehindUrgent;
            let header = self.acknowledging_header(cx.now, self.snd.una);
            return Some(Outgoing::bare(header, false));
        }
        Some(self.bare_probe(cx.now))
    }

    /// RFC 9293 SHLD-12 for keepalive; Linux's way for windows too: no byte of the stream is put at risk.
    fn bare_probe(&mut self, now: Instant) -> Outgoing {
        Outgoing::bare(self.acknowledging_header(now, self.snd.una - 1), false)
    }

    fn transmit_ack_if_owed(&mut self, now: Instant) -> Option<Outgoing> {
        let owed = self.rcv.owes_ack() && self.state != State::SynSent;
        owed.then(|| self.bare_ack(now))
    }
}
