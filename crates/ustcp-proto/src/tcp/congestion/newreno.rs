//! Congestion control: NewReno, RFC 5681 and RFC 6582, in bytes.

use ustcp_wire::SeqNum;

/// Congestion window and what it is doing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewReno {
    cwnd: usize,
    ssthresh: usize,
    initial: usize,
    /// Bytes acknowledged towards the next segment of growth in congestion avoidance.
    credit: usize,
    /// In loss recovery until everything before this is acknowledged.
    recovery: Option<SeqNum>,
}

impl NewReno {
    /// `initial_window` segments of `mss` bytes, RFC 6928: at most 10 or about 14,600 bytes, and never below 2.
    pub(crate) fn new(initial_window: u32, mss: usize) -> NewReno {
        let segments = usize::try_from(initial_window).unwrap_or(10);
        let initial = (segments * mss).min((2 * mss).max(segments * 1460));
        NewReno {
            cwnd: initial,
            ssthresh: usize::MAX,
            initial,
            credit: 0,
            recovery: None,
        }
    }

    pub(crate) fn cwnd(&self) -> usize {
        self.cwnd
    }

    pub(crate) fn ssthresh(&self) -> usize {
        self.ssthresh
    }

    pub(crate) fn recovery(&self) -> Option<SeqNum> {
        self.recovery
    }

    pub(crate) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// RFC 5681 §3.1: a SYN or SYN-ACK was lost, so begin with one segment.
    pub(crate) fn after_lost_syn(&mut self, mss: usize) {
        self.cwnd = mss;
    }

    /// New data was acknowledged outside recovery while the window was in full use, RFC 5681 §3.1.
    // Growth is by bytes, with at most two segments for one acknowledgement in slow start (RFC 3465, L = 2), times as
    // many acknowledgements as a receiver of super-segments has left out: one for every second segment.
    pub(crate) fn on_ack(&mut self, acked: usize, mss: usize) {
        if self.in_slow_start() {
            let room = self.ssthresh.saturating_sub(self.cwnd);
            self.cwnd += acked.min(room.max(mss));
            return;
        }
        self.credit += acked;
        while self.credit >= self.cwnd {
            self.credit -= self.cwnd;
            self.cwnd += mss;
        }
    }

    /// Loss found with `flight` bytes in the network: halve, and recover until `recover` is acknowledged.
    pub(crate) fn on_loss(&mut self, flight: usize, mss: usize, recover: SeqNum) {
        self.ssthresh = (flight / 2).max(2 * mss); // RFC 5681 (4)
        self.cwnd = self.ssthresh;
        self.credit = 0;
        self.recovery = Some(recover);
    }

    /// Everything up to the recovery point is acknowledged, RFC 6582 §3.2 step 3 (1).
    pub(crate) fn on_recovered(&mut self, flight: usize, mss: usize) {
        self.cwnd = self.ssthresh.min(flight.max(mss) + mss);
        self.recovery = None;
    }

    /// The retransmission timer went off, RFC 5681 §3.1: `first` when it is not the same segment once more.
    pub(crate) fn on_timeout(&mut self, flight: usize, mss: usize, first: bool) {
        if first {
            self.ssthresh = (flight / 2).max(2 * mss);
        }
        self.cwnd = mss;
        self.credit = 0;
        self.recovery = None;
    }

    /// Nothing was sent for longer than a retransmission timeout, RFC 5681 §4.1.
    pub(crate) fn on_idle(&mut self) {
        self.cwnd = self.cwnd.min(self.initial);
    }
}
