//! What comes again, and what comes where nothing is expected any more: Linux's answers, where the RFCs leave room.

use ustcp_proto::{Config, DropReason, Error, Shutdown, State};

use crate::wire::*;

/// Text that ends where our last acknowledgement did says that this was lost. Its own ACK is as new as any.
#[test]
fn the_ack_of_old_text_counts() {
    let mut w = Wire::connected();
    w.write(100);
    w.peer("P. 1:11(10) ack 1");
    w.drain();
    w.peer("P. 1:11(10) ack 101");
    w.sees(". 101:101(0) ack 11");
    assert_eq!((w.stack.queued_out(w.id()), w.stack.queued_in(w.id())), (Ok(0), Ok(10)));
}

/// What ends before that is refused, its ACK with it.
#[test]
fn the_ack_of_older_text_does_not_count() {
    let mut w = Wire::connected();
    w.write(100);
    w.peer("P. 1:11(10) ack 1");
    w.drain();
    w.peer("P. 1:10(9) ack 101");
    w.sees(". 101:101(0) ack 11");
    assert_eq!(w.stack.queued_out(w.id()), Ok(100));
}

/// A peer that goes on behind its FIN has lost its way: from text that begins before the FIN the connection is reset, as
/// from text that comes when nobody reads.
#[test]
fn text_over_a_fin_resets() {
    let mut w = Wire::connected();
    w.peer("FP. 1:11(10) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 12");
    w.peer("P. 12:22(10) ack 1"); // beyond it: no answer
    w.quiet();
    assert_eq!(w.state(), State::CloseWait);
    w.peer("P. 6:22(16) ack 1");
    w.sees("R 1:1(0)");
    assert_eq!((w.state(), w.take_error()), (State::Closed, Some(Error::BrokenPipe)));
}

/// A FIN takes a number of the sequence space and is told of like any other.
#[test]
fn a_fin_ahead_of_its_turn_is_sacked() {
    let mut w = Wire::connected_to(config(), "win 65535 <mss 1000,sackOK>");
    w.peer("FP. 11:21(10) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 11:22>");
    w.peer("F. 21:21(0) ack 1");
    w.sees(". 1:1(0) ack 1 <sack 21:22 11:22>");
    w.peer("P. 1:11(10) ack 1");
    w.sees(". 1:1(0) ack 22 <>");
    assert_eq!(w.state(), State::CloseWait);
}

/// What is held beyond a FIN is no part of the stream, whichever of the two came first.
#[test]
fn a_fin_ends_the_stream() {
    for early in ["F. 1:11(10) ack 1", "P. 1:11(10) ack 1"] {
        let mut w = Wire::connected();
        w.peer("P. 11:31(20) ack 1");
        w.peer(early);
        if !early.starts_with('F') {
            w.peer("F. 31:31(0) ack 1");
        }
        w.elapse(ms(40));
        let all = if early.starts_with('F') { 10 } else { 30 };
        assert_eq!((w.state(), w.read(99), w.read(99)), (State::CloseWait, Ok(all), Ok(0)));
    }
}

/// Text that goes on where a FIN was announced is believed.
#[test]
fn text_overrules_an_early_fin() {
    let mut w = Wire::connected();
    w.peer("F. 11:11(0) ack 1");
    w.peer("P. 11:31(20) ack 1");
    w.peer("P. 1:11(10) ack 1");
    w.drain();
    assert_eq!(w.state(), State::Established);
    let mut bytes = [0; 99];
    let count = w.stack.recv(w.now, w.id(), &mut bytes).expect("bytes");
    assert_eq!(bytes[..count], text(1, 30));
}

/// The number of a FIN that an earlier FIN, or text in the place of that, has put aside never becomes a byte of the stream.
#[test]
fn a_fin_put_aside_is_no_byte() {
    let fins = ["F. 21:31(10) ack 1", "F. 11:11(0) ack 1"];
    for (first, second, held) in [(0, 1, "11:12 21:31"), (1, 0, "21:31 11:12")] {
        let mut w = Wire::connected_to(config(), "win 65535 <mss 1000,sackOK>");
        w.peer(fins[first]);
        w.peer(fins[second]);
        w.drain();
        w.peer("F. 41:41(0) ack 1");
        w.sees(&format!(". 1:1(0) ack 1 <sack {held}>"));
        w.peer("P. 11:16(5) ack 1"); // it goes on after all
        w.peer("P. 1:11(10) ack 1");
        w.peer("P. 16:21(5) ack 1");
        assert_eq!((w.state(), w.read(99)), (State::Established, Ok(30)));
        w.peer("F. 31:31(0) ack 1");
        assert_eq!((w.state(), w.read(99)), (State::CloseWait, Ok(0)));
    }
}

/// What arrived twice is told with the next acknowledgement or not at all.
#[test]
fn an_untold_duplicate_is_forgotten_with_the_next_text() {
    let mut w = Wire::connected_to(config(), "win 65535 <mss 1000,sackOK>");
    w.peer("P. 1:11(10) ack 1");
    w.write(10); // an answer: acknowledgements wait for more of them
    w.drain();
    w.peer("P. 6:21(15) ack 11");
    w.quiet();
    w.peer("P. 11:31(20) ack 11");
    w.after(ms(40));
    w.sees(". 11:11(0) ack 31 <sack 11:21>");
}

/// RFC 7323 §5.3 R3 with Linux's exceptions: whose ACK cannot be the peer's, or is old where something was missing, has no
/// timestamp worth repeating.
#[test]
fn the_timestamp_of_an_old_ack() {
    for (held, ack, taken) in [(false, -100_000, true), (true, -100_000, false), (false, 1001, false)] {
        let stamping = Config {
            timestamps: true,
            ..config()
        };
        let mut w = Wire::connected_to(stamping, "win 65535 <mss 1000,sackOK,ts 1000 0>");
        if held {
            w.peer(". 11:21(10) ack 1 <ts 1010 0>");
        }
        w.peer(&format!(". 1:1(0) ack {ack} <ts 1020 0>"));
        w.drain();
        w.write(1);
        let sent = w.drain();
        let stamps = sent.first().and_then(|segment| segment.options?.timestamps);
        let echoed = stamps.map(|stamps| stamps.echo);
        assert_eq!(echoed, Some(if taken { 1020 } else { 1000 }), "{held} {ack}");
    }
}

/// In every state but the first two: a segment with none of ACK, RST and SYN says nothing, wherever it stands.
#[test]
fn without_flags_nothing_is_answered() {
    let mut w = Wire::connected();
    w.shutdown(Shutdown::Write);
    w.drain();
    for segment in ["P -5:5(10)", "- 100000:100000(0)", "F 1:1(0)"] {
        w.peer(segment);
        w.quiet();
    }
    assert_eq!(w.drops(DropReason::State), 3);
}

/// The acknowledgement of a FIN waits for our own only where the peer has said something: what is held ahead was not heard.
#[test]
fn a_fin_before_what_is_held_ahead_is_acknowledged_at_once() {
    let mut w = Wire::connected();
    w.peer("P. 101:201(100) ack 1");
    w.sees(". 1:1(0) ack 1");
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 1:1(0) ack 2");
}

/// The largest segment that has come is what a full one is, with the old bytes that it brought.
#[test]
fn a_trimmed_segment_is_as_large_as_it_came() {
    let mut w = Wire::connected();
    w.peer("P. 1:11(10) ack 1");
    w.write(10); // an answer: acknowledgements wait
    w.drain();
    w.peer("P. 10:12(2) ack 11");
    w.peer("P. 11:1011(1000) ack 11"); // 1000 bytes are owed for: one segment
    w.quiet();
    w.after(ms(40));
    w.sees(". 11:11(0) ack 1011");
}

/// RFC 5681 §3.1 as Linux: slow start counts segments, so that what was small opens the window by a full one, but only once
/// nothing of it is left.
#[test]
fn slow_start_counts_small_segments_whole() {
    let mut w = Wire::connected();
    w.write(10);
    w.drain();
    w.elapse(ms(900)); // the timeout: one segment
    assert_eq!(w.info().cwnd, 1);
    w.peer(". 1:1(0) ack 6");
    assert_eq!(w.info().cwnd, 1);
    w.peer(". 1:1(0) ack 11");
    assert_eq!(w.info().cwnd, 2);
}

/// RFC 8985 §7: there is one probe in each flight. As Linux, more text puts the timeout off as it would put off a probe.
#[test]
fn text_after_the_probe_puts_the_timeout_off() {
    let mut w = Wire::connected_over(config(), "win 65535 <mss 1000,sackOK>", ms(50));
    w.write(2000);
    w.drain();
    w.after(ms(102));
    w.sees("P. 1001:2001(1000) ack 1"); // the probe
    w.after(ms(160)); // 262 ms after the first
    w.write(500);
    w.sees("P. 2001:2501(500) ack 1");
    w.after(ms(98)); // the timeout since the probe was 352
    w.quiet();
    w.after(ms(4));
    w.sees(". 1:1001(1000) ack 1");
}

/// What TIME-WAIT hears at RCV.NXT says nothing but the time.
#[test]
fn time_wait_keeps_the_latest_timestamp() {
    let stamping = Config {
        timestamps: true,
        ..config()
    };
    let mut w = Wire::connected_to(stamping, "win 65535 <mss 1000,ts 1000 0>");
    w.shutdown(Shutdown::Write);
    w.drain();
    w.peer("F. 1:1(0) ack 2 <ts 1001 0>");
    w.drain();
    assert_eq!(w.state(), State::TimeWait);
    w.peer(". 2:2(0) ack 2 <ts 1005 0>");
    w.quiet();
    w.peer("F. 1:1(0) ack 2 <ts 1006 0>");
    w.sees(". 2:2(0) ack 2 <ts 0 1005>");
}
