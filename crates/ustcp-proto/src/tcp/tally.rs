//! Figures of a connection's life that only `TCP_INFO` tells.

use core::time::Duration;

use super::congestion::RateSample;
use super::connection::Connection;
use crate::{Instant, State};

/// What keeps text from leaving faster, Linux's `tcp_chrono`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pace {
    /// There is none.
    #[default]
    Idle,
    /// The network.
    Busy,
    /// The peer's window.
    Window,
    /// The send buffer: all of it is in flight, and the user would write more.
    Buffer,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(super) text_segments_in: u32,
    pub(super) text_segments_out: u32,
    pub(super) out_of_order: u32,
    /// The last delivery rate, in bytes a second, and whether the user left the network idle meanwhile.
    pub(super) delivery: Option<(u64, bool)>,
    /// Timeouts, the groups that they came in, and how long those lasted that are over.
    pub(super) timeouts: u16,
    pub(super) timeout_recoveries: u16,
    timeout_time: Duration,
    /// A send was not taken whole, and nothing has been acknowledged since.
    pub(super) refused: bool,
    pace: Pace,
    since: Instant,
    busy: Duration,
    window: Duration,
    buffer: Duration,
}

impl Tally {
    pub(super) fn on_text_sent(&mut self, packets: usize) {
        let packets = u32::try_from(packets).unwrap_or(u32::MAX);
        self.text_segments_out = self.text_segments_out.wrapping_add(packets);
    }

    pub(super) fn on_text_received(&mut self, out_of_order: bool) {
        self.text_segments_in = self.text_segments_in.wrapping_add(1);
        self.out_of_order = self.out_of_order.wrapping_add(u32::from(out_of_order));
    }

    /// As Linux: a rate that the user held down counts only when it is higher than what was known.
    pub(super) fn on_rate(&mut self, sample: &RateSample) {
        let Some(rate) = sample.rate() else { return };
        let known = self.delivery.map_or(0, |(known, _)| known);
        if !sample.app_limited || rate >= known {
            self.delivery = Some((rate, sample.app_limited));
        }
    }

    pub(super) fn on_timeout(&mut self, first: bool) {
        self.timeouts = self.timeouts.saturating_add(1);
        self.timeout_recoveries = self.timeout_recoveries.saturating_add(u16::from(first));
    }

    /// What was sent again after a timeout, the first of them at `first`, has an answer.
    pub(super) fn on_timeout_answered(&mut self, now: Instant, first: Option<Instant>) {
        self.timeout_time += first.map_or(Duration::ZERO, |first| now.since(first));
    }

    pub(super) fn timeout_time(&self, now: Instant, first: Option<Instant>) -> Duration {
        self.timeout_time + first.map_or(Duration::ZERO, |first| now.since(first))
    }

    fn enter(&mut self, now: Instant, pace: Pace) {
        let (busy, window, buffer) = self.times(now);
        (self.busy, self.window, self.buffer) = (busy, window, buffer);
        (self.pace, self.since) = (pace, now);
    }

    /// How long there was text to send; and of that, how long the window and the send buffer held it up.
    pub(super) fn times(&self, now: Instant) -> (Duration, Duration, Duration) {
        let passed = |pace: Pace| {
            if self.pace == pace {
                now.since(self.since)
            } else {
                Duration::ZERO
            }
        };
        let (window, buffer) = (passed(Pace::Window), passed(Pace::Buffer));
        let busy = self.busy + passed(Pace::Busy) + window + buffer;
        (busy, self.window + window, self.buffer + buffer)
    }
}

impl Connection {
    /// What leaves has left: from now on something else may hold up the rest.
    pub(super) fn keep_time(&mut self, now: Instant) {
        let pace = self.pace();
        if pace != self.tally.pace {
            self.tally.enter(now, pace);
        }
    }

    fn pace(&self) -> Pace {
        let unsent = self.snd.unsent();
        if !self.state.is_synchronized() || self.state == State::TimeWait || self.queued_out() == 0 {
            Pace::Idle
        } else if unsent > 0 && self.snd.usable() < unsent.min(self.snd.mss) {
            Pace::Window
        } else if unsent == 0 && self.tally.refused && !self.cwnd_limited {
            Pace::Buffer
        } else {
            Pace::Busy
        }
    }
}
