use super::super::bottleneck::{MSS, Path, Run, ack, at_ms, ms, signal};
use super::super::rate::RateSample;
use super::*;

/// A connection that has just lost something with `segments` in flight, for the first time.
fn after_loss(segments: usize) -> Cubic {
    let mut cubic = Cubic::new(10 * MSS);
    cubic.begin_at(segments * MSS, usize::MAX);
    cubic.on_loss(&signal(segments * MSS));
    cubic
}

/// Every window is acknowledged segment by segment, evenly over a round trip. `look` sees the window at each.
fn clock(
    cubic: &mut Cubic,
    rtt: Duration,
    begin: Instant,
    time: Duration,
    mut look: impl FnMut(Duration, usize),
) -> Instant {
    let mut now = begin;
    while now.since(begin) < time {
        cubic.on_ack(&ack(now, MSS, rtt));
        look(now.since(begin), cubic.cwnd());
        now = now + rtt * MSS as u32 / cubic.cwnd() as u32;
    }
    now
}

/// RFC 9438 Figure 1 and Figure 3 in closed form, in segments.
struct Model {
    w_max: f64,
    epoch: f64,
    rtt: f64,
}

impl Model {
    fn k(&self) -> f64 {
        ((self.w_max - self.epoch) / 0.4).cbrt()
    }

    fn cubic(&self, t: f64) -> f64 {
        0.4 * (t - self.k()).powi(3) + self.w_max
    }

    /// α segments a round trip up to W_max, then one.
    fn reno(&self, t: f64) -> f64 {
        let slow = 9.0 / 17.0 / self.rtt;
        let until = (self.w_max - self.epoch) / slow;
        self.epoch + slow * t.min(until) + (t - until).max(0.0) / self.rtt
    }

    fn window(&self, t: f64) -> f64 {
        self.cubic(t).max(self.reno(t))
    }
}

/// 9438-2, 9438-3: within a segment of the closed form at every acknowledgement, from short paths, where Reno's window
/// is the larger, to long ones.
#[test]
fn the_window_follows_the_curve() {
    for rtt in [5, 20, 50, 100, 200] {
        let mut cubic = after_loss(100);
        assert_eq!(cubic.cwnd(), 70 * MSS, "9438-1");
        let model = Model {
            w_max: 100.0,
            epoch: 70.0,
            rtt: rtt as f64 / 1000.0,
        };
        clock(&mut cubic, ms(rtt), at_ms(1000), ms(8000), |t, cwnd| {
            let (is, should) = (cwnd as f64 / MSS as f64, model.window(t.as_secs_f64()));
            assert!(
                (is - should).abs() <= 1.0,
                "{rtt} ms: {is} instead of {should} after {t:?}"
            );
        });
    }
}

/// The cubic region at the size of long fat paths, where a segment is a ten-thousandth.
#[test]
fn large_windows_follow_the_curve() {
    let mut cubic = after_loss(10_000);
    let model = Model {
        w_max: 10_000.0,
        epoch: 7000.0,
        rtt: 0.1,
    };
    clock(&mut cubic, ms(100), at_ms(1000), ms(30_000), |t, cwnd| {
        let (is, should) = (cwnd as f64 / MSS as f64, model.window(t.as_secs_f64()));
        let ramp = t < ms(1000); // the first round trips make up for the growth that the first window has missed
        let allowed = if ramp { 60.0 } else { 4.0 };
        assert!((is - should).abs() <= allowed, "{is} instead of {should} after {t:?}");
    });
}

/// 9438-1, and its floor.
#[test]
fn a_loss_keeps_seven_tenths_of_the_flight() {
    let mut cubic = after_loss(40);
    cubic.on_loss(&signal(20 * MSS));
    assert_eq!((cubic.cwnd(), cubic.ssthresh()), (14 * MSS, 14 * MSS));
    cubic.on_loss(&signal(MSS));
    assert_eq!(cubic.ssthresh(), 2 * MSS);
}

/// RFC 8511.
#[test]
fn a_mark_costs_three_twentieths() {
    let mut cubic = Cubic::new(10 * MSS);
    cubic.begin_at(100 * MSS, 50 * MSS);
    cubic.on_ecn(&signal(100 * MSS));
    assert_eq!(cubic.cwnd(), 85 * MSS);
}

/// 9438-4: a loss below the last W_max gives way to others: the next plateau is lower still.
#[test]
fn fast_convergence() {
    let mut cubic = after_loss(100);
    assert_eq!(cubic.shape.w_max, 100 * MSS);
    cubic.begin_at(80 * MSS, 70 * MSS);
    cubic.on_loss(&signal(80 * MSS));
    assert_eq!(cubic.shape.w_max, 68 * MSS); // 80 * 1.7 / 2
    assert_eq!(cubic.shape.prior, 80 * MSS);
    cubic.begin_at(90 * MSS, 56 * MSS);
    cubic.on_loss(&signal(90 * MSS));
    assert_eq!(cubic.shape.w_max, 90 * MSS);
}

/// §4.8: after a timeout slow start to the threshold, and from there a curve that begins flat.
#[test]
fn after_a_timeout_the_curve_begins_flat() {
    let mut cubic = Cubic::new(10 * MSS);
    cubic.begin_at(100 * MSS, 50 * MSS);
    cubic.on_timeout(&signal(100 * MSS), true);
    cubic.on_timeout(&signal(MSS), false);
    assert_eq!((cubic.cwnd(), cubic.ssthresh()), (MSS, 70 * MSS));
    while cubic.cwnd() < 70 * MSS {
        cubic.on_ack(&ack(at_ms(1000), MSS, ms(100)));
    }
    cubic.on_ack(&ack(at_ms(1000), MSS, ms(100)));
    let epoch = cubic.shape.epoch.expect("a stage of congestion avoidance");
    assert_eq!((epoch.k, epoch.origin), (0, 70 * MSS));
}

/// 9438-6: ten idle seconds are no part of the curve's time.
#[test]
fn idle_time_does_not_count() {
    let rtt = ms(100);
    let mut steady = after_loss(100);
    let mut paused = after_loss(100);
    let now = clock(&mut steady, rtt, at_ms(1000), ms(2000), |_, _| {});
    clock(&mut paused, rtt, at_ms(1000), ms(2000), |_, _| {});
    assert_eq!(steady.cwnd(), paused.cwnd());
    paused.on_restart(&Restart {
        now: now + ms(10_000),
        rto_passed: false,
        srtt: None,
    });
    clock(&mut steady, rtt, now, ms(3000), |_, _| {});
    clock(&mut paused, rtt, now + ms(10_000), ms(3000), |_, _| {});
    assert!(
        steady.cwnd().abs_diff(paused.cwnd()) <= MSS,
        "{} and {}",
        steady.cwnd(),
        paused.cwnd()
    );
}

/// 9438-7: while the application limits, neither window nor W_est nor the curve's time goes on.
#[test]
fn an_unused_window_does_not_grow() {
    let rtt = ms(100);
    let mut cubic = after_loss(100);
    let now = clock(&mut cubic, rtt, at_ms(1000), ms(2000), |_, _| {});
    let before = cubic.cwnd();
    for n in 0..1000 {
        cubic.on_ack(&AckSample {
            cwnd_limited: false,
            ..ack(now + ms(10 * n), MSS, rtt)
        });
    }
    assert_eq!(cubic.cwnd(), before);
    cubic.on_ack(&ack(now + ms(10_000), MSS, rtt));
    assert!(cubic.cwnd() <= before + MSS, "no jump afterwards");
}

/// 9438-5: window, threshold and the curve are those of before.
#[test]
fn undo_restores_the_curve() {
    let rtt = ms(100);
    let mut cubic = after_loss(100);
    let now = clock(&mut cubic, rtt, at_ms(1000), ms(2000), |_, _| {});
    let mut spurious = cubic;
    spurious.on_timeout(&signal(80 * MSS), true);
    spurious.on_ack(&ack(now, MSS, rtt));
    spurious.undo();
    assert_eq!((spurious.cwnd(), spurious.ssthresh()), (cubic.cwnd(), cubic.ssthresh()));
    clock(&mut cubic, rtt, now, ms(3000), |_, _| {});
    clock(&mut spurious, rtt, now, ms(3000), |_, _| {});
    assert_eq!(spurious.cwnd(), cubic.cwnd());
}

/// Slow start on a path that was never seen to reorder goes on as RFC 9406 says when HyStart gives the first sign; where a
/// reduction was a mistake it ends there.
#[test]
fn the_first_sign_ends_slow_start_where_losses_are_feigned() {
    let rtt = ms(40);
    for misled in [false, true] {
        let mut cubic = Cubic::new(10 * MSS);
        if misled {
            cubic.on_loss(&signal(10 * MSS));
            cubic.undo();
        }
        assert_eq!((cubic.cwnd(), cubic.ssthresh()), (10 * MSS, usize::MAX));
        let first = RateSample {
            delivered: 0,
            interval: Duration::ZERO,
            app_limited: false,
            prior_delivered: 0,
            total_delivered: 1,
            in_flight: 0,
            lost: 0,
        };
        for millis in 0..30 {
            cubic.on_ack(&AckSample {
                rate: Some(first),
                ..ack(at_ms(1000 + millis), MSS, rtt)
            });
        }
        // The train is longer than 20.5 ms with the 22nd acknowledgement.
        assert_eq!(cubic.ssthresh(), if misled { 31 * MSS } else { usize::MAX });
    }
}

#[test]
fn cube_roots() {
    for root in [0u64, 1, 2, 3, 10, 4217, 1 << 20, (1 << 42) - 1] {
        let cube = u128::from(root).pow(3);
        assert_eq!(cube_root(cube), root);
        assert_eq!(cube_root(cube + 1), if root == 0 { 1 } else { root });
        if root > 1 {
            assert_eq!(cube_root(cube - 1), root - 1);
        }
    }
}

/// The largest windows, segments and times there are do not overflow.
#[test]
fn extremes() {
    let mut cubic = Cubic::new(10 * MSS);
    cubic.begin_at(usize::MAX / 4, 1);
    cubic.on_loss(&signal(usize::MAX / 4));
    for nanos in [0, 1, u64::MAX / 2, u64::MAX] {
        cubic.on_ack(&AckSample {
            mss: 65_535,
            acked: 1 << 30,
            ..ack(Instant::from_nanos(nanos), MSS, Duration::from_secs(1000))
        });
    }
    assert!(cubic.cwnd() > 0);
}

/// Between a full queue and a full pipe, with a queue of half a bandwidth-delay product: nothing is left unused.
#[test]
fn it_fills_a_path() {
    let path = Path {
        rate: 12_500_000,
        rtt: ms(40),
        queue: 250_000,
        loses_one_in: 0,
    };
    let mut run = Run::new(Cubic::new(10 * MSS), path);
    run.run(ms(3000));
    let seen = run.run(ms(20_000));
    assert!(seen.delivered >= 12_500_000 * 20 * 95 / 100, "{seen:?}");
}
