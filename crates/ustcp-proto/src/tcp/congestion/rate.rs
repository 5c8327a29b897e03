//! Delivery rate, as draft-ietf-ccwg-bbr §4.1 measures it: how much was delivered between the delivery that preceded the
//! sending of a segment and the delivery of that segment, over the longer of the times it took to send and to be
//! acknowledged.

use core::time::Duration;

use crate::Instant;

#[cfg(test)]
mod tests;

/// The state of deliveries when a range was sent, kept with the range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    /// Bytes delivered on the whole connection, and when the last of them were.
    pub(crate) delivered: u64,
    delivered_at: Instant,
    /// When the send whose delivery was the latest then had itself been sent.
    first_sent_at: Instant,
    /// The application had left the window unfilled.
    app_limited: bool,
    /// In flight with this range.
    in_flight: usize,
    /// Bytes held lost on the whole connection.
    lost: u64,
}

/// A delivery rate, and what was going on when it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateSample {
    /// Bytes delivered over `interval`.
    pub(crate) delivered: u64,
    /// Zero when too short to say anything.
    pub(crate) interval: Duration,
    pub(crate) app_limited: bool,
    /// Delivered on the whole connection when the youngest range acknowledged now was sent.
    pub(crate) prior_delivered: u64,
    /// The same by now.
    pub(crate) total_delivered: u64,
    /// In flight when that range was sent.
    pub(crate) in_flight: usize,
    /// Bytes found to be lost since it was.
    pub(crate) lost: u64,
}

impl RateSample {
    /// Bytes a second.
    pub(crate) fn rate(&self) -> Option<u64> {
        let nanos = self.interval.as_nanos();
        if nanos == 0 {
            return None;
        }
        let rate = u128::from(self.delivered) * 1_000_000_000 / nanos;
        Some(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// A range that is held to be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) bytes: usize,
    /// In flight when it was sent.
    pub(crate) in_flight: usize,
    /// Bytes found to be lost since it was sent, itself among them.
    pub(crate) lost: u64,
    pub(crate) app_limited: bool,
    /// Delivered on the whole connection by now.
    pub(crate) total_delivered: u64,
}

/// The youngest range delivered by the acknowledgement at hand.
#[derive(Clone, Copy, Debug)]
struct Youngest {
    snapshot: Snapshot,
    sent_at: Instant,
}

/// The connection's running totals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampler {
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    lost: u64,
    /// Samples are limited by the application until more than this is delivered.
    app_limited_until: Option<u64>,
    youngest: Option<Youngest>,
}

impl Sampler {
    /// Bytes delivered in the connection's life.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// `bytes` leave now, with `in_flight` in the network before them.
    pub(crate) fn on_sent(&mut self, now: Instant, bytes: usize, in_flight: usize) -> Snapshot {
        if in_flight == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        Snapshot {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            app_limited: self.app_limited_until.is_some(),
            in_flight: in_flight + bytes,
            lost: self.lost,
        }
    }

    /// `bytes` of a range that was sent at `sent_at` are delivered.
    pub(crate) fn on_delivered(&mut self, now: Instant, snapshot: &Snapshot, sent_at: Instant, bytes: usize) {
        self.delivered += bytes as u64;
        self.delivered_at = now;
        let younger = self
            .youngest
            .is_none_or(|youngest| (snapshot.delivered, sent_at) >= (youngest.snapshot.delivered, youngest.sent_at));
        if younger {
            self.first_sent_at = sent_at;
            self.youngest = Some(Youngest {
                snapshot: *snapshot,
                sent_at,
            });
        }
    }

    /// `bytes` of a range are held to be lost.
    pub(crate) fn on_lost(&mut self, snapshot: &Snapshot, bytes: usize) -> Loss {
        self.lost += bytes as u64;
        Loss {
            bytes,
            in_flight: snapshot.in_flight,
            lost: self.lost - snapshot.lost,
            app_limited: snapshot.app_limited,
            total_delivered: self.delivered,
        }
    }

    /// There is nothing more to send, and the window has room.
    pub(crate) fn on_app_limited(&mut self, in_flight: usize) {
        self.app_limited_until = Some(self.delivered + in_flight as u64);
    }

    /// The acknowledgement is worked through: its sample, if it delivered something.
    pub(crate) fn take_sample(&mut self, min_rtt: Option<Duration>) -> Option<RateSample> {
        let Youngest { snapshot, sent_at } = self.youngest.take()?;
        if self.app_limited_until.is_some_and(|until| self.delivered > until) {
            self.app_limited_until = None;
        }
        let sending = sent_at.since(snapshot.first_sent_at);
        let acknowledging = self.delivered_at.since(snapshot.delivered_at);
        let interval = sending.max(acknowledging);
        // Shorter than any round trip: it was measured on acknowledgements that came in a heap.
        let too_short = min_rtt.is_some_and(|min| interval < min);
        Some(RateSample {
            delivered: self.delivered - snapshot.delivered,
            interval: if too_short { Duration::ZERO } else { interval },
            app_limited: snapshot.app_limited,
            prior_delivered: snapshot.delivered,
            total_delivered: self.delivered,
            in_flight: snapshot.in_flight,
            lost: self.lost - snapshot.lost,
        })
    }
}
