//! Nagle's algorithm as Minshall refined it, PSH, and segments as large as they can be: RFC 9293 §3.7.4, §3.9.1.2.

use crate::wire::*;

/// SHLD-7: a second small write waits for the ACK of the first.
#[test]
fn a_second_small_write_waits() {
    let mut w = Wire::connected();
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    w.write(10);
    w.write(10);
    w.quiet();
    w.peer(". 1:1(0) ack 11");
    w.sees("P. 11:31(20) ack 1");
    w.quiet();
}

/// MUST-17: TCP_NODELAY lets it go at once, also when it is set while something waits.
#[test]
fn no_delay() {
    let mut w = Wire::connected();
    w.set(|options| options.no_delay = true);
    w.write(10);
    w.write(5);
    w.sees("P. 1:16(15) ack 1");
    w.write(10);
    w.sees("P. 16:26(10) ack 1");

    let mut w = Wire::connected();
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    w.write(10);
    w.quiet();
    w.set(|options| options.no_delay = true);
    w.sees("P. 11:21(10) ack 1");
}

/// SHLD-28: a full segment never waits, and the small rest of a large write goes when nothing small is in flight.
#[test]
fn full_segments_do_not_wait() {
    let mut w = Wire::connected();
    w.write(2500);
    w.sees(". 1:1001(1000) ack 1");
    w.sees(". 1001:2001(1000) ack 1");
    w.sees("P. 2001:2501(500) ack 1");
    w.write(1200);
    w.sees(". 2501:3501(1000) ack 1");
    w.quiet(); // 200 wait: 500 small ones are in flight
    w.peer(". 1:1(0) ack 2501");
    w.sees("P. 3501:3701(200) ack 1");
}

/// MUST-61, SHLD-27: PSH on the last segment of what there is, once.
#[test]
fn push_is_on_the_last_segment() {
    let mut w = Wire::connected();
    w.peer(". 1:1(0) ack 1 win 0");
    for _ in 0..35 {
        w.write(100);
    }
    w.peer(". 1:1(0) ack 1 win 65535");
    let pushed: Vec<_> = w
        .drain()
        .iter()
        .map(|segment| (segment.len, segment.flags.has(ustcp_wire::Flags::PSH)))
        .collect();
    assert_eq!(pushed, [(1000, false), (1000, false), (1000, false), (500, true)]);
}

/// MUST-60: one byte on an idle connection goes at once.
#[test]
fn one_byte_goes_at_once() {
    let mut w = Wire::connected();
    w.write(1);
    w.sees("P. 1:2(1) ack 1");
}

/// RFC 9293 §3.7.4: a FIN does not wait for the ACK of small text, nor does the text before it.
#[test]
fn a_fin_does_not_wait() {
    let mut w = Wire::connected();
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    w.write(10);
    w.quiet();
    w.shutdown(ustcp_proto::Shutdown::Write);
    w.sees("FP. 11:21(10) ack 1");
}
