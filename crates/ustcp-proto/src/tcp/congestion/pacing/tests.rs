use super::*;

const RATE: u64 = 1_460_000; // 1,000 segments a second

fn at(micros: u64) -> Instant {
    Instant::from_nanos(micros * 1000)
}

#[test]
fn departures_keep_the_rate() {
    let mut pacer = Pacer::default();
    let mut now = at(5_000_000);
    let begin = now;
    for _ in 0..1000 {
        now = pacer.wait(now).unwrap_or(now);
        pacer.on_sent(now, 1460, RATE);
    }
    let took = now.since(begin);
    assert!(
        took >= Duration::from_millis(997) && took <= Duration::from_millis(1000),
        "{took:?}"
    );
}

#[test]
fn idle_time_earns_no_burst() {
    let mut pacer = Pacer::default();
    let now = at(60_000_000);
    let burst = (0..100)
        .take_while(|_| {
            let free = pacer.wait(now).is_none();
            if free {
                pacer.on_sent(now, 1460, RATE);
            }
            free
        })
        .count();
    assert!(burst <= 2, "{burst} segments at once");
}

/// Each timer goes off 0.9 ms late, and the rate is kept all the same.
#[test]
fn late_timers_cost_no_rate() {
    let mut pacer = Pacer::default();
    let mut now = at(1_000_000);
    let begin = now;
    for _ in 0..1000 {
        if let Some(due) = pacer.wait(now) {
            now = due + Duration::from_micros(900);
        }
        while pacer.wait(now).is_none() {
            pacer.on_sent(now, 1460, RATE);
        }
    }
    let paced_for = pacer.wait(now).expect("a next departure").since(begin);
    assert!(now.since(begin) <= paced_for + Duration::from_millis(1));
}

#[test]
fn a_quantum_is_a_millisecond_between_two_segments_and_64_kib() {
    for (rate, expected) in [
        (0, 2920),
        (100_000, 2920),
        (10_000_000, 10_000),
        (65_536_000, 65_536),
        (u64::MAX, 65_536),
    ] {
        assert_eq!(quantum(rate, 1460), expected, "{rate} B/s");
    }
    assert_eq!(quantum(u64::MAX, 40_000), 80_000, "two segments at the least");
}
