//! NewReno: RFC 5681's slow start and congestion avoidance, with RFC 8511's milder answer to ECN.

use super::control::{AckSample, CongestionControl, Memory, Restart, Signal, scaled};

#[cfg(test)]
mod tests;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reno {
    cwnd: usize,
    ssthresh: usize,
    initial: usize,
    /// Bytes acknowledged towards the next segment of growth in congestion avoidance.
    credit: usize,
    /// Window and threshold before the last reaction to loss.
    before: Memory<(usize, usize)>,
}

impl Reno {
    pub(crate) fn new(initial: usize) -> Reno {
        Reno {
            cwnd: initial,
            ssthresh: usize::MAX,
            initial,
            credit: 0,
            before: Memory::EMPTY,
        }
    }

    /// RFC 5681 (4), with the share of what was in flight that is kept in tenths.
    fn reduce(&mut self, signal: &Signal, tenths: usize) {
        self.before.remember(signal, (self.cwnd, self.ssthresh));
        self.ssthresh = scaled(signal.flight, tenths, 10).max(2 * signal.mss);
        self.cwnd = self.ssthresh;
        self.credit = 0;
    }

    fn restore(&mut self, before: Option<(usize, usize)>) {
        if let Some((cwnd, ssthresh)) = before {
            self.cwnd = self.cwnd.max(cwnd);
            self.ssthresh = self.ssthresh.max(ssthresh);
        }
    }
}

impl CongestionControl for Reno {
    // Growth is by bytes: an acknowledgement of a super-segment counts in full, as the many would that its receiver
    // has left out, and one of a single byte counts for one byte (RFC 3465).
    fn on_ack(&mut self, ack: &AckSample) {
        if ack.in_recovery || !ack.cwnd_limited {
            return;
        }
        if self.cwnd < self.ssthresh {
            let room = self.ssthresh - self.cwnd;
            self.cwnd += ack.acked.min(room.max(ack.mss));
            return;
        }
        self.credit += ack.acked;
        // RFC 5681 (3): about a segment in a round trip, in which what is whole of the window is acknowledged.
        let mut whole = (self.cwnd / ack.mss).max(1) * ack.mss;
        while self.credit >= whole {
            self.credit -= whole;
            whole += ack.mss;
            self.cwnd += ack.mss;
        }
    }

    fn on_loss(&mut self, signal: &Signal) {
        self.reduce(signal, 5);
    }

    fn on_timeout(&mut self, signal: &Signal, first: bool) {
        if first {
            self.reduce(signal, 5);
        }
        self.cwnd = signal.mss; // RFC 5681 §3.1: the loss window
        self.credit = 0;
    }

    fn on_ecn(&mut self, signal: &Signal) {
        self.reduce(signal, 8); // RFC 8511 §3.1
        self.before = Memory::EMPTY; // a mark is no guess that could prove wrong
    }

    fn on_restart(&mut self, restart: &Restart) {
        if restart.rto_passed {
            self.cwnd = self.cwnd.min(self.initial); // RFC 5681 §4.1
        }
    }

    fn begin_at(&mut self, cwnd: usize, ssthresh: usize) {
        self.cwnd = cwnd;
        self.ssthresh = ssthresh;
    }

    fn undo(&mut self) {
        let before = self.before.undo();
        self.restore(before);
    }

    fn undo_earlier(&mut self) {
        let before = self.before.undo_earlier();
        self.restore(before);
    }

    fn cwnd(&self) -> usize {
        self.cwnd
    }

    fn ssthresh(&self) -> usize {
        self.ssthresh
    }
}
