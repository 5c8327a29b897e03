//! When and what we acknowledge: RFC 9293 §3.8.6.3, RFC 5681 §4.2; and which ACKs we believe.

use ustcp_proto::{DropReason, State};

use crate::wire::*;

/// A peer that can SACK.
const SACKING: &str = "win 65535 <mss 1000,sackOK>";

/// SHLD-18, MUST-40: an acknowledgement waits a little for company.
#[test]
fn a_single_segment_is_acknowledged_late() {
    let mut w = Wire::connected();
    w.peer("P. 1:101(100) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 101");
    w.quiet();
    w.after(secs(10));
    w.quiet();
}

/// SHLD-18: text of ours takes the acknowledgement along.
#[test]
fn an_acknowledgement_rides_on_text() {
    let mut w = Wire::connected();
    w.peer("P. 1:101(100) ack 1");
    w.after(ms(10));
    w.write(5);
    w.sees("P. 1:6(5) ack 101");
    w.peer(". 101:101(0) ack 6");
    w.after(secs(10));
    w.quiet();
}

/// SHLD-19: at least every second full-sized segment at once.
#[test]
fn every_second_segment_is_acknowledged_at_once() {
    let mut w = Wire::connected();
    for pair in 0..10 {
        let first = 1 + 2000 * pair;
        w.peer(&format!(". {first}:{}(1000) ack 1", first + 1000));
        w.quiet();
        w.peer(&format!(". {}:{}(1000) ack 1", first + 1000, first + 2000));
        w.sees(&format!(". 1:1(0) ack {}", first + 2000));
        w.quiet();
    }
}

/// MUST-58, MUST-59: what comes in one burst is acknowledged once.
#[test]
fn a_burst_is_acknowledged_once() {
    let mut w = Wire::connected();
    for first in (1..10_000).step_by(1000) {
        w.peer(&format!(". {first}:{}(1000) ack 1", first + 1000));
    }
    w.sees(". 1:1(0) ack 10001");
    w.quiet();
}

/// 5681-13, MAY-13, SHLD-31: out of order is answered at once, each time; the filled gap at once too.
#[test]
fn a_gap_is_reported_and_its_end_as_well() {
    let mut w = Wire::connected();
    for first in [1001, 2001, 3001] {
        w.peer(&format!(". {first}:{}(1000) ack 1", first + 1000));
        w.sees(". 1:1(0) ack 1");
        w.quiet();
    }
    w.peer(". 1:1001(1000) ack 1");
    w.sees(". 1:1(0) ack 4001");
    w.quiet();
    assert_eq!(w.read(9999), Ok(4000));
}

/// 5681-13: a burst out of order is answered by as many duplicates, for the sender counts them.
#[test]
fn each_segment_out_of_order_is_answered() {
    let mut w = Wire::connected();
    for first in [1001, 2001, 3001, 4001] {
        w.peer(&format!(". {first}:{}(1000) ack 1", first + 1000));
    }
    for _ in 0..4 {
        w.sees(". 1:1(0) ack 1");
    }
    w.quiet();
}

/// RFC 5681 §4.2: a part of a gap is filled: told at once.
#[test]
fn a_partly_filled_gap_is_told_at_once() {
    let mut w = Wire::connected();
    w.peer(". 2001:3001(1000) ack 1");
    w.sees(". 1:1(0) ack 1");
    w.peer(". 1:1001(1000) ack 1");
    w.sees(". 1:1(0) ack 1001");
    w.peer(". 1001:2001(1000) ack 1");
    w.sees(". 1:1(0) ack 3001");
    w.quiet();
}

/// FSM-4: text that came before is acknowledged again at once: our ACK may have been lost.
#[test]
fn an_old_segment_is_acknowledged_again() {
    let mut w = Wire::connected();
    w.peer(". 1:101(100) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 101");
    for _ in 0..5 {
        w.peer(". 1:101(100) ack 1");
        w.sees(". 1:1(0) ack 101");
    }
    w.quiet();
}

/// 2018-2, 2018-3: the block that just came first, then those that came before it, four at most.
#[test]
fn sack_blocks_and_their_order() {
    let mut w = Wire::connected_to(config(), SACKING);
    w.peer(". 101:201(100) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 101:201>");
    w.peer(". 301:401(100) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 301:401 101:201>");
    w.peer(". 501:601(100) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 501:601 301:401 101:201>");
    w.peer(". 701:801(100) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 701:801 501:601 301:401 101:201>");
    w.peer(". 901:1001(100) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 901:1001 701:801 501:601 301:401>");
    w.peer(". 201:301(100) ack 1"); // joins two
    w.sees(". 1:1(0) ack 1 <sack 101:401 901:1001 701:801 501:601>");
    w.peer(". 1:101(100) ack 1");
    w.sees(". 1:1(0) ack 401 <sack 901:1001 701:801 501:601>");
}

/// 2018-1: no blocks for a peer that did not ask.
#[test]
fn no_sack_without_permission() {
    let mut w = Wire::connected();
    w.peer(". 101:201(100) ack 1");
    w.sees(". 1:1(0) ack 1 <>");
}

/// RFC 9293 §3.10.7.4 fifth: an ACK of what was never sent is answered and its segment dropped.
#[test]
fn an_ack_of_the_future_is_challenged() {
    let mut w = Wire::connected();
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    w.peer("P. 1:5(4) ack 12");
    w.sees(". 11:11(0) ack 1");
    assert_eq!((w.drops(DropReason::BadAck), w.stack.queued_in(w.id())), (1, Ok(0)));
    assert_eq!(w.stack.queued_out(w.id()), Ok(10));
    w.peer("P. 1:5(4) ack 11");
    assert_eq!((w.stack.queued_in(w.id()), w.stack.queued_out(w.id())), (Ok(4), Ok(0)));
}

/// 5961-3, MAY-12: an ACK older than the largest window ever offered, or than all that was ever acknowledged, our SYN among
/// it, is no ACK of this peer's.
#[test]
fn an_ack_of_the_distant_past_is_challenged() {
    for (ack, believed) in [
        (1001, true),
        (1000, true),
        (1, true),
        (0, true),
        (-1, false),
        (1001 - 65_535, false),
        (-1_000_000, false),
    ] {
        let mut w = Wire::connected();
        w.write(1000);
        w.drain();
        w.peer(". 1:1(0) ack 1001");
        w.peer(&format!("P. 1:5(4) ack {ack}"));
        assert_eq!(w.stack.queued_in(w.id()), Ok(if believed { 4 } else { 0 }), "ack {ack}");
        assert_eq!(w.drops(DropReason::BadAck), u64::from(!believed));
        if !believed {
            w.sees(". 1001:1001(0) ack 1");
        }
    }
}

/// An old ACK is no news but its text is.
#[test]
fn an_old_ack_with_new_text() {
    let mut w = Wire::connected();
    w.write(100);
    w.sees("P. 1:101(100) ack 1");
    w.peer(". 1:1(0) ack 101");
    w.peer("P. 1:11(10) ack 51 win 1");
    assert_eq!((w.read(99), w.info().snd_wnd), (Ok(10), 65_535));
    assert_eq!(w.stack.queued_out(w.id()), Ok(0));
}

/// MUST-5, MUST-6: unknown options in any segment are passed over.
#[test]
fn unknown_options_in_text_segments() {
    let mut w = Wire::connected();
    let plain = w.packet(&Segment::read("P. 1:11(10) ack 1"));
    let (headers, text) = plain.split_at(40);
    let mut packet = [headers, &[200, 7, 1, 2, 3, 4, 5, 1], text].concat();
    packet[3] = 58; // total length
    packet[32] = 7 << 4; // data offset
    packet[10] = 0;
    packet[11] = 0;
    let sum = ustcp_wire::Sum::default().add(&packet[..20]).checksum().to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    ustcp_wire::complete_checksum(&mut packet);
    w.inject(&packet);
    assert_eq!((w.state(), w.read(99)), (State::Established, Ok(10)));
}

/// MUST-3: a segment with one wrong bit anywhere is dropped and counted.
#[test]
fn one_wrong_bit() {
    let mut w = Wire::connected();
    let good = w.packet(&Segment::read("P. 1:11(10) ack 1"));
    for bit in 20 * 8..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        w.inject(&bad);
        w.quiet();
    }
    assert_eq!(w.stack.queued_in(w.id()), Ok(0));
    let counted = w.drops(DropReason::Checksum) + w.drops(DropReason::Malformed);
    assert_eq!(counted, (good.len() as u64 - 20) * 8);
}
