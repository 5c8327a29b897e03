//! BBR, version 3, after draft-ietf-ccwg-bbr: sends at the rate the path delivers, with little more in flight than the
//! path holds.

use core::time::Duration;

use super::control::{AckSample, CongestionControl, Restart, Signal, scaled};
use super::pacing::{quantum, volume_in};
use super::rate::{Loss, RateSample};
use crate::Instant;
use bounds::{Bounds, inflight_at, is_too_much};
use model::{Aggregation, FullPipe, MaxBandwidth, MinRtt, Rounds};
use phase::Phase;
use probing::{Feedback, Probing};

mod bounds;
mod model;
mod phase;
mod probing;
#[cfg(test)]
mod tests;

/// How long ProbeRTT lasts at least.
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);

/// Segments that keep a path busy whose receiver acknowledges every second one.
const MIN_PIPE: usize = 4;

/// Lost ranges in one round that end Startup.
const STARTUP_LOSSES: u32 = 6;

/// Sent slower than the path delivers, in percent, so that queues drain.
const PACING_MARGIN: u64 = 1;

/// What undo restores.
#[derive(Clone, Copy, Debug)]
struct Before {
    phase: Phase,
    bounds: Bounds,
}

#[derive(Clone, Debug)]
pub(crate) struct Bbr {
    phase: Phase,
    initial: usize,
    mss: usize,
    cwnd: usize,
    /// The window before recovery or ProbeRTT held it down.
    prior_cwnd: usize,
    in_recovery: bool,
    pacing_rate: u64,
    /// The first pacing rate comes from the first round trip.
    rtt_seen: bool,
    rounds: Rounds,
    bandwidth: MaxBandwidth,
    min_rtt: MinRtt,
    pipe: FullPipe,
    aggregation: Aggregation,
    bounds: Bounds,
    probing: Probing,
    probe_rtt_done: Option<Instant>,
    probe_rtt_round_done: bool,
    /// Samples of what was sent in ProbeRTT are as low as we made them.
    held_down_until: u64,
    after_idle: bool,
    delivered: u64,
    before: Option<Before>,
}

impl Bbr {
    pub(crate) fn new(initial: usize, mss: usize, seed: u64) -> Bbr {
        let mut bbr = Bbr {
            phase: Phase::Startup,
            initial,
            mss,
            cwnd: initial,
            prior_cwnd: 0,
            in_recovery: false,
            pacing_rate: 0,
            rtt_seen: false,
            rounds: Rounds::default(),
            bandwidth: MaxBandwidth::default(),
            min_rtt: MinRtt::default(),
            pipe: FullPipe::default(),
            aggregation: Aggregation::default(),
            bounds: Bounds::default(),
            probing: Probing::new(seed),
            probe_rtt_done: None,
            probe_rtt_round_done: false,
            held_down_until: 0,
            after_idle: false,
            delivered: 0,
            before: None,
        };
        bbr.pace_from(Duration::from_millis(1));
        bbr
    }

    // The state machine.

    fn check_startup_done(&mut self, ack: &AckSample, rate: &RateSample) {
        if self.phase != Phase::Startup {
            return;
        }
        let losing = self.bounds.loss_round_started
            && ack.in_recovery
            && self.bounds.ranges_lost >= STARTUP_LOSSES
            && is_too_much(rate.lost, rate.in_flight);
        if losing {
            self.pipe.reached = true;
            self.bounds.inflight_longterm = Some(self.bdp(100).max(self.bounds.inflight_latest));
        }
        if self.pipe.reached {
            self.phase = Phase::Drain;
        }
    }

    fn check_drain_done(&mut self, ack: &AckSample) {
        if self.phase == Phase::Drain && ack.in_flight <= self.inflight(100) {
            self.start_down(ack.now);
        }
    }

    fn advance_cycle(&mut self, ack: &AckSample, rate: &RateSample) {
        if !self.pipe.reached {
            return;
        }
        let held_back = ack.cwnd_limited && self.bounds.inflight_longterm.is_some_and(|bound| self.cwnd >= bound);
        self.adapt_longterm(ack, rate, held_back);
        match self.phase {
            Phase::Down | Phase::Cruise if self.is_time_to_probe(ack.now) => self.start_refill(),
            Phase::Down if self.is_drained(ack.in_flight) => self.phase = Phase::Cruise,
            Phase::Refill if self.rounds.started => self.start_up(rate.rate().unwrap_or(0)),
            // Held back by the bound and not by the path: that shows nothing.
            Phase::Up if held_back => self.pipe.restart(rate.rate().unwrap_or(0)),
            Phase::Up if self.pipe.now => self.start_down(ack.now),
            Phase::Down
            | Phase::Cruise
            | Phase::Refill
            | Phase::Up
            | Phase::Startup
            | Phase::Drain
            | Phase::ProbeRtt => {}
        }
    }

    fn start_down(&mut self, now: Instant) {
        self.bounds.reset_signals();
        self.rounds.since_probe = self.probing.begin_cycle(now);
        self.rounds.begin(self.delivered);
        self.phase = Phase::Down;
    }

    fn start_refill(&mut self) {
        self.bounds.reset_shortterm();
        self.probing.refill();
        self.rounds.begin(self.delivered);
        self.phase = Phase::Refill;
    }

    fn start_up(&mut self, rate: u64) {
        self.probing.answerable = true;
        self.probing.feedback = Feedback::Starting;
        self.rounds.begin(self.delivered);
        self.pipe.restart(rate);
        self.probing.raise_slope(self.cwnd, self.mss);
        self.phase = Phase::Up;
    }

    fn is_time_to_probe(&self, now: Instant) -> bool {
        let window = self.target_inflight() / self.mss.max(1);
        self.probing.is_time(now, self.rounds.since_probe, window as u64)
    }

    fn is_drained(&self, in_flight: usize) -> bool {
        let with_headroom = self.bounds.with_headroom(self.mss, self.min_pipe());
        in_flight <= with_headroom.unwrap_or(usize::MAX) && in_flight <= self.inflight(100)
    }

    /// Takes in what the probe has shown, and raises the long-term bound while losses allow.
    fn adapt_longterm(&mut self, ack: &AckSample, rate: &RateSample, held_back: bool) {
        if self.rounds.started {
            match self.probing.feedback {
                Feedback::Starting => self.probing.feedback = Feedback::Coming,
                Feedback::Stopping => {
                    self.probing.feedback = Feedback::Over;
                    self.probing.answerable = false;
                    if self.phase.probes_bandwidth() && !rate.app_limited {
                        self.bandwidth.next_cycle();
                    }
                }
                Feedback::Coming | Feedback::Over | Feedback::Refilling => {}
            }
        }
        let Some(bound) = self.bounds.inflight_longterm else {
            return;
        };
        if is_too_much(rate.lost, rate.in_flight) {
            return;
        }
        let mut bound = bound.max(rate.in_flight);
        if self.phase == Phase::Up && held_back {
            bound += self.probing.raise(ack.delivered);
            if self.rounds.started {
                self.probing.raise_slope(self.cwnd, self.mss);
            }
        }
        self.bounds.inflight_longterm = Some(bound);
    }

    fn check_probe_rtt(&mut self, ack: &AckSample) {
        if self.phase != Phase::ProbeRtt && self.min_rtt.due && !self.after_idle {
            self.save_cwnd();
            self.phase = Phase::ProbeRtt;
            self.probe_rtt_done = None;
            self.probing.feedback = Feedback::Stopping;
            self.rounds.begin(self.delivered);
        }
        if self.phase == Phase::ProbeRtt {
            self.stay_in_probe_rtt(ack);
        }
        self.after_idle = false;
    }

    fn stay_in_probe_rtt(&mut self, ack: &AckSample) {
        self.held_down_until = self.delivered + ack.in_flight as u64;
        if self.probe_rtt_done.is_some() {
            self.probe_rtt_round_done |= self.rounds.started;
            if self.probe_rtt_round_done {
                self.leave_probe_rtt_if_done(ack.now);
            }
        } else if ack.in_flight <= self.probe_rtt_cwnd() {
            self.probe_rtt_done = Some(ack.now + PROBE_RTT_DURATION);
            self.probe_rtt_round_done = false;
            self.rounds.begin(self.delivered);
        }
    }

    fn leave_probe_rtt_if_done(&mut self, now: Instant) {
        if self.probe_rtt_done.is_none_or(|done| now <= done) {
            return;
        }
        self.min_rtt.looked(now);
        self.restore_cwnd();
        self.bounds.reset_shortterm();
        if self.pipe.reached {
            self.start_down(now);
            self.phase = Phase::Cruise; // what Down would drain is drained
        } else {
            self.phase = Phase::Startup;
        }
    }

    // The model.

    fn bandwidth(&self) -> u64 {
        let max = self.bandwidth.get();
        self.bounds.bandwidth_shortterm.map_or(max, |bound| bound.min(max))
    }

    /// `gain` percent of the bandwidth-delay product.
    fn bdp(&self, gain: usize) -> usize {
        let Some(min_rtt) = self.min_rtt.get() else {
            return self.initial;
        };
        let bdp = usize::try_from(volume_in(min_rtt, self.bandwidth())).unwrap_or(usize::MAX);
        scaled(bdp, gain, 100)
    }

    /// With room for the pieces in which things are sent and acknowledged.
    fn quantized(&self, volume: usize) -> usize {
        let pieces = 3 * quantum(self.pacing_rate, self.mss);
        let probe = if self.phase == Phase::Up { 2 * self.mss } else { 0 };
        volume.max(pieces).max(self.min_pipe()).saturating_add(probe)
    }

    fn inflight(&self, gain: usize) -> usize {
        self.quantized(self.bdp(gain))
    }

    fn target_inflight(&self) -> usize {
        self.bdp(100).min(self.cwnd)
    }

    fn min_pipe(&self) -> usize {
        MIN_PIPE * self.mss
    }

    fn probe_rtt_cwnd(&self) -> usize {
        self.bdp(Phase::ProbeRtt.cwnd_gain()).max(self.min_pipe())
    }

    fn remember(&mut self) {
        self.before = Some(Before {
            phase: self.phase,
            bounds: self.bounds,
        });
    }

    // What comes of it.

    fn pace_from(&mut self, rtt: Duration) {
        let nanos = rtt.as_nanos().max(1);
        let bandwidth = self.initial as u128 * 1_000_000_000 / nanos;
        self.pacing_rate = 0;
        self.set_pacing_rate(u64::try_from(bandwidth).unwrap_or(u64::MAX), self.phase.pacing_gain());
    }

    fn learn_first_rtt(&mut self, srtt: Option<Duration>) {
        if let Some(srtt) = srtt.filter(|_| !self.rtt_seen) {
            self.rtt_seen = true;
            self.pace_from(srtt);
        }
    }

    /// Until the pipe has been full the rate only rises: samples may be low because the application is.
    fn set_pacing_rate(&mut self, bandwidth: u64, gain: u64) {
        let rate = u128::from(bandwidth) * u128::from(gain * (100 - PACING_MARGIN)) / 10_000;
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        if rate > 0 && (self.pipe.reached || rate > self.pacing_rate) {
            self.pacing_rate = rate;
        }
    }

    fn set_cwnd(&mut self, delivered: usize) {
        let most = self.quantized(self.bdp(self.phase.cwnd_gain()).saturating_add(self.aggregation.get()));
        let grown = self.cwnd.saturating_add(delivered);
        if self.pipe.reached {
            self.cwnd = grown.min(most);
        } else if self.cwnd < most || self.delivered < self.initial as u64 {
            self.cwnd = grown;
        }
        self.cwnd = self.cwnd.max(self.min_pipe());
        if self.phase == Phase::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd());
        }
        self.bound_cwnd();
    }

    fn bound_cwnd(&mut self) {
        let longterm = match self.phase {
            Phase::Startup | Phase::Drain => None,
            Phase::Down | Phase::Refill | Phase::Up => self.bounds.inflight_longterm,
            Phase::Cruise | Phase::ProbeRtt => self.bounds.with_headroom(self.mss, self.min_pipe()),
        };
        let shortterm = self.bounds.inflight_shortterm.unwrap_or(usize::MAX);
        let most = longterm.unwrap_or(usize::MAX).min(shortterm).max(self.min_pipe());
        self.cwnd = self.cwnd.min(most);
    }

    fn save_cwnd(&mut self) {
        let held_down = self.in_recovery || self.phase == Phase::ProbeRtt;
        self.prior_cwnd = if held_down {
            self.prior_cwnd.max(self.cwnd)
        } else {
            self.cwnd
        };
    }

    fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }
}

impl CongestionControl for Bbr {
    fn on_ack(&mut self, ack: &AckSample) {
        self.mss = ack.mss;
        self.learn_first_rtt(ack.srtt);
        let Some(mut rate) = ack.rate else { return };
        rate.app_limited |= rate.prior_delivered < self.held_down_until;
        self.delivered = rate.total_delivered;

        self.bounds.begin_ack(&rate);
        self.rounds.on_ack(&rate);
        self.bandwidth.on_ack(&rate);
        self.bounds
            .adapt(self.phase.accelerates(), self.bandwidth.get(), self.cwnd);
        let rounds = (self.rounds.count, self.pipe.reached);
        self.aggregation
            .on_ack(ack.now, ack.delivered, self.bandwidth(), self.cwnd, rounds);
        self.pipe.on_ack(&rate, self.rounds.started);
        self.check_startup_done(ack, &rate);
        self.check_drain_done(ack);
        self.advance_cycle(ack, &rate);
        self.min_rtt.on_ack(ack.now, ack.rtt);
        self.check_probe_rtt(ack);
        self.bounds.end_ack(&rate);

        self.set_pacing_rate(self.bandwidth(), self.phase.pacing_gain());
        self.set_cwnd(ack.delivered);
    }

    fn on_range_lost(&mut self, now: Instant, loss: &Loss) {
        let before = self.bounds;
        if self.bounds.note_loss(loss.total_delivered) {
            self.before = Some(Before {
                phase: self.phase,
                bounds: before,
            });
        }
        if !self.probing.answerable || !is_too_much(loss.lost, loss.in_flight) {
            return;
        }
        self.probing.answerable = false; // one answer to one probe
        if !loss.app_limited {
            self.bounds.lower_longterm(inflight_at(loss), self.target_inflight());
        }
        if self.phase == Phase::Up {
            self.start_down(now);
        }
    }

    fn on_loss(&mut self, _signal: &Signal) {
        self.save_cwnd();
        self.in_recovery = true;
    }

    fn on_timeout(&mut self, signal: &Signal, _first: bool) {
        self.save_cwnd();
        if !self.in_recovery {
            self.remember();
        }
        self.in_recovery = true;
        self.cwnd = signal.mss;
    }

    /// A mark is an early loss: the short-term model makes room.
    fn on_ecn(&mut self, _signal: &Signal) {
        self.bounds.note_loss(self.delivered);
    }

    fn on_recovered(&mut self) {
        self.in_recovery = false;
        self.restore_cwnd();
        self.bound_cwnd();
    }

    fn on_restart(&mut self, restart: &Restart) {
        self.learn_first_rtt(restart.srtt);
        self.after_idle = true;
        self.aggregation.restart(restart.now);
        if self.phase.probes_bandwidth() {
            self.set_pacing_rate(self.bandwidth(), 100);
        } else if self.phase == Phase::ProbeRtt {
            self.leave_probe_rtt_if_done(restart.now);
        }
    }

    fn begin_at(&mut self, cwnd: usize, _ssthresh: usize) {
        self.cwnd = cwnd;
    }

    fn undo(&mut self) {
        let Some(before) = self.before.take() else { return };
        self.pipe.restart(0);
        self.bounds.restore(&before.bounds);
        self.restore_cwnd();
        if self.phase == Phase::ProbeRtt || self.phase == before.phase {
            return;
        }
        match before.phase {
            Phase::Startup => {
                self.pipe.reached = false;
                self.phase = Phase::Startup;
            }
            Phase::Up => self.start_up(0),
            Phase::Drain | Phase::Down | Phase::Cruise | Phase::Refill | Phase::ProbeRtt => {}
        }
    }

    fn cwnd(&self) -> usize {
        self.cwnd
    }

    /// BBR has none.
    fn ssthresh(&self) -> usize {
        usize::MAX
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.pacing_rate)
    }

    fn reduces_proportionally(&self) -> bool {
        false
    }
}
