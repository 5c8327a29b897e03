//! Keepalive: RFC 9293 §3.8.4.

use ustcp_proto::{Error, State};

use crate::wire::*;

fn kept_alive() -> Wire {
    let mut w = Wire::connected();
    w.set(|options| {
        options.keepalive = true;
        options.keepalive_idle = secs(10);
        options.keepalive_interval = secs(3);
        options.keepalive_count = 4;
    });
    w
}

/// MUST-25: nobody asks unless told to.
#[test]
fn off_by_default() {
    let mut w = Wire::connected();
    w.after(secs(24 * 3600));
    w.quiet();
    assert_eq!(w.stack.census().timers, 0);
}

/// MUST-24, MUST-28, MAY-5: switched on it asks after two hours by default, and stops when switched off.
#[test]
fn two_hours_by_default() {
    let mut w = Wire::connected();
    w.set(|options| options.keepalive = true);
    w.after(secs(7200));
    w.sees(". 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    w.set(|options| options.keepalive = false);
    w.after(secs(100_000));
    w.quiet();
}

/// MUST-27, SHLD-12: idle time and interval are exact; a probe is an old number and no text.
#[test]
fn probes_at_their_interval_and_then_the_end() {
    let mut w = kept_alive();
    w.after(secs(10));
    w.sees(". 0:0(0) ack 1");
    for _ in 1..4 {
        w.after(secs(3));
        w.sees(". 0:0(0) ack 1");
        w.quiet();
    }
    w.after(secs(3));
    w.drain();
    assert_eq!((w.state(), w.take_error()), (State::Closed, Some(Error::TimedOut)));
}

/// MUST-29: all but one of the probes may be lost.
#[test]
fn the_last_probe_is_answered() {
    let mut w = kept_alive();
    w.elapse(secs(10 + 3 * 3));
    w.peer(". 1:1(0) ack 1");
    w.after(secs(10));
    w.sees(". 0:0(0) ack 1");
    assert_eq!(w.state(), State::Established);
}

/// MUST-26: whatever comes from the peer starts the idle time again.
#[test]
fn the_clock_starts_with_the_last_word() {
    let mut w = kept_alive();
    w.after(secs(9));
    w.peer(". 1:1(0) ack 1");
    w.after(secs(9));
    w.peer("P. 1:2(1) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 2");
    w.after(secs(10) - ms(40));
    w.sees(". 0:0(0) ack 2");
}

/// MUST-26: while text of ours is unacknowledged its own timer watches.
#[test]
fn no_probe_while_text_is_outstanding() {
    let mut w = kept_alive();
    w.write(10);
    for (_, segment) in w.elapse(secs(60)) {
        assert_eq!(segment.len, 10);
    }
    assert_eq!(w.state(), State::Established);
}

/// A peer that has lost the connection says so.
#[test]
fn a_probe_answered_by_rst() {
    let mut w = kept_alive();
    w.after(secs(10));
    w.sees(". 0:0(0) ack 1");
    w.peer("R 1:1(0)");
    assert_eq!(w.take_error(), Some(Error::ConnectionReset));
}

/// Keepalive set before connect counts from the handshake.
#[test]
fn keepalive_set_before_connect() {
    let mut w = Wire::new(config(), WE_CONNECT);
    let id = w.fresh();
    let mut options = w.stack.options(id).expect("options");
    options.keepalive = true;
    options.keepalive_idle = secs(5);
    w.stack.set_options(w.now, id, options).expect("set");
    w.use_socket(id);
    w.stack
        .bind(id, core::net::SocketAddr::new(OURS, w.ports.0))
        .expect("bind");
    let _in_progress = w.stack.connect(w.now, id, core::net::SocketAddr::new(PEERS, SERVER));
    w.sees("S 0:0(0)");
    w.peer("S. 0:0(0) ack 1 <mss 1000>");
    w.sees(". 1:1(0) ack 1");
    w.after(secs(5));
    w.sees(". 0:0(0) ack 1");
}
