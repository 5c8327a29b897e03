//! A path with one slow link, for the tests of algorithms: a rate, a round trip, a drop-tail queue.

use core::time::Duration;
use std::collections::VecDeque;

use super::control::{AckSample, CongestionControl, InDoubt, Restart, Signal};
use super::pacing::{Pacer, quantum};
use super::rate::{Sampler, Snapshot};
use crate::Instant;

pub(super) const MSS: usize = 1460;

/// An acknowledgement of `acked` bytes to a sender that uses its whole window.
pub(super) fn ack(now: Instant, acked: usize, rtt: Duration) -> AckSample {
    AckSample {
        now,
        mss: MSS,
        acked,
        delivered: acked,
        rtt: Some(rtt),
        srtt: Some(rtt),
        in_flight: 0,
        cwnd_limited: true,
        in_recovery: false,
        rate: None,
    }
}

pub(super) fn signal(flight: usize) -> Signal {
    Signal {
        mss: MSS,
        flight,
        in_recovery: false,
        in_doubt: InDoubt::Nothing,
    }
}

pub(super) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(super) fn at_ms(count: u64) -> Instant {
    Instant::ZERO + ms(count)
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// Bytes a second.
    pub(super) rate: u64,
    pub(super) rtt: Duration,
    /// Bytes that wait for the link at most.
    pub(super) queue: usize,
    /// One segment in so many is lost on the way, whatever the queue; 0: none.
    pub(super) loses_one_in: u64,
}

impl Path {
    pub(super) fn bdp(&self) -> usize {
        usize::try_from(u128::from(self.rate) * self.rtt.as_nanos() / 1_000_000_000).expect("a size")
    }
}

struct InFlight {
    id: u64,
    sent_at: Instant,
    snapshot: Snapshot,
    /// When its acknowledgement arrives; never when it was dropped.
    acked_at: Option<Instant>,
    later_acked: u32,
}

/// What a stretch of the run has shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stretch {
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) most_in_flight: usize,
    pub(super) longest_rtt: Duration,
}

pub(super) struct Run<C> {
    pub(super) control: C,
    pub(super) path: Path,
    pub(super) now: Instant,
    /// What the application has to send in a second; without it, always more.
    pub(super) offered: Option<u64>,
    sampler: Sampler,
    pacer: Pacer,
    flying: VecDeque<InFlight>,
    link_free: Instant,
    next_id: u64,
    srtt: Option<Duration>,
    min_rtt: Option<Duration>,
    cwnd_limited: bool,
    recovering_until: Option<u64>,
    sent: u64,
    stretch: Stretch,
}

impl<C: CongestionControl> Run<C> {
    pub(super) fn new(control: C, path: Path) -> Run<C> {
        Run {
            control,
            path,
            now: at_ms(1000),
            offered: None,
            sampler: Sampler::default(),
            pacer: Pacer::default(),
            flying: VecDeque::new(),
            link_free: Instant::ZERO,
            next_id: 0,
            srtt: Some(path.rtt),
            min_rtt: Some(path.rtt),
            cwnd_limited: false,
            recovering_until: None,
            sent: 0,
            stretch: Stretch::default(),
        }
    }

    /// Runs for `time`, and says what it saw.
    pub(super) fn run(&mut self, time: Duration) -> Stretch {
        self.stretch = Stretch::default();
        let end = self.now + time;
        while self.now < end {
            self.send();
            self.now = self.next_event().min(end);
            self.receive();
        }
        self.stretch
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flying.len() * MSS
    }

    fn next_event(&self) -> Instant {
        let ack = self.flying.iter().find_map(|segment| segment.acked_at); // the link keeps the order
        let pace = self.pacer.wait(self.now);
        let offer = self.offered.map(|_| self.now + Duration::from_micros(100));
        let timeout = self.flying.front().map(|first| self.timeout(first));
        [ack, pace, offer, timeout]
            .into_iter()
            .flatten()
            .min()
            .expect("something happens")
    }

    fn has_something(&self) -> bool {
        let elapsed = self.now.since(at_ms(1000));
        self.offered.is_none_or(|rate| {
            u128::from(self.sent) + (MSS as u128) <= u128::from(rate) * elapsed.as_nanos() / 1_000_000_000
        })
    }

    fn send(&mut self) {
        let mut budget = self.control.pacing_rate().map_or(usize::MAX, |rate| quantum(rate, MSS));
        loop {
            if !self.has_something() {
                if self.in_flight() + MSS <= self.control.cwnd() {
                    self.cwnd_limited = false;
                    self.sampler.on_app_limited(self.in_flight());
                }
                return;
            }
            if self.in_flight() + MSS > self.control.cwnd().max(MSS) {
                self.cwnd_limited = true;
                return;
            }
            if self.pacer.wait(self.now).is_some() || budget < MSS {
                return;
            }
            self.transmit();
            budget -= MSS;
        }
    }

    fn transmit(&mut self) {
        if self.flying.is_empty() {
            self.control.on_restart(&Restart {
                now: self.now,
                rto_passed: false,
                srtt: self.srtt,
            });
        }
        let snapshot = self.sampler.on_sent(self.now, MSS, self.in_flight());
        let waiting = u128::from(self.path.rate) * self.link_free.since(self.now).as_nanos() / 1_000_000_000;
        let unlucky = self.path.loses_one_in > 0 && self.next_id.is_multiple_of(self.path.loses_one_in);
        let dropped = unlucky || waiting + MSS as u128 > self.path.queue as u128;
        if !dropped {
            self.link_free = self.link_free.max(self.now) + self.serialized(MSS);
        }
        self.flying.push_back(InFlight {
            id: self.next_id,
            sent_at: self.now,
            snapshot,
            acked_at: (!dropped).then(|| self.link_free + self.path.rtt),
            later_acked: 0,
        });
        self.next_id += 1;
        self.sent += MSS as u64;
        if let Some(rate) = self.control.pacing_rate() {
            self.pacer.on_sent(self.now, MSS, rate);
        }
        self.stretch.most_in_flight = self.stretch.most_in_flight.max(self.in_flight());
    }

    fn serialized(&self, bytes: usize) -> Duration {
        Duration::from_nanos(bytes as u64 * 1_000_000_000 / self.path.rate)
    }

    fn receive(&mut self) {
        while let Some(index) = self.flying.iter().position(|segment| segment.acked_at.is_some())
            && self.flying[index].acked_at <= Some(self.now)
        {
            self.acknowledge(index);
        }
        if self.flying.front().is_some_and(|first| self.now >= self.timeout(first)) {
            self.time_out();
        }
    }

    fn timeout(&self, first: &InFlight) -> Instant {
        first.sent_at + self.srtt.unwrap_or(self.path.rtt) * 2 + ms(200)
    }

    fn acknowledge(&mut self, index: usize) {
        let segment = self.flying.remove(index).expect("in flight");
        let rtt = self.now.since(segment.sent_at);
        self.srtt = Some(self.srtt.map_or(rtt, |srtt| (srtt * 7 + rtt) / 8));
        self.min_rtt = Some(self.min_rtt.map_or(rtt, |min| min.min(rtt)));
        self.sampler
            .on_delivered(self.now, &segment.snapshot, segment.sent_at, MSS);
        self.stretch.delivered += MSS as u64;
        self.stretch.longest_rtt = self.stretch.longest_rtt.max(rtt);
        self.find_losses(segment.id);
        let oldest = self.flying.front().map_or(self.next_id, |first| first.id);
        if self.recovering_until.is_some_and(|until| oldest >= until) {
            self.recovering_until = None;
            self.control.on_recovered();
        }
        let rate = self.sampler.take_sample(self.min_rtt);
        self.control.on_ack(&AckSample {
            now: self.now,
            mss: MSS,
            acked: MSS,
            delivered: MSS,
            rtt: Some(rtt),
            srtt: self.srtt,
            in_flight: self.in_flight(),
            cwnd_limited: self.cwnd_limited,
            in_recovery: self.recovering_until.is_some(),
            rate,
        });
    }

    /// The third that overtakes a segment shows it to be lost.
    fn find_losses(&mut self, acked: u64) {
        let flight = self.in_flight() + MSS;
        let mut lost = Vec::new();
        for segment in self.flying.iter_mut().take_while(|segment| segment.id < acked) {
            segment.later_acked += 1;
            if segment.later_acked >= 3 {
                lost.push(segment.snapshot);
            }
        }
        if !lost.is_empty() {
            self.flying.retain(|segment| segment.later_acked < 3);
        }
        for snapshot in &lost {
            let loss = self.sampler.on_lost(snapshot, MSS);
            self.control.on_range_lost(self.now, &loss);
            self.stretch.lost += MSS as u64;
        }
        if !lost.is_empty() && self.recovering_until.is_none() {
            self.recovering_until = Some(self.next_id);
            self.control.on_loss(&signal(flight));
        }
    }

    fn time_out(&mut self) {
        let flight = self.in_flight();
        for segment in core::mem::take(&mut self.flying) {
            let loss = self.sampler.on_lost(&segment.snapshot, MSS);
            self.control.on_range_lost(self.now, &loss);
            self.stretch.lost += MSS as u64;
        }
        self.recovering_until = None;
        self.control.on_timeout(&signal(flight), true);
        self.control.on_recovered();
    }
}
