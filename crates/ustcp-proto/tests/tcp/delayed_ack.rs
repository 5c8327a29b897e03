//! When acknowledgements wait, and for how long: Linux's quick start, its 40 ms that adapt, its answers that carry them.

use ustcp_proto::Config;

use crate::wire::*;

/// Delays as they are by default.
fn own() -> Config {
    let Config {
        delayed_ack,
        delayed_ack_max,
        quick_acks,
        ..
    } = Config::default();
    Config {
        delayed_ack,
        delayed_ack_max,
        quick_acks,
        ..config()
    }
}

/// ESTABLISHED after a handshake of 10 ms.
fn connected() -> Wire {
    let mut w = Wire::connecting(own());
    w.after(ms(10));
    w.peer(&format!("S. 0:0(0) ack 1 {PLAIN}"));
    w.sees(". 1:1(0) ack 1");
    w
}

/// The peer sends `count` segments of 1000 bytes `gap` milliseconds apart, from `*next` on: how long after each of them
/// an acknowledgement came, in milliseconds.
fn delays(w: &mut Wire, next: &mut i64, count: usize, gap: u64) -> Vec<Option<u128>> {
    (0..count)
        .map(|_| {
            w.peer(&format!(". {next}:{}(1000) ack 1", *next + 1000));
            *next += 1000;
            let sent = w.elapse(ms(gap));
            sent.first().map(|(after, _)| after.as_millis())
        })
        .collect()
}

/// MUST-58, SHLD-18: the first 16 segments are acknowledged at once, each of them, for the sender is in slow start; then
/// every second one.
#[test]
fn the_start_is_quick() {
    let mut w = connected();
    let mut next = 1;
    let first = delays(&mut w, &mut next, 16, 5);
    assert_eq!(first, [Some(0); 16]);
    let then = delays(&mut w, &mut next, 4, 5);
    assert_eq!(then, [None, Some(0), None, Some(0)]);
}

/// SHLD-19: as Linux, what is more than one full segment is as good as two.
#[test]
fn one_segment_and_a_bit_is_acknowledged() {
    let mut w = Wire::connected();
    w.peer(". 1:1001(1000) ack 1");
    w.quiet();
    w.peer(". 1001:1002(1) ack 1");
    w.sees(". 1:1(0) ack 1002");
}

/// MUST-40, SHLD-18: then 40 ms, and longer where text comes slowly: up to 200 ms, and never beyond what one round trip
/// justifies. A pause longer than the retransmission timeout begins anew.
#[test]
fn the_delay_adapts() {
    let mut w = connected();
    let mut next = 1;
    delays(&mut w, &mut next, 16, 1);
    assert_eq!(delays(&mut w, &mut next, 1, 50), [Some(40)]);
    assert_eq!(
        delays(&mut w, &mut next, 1, 60),
        [Some(40)],
        "a round trip of 10 ms is enough to wait for"
    );
    let mut slow = Wire::connecting(own());
    slow.after(ms(150));
    slow.peer(&format!("S. 0:0(0) ack 1 {PLAIN}"));
    slow.sees(". 1:1(0) ack 1");
    let mut next = 1;
    delays(&mut slow, &mut next, 16, 1);
    let later = delays(&mut slow, &mut next, 4, 190);
    assert_eq!(later[0], Some(40));
    assert!(
        later.iter().all(|delay| (40..=150).contains(&delay.expect("in time"))),
        "{later:?}"
    );
    assert!(later[3] > later[0], "{later:?}");
    slow.elapse(secs(2));
    assert_eq!(delays(&mut slow, &mut next, 3, 5), [Some(0); 3]);
}

/// SHLD-18: a user who answers carries the acknowledgement on the answer, and the quick start is over.
#[test]
fn answers_carry_acknowledgements() {
    let mut w = connected();
    w.peer("P. 1:101(100) ack 1");
    w.sees(". 1:1(0) ack 101");
    assert_eq!(w.read(1000), Ok(100));
    w.write(50);
    w.sees("P. 1:51(50) ack 101");
    w.peer("P. 101:201(100) ack 51");
    w.quiet();
    assert_eq!(w.read(1000), Ok(100));
    w.quiet();
    w.write(50);
    w.sees("P. 51:101(50) ack 201");
    w.peer("P. 201:301(100) ack 101"); // and no answer to this: the delay, and quick again
    w.after(ms(40));
    w.sees(". 101:101(0) ack 301");
    w.peer("P. 301:401(100) ack 101");
    w.sees(". 101:101(0) ack 401");
}

/// As Linux: who has read the end of a write, and does not answer, has it acknowledged at once.
#[test]
fn a_reader_who_does_not_answer_acknowledges() {
    let mut w = Wire::connected();
    w.peer(". 1:1001(1000) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 1001");
    w.peer("P. 1001:1101(100) ack 1");
    w.quiet();
    assert_eq!(w.read(50), Ok(50));
    w.quiet();
    assert_eq!(w.read(5000), Ok(1050));
    w.sees(". 1:1(0) ack 1101");
}

/// What comes again, for our acknowledgement was lost, is answered at once, and so is what follows.
#[test]
fn what_comes_again_hurries() {
    let mut w = connected();
    let mut next = 1;
    delays(&mut w, &mut next, 18, 5);
    w.peer(". 1:1001(1000) ack 1");
    w.sees(". 1:1(0) ack 18001");
    assert_eq!(delays(&mut w, &mut next, 3, 5), [Some(0); 3]);
}

/// `TCP_QUICKACK`, as Linux: an odd number pays what is owed and lets nothing wait, an even one only pays, 0 waits for
/// answers.
#[test]
fn a_user_who_wants_quick_acknowledgements() {
    for (value, stays) in [(1, true), (2, false)] {
        let mut w = connected();
        let id = w.id();
        let mut next = 1;
        delays(&mut w, &mut next, 18, 10); // the quick start is over
        w.stack.set_quick_ack(w.now, id, 0).unwrap();
        assert!(!w.stack.quick_ack(id).unwrap());
        w.peer(&format!("P. {next}:{}(100) ack 1", next + 100));
        w.quiet();
        let now = w.now;
        w.stack.set_quick_ack(now, id, value).unwrap();
        w.sees(&format!(". 1:1(0) ack {}", next + 100));
        assert_eq!(w.stack.quick_ack(id), Ok(stays));
    }
}

/// As Linux, where every write is as small as the other: each is the end of one. A sender under Nagle's rule waits for
/// the acknowledgement, and would for 40 ms each time.
#[test]
fn a_reader_of_tiny_writes_acknowledges() {
    let mut w = Wire::connected();
    for next in [1, 101, 201, 301] {
        w.peer(&format!("P. {next}:{}(100) ack 1", next + 100));
        w.quiet();
        assert_eq!(w.read(1000), Ok(100));
        w.sees(&format!(". 1:1(0) ack {}", next + 100));
    }
}

/// As Linux: an acknowledgement that has waited for most of its time goes with the next segment that comes.
#[test]
fn what_is_nearly_due_goes_with_what_comes() {
    for next in ["P. 3:4(1) ack 1", ". 3:3(0) ack 1", ". 3:3(0) ack 1 win 900"] {
        let mut w = connected();
        w.peer("P. 1:2(1) ack 1");
        w.sees(". 1:1(0) ack 2");
        w.peer("F. 2:2(0) ack 1"); // may wait, for our FIN
        w.quiet();
        assert_eq!(w.elapse(ms(32)), [], "{next}");
        w.peer(next);
        assert_eq!(w.drain().len(), 1, "{next}");
    }
}

/// As Linux: a challenge is no acknowledgement that was owed, and the quick start has as many left as before.
#[test]
fn a_challenge_uses_up_no_quick_acknowledgement() {
    let mut w = connected();
    w.peer(". 1:1(0) ack 5000"); // of what was never sent
    w.sees(". 1:1(0) ack 1");
    let mut next = 1;
    assert_eq!(delays(&mut w, &mut next, 16, 5), [Some(0); 16]);
}
