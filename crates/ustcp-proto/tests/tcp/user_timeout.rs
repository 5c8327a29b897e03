//! `TCP_USER_TIMEOUT`: RFC 5482 §2 as Linux has it, and `TCP_SYNCNT`.

use ustcp_proto::{Error, State};

use crate::wire::*;

/// A connection whose user waits for an answer for this long.
fn patient_for(wire: &mut Wire, seconds: u64) {
    wire.set(|options| options.user_timeout = Some(secs(seconds)));
}

#[track_caller]
fn ended_with(wire: &mut Wire, error: Error) {
    assert_eq!((wire.state(), wire.take_error()), (State::Closed, Some(error)));
}

/// MUST-21: R2 is the user's: the time counts from the first retransmission and ends between two of them.
#[test]
fn text_that_nobody_acknowledges() {
    let mut w = Wire::connected();
    patient_for(&mut w, 5);
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    let rto = w.info().rto;
    w.after(rto);
    w.sees("P. 1:11(10) ack 1");
    w.elapse(secs(5) - ms(1));
    assert_eq!(w.state(), State::Established);
    w.elapse(ms(1));
    ended_with(&mut w, Error::TimedOut);
}

/// MUST-21: longer than the configuration's R2, too.
#[test]
fn longer_than_the_default() {
    let mut w = Wire::connected();
    patient_for(&mut w, 3000);
    w.write(10);
    w.elapse(secs(2900));
    assert_eq!(w.state(), State::Established);
    w.elapse(secs(101));
    ended_with(&mut w, Error::TimedOut);
}

/// An acknowledgement of new text starts the time again.
#[test]
fn progress_is_an_answer() {
    let mut w = Wire::connected();
    patient_for(&mut w, 5);
    w.write(20);
    for end in [6, 11, 16] {
        w.elapse(secs(4));
        w.peer(&format!(". 1:1(0) ack {end}"));
    }
    w.elapse(secs(4));
    assert_eq!(w.state(), State::Established);
    w.elapse(secs(30)); // the timeout is backed off by now
    ended_with(&mut w, Error::TimedOut);
}

/// MUST-23, MUST-21: the SYN's time counts from the SYN.
#[test]
fn a_syn_that_nobody_answers() {
    let mut w = Wire::new(config(), WE_CONNECT);
    w.connect();
    patient_for(&mut w, 10);
    w.sees("S 0:0(0)");
    w.elapse(secs(10) - ms(1));
    assert_eq!(w.state(), State::SynSent);
    w.elapse(ms(1));
    ended_with(&mut w, Error::TimedOut);
}

/// 6429-1: a peer that answers every probe of its closed window, and never opens it, has the user's time and no more.
#[test]
fn a_window_that_stays_closed() {
    let mut w = Wire::connected();
    patient_for(&mut w, 30);
    w.peer(". 1:1(0) ack 1 win 0");
    w.write(10);
    let first = w.info().rto;
    let mut passed = ms(0);
    while w.state() == State::Established {
        assert!(passed <= secs(31), "it goes on for ever");
        for (_, segment) in w.elapse(ms(100)) {
            assert_eq!(segment.len, 0);
            w.peer(". 1:1(0) ack 1 win 0");
        }
        passed += ms(100);
    }
    assert!(passed >= first + secs(29) && passed <= first + secs(31), "{passed:?}");
    ended_with(&mut w, Error::TimedOut);
}

/// A window that opens in time starts the time again.
#[test]
fn a_window_that_opens() {
    let mut w = Wire::connected();
    patient_for(&mut w, 5);
    for round in 0..3 {
        let seq = 1 + 10 * round;
        w.peer(&format!(". 1:1(0) ack {seq} win 0"));
        w.write(10);
        w.elapse(secs(4));
        w.peer(&format!(". 1:1(0) ack {seq} win 1000"));
        w.sees(&format!("P. {seq}:{}(10) ack 1", seq + 10));
        w.peer(&format!(". 1:1(0) ack {}", seq + 10));
    }
    assert_eq!(w.state(), State::Established);
}

/// Keepalive ends by the user timeout instead of its count, at a probe's time: earlier or later.
#[test]
fn keepalive_by_time() {
    for (limit, ends) in [(8, 8), (17, 17), (18, 20), (40, 41)] {
        let mut w = Wire::connected();
        w.set(|options| {
            options.keepalive = true;
            options.keepalive_idle = secs(5);
            options.keepalive_interval = secs(3);
            options.keepalive_count = 2;
            options.user_timeout = Some(secs(limit));
        });
        w.elapse(secs(ends) - ms(1));
        assert_eq!(w.state(), State::Established, "{limit}");
        w.elapse(ms(1));
        ended_with(&mut w, Error::TimedOut);
    }
}

/// SHLD-25: what ICMP said before is the reason that is told.
#[test]
fn the_reason_is_what_icmp_said() {
    let mut w = Wire::connected();
    patient_for(&mut w, 5);
    w.write(10);
    let sent = w.next_packet().expect("text");
    w.inject(&icmp_packet(OURS, 3, 1, [0; 4], &sent[..28]));
    w.elapse(secs(7));
    ended_with(&mut w, Error::HostUnreachable);
}

/// `TCP_SYNCNT`: so many SYNs more, and no fewer.
#[test]
fn the_count_of_syns() {
    let mut w = Wire::new(config(), WE_CONNECT);
    w.connect();
    w.set(|options| options.syn_retries = Some(2));
    let syns = w.elapse(secs(60)).len();
    assert_eq!(syns, 3);
    ended_with(&mut w, Error::TimedOut);
}

/// `TCP_SYNCNT` of a listener: its SYN-ACKs.
#[test]
fn the_count_of_syn_acks() {
    let mut w = Wire::listening(config(), 8);
    let id = w.listener();
    w.use_socket(id);
    w.set(|options| options.syn_retries = Some(1));
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    assert_eq!(w.elapse(secs(60)).len(), 2);
    assert_eq!(w.stack.census().half_open, 0);
}
