use super::super::bottleneck::{MSS, Path, Run, ack, at_ms, ms, signal};
use super::*;

fn avoiding(segments: usize) -> Reno {
    let mut reno = Reno::new(10 * MSS);
    reno.begin_at(segments * MSS, segments * MSS);
    reno
}

/// 5681-4: a window doubles when all of it is acknowledged.
#[test]
fn slow_start_doubles() {
    let mut reno = Reno::new(10 * MSS);
    for round in 1..=6 {
        for _ in 0..reno.cwnd() / MSS {
            reno.on_ack(&ack(at_ms(round * 50), MSS, ms(50)));
        }
        assert_eq!(reno.cwnd(), (10 << round) * MSS);
    }
}

/// 5681-6: a segment for each window, in whole segments.
#[test]
fn congestion_avoidance_adds_a_segment_for_each_window() {
    let mut reno = avoiding(20);
    for round in 1..=30 {
        for _ in 0..reno.cwnd() / MSS {
            reno.on_ack(&ack(at_ms(round * 50), MSS, ms(50)));
        }
        assert_eq!(reno.cwnd(), (20 + round as usize) * MSS);
    }
}

/// 5681-6: what is left of a window beside its whole segments is never in flight, and not waited for.
#[test]
fn a_window_of_parts_grows_with_its_whole_segments() {
    let mut reno = Reno::new(10 * MSS);
    reno.begin_at(7 * MSS / 2, 7 * MSS / 2);
    reno.on_ack(&ack(at_ms(50), 3 * MSS, ms(50)));
    assert_eq!(reno.cwnd(), 9 * MSS / 2);
    reno.on_ack(&ack(at_ms(100), 9 * MSS, ms(50)));
    assert_eq!(reno.cwnd(), 13 * MSS / 2);
}

/// 5681-5.
#[test]
fn bytes_are_counted_and_not_acknowledgements() {
    let mut reno = Reno::new(10 * MSS);
    for _ in 0..MSS {
        reno.on_ack(&ack(at_ms(50), 1, ms(50)));
    }
    assert_eq!(reno.cwnd(), 11 * MSS);
}

/// 5681-15.
#[test]
fn an_unused_window_does_not_grow() {
    let mut reno = Reno::new(10 * MSS);
    reno.on_ack(&AckSample {
        cwnd_limited: false,
        ..ack(at_ms(50), 10 * MSS, ms(50))
    });
    assert_eq!(reno.cwnd(), 10 * MSS);
}

/// 5681-7, and its floor.
#[test]
fn a_loss_halves_the_flight() {
    let mut reno = avoiding(40);
    reno.on_loss(&signal(30 * MSS));
    assert_eq!((reno.cwnd(), reno.ssthresh()), (15 * MSS, 15 * MSS));
    reno.on_loss(&signal(MSS));
    assert_eq!(reno.ssthresh(), 2 * MSS);
}

/// 5681-8, 5681-9.
#[test]
fn timeouts_in_a_row_lower_the_threshold_once() {
    let mut reno = avoiding(40);
    reno.on_timeout(&signal(40 * MSS), true);
    reno.on_timeout(&signal(MSS), false);
    assert_eq!((reno.cwnd(), reno.ssthresh()), (MSS, 20 * MSS));
}

/// RFC 8511: an ECN mark costs a fifth.
#[test]
fn a_mark_costs_a_fifth() {
    let mut reno = avoiding(40);
    reno.on_ecn(&signal(40 * MSS));
    assert_eq!(reno.cwnd(), 32 * MSS);
}

/// Undo goes back to before the whole episode, the timeout in its middle included.
#[test]
fn undo_restores_what_was_before_the_episode() {
    let mut reno = avoiding(40);
    reno.on_loss(&signal(40 * MSS));
    reno.on_timeout(
        &Signal {
            in_recovery: true,
            ..signal(30 * MSS)
        },
        true,
    );
    reno.undo();
    assert_eq!((reno.cwnd(), reno.ssthresh()), (40 * MSS, 40 * MSS));
    reno.on_timeout(&signal(40 * MSS), true);
    reno.undo();
    reno.undo(); // once is enough
    assert_eq!((reno.cwnd(), reno.ssthresh()), (40 * MSS, 40 * MSS));
}

/// 5681-14.
#[test]
fn after_idle_it_begins_with_the_initial_window() {
    for (rto_passed, segments) in [(false, 40), (true, 10)] {
        let mut reno = avoiding(40);
        reno.on_restart(&Restart {
            now: at_ms(5000),
            rto_passed,
            srtt: None,
        });
        assert_eq!(reno.cwnd(), segments * MSS);
    }
}

/// The sawtooth between a full queue and a full pipe, with a queue of one bandwidth-delay product.
#[test]
fn it_fills_a_path() {
    let path = Path {
        rate: 12_500_000,
        rtt: ms(20),
        queue: 250_000,
        loses_one_in: 0,
    };
    let mut run = Run::new(Reno::new(10 * MSS), path);
    run.run(ms(2000));
    let seen = run.run(ms(10_000));
    assert!(seen.delivered >= 12_500_000 * 9, "{seen:?}");
}
