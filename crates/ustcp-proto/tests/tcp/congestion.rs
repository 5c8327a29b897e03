//! Congestion control on the wire: RFC 5681, RFC 6928, RFC 6298 §5.

use ustcp_proto::{Algorithm, Config};

use crate::wire::*;

/// Sends what the windows allow, and acknowledges every segment after one round trip of 50 ms: how many there were.
fn one_round(w: &mut Wire) -> usize {
    let flight = w.drain();
    w.after(ms(50));
    for segment in &flight {
        let end = segment.seq + segment.len as i64;
        w.peer(&format!(". 1:1(0) ack {end}"));
        let _more = w.stack.counters();
    }
    flight.len()
}

/// Whose figures are the RFC's own, and whose timeouts are believed.
fn reno() -> Config {
    Config {
        congestion: Algorithm::Reno,
        frto: 0,
        ..config()
    }
}

/// A connection with a scaled window that never limits, and plenty to send.
fn bulk(mss: u16) -> Wire {
    let config = Config {
        send_buffer: 8 << 20,
        mtu: 9040,
        ..reno()
    };
    let mut w = Wire::connected_to(config, &format!("win 65535 <mss {mss},ws 7>"));
    w.peer(". 1:1(0) ack 1"); // the first scaled window
    w.write(4 << 20);
    w
}

/// 5681-1: ten segments, and fewer large ones: min(10 MSS, max(2 MSS, 14,600)).
#[test]
fn the_first_flight() {
    for (mss, segments) in [(536, 10), (1000, 10), (1460, 10), (4000, 3), (9000, 2)] {
        let mut w = bulk(mss);
        let flight = w.drain();
        assert_eq!(flight.len(), segments, "mss {mss}");
        assert!(flight.iter().all(|segment| segment.len == usize::from(mss)));
    }
}

/// 5681-2: after a SYN or SYN-ACK was lost the first flight is one segment.
#[test]
fn the_first_flight_after_a_lost_syn() {
    let mut w = Wire::connecting(config());
    w.after(secs(1));
    w.sees("S 0:0(0)");
    w.peer("S. 0:0(0) ack 1 win 65535 <mss 1000>");
    w.sees(". 1:1(0) ack 1");
    w.write(5000);
    w.sees(". 1:1001(1000) ack 1");
    w.quiet();

    let mut w = Wire::half_open(config());
    w.after(secs(1));
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    w.accept();
    w.write(5000);
    w.sees(". 1:1001(1000) ack 1");
    w.quiet();
}

/// 5681-3, 5681-4: slow start doubles in each round trip, from a threshold that is arbitrarily high.
#[test]
fn slow_start_doubles() {
    let mut w = bulk(1000);
    assert_eq!(w.info().ssthresh, u32::MAX);
    for flight in [10, 20, 40, 80] {
        assert_eq!(one_round(&mut w), flight);
    }
}

/// 5681-4: an ACK of two segments lets four go.
#[test]
fn an_ack_of_two_sends_four() {
    let mut w = bulk(1000);
    assert_eq!(w.drain().len(), 10);
    w.after(ms(10));
    w.peer(". 1:1(0) ack 2001");
    assert_eq!(w.drain().len(), 4);
}

/// A connection in congestion avoidance with about ten segments: a timeout in slow start set the threshold.
fn avoiding() -> Wire {
    let mut w = bulk(1000);
    one_round(&mut w); // 20 now
    w.drain();
    let rto = w.info().rto;
    w.elapse(rto); // the timeout: threshold 10
    let mut acked = 10_001;
    while w.info().cwnd < 11 {
        let sent = w.drain();
        w.elapse(ms(1));
        acked = sent
            .iter()
            .map(|segment| segment.seq + segment.len as i64)
            .fold(acked + 1000, i64::max);
        w.peer(&format!(". 1:1(0) ack {acked}"));
    }
    w
}

/// 5681-6: in congestion avoidance the window grows by a segment in a round trip.
#[test]
fn congestion_avoidance_adds_one_segment_for_each_round() {
    let mut w = avoiding();
    one_round(&mut w);
    let mut last = one_round(&mut w);
    for _ in 0..20 {
        let flight = one_round(&mut w);
        assert!(flight == last || flight == last + 1, "{last} then {flight}");
        last = flight;
    }
    assert!((25..=35).contains(&last), "{last} after twenty rounds");
}

/// 5681-7: on loss the threshold is half of what was in flight, not of the window.
#[test]
fn loss_halves_what_was_in_flight() {
    let mut w = bulk(1000);
    for _ in 0..3 {
        one_round(&mut w); // the window is 80 then
    }
    let flight = w.drain().len();
    assert_eq!(flight, 80);
    let una = w.info().bytes_acked as i64; // our SYN counts
    for _ in 0..3 {
        w.peer(&format!(". 1:1(0) ack {una}"));
    }
    assert_eq!(w.info().ssthresh, 40);
}

/// 5681-7: FlightSize, when the application had less to send than the window allowed.
#[test]
fn loss_when_limited_by_the_application() {
    let mut w = Wire::connected_to(reno(), PLAIN);
    for round in 0..3 {
        w.write(20_000);
        let mut end = 1 + round * 20_000;
        while end < 1 + (round + 1) * 20_000 {
            let sent = w.drain();
            end = sent
                .iter()
                .map(|segment| segment.seq + segment.len as i64)
                .fold(end, i64::max);
            w.peer(&format!(". 1:1(0) ack {end}"));
        }
    }
    w.write(6000);
    assert_eq!(w.drain().len(), 6);
    for _ in 0..3 {
        w.peer(". 1:1(0) ack 60001");
    }
    assert_eq!(w.info().ssthresh, 3);
}

/// 5681-8, 5681-9: a timeout leaves one segment; the same text timing out again lowers the threshold no further.
#[test]
fn a_timeout_leaves_one_segment() {
    let mut w = bulk(1000);
    assert_eq!(w.drain().len(), 10);
    let mut rto = w.info().rto;
    for _ in 0..4 {
        w.after(rto);
        w.sees(". 1:1001(1000) ack 1");
        w.quiet();
        assert_eq!((w.info().cwnd, w.info().ssthresh), (1, 5));
        rto = w.info().rto;
    }
    w.peer(". 1:1(0) ack 1001");
    assert_eq!(w.drain().len(), 2); // slow start again
}

/// What goes in one burst five seconds after 200,000 bytes were acknowledged.
fn burst_after_a_pause(config: ustcp_proto::Config) -> usize {
    let mut w = Wire::connected_to(config, "win 65535 <mss 1000,ws 7>");
    w.peer(". 1:1(0) ack 1");
    let mut end = 1;
    w.write(200_000);
    while end < 200_001 {
        let sent = w.drain();
        end = sent
            .iter()
            .map(|segment| segment.seq + segment.len as i64)
            .fold(end, i64::max);
        w.peer(&format!(". 1:1(0) ack {end}"));
    }
    assert!(w.info().cwnd > 50);
    w.after(secs(5));
    w.write(200_000);
    w.drain().len()
}

/// 5681-14: after silence longer than an RTO no more than an initial window goes in one burst.
#[test]
fn a_restart_after_idle() {
    assert_eq!(burst_after_a_pause(config()), 10);
}

/// Unless the user of the stack wants it otherwise (`tcp_slow_start_after_idle`).
#[test]
fn no_restart_where_none_is_wanted() {
    let config = ustcp_proto::Config {
        slow_start_after_idle: false,
        ..config()
    };
    assert!(burst_after_a_pause(config) > 50);
}

/// 5681-15: a window that is not used does not grow.
#[test]
fn an_unused_window_does_not_grow() {
    let mut w = Wire::connected();
    for round in 0..100 {
        w.write(1000);
        w.drain();
        w.after(ms(10));
        w.peer(&format!(". 1:1(0) ack {}", 1001 + 1000 * round));
    }
    assert_eq!(w.info().cwnd, 10);
}

/// As Linux: duplicates speak of no more segments than are in flight, however many come. Text that is written later does not
/// leave all at once on the strength of them.
#[test]
fn duplicates_are_not_saved_up() {
    let mut w = Wire::connected();
    w.write(10_000);
    assert_eq!(w.drain().len(), 10);
    for _ in 0..1000 {
        w.peer(". 1:1(0) ack 1");
        w.drain();
    }
    w.write(50_000);
    let burst = w.drain().len();
    assert!(burst <= 10, "{burst}");
}

/// As Linux: the acknowledgement that ends recovery counts towards the next segment of growth, by what it delivers.
#[test]
fn the_end_of_recovery_counts_for_growth() {
    let config = Config {
        send_buffer: 8 << 20,
        ..reno()
    };
    let mut w = Wire::connected_over(config, "win 65535 <mss 1000,sackOK>", ms(50));
    w.write(100_000);
    assert_eq!(w.drain().len(), 10);
    w.elapse(ms(50));
    w.peer(". 1:1(0) ack 1 <sack 1001:10001>");
    let sent = w.drain();
    assert_eq!((w.info().cwnd, w.info().ssthresh), (5, 5));
    assert_eq!((sent[0].seq, sent.len()), (1, 5));
    w.elapse(ms(50));
    w.peer(". 1:1(0) ack 10001"); // nine segments of it were delivered before
    w.drain();
    w.peer(". 1:1(0) ack 13001");
    w.drain();
    assert_eq!(w.info().cwnd, 5);
    w.peer(". 1:1(0) ack 14001");
    assert_eq!(w.info().cwnd, 6);
}

/// As Linux: of three segments in flight two can have arrived behind a missing one. A third duplicate is a duplicate itself,
/// and no sign of a loss.
#[test]
fn three_in_flight_make_no_three_duplicates() {
    for (segments, resent) in [(3, 0), (4, 1)] {
        let mut w = Wire::connected();
        w.write(1000 * segments);
        assert_eq!(w.drain().len(), segments);
        for _ in 0..10 {
            w.peer(". 1:1(0) ack 1");
        }
        assert_eq!(w.places().len(), resent, "{segments}");
        assert_eq!(w.stack.counters().fast_retransmits, resent as u64);
    }
}

/// Small segments count as such, and not by their bytes.
#[test]
fn small_segments_bring_duplicates_too() {
    let mut w = Wire::connected();
    w.set(|options| options.no_delay = true);
    for _ in 0..4 {
        w.write(10);
    }
    assert_eq!(w.drain().len(), 1); // which joins what has not left yet
    for _ in 0..3 {
        w.write(10);
        w.drain();
    }
    for _ in 0..3 {
        w.peer(". 1:1(0) ack 1");
    }
    w.sees(". 1:41(40) ack 1");
}
