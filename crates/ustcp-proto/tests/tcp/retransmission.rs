//! Retransmission: RFC 6298, RFC 5681 §3.2, RFC 6582, RFC 6675.

use core::time::Duration;

use ustcp_proto::{Config, Error, EventKind, State, Timer};

use crate::wire::*;

const SACKING: &str = "win 65535 <mss 1000,sackOK>";

/// One round trip of exactly `rtt`: a byte goes out, its ACK comes back.
fn round_trip(w: &mut Wire, rtt: Duration) {
    let next = w.info().bytes_acked as i64; // our SYN counts
    w.write(1);
    w.sees(&format!("P. {next}:{}(1) ack 1", next + 1));
    w.after(rtt);
    w.peer(&format!(". 1:1(0) ack {}", next + 1));
    w.quiet();
}

/// RFC 6298 §2 with Linux's lower bound of 200 ms on the variation's share, in whole nanoseconds.
struct Model {
    srtt: Option<u64>,
    rttvar: u64,
    floor: u64,
}

impl Model {
    fn sample(&mut self, rtt: Duration) -> Duration {
        let rtt = u64::try_from(rtt.as_nanos()).expect("short");
        match self.srtt {
            None => {
                self.srtt = Some(rtt);
                self.rttvar = rtt / 2;
            }
            Some(srtt) => {
                self.rttvar = (3 * self.rttvar + srtt.abs_diff(rtt)) / 4;
                self.srtt = Some((7 * srtt + rtt) / 8);
            }
        }
        Duration::from_nanos(self.srtt.expect("set") + (4 * self.rttvar).max(self.floor))
    }
}

/// 6298-2, 6298-3, 6298-4: SRTT, RTTVAR and RTO on exact round trips, against the RFC's formulas.
#[test]
fn the_timeout_follows_the_round_trips() {
    for floor in [200, 1000, 1] {
        let mut config = config();
        config.rto_min = ms(floor);
        let mut w = Wire::connecting(config);
        w.after(ms(64));
        w.peer("S. 0:0(0) ack 1 win 65535 <mss 1000>");
        w.sees(". 1:1(0) ack 1");
        let mut model = Model {
            srtt: None,
            rttvar: 0,
            floor: floor * 1_000_000,
        };
        assert_eq!(w.info().rto, model.sample(ms(64)));
        for rtt in [64, 64, 128, 100, 10, 10, 10, 150, 1, 64, 64, 64] {
            round_trip(&mut w, ms(rtt));
            assert_eq!(w.info().rto, model.sample(ms(rtt)));
            assert_eq!(w.info().srtt, Duration::from_nanos(model.srtt.expect("set")));
            assert_eq!(w.info().rttvar, Duration::from_nanos(model.rttvar));
        }
        assert_eq!(w.info().min_rtt, ms(1));
    }
}

/// MUST-19, 6298-7: text that nobody acknowledges goes out again, the first segment alone, each gap twice the last, up
/// to the longest.
#[test]
fn timeouts_double() {
    let mut w = Wire::connected();
    w.write(3000);
    w.sees(". 1:1001(1000) ack 1");
    w.sees(". 1001:2001(1000) ack 1");
    w.sees("P. 2001:3001(1000) ack 1");
    for gap in [
        200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 102_400, 120_000, 120_000,
    ] {
        w.after(ms(gap));
        w.sees(". 1:1001(1000) ack 1");
        w.quiet();
    }
    assert_eq!(w.info().retransmits, 12);
}

/// MUST-20, SHLD-10, SHLD-11: R2 is 924.6 s by default; the user learns why.
#[test]
fn a_silent_peer_is_given_up() {
    let mut w = Wire::connected();
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    let sent = w.elapse(secs(1200));
    let repeats: Vec<_> = sent.iter().filter(|(_, segment)| segment.len == 10).collect();
    assert!(repeats.len() >= 15, "{}", repeats.len());
    let (last, _) = sent.last().expect("something");
    assert!(*last >= secs(804) && *last <= secs(1050), "{last:?}");
    assert_eq!((w.state(), w.read(1)), (State::Closed, Err(Error::TimedOut)));
    assert_eq!(w.stack.census().timers, 0);
}

/// MUST-18: Karn: an ACK of what was sent twice says nothing of the round trip, nor does one that covers it among other
/// text.
#[test]
fn an_ambiguous_ack_is_no_sample() {
    for covered in [1001, 2001] {
        let mut w = Wire::connected();
        w.write(2000);
        w.drain();
        w.after(ms(200));
        w.sees(". 1:1001(1000) ack 1");
        w.after(ms(5));
        let before = w.info();
        w.peer(&format!(". 1:1(0) ack {covered}"));
        assert_eq!(
            (w.info().srtt, w.info().rttvar),
            (before.srtt, before.rttvar),
            "ack {covered}"
        );
    }
}

/// MUST-18, RFC 6298 §5: the timeout stays backed off until there is a sample.
#[test]
fn backoff_ends_with_a_sample() {
    let mut w = Wire::connected();
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    w.after(ms(200));
    w.sees("P. 1:11(10) ack 1");
    w.peer(". 1:1(0) ack 11");
    assert_eq!(w.info().rto, ms(400));
    w.write(10);
    w.sees("P. 11:21(10) ack 1");
    w.after(ms(400));
    w.sees("P. 11:21(10) ack 1");
    w.peer(". 1:1(0) ack 21");
    w.write(10);
    w.sees("P. 21:31(10) ack 1");
    w.peer(". 1:1(0) ack 31");
    assert_eq!(w.info().rto, ms(200));
}

/// 6298-6: the timer starts with the first text, starts again with each ACK of new text, and stops with the last.
#[test]
fn when_the_timer_runs() {
    let mut w = Wire::connected();
    assert_eq!(w.stack.poll_timeout(), None);
    w.write(2000);
    w.drain();
    w.after(ms(150));
    w.peer(". 1:1(0) ack 1001");
    w.after(w.info().rto);
    w.sees("P. 1001:2001(1000) ack 1");
    w.peer(". 1:1(0) ack 2001");
    w.after(secs(100));
    w.quiet();
    assert_eq!(w.stack.census().timers, 0);
    let expired: Vec<_> = w.events().into_iter().map(|event| event.kind).collect();
    assert!(expired.contains(&EventKind::Expired(Timer::Retransmission)));
}

/// 6298-8: a SYN that had to be repeated leaves no sample, and text begins with 3 s.
#[test]
fn after_a_lost_syn_the_timeout_is_three_seconds() {
    let mut w = Wire::connecting(config());
    w.after(secs(1));
    w.sees("S 0:0(0)");
    w.peer("S. 0:0(0) ack 1 win 65535 <mss 1000>");
    w.sees(". 1:1(0) ack 1");
    assert_eq!((w.info().srtt, w.info().rto), (Duration::ZERO, secs(3)));
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    w.after(secs(3));
    w.sees("P. 1:11(10) ack 1");
}

/// MUST-18: a SYN-ACK that was sent twice, whoever asked for it, leaves no sample.
#[test]
fn a_repeated_syn_ack_is_no_sample() {
    let mut w = Wire::half_open(config());
    w.after(ms(700));
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    w.after(ms(10));
    w.peer(". 1:1(0) ack 1");
    w.accept();
    assert_eq!(w.info().srtt, Duration::ZERO);
}

/// 6298-1: before there is a sample the timeout is a second.
#[test]
fn the_first_timeout_is_a_second() {
    let mut w = Wire::connecting(config());
    w.after(ms(999));
    w.quiet();
    w.after(ms(1));
    w.sees("S 0:0(0)");
}

/// Ten segments in flight, all sent.
fn ten_in_flight(offer: &str) -> Wire {
    let mut w = Wire::connected_to(config(), offer);
    w.write(20_000);
    for first in (1..10_001).step_by(1000) {
        w.sees(&format!(". {first}:{}(1000) ack 1", first + 1000));
    }
    w.quiet();
    w
}

/// 5681-10, 5681-12: the third duplicate brings the lost segment, the first two one new segment each.
#[test]
fn the_third_duplicate_retransmits() {
    let mut w = ten_in_flight(PLAIN);
    w.peer(". 1:1(0) ack 1");
    w.sees(". 10001:11001(1000) ack 1");
    w.quiet();
    w.peer(". 1:1(0) ack 1");
    w.sees(". 11001:12001(1000) ack 1");
    w.quiet();
    assert_eq!(w.stack.counters().fast_retransmits, 0);
    w.peer(". 1:1(0) ack 1");
    w.sees(". 1:1001(1000) ack 1");
    w.quiet();
    assert_eq!(w.stack.counters().fast_retransmits, 1);
    assert_eq!(w.info().ssthresh, 7); // 0.7 of ten: what limited transmit added does not count
}

/// 5681-11: what is no duplicate: with text, with another window, with FIN, or with nothing in flight.
#[test]
fn what_is_no_duplicate() {
    let mut w = ten_in_flight(PLAIN);
    for (index, window) in (0..6).zip([60_000, 60_001, 60_002, 60_003, 60_004, 60_005]) {
        let first = 1 + index * 10;
        w.peer(&format!(". {first}:{first}(0) ack 1 win {window}"));
        w.peer(&format!("P. {first}:{}(10) ack 1 win {window}", first + 10));
    }
    assert!(w.drain().iter().all(|segment| segment.len == 0));
    assert_eq!(w.stack.counters().fast_retransmits, 0);

    let mut w = Wire::connected();
    for _ in 0..5 {
        w.peer(". 1:1(0) ack 1");
        w.quiet();
    }
}

/// 6582-1: a partial ACK brings the next hole at once, without three more duplicates, until the recovery point.
#[test]
fn partial_acks_fill_hole_after_hole() {
    let mut w = ten_in_flight(PLAIN); // lost: 1, 3001 and 6001
    for _ in 0..3 {
        w.peer(". 1:1(0) ack 1");
    }
    let sent = w.drain();
    assert!(sent.iter().any(|segment| segment.seq == 1));
    w.after(ms(50));
    w.peer(". 1:1(0) ack 3001");
    assert_eq!(w.next().expect("the second hole").1.seq, 3001);
    w.drain();
    w.after(ms(50));
    w.peer(". 1:1(0) ack 6001");
    assert_eq!(w.next().expect("the third hole").1.seq, 6001);
    w.drain();
    assert_eq!(w.stack.counters().fast_retransmits, 1);
    let threshold = w.info().ssthresh;
    let end = 1 + w.info().bytes_sent as i64 - w.info().bytes_retrans as i64;
    w.after(ms(50));
    w.peer(&format!(". 1:1(0) ack {end}"));
    assert_eq!(w.info().ssthresh, threshold, "one loss event, one reduction");
    assert!(w.info().cwnd <= threshold); // 6582-3
    assert_eq!(w.stack.counters().timeouts, 0);
}

/// 6582-2: duplicates that our own needless retransmissions provoked after a timeout start nothing.
#[test]
fn duplicates_after_a_timeout_are_echoes() {
    let mut w = ten_in_flight(PLAIN);
    w.after(ms(200));
    w.sees(". 1:1001(1000) ack 1");
    w.peer(". 1:1(0) ack 10001"); // everything had arrived, only the ACKs were lost
    assert!(!w.drain().is_empty());
    for _ in 0..5 {
        w.peer(". 1:1(0) ack 10001");
        w.drain();
    }
    assert_eq!(w.stack.counters().fast_retransmits, 0);
}

/// 6675-1, 2018-5: SACK says which ones are lost; only those go again.
#[test]
fn only_the_holes_go_again() {
    let mut w = ten_in_flight(SACKING);
    w.peer(". 1:1(0) ack 1 <sack 1001:2001>");
    w.peer(". 1:1(0) ack 1 <sack 3001:4001 1001:2001>");
    w.peer(". 1:1(0) ack 1 <sack 3001:6001 1001:2001>");
    let again: Vec<_> = w
        .drain()
        .iter()
        .map(|segment| segment.seq)
        .filter(|seq| *seq < 10_001)
        .collect();
    assert_eq!(again[0], 1);
    assert!(again.iter().all(|seq| [1, 2001].contains(seq)), "{again:?}");
    w.peer(". 1:1(0) ack 1 <sack 3001:10001 1001:2001>");
    let more: Vec<_> = w
        .drain()
        .iter()
        .map(|segment| segment.seq)
        .filter(|seq| *seq < 10_001)
        .collect();
    assert_eq!([again, more].concat(), [1, 2001]);
    assert_eq!(w.stack.counters().fast_retransmits, 1);
}

/// 2018-6: blocks that cannot be are ignored: inverted, below, beyond, empty.
#[test]
fn impossible_sack_blocks_are_ignored() {
    let mut w = ten_in_flight(SACKING);
    for blocks in [
        "2001:1001",
        "11001:12001",
        "-5000:-4000",
        "5001:5001",
        "9001:30001",
        "-1000:5001",
    ] {
        w.peer(&format!(". 1:1(0) ack 1 win 65535 <sack {blocks}>"));
        assert_eq!(w.info().sacked, 0, "{blocks}");
    }
}

/// RFC 5961 §5: duplicates without SACK are still duplicates for a peer that SACKs, and text stays whole.
#[test]
fn retransmissions_carry_the_right_text() {
    let mut w = ten_in_flight(SACKING);
    w.peer(". 1:1(0) ack 1 <sack 1501:9001>");
    w.elapse(secs(3)); // every segment's text is verified where it is seen
    assert!(w.info().total_retrans > 0);
}

/// MUST-20: R2 is what the config says, and a shorter one is as exact.
#[test]
fn fewer_retries_give_up_sooner() {
    let mut w = Wire::connected_to(Config { retries: 3, ..config() }, PLAIN);
    w.write(10);
    w.elapse(secs(2));
    assert_eq!(w.state(), State::Established);
    w.elapse(secs(8));
    assert_eq!(w.state(), State::Closed);
    assert_eq!(w.take_error(), Some(Error::TimedOut));
}

/// SHLD-17: a peer that shrinks its window and goes on answering is not given up.
#[test]
fn a_shrunk_window_is_no_reason_to_give_up() {
    let mut w = Wire::connected();
    w.write(5000);
    w.drain();
    for _ in 0..150 {
        for (_, segment) in w.elapse(secs(60)) {
            if segment.len > 0 {
                w.peer(". 1:1(0) ack 1 win 0");
            }
        }
        assert_eq!(w.state(), State::Established);
    }
    w.peer(". 1:1(0) ack 5001 win 65535");
    assert_eq!(w.stack.queued_out(w.id()), Ok(0));
}

/// 5681-11: what carries text is no duplicate acknowledgement, even where our window has no room for the text.
#[test]
fn probes_with_text_are_no_duplicates() {
    let mut w = Wire::connected_to(
        Config {
            receive_buffer: 2000,
            ..config()
        },
        PLAIN,
    );
    w.peer("P. 1:1001(1000) ack 1");
    w.peer("P. 1001:2001(1000) ack 1");
    w.drain();
    w.write(3000);
    w.drain();
    for _ in 0..4 {
        w.peer("P. 2001:2002(1) ack 1");
    }
    w.drain();
    assert_eq!(w.stack.counters().fast_retransmits, 0);
}

/// SHLD-9: between R1 and R2 the user can see that nobody answers; nothing is an error yet.
#[test]
fn trouble_can_be_seen_before_the_end() {
    let mut w = Wire::connected();
    w.write(100);
    let retransmissions = w.elapse(secs(10)).len() - 1;
    let info = w.info();
    assert!(retransmissions >= 3, "R1");
    assert_eq!(
        (usize::from(info.retransmits), usize::from(info.backoff)),
        (retransmissions, retransmissions)
    );
    assert!(info.last_ack_received >= secs(10));
    assert_eq!((w.state(), w.take_error()), (State::Established, None));
    w.peer(". 1:1(0) ack 101");
    assert_eq!(w.info().retransmits, 0);
}

/// 6675-3: what is lost goes first, in order, then new text; nothing that was SACKed goes again.
#[test]
fn lost_text_goes_before_new_text() {
    let mut w = ten_in_flight(SACKING);
    w.peer(". 1:1(0) ack 1 <sack 1001:2001>");
    w.peer(". 1:1(0) ack 1 <sack 3001:4001 1001:2001>");
    w.peer(". 1:1(0) ack 1 <sack 5001:6001 3001:4001 1001:2001>");
    let mut order = w.drain();
    for end in [7001, 8001, 9001, 10_001] {
        w.peer(&format!(". 1:1(0) ack 1 <sack 5001:{end} 3001:4001 1001:2001>"));
        order.extend(w.drain());
    }
    let order: Vec<_> = order
        .iter()
        .map(|segment| segment.seq)
        .skip_while(|seq| *seq > 10_000)
        .collect();
    let (again, fresh): (Vec<i64>, Vec<i64>) = order.iter().partition(|seq| **seq <= 10_000);
    assert_eq!(again, [1, 2001, 4001]);
    assert!(!fresh.is_empty() && order.ends_with(&fresh), "{order:?}");
}

/// 6675-4, 6675-2: in recovery what is in the network stays within the window, and a window is reduced once, however many
/// losses show in it.
#[test]
fn one_reduction_and_no_more_in_flight_than_the_window() {
    let mut w = ten_in_flight(SACKING);
    let mut threshold = None;
    for end in (3001..=10_001).step_by(1000) {
        w.peer(&format!(". 1:1(0) ack 1 <sack 2001:{end}>"));
        w.drain();
        let info = w.info();
        if info.ssthresh != u32::MAX {
            assert_eq!(*threshold.get_or_insert(info.ssthresh), info.ssthresh);
            let pipe = info.unacked - info.sacked - info.lost;
            assert!(pipe <= info.cwnd.max(1), "{pipe} beyond {}", info.cwnd);
        }
    }
    assert!(threshold.is_some());
    assert_eq!(w.stack.counters().fast_retransmits, 1);
}

/// 6298-10: every round trip is measured, however the text comes and goes.
#[test]
fn every_round_trip_is_measured() {
    let mut w = Wire::connected();
    let mut acked = 1;
    for (index, len) in [1, 1000, 3000, 10_000, 500, 7000]
        .into_iter()
        .cycle()
        .take(60)
        .enumerate()
    {
        w.write(len);
        w.drain();
        let time = ms(10 + 5 * index as u64);
        w.after(time);
        acked += len as i64;
        w.peer(&format!(". 1:1(0) ack {acked}"));
        assert!(
            w.info().srtt.abs_diff(time) < ms(60),
            "{:?} after {time:?}",
            w.info().srtt
        );
    }
}

/// 6298-10: a segment that is acknowledged piecemeal is measured once, when nothing of it is left; one within a super-segment
/// like any other.
#[test]
fn a_part_of_a_segment_is_no_sample() {
    let average = |before: Duration, rtt| (before * 7 + rtt) / 8;
    for (stamps, offload) in [(false, 0), (true, 0), (false, 65_535), (true, 65_535)] {
        let config = Config {
            timestamps: stamps,
            segmentation_offload: offload,
            ..config()
        };
        let (offer, echo) = if stamps {
            ("win 65535 <mss 1012,ts 1000 0>", " <ts 1001 100>")
        } else {
            ("win 65535 <mss 1000>", "")
        };
        let mut w = Wire::connected_over(config, offer, ms(100));
        w.write(2000);
        w.drain();
        let srtt_after = |w: &mut Wire, pause, ack| {
            w.after(ms(pause));
            w.peer(&format!(". 1:1(0) ack {ack}{echo}"));
            w.info().srtt
        };
        let case = format!("timestamps {stamps}, offload {offload}");
        assert_eq!(srtt_after(&mut w, 30, 501), ms(100), "{case}");
        let first = average(ms(100), ms(50));
        assert_eq!(srtt_after(&mut w, 20, 1001), first, "{case}");
        assert_eq!(srtt_after(&mut w, 20, 2001), average(first, ms(70)), "{case}");
    }
}

/// 7323-13: of segments that one acknowledgement covers the oldest has waited longest, and the timeout is to outlast that;
/// the path's least round trip is the youngest's.
#[test]
fn a_delayed_acknowledgement_takes_longer() {
    let mut w = Wire::connected_over(config(), SACKING, ms(50));
    w.write(1000);
    w.drain();
    w.after(ms(80));
    w.write(1000);
    w.drain();
    w.after(ms(40));
    w.peer(". 1:1(0) ack 2001");
    assert_eq!(w.info().srtt, (ms(50) * 7 + ms(120)) / 8);
    assert_eq!(w.info().min_rtt, ms(40));
}

/// `tcp_syn_linear_timeouts`: so many timeouts of a SYN are as long as the first, beside the ones that double.
#[test]
fn linear_timeouts_of_a_syn() {
    let mut w = Wire::connecting(ustcp_proto::Config {
        syn_linear_timeouts: 2,
        syn_retries: 2,
        ..config()
    });
    let sent: Vec<_> = w.elapse(secs(100)).into_iter().map(|(at, _)| at).collect();
    assert_eq!(sent, [1, 2, 3, 5].map(secs));
    assert_eq!(w.state(), State::Closed);
    assert_eq!(w.take_error(), Some(Error::TimedOut));
}

/// MUST-18: what is SACKed and was sent once measures a round trip and so ends the backoff, before the hole is filled; but
/// only what was sent after the timeout: an earlier SACK may have been lost, and our timeout would be measured.
#[test]
fn a_sack_ends_the_backoff() {
    let in_flight = |frto| {
        let config = Config {
            early_retrans: 0,
            frto,
            ..config()
        };
        let mut w = Wire::connected_over(config, SACKING, ms(100));
        w.write(30_000);
        w.drain();
        w
    };
    let mut w = in_flight(0);
    w.after(ms(300));
    w.sees(". 1:1001(1000) ack 1");
    w.after(ms(150));
    w.peer(". 1:1(0) ack 1 <sack 9001:10001>");
    assert_eq!((w.info().srtt, w.info().backoff), (ms(100), 1));

    let mut w = in_flight(2);
    w.after(ms(300));
    w.sees(". 1:1001(1000) ack 1");
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1001");
    assert_eq!(
        w.places(),
        [10_001, 11_001],
        "new text, which clears up whether it was a mistake"
    );
    assert_eq!((w.info().srtt, w.info().backoff), (ms(100), 1));
    w.after(ms(70));
    w.peer(". 1:1(0) ack 1001 <sack 10001:11001>");
    assert_eq!((w.info().srtt, w.info().backoff), ((ms(100) * 7 + ms(70)) / 8, 0));
}
