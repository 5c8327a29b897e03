use super::*;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn config(rto_min: u64) -> Config {
    Config {
        rto_min: ms(rto_min),
        ..Config::default()
    }
}

/// 6298-2, 6298-3: samples in ms, then SRTT, RTTVAR and RTO in µs, worked out by hand.
#[test]
fn worked_examples() {
    for (floor, samples, srtt, rttvar, rto) in [
        (1, &[100][..], 100_000, 50_000, 300_000),
        (1, &[100, 100], 100_000, 37_500, 250_000),
        (1, &[100, 200], 112_500, 62_500, 362_500),
        (1, &[100, 20], 90_000, 57_500, 320_000),
        (1000, &[100], 100_000, 50_000, 1_100_000),
        (200, &[10], 10_000, 5000, 210_000),
        (200, &[0], 0, 0, 200_000),
    ] {
        let mut rtt = Rtt::new(&config(floor));
        samples.iter().for_each(|sample| rtt.sample(ms(*sample), ms(*sample)));
        let micros = Duration::from_micros;
        assert_eq!(rtt.srtt(), Some(micros(srtt)), "{samples:?}");
        assert_eq!(
            (rtt.variation(), rtt.rto()),
            (micros(rttvar), micros(rto)),
            "{samples:?}"
        );
        assert_eq!(rtt.min(), samples.iter().min().map(|sample| ms(*sample)));
    }
}

/// 6298-1, 6298-5, 6298-7: a second at first, doubled up to the longest, back with the next sample.
#[test]
fn backing_off() {
    let mut rtt = Rtt::new(&Config::default());
    let mut seen = Vec::new();
    for _ in 0..9 {
        seen.push(rtt.rto().as_secs());
        rtt.back_off();
    }
    assert_eq!(seen, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
    for _ in 0..300 {
        rtt.back_off();
    }
    assert_eq!((rtt.rto(), rtt.backoff()), (Duration::from_secs(120), u8::MAX));
    rtt.sample(ms(40), ms(40));
    assert_eq!((rtt.backoff(), rtt.rto()), (0, ms(240)));
}

/// 6298-8: three seconds after a SYN without a sample; a sample has the say when there is one.
#[test]
fn after_a_lost_syn() {
    let mut rtt = Rtt::new(&Config::default());
    rtt.back_off();
    rtt.after_lost_syn();
    assert_eq!(rtt.rto(), Duration::from_secs(3));
    rtt.sample(ms(40), ms(40));
    rtt.after_lost_syn();
    assert_eq!(rtt.rto(), ms(240));
}

/// A hostile or absurd round trip neither overflows nor leaves the bounds.
#[test]
fn absurd_samples() {
    let mut rtt = Rtt::new(&Config::default());
    for sample in [Duration::from_secs(1 << 30), Duration::ZERO, Duration::from_nanos(1)] {
        rtt.sample(sample, sample);
        assert!(rtt.rto() <= Duration::from_secs(120) && rtt.rto() >= ms(200));
    }
}

/// SHLD-11, MUST-20: what Linux makes of its counts of retries.
#[test]
fn patience_in_time() {
    let of = |retries| patience(retries, ms(200), Duration::from_secs(120)).as_millis();
    assert_eq!((of(0), of(3), of(8), of(15)), (200, 3000, 102_200, 924_600));
}
