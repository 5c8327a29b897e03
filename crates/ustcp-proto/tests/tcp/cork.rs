//! What the user says about small segments: `TCP_CORK`, `MSG_MORE`, `TCP_NODELAY` on top, `TCP_NOTSENT_LOWAT`.

use ustcp_proto::{Error, Framing, Shutdown};

use crate::wire::*;

const MORE: Framing = Framing {
    more: true,
    ends_record: false,
    urgent: false,
};

const RECORD: Framing = Framing {
    more: false,
    ends_record: true,
    urgent: false,
};

fn corked() -> Wire {
    let mut w = Wire::connected();
    w.set(|options| options.cork = true);
    w
}

/// Writes the next `len` bytes with `MSG_MORE`.
fn write_more(w: &mut Wire, seq: i64, len: usize) {
    let data = text(seq, len);
    assert_eq!(w.stack.send_framed(w.now, w.id(), &data, MORE), Ok(len));
}

/// Records (`MSG_EOR`): nothing of two of them in one segment, whether sent for the first time or again.
#[test]
fn records_share_no_segment() {
    let mut w = Wire::connected_to(config(), "win 2000 <mss 1000>");
    w.write(2000); // the window is full
    assert_eq!(w.drain().len(), 2);
    let (now, id) = (w.now, w.id());
    for (seq, len) in [(2001, 1300), (3301, 10), (3311, 20)] {
        assert_eq!(w.stack.send_framed(now, id, &text(seq, len), RECORD), Ok(len));
    }
    w.peer(". 1:1(0) ack 2001 win 10000");
    w.sees(". 2001:3001(1000) ack 1");
    w.sees("P. 3001:3301(300) ack 1");
    w.sees("P. 3301:3311(10) ack 1");
    w.quiet(); // the last one waits as Nagle has it
    w.peer(". 1:1(0) ack 3311 win 10000");
    w.sees("P. 3311:3331(20) ack 1");
}

/// MAY-16: less than a segment waits under the cork, full ones go, and pulling it lets the rest go.
#[test]
fn a_cork() {
    let mut w = corked();
    w.write(10);
    w.quiet();
    w.write(2000);
    w.sees(". 1:1001(1000) ack 1");
    w.sees(". 1001:2001(1000) ack 1");
    w.quiet();
    w.peer(". 1:1(0) ack 2001");
    w.quiet();
    w.set(|options| options.cork = false);
    w.sees("P. 2001:2011(10) ack 1");
}

/// MUST-60: not for ever: after a retransmission timeout, 200 ms here, what waits goes; and so again what comes later.
#[test]
fn a_cork_holds_for_200_ms() {
    let mut w = corked();
    assert_eq!(w.info().rto, ms(200));
    for seq in [1, 11, 21] {
        w.write(10);
        w.after(ms(200));
        w.sees(&format!("P. {seq}:{}(10) ack 1", seq + 10));
        w.peer(&format!(". 1:1(0) ack {}", seq + 10));
        w.quiet();
    }
}

/// Nothing holds back a FIN, nor what goes with it.
#[test]
fn a_fin_pulls_the_cork() {
    let mut w = corked();
    w.write(10);
    w.quiet();
    w.shutdown(Shutdown::Write);
    w.sees("FP. 1:11(10) ack 1");
}

/// As Linux: `TCP_NODELAY` set under a cork lets out what waits, and nothing that comes later.
#[test]
fn no_delay_pushes_once() {
    let mut w = corked();
    w.write(10);
    w.quiet();
    w.set(|options| options.no_delay = true);
    w.sees("P. 1:11(10) ack 1");
    w.write(10);
    w.quiet();
    w.set(|options| options.cork = false);
    w.sees("P. 11:21(10) ack 1");
}

/// MAY-15, MAY-16: `MSG_MORE` and a write without it become one segment.
#[test]
fn more_and_a_write() {
    let mut w = Wire::connected();
    write_more(&mut w, 1, 10);
    w.quiet();
    write_more(&mut w, 11, 10);
    w.quiet();
    let data = text(21, 10);
    assert_eq!(w.stack.send(w.now, w.id(), &data), Ok(10));
    w.sees("P. 1:31(30) ack 1");
}

/// MUST-60: `MSG_MORE` with nothing after it goes by itself.
#[test]
fn more_that_does_not_come() {
    let mut w = Wire::connected();
    write_more(&mut w, 1, 10);
    w.after(ms(200));
    w.sees("P. 1:11(10) ack 1");
}

/// As Linux: it holds until something comes from the peer.
#[test]
fn more_until_the_peer_speaks() {
    let mut w = Wire::connected();
    write_more(&mut w, 1, 10);
    w.quiet();
    w.peer("P. 1:101(100) ack 1");
    w.sees("P. 1:11(10) ack 101");
}

/// Full segments do not wait for more.
#[test]
fn full_segments_of_more() {
    let mut w = Wire::connected();
    write_more(&mut w, 1, 1500);
    w.sees(". 1:1001(1000) ack 1");
    w.quiet();
    w.peer(". 1:1(0) ack 1001");
    w.sees("P. 1001:1501(500) ack 1");
}

/// api-3: `TCP_NOTSENT_LOWAT` takes bytes while fewer wait to be sent, and poll says so with room for twice as many.
#[test]
fn not_sent_low_water() {
    let mut w = Wire::connected();
    w.set(|options| options.notsent_low = 3000);
    w.peer(". 1:1(0) ack 1 win 2000");
    assert_eq!(w.try_write(100_000), Ok(3000));
    w.sees(". 1:1001(1000) ack 1");
    w.sees(". 1001:2001(1000) ack 1");
    w.quiet();
    assert_eq!(w.info().notsent, 1000);
    assert!(w.readiness().writable);
    assert_eq!(w.try_write(100_000), Ok(2000));
    assert!(!w.readiness().writable);
    assert_eq!(w.try_write(1), Err(Error::WouldBlock));
    w.peer(". 1:1(0) ack 2001 win 1000");
    w.sees(". 2001:3001(1000) ack 1");
    assert!(!w.readiness().writable, "2,000 wait, and twice that is not below 3,000");
    assert_eq!(w.try_write(100_000), Ok(1000), "send is less strict");
    w.peer(". 1:1(0) ack 3001 win 65535");
    w.drain();
    assert!(w.readiness().writable);
}

/// What is sent tells pollers that more may be written.
#[test]
fn sending_makes_room_below_low_water() {
    let mut w = Wire::connected();
    w.set(|options| options.notsent_low = 1);
    while w.stack.poll_ready().is_some() {}
    w.write(500);
    assert!(!w.readiness().writable);
    w.sees("P. 1:501(500) ack 1");
    w.quiet();
    assert!(w.readiness().writable);
    assert_eq!(w.stack.poll_ready(), Some(w.id()));
}

/// The configuration's mark counts where the socket has none (`tcp_notsent_lowat`).
#[test]
fn not_sent_low_water_of_the_configuration() {
    let mut low = config();
    low.notsent_low = 2000;
    let mut w = Wire::connected_to(low, PLAIN);
    w.peer(". 1:1(0) ack 1 win 0");
    assert_eq!(w.try_write(100_000), Ok(2000));
    assert_eq!(w.try_write(1), Err(Error::WouldBlock));
}
