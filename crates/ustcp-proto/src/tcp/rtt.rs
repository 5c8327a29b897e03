//! Round-trip time and retransmission timeout, RFC 6298.

use core::time::Duration;

use crate::Config;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    srtt: Option<Duration>,
    rttvar: Duration,
    min: Option<Duration>,
    rto: Duration,
    rto_min: Duration,
    rto_max: Duration,
    backoff: u8,
}

impl Rtt {
    /// Before any sample, RFC 6298 (2.1).
    pub(crate) fn new(config: &Config) -> Rtt {
        Rtt {
            srtt: None,
            rttvar: Duration::ZERO,
            min: None,
            rto: config.rto_initial,
            rto_min: config.rto_min,
            rto_max: config.rto_max,
            backoff: 0,
        }
    }

    /// A round trip measured on a segment that was sent once (Karn), RFC 6298 (2.2) and (2.3); `least` is that of another
    /// which was acknowledged with it and had to wait less.
    pub(crate) fn sample(&mut self, rtt: Duration, least: Duration) {
        match self.srtt {
            None => {
                self.srtt = Some(rtt);
                self.rttvar = rtt / 2;
            }
            Some(srtt) => {
                self.rttvar = (self.rttvar * 3 + srtt.abs_diff(rtt)) / 4;
                self.srtt = Some((srtt * 7 + rtt) / 8);
            }
        }
        self.min = Some(self.min.map_or(least, |min| min.min(least)));
        self.backoff = 0;
        self.set_timeout(rtt);
    }

    /// A timeout was a mistake, for the path took `rtt`: RFC 4015 §3.2 steps 5 and 6.
    pub(crate) fn adapt(&mut self, rtt: Duration) {
        self.rttvar = self.rttvar.max(rtt / 2);
        self.srtt = Some(self.srtt.map_or(rtt, |srtt| srtt.max(rtt)));
        self.backoff = 0;
        self.set_timeout(rtt);
    }

    // The lower bound is on the variation's share, as in Linux, so that a steady path does not time out early.
    fn set_timeout(&mut self, rtt: Duration) {
        self.rto = (self.srtt.unwrap_or(rtt) + (self.rttvar * 4).max(self.rto_min)).min(self.rto_max);
    }

    /// The timer went off: wait twice as long, RFC 6298 (5.5), until there is a sample again (Karn).
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// The peer has been heard of: its silence is over.
    pub(crate) fn reset_backoff(&mut self) {
        self.backoff = 0;
    }

    /// RFC 6298 (5.7): the SYN had to be sent again and gave no sample.
    pub(crate) fn after_lost_syn(&mut self) {
        self.backoff = 0;
        if self.srtt.is_none() {
            self.rto = self.rto.max(Duration::from_secs(3)).min(self.rto_max);
        }
    }

    /// The timeout now, backed off.
    pub(crate) fn rto(&self) -> Duration {
        self.scaled(self.backoff)
    }

    /// The timeout after `doublings` further timeouts from an unbacked one.
    pub(crate) fn scaled(&self, doublings: u8) -> Duration {
        self.rto
            .saturating_mul(1 << u32::from(doublings).min(20))
            .min(self.rto_max)
    }

    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.srtt
    }

    pub(crate) fn variation(&self) -> Duration {
        self.rttvar
    }

    pub(crate) fn min(&self) -> Option<Duration> {
        self.min
    }

    pub(crate) fn backoff(&self) -> u8 {
        self.backoff
    }
}

/// How long `retries` timeouts take when the first lasts `first` and each is twice the one before, at most `longest`.
/// Linux turns its retry counts into time like this, so that a short RTT does not give up early.
pub(crate) fn patience(retries: u8, first: Duration, longest: Duration) -> Duration {
    let mut total = Duration::ZERO;
    let mut gap = first;
    for _ in 0..=retries {
        total += gap.min(longest);
        gap = gap.saturating_mul(2);
    }
    total
}

#[cfg(test)]
mod tests;
