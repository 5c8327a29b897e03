//! What one acknowledgement achieves, and how the congestion control hears of it.

use core::time::Duration;

use super::congestion::{AckSample, RecoveryAck};
use super::connection::Connection;
use crate::Instant;
use crate::context::Context;

/// What an acknowledgement changes, beginning with how things were before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// RFC 5681's FlightSize.
    pub(super) flight: usize,
    pub(super) sacked: usize,
    delivered: u64,
    duplicates: usize,
    /// Timeouts in a row.
    pub(super) timeouts: u8,
    cwnd_limited: bool,
    in_recovery: bool,
    /// What it answers left before this, as far as timestamps tell.
    pub(super) answers_before: Option<Instant>,
    /// Newly acknowledged cumulatively.
    pub(super) acked: usize,
    /// The same with every segment counted as a full one, once nothing of it is left.
    pub(super) acked_whole: usize,
    /// Some of that had been sent more than once.
    pub(super) resent: bool,
    /// Newly SACKed.
    pub(super) newly_sacked: usize,
    /// It was a duplicate.
    pub(super) duplicate: bool,
    /// It tells of text that arrived twice (D-SACK); that of the tail probe among it.
    pub(super) duplicate_told: bool,
    pub(super) probe_was_needless: bool,
    pub(super) rtt: Option<Duration>,
}

impl Progress {
    /// It answers something that left before `sent_at`, as far as timestamps tell.
    pub(super) fn answers_earlier_than(&self, sent_at: Option<Instant>) -> bool {
        sent_at
            .zip(self.answers_before)
            .is_some_and(|(sent_at, before)| sent_at >= before)
    }

    /// RFC 9937 §5.1's DeliveredData without SACK: a segment for a duplicate, and later only what the duplicates have
    /// not said already.
    fn estimated(&self, mss: usize) -> usize {
        if self.duplicate {
            mss
        } else {
            self.acked.saturating_sub(self.duplicates * mss)
        }
    }
}

impl Connection {
    pub(super) fn progress_so_far(&self) -> Progress {
        let board = &self.snd.in_flight;
        let flight = board.outstanding();
        Progress {
            flight,
            sacked: board.sacked(),
            delivered: board.delivered(),
            duplicates: self.duplicate_acks,
            timeouts: self.timeouts,
            // No room for another segment, or none when last it was looked for.
            cwnd_limited: self.cwnd_limited || self.pipe() + self.snd.mss > self.congestion.cwnd(),
            in_recovery: self.congestion.is_reducing(),
            answers_before: None,
            acked: 0,
            acked_whole: 0,
            resent: false,
            newly_sacked: 0,
            duplicate: false,
            duplicate_told: false,
            probe_was_needless: false,
            rtt: None,
        }
    }

    /// What the acknowledgement has shown goes to the congestion control.
    pub(super) fn control_congestion(&mut self, cx: &mut Context, progress: &Progress) {
        let found_loss = self.tell_losses(cx) > 0;
        let board = &mut self.snd.in_flight;
        let delivered = usize::try_from(board.delivered() - progress.delivered).unwrap_or(usize::MAX);
        let rate = board.take_rate_sample(self.rtt.min());
        rate.iter().for_each(|sample| self.tally.on_rate(sample));
        let mss = self.snd.mss;
        // As Linux: where segments overtake each other the window grows with what arrives in whatever order.
        let acked = if self.rcv.sack && board.rack.path_is_known_to_reorder() {
            delivered
        } else {
            progress.acked_whole
        };
        // As Linux: the acknowledgement that ends a reduction counts for growth, by what it delivers itself.
        let acked = if progress.in_recovery {
            acked.min(delivered)
        } else {
            acked
        };
        let in_flight = self.pipe();
        if delivered > 0 {
            self.congestion.on_ack(&AckSample {
                now: cx.now,
                mss,
                acked,
                delivered,
                rtt: progress.rtt,
                srtt: self.rtt.srtt(),
                in_flight,
                cwnd_limited: progress.cwnd_limited,
                in_recovery: self.congestion.is_reducing(),
                rate,
            });
        }
        let ack = RecoveryAck {
            delivered: if self.rcv.sack {
                delivered
            } else {
                progress.estimated(mss)
            },
            una_advanced: progress.acked > 0,
            found_loss,
            in_flight,
        };
        self.congestion.reduce(&ack, mss);
    }

    /// What is newly held to be lost. Says how many ranges that are.
    pub(super) fn tell_losses(&mut self, cx: &mut Context) -> usize {
        cx.counters.lost_retransmits += self.snd.in_flight.take_lost_again();
        let losses = self.snd.in_flight.take_losses();
        let count = losses.len();
        for loss in losses {
            self.congestion.on_range_lost(cx.now, &loss);
        }
        count
    }
}
