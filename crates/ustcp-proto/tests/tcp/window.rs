//! Windows: RFC 9293 §3.8.6, RFC 7323 §2.

use ustcp_proto::{Config, Error, State};

use crate::wire::*;

/// MUST-1, REC-1, 7323-3: the whole 16 bits count, and with a scale far more.
#[test]
fn the_window_is_unsigned_and_scaled() {
    let mut w = Wire::connected_to(
        Config {
            send_buffer: 4 << 20,
            initial_window: 4000,
            ..config()
        },
        "win 65535 <mss 1000,ws 14>",
    );
    assert_eq!((w.info().snd_wnd, w.info().window_scale), (65_535, Some((14, 3)))); // 7323-3: the SYN's is raw
    w.peer(". 1:1(0) ack 1 win 65535");
    assert_eq!(w.info().snd_wnd, 65_535 << 14);
    w.write(3_000_000);
    assert_eq!(w.drain().len(), 3000);
}

/// 7323-1: no scaling unless both ask for it.
#[test]
fn no_scaling_unless_both_ask() {
    let w = Wire::connected();
    assert_eq!((w.info().window_scale, w.info().snd_wnd), (None, 65_535));
    let mut w = Wire::listening(config(), 8);
    w.peer("S 0:0(0) win 1000 <mss 1000>");
    w.sees("S. 0:0(0) ack 1 <mss 1460>");
    w.peer(". 1:1(0) ack 1 win 1000");
    w.accept();
    assert_eq!((w.info().window_scale, w.info().snd_wnd), (None, 1000));
}

/// 7323-2: a shift above 14 counts as 14.
#[test]
fn a_shift_of_fifteen_is_fourteen() {
    let w = Wire::connected_to(config(), "win 65535 <mss 1000,ws 15>");
    assert_eq!(w.info().window_scale, Some((14, 3)));
}

/// The peer's window is a limit to the byte; what lies beyond waits.
#[test]
fn the_window_is_a_limit() {
    let mut w = Wire::connected_to(config(), "win 2500 <mss 1000>");
    w.write(5000);
    w.sees(". 1:1001(1000) ack 1");
    w.sees(". 1001:2001(1000) ack 1");
    let rest: usize = w.drain().iter().map(|segment| segment.len).sum();
    assert!(rest <= 500);
    w.peer(". 1:1(0) ack 2001 win 2500");
    let ends = w.drain().iter().map(|segment| segment.seq + segment.len as i64).max();
    assert!(ends <= Some(4501), "{ends:?}");
}

/// A connection whose peer has closed its window while 2,000 bytes wait.
fn closed_window() -> Wire {
    let mut w = Wire::connected();
    w.peer(". 1:1(0) ack 1 win 0");
    w.write(2000);
    w
}

/// MUST-35, MUST-36, SHLD-29, SHLD-30: a closed window is probed though nothing is outstanding; the first time after an
/// RTO, then at doubling gaps up to the longest.
#[test]
fn a_closed_window_is_probed() {
    let mut w = closed_window();
    for gap in [
        200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 102_400, 120_000, 120_000,
    ] {
        w.after(ms(gap));
        w.sees(". 0:0(0) ack 1"); // old: it must be answered
        w.quiet();
        w.peer(". 1:1(0) ack 1 win 0");
    }
    w.peer(". 1:1(0) ack 1 win 1000");
    w.sees(". 1:1001(1000) ack 1");
    w.quiet();
}

/// MUST-37: as long as the probes are answered the connection stays, for hours.
#[test]
fn hours_at_a_closed_window() {
    let mut w = closed_window();
    for _ in 0..24 * 60 {
        for (_, _probe) in w.elapse(secs(60)) {
            w.peer(". 1:1(0) ack 1 win 0");
        }
    }
    assert_eq!(w.state(), State::Established);
    w.peer(". 1:1(0) ack 1 win 65535");
    assert_eq!(w.drain().len(), 2);
}

/// MUST-20: probes that nobody answers end the connection like any silence.
#[test]
fn unanswered_probes_end_the_connection() {
    let mut w = closed_window();
    w.elapse(secs(700));
    assert_eq!(w.state(), State::Established);
    w.elapse(secs(500));
    assert_eq!((w.state(), w.take_error()), (State::Closed, Some(Error::TimedOut)));
}

/// 6429-1: a closed user's connection does not probe for ever, though answered.
#[test]
fn an_orphan_does_not_probe_for_ever() {
    let mut w = closed_window();
    w.close();
    for _ in 0..10 {
        for (_, _probe) in w.elapse(secs(60)) {
            w.peer(". 1:1(0) ack 1 win 0");
        }
    }
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
}

/// A FIN waits for the window like text, and is probed for.
#[test]
fn a_fin_behind_a_closed_window() {
    let mut w = Wire::connected();
    w.peer(". 1:1(0) ack 1 win 0");
    w.shutdown(ustcp_proto::Shutdown::Write);
    w.after(ms(200));
    w.sees(". 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1 win 10");
    w.sees("F. 1:1(0) ack 1");
}

/// MUST-34, SHLD-15, SHLD-16: the peer takes back window that is in use. Nothing new goes until it opens beyond what
/// went before.
#[test]
fn a_shrunk_window() {
    let mut w = Wire::connected();
    w.write(20_000);
    assert_eq!(w.drain().len(), 10);
    w.peer(". 1:1(0) ack 1001 win 2000");
    w.quiet();
    w.peer(". 1:1(0) ack 2001 win 1000");
    w.quiet();
    let rto = w.info().rto;
    w.after(rto);
    w.sees(". 2001:3001(1000) ack 1"); // old text within the window goes again
    w.peer(". 1:1(0) ack 10001 win 5000");
    let ends = w.drain().iter().map(|segment| segment.seq + segment.len as i64).max();
    assert!(ends > Some(10_001) && ends <= Some(15_001), "{ends:?}");
}

/// MUST-38: a window that opens a few bytes at a time is not filled a few bytes at a time.
#[test]
fn the_sender_avoids_silly_segments() {
    let mut w = closed_window();
    for window in (50..1000).step_by(50) {
        w.peer(&format!(". 1:1(0) ack 1 win {window}"));
        w.quiet();
    }
    w.peer(". 1:1(0) ack 1 win 1000");
    w.sees(". 1:1001(1000) ack 1");
}

/// MUST-38: half of the largest window ever seen is worth a segment, for a peer whose windows are all small.
#[test]
fn half_of_a_small_window_is_worth_sending() {
    let mut w = Wire::connected_to(config(), "win 600 <mss 1000>");
    w.write(5000);
    w.sees(". 1:301(300) ack 1");
    w.sees(". 301:601(300) ack 1");
    w.peer(". 1:1(0) ack 601 win 200");
    w.quiet();
    w.peer(". 1:1(0) ack 601 win 300");
    w.sees(". 601:901(300) ack 1");
}

/// As Linux: the windows of a listener's connection count from the acknowledgement on, not from the SYN.
#[test]
fn the_window_of_a_syn_is_soon_forgotten() {
    let mut w = Wire::listening(config(), 8);
    w.peer("S 0:0(0) win 60000 <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1 win 1000");
    w.accept();
    w.write(1000);
    w.sees(". 1:501(500) ack 1");
    w.sees("P. 501:1001(500) ack 1");
}

/// MUST-38: the override timer: in the end even a silly window is used.
#[test]
fn a_small_window_is_used_in_the_end() {
    let mut w = closed_window();
    w.peer(". 1:1(0) ack 1 win 50");
    let sent = w.elapse(secs(2));
    assert!(sent.iter().any(|(_, segment)| segment.len == 50), "{sent:?}");
}

/// A connection whose buffer of 10,000 bytes the peer has filled, all acknowledged.
fn full() -> Wire {
    let mut config = config();
    config.receive_buffer = 10_000;
    config.mtu = 1040; // ten whole segments, so that the SYN can tell all of it
    let mut w = Wire::connected_to(config, PLAIN);
    for first in (1..10_001).step_by(1000) {
        w.peer(&format!(". {first}:{}(1000) ack 1", first + 1000));
    }
    // As Linux: what leaves less room than was told waits for the reader, or for its time.
    let sent = w.elapse(ms(50));
    let (_, last) = sent.last().expect("the buffer is full");
    assert_eq!((last.ack, last.win), (Some(10_001), Some(0)));
    w.quiet();
    w
}

/// MUST-39: reading byte by byte opens the window in steps worth announcing.
#[test]
fn the_receiver_avoids_silly_windows() {
    let mut w = full();
    let mut updates = Vec::new();
    for _ in 0..10_000 {
        assert_eq!(w.read(1), Ok(1));
        updates.extend(w.drain().iter().map(|segment| segment.win.expect("a window")));
    }
    assert!(!updates.is_empty() && updates.len() <= 8, "{updates:?}");
    let mut before = 0;
    for window in updates {
        assert!(window >= before + 1000, "{before} then {window}");
        before = window;
    }
}

/// MUST-39: one read of all tells the peer at once.
#[test]
fn a_large_read_opens_the_window_at_once() {
    let mut w = full();
    assert_eq!(w.read(10_000), Ok(10_000));
    w.sees(". 1:1(0) ack 10001 win 10000");
    w.quiet();
}

/// A window probe of either kind is answered with the window as it is.
#[test]
fn probes_of_the_peer_are_answered() {
    let mut w = full();
    w.peer(". 10000:10000(0) ack 1");
    w.sees(". 1:1(0) ack 10001 win 0");
    w.after(secs(1));
    w.peer(". 10001:10002(1) ack 1");
    w.sees(". 1:1(0) ack 10001 win 0");
    w.after(secs(1));
    w.peer(". 10000:10001(1) ack 1");
    w.sees(". 1:1(0) ack 10001 win 0");
    assert_eq!(w.stack.queued_in(w.id()), Ok(10_000));
}

/// SHLD-14, 7323-12: whatever is read or not, the right edge never moves to the left; with a scale no further than its
/// rounding, which RFC 7323 §2.4 grants to a receiver whose buffer is full.
#[test]
fn the_right_edge_never_moves_left() {
    for (buffer, offer) in [
        (30_000, "win 65535 <mss 1000>"),
        (8 << 20, "win 65535 <mss 1000,ws 7>"),
        (100_000, "win 65535 <mss 1000,ws 0>"),
    ] {
        let mut config = config();
        config.receive_buffer = buffer;
        let mut w = Wire::connected_to(config, offer);
        let scale = w.info().window_scale.map_or(0, |(_, ours)| ours);
        let (mut next, mut edge) = (1, 0);
        for step in 0..2000 {
            let len = (1 + step * 7 % 999).min(i64::from(w.info().rcv_wnd));
            w.peer(&format!(". {next}:{}({len}) ack 1", next + len));
            next += len;
            if step % 3 == 0 {
                let _maybe_nothing = w.read(usize::try_from(step % 700).expect("positive"));
            }
            for (_, ack) in w.elapse(ms(50)) {
                let right = ack.ack.expect("ack") + (i64::from(ack.win.expect("win")) << scale);
                assert!(right + (1 << scale) > edge, "step {step}: {edge} then {right}");
                edge = edge.max(right);
            }
        }
        assert!(edge > 30_000);
    }
}

/// SHLD-14: a buffer made smaller takes back nothing that was announced.
#[test]
fn a_smaller_buffer_takes_nothing_back() {
    let mut config = config();
    config.receive_buffer = 30_000;
    config.mtu = 1040;
    let mut w = Wire::connected_to(config, PLAIN);
    w.set(|options| options.receive_buffer = Some(3000));
    for first in (1..20_000).step_by(1000) {
        w.peer(&format!(". {first}:{}(1000) ack 1", first + 1000));
        for (_, ack) in w.elapse(ms(40)) {
            assert_eq!(ack.ack.expect("ack") + i64::from(ack.win.expect("win")), 30_001);
        }
        assert_eq!(w.read(1000), Ok(1000));
    }
}

/// SHLD-14, RFC 7323 §2.4: nor does what the scale rounds off add up, segment after segment.
#[test]
fn a_smaller_buffer_takes_nothing_back_when_the_window_is_scaled() {
    let mut config = config();
    config.receive_buffer = 512 * 1024;
    let mut w = Wire::connected_to(config, "win 65535 <mss 1460,ws 0>");
    w.set(|options| options.receive_buffer = Some(3000));
    let (mut widest, unit) = (0, 16);
    for first in (1..60_001).step_by(1001) {
        w.peer(&format!(". {first}:{}(1001) ack 1", first + 1001));
        for (_, ack) in w.elapse(ms(40)) {
            let edge = ack.ack.expect("ack") + i64::from(ack.win.expect("win")) * unit;
            widest = edge.max(widest);
            assert!(edge > widest - unit, "{edge} after {widest}");
        }
        assert_eq!(w.read(2000), Ok(1001));
    }
    assert!(widest > 60_000, "a window that is scaled: {widest}");
}

/// RFC 9293 §3.10.7.4 fifth: an older segment does not set the window.
#[test]
fn an_older_segment_does_not_set_the_window() {
    let mut w = Wire::connected();
    w.peer("P. 11:21(10) ack 1 win 5000");
    assert_eq!(w.info().snd_wnd, 5000);
    w.peer("P. 1:11(10) ack 1 win 100"); // sent before, arrived after
    assert_eq!(w.info().snd_wnd, 5000);
    w.peer(". 21:21(0) ack 1 win 4000");
    assert_eq!(w.info().snd_wnd, 4000);
}

/// MAY-8: a reader who never reads keeps the window closed for hours, and the connection alive.
#[test]
fn a_reader_who_never_reads() {
    let mut w = full();
    for _ in 0..120 {
        w.after(secs(60));
        w.peer(". 10000:10000(0) ack 1");
        w.sees(". 1:1(0) ack 10001 win 0");
    }
    assert_eq!((w.state(), w.read(99_999)), (State::Established, Ok(10_000)));
}

/// The send buffer is bounded, and its room is told by readiness: writable again when a third is free.
#[test]
fn the_send_buffer_is_bounded() {
    let mut config = config();
    config.send_buffer = 3000;
    let mut w = Wire::connected_to(config, PLAIN);
    assert_eq!(w.try_write(5000), Ok(3000));
    assert_eq!(w.try_write(1), Err(Error::WouldBlock));
    assert!(!w.readiness().writable);
    assert_eq!(w.drain().len(), 3);
    w.peer(". 1:1(0) ack 501");
    assert!(!w.readiness().writable);
    w.peer(". 1:1(0) ack 1001");
    assert!(w.readiness().writable);
    assert_eq!(w.try_write(5000), Ok(1000));
}

/// What our SYN-ACK could not say of a large buffer is told with the first acknowledgement, not in a segment of its own.
#[test]
fn a_reader_at_the_start_sends_no_update() {
    let config = Config {
        receive_buffer: 1 << 20,
        ..config()
    };
    let mut w = Wire::listening(config, 8);
    w.peer("S 0:0(0) win 65535 <mss 1000,ws 4>");
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    w.accept();
    w.peer("P. 1:101(100) ack 1");
    assert_eq!(w.read(100), Ok(100));
    w.sees(". 1:1(0) ack 101"); // the text's, as Linux: it was less than a segment, and all is read
    w.quiet();
    w.write(5);
    w.sees("P. 1:6(5) ack 101");
    assert_eq!(w.info().rcv_wnd, 1 << 20);
}

/// SWS sender rule 4, RFC 9293 §3.8.6.2.1: a window too small to be worth filling is filled when the override timer says
/// so, however often the peer repeats that it is small.
#[test]
fn a_talkative_peer_does_not_stop_the_override_timer() {
    let mut w = Wire::connected_to(config(), "win 65535 <mss 1000>");
    w.write(4000);
    w.drain();
    w.peer(". 1:1(0) ack 4001 win 500");
    w.write(3000);
    w.quiet();
    let mut sent = Vec::new();
    for seq in 1..10 {
        w.peer(&format!("P. {seq}:{}(1) ack 4001 win 500", seq + 1));
        sent.extend(w.elapse(ms(100)).into_iter().filter(|(_, segment)| segment.len > 0));
    }
    assert_eq!(sent.first().map(|(_, segment)| segment.len), Some(500));
}

/// A connection that once moved much and has moved little for a while holds what little needs.
#[test]
fn buffers_shrink_with_what_they_hold() {
    let config = Config {
        send_buffer: 1 << 20,
        receive_buffer: 1 << 20,
        ..config()
    };
    let mut w = Wire::connected_to(config, "win 65535 <mss 1000,ws 7>");
    w.write(500_000);
    let mut acked = 1;
    while acked < 500_001 {
        acked = w
            .drain()
            .iter()
            .map(|sent| sent.seq + i64::try_from(sent.len).unwrap())
            .max()
            .unwrap();
        w.peer(&format!(". 1:1(0) ack {acked}"));
    }
    let large = w.stack.census().buffer_bytes;
    for _ in 0..3 {
        w.write(100);
        w.drain();
        acked += 100;
        w.peer(&format!(". 1:1(0) ack {acked}"));
        w.elapse(ms(900)); // less, and it were idle
    }
    let small = w.stack.census().buffer_bytes;
    assert!(large >= 500_000 && small < 20_000, "{large}, then {small}");
}

/// So does one that has read all but a byte of it.
#[test]
fn buffers_shrink_around_an_unread_byte() {
    let config = Config {
        receive_buffer: 1 << 20,
        ..config()
    };
    let mut w = Wire::connected_to(config, "win 65535 <mss 1000,ws 7>");
    w.peer(". 1:60001(60000) ack 1");
    assert_eq!(w.read(59_999), Ok(59_999));
    let large = w.stack.census().buffer_bytes;
    for _ in 0..3 {
        w.elapse(ms(1000));
    }
    let small = w.stack.census().buffer_bytes;
    assert!(large >= 60_000 && small < 20_000, "{large}, then {small}");
}

/// MAY-7: the window is taken back altogether: what was sent goes again nevertheless, which asks as well as a probe does.
#[test]
fn what_lies_beyond_a_shrunk_window_goes_again() {
    let mut w = Wire::connected();
    w.write(5000);
    assert_eq!(w.drain().len(), 5);
    w.peer(". 1:1(0) ack 1 win 0");
    let rto = w.info().rto;
    w.after(rto);
    w.sees(". 1:1001(1000) ack 1");
    w.peer(". 1:1(0) ack 5001 win 5000");
    assert_eq!(w.stack.queued_out(w.id()), Ok(0));
}
