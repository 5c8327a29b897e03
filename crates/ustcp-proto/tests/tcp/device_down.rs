//! The device is gone for good.

use core::net::SocketAddr;

use ustcp_proto::{Error, Family, State};

use crate::wire::*;

/// Everybody is told, and nothing is left to wait for.
#[test]
fn everything_ends() {
    let mut w = Wire::accepted();
    w.write(10);
    w.ports = Ports(SERVER, 5);
    w.peer("S 0:0(0) <mss 1000>");
    while w.stack.poll_ready().is_some() {}
    w.stack.on_network_down(w.now);

    assert_eq!(w.state(), State::Closed);
    let ready = w.readiness();
    assert!(ready.readable && ready.writable && ready.hang_up && ready.error);
    let told: Vec<_> = core::iter::from_fn(|| w.stack.poll_ready()).collect();
    assert!(told.contains(&w.id()) && told.contains(&w.listener()));
    w.quiet();
    w.elapse(secs(300));
    w.quiet();
    assert_eq!(w.stack.census().timers, 0);
}

/// Every call says so, each time.
#[test]
fn every_call_says_so() {
    let mut w = Wire::accepted();
    w.stack.on_network_down(w.now);
    let (now, id, listener) = (w.now, w.id(), w.listener());
    for _ in 0..2 {
        assert_eq!(w.try_write(1), Err(Error::NetworkDown));
        assert_eq!(w.read(1), Err(Error::NetworkDown));
        assert_eq!(w.stack.accept(listener), Err(Error::NetworkDown));
        assert_eq!(w.stack.socket(Family::V4), Err(Error::NetworkDown));
        assert_eq!(w.stack.listen(now, listener, 1), Err(Error::NetworkDown));
        let remote = SocketAddr::new(PEERS, 1);
        assert_eq!(w.stack.connect(now, id, remote), Err(Error::NetworkDown));
        assert_eq!(w.stack.bind(id, remote), Err(Error::NetworkDown));
    }
    assert_eq!(w.stack.close(now, id), Ok(()));
    assert_eq!(w.stack.close(now, listener), Ok(()));
    assert_eq!(w.stack.census().sockets, 0);
}

/// What had come before can still be read.
#[test]
fn bytes_that_came_before_are_read_first() {
    let mut w = Wire::accepted();
    w.peer("P. 1:11(10) ack 1");
    w.stack.on_network_down(w.now);
    assert_eq!((w.read(99), w.read(99)), (Ok(10), Err(Error::NetworkDown)));
}

/// Packets that still come in are counted and nothing else.
#[test]
fn packets_are_not_processed_any_more() {
    let mut w = Wire::listening(config(), 8);
    w.stack.on_network_down(w.now);
    let before = w.stack.counters().packets_in;
    w.peer("S 0:0(0) <mss 1000>");
    w.quiet();
    assert_eq!(w.stack.counters().packets_in, before + 1);
    assert_eq!(w.stack.census().half_open, 0);
}
