//! RACK, RFC 8985 §6: losses found by time.

use ustcp_proto::{Config, Timer};

use crate::wire::*;

const SACKING: &str = "win 65535 <mss 1000,sackOK>";

/// `count` segments in flight, sent `gap` ms apart, over a path of 100 ms. The clock stands at the last departure.
fn in_flight(config: Config, count: i64, gap: u64) -> Wire {
    let mut w = Wire::connected_over(config, SACKING, ms(100));
    for number in 0..count {
        if number > 0 {
            w.after(ms(gap));
        }
        w.write(1000);
        assert_eq!(w.places(), [1 + 1000 * number]);
    }
    w
}

/// 8985-1, 8985-3: one segment SACKed beyond a hole: after a quarter of a round trip the hole is sent again, without a
/// further ACK, and one of it alone.
#[test]
fn a_hole_is_filled_a_quarter_of_a_round_trip_later() {
    let mut w = in_flight(config(), 3, 0);
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1 <sack 1001:2001>");
    w.quiet();
    assert_eq!(w.stack.poll_timeout().expect("a timer").1, Timer::Reordering);
    w.after(ms(24));
    w.quiet();
    w.after(ms(1));
    w.sees(". 1:1001(1000) ack 1");
    w.quiet();
    assert_eq!(w.stack.counters().fast_retransmits, 1);
    assert_eq!(w.info().ssthresh, 3); // 0.7 of three, rounded up
}

/// 8985-1: what left after everything that was delivered is never lost by time, however long that is.
#[test]
fn what_was_not_overtaken_is_not_lost() {
    let mut config = config();
    config.early_retrans = 0;
    let mut w = in_flight(config, 3, 0);
    w.after(ms(100));
    w.peer(". 1:1(0) ack 2001");
    assert_eq!(w.info().lost, 0);
    let rto = w.info().rto;
    w.after(rto - ms(1));
    w.quiet();
    w.after(ms(1));
    w.sees("P. 2001:3001(1000) ack 1");
    assert_eq!(w.stack.counters().timeouts, 1);
}

/// 8985-1: every segment is judged by its own departure: the second hole, sent 10 ms after the first, is given 10 ms more.
#[test]
fn each_has_its_own_time() {
    let mut w = in_flight(config(), 4, 10);
    w.after(ms(100)); // the last left 100 ms ago, the first 130
    w.peer(". 1:1(0) ack 1 <sack 1001:2001>");
    // Overtaken by what took 120 ms; the first has waited 130, and 145 are its due.
    w.after(ms(14));
    w.quiet();
    w.after(ms(1));
    w.sees(". 1:1001(1000) ack 1");
    w.quiet();
    // In recovery nobody waits: the third has been overtaken by the fourth, which took 115 ms.
    w.peer(". 1:1(0) ack 1 <sack 3001:4001 1001:2001>");
    w.sees(". 2001:3001(1000) ack 1");
}

/// 8985-2, 6675-1: three segments beyond the hole are enough where nothing was ever reordered.
#[test]
fn three_beyond_the_hole_need_no_wait() {
    for (blocks, lost) in [
        ("1001:2001", false),
        ("1001:3001", false),
        ("1001:4001", true),
        ("1001:2001 3001:4001", false),
        ("1001:2001 3001:4001 5001:6001", true),
    ] {
        let mut w = in_flight(config(), 7, 0);
        w.after(ms(100));
        w.peer(&format!(". 1:1(0) ack 1 <sack {blocks}>"));
        assert_eq!(w.places().contains(&1), lost, "{blocks}");
    }
}

/// 8985-2: `tcp_recovery` 5: the count says nothing, time alone counts.
#[test]
fn the_threshold_can_be_switched_off() {
    let mut w = in_flight(
        Config {
            recovery: 5,
            ..config()
        },
        7,
        0,
    );
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1 <sack 1001:5001>");
    assert!(!w.places().contains(&1));
    w.after(ms(25));
    assert!(w.places().contains(&1));
}

/// 8985-10: on a path that was seen to reorder, more than three beyond the hole bring no retransmission as long as the
/// rest comes within a quarter of a round trip.
#[test]
fn reordering_is_borne_once_it_was_seen() {
    let mut w = in_flight(config(), 3, 0);
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1 <sack 1001:2001>");
    w.after(ms(5));
    w.peer(". 1:1(0) ack 2001"); // overtaken by one, 5 ms late
    assert_eq!((w.info().reord_seen, w.info().reordering), (1, 3));
    assert_eq!(w.stack.counters().sack_reorderings, 1);
    w.peer(". 1:1(0) ack 3001");

    w.write(8000);
    assert_eq!(w.places().len(), 8);
    w.after(ms(100));
    w.peer(". 1:1(0) ack 3001 <sack 4001:11001>");
    w.after(ms(24));
    w.quiet();
    w.peer(". 1:1(0) ack 11001");
    assert_eq!(w.info().total_retrans, 0);
    assert_eq!((w.info().reord_seen, w.info().reordering), (2, 8));
}

/// 8985-2: needless retransmissions told by D-SACK widen the window by a quarter round trip, once in a round.
#[test]
fn the_window_grows_with_duplicates() {
    for (recovery, quarters) in [(1, 2), (3, 1)] {
        let mut w = in_flight(Config { recovery, ..config() }, 3, 0);
        w.after(ms(100));
        w.peer(". 1:1(0) ack 1 <sack 1001:2001>");
        w.after(ms(5));
        w.peer(". 1:1(0) ack 3001"); // reordering was seen
        w.write(3000);
        w.drain();
        w.after(ms(100));
        w.peer(". 1:1(0) ack 3001 <sack 4001:6001>");
        w.after(ms(25));
        w.sees(". 3001:4001(1000) ack 1");
        w.peer(". 1:1(0) ack 6001"); // the first copy was only late
        w.after(ms(100));
        w.peer(". 1:1(0) ack 6001 <sack 3001:4001>"); // and so the second was needless
        assert_eq!(w.info().dsack_dups, 1);

        w.write(2000);
        w.drain();
        w.after(ms(100));
        w.peer(". 1:1(0) ack 6001 <sack 7001:8001>");
        w.after(ms(25 * quarters - 1));
        w.quiet();
        w.after(ms(1));
        w.sees(". 6001:7001(1000) ack 1");
    }
}

/// 8985-4: a retransmission that is lost itself is found by what was sent after it, and sent again without a timeout.
#[test]
fn a_lost_retransmission_is_sent_again() {
    let mut w = in_flight(config(), 5, 0);
    w.write(20_000);
    w.drain();
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1 <sack 1001:5001>");
    let sent = w.places();
    assert_eq!(sent[0], 1);
    let new = sent[1..].iter().copied().max().expect("new text after it");
    w.after(ms(100)); // the retransmission is lost, what followed it arrives
    w.peer(&format!(". 1:1(0) ack 1 <sack {new}:{} 1001:5001>", new + 1000));
    assert_eq!(w.places().first(), Some(&1));
    let counters = w.stack.counters();
    assert_eq!((counters.lost_retransmits, counters.timeouts), (1, 0));
}

/// 8985-1: the tail of a flight lost together with its head: RFC 6675 would have a rescue retransmission. Here the
/// acknowledgement of the head sent again shows the tail to be overtaken, in the same round trip.
#[test]
fn a_lost_tail_needs_no_rescue() {
    let mut w = in_flight(config(), 8, 0);
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1 <sack 1001:6001>");
    assert_eq!(w.places(), [1]);
    w.after(ms(100));
    w.peer(". 1:1(0) ack 6001");
    assert_eq!(w.places(), [6001, 7001]);
    w.after(ms(100));
    w.peer(". 1:1(0) ack 8001");
    let counters = w.stack.counters();
    assert_eq!((counters.fast_retransmits, counters.timeouts), (1, 0));
    assert_eq!(w.info().total_retrans, 3);
}

/// 6675-2: what is found lost while losses are repaired does not reduce the window once more.
#[test]
fn one_reduction_for_one_window() {
    let mut w = in_flight(config(), 10, 0);
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1 <sack 1001:4001>");
    let threshold = w.info().ssthresh;
    w.drain();
    w.peer(". 1:1(0) ack 1 <sack 5001:10001 1001:4001>");
    w.drain();
    w.after(ms(100));
    w.peer(". 1:1(0) ack 4001 <sack 5001:10001>");
    w.drain();
    assert_eq!(w.info().ssthresh, threshold);
    assert_eq!(w.stack.counters().fast_retransmits, 1);
}

/// 8985-9: the timer's loss is that of the first segment; what left less than a round trip ago may still arrive.
#[test]
fn a_timeout_spares_what_has_just_left() {
    let mut w = in_flight(
        Config {
            early_retrans: 0,
            ..config()
        },
        1,
        0,
    );
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1001");
    let rto = w.info().rto;
    w.write(1000);
    w.sees("P. 1001:2001(1000) ack 1");
    w.after(rto - ms(50));
    w.write(1000);
    w.sees("P. 2001:3001(1000) ack 1");
    w.after(ms(50));
    w.sees(". 1001:2001(1000) ack 1");
    assert_eq!((w.info().lost, w.info().retrans, w.info().unacked), (0, 1, 2));
    w.peer(". 1:1(0) ack 3001");
    w.quiet();
    assert_eq!(w.info().total_retrans, 1);
}

/// 5681-12: limited transmit with SACK: a new segment for each of the first two SACKed, and the window stays.
#[test]
fn the_first_two_bring_new_text() {
    let mut w = Wire::connected_over(config(), SACKING, ms(100));
    w.write(20_000);
    assert_eq!(w.places().len(), 10);
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1 <sack 1001:2001>");
    assert_eq!(w.places(), [10_001]);
    w.peer(". 1:1(0) ack 1 <sack 1001:3001>");
    assert_eq!(w.places(), [11_001]);
    assert_eq!(w.info().cwnd, 10);
}
