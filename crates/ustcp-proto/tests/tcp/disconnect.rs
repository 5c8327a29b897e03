//! connect with `AF_UNSPEC`: the socket begins anew.

use core::net::SocketAddr;

use ustcp_proto::{Error, Shutdown, State};

use crate::wire::*;

fn disconnect(w: &mut Wire) {
    w.stack.disconnect(w.now, w.id()).expect("disconnect");
}

/// RFC 9293 §3.10.5, as Linux: RST to the peer, `ECONNRESET` to be asked for, and the same address as before.
#[test]
fn a_connection_is_reset() {
    let mut w = Wire::connected();
    let local = w.stack.local_address(w.id());
    disconnect(&mut w);
    w.sees("R. 1:1(0) ack 1");
    assert_eq!((w.state(), w.stack.local_address(w.id())), (State::Closed, local));
    assert!(w.readiness().error);
    assert_eq!((w.take_error(), w.take_error()), (Some(Error::ConnectionReset), None));
    assert_eq!(w.stack.peer_address(w.id()), Err(Error::NotConnected));
    assert_eq!(w.stack.census().timers, 0);
}

/// The socket may connect again, from the same port.
#[test]
fn the_socket_connects_again() {
    let mut w = Wire::connected();
    disconnect(&mut w);
    w.drain();
    let remote = SocketAddr::new(PEERS, SERVER);
    assert_eq!(w.stack.connect(w.now, w.id(), remote), Err(Error::InProgress));
    w.sees("S 0:0(0)");
    w.peer(&format!("S. 0:0(0) ack 1 {PLAIN}"));
    w.sees(". 1:1(0) ack 1");
    assert_eq!(w.state(), State::Established);
}

/// An attempt ends in silence; a port of the stack's choice is free again.
#[test]
fn an_attempt_is_forgotten() {
    let mut w = Wire::new(config(), WE_CONNECT);
    let id = w.fresh();
    w.use_socket(id);
    let _in_progress = w.stack.connect(w.now, id, SocketAddr::new(PEERS, SERVER));
    w.drain();
    disconnect(&mut w);
    w.quiet();
    assert_eq!(w.take_error(), Some(Error::ConnectionReset));
    assert_eq!(w.stack.local_address(id).map(|local| local.port()), Ok(0));
}

/// TIME-WAIT goes on without the socket, and its end does not touch what the socket does by then.
#[test]
fn time_wait_stays_behind() {
    let mut w = Wire::connected();
    w.shutdown(ustcp_proto::Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer("F. 1:1(0) ack 2");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(w.state(), State::TimeWait);
    disconnect(&mut w);
    w.quiet();
    assert_eq!(
        (w.state(), w.take_error(), w.stack.census().time_wait),
        (State::Closed, None, 1)
    );
    w.stack.listen(w.now, w.id(), 1).expect("listen");
    w.elapse(secs(61));
    assert_eq!((w.state(), w.stack.census().time_wait), (State::Listen, 0));
}

/// A listener stops listening, and whoever waits for accept is reset.
#[test]
fn a_listener_stops() {
    let mut w = Wire::half_open(config());
    w.peer(". 1:1(0) ack 1");
    let id = w.listener();
    w.stack.disconnect(w.now, id).expect("disconnect");
    w.sees("R. 1:1(0) ack 1");
    assert_eq!(w.stack.state(id), Ok(State::Closed));
    w.stack.listen(w.now, id, 1).expect("listen");
}

/// As Linux: shutdown in SYN-SENT, of whichever half, is the end of the attempt, and nobody is told.
#[test]
fn shutdown_undoes_an_attempt() {
    for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
        let mut w = Wire::connecting(config());
        w.shutdown(how);
        w.quiet();
        let ready = w.readiness();
        assert!(ready.error && ready.hang_up && ready.writable && !ready.readable && !ready.read_closed);
        assert_eq!((w.state(), w.read(10)), (State::Closed, Err(Error::ConnectionReset)));
        assert_eq!(w.read(10), Err(Error::NotConnected));
        w.peer("S. 0:0(0) ack 1");
        w.sees("R 1:1(0)");
    }
}

/// Whoever waits in connect learns that the attempt was undone, and begins none of its own.
#[test]
fn an_undone_attempt_has_failed() {
    let mut w = Wire::connecting(config());
    let id = w.id();
    assert_eq!(w.stack.connected(id), Err(Error::AlreadyInProgress));
    w.shutdown(Shutdown::Both);
    assert_eq!(w.stack.connected(id), Err(Error::ConnectionReset));
    assert_eq!(w.stack.connected(id), Err(Error::ConnectionAborted));
    w.quiet();

    let mut w = Wire::connected();
    let id = w.id();
    assert_eq!(w.stack.connected(id), Ok(()));
    assert_eq!(w.stack.connected(id), Err(Error::AlreadyConnected));
}
