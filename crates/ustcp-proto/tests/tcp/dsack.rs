//! What arrived twice is told: RFC 2883.

use ustcp_proto::Config;

use crate::wire::*;

const SACKING: &str = "win 65535 <mss 1000,sackOK>";

/// 2883-1: a segment that was taken before comes again: the first block says which; once.
#[test]
fn a_segment_that_comes_twice_is_told() {
    let mut w = Wire::connected_to(config(), SACKING);
    w.peer(". 1:1001(1000) ack 1");
    w.peer(". 1001:2001(1000) ack 1");
    w.sees(". 1:1(0) ack 2001 <>");
    w.peer(". 1:1001(1000) ack 1");
    w.sees(". 1:1(0) ack 2001 <sack 1:1001>");
    w.peer(". 2001:3001(1000) ack 1");
    w.peer(". 3001:4001(1000) ack 1");
    w.sees(". 1:1(0) ack 4001 <>");
}

/// 2883-1: also when new text comes in the same turn, before anything was answered.
#[test]
fn new_text_of_the_same_turn_hides_nothing() {
    let mut w = Wire::connected_to(config(), SACKING);
    w.peer(". 1:1001(1000) ack 1");
    w.drain();
    w.peer(". 1:1001(1000) ack 1");
    w.peer(". 1001:2001(1000) ack 1");
    w.sees(". 1:1(0) ack 2001 <sack 1:1001>");
    w.peer(". 1001:2001(1000) ack 1");
    w.peer(". 3001:4001(1000) ack 1");
    w.sees(". 1:1(0) ack 2001 <sack 1001:2001 3001:4001>");
}

/// 2883-1: the part that is old, of a segment that brings something new as well.
#[test]
fn the_old_part_is_told() {
    let mut w = Wire::connected_to(config(), SACKING);
    w.peer(". 1:1001(1000) ack 1");
    w.peer(". 501:1501(1000) ack 1");
    w.sees(". 1:1(0) ack 1501 <sack 501:1001>");
}

/// 2883-1: beyond a hole the second block says what the first lies in, and the other holes follow.
#[test]
fn beyond_a_hole_the_block_around_it_follows() {
    let mut w = Wire::connected_to(config(), SACKING);
    w.peer(". 5001:6001(1000) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 5001:6001>");
    w.peer(". 1001:3001(2000) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 1001:3001 5001:6001>");
    w.peer(". 2001:3001(1000) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 2001:3001 1001:3001 5001:6001>");
    w.peer(". 2501:4001(1500) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 2501:3001 1001:4001 5001:6001>");
}

/// 2883-1: the examples of RFC 2883 §4.1 and §4.2, with its numbers.
#[test]
fn the_examples_of_the_rfc() {
    let at = |start| {
        let mut w = Wire::connected_to(config(), SACKING);
        let text = format!(". 1:{start}({}) ack 1", start - 1);
        w.peer(&text);
        w.elapse(ms(40));
        w
    };
    // §4.1.1: a duplicate segment.
    let mut w = at(3000);
    w.peer(". 3000:3500(500) ack 1");
    w.peer(". 3500:4000(500) ack 1");
    w.elapse(ms(40));
    w.peer(". 3000:3500(500) ack 1");
    w.sees(". 1:1(0) ack 4000 <sack 3000:3500>");
    // §4.1.2: an out-of-order segment and a duplicate segment. 4000-4499 is lost.
    w.peer(". 4500:5000(500) ack 1");
    w.sees(". 1:1(0) ack 4000 <sack 4500:5000>");
    w.peer(". 3000:3500(500) ack 1");
    w.sees(". 1:1(0) ack 4000 <sack 3000:3500 4500:5000>");
    // §4.1.3: a duplicate of an out-of-order segment.
    w.peer(". 5000:5500(500) ack 1");
    w.sees(". 1:1(0) ack 4000 <sack 4500:5500>");
    w.peer(". 5000:5500(500) ack 1");
    w.sees(". 1:1(0) ack 4000 <sack 5000:5500 4500:5500>");
    // §4.2.1: a single duplicate subsegment. 1000-1499 is delayed, and 1000-2499 sent again.
    let mut w = at(1000);
    w.peer(". 1500:2000(500) ack 1");
    w.sees(". 1:1(0) ack 1000 <sack 1500:2000>");
    w.peer(". 2000:2500(500) ack 1");
    w.sees(". 1:1(0) ack 1000 <sack 1500:2500>");
    w.peer(". 1000:2000(1000) ack 1");
    w.sees(". 1:1(0) ack 2500 <sack 1500:2000>");
}

/// 2883-1: RFC 2883 §4 (3), of several in one turn: the block around each follows it, whichever came last.
#[test]
fn the_block_around_each_of_one_turn_follows_it() {
    let mut w = Wire::connected_to(config(), SACKING);
    for range in ["2001:4001(2000)", "6001:7001(1000)", "8001:9001(1000)"] {
        w.peer(&format!(". {range} ack 1"));
        w.drain();
    }
    for range in ["2501:3001(500)", "6001:7001(1000)", "3001:4001(1000)"] {
        w.peer(&format!(". {range} ack 1"));
    }
    w.sees(". 1:1(0) ack 1 <sack 2501:3001 2001:4001 6001:7001 8001:9001>");
    w.sees(". 1:1(0) ack 1 <sack 6001:7001 6001:7001 2001:4001 8001:9001>");
    w.sees(". 1:1(0) ack 1 <sack 3001:4001 2001:4001 6001:7001 8001:9001>");
    w.quiet();
}

/// 2883-1: with a hole above, what lies below the cumulative acknowledgement comes first.
#[test]
fn below_the_acknowledgement_it_comes_first() {
    let mut w = Wire::connected_to(config(), SACKING);
    w.peer(". 1:1001(1000) ack 1");
    w.peer(". 2001:3001(1000) ack 1");
    w.drain();
    w.peer(". 1:1001(1000) ack 1");
    w.sees(". 1:1(0) ack 1001 <sack 1:1001 2001:3001>");
}

/// 2883-1: text in its turn that brings again what was held ahead.
#[test]
fn what_was_held_ahead_comes_again_in_order() {
    let mut w = Wire::connected_to(config(), SACKING);
    w.peer(". 101:201(100) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 101:201>");
    w.peer(". 1:251(250) ack 1");
    w.sees(". 1:1(0) ack 251 <sack 101:201>");
}

/// 2883-1: each of several that come again in one turn is told, in an acknowledgement of its own, as Linux does; be they
/// neighbours or not, in their turn or ahead of it, whole or with something new.
#[test]
fn each_of_one_turn_is_told() {
    let mut w = Wire::connected_to(config(), SACKING);
    for first in [1, 1001, 2001, 3001] {
        w.peer(&format!(". {first}:{}(1000) ack 1", first + 1000));
        w.drain();
    }
    for first in [1, 1001, 3001] {
        w.peer(&format!(". {first}:{}(1000) ack 1", first + 1000));
    }
    for told in ["1:1001", "1001:2001", "3001:4001"] {
        w.sees(&format!(". 1:1(0) ack 4001 <sack {told}>"));
    }
    w.quiet();

    for again in [false, true] {
        w.peer(". 5001:6001(1000) ack 1");
        w.peer(". 7001:8001(1000) ack 1");
        if !again {
            w.drain();
        }
    }
    w.sees(". 1:1(0) ack 4001 <sack 5001:6001 5001:6001 7001:8001>");
    w.sees(". 1:1(0) ack 4001 <sack 7001:8001 7001:8001 5001:6001>");
    w.quiet();

    w.peer(". 3501:5001(1500) ack 1");
    w.peer(". 1:1001(1000) ack 1");
    w.sees(". 1:1(0) ack 6001 <sack 3501:4001 7001:8001>");
    w.sees(". 1:1(0) ack 6001 <sack 1:1001 7001:8001>");
    w.quiet();
}

/// What arrives twice in one turn and is still to be told is bounded.
#[test]
fn a_flood_of_duplicates_is_told_in_part() {
    let mut w = Wire::connected_to(config(), SACKING);
    w.peer(". 1:1001(1000) ack 1");
    w.drain();
    for _ in 0..10_000 {
        w.peer(". 1:1001(1000) ack 1");
    }
    assert_eq!(w.drain().len(), 256);
    w.quiet();
}

/// 2883-1: a FIN takes a number too.
#[test]
fn a_fin_that_comes_twice_is_told() {
    let mut w = Wire::connected_to(config(), SACKING);
    w.peer("F. 1:101(100) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 102 <>");
    w.peer("F. 1:101(100) ack 1");
    w.sees(". 1:1(0) ack 102 <sack 1:102>");
}

/// 2883-1: not to a peer that has no SACK, nor with `tcp_dsack` off.
#[test]
fn some_are_told_nothing() {
    let off = Config {
        dsack: false,
        ..config()
    };
    for (config, offer) in [(config(), PLAIN), (off, SACKING)] {
        let mut w = Wire::connected_to(config, offer);
        w.peer(". 1:1001(1000) ack 1");
        w.peer(". 1:1001(1000) ack 1");
        w.sees(". 1:1(0) ack 1001 <>");
    }
}

/// 2883-1: a segment of text that carries such a block holds so much less.
#[test]
fn text_makes_room_for_it() {
    let mut w = Wire::connected_to(config(), SACKING);
    w.peer(". 1:1001(1000) ack 1");
    w.after(ms(40));
    w.drain();
    w.peer(". 1:1001(1000) ack 1");
    w.write(1000);
    let sent = w.drain();
    assert_eq!(sent[0].len, 988);
    assert_eq!(sent.iter().map(|segment| segment.len).sum::<usize>(), 1000);
}
