//! Proportional rate reduction, RFC 9937: how much to send for each acknowledgement of fast recovery.

#[cfg(test)]
mod tests;

/// One episode of fast recovery. All volumes are in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prr {
    /// Where the volume in flight is to end.
    ssthresh: usize,
    /// RecoverFS: what this recovery can deliver.
    recover_fs: usize,
    delivered: usize,
    out: usize,
}

/// What an acknowledgement during recovery says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecoveryAck {
    /// Newly delivered, cumulatively or by SACK.
    pub(crate) delivered: usize,
    /// SND.UNA went forward.
    pub(crate) una_advanced: bool,
    /// Something more was found to be lost.
    pub(crate) found_loss: bool,
    /// Held to be in the network.
    pub(crate) in_flight: usize,
}

impl Prr {
    /// RFC 9937 §6.1: `recover_fs` is what was in flight before the acknowledgement that begins recovery, less what had
    /// been SACKed before it.
    pub(crate) fn on_entry(ssthresh: usize, recover_fs: usize) -> Prr {
        Prr {
            ssthresh,
            recover_fs: recover_fs.max(1),
            delivered: 0,
            out: 0,
        }
    }

    /// RFC 9937 §6.2: how many bytes may be sent now. `None` when nothing was delivered and so nothing has changed.
    pub(crate) fn on_ack(&mut self, ack: &RecoveryAck, mss: usize) -> Option<usize> {
        if ack.delivered == 0 {
            return (self.out == 0).then_some(mss);
        }
        self.delivered += ack.delivered;
        let count = if ack.in_flight > self.ssthresh {
            self.proportional()
        } else {
            self.catching_up(ack, mss)
        };
        let fast_retransmit = if self.out == 0 { mss } else { 0 };
        Some(count.max(fast_retransmit)) // which is due, whatever the sums say
    }

    fn proportional(&self) -> usize {
        let due = (self.delivered as u128 * self.ssthresh as u128).div_ceil(self.recover_fs as u128);
        usize::try_from(due).unwrap_or(usize::MAX).saturating_sub(self.out)
    }

    /// Conservative by default; slow start's way while recovery makes progress (SafeACK).
    fn catching_up(&self, ack: &RecoveryAck, mss: usize) -> usize {
        let conservative = self.delivered.saturating_sub(self.out).max(ack.delivered);
        let safe = ack.una_advanced && !ack.found_loss;
        let bound = conservative + if safe { mss } else { 0 };
        bound.min(self.ssthresh - ack.in_flight)
    }

    /// Text was sent, for the first time or again.
    pub(crate) fn on_sent(&mut self, bytes: usize) {
        self.out += bytes;
    }
}
