use super::super::bottleneck::{MSS, Path, Run, at_ms, ms, signal};
use super::super::cubic::Cubic;
use super::*;

fn bbr() -> Bbr {
    Bbr::new(10 * MSS, MSS, 7)
}

fn path(megabits: u64, rtt: u64) -> Path {
    let path = Path {
        rate: megabits * 125_000,
        rtt: ms(rtt),
        queue: 0,
        loses_one_in: 0,
    };
    Path {
        queue: 4 * path.bdp() + 64 * MSS,
        ..path
    }
}

/// Nine tenths of the rate at least, ProbeRTT's share included, and no more than two bandwidth-delay products and a
/// few quanta in flight: on slow and fast, short and long paths.
#[test]
fn it_converges_on_the_bottleneck() {
    for (megabits, rtt) in [(2, 40), (10, 20), (100, 5), (100, 50), (100, 200), (1000, 20)] {
        let path = path(megabits, rtt);
        let mut run = Run::new(bbr(), path);
        run.run(ms(5000));
        let seen = run.run(ms(12_000));
        let share = seen.delivered * 100 / (path.rate * 12);
        assert!(share >= 90, "{megabits} Mbit/s, {rtt} ms: {share} %");
        let most = path.bdp() * 2 + 3 * quantum(path.rate, MSS);
        assert!(
            seen.most_in_flight <= most,
            "{megabits} Mbit/s, {rtt} ms: {} of {most}",
            seen.most_in_flight
        );
        assert_eq!(seen.lost, 0);
    }
}

/// Startup takes about log2 of the bandwidth-delay product in round trips, and some to be sure.
#[test]
fn startup_finds_the_rate_in_a_few_round_trips() {
    let path = path(100, 50);
    let mut run = Run::new(bbr(), path);
    run.run(ms(50 * 16));
    assert!(run.control.pipe.reached);
    let found = run.control.bandwidth.get();
    assert!(
        found * 10 >= path.rate * 9 && found * 10 <= path.rate * 11,
        "{found} of {}",
        path.rate
    );
}

/// Round trips are measured without the queue of our own.
#[test]
fn the_queue_is_short_once_it_knows_the_path() {
    let path = path(100, 50);
    let mut run = Run::new(bbr(), path);
    run.run(ms(5000));
    let rtt = run.control.min_rtt.get().expect("measured");
    assert!(rtt >= ms(50) && rtt < ms(52), "{rtt:?}");
    let seen = run.run(ms(10_000));
    assert!(seen.longest_rtt <= ms(105), "{seen:?}");
}

/// Random loss of 1 % is no reason to send slower.
#[test]
fn it_bears_random_loss() {
    let path = Path {
        loses_one_in: 100,
        ..path(100, 50)
    };
    let mut run = Run::new(bbr(), path);
    run.run(ms(3000));
    let seen = run.run(ms(12_000));
    let share = seen.delivered * 100 / (path.rate * 12);
    let mut cubic = Run::new(Cubic::new(10 * MSS), path);
    cubic.run(ms(3000));
    let other = cubic.run(ms(12_000));
    assert!(share >= 70, "{share} %");
    assert!(seen.delivered > 3 * other.delivered, "{} % and {other:?}", share);
}

/// A shallow queue overflows when BBR probes: its long-term bound keeps losses small.
#[test]
fn a_shallow_queue_bounds_what_is_in_flight() {
    let deep = path(100, 50);
    let path = Path {
        queue: deep.bdp() / 5,
        ..deep
    };
    let mut run = Run::new(bbr(), path);
    run.run(ms(5000));
    let seen = run.run(ms(20_000));
    let share = seen.delivered * 100 / (path.rate * 20);
    assert!(share >= 85, "{share} %");
    assert!(seen.lost * 100 <= seen.delivered * 3, "{seen:?}");
}

/// The path becomes four times as fast: found within some seconds. Then slow again: followed within a few.
#[test]
fn it_follows_the_path() {
    let slow = path(25, 40);
    let fast = path(100, 40);
    let mut run = Run::new(bbr(), slow);
    run.run(ms(5000));
    run.path = fast;
    run.run(ms(12_000));
    let seen = run.run(ms(5000));
    assert!(seen.delivered * 100 >= fast.rate * 5 * 85, "{seen:?}");
    run.path = slow;
    run.run(ms(12_000));
    let bandwidth = run.control.bandwidth();
    assert!(bandwidth * 100 <= slow.rate * 115, "{bandwidth} of {}", slow.rate);
}

/// A bound that losses of another time have left far too low is raised faster and faster: an eighth of the path is the
/// whole of it again after three probes at most.
#[test]
fn a_low_bound_is_raised() {
    let path = path(100, 50);
    let mut run = Run::new(bbr(), path);
    run.run(ms(3000));
    run.control.bounds.inflight_longterm = Some(path.bdp() / 8);
    run.run(ms(9000));
    let seen = run.run(ms(3000));
    assert!(seen.delivered * 100 >= path.rate * 3 * 85, "{seen:?}");
}

/// An application that sends a tenth of what the path carries teaches BBR neither that the path is slow nor fast.
#[test]
fn an_application_that_limits_teaches_nothing() {
    let path = path(100, 50);
    let mut run = Run::new(bbr(), path);
    run.offered = Some(path.rate / 10);
    run.run(ms(5000));
    assert!(
        !run.control.pipe.reached,
        "nothing is known of a path that was never full"
    );
    let mut full = Run::new(bbr(), path);
    full.run(ms(4000));
    let before = full.control.bandwidth.get();
    full.offered = Some(0);
    full.run(ms(200));
    assert_eq!(full.control.bandwidth.get(), before);
}

/// ProbeRTT comes every five seconds, lasts 200 ms, and the window is what it was afterwards.
#[test]
fn it_looks_for_the_round_trip() {
    let path = path(100, 50);
    let mut run = Run::new(bbr(), path);
    run.run(ms(2000));
    let (mut visits, mut inside) = (0, 0);
    let mut was = run.control.phase;
    for _ in 0..2000 {
        run.run(ms(10));
        let phase = run.control.phase;
        visits += u32::from(phase == Phase::ProbeRtt && was != Phase::ProbeRtt);
        inside += u32::from(phase == Phase::ProbeRtt);
        was = phase;
    }
    assert!((2..=5).contains(&visits), "{visits} in 20 s");
    assert!(inside <= visits * 45, "{inside} times 10 ms in {visits} visits");
}

/// RFC 9438's undo has its like: bounds that a spurious loss has set go, and the window comes back.
#[test]
fn undo_takes_the_bounds_back() {
    let path = path(100, 50);
    let mut run = Run::new(bbr(), path);
    run.run(ms(3000));
    let before = run.control.cwnd();
    run.control.on_timeout(&signal(path.bdp()), true);
    assert_eq!(run.control.cwnd(), MSS);
    run.control.undo();
    assert_eq!(run.control.cwnd(), before);
    assert_eq!(run.control.bounds.inflight_shortterm, None);
}

/// After a timeout it begins with a segment and comes back to the rate.
#[test]
fn it_recovers_from_a_timeout() {
    let path = path(100, 50);
    let mut run = Run::new(bbr(), path);
    run.run(ms(3000));
    run.path.loses_one_in = 1; // the path is dead
    run.run(ms(1500));
    run.path.loses_one_in = 0;
    run.run(ms(5000));
    let seen = run.run(ms(3000));
    assert!(seen.delivered * 100 >= path.rate * 3 * 85, "{seen:?}");
}

/// Where losses began: 2 % of what was in flight, in the middle of a range.
#[test]
fn the_volume_at_which_losses_began() {
    let loss = Loss {
        bytes: 10_000,
        in_flight: 100_000,
        lost: 10_000,
        app_limited: false,
        total_delivered: 0,
    };
    // (0.02 * 90,000 - 0) / 0.98 = 1836 bytes of the range were within what is tolerated
    assert_eq!(inflight_at(&loss), 91_836);
    assert_eq!(inflight_at(&Loss { lost: 60_000, ..loss }), 90_000);
}

/// Two connections with different seeds do not probe at the same time; one with the same seed does the same again.
#[test]
fn seeds_set_connections_apart() {
    let cycle = |seed| {
        let mut bbr = Bbr::new(10 * MSS, MSS, seed);
        bbr.start_down(at_ms(0));
        format!("{:?}", bbr.probing)
    };
    assert_eq!(cycle(1), cycle(1));
    assert_ne!(cycle(1), cycle(2));
}
