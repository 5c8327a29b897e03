//! Listeners and their two queues.

use core::net::SocketAddr;

use ustcp_proto::{Cause, Config, DropReason, Error, Shutdown, State, SynCookies};

use crate::wire::*;

/// A SYN from `port` of the peer.
fn syn_from(w: &mut Wire, port: u16) {
    w.ports = Ports(SERVER, port);
    w.peer("S 0:0(0) win 65535 <mss 1000>");
}

/// A whole handshake from `port`.
fn handshake_from(w: &mut Wire, port: u16) {
    syn_from(w, port);
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
}

/// Connections are accepted in the order in which their handshakes ended.
#[test]
fn first_come_first_served() {
    let mut w = Wire::listening(config(), 8);
    for port in [1, 2, 3] {
        syn_from(&mut w, port);
        w.sees("S. 0:0(0) ack 1");
    }
    for port in [3, 1, 2] {
        w.ports = Ports(SERVER, port);
        w.peer(". 1:1(0) ack 1");
    }
    for port in [3, 1, 2] {
        w.ports = Ports(SERVER, port);
        w.accept();
    }
    assert_eq!(w.stack.accept(w.listener()), Err(Error::WouldBlock));
    assert!(!w.stack.readiness(w.listener()).expect("ready").readable);
}

/// 4987-4: with the accept queue full a new SYN is dropped, and an ACK that would complete waits for its SYN-ACK to come
/// again; then there is room, and it works.
#[test]
fn a_full_accept_queue() {
    let mut w = Wire::listening(config(), 1);
    syn_from(&mut w, 1);
    w.sees("S. 0:0(0) ack 1");
    handshake_from(&mut w, 2);
    handshake_from(&mut w, 3);
    assert_eq!(w.stack.census().unaccepted, 2); // as Linux: a backlog of one lets two wait
    syn_from(&mut w, 4);
    w.quiet();
    w.ports = Ports(SERVER, 1);
    w.peer(". 1:1(0) ack 1"); // no room: dropped
    w.quiet();
    assert_eq!((w.drops(DropReason::Backlog), w.stack.census().half_open), (2, 1));
    w.ports = Ports(SERVER, 2);
    w.accept();
    w.ports = Ports(SERVER, 1);
    w.after(secs(1));
    w.sees("S. 0:0(0) ack 1"); // once more
    w.peer(". 1:1(0) ack 1");
    w.ports = Ports(SERVER, 3);
    w.accept();
    w.ports = Ports(SERVER, 1);
    w.accept();
    assert_eq!(w.state(), State::Established);
}

/// Half-open connections are bounded by the backlog and by the config, and cost no buffers.
#[test]
fn the_syn_queue_is_bounded() {
    for (backlog, limit) in [(8, 4096), (4096, 16)] {
        let mut config = config();
        config.syn_backlog = limit;
        config.syn_cookies = SynCookies::Never;
        config.trace = false;
        let mut w = Wire::listening(config, backlog);
        for port in 1..=1000 {
            syn_from(&mut w, port);
            w.drain();
        }
        let census = w.stack.census();
        assert!(census.half_open <= backlog.min(limit) + 1, "{}", census.half_open);
        assert_eq!(census.buffer_bytes, 0);
        assert_eq!(w.drops(DropReason::Backlog), 1000 - census.half_open as u64);
        w.elapse(secs(64));
        assert_eq!(w.stack.census().half_open, 0);
        handshake_from(&mut w, 2000);
        w.accept();
    }
}

/// Established connections do not feel a flood.
#[test]
fn a_flood_of_syns_disturbs_nobody() {
    let mut w = Wire::accepted();
    for port in 1..=5000 {
        syn_from(&mut w, port);
    }
    w.drain();
    w.ports = WE_LISTEN;
    w.peer("P. 1:11(10) ack 1");
    assert_eq!(w.read(99), Ok(10));
    w.write(5);
    assert!(w.drain().iter().any(|segment| segment.len == 5));
}

/// Closing a listener resets what waited for accept and forgets what was half open; accepted connections live on.
#[test]
fn close_of_a_listener() {
    let mut w = Wire::listening(config(), 8);
    handshake_from(&mut w, 1);
    w.accept();
    handshake_from(&mut w, 2);
    syn_from(&mut w, 3);
    w.sees("S. 0:0(0) ack 1");
    w.stack.close(w.now, w.listener()).expect("close");
    w.ports = Ports(SERVER, 2);
    w.sees("R. 1:1(0) ack 1");
    w.quiet();
    let census = w.stack.census();
    assert_eq!(
        (census.sockets, census.unaccepted, census.half_open, census.timers),
        (1, 0, 0, 0)
    );
    w.ports = Ports(SERVER, 3);
    w.peer(". 1:1(0) ack 1"); // too late
    w.sees("R 1:1(0)");
    syn_from(&mut w, 4);
    w.sees("R. 0:0(0) ack 1");
    w.ports = Ports(SERVER, 1);
    w.peer("P. 1:2(1) ack 1");
    assert_eq!(w.read(9), Ok(1));
}

/// shutdown of a listener's reading half is the end of LISTEN; of its writing half, nothing.
#[test]
fn shutdown_of_a_listener() {
    let mut w = Wire::listening(config(), 8);
    let id = w.listener();
    assert_eq!(w.stack.shutdown(w.now, id, Shutdown::Write), Ok(()));
    assert_eq!(w.stack.state(id), Ok(State::Listen));
    assert_eq!(w.stack.shutdown(w.now, id, Shutdown::Read), Ok(()));
    assert_eq!(w.stack.state(id), Ok(State::Closed));
    syn_from(&mut w, 1);
    w.sees("R. 0:0(0) ack 1");
    assert_eq!(w.stack.accept(id), Err(Error::InvalidArgument));
    assert_eq!(w.stack.listen(w.now, id, 8), Ok(()));
    handshake_from(&mut w, 1);
    w.accept();
}

/// listen again only changes the backlog.
#[test]
fn listen_twice() {
    let mut w = Wire::listening(config(), 0);
    handshake_from(&mut w, 1);
    syn_from(&mut w, 2);
    w.quiet();
    assert_eq!(w.stack.listen(w.now, w.listener(), 5), Ok(()));
    handshake_from(&mut w, 3);
    assert_eq!(w.stack.census().unaccepted, 2);
}

/// What a listener does not do.
#[test]
fn calls_on_a_listener() {
    let mut w = Wire::listening(config(), 8);
    let id = w.listener();
    assert_eq!(w.stack.send(w.now, id, b"x"), Err(Error::BrokenPipe));
    assert_eq!(w.stack.recv(w.now, id, &mut [0]), Err(Error::NotConnected));
    assert_eq!(
        w.stack.connect(w.now, id, SocketAddr::new(PEERS, 1)),
        Err(Error::AlreadyConnected)
    );
    assert_eq!(w.stack.bind(id, SocketAddr::new(OURS, 81)), Err(Error::InvalidArgument));
    assert_eq!(
        (w.stack.queued_in(id), w.stack.queued_out(id)),
        (Err(Error::InvalidArgument), Err(Error::InvalidArgument))
    );
    assert_eq!(
        (w.stack.peer_address(id), w.stack.take_error(id)),
        (Err(Error::NotConnected), Ok(None))
    );
    assert!(w.stack.info(w.now, id).is_err());
    let ready = w.stack.readiness(id).expect("ready");
    assert!(!ready.readable && !ready.writable && !ready.hang_up && !ready.error);
}

/// Accepted connections begin with their listener's options.
#[test]
fn options_are_inherited() {
    let mut w = Wire::listening(config(), 8);
    let id = w.listener();
    let mut options = w.stack.options(id).expect("options");
    options.no_delay = true;
    options.receive_buffer = Some(5000);
    options.max_segment = Some(700);
    w.stack.set_options(w.now, id, options).expect("set");
    syn_from(&mut w, 1);
    w.sees("S. 0:0(0) ack 1 win 4900 <mss 700>");
    w.peer(". 1:1(0) ack 1");
    w.accept();
    assert_eq!(w.stack.options(w.id()), Ok(options));
    w.write(1000);
    w.sees(". 1:701(700) ack 1");
}

/// Half-open connections end in the events as they began.
#[test]
fn a_forgotten_half_open_connection_is_an_event() {
    let mut w = Wire::half_open(config());
    w.events();
    w.elapse(secs(64));
    assert_eq!(w.arrows(), [(State::SynReceived, Cause::Aborted, State::Closed)]);
    assert_eq!(w.stack.counters().attempt_fails, 1);
}

/// 4987-1: SYNs that come to nothing shut out nobody who completes, without cookies too: the oldest of them makes way.
#[test]
fn a_flood_of_syns_shuts_out_nobody() {
    let config = Config {
        syn_cookies: SynCookies::Never,
        ..config()
    };
    let mut w = Wire::listening(config, 128);
    for port in 1..=200 {
        w.ports = Ports(SERVER, port);
        w.peer("S 0:0(0) win 65535 <mss 1000>");
        w.drain();
    }
    assert_eq!(w.stack.census().half_open, 129);
    w.ports = Ports(SERVER, 50_000);
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    w.accept();
    assert_eq!(w.stack.census().half_open, 128);
}
