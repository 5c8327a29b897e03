//! TIME-WAIT: RFC 9293 §3.6.1, RFC 1337.

use core::net::SocketAddr;

use ustcp_proto::{Census, Config, Error, Shutdown, State};

use crate::wire::*;

/// Closed by us first; the socket is given up too.
fn waiting(mut w: Wire) -> Wire {
    w.close();
    w.sees("F. 1:1(0) ack 1");
    w.peer("F. 1:1(0) ack 2");
    w.sees(". 2:2(0) ack 2");
    w.quiet();
    let census = w.stack.census();
    assert_eq!((census.time_wait, census.orphans, census.buffer_bytes), (1, 0, 0));
    w
}

/// MUST-13: 2 MSL and not a moment less; then every trace of it is gone.
#[test]
fn it_ends_on_time() {
    for time in [30, 60, 120] {
        let mut config = config();
        config.time_wait = secs(time);
        let mut w = waiting(Wire::connected_to(config, PLAIN));
        w.after(secs(time) - ms(1));
        assert_eq!(w.stack.census().time_wait, 1);
        w.after(ms(1));
        assert_eq!(w.stack.census(), Census::default());
        w.quiet();
        w.peer("F. 1:1(0) ack 2");
        w.sees("R 2:2(0)");
    }
}

/// MUST-13: our last ACK was lost: the FIN that comes again is answered, and the 2 MSL start again.
#[test]
fn a_late_fin_is_answered_and_starts_the_clock_again() {
    let mut w = waiting(Wire::connected());
    for _ in 0..3 {
        w.after(secs(50));
        w.peer("F. 1:1(0) ack 2");
        w.sees(". 2:2(0) ack 2");
        w.quiet();
    }
    w.after(secs(60) - ms(1));
    assert_eq!(w.stack.census().time_wait, 1);
    w.after(ms(1));
    assert_eq!(w.stack.census(), Census::default());
}

/// MUST-13: the same when the FIN comes again together with the text before it.
#[test]
fn a_late_fin_with_its_text() {
    let mut w = Wire::connected();
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer("FP. 1:11(10) ack 2");
    w.sees(". 2:2(0) ack 12");
    w.after(secs(59));
    w.peer("FP. 1:11(10) ack 2");
    w.sees(". 2:2(0) ack 12");
    w.after(secs(59));
    assert_eq!((w.state(), w.read(99), w.read(99)), (State::TimeWait, Ok(10), Ok(0)));
    w.after(secs(1));
    assert_eq!(w.state(), State::Closed);
}

/// ATTACK-41, 1337-1: RST does not end it, exact or not.
#[test]
fn it_cannot_be_assassinated() {
    let mut w = waiting(Wire::connected());
    for seq in [0, 1, 2, 3, 1000] {
        w.peer(&format!("R {seq}:{seq}(0)"));
        w.peer(&format!("R. {seq}:{seq}(0) ack 2"));
        w.quiet();
    }
    assert_eq!(w.stack.census().time_wait, 1);
    w.peer("F. 1:1(0) ack 2");
    w.sees(". 2:2(0) ack 2");
}

/// RFC 9293 §3.10.7.4: a bare ACK at the right place is not answered, one elsewhere a limited number of times; old text
/// always, for it is no part of a war of ACKs.
#[test]
fn old_segments_are_answered_now_and_then() {
    let mut w = waiting(Wire::connected());
    w.peer(". 2:2(0) ack 2");
    w.quiet();
    let mut answers = 0;
    for _ in 0..1000 {
        w.peer(". 0:0(0) ack 2");
        answers += w.elapse(ms(1)).len();
    }
    assert!((1..=3).contains(&answers), "{answers}");
    for _ in 0..3 {
        w.peer("P. 0:1(1) ack 2");
        w.sees(". 2:2(0) ack 2");
    }
}

/// ATTACK-42, MAY-2: a new SYN beyond the old connection takes its place where somebody listens, with an ISN beyond ours.
#[test]
fn a_new_syn_takes_its_place() {
    let mut w = waiting(Wire::accepted());
    w.peer("S 2:2(0) <mss 1000>"); // not beyond
    w.sees(". 2:2(0) ack 2");
    assert_eq!(w.stack.census().time_wait, 1);
    let old = ustcp_wire::SeqNum(w.iss()) + 2;
    let irs = PEER_ISN.wrapping_add(5000);
    w.set_peer_isn(irs);
    w.peer("S 0:0(0) <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    assert!(ustcp_wire::SeqNum(w.iss()).after(old));
    assert_eq!(w.stack.census().time_wait, 0);
    w.peer(". 1:1(0) ack 1");
    w.accept();
    assert_eq!(w.state(), State::Established);
}

/// RFC 5961 §4: where nobody listens a new SYN is answered, and TIME-WAIT goes on; so does a SYN with FIN.
#[test]
fn a_new_syn_for_nobody() {
    let mut w = waiting(Wire::connected());
    w.peer("S 5000:5000(0) <mss 1000>");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(w.stack.census().time_wait, 1);

    let mut w = waiting(Wire::accepted());
    w.peer("SF 5000:5000(0) <mss 1000>");
    w.drain();
    assert_eq!(w.stack.census().time_wait, 1);
}

/// While it lasts the pair of ends is not to be had; afterwards it is.
#[test]
fn the_port_is_free_afterwards() {
    let mut w = waiting(Wire::connected());
    let (local, remote) = (SocketAddr::new(OURS, w.ports.0), SocketAddr::new(PEERS, SERVER));
    let id = w.fresh();
    assert_eq!(w.stack.bind(id, local), Err(Error::AddressInUse));
    w.after(secs(60));
    assert_eq!(w.stack.bind(id, local), Ok(()));
    assert_eq!(w.stack.connect(w.now, id, remote), Err(Error::InProgress));
    w.sees("S 0:0(0)");
}

/// With SO_REUSEADDR on both sockets a listener may come back at once.
#[test]
fn a_listener_may_come_back_at_once() {
    let mut w = Wire::listening(config(), 8);
    let reuse = |w: &mut Wire, id| {
        let mut options = w.stack.options(id).expect("options");
        options.reuse_address = true;
        w.stack.set_options(w.now, id, options).expect("set");
    };
    let old = w.listener();
    reuse(&mut w, old);
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    w.accept();
    let mut w = waiting(w);
    w.stack.close(w.now, old).expect("close");
    let local = SocketAddr::new(OURS, SERVER);
    let id = w.fresh();
    assert_eq!(w.stack.bind(id, local), Err(Error::AddressInUse));
    reuse(&mut w, id);
    assert_eq!(w.stack.bind(id, local), Ok(()));
    assert_eq!(w.stack.listen(w.now, id, 5), Ok(()));
}

/// ATTACK-40: beyond the limit connections are closed without TIME-WAIT: better that than no memory.
#[test]
fn the_limit() {
    let config = Config {
        time_wait_limit: 3,
        trace: false,
        ..config()
    };
    let mut w = Wire::new(config, WE_CONNECT);
    for port in 40_000..40_010 {
        w.ports = Ports(port, SERVER);
        w.connect();
        w.sees("S 0:0(0)");
        w.peer("S. 0:0(0) ack 1 <mss 1000>");
        w.sees(". 1:1(0) ack 1");
        w.close();
        w.sees("F. 1:1(0) ack 1");
        w.peer("F. 1:1(0) ack 2");
        w.sees(". 2:2(0) ack 2");
    }
    let census = w.stack.census();
    assert_eq!((census.time_wait, census.sockets, census.orphans), (3, 0, 0));
    w.ports = Ports(41_000, SERVER);
    w.connect();
    w.sees("S 0:0(0)");
    w.peer("S. 0:0(0) ack 1 <mss 1000>");
    w.sees(". 1:1(0) ack 1");
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer("F. 1:1(0) ack 2");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(
        w.state(),
        State::Closed,
        "a user who still holds the socket sees that it is over"
    );
    w.close();
    w.after(secs(60));
    assert_eq!(w.stack.census(), Census::default());
}

/// A user who still holds the socket reads what came, before and after the end of TIME-WAIT.
#[test]
fn what_came_can_be_read_long_after() {
    let mut w = Wire::connected();
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer("FP. 1:101(100) ack 2");
    w.sees(". 2:2(0) ack 102");
    assert_eq!(w.read(50), Ok(50));
    w.after(secs(100));
    assert_eq!(w.state(), State::Closed);
    assert_eq!((w.read(99), w.read(99)), (Ok(50), Ok(0)));
    w.close();
    assert_eq!(w.stack.census(), Census::default());
}
