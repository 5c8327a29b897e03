//! What `TCP_INFO` tells of a connection's life.

use ustcp_proto::Phase;

use crate::wire::*;

/// A peer that knows SACK.
fn with_sack() -> Wire {
    Wire::connected_to(config(), "win 65535 <mss 1000,sackOK>")
}

/// Segments with text are counted apart, those ahead of a hole once more.
#[test]
fn segments_with_text() {
    let mut w = Wire::connected();
    w.write(2500);
    w.drain();
    w.peer("P. 1:11(10) ack 2501");
    w.peer(". 11:11(0) ack 2501");
    w.peer("P. 21:31(10) ack 2501");
    w.drain();
    let info = w.info();
    assert_eq!((info.text_segs_out, info.text_segs_in, info.out_of_order), (3, 2, 1));
}

/// The rate of delivery: what one round trip took, and that the user had no more to send.
#[test]
fn the_rate_of_delivery() {
    let mut w = Wire::connected();
    assert_eq!(w.info().delivery_rate, 0);
    w.write(2000);
    w.drain();
    w.after(ms(100));
    w.peer(". 1:1(0) ack 2001");
    let info = w.info();
    assert_eq!((info.delivery_rate, info.delivery_app_limited), (20_000, true));
}

/// Time with text to send, and of it the time that the peer's window held it up.
#[test]
fn busy_and_held_up_by_the_window() {
    let mut w = Wire::connected();
    w.after(secs(5));
    w.peer_window = 1000;
    w.peer(". 1:1(0) ack 1");
    w.write(1500);
    w.sees(". 1:1001(1000) ack 1");
    w.quiet();
    w.elapse(ms(100));
    w.peer(". 1:1(0) ack 1001");
    w.sees("P. 1001:1501(500) ack 1");
    w.quiet();
    w.elapse(ms(50));
    w.peer(". 1:1(0) ack 1501");
    w.quiet();
    w.elapse(secs(5));
    let info = w.info();
    assert_eq!(
        (info.busy, info.window_limited, info.buffer_limited),
        (ms(150), ms(100), ms(0))
    );
}

/// And the time that the send buffer did, for a user who would have written more.
#[test]
fn held_up_by_the_send_buffer() {
    let mut small = config();
    small.send_buffer = 3000;
    let mut w = Wire::connected_to(small, PLAIN);
    assert_eq!(w.try_write(10_000), Ok(3000));
    w.drain();
    w.elapse(ms(100));
    w.peer(". 1:1(0) ack 3001");
    w.quiet();
    let info = w.info();
    assert_eq!((info.busy, info.buffer_limited), (ms(100), ms(100)));
}

/// Timeouts, those in a row as one recovery, and how long until the answer.
#[test]
fn timeouts_and_their_recoveries() {
    let mut w = Wire::connected();
    w.write(10);
    w.drain();
    let rto = w.info().rto;
    w.elapse(rto + 2 * rto);
    let info = w.info();
    assert_eq!((info.timeouts, info.timeout_recoveries), (2, 1));
    assert_eq!((info.timeout_time, info.phase), (2 * rto, Phase::Loss));
    w.peer(". 1:1(0) ack 11");
    w.elapse(secs(10));
    assert_eq!(w.info().timeout_time, 2 * rto);
}

/// Loss recovery by its Linux names: open, recovery, and open again.
#[test]
fn the_phases_of_recovery() {
    let mut w = with_sack();
    w.write(10_000);
    w.drain();
    assert_eq!(w.info().phase, Phase::Open);
    w.peer(". 1:1(0) ack 1 <sack 1001:8001>");
    assert_eq!(w.info().phase, Phase::Recovery);
    w.drain();
    w.peer(". 1:1(0) ack 10001");
    assert_eq!(w.info().phase, Phase::Open);
}
