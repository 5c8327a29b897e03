//! When an acknowledgement may wait, and for how long: Linux's quick acknowledgements, its "ping-pong" of request and
//! answer, and its delay that adapts to the pace of the text (ATO).

use core::time::Duration;

use super::connection::Connection;
use super::receive::AckDebt;
use crate::context::Context;
use crate::{Config, Instant, State};

/// What arrival and departure say of a connection's rhythm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DelayedAck {
    /// How long the next acknowledgement may wait; `None` before the first text.
    ato: Option<Duration>,
    /// Acknowledgements still to be sent at once.
    quick: u8,
    /// The user answers what comes: acknowledgements ride on the answers.
    pingpong: bool,
    last_text: Instant,
    /// Segments smaller than the largest, each likely the end of a write, that are not acknowledged yet.
    small: u8,
    min: Duration,
    max: Duration,
    quick_acks: u8,
}

impl DelayedAck {
    pub(crate) fn new(now: Instant, config: &Config, quick: bool) -> DelayedAck {
        DelayedAck {
            ato: None,
            quick: 0,
            pingpong: !quick,
            last_text: now,
            small: 0,
            min: config.delayed_ack,
            max: config.delayed_ack_max.max(config.delayed_ack),
            quick_acks: config.quick_acks,
        }
    }

    /// Text has come: `segments` full ones fill half of our window. A sender who begins, or begins again after a pause,
    /// is in slow start and lives on our acknowledgements.
    fn on_text(&mut self, now: Instant, segments: usize, rto: Duration, small: bool) {
        let gap = now.since(self.last_text);
        self.last_text = now;
        self.small = if small { (self.small + 1).min(2) } else { self.small };
        let Some(ato) = self.ato else {
            self.ato = Some(self.min);
            return self.be_quick(segments);
        };
        if gap <= self.min / 2 {
            self.ato = Some(ato / 2 + self.min / 2);
        } else if gap < ato {
            self.ato = Some((ato / 2 + gap).min(rto));
        } else if gap > rto {
            self.be_quick(segments);
        }
    }

    fn be_quick(&mut self, segments: usize) {
        let quick = u8::try_from(segments.max(2)).unwrap_or(u8::MAX).min(self.quick_acks);
        self.quick = self.quick.max(quick);
    }

    /// The peer sends what we have, or has slowed down: it is to hear of us soon.
    pub(crate) fn hurry(&mut self, segments: usize) {
        self.be_quick(segments);
        self.pingpong = false;
        self.ato = Some(self.min);
    }

    /// What the user says of its rhythm (`TCP_QUICKACK`).
    fn set_pingpong(&mut self, pingpong: bool) {
        self.pingpong = pingpong;
    }

    /// The next acknowledgement is not to wait.
    fn is_quick(&self) -> bool {
        self.quick > 0 && !self.pingpong
    }

    /// An acknowledgement leaves; `owed` when it was for text.
    pub(crate) fn on_ack_sent(&mut self, owed: bool) {
        self.small = 0;
        if !owed || self.quick == 0 {
            return;
        }
        self.quick -= 1;
        if self.quick == 0 {
            self.ato = Some(self.min);
        }
    }

    /// Text leaves: soon after some came it is an answer.
    pub(crate) fn on_text_sent(&mut self, now: Instant) {
        self.pingpong |= self.ato.is_some_and(|ato| now.since(self.last_text) < ato);
    }

    /// How long an acknowledgement may wait now. A round trip is enough, and no less than the minimum.
    fn delay(&self, srtt: Option<Duration>) -> Duration {
        let ato = self.ato.unwrap_or(self.min);
        let round_trip = srtt.map_or(self.max, |srtt| srtt.max(self.min));
        ato.max(self.min).min(round_trip).min(self.max)
    }

    /// The peer has said all. As Linux: who has heard it out may close as well, and say both in one segment; whether there is
    /// time for that. There is none when nothing else was ever said.
    pub(crate) fn on_fin(&mut self) -> bool {
        self.pingpong = true;
        self.ato.is_some()
    }

    /// Nothing left on which the acknowledgement could ride. A user who answers has not; else the text comes more
    /// slowly than was thought.
    pub(crate) fn on_timeout(&mut self, rto: Duration) {
        if core::mem::take(&mut self.pingpong) {
            self.ato = Some(self.min);
        } else {
            self.ato = self.ato.map(|ato| (ato * 2).min(rto).max(self.min));
        }
    }

    /// The user has read all there was: what is owed for small segments goes now, but for an answer that is awaited.
    fn reader_is_done(&self) -> bool {
        self.small > 1 || self.small > 0 && !self.pingpong
    }
}

impl Connection {
    /// Text has come into the window.
    pub(super) fn time_acknowledgement(&mut self, cx: &Context, len: usize) {
        let full = self.rcv.segment_size();
        let segments = self.rcv.window() / (2 * full);
        self.acks.on_text(cx.now, segments, self.rtt.rto(), len < full);
    }

    /// What is owed once text and FIN of a segment have been taken is given now or held back. As Linux, what has waited
    /// for most of its time does not wait for the rest.
    pub(super) fn schedule_acknowledgement(&mut self, cx: &Context) {
        if self.rcv.debt != AckDebt::Delayed {
            return;
        }
        let delay = self.acks.delay(self.rtt.srtt());
        let nearly_due = self.timers.delayed_ack.is_some_and(|at| at <= cx.now + delay / 4);
        if self.acks.is_quick() || nearly_due {
            self.rcv.owe(AckDebt::Now);
            return;
        }
        let due = cx.now + delay;
        self.timers.delayed_ack = Some(self.timers.delayed_ack.map_or(due, |earlier| earlier.min(due)));
    }

    /// `TCP_QUICKACK`, as Linux: 0 lets acknowledgements wait for answers; an odd number pays what is owed and ends that,
    /// an even one only pays.
    pub(crate) fn set_quick_ack(&mut self, value: i32) {
        self.acks.set_pingpong(value == 0);
        let answers = matches!(self.state, State::Established | State::CloseWait);
        if value != 0 && answers && self.rcv.debt == AckDebt::Delayed {
            self.rcv.owe(AckDebt::Now);
            self.acks.set_pingpong(value % 2 == 0);
        }
    }

    /// Whether acknowledgements do not wait for answers.
    pub(crate) fn quick_ack(&self) -> bool {
        !self.acks.pingpong
    }

    /// The user has read. As Linux: the peer hears at once that the end of what it wrote has been taken.
    pub(super) fn acknowledge_reading(&mut self) {
        let done = self.rcv.ring.is_empty() && self.acks.reader_is_done();
        if self.rcv.debt == AckDebt::Delayed && (done || self.rcv.owes_for_two()) {
            self.rcv.owe(AckDebt::Now);
        }
    }
}
