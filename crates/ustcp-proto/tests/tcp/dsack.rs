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

/// 2883-1: segments that come again one behind the other in one turn are told as one.
#[test]
fn neighbours_of_one_turn_are_told_together() {
    let mut w = Wire::connected_to(config(), SACKING);
    w.peer(". 1:1001(1000) ack 1");
    w.peer(". 1001:2001(1000) ack 1");
    w.drain();
    w.peer(". 1:1001(1000) ack 1");
    w.peer(". 1001:2001(1000) ack 1");
    w.sees(". 1:1(0) ack 2001 <sack 1:2001>");
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
