//! What happens when a timer goes off.

use super::connection::Connection;
use super::receive::AckDebt;
use super::transmit::Probe;
use crate::context::Context;
use crate::{Cause, Error, EventKind, Timer};

/// Whether the peer is to be told that the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on, or is over without a word.
    Silent,
    /// It is over: send RST.
    Reset,
}

impl Connection {
    /// Serves every timer that is due.
    pub(crate) fn on_timeout(&mut self, cx: &mut Context) -> Verdict {
        while let Some(timer) = self.timers.take_due(cx.now) {
            // The one goes off with nearly every segment, the other is no part of the protocol.
            if !matches!(timer, Timer::Pacing | Timer::Reclaim) {
                cx.record(Some(self.flow), EventKind::Expired(timer));
            }
            let verdict = match timer {
                Timer::Retransmission => self.on_retransmission_timeout(cx),
                Timer::Reordering => {
                    self.on_reordering_timeout(cx);
                    Verdict::Silent
                }
                Timer::LossProbe => {
                    self.on_loss_probe_timeout(cx);
                    Verdict::Silent
                }
                Timer::Persist => self.on_persist_timeout(cx),
                Timer::Pacing => Verdict::Silent, // its time has come: what waited is sent next
                Timer::Reclaim => {
                    self.reclaim(cx);
                    Verdict::Silent
                }
                Timer::DelayedAck => {
                    self.acks.on_timeout(self.rtt.rto());
                    self.rcv.owe(AckDebt::Now);
                    Verdict::Silent
                }
                Timer::Keepalive => self.on_keepalive_timeout(cx),
                Timer::FinWait2 | Timer::TimeWait | Timer::Reassembly => {
                    self.enter(cx, Cause::Aborted); // the peer never closed its half, and nobody listens to it
                    Verdict::Silent
                }
            };
            if verdict == Verdict::Reset {
                return verdict;
            }
        }
        Verdict::Silent
    }

    fn on_retransmission_timeout(&mut self, cx: &mut Context) -> Verdict {
        if self.has_waited_long_enough(cx) {
            return self.time_out(cx);
        }
        cx.counters.timeouts += 1;
        self.tally.on_timeout(self.first_timeout.is_none());
        self.first_timeout.get_or_insert(cx.now);
        self.timeouts = self.timeouts.saturating_add(1);
        if !self.is_thin() && !self.is_linear(&cx.config) {
            self.rtt.back_off(); // RFC 6298 (5.5)
        }
        if self.snd.syn_acked() {
            self.repair_after_timeout(cx);
        } else {
            self.syn_was_lost = true;
            self.fast_open_timed_out();
            self.syn_pending = true;
        }
        Verdict::Silent
    }

    fn repair_after_timeout(&mut self, cx: &mut Context) {
        self.suspect_black_hole(&cx.config);
        let begins = !self.congestion.is_recovering();
        let first = self.timeouts == 1;
        if begins {
            self.undo.begin(self.snd.una, self.snd.in_flight.retransmitted());
        }
        if cx.config.frto != 0 && (begins || !first) {
            self.undo.doubt_timeout();
        } else {
            self.undo.believe_timeout();
        }
        let signal = self.congestion.signal(self.snd.mss, self.snd.in_flight.outstanding());
        self.find_timed_out(cx);
        self.congestion.on_timeout(&signal, self.snd.nxt, first);
        self.tell_losses(cx);
        self.recover = self.snd.nxt;
        self.duplicate_acks = 0;
        self.tail_probe.cancel();
        self.timers.loss_probe = None;
        self.timers.reordering = None;
        self.retransmit_pending = true; // RFC 6298 (5.4)
    }

    /// With SACK what left less than a round trip ago may still arrive, RFC 8985 §6.3; without, all is lost.
    fn find_timed_out(&mut self, cx: &mut Context) {
        let window = self.reordering_window(&cx.config);
        let board = &mut self.snd.in_flight;
        if board.is_reneged_on() {
            board.renege(); // RFC 2018 §8
            cx.counters.sack_renegings += 1;
        } else if self.rcv.sack {
            board.mark_timed_out(board.rack.oldest_alive(cx.now, window));
        } else {
            board.mark_all_lost();
        }
    }

    /// Nobody answers, so nobody is told: as Linux.
    fn time_out(&mut self, cx: &mut Context) -> Verdict {
        let error = self.soft_error.unwrap_or(Error::TimedOut);
        self.fail(cx, Cause::Aborted, error);
        Verdict::Silent
    }

    /// The peer's window is closed, or too small to be worth filling: ask, RFC 9293 §3.8.6.1.
    fn on_persist_timeout(&mut self, cx: &mut Context) -> Verdict {
        if self.has_probed_long_enough(cx) {
            return self.time_out(cx);
        }
        self.probe = Probe::Due;
        Verdict::Silent
    }

    /// RFC 9293 §3.8.4: nothing has come for the idle time, or the last probe went unanswered.
    fn on_keepalive_timeout(&mut self, cx: &mut Context) -> Verdict {
        if self.snd.in_flight.outstanding() > 0 || self.snd.has_unsent() {
            self.start_keepalive(cx.now); // the retransmission or persist timer watches over it
            return Verdict::Silent;
        }
        if self.has_been_silent_long_enough(cx) {
            self.time_out(cx);
            return Verdict::Reset; // as Linux: what is idle may be alive and unheard
        }
        self.probes += 1;
        self.probe = Probe::Due;
        self.timers.keepalive = Some(cx.now + self.options.keepalive_interval);
        Verdict::Silent
    }
}
