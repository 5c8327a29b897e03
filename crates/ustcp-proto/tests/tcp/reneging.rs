//! Receivers that throw away what they have SACKed, RFC 2018 §8.

use crate::wire::*;

const SACKING: &str = "win 65535 <mss 1000,sackOK>";

/// Ten segments in flight.
fn ten_in_flight() -> Wire {
    let mut w = Wire::connected_over(config(), SACKING, ms(100));
    w.write(10_000);
    assert_eq!(w.places().len(), 10);
    w.after(ms(100));
    w
}

/// 2018-4: SACKed text at the head of what is in flight: the peer has not kept it, and half a round trip later all of it
/// goes again.
#[test]
fn what_was_reneged_on_goes_again() {
    let mut w = ten_in_flight();
    w.peer(". 1:1(0) ack 1 <sack 1001:10001>");
    w.sees(". 1:1001(1000) ack 1");
    w.after(ms(100));
    w.peer(". 1:1(0) ack 1001"); // and not 10001
    w.after(ms(49));
    w.quiet();
    w.after(ms(1));
    w.sees(". 1001:2001(1000) ack 1");
    assert_eq!(w.stack.counters().sack_renegings, 1);
    assert_eq!((w.info().sacked, w.info().lost), (0, 8));
    let mut again = vec![1001];
    for end in (2001..=10_001).step_by(1000) {
        w.after(ms(10));
        w.peer(&format!(". 1:1(0) ack {end}"));
        again.extend(w.places());
    }
    assert_eq!(again, [1001, 2001, 3001, 4001, 5001, 6001, 7001, 8001, 9001]);
}

/// 2018-5: without a sign of that a timeout leaves alone what was SACKed.
#[test]
fn a_timeout_remembers_sacks() {
    let mut w = ten_in_flight();
    w.peer(". 1:1(0) ack 1 <sack 3001:10001>");
    assert_eq!(w.places(), [1, 1001, 2001]);
    let rto = w.info().rto;
    w.after(rto);
    w.sees(". 1:1001(1000) ack 1");
    assert_eq!((w.stack.counters().timeouts, w.info().sacked), (1, 7));
    let mut again = Vec::new();
    for end in [1001, 2001, 10_001] {
        w.after(ms(100));
        w.peer(&format!(". 1:1(0) ack {end}"));
        again.extend(w.places());
    }
    assert_eq!(again, [1001, 2001]);
}
