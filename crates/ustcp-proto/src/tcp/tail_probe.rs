//! Tail loss probes, RFC 8985 §7: when the end of a flight stays unacknowledged, one more segment asks what has become
//! of it, so that its loss is repaired without a timeout.

use core::time::Duration;

use ustcp_wire::SeqNum;

use super::connection::Connection;
use super::progress::Progress;
use super::segment::Outgoing;
use crate::Instant;
use crate::context::Context;

/// What Linux adds to two round trips, for clocks that tick: its `TCP_TIMEOUT_MIN`.
const SLACK: Duration = Duration::from_millis(2);

/// `tcp_early_retrans`: probes are sent at these values.
const ENABLED: [u8; 2] = [3, 4];

/// The probe of the flight at hand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TailProbe {
    /// The timer went off: it is to be sent.
    pending: bool,
    /// TLP.end_seq: SND.NXT when it was sent, until it is known what became of it.
    end: Option<SeqNum>,
    /// TLP.is_retrans: it repeated the last segment.
    repeated: bool,
}

impl TailProbe {
    /// Losses are being repaired: nothing is left to ask.
    pub(super) fn cancel(&mut self) {
        *self = TailProbe::default();
    }

    /// A D-SACK that ends at `end` is about the probe, and about no retransmission of ours that was a mistake.
    pub(super) fn ends_at(&self, end: SeqNum) -> bool {
        self.repeated && self.end == Some(end)
    }
}

impl Connection {
    /// RFC 8985 §7.2: text was sent, or acknowledged; when the probe is due, if one may be.
    pub(super) fn schedule_tail_probe(&mut self, cx: &Context) {
        let due = self.tail_probe_timeout(cx).map(|timeout| cx.now + timeout);
        if self.tail_probe.end.is_none() {
            self.timers.loss_probe = due.map(|at| self.timers.retransmission.map_or(at, |latest| at.min(latest)));
        } else if let Some(at) = due {
            self.expect_answer_to_probe(cx.now, at);
        }
    }

    /// The one probe of the flight is on its way, and another would be due at `at`. As Linux, whose one timer serves both:
    /// at that time the retransmission timeout, if it has run out since the oldest text was sent, or else when it has.
    fn expect_answer_to_probe(&mut self, now: Instant, at: Instant) {
        self.timers.loss_probe = None;
        if let Some(sent_at) = self.snd.in_flight.oldest_sent_at() {
            let timeout = sent_at + self.rtt.rto();
            self.timers.retransmission = Some(if timeout > now { timeout } else { at });
        }
    }

    fn tail_probe_timeout(&self, cx: &Context) -> Option<Duration> {
        let board = &self.snd.in_flight;
        let quiet = !self.congestion.is_recovering() && board.sacked() == 0 && board.lost() == 0;
        if !ENABLED.contains(&cx.config.early_retrans) || !self.rcv.sack || board.outstanding() == 0 || !quiet {
            return None;
        }
        let srtt = self.rtt.srtt()?;
        // One segment alone may wait for a delayed acknowledgement.
        let text = self.snd.nxt.min(self.snd.text_end()).distance_from(self.snd.una);
        let slack = if board.is_one_segment(text) {
            cx.config.rto_min
        } else {
            SLACK
        };
        Some((srtt * 2 + slack).min(self.rtt.rto()))
    }

    pub(super) fn on_loss_probe_timeout(&mut self, cx: &Context) {
        if self.tail_probe.end.is_none() {
            self.tail_probe.pending = true; // one for each flight
            self.timers.retransmission = Some(cx.now + self.rtt.rto()); // it may be due at the same time
        }
    }

    /// RFC 8985 §7.3: new text where the peer's window allows it, whatever ours says; else the last segment again.
    pub(super) fn transmit_tail_probe(&mut self, cx: &mut Context) -> Option<Outgoing> {
        if !core::mem::take(&mut self.tail_probe.pending) || self.snd.in_flight.outstanding() == 0 {
            return None;
        }
        let fresh = self.next_text_for_probe();
        let outgoing = match fresh {
            Some((start, end)) => self.send_new(cx, start, end),
            None => self.repeat_last(cx)?,
        };
        self.tail_probe.end = Some(self.snd.nxt);
        self.tail_probe.repeated = fresh.is_none();
        self.timers.loss_probe = None;
        cx.counters.loss_probes += 1;
        Some(outgoing)
    }

    fn next_text_for_probe(&self) -> Option<(SeqNum, SeqNum)> {
        let len = self.snd.unsent().min(self.packet_text());
        let fin = usize::from(self.snd.fin_queued && len == self.snd.unsent());
        let end = self.snd.nxt + len + fin;
        (self.snd.has_unsent() && len + fin <= self.snd.usable()).then_some((self.snd.nxt, end))
    }

    fn repeat_last(&mut self, cx: &mut Context) -> Option<Outgoing> {
        let last = self.snd.in_flight.last()?;
        let text = last.end.min(self.snd.text_end()).distance_from(last.start);
        let whole = self.packet_text();
        let before = text.saturating_sub(1) / whole * whole;
        Some(self.resend(cx, last.start + before, last.end))
    }

    /// RFC 8985 §7.4.2: what an acknowledgement says of the probe.
    pub(super) fn take_answer_to_probe(&mut self, cx: &mut Context, ack: SeqNum, progress: &Progress) {
        let Some(end) = self.tail_probe.end.filter(|end| ack.at_or_after(*end)) else {
            return;
        };
        let news = progress.acked > 0 || progress.newly_sacked > 0;
        if !self.tail_probe.repeated || progress.probe_was_needless {
            self.tail_probe.end = None;
        } else if ack.after(end) {
            // The peer had no use for a second copy, so the first was lost, and only the probe has repaired it.
            self.tail_probe.end = None;
            self.reduce_once(progress);
            cx.counters.loss_probe_recoveries += 1;
        } else if !news && progress.duplicate {
            self.tail_probe.end = None; // both copies have arrived
        }
    }

    /// The congestion response to a loss that needs no repair any more.
    fn reduce_once(&mut self, progress: &Progress) {
        let signal = self.congestion.signal(self.snd.mss, progress.flight);
        self.congestion.on_loss(&signal, self.snd.una, progress.flight);
        self.congestion.advance(self.snd.una, None);
    }
}
