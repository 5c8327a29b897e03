//! Opening: RFC 9293 §3.5.

use core::net::SocketAddr;

use ustcp_proto::{Cause, Config, Error, Shutdown, State};

use crate::wire::*;

/// MUST-14, SHLD-5: the three-way handshake from our side; connect tells its story once.
#[test]
fn we_open_and_the_peer_answers() {
    let mut w = Wire::new(config(), WE_CONNECT);
    w.connect();
    let remote = SocketAddr::new(PEERS, SERVER);
    assert_eq!(w.state(), State::SynSent);
    assert_eq!(w.stack.connect(w.now, w.id(), remote), Err(Error::AlreadyInProgress));
    assert!(!w.readiness().writable && !w.readiness().readable && !w.readiness().hang_up);

    w.sees("S 0:0(0) win 65535 <mss 1460,sackOK,ws 3>");
    w.quiet();
    w.peer("S. 0:0(0) ack 1 win 65535 <mss 1460>");
    w.sees(". 1:1(0) ack 1 <>");
    w.quiet();

    assert_eq!(w.state(), State::Established);
    assert!(w.readiness().writable && !w.readiness().readable);
    assert_eq!(w.stack.connect(w.now, w.id(), remote), Ok(()));
    assert_eq!(w.stack.connect(w.now, w.id(), remote), Err(Error::AlreadyConnected));
    assert_eq!(w.stack.peer_address(w.id()), Ok(remote));
    assert_eq!(
        w.arrows(),
        [
            (State::Closed, Cause::ActiveOpen, State::SynSent),
            (State::SynSent, Cause::PeerSynAck, State::Established)
        ]
    );
    assert_eq!(
        (w.stack.counters().active_opens, w.stack.counters().established),
        (1, 1)
    );
}

/// The three-way handshake from the peer's side; the connection is a socket of its own, and the listener goes on.
#[test]
fn the_peer_opens_and_we_answer() {
    let mut w = Wire::listening(config(), 8);
    w.events();
    assert_eq!(w.stack.accept(w.listener()), Err(Error::WouldBlock));
    w.peer("S 0:0(0) win 65535 <mss 1460>");
    w.sees("S. 0:0(0) ack 1 win 65535 <mss 1460>");
    assert_eq!(w.stack.census().half_open, 1);
    assert_eq!(w.stack.accept(w.listener()), Err(Error::WouldBlock));

    let before = w.stack.readiness(w.listener()).expect("ready").arrivals;
    w.peer(". 1:1(0) ack 1");
    let ready = w.stack.readiness(w.listener()).expect("ready");
    assert!(ready.readable && ready.arrivals != before);
    assert_eq!(w.stack.census().unaccepted, 1);
    w.accept();
    w.quiet();
    assert_eq!(w.state(), State::Established);
    assert_eq!(w.stack.state(w.listener()), Ok(State::Listen));
    assert_eq!(w.stack.local_address(w.id()), Ok(SocketAddr::new(OURS, SERVER)));
    assert_eq!(
        w.arrows(),
        [
            (State::Listen, Cause::PeerSyn, State::SynReceived),
            (State::SynReceived, Cause::OurSynAcked, State::Established)
        ]
    );
}

/// The ACK of the handshake may carry text, and even the FIN.
#[test]
fn the_last_segment_of_the_handshake_brings_text_and_fin() {
    let mut w = Wire::half_open(config());
    w.peer("FP. 1:11(10) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 12");
    w.accept();
    assert_eq!(w.state(), State::CloseWait);
    assert_eq!((w.read(100), w.read(100)), (Ok(10), Ok(0)));
}

/// Text with the SYN-ACK is taken.
#[test]
fn a_syn_ack_brings_text() {
    let mut w = Wire::connecting(config());
    w.peer("S. 0:5(5) ack 1 win 65535 <mss 1000>");
    w.sees(". 1:1(0) ack 6");
    assert_eq!(w.read(100), Ok(5));
}

/// MUST-10: both SYNs cross. One connection, the same ISN in SYN and SYN-ACK.
#[test]
fn both_open_at_once() {
    let mut w = Wire::connecting(config());
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    assert_eq!(w.state(), State::SynReceived);
    w.sees("S. 0:0(0) ack 1 <mss 1460>");
    w.peer("S. 0:0(0) ack 1 win 65535 <mss 1000>");
    assert_eq!(w.state(), State::Established);
    w.sees(". 1:1(0) ack 1"); // as Linux: the SYN is old
    w.quiet();
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    assert_eq!(
        w.arrows(),
        [
            (State::Closed, Cause::ActiveOpen, State::SynSent),
            (State::SynSent, Cause::PeerSyn, State::SynReceived),
            (State::SynReceived, Cause::OurSynAcked, State::Established)
        ]
    );
}

/// MUST-10: the peer may also finish a simultaneous open by a bare ACK.
#[test]
fn a_simultaneous_open_ends_by_a_bare_ack() {
    let mut w = Wire::connecting(config());
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    assert_eq!(w.state(), State::Established);
    w.quiet();
}

/// MUST-10, MUST-22: the SYN-ACK of a simultaneous open is repeated like any SYN.
#[test]
fn the_syn_ack_of_a_simultaneous_open_is_sent_again() {
    let mut w = Wire::connecting(config());
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    w.after(secs(1));
    w.sees("S. 0:0(0) ack 1");
    w.after(secs(2));
    w.sees("S. 0:0(0) ack 1");
}

/// RFC 9293 §3.10.7.3: what comes with a SYN that acknowledges nothing waits until the connection is established: the
/// peer sends it again.
#[test]
fn a_fin_with_the_syn_of_a_simultaneous_open_does_not_close() {
    let mut w = Wire::connecting(config());
    w.peer("SF 0:0(0) win 65535 <mss 1000>");
    assert_eq!(w.state(), State::SynReceived);
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    assert_eq!(w.state(), State::Established);
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 1:1(0) ack 2");
    assert_eq!(w.state(), State::CloseWait);
}

/// FSM-3: RST is believed only if it acknowledges our SYN.
#[test]
fn the_peer_refuses() {
    let mut w = Wire::connecting(config());
    w.peer("R 0:0(0)");
    assert_eq!(w.state(), State::SynSent);
    w.peer("R. 0:0(0) ack 0");
    assert_eq!(w.state(), State::SynSent);
    w.peer("R. 0:0(0) ack 2");
    assert_eq!(w.state(), State::SynSent);
    w.quiet();
    w.peer("R. 0:0(0) ack 1");
    assert_eq!(w.state(), State::Closed);
    w.quiet();
    let ready = w.readiness();
    assert!(ready.readable && ready.writable && ready.hang_up && ready.error);
    let remote = SocketAddr::new(PEERS, SERVER);
    assert_eq!(w.stack.connect(w.now, w.id(), remote), Err(Error::ConnectionRefused));
    assert_eq!(w.stack.counters().attempt_fails, 1);
    // The socket may try again.
    assert_eq!(w.stack.connect(w.now, w.id(), remote), Err(Error::InProgress));
    w.sees("S 0:0(0)");
}

/// FSM-3: an ACK of what was never sent is answered with RST, and the attempt goes on.
#[test]
fn an_old_acknowledgement_in_syn_sent_is_reset() {
    let mut w = Wire::connecting(config());
    for ack in [0, 2, 1000, -1000] {
        w.peer(&format!(". 5:5(0) ack {ack}"));
        w.sees(&format!("R {ack}:{ack}(0)"));
        w.peer(&format!("S. 0:0(0) ack {ack} <mss 1000>"));
        w.sees(&format!("R {ack}:{ack}(0)"));
    }
    w.quiet();
    w.peer(". 5:5(0) ack 1"); // acceptable, but no SYN: dropped
    w.quiet();
    assert_eq!(w.state(), State::SynSent);
    w.peer("S. 0:0(0) ack 1 <mss 1000>");
    w.sees(". 1:1(0) ack 1");
}

/// MUST-22, MUST-23: the SYN goes out again after 1, 3, 7, 15, 31, 63 and 127 seconds, the same each time; then connect
/// gives up, after more than 3 minutes.
#[test]
fn a_syn_that_nobody_answers() {
    let mut w = Wire::connecting(config());
    for gap in [1, 2, 4, 8, 16, 32, 64] {
        w.after(secs(gap));
        w.sees("S 0:0(0) <mss 1460,sackOK,ws 3>");
    }
    w.after(secs(119));
    assert_eq!(w.state(), State::SynSent);
    w.after(secs(1));
    w.quiet();
    assert_eq!(w.state(), State::Closed);
    assert_eq!(w.take_error(), Some(Error::TimedOut));
    assert_eq!(w.stack.census().timers, 0);
}

/// MUST-11: a SYN-ACK that nobody acknowledges goes out again, and then the half-open connection is forgotten.
#[test]
fn a_syn_ack_that_nobody_answers() {
    let mut w = Wire::half_open(config());
    for gap in [1, 2, 4, 8, 16] {
        w.after(secs(gap));
        w.sees("S. 0:0(0) ack 1 <mss 1460>");
    }
    w.after(secs(32));
    w.quiet();
    let census = w.stack.census();
    assert_eq!((census.half_open, census.timers), (0, 0));
    assert_eq!(w.stack.state(w.listener()), Ok(State::Listen));
}

/// FSM-6: our SYN-ACK was lost, and the peer's SYN comes again.
#[test]
fn a_syn_that_comes_twice_is_answered_twice() {
    let mut w = Wire::half_open(config());
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    w.sees("S. 0:0(0) ack 1 <mss 1460>");
    w.quiet();
    assert_eq!(w.stack.census().half_open, 1);
    w.peer(". 1:1(0) ack 1");
    w.accept();
}

/// FSM-6: an ACK that acknowledges anything but our SYN is answered with RST; the half-open connection stays.
#[test]
fn a_wrong_ack_in_syn_received_is_reset() {
    let mut w = Wire::half_open(config());
    for ack in [0, 2, -5, 70_000] {
        w.peer(&format!(". 1:1(0) ack {ack}"));
        w.sees(&format!("R {ack}:{ack}(0)"));
        let census = w.stack.census();
        assert_eq!((census.half_open, census.unaccepted), (1, 0), "ack {ack}");
    }
    w.peer(". 1:1(0) ack 1");
    w.accept();
    w.quiet();
}

/// The last ACK is lost, and text comes instead: it acknowledges just as well.
#[test]
fn text_completes_the_handshake() {
    let mut w = Wire::half_open(config());
    w.peer("P. 1:101(100) ack 1");
    w.accept();
    assert_eq!(w.read(1000), Ok(100));
    w.sees(". 1:1(0) ack 101");
}

/// RFC 9293 §3.10.4: close in SYN-SENT ends the attempt without a word; what comes later finds nobody.
#[test]
fn close_in_syn_sent() {
    let mut w = Wire::connecting(config());
    w.close();
    w.quiet();
    w.peer("S. 0:0(0) ack 1 <mss 1000>");
    w.sees("R 1:1(0)");
    let census = w.stack.census();
    assert_eq!((census.sockets, census.orphans, census.timers), (0, 0, 0));
    assert_eq!(w.stack.counters().attempt_fails, 1);
}

/// RFC 9293 §3.10.4: close in SYN-RECEIVED sends FIN; the SYN-ACK is still repeated with its ACK should it be lost.
#[test]
fn close_in_syn_received() {
    let mut w = Wire::connecting(config());
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    w.shutdown(Shutdown::Write);
    assert_eq!(w.state(), State::FinWait1);
    let sent = w.elapse(secs(1));
    for (_, segment) in &sent {
        assert!(
            segment.ack == Some(1),
            "a synchronized end acknowledges in every segment: {segment}"
        );
    }
    w.peer(". 1:1(0) ack 2");
    assert_eq!(w.state(), State::FinWait2);
}

/// RFC 9293 §3.10.5: abort in SYN-SENT ends the attempt without RST, for there is nobody to tell.
#[test]
fn abort_in_syn_sent() {
    let mut w = Wire::connecting(config());
    w.abort();
    w.quiet();
    assert_eq!(
        (w.state(), w.take_error()),
        (State::Closed, Some(Error::ConnectionAborted))
    );
}

/// MUST-42: many connections on one port, each its own.
#[test]
fn one_port_serves_a_thousand() {
    let mut w = Wire::listening(
        Config {
            trace: false,
            ..config()
        },
        2000,
    );
    for port in 1..=1000 {
        w.ports = Ports(SERVER, port);
        w.peer("S 0:0(0) win 65535 <mss 1000>");
        w.sees("S. 0:0(0) ack 1");
        w.peer(". 1:1(0) ack 1");
        w.accept();
        assert_eq!(w.state(), State::Established);
    }
    w.quiet();
    assert_eq!(w.stack.census().sockets, 1001);
    w.ports = Ports(SERVER, 500);
    w.peer("P. 1:2(1) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 2");
    w.quiet();
}

/// MUST-41: a second listener on a used port is refused and disturbs nobody.
#[test]
fn a_second_listener_disturbs_nobody() {
    let mut w = Wire::accepted();
    let other = w.fresh();
    assert_eq!(
        w.stack.bind(other, SocketAddr::new(OURS, SERVER)),
        Err(Error::AddressInUse)
    );
    w.peer("P. 1:2(1) ack 1");
    assert_eq!(w.read(10), Ok(1));
    w.sees(". 1:1(0) ack 2");
    w.ports = Ports(SERVER, 777);
    w.peer("S 0:0(0) <mss 1000>");
    w.ports = WE_LISTEN;
    assert_eq!(w.drain().len(), 1);
}

/// RFC 9293 §3.10.2: nothing can be written or read before the connection stands.
#[test]
fn calls_before_the_connection_stands() {
    let mut w = Wire::connecting(config());
    assert_eq!(
        (w.try_write(1), w.read(1)),
        (Err(Error::WouldBlock), Err(Error::WouldBlock))
    );
    let fresh = w.fresh();
    assert_eq!(w.stack.send(w.now, fresh, b"x"), Err(Error::BrokenPipe));
    assert_eq!(w.stack.recv(w.now, fresh, &mut [0]), Err(Error::NotConnected));
    assert_eq!(w.stack.shutdown(w.now, fresh, Shutdown::Both), Err(Error::NotConnected));
    assert_eq!(w.stack.peer_address(fresh), Err(Error::NotConnected));
    assert_eq!(w.stack.accept(fresh), Err(Error::InvalidArgument));
}

/// MUST-10, MUST-22: a peer that opens after a long silence finds all the patience for our SYN-ACK.
#[test]
fn a_late_simultaneous_open_is_patient_again() {
    let mut w = Wire::connecting(config());
    w.elapse(secs(70));
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    for gap in [1, 2, 4] {
        w.after(secs(gap));
        w.sees("S. 0:0(0) ack 1");
    }
    w.peer(". 1:1(0) ack 1");
    assert_eq!(w.state(), State::Established);
}
