//! Sequence numbers: RFC 9293 §3.4 and the first step of §3.10.7.4. Both ends begin just below 2^32, so everything here
//! goes over the end of the space.

use ustcp_proto::{DropReason, Error, State};

use crate::wire::*;

/// A connection whose receive window is exactly 1,000 bytes.
fn with_window_of_1000() -> Wire {
    let mut config = config();
    config.receive_buffer = 1000;
    Wire::connected_to(config, PLAIN)
}

/// FSM-4: the four cases, at the edges: a segment is acceptable when its first or its last number is in the window. As
/// Linux, one further at either end: what ends at RCV.NXT or begins at the edge has an ACK worth looking at. Its text is
/// answered as if it had been refused.
#[test]
fn what_is_acceptable() {
    // First number, length, whether acceptable; the window is [1, 1001).
    for (seq, len, acceptable) in [
        (1, 0, true),
        (0, 0, false),
        (-1, 0, false),
        (1000, 0, true),
        (1001, 0, true), // one further: the ACK of a peer who has filled the window
        (1002, 0, false),
        (1, 1, true),
        (0, 1, true), // one further: the peer has not heard our last acknowledgement
        (-1, 1, false),
        (0, 2, true),
        (-9, 10, true),
        (-9, 9, false),
        (-9, 11, true),
        (1000, 1, true),
        (1001, 1, true),
        (1002, 1, false),
        (999, 10, true),
        (1, 1000, true),
        (1, 1001, true),
        (0, 1001, true),
        (-1_000_000, 10, false),
        (1_000_000, 10, false),
        (2_147_483_600, 1, false),
        (-2_147_483_600, 1, false),
    ] {
        let mut w = with_window_of_1000();
        w.peer(&format!(". {seq}:{}({len}) ack 1", seq + len));
        let dropped = w.drops(DropReason::OutOfWindow);
        assert_eq!(dropped, u64::from(!acceptable), "{seq}({len})");
        let new = seq + len > 1 && seq < 1001;
        if !acceptable || len > 0 && !new {
            w.sees(". 1:1(0) ack 1 win 1000"); // FSM-4: answered, unless it was an RST
            w.quiet();
        }
    }
}

/// FSM-4: with a window of zero what is at RCV.NXT or ends there is acceptable, for its ACK.
#[test]
fn what_is_acceptable_at_a_closed_window() {
    for (seq, len, acceptable) in [
        (1001, 0, true),
        (1000, 0, false),
        (1002, 0, false),
        (1002, 1, false),
        (1000, 1, true),
        (999, 1, false),
    ] {
        let mut w = with_window_of_1000();
        w.peer(". 1:1001(1000) ack 1");
        w.after(ms(40));
        w.sees(". 1:1(0) ack 1001 win 0");
        w.peer(&format!(". {seq}:{}({len}) ack 1", seq + len));
        assert_eq!(w.drops(DropReason::OutOfWindow), u64::from(!acceptable), "{seq}({len})");
    }
}

/// MUST-66: what comes at a closed window is not taken, but its ACK and window are.
#[test]
fn acks_count_at_a_closed_window() {
    let mut w = with_window_of_1000();
    w.peer(". 1:1001(1000) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 1001 win 0");
    w.write(500);
    w.sees("P. 1:501(500) ack 1001 win 0");
    w.peer("P. 1001:1011(10) ack 501 win 700");
    w.sees(". 501:501(0) ack 1001 win 0");
    assert_eq!((w.stack.queued_out(w.id()), w.info().snd_wnd), (Ok(0), 700));
    assert_eq!((w.read(2000), w.read(1)), (Ok(1000), Err(Error::WouldBlock)));
}

/// FSM-10: what was received before and what lies beyond the window is cut off.
#[test]
fn segments_are_trimmed_at_both_ends() {
    let mut w = with_window_of_1000();
    w.peer(". 1:101(100) ack 1");
    w.peer(". 51:201(150) ack 1");
    w.drain();
    assert_eq!(w.read(5000), Ok(200));
    w.drain();
    let edge = 201 + i64::from(w.info().rcv_wnd);
    w.peer(&format!(". 201:{}({}) ack 1", edge + 300, edge + 300 - 201));
    let sent = w.elapse(ms(40));
    assert_eq!(sent.last().and_then(|(_, ack)| ack.ack), Some(edge));
    assert_eq!(w.read(5000), Ok(usize::try_from(edge - 201).expect("positive")));
}

/// FSM-10: a FIN behind text that was cut off does not count.
#[test]
fn a_fin_beyond_the_window_is_cut_off_with_the_text() {
    let mut w = with_window_of_1000();
    w.peer("FP. 1:1101(1100) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 1001 win 0");
    assert_eq!(w.state(), State::Established);
}

/// ATTACK-53, FSM-10: of overlapping copies the one that begins earlier is believed, as in Linux; of two that begin together, the
/// older.
#[test]
fn the_earlier_copy_wins() {
    let mut w = Wire::connected();
    w.peer(". 11:21(10) ack 1");
    // The same place with other bytes: text() is told another number for them.
    let wrong = w.packet(&Segment::read(". 11:21(10) ack 1"));
    w.inject(&altered(wrong));
    w.peer(". 1:11(10) ack 1"); // fills the gap
    w.drain();
    let mut bytes = [0; 99];
    let count = w.stack.recv(w.now, w.id(), &mut bytes).expect("bytes");
    assert_eq!(bytes[..count], text(1, 20));
}

/// The packet with its text inverted and its checksum right again.
fn altered(mut packet: Vec<u8>) -> Vec<u8> {
    for byte in packet.iter_mut().skip(40) {
        *byte = !*byte;
    }
    ustcp_wire::complete_checksum(&mut packet);
    packet
}

/// FSM-11: a transfer in both directions that goes over 2^32 with every boundary of segments somewhere.
#[test]
fn a_conversation_over_the_end_of_the_space() {
    let mut w = Wire::connected();
    let (mut theirs, mut ours) = (1, 1);
    for len in 1..20 {
        w.peer(&format!("P. {theirs}:{}({len}) ack {ours}", theirs + len));
        theirs += len;
        assert_eq!(w.read(100), Ok(usize::try_from(len).expect("positive")));
        w.write(7);
        w.sees(&format!("P. {ours}:{}(7) ack {theirs}", ours + 7));
        ours += 7;
    }
    assert!(w.iss() > u32::MAX - 100);
}

/// FSM-11: the peer's ISN anywhere around the two places where signs change.
#[test]
fn peers_isns_around_the_edges() {
    for irs in [0, 1, u32::MAX, u32::MAX - 1, 0x7fff_ffff, 0x8000_0000, 0x7fff_fffe] {
        let mut w = Wire::new(config(), WE_CONNECT);
        w.set_peer_isn(irs);
        w.connect();
        w.sees("S 0:0(0)");
        w.peer("S. 0:0(0) ack 1 win 65535 <mss 1000>");
        w.sees(". 1:1(0) ack 1");
        w.peer(". 4:6(2) ack 1");
        w.sees(". 1:1(0) ack 1");
        w.peer(". 1:4(3) ack 1");
        w.sees(". 1:1(0) ack 6");
        assert_eq!(w.read(99), Ok(5));
        w.peer("F. 6:6(0) ack 1");
        w.after(ms(40));
        w.sees(". 1:1(0) ack 7");
        assert_eq!(w.state(), State::CloseWait);
    }
}

/// RFC 9293 §3.10.7.4 fifth: without ACK a segment is dropped, whatever else it has.
#[test]
fn a_segment_without_ack_is_dropped() {
    let mut w = Wire::connected();
    for segment in ["- 1:1(0)", "P 1:11(10)", "F 1:1(0)", "FP 1:11(10)"] {
        w.peer(segment);
        w.quiet();
    }
    assert_eq!((w.state(), w.read(1)), (State::Established, Err(Error::WouldBlock)));
    assert_eq!(w.drops(DropReason::State), 4);
}

/// MUST-2: the checksum of everything that goes out is right, with text of every length and every value of the sum that
/// a byte can make. (All tests verify it of every segment they see; this one does nothing else.)
#[test]
fn checksums_of_many_lengths() {
    let mut w = Wire::connected();
    w.set(|options| options.no_delay = true);
    let mut next = 1;
    for len in 1..=1000 {
        w.write(len);
        let end = next + len as i64;
        w.sees(&format!("P. {next}:{end}({len}) ack 1"));
        w.peer(&format!(". 1:1(0) ack {end}"));
        next = end;
    }
}
