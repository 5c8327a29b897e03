//! `TCP_DEFER_ACCEPT`: a listener's connections wait for text.

use ustcp_proto::{Error, State};

use crate::wire::*;

/// A listener that waits for text for so many timeouts of the SYN-ACK.
fn deferring(times: u8) -> Wire {
    let mut w = Wire::listening(config(), 8);
    let id = w.listener();
    w.use_socket(id);
    w.set(|options| options.defer_accept = times);
    w.peer(&format!("S 0:0(0) {PLAIN}"));
    w.sees("S. 0:0(0) ack 1");
    w
}

/// The handshake alone is not told; its text completes it, with a round trip measured by the handshake.
#[test]
fn text_completes_it() {
    let mut w = deferring(3);
    w.after(ms(30));
    w.peer(". 1:1(0) ack 1");
    w.quiet();
    assert!(!w.stack.readiness(w.listener()).expect("a listener").readable);
    assert_eq!(w.stack.accept(w.listener()), Err(Error::WouldBlock));
    w.after(ms(500));
    w.peer("P. 1:11(10) ack 1");
    w.accept();
    assert_eq!(w.read(100), Ok(10));
    assert_eq!(w.info().srtt, ms(30));
}

/// So does a FIN.
#[test]
fn a_fin_completes_it() {
    let mut w = deferring(3);
    w.peer("F. 1:1(0) ack 1");
    w.accept();
    assert_eq!(w.state(), State::CloseWait);
}

/// A peer that has acknowledged is not sent the SYN-ACK again before the last timeout, whose answer completes it.
#[test]
fn it_ends_with_one_more_syn_ack() {
    let mut w = deferring(3);
    w.peer(". 1:1(0) ack 1");
    w.after(secs(1 + 2 + 4));
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    w.accept();
    assert_eq!(w.state(), State::Established);
}

/// A peer that says nothing at all is sent the SYN-ACK as ever, and forgotten as ever.
#[test]
fn silence_is_no_acknowledgement() {
    let mut w = deferring(3);
    w.after(secs(1));
    w.sees("S. 0:0(0) ack 1");
    assert_eq!(w.elapse(secs(200)).len(), 4);
    assert_eq!(w.stack.census().half_open, 0);
}

/// Without the option nothing waits.
#[test]
fn off_by_default() {
    let mut w = deferring(0);
    w.peer(". 1:1(0) ack 1");
    w.accept();
}
