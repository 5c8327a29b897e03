//! The three algorithms on the wire: which is at work, proportional rate reduction (RFC 9937), and BBR's pacing.

use core::time::Duration;

use ustcp_proto::{Algorithm, Config, Timer};

use crate::wire::*;

const SACKING: &str = "win 65535 <mss 1000,sackOK,ws 7>";

fn config_with(congestion: Algorithm) -> Config {
    Config {
        congestion,
        send_buffer: 8 << 20,
        early_retrans: 0, // no probe among the segments that are counted
        ..config()
    }
}

/// A connection with plenty to send and a window that never limits. BBR knows of no round trip by which it would pace.
fn bulk(congestion: Algorithm) -> Wire {
    let rtt = ms(if congestion == Algorithm::Bbr { 0 } else { 50 });
    bulk_with(config_with(congestion), rtt)
}

fn bulk_with(config: Config, rtt: Duration) -> Wire {
    let mut w = Wire::connected_over(config, SACKING, rtt);
    w.peer(". 1:1(0) ack 1");
    w.write(4 << 20);
    w
}

/// `segments` in flight, after round trips of 50 ms. Their acknowledgements are due.
fn in_flight(congestion: Algorithm, segments: usize) -> (Wire, i64) {
    in_flight_of(bulk(congestion), segments)
}

fn in_flight_of(mut w: Wire, segments: usize) -> (Wire, i64) {
    let mut una = 1;
    loop {
        let flight = w.drain();
        let end = flight.last().map_or(una, |segment| segment.seq + segment.len as i64);
        w.after(ms(50));
        if flight.len() == segments {
            return (w, una);
        }
        for ack in (una + 1000..=end).step_by(1000) {
            w.peer(&format!(". 1:1(0) ack {ack}"));
        }
        una = end;
    }
}

/// MAY-18: a new socket has the config's algorithm, and may choose another, whose window begins where the old one's ended.
#[test]
fn each_socket_has_its_own() {
    for algorithm in Algorithm::ALL {
        let mut w = Wire::connected_to(config_with(algorithm), PLAIN);
        assert_eq!(w.info().congestion, algorithm);
        assert_eq!(w.info().pacing_rate.is_some(), algorithm == Algorithm::Bbr);
        for other in Algorithm::ALL {
            w.set(|options| options.congestion = other);
            assert_eq!((w.info().congestion, w.info().cwnd), (other, 10));
        }
    }
    assert_eq!(Wire::connected().info().congestion, Algorithm::Cubic);
}

/// 9438-1, 5681-7: what each keeps of 40 segments in flight.
#[test]
fn what_a_loss_leaves() {
    for (algorithm, ssthresh) in [
        (Algorithm::Cubic, 28),
        (Algorithm::Reno, 20),
        (Algorithm::Bbr, u32::MAX),
    ] {
        let (mut w, una) = in_flight(algorithm, 40);
        w.peer(&format!(". 1:1(0) ack {una} <sack {}:{}>", una + 1000, una + 4000));
        assert_eq!(w.info().ssthresh, ssthresh, "{algorithm:?}");
    }
}

/// 9937-1, 9937-3, 9937-4: the lost segment at once, then in proportion to what is delivered, never more than one for
/// one and never a burst; at the end the window is the threshold. What limited transmit adds to the 40 does not count.
#[test]
fn the_reduction_is_spread_over_the_round_trip() {
    for (algorithm, ssthresh) in [(Algorithm::Cubic, 28), (Algorithm::Reno, 20)] {
        let (mut w, una) = in_flight(algorithm, 40);
        let (mut sent, mut end) = (Vec::new(), 0);
        for sacked in 1..40 {
            let (from, to) = (una + 1000, una + 1000 + sacked * 1000);
            w.peer(&format!(". 1:1(0) ack {una} <sack {from}:{to}>"));
            let out = w.drain();
            end = out.iter().map(|segment| segment.seq + 1000).fold(end, i64::max);
            sent.push(out);
        }
        assert!(sent.iter().all(|segments| segments.len() <= 1), "{sent:?}");
        assert!(
            sent[0][0].seq > una && sent[1][0].seq > una,
            "limited transmit, RFC 3042"
        );
        assert_eq!(sent[2][0].seq, una, "the fast retransmit");
        assert_eq!(w.info().ssthresh as usize, ssthresh);
        let reduced: usize = sent[2..].iter().map(Vec::len).sum();
        let proportional = ssthresh * 37 / 40;
        assert!(reduced.abs_diff(proportional) <= 2, "{reduced} of {proportional}");
        w.peer(&format!(". 1:1(0) ack {end}"));
        let grown = w.info().cwnd as usize - ssthresh; // by what this acknowledgement delivers
        assert!(grown <= 1, "{grown}");
        assert_eq!(w.stack.counters().fast_retransmits, 1);
    }
}

/// 9937-5: what was SACKed before recovery began is not delivered in it. Here a path is given time to reorder, so that
/// half of the flight is, and each SACK let a new segment go: of the 60 sent since the hole 40 are still in flight.
#[test]
fn the_reduction_counts_what_recovery_can_deliver() {
    let patient = Config {
        recovery: 5,
        ..config_with(Algorithm::Cubic)
    };
    let (mut w, una) = in_flight_of(bulk_with(patient, ms(50)), 40);
    let (mut sacked, from) = (0, una + 1000);
    let mut deliver = |w: &mut Wire, count: i64| -> usize {
        let mut sent = 0;
        for _ in 0..count {
            sacked += 1;
            w.peer(&format!(". 1:1(0) ack {una} <sack {from}:{}>", from + sacked * 1000));
            sent += w.drain().len();
        }
        sent
    };
    assert_eq!(deliver(&mut w, 20), 20, "no recovery yet");
    let repaired = w.elapse(ms(13)); // a quarter of the round trip
    assert_eq!(
        repaired.iter().map(|(_, segment)| segment.seq).collect::<Vec<_>>(),
        [una]
    );
    assert_eq!(w.info().ssthresh, 28);
    let sent = 1 + deliver(&mut w, 30);
    let proportional = 30 * 28 / 40;
    assert!(sent.abs_diff(proportional) <= 1, "{sent} of {proportional}");
}

/// BBR: segments leave one by one at the pacing rate, which comes from the first round trip, and a timer brings the next.
#[test]
fn bbr_paces() {
    let mut w = Wire::connecting(config_with(Algorithm::Bbr));
    w.after(ms(100));
    w.peer(&format!("S. 0:0(0) ack 1 {SACKING}"));
    w.drain();
    w.write(1 << 20);
    let expected = 10_000 * 10 * 277 / 100; // the initial window in the first round trip, times Startup's gain
    let first = w.drain().len();
    assert!(first <= 2, "{first} at once");
    let rate = w.info().pacing_rate.expect("BBR paces");
    assert!(rate.abs_diff(expected) <= expected / 50, "{rate} for {expected}");
    assert_eq!(w.stack.poll_timeout().expect("a timer").1, Timer::Pacing);
    let rest = w.elapse(ms(60));
    assert_eq!(first + rest.len(), 10, "the initial window");
    let gaps: Vec<Duration> = rest.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    let each = Duration::from_nanos(1_000_000_000 * 1000 / rate);
    assert!(
        gaps.iter().all(|gap| gap.abs_diff(each) <= Duration::from_micros(10)),
        "{gaps:?}"
    );
}

/// No timer is kept for a pace that nothing waits for, and retransmissions keep the pace as well.
#[test]
fn pacing_waits_for_text_only() {
    let mut w = Wire::connecting(config_with(Algorithm::Bbr));
    w.after(ms(100));
    w.peer(&format!("S. 0:0(0) ack 1 {SACKING}"));
    w.drain();
    w.write(1000);
    assert_eq!(w.drain().len(), 1);
    assert_eq!(w.stack.poll_timeout().expect("a timer").1, Timer::Retransmission);
}

/// BBR's window comes back after a timeout, and everything arrives.
#[test]
fn bbr_lives_through_a_timeout() {
    let mut w = bulk(Algorithm::Bbr);
    w.elapse(ms(100));
    let rto = w.info().rto;
    w.elapse(rto);
    assert_eq!(w.info().cwnd, 1);
    assert_eq!(w.stack.counters().timeouts, 1);
    let mut una = 1;
    for _ in 0..40 {
        let sent = w.elapse(ms(10));
        let end = sent
            .iter()
            .map(|(_, segment)| segment.seq + segment.len as i64)
            .fold(una, i64::max);
        if end > una {
            una = end.max(10_001);
            w.peer(&format!(". 1:1(0) ack {una}"));
        }
    }
    assert!(w.info().cwnd > 10, "{}", w.info().cwnd);
}

/// `SO_MAX_PACING_RATE`: no algorithm lets text leave faster, nor one that would not pace at all; 0 is no limit.
#[test]
fn the_user_sets_a_pace() {
    for algorithm in Algorithm::ALL {
        let mut w = Wire::connected_over(config(), "win 65535 <mss 1000>", ms(10));
        w.set(|options| {
            options.congestion = algorithm;
            options.max_pacing_rate = 50_000;
        });
        assert_eq!((w.info().pacing_rate, w.info().max_pacing_rate), (Some(50_000), 50_000));
        w.write(8000);
        let mut sent = w.drain().len();
        assert!(sent < 4, "{algorithm:?}: {sent} at once");
        let begin = w.now;
        let segments = w.elapse(ms(190));
        sent += segments.len();
        assert_eq!(sent, 8, "{algorithm:?}");
        let last = segments.last().expect("a segment").0;
        assert!(
            (100..170).contains(&last.as_millis()),
            "{algorithm:?}: the last after {last:?}"
        );
        assert_eq!(w.now.since(begin), ms(190));
        w.set(|options| options.max_pacing_rate = 0);
        assert_ne!(w.info().pacing_rate, Some(50_000));
    }
}
