use core::time::Duration;

use super::bottleneck::{MSS, ack, at_ms, ms};
use super::*;

fn congestion(algorithm: Algorithm) -> Congestion {
    Congestion::new(algorithm, 10, MSS, 1)
}

#[test]
fn names() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
        assert_eq!(congestion(algorithm).algorithm(), algorithm);
    }
    for unknown in ["", "Cubic", "cubic ", "vegas"] {
        assert_eq!(Algorithm::from_name(unknown), None);
    }
}

/// 5681-1: the same for every algorithm.
#[test]
fn initial_windows() {
    for algorithm in Algorithm::ALL {
        for (mss, segments) in [(536, 10), (1460, 10), (4000, 3), (9000, 2)] {
            let cwnd = Congestion::new(algorithm, 10, mss, 1).cwnd();
            assert_eq!(cwnd / mss, segments, "{algorithm:?} with {mss}");
        }
        let mut late = congestion(algorithm);
        late.after_lost_syn(MSS);
        assert_eq!(late.cwnd(), MSS);
    }
}

/// Fast recovery goes down to the threshold in proportion to what is delivered, and ends there (9937-4).
#[test]
fn recovery_goes_down_in_proportion() {
    for (algorithm, kept) in [(Algorithm::Cubic, 7), (Algorithm::Reno, 5)] {
        let mut congestion = congestion(algorithm);
        congestion.control.get_mut().begin_at(100 * MSS, usize::MAX);
        let signal = congestion.signal(MSS, 100 * MSS);
        congestion.on_loss(&signal, SeqNum(1000), 100 * MSS);
        let first = RecoveryAck {
            delivered: MSS,
            una_advanced: false,
            found_loss: true,
            in_flight: 98 * MSS,
        };
        congestion.reduce(&first, MSS);
        assert!(congestion.cwnd() > 98 * MSS, "{} so far", congestion.cwnd() / MSS);
        assert_eq!(congestion.recovery(), Some(SeqNum(1000)));
        congestion.advance(SeqNum(999), None);
        assert!(congestion.recovery().is_some());
        congestion.advance(SeqNum(1000), None);
        assert_eq!(congestion.recovery(), None);
        assert_eq!(congestion.cwnd(), kept * 10 * MSS);
    }
}

/// However much was SACKed and replaced beyond an open hole, a loss keeps a share of the window and no more.
#[test]
fn a_loss_never_enlarges_the_window() {
    for algorithm in [Algorithm::Cubic, Algorithm::Reno] {
        let mut congestion = congestion(algorithm);
        congestion.control.get_mut().begin_at(40 * MSS, 40 * MSS);
        let signal = congestion.signal(MSS, 4000 * MSS);
        congestion.on_timeout(&signal, SeqNum(1000), true);
        assert!(congestion.ssthresh() <= 28 * MSS, "{algorithm:?}");
    }
}

/// A timeout ends fast recovery, and what follows is slow start.
#[test]
fn a_timeout_ends_fast_recovery() {
    let mut congestion = congestion(Algorithm::Cubic);
    congestion.control.get_mut().begin_at(100 * MSS, usize::MAX);
    let signal = congestion.signal(MSS, 100 * MSS);
    congestion.on_loss(&signal, SeqNum(1000), 100 * MSS);
    let signal = congestion.signal(MSS, 100 * MSS);
    assert!(signal.in_recovery);
    congestion.on_timeout(&signal, SeqNum(2000), true);
    assert_eq!(congestion.recovery(), None);
    assert_eq!(congestion.cwnd(), MSS);
    congestion.on_ack(&ack(at_ms(400), MSS, ms(100)));
    assert_eq!(congestion.cwnd(), 2 * MSS);
}

/// Window and threshold go along when another algorithm takes over.
#[test]
fn another_algorithm_takes_over_the_window() {
    let mut congestion = congestion(Algorithm::Cubic);
    congestion.control.get_mut().begin_at(50 * MSS, 40 * MSS);
    congestion.select(Algorithm::Reno, MSS);
    assert_eq!((congestion.cwnd(), congestion.ssthresh()), (50 * MSS, 40 * MSS));
    congestion.select(Algorithm::Bbr, MSS);
    assert_eq!(congestion.cwnd(), 50 * MSS);
    assert!(congestion.pacing_rate().is_some());
    congestion.select(Algorithm::Bbr, MSS);
    assert_eq!(congestion.algorithm(), Algorithm::Bbr);
}

/// BBR's first pacing rate is the initial window over the first round trip, times its gain.
#[test]
fn the_first_pacing_rate_comes_from_the_handshake() {
    let mut congestion = congestion(Algorithm::Bbr);
    congestion.on_restart(&Restart {
        now: at_ms(0),
        rto_passed: false,
        srtt: Some(Duration::from_millis(100)),
    });
    let expected = 14_600 * 10 * 277 / 100;
    let rate = congestion.pacing_rate().expect("BBR paces");
    assert!(rate.abs_diff(expected) <= expected / 50, "{rate} for {expected}");
}

/// 6582-3: without SACK no burst at the end of recovery.
#[test]
fn the_end_of_recovery_is_no_burst() {
    for (bound, segments) in [(2, 2), (10, 10), (90, 50)] {
        let mut congestion = congestion(Algorithm::Reno);
        congestion.control.get_mut().begin_at(100 * MSS, usize::MAX);
        let signal = congestion.signal(MSS, 100 * MSS);
        congestion.on_loss(&signal, SeqNum(1000), 100 * MSS);
        congestion.advance(SeqNum(1000), Some(bound * MSS));
        assert_eq!((congestion.cwnd(), congestion.ssthresh()), (segments * MSS, 50 * MSS));
    }
}

/// A spurious fast recovery ends where it began, for each algorithm.
#[test]
fn undo_ends_recovery() {
    for algorithm in Algorithm::ALL {
        let mut congestion = congestion(algorithm);
        congestion.control.get_mut().begin_at(40 * MSS, usize::MAX);
        let signal = congestion.signal(MSS, 40 * MSS);
        congestion.on_loss(&signal, SeqNum(1000), 40 * MSS);
        congestion.undo();
        assert_eq!(congestion.recovery(), None);
        assert_eq!(
            (congestion.cwnd(), congestion.ssthresh()),
            (40 * MSS, usize::MAX),
            "{algorithm:?}"
        );
    }
}

/// An ECN echo costs less than a loss (RFC 8511), and nothing is to be repaired.
#[test]
fn an_ecn_echo() {
    for (algorithm, segments) in [(Algorithm::Cubic, 34), (Algorithm::Reno, 32), (Algorithm::Bbr, 40)] {
        let mut congestion = congestion(algorithm);
        congestion.control.get_mut().begin_at(40 * MSS, usize::MAX);
        let signal = congestion.signal(MSS, 40 * MSS);
        assert!(congestion.on_ecn(&signal, SeqNum(1000), 40 * MSS));
        assert_eq!(
            (congestion.cwnd(), congestion.recovery()),
            (segments * MSS, None),
            "{algorithm:?}"
        );
    }
}
