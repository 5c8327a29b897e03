use super::*;

const MSS: usize = 1000;

fn avoiding(cwnd: usize) -> NewReno {
    let mut control = NewReno::new(10, MSS);
    control.on_loss(2 * cwnd, MSS, SeqNum(1));
    control.on_recovered(cwnd, MSS);
    assert_eq!((control.cwnd(), control.in_slow_start()), (cwnd, false));
    control
}

/// 5681-1: min(10 MSS, max(2 MSS, 14,600)).
#[test]
fn the_initial_window() {
    for (mss, window) in [
        (48, 480),
        (536, 5360),
        (1460, 14_600),
        (4000, 14_600),
        (8960, 17_920),
        (65_495, 130_990),
    ] {
        assert_eq!(NewReno::new(10, mss).cwnd(), window, "{mss}");
    }
    assert_eq!(NewReno::new(2, MSS).cwnd(), 2000);
}

/// 5681-4, 5681-5: by what is acknowledged, in however many pieces.
#[test]
fn slow_start_grows_by_what_is_acknowledged() {
    let (mut whole, mut pieces) = (NewReno::new(10, MSS), NewReno::new(10, MSS));
    whole.on_ack(MSS, MSS);
    for _ in 0..MSS {
        pieces.on_ack(1, MSS);
    }
    assert_eq!((whole.cwnd(), pieces.cwnd()), (11_000, 11_000));
}

/// 5681-6: one MSS for a window's worth of acknowledged bytes, in pieces of any size.
#[test]
fn congestion_avoidance_grows_by_one_segment_for_each_window() {
    for piece in [1, 100, 1000, 2000] {
        let mut control = avoiding(10_000);
        for _ in 0..10_000 / piece {
            control.on_ack(piece, MSS);
        }
        assert_eq!(control.cwnd(), 11_000, "{piece}");
    }
    let mut control = avoiding(10_000);
    control.on_ack(9999, MSS);
    assert_eq!(control.cwnd(), 10_000);
}

/// 5681-7, 5681-8, 5681-9: half of the flight and two segments at least; once for one loss.
#[test]
fn what_loss_leaves() {
    let mut control = NewReno::new(10, MSS);
    control.on_timeout(8000, MSS, true);
    assert_eq!((control.cwnd(), control.ssthresh()), (MSS, 4000));
    control.on_timeout(1000, MSS, false);
    assert_eq!(control.ssthresh(), 4000);
    control.on_timeout(1000, MSS, true);
    assert_eq!(control.ssthresh(), 2000);
    control.on_loss(20_000, MSS, SeqNum(9));
    assert_eq!(
        (control.cwnd(), control.ssthresh(), control.recovery()),
        (10_000, 10_000, Some(SeqNum(9)))
    );
}

/// 6582-3: no burst at the end of recovery.
#[test]
fn the_end_of_recovery() {
    for (flight, cwnd) in [(0, 2000), (500, 2000), (3000, 4000), (50_000, 10_000)] {
        let mut control = NewReno::new(10, MSS);
        control.on_loss(20_000, MSS, SeqNum(9));
        control.on_recovered(flight, MSS);
        assert_eq!((control.cwnd(), control.recovery()), (cwnd, None), "{flight}");
    }
}

/// 5681-2, 5681-14: after a lost SYN and after idle.
#[test]
fn where_it_starts_again() {
    let mut control = NewReno::new(10, MSS);
    control.after_lost_syn(MSS);
    assert_eq!(control.cwnd(), MSS);
    control.on_idle();
    assert_eq!(control.cwnd(), MSS);
    let mut control = NewReno::new(10, MSS);
    control.on_ack(90_000, MSS);
    control.on_idle();
    assert_eq!(control.cwnd(), 10_000);
}

/// Slow start ends at the threshold and not beyond it by more than a segment.
#[test]
fn slow_start_stops_at_the_threshold() {
    let mut control = NewReno::new(10, MSS);
    control.on_timeout(20_000, MSS, true);
    while control.in_slow_start() {
        control.on_ack(4000, MSS);
    }
    assert!(control.cwnd() <= 11_000, "{}", control.cwnd());
}
