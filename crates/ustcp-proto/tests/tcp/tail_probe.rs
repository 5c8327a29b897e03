//! Tail loss probes, RFC 8985 §7.

use ustcp_proto::{Config, Shutdown, Timer};

use crate::wire::*;

const SACKING: &str = "win 65535 <mss 1000,sackOK>";

/// `count` segments of text in flight over a path of 100 ms; there is nothing more to send.
fn tail(config: Config, offer: &str, count: usize) -> Wire {
    let mut w = Wire::connected_over(config, offer, ms(100));
    w.write(1000 * count);
    assert_eq!(w.places().len(), count);
    w
}

/// 8985-5, 8985-6: two round trips of silence, and Linux's 2 ms, bring the last segment again; then the timeout is what
/// is left, counted from the probe, and no second probe.
#[test]
fn silence_brings_the_last_segment() {
    let mut w = tail(config(), SACKING, 4);
    assert_eq!(w.stack.poll_timeout().expect("a timer").1, Timer::LossProbe);
    w.after(ms(201));
    w.quiet();
    w.after(ms(1));
    w.sees("P. 3001:4001(1000) ack 1");
    w.quiet();
    assert_eq!(w.stack.counters().loss_probes, 1);
    assert_eq!((w.info().cwnd, w.info().ssthresh), (10, u32::MAX));
    let rto = w.info().rto;
    w.after(rto - ms(1));
    w.quiet();
    w.after(ms(1));
    w.sees(". 1:1001(1000) ack 1");
    assert_eq!((w.stack.counters().loss_probes, w.stack.counters().timeouts), (1, 1));
}

/// 8985-5: one segment alone may wait for a delayed acknowledgement: 200 ms more, but no longer than the timeout.
#[test]
fn one_segment_waits_for_a_delayed_acknowledgement() {
    let mut w = tail(config(), SACKING, 1);
    assert_eq!(w.info().rto, ms(300));
    w.after(ms(299));
    w.quiet();
    w.after(ms(1));
    w.sees("P. 1:1001(1000) ack 1");
    assert_eq!((w.stack.counters().loss_probes, w.stack.counters().timeouts), (1, 0));
    w.after(ms(300));
    w.sees("P. 1:1001(1000) ack 1");
    assert_eq!((w.stack.counters().loss_probes, w.stack.counters().timeouts), (1, 1));
}

/// 8985-5: two are two, however small: the second calls for an acknowledgement.
#[test]
fn two_small_segments_do_not_wait_for_a_delayed_acknowledgement() {
    let mut w = tail(config(), SACKING, 0);
    w.write(100);
    w.sees("P. 1:101(100) ack 1");
    w.shutdown(Shutdown::Write);
    w.sees("F. 101:101(0) ack 1");
    w.after(ms(201));
    w.quiet();
    w.after(ms(1));
    w.sees("F. 101:101(0) ack 1");
    assert_eq!((w.stack.counters().loss_probes, w.stack.counters().timeouts), (1, 0));
}

/// 8985-5: a full segment with a FIN is one.
#[test]
fn a_fin_makes_no_second_segment() {
    let mut w = tail(config(), SACKING, 0);
    w.peer(". 1:1(0) ack 1 win 0");
    w.write(1000);
    w.shutdown(Shutdown::Write);
    w.quiet();
    w.peer(". 1:1(0) ack 1 win 5000");
    w.sees("FP. 1:1001(1000) ack 1");
    w.after(ms(299));
    w.quiet();
    w.after(ms(1));
    w.sees("FP. 1:1001(1000) ack 1");
    assert_eq!((w.stack.counters().loss_probes, w.stack.counters().timeouts), (1, 0));
}

/// 8985-6: new text where there is some, although the congestion window is full.
#[test]
fn new_text_makes_the_better_probe() {
    let mut w = Wire::connected_over(config(), SACKING, ms(100));
    w.write(20_000);
    assert_eq!(w.places().len(), 10);
    w.after(ms(202));
    w.sees(". 10001:11001(1000) ack 1");
    w.quiet();
    assert_eq!(w.info().total_retrans, 0);
}

/// 8985-6: but not beyond the peer's window.
#[test]
fn a_full_window_leaves_the_last_segment() {
    let mut w = Wire::connected_over(config(), "win 4000 <mss 1000,sackOK>", ms(100));
    w.peer_window = 4000;
    w.write(20_000);
    assert_eq!(w.places().len(), 4);
    w.after(ms(202));
    w.sees(". 3001:4001(1000) ack 1");
    w.quiet();
}

/// 8985-7: no probe before there is a round trip to go by, without SACK, in recovery, or where it is switched off.
#[test]
fn when_there_is_no_probe() {
    let off = Config {
        early_retrans: 0,
        ..config()
    };
    for mut w in [tail(off, SACKING, 4), tail(config(), PLAIN, 4)] {
        assert_eq!(w.stack.poll_timeout().expect("a timer").1, Timer::Retransmission);
        w.after(ms(300));
        w.sees(". 1:1001(1000) ack 1");
    }

    let mut w = Wire::connecting(config());
    w.after(secs(1));
    w.sees("S 0:0(0)");
    w.peer(&format!("S. 0:0(0) ack 1 {SACKING}"));
    w.sees(". 1:1(0) ack 1");
    w.write(1000);
    w.drain();
    assert_eq!(w.stack.poll_timeout().expect("a timer").1, Timer::Retransmission);

    let mut w = tail(config(), SACKING, 6);
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1 <sack 1001:5001>");
    w.sees(". 1:1001(1000) ack 1");
    w.after(ms(100));
    w.peer(". 1:1(0) ack 5001");
    let timers: Vec<_> = w.stack.poll_timeout().into_iter().map(|(_, timer)| timer).collect();
    assert!(!timers.contains(&Timer::LossProbe), "{timers:?}");
    assert_eq!(w.stack.counters().loss_probes, 0);
}

/// 8985-6: what was lost before the tail is found by the probe's SACK, and repaired without a timeout.
#[test]
fn a_probe_shows_what_is_missing() {
    let mut w = tail(config(), SACKING, 4);
    w.after(ms(202));
    w.sees("P. 3001:4001(1000) ack 1");
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1 <sack 3001:4001>");
    w.sees(". 1:1001(1000) ack 1"); // it left two round trips before the probe
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1001 <sack 3001:4001>");
    assert_eq!(w.places(), [1001, 2001]);
    assert_eq!(
        (w.stack.counters().fast_retransmits, w.stack.counters().timeouts),
        (1, 0)
    );
}

/// 8985-8: the last segment was lost and only the probe has brought it: the window shrinks as for any loss.
#[test]
fn a_repaired_tail_is_a_loss() {
    let mut w = tail(config(), SACKING, 4);
    w.after(ms(100));
    w.peer(". 1:1(0) ack 3001");
    w.after(ms(300));
    w.sees("P. 3001:4001(1000) ack 1");
    w.after(ms(100));
    w.peer(". 1:1(0) ack 4001");
    assert_eq!(w.info().ssthresh, u32::MAX, "it may still have been late");
    w.write(1000);
    w.drain();
    w.after(ms(100));
    w.peer(". 1:1(0) ack 5001");
    assert_eq!(w.info().ssthresh, 2);
    assert_eq!(w.stack.counters().loss_probe_recoveries, 1);
}

/// 8985-8: a D-SACK, or a second acknowledgement of the same, says that both copies have arrived: nothing was lost.
#[test]
fn a_needless_probe_costs_nothing() {
    for told in [". 1:1(0) ack 4001 <sack 3001:4001>", ". 1:1(0) ack 4001"] {
        let mut w = tail(config(), SACKING, 4);
        w.after(ms(100));
        w.peer(". 1:1(0) ack 3001");
        w.after(ms(300));
        w.sees("P. 3001:4001(1000) ack 1");
        w.peer(". 1:1(0) ack 4001"); // late
        w.after(ms(100));
        w.peer(told);
        w.write(1000);
        w.drain();
        w.after(ms(100));
        w.peer(". 1:1(0) ack 5001");
        assert_eq!(w.stack.counters().loss_probe_recoveries, 0, "{told}");
        assert_eq!(w.info().ssthresh, u32::MAX);
    }
}

/// A FIN at the end of the flight goes again with the text it left with.
#[test]
fn a_fin_is_probed_for() {
    let mut w = Wire::connected_over(config(), SACKING, ms(100));
    w.write(2000);
    w.shutdown(ustcp_proto::Shutdown::Write);
    w.drain();
    let again: Vec<_> = w.elapse(ms(310)).into_iter().map(|(_, segment)| segment).collect();
    let fin = again.first().expect("a probe");
    assert!(fin.flags.has(ustcp_wire::Flags::FIN), "{fin}");
    assert_eq!(w.stack.counters().loss_probes, 1);
}
