use super::super::bottleneck::{MSS, Path, Run, ack, at_ms, ms};
use super::super::control::CongestionControl;
use super::super::cubic::Cubic;
use super::super::rate::RateSample;
use super::*;

/// Rounds of `flight` acknowledgements each, told by their round trips in microseconds. Says what came of each round.
struct Rounds {
    hystart: HyStart,
    delivered: u64,
    flight: u64,
    now: Instant,
    /// From one acknowledgement to the next.
    gap: Duration,
}

impl Rounds {
    fn new(flight: u64) -> Rounds {
        Rounds {
            hystart: HyStart::default(),
            delivered: 0,
            flight,
            now: at_ms(0),
            gap: Duration::ZERO,
        }
    }

    /// One round of acknowledgements whose round trips are all `micros`: the answer to the last.
    fn round(&mut self, micros: u64) -> Pace {
        let mut pace = Pace::Grow(0);
        for _ in 0..self.flight {
            let prior = self.delivered.saturating_sub((self.flight - 1) * MSS as u64);
            self.delivered += MSS as u64;
            let rate = RateSample {
                delivered: 0,
                interval: Duration::ZERO,
                app_limited: false,
                prior_delivered: prior,
                total_delivered: self.delivered,
                in_flight: 0,
                lost: 0,
            };
            pace = self.hystart.on_ack(&AckSample {
                rate: Some(rate),
                ..ack(self.now, MSS, Duration::from_micros(micros))
            });
            self.now = self.now + self.gap;
        }
        pace
    }
}

const FULL: Pace = Pace::Grow(MSS);
const WARNED: Pace = Pace::GrowWarned(MSS);
const QUARTER: Pace = Pace::GrowWarned(MSS / 4);

#[test]
fn steady_round_trips_keep_slow_start() {
    let mut rounds = Rounds::new(10);
    for _ in 0..50 {
        assert_eq!(rounds.round(40_000), FULL);
    }
}

/// 9406-1: the threshold is an eighth of the round trip, between 4 and 16 ms.
#[test]
fn thresholds() {
    for (base, calm, alarm) in [
        (8_000, 3_900, 4_000),
        (80_000, 9_900, 10_000),
        (400_000, 15_900, 16_000),
    ] {
        let mut rounds = Rounds::new(10);
        rounds.round(base);
        rounds.round(base);
        assert_eq!(rounds.round(base + calm), FULL, "{base}");
        let mut rounds = Rounds::new(10);
        rounds.round(base);
        rounds.round(base);
        assert_eq!(rounds.round(base + alarm), QUARTER, "{base}");
    }
}

/// Fewer than eight samples in a round say nothing.
#[test]
fn eight_samples_are_needed() {
    let mut rounds = Rounds::new(7);
    rounds.round(40_000);
    rounds.round(40_000);
    assert_eq!(rounds.round(80_000), FULL);
}

/// 9406-1: five rounds of conservative slow start, the one in which it began among them.
#[test]
fn it_leaves_after_five_rounds() {
    let mut rounds = Rounds::new(10);
    rounds.round(40_000);
    rounds.round(40_000);
    for _ in 0..5 {
        assert_eq!(rounds.round(60_000), QUARTER);
    }
    assert_eq!(rounds.round(60_000), Pace::Leave);
}

/// Jitter was no queue: shorter round trips again, and slow start goes on.
#[test]
fn a_false_alarm_resumes_slow_start() {
    let mut rounds = Rounds::new(10);
    rounds.round(40_000);
    rounds.round(40_000);
    assert_eq!(rounds.round(60_000), QUARTER);
    assert_eq!(rounds.round(42_000), FULL);
    assert_eq!(rounds.round(42_000), FULL);
}

/// HyStart's other sign: half a round trip of 41 ms, and 1 ms for the receiver, without a gap of more than 2 ms. RFC 9406's
/// growth stays as it was.
#[test]
fn a_train_of_acknowledgements_is_a_sign() {
    for (gap, acks, pace) in [
        (1000, 22, FULL),
        (1000, 23, WARNED),
        (2000, 11, FULL),
        (2000, 12, WARNED),
        (2001, 100, FULL),
    ] {
        let mut rounds = Rounds::new(acks);
        rounds.gap = Duration::from_micros(gap);
        assert_eq!(rounds.round(41_000), pace, "{acks} of {gap} us");
    }
}

/// A train begins with its round: what lies in the round before does not count.
#[test]
fn a_round_begins_a_train() {
    let mut rounds = Rounds::new(20);
    rounds.gap = ms(1);
    for _ in 0..10 {
        assert_eq!(rounds.round(41_000), FULL);
        rounds.now = rounds.now + ms(20);
    }
}

/// 9406-1: on a path whose queue would hold what slow start doubles to, slow start ends without a single loss, and with a full
/// pipe. The rounds of conservative slow start take their time there, for each is as long as the queue.
#[test]
fn slow_start_ends_before_the_queue_overflows() {
    let path = Path {
        rate: 12_500_000,
        rtt: ms(50),
        queue: 10_000_000,
        loses_one_in: 0,
    };
    let mut run = Run::new(Cubic::new(10 * MSS), path);
    let seen = run.run(ms(2500));
    assert_eq!(seen.lost, 0);
    let left_at = run.control.ssthresh();
    assert!(
        (path.bdp()..path.queue).contains(&left_at),
        "{left_at} of {}",
        path.bdp()
    );
}
