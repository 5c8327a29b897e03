//! Explicit congestion notification, RFC 3168, with RFC 8511's milder answer. The congestion window is followed in
//! Reno, whose figures are the RFC's own.

use ustcp_proto::{Algorithm, Config, EcnPolicy};
use ustcp_wire::Flags;

use crate::wire::*;

/// The four values of the ECN field.
const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

fn with(ecn: EcnPolicy) -> Config {
    Config {
        ecn,
        congestion: Algorithm::Reno,
        ..config()
    }
}

/// ESTABLISHED by connect, with a peer that agrees to ECN.
fn agreed() -> Wire {
    agreed_to(with(EcnPolicy::Request), PLAIN)
}

fn agreed_to(config: Config, offer: &str) -> Wire {
    let mut w = Wire::new(config, WE_CONNECT);
    w.connect();
    w.sees("SEW 0:0(0)");
    w.peer(&format!("SE. 0:0(0) ack 1 {offer}"));
    w.sees(". 1:1(0) ack 1");
    w
}

/// What new text says of ECN in the IP header: whether ECN was agreed on.
fn field_of_new_text(w: &mut Wire) -> u8 {
    w.write(10);
    let (_, segment) = w.next().expect("text");
    assert_eq!(segment.len, 10);
    w.class()
}

/// 3168-1, SHLD-8: our SYN asks with ECE and CWR, the SYN-ACK agrees with ECE, and from then on text is ECT(0).
#[test]
fn we_ask_and_the_peer_agrees() {
    let mut w = agreed();
    assert_eq!(field_of_new_text(&mut w), ECT_0);
}

/// 3168-1: by default, as Linux's, our SYN does not ask; with `Off` nobody is answered either.
#[test]
fn who_asks_and_who_is_answered() {
    for (policy, asks, answers) in [
        (EcnPolicy::Off, "S 0:0(0)", "S. 0:0(0) ack 1"),
        (EcnPolicy::Request, "SEW 0:0(0)", "SE. 0:0(0) ack 1"),
        (EcnPolicy::Accept, "S 0:0(0)", "SE. 0:0(0) ack 1"),
    ] {
        let mut w = Wire::new(with(policy), WE_CONNECT);
        w.connect();
        w.sees(asks);
        assert_eq!(w.class(), NOT_ECT);
        let mut w = Wire::listening(with(policy), 8);
        w.peer(&format!("SEW 0:0(0) {PLAIN}"));
        w.sees(answers);
        assert_eq!(w.class(), NOT_ECT);
        w.peer(". 1:1(0) ack 1");
        w.accept();
        let field = if policy == EcnPolicy::Off { NOT_ECT } else { ECT_0 };
        assert_eq!(field_of_new_text(&mut w), field);
    }
    assert_eq!(Config::default().ecn, EcnPolicy::Accept);
}

#[test]
fn the_numbers_of_tcp_ecn() {
    let policies = [
        Some(EcnPolicy::Off),
        Some(EcnPolicy::Request),
        Some(EcnPolicy::Accept),
        None,
    ];
    assert_eq!([0, 1, 2, 3].map(EcnPolicy::from_number), policies);
}

/// 3168-1: a listener answers only a SYN with both bits, and none that is marked itself: somebody meddled with it.
#[test]
fn a_syn_that_does_not_ask() {
    for (syn, field) in [
        ("S", NOT_ECT),
        ("SE", NOT_ECT),
        ("SW", NOT_ECT),
        ("SEW", ECT_0),
        ("SEW", CE),
    ] {
        let mut w = Wire::listening(with(EcnPolicy::Accept), 8);
        w.peer_with_class(&format!("{syn} 0:0(0) {PLAIN}"), field);
        w.sees("S. 0:0(0) ack 1");
        w.peer(". 1:1(0) ack 1");
        w.accept();
        assert_eq!(field_of_new_text(&mut w), NOT_ECT, "{syn}");
    }
}

/// 3168-6: a SYN-ACK with both bits comes from a stack that returns what it does not know; CWR alone, or none, agrees
/// to nothing either.
#[test]
fn a_syn_ack_that_does_not_agree() {
    for syn_ack in ["SEW.", "SW.", "S."] {
        let mut w = Wire::new(with(EcnPolicy::Request), WE_CONNECT);
        w.connect();
        w.sees("SEW 0:0(0)");
        w.peer(&format!("{syn_ack} 0:0(0) ack 1 {PLAIN}"));
        w.sees(". 1:1(0) ack 1");
        assert_eq!(field_of_new_text(&mut w), NOT_ECT, "{syn_ack}");
        w.peer_with_class(". 1:3001(3000) ack 11", CE);
        w.sees(". 11:11(0) ack 3001");
    }
}

/// 3168-1: a peer that agrees unasked is not believed.
#[test]
fn a_syn_ack_that_agrees_unasked() {
    let mut w = Wire::connecting(with(EcnPolicy::Accept));
    w.peer(&format!("SE. 0:0(0) ack 1 {PLAIN}"));
    w.sees(". 1:1(0) ack 1");
    assert_eq!(field_of_new_text(&mut w), NOT_ECT);
}

/// 3168-1: the second SYN does not ask, for somebody may have lost the first for asking; `tcp_ecn_fallback` = 0: it
/// does. As Linux, an answer to the first still counts.
#[test]
fn a_syn_sent_again() {
    for (ecn_fallback, again) in [(true, "S 0:0(0)"), (false, "SEW 0:0(0)")] {
        let config = Config {
            ecn_fallback,
            ..with(EcnPolicy::Request)
        };
        let mut w = Wire::new(config, WE_CONNECT);
        w.connect();
        w.sees("SEW 0:0(0)");
        w.after(secs(1));
        w.sees(again);
        w.after(secs(2));
        w.sees(again);
        w.peer(&format!("SE. 0:0(0) ack 1 {PLAIN}"));
        w.sees(". 1:1(0) ack 1");
        assert_eq!(field_of_new_text(&mut w), ECT_0);
    }
}

/// 3168-1: in a simultaneous open each SYN asks, and each SYN-ACK agrees. That SYN-ACK is no echo of a mark.
#[test]
fn simultaneous_open() {
    for (syn, answer, field) in [("SEW", "SE. 0:0(0) ack 1", ECT_0), ("S", "S. 0:0(0) ack 1", NOT_ECT)] {
        let mut w = Wire::new(with(EcnPolicy::Request), WE_CONNECT);
        w.connect();
        w.sees("SEW 0:0(0)");
        w.peer(&format!("{syn} 0:0(0) {PLAIN}"));
        w.sees(answer);
        w.peer(&format!("{} {PLAIN}", answer));
        w.write(10);
        let (_, segment) = w.next().expect("text");
        assert!(!segment.flags.has(Flags::CWR));
        assert_eq!(w.class(), field);
    }
}

/// 3168-2: acknowledgements, retransmissions, window probes and a FIN without text are not ECN-capable.
#[test]
fn only_new_text_is_capable() {
    let mut w = agreed();
    assert_eq!(w.class(), NOT_ECT, "the handshake's ACK");
    w.write(1000);
    w.sees(". 1:1001(1000) ack 1");
    assert_eq!(w.class(), ECT_0);
    w.after(w.info().rto);
    w.sees(". 1:1001(1000) ack 1");
    assert_eq!(w.class(), NOT_ECT, "sent again");
    w.peer(". 1:3001(3000) ack 1001 win 0");
    w.sees(". 1001:1001(0) ack 3001");
    assert_eq!(w.class(), NOT_ECT, "an acknowledgement");
    w.write(1000);
    let sent = w.elapse(secs(20));
    assert!(!sent.is_empty() && sent.iter().all(|(_, segment)| segment.len == 0));
    assert_eq!(w.class(), NOT_ECT, "a probe");
    w.peer(". 3001:3001(0) ack 1001 win 60000");
    w.sees("W. 1001:2001(1000) ack 3001"); // after the timeout
    assert_eq!(w.class(), ECT_0);
    w.peer(". 3001:3001(0) ack 2001");
    assert_eq!(w.read(4000), Ok(3000));
    w.close();
    w.sees("F. 2001:2001(0) ack 3001");
    assert_eq!(w.class(), NOT_ECT, "a FIN");
}

/// 3168-2: text with a FIN is text.
#[test]
fn text_with_a_fin_is_capable() {
    let mut w = agreed();
    w.set(|options| options.no_delay = false);
    w.write(600);
    w.sees(". 1:601(600) ack 1");
    w.write(100); // Nagle holds it back
    w.close();
    w.sees("F. 601:701(100) ack 1");
    assert_eq!(w.class(), ECT_0);
}

/// 3168-3: CE is echoed in every acknowledgement, text among them, until CWR comes; the first at once.
#[test]
fn marks_are_echoed_until_the_peer_has_slowed_down() {
    let mut w = agreed();
    w.peer_with_class("P. 1:101(100) ack 1", ECT_0);
    w.after(ms(40));
    w.sees(". 1:1(0) ack 101");
    w.peer_with_class("P. 101:201(100) ack 1", CE);
    w.sees("E. 1:1(0) ack 201");
    w.peer_with_class(". 201:1201(1000) ack 1", ECT_0);
    w.peer_with_class(". 1201:2201(1000) ack 1", ECT_1);
    w.sees("E. 1:1(0) ack 2201");
    w.write(10);
    w.sees("E. 1:11(10) ack 2201");
    w.peer("W. 2201:2201(0) ack 11"); // CWR belongs to text
    w.write(10);
    w.sees("E. 11:21(10) ack 2201");
    w.peer_with_class("W. 2201:2301(100) ack 21", ECT_0);
    w.sees(". 21:21(0) ack 2301");
    w.peer_with_class("W. 2301:2401(100) ack 21", CE);
    w.sees("E. 21:21(0) ack 2401"); // slowed down for the last mark, and marked again
}

/// 3168-3: a mark on what lies outside the window, or was here before, is nobody's (RFC 3168 §6.1.5).
#[test]
fn marks_on_old_text_do_not_count() {
    let mut w = agreed();
    w.peer(". 1:3001(3000) ack 1");
    w.sees(". 1:1(0) ack 3001");
    w.peer_with_class(". 1:3001(3000) ack 1", CE);
    w.sees(". 1:1(0) ack 3001");
    w.peer_with_class(". 1000001:1001001(1000) ack 1", CE);
    w.sees(". 1:1(0) ack 3001");
}

/// 3168-3: text out of order is marked like any other. What comes unmarkable after it is a retransmission, whose sender
/// waits: it is answered at once.
#[test]
fn marks_out_of_order() {
    let mut w = agreed();
    w.peer_with_class(". 1001:2001(1000) ack 1", CE);
    w.sees("E. 1:1(0) ack 1");
    w.peer(". 1:1001(1000) ack 1");
    w.sees("E. 1:1(0) ack 2001");
    w.peer("P. 2001:2101(100) ack 1");
    w.sees("E. 1:1(0) ack 2101");
}

/// Ten segments in flight, all of them new text.
fn first_flight(w: &mut Wire) {
    w.write(40_000);
    for segment in 0..10 {
        let (start, end) = (1 + segment * 1000, 1001 + segment * 1000);
        w.sees(&format!(". {start}:{end}(1000) ack 1"));
    }
    w.quiet();
}

/// 3168-4, 9937-6, MUST-19: an echo costs a fifth of the window (Reno by RFC 8511), by proportional rate reduction, and
/// only once for what was in flight; the next new text says CWR, and no other.
#[test]
fn an_echo_slows_down_once() {
    let mut w = agreed();
    first_flight(&mut w);
    w.after(ms(50));
    w.peer("E. 1:1(0) ack 1001");
    assert_eq!(w.info().ssthresh, 8);
    let mut sent = w.drain();
    for ack in 2..=10 {
        w.peer(&format!("E. 1:1(0) ack {}001", ack));
        sent.extend(w.drain());
    }
    assert_eq!(w.info().ssthresh, 8, "one reduction");
    let cwr: Vec<_> = sent.iter().map(|segment| segment.flags.has(Flags::CWR)).collect();
    assert!(cwr[0] && cwr[1..].iter().all(|flag| !flag), "{cwr:?}");
    assert_eq!(cwr.len(), 8, "eight in flight at the end");
    w.after(ms(50));
    w.peer(". 1:1(0) ack 11001");
    assert_eq!((w.info().cwnd, w.info().ssthresh), (8, 8));
    assert_eq!(w.drain().len(), 1);
    w.peer("E. 1:1(0) ack 12001"); // what is new in flight may be marked again
    assert_eq!(w.info().ssthresh, 7);
}

/// 3168-4: an echo that belongs to nothing in flight changes nothing, nor does one with an old acknowledgement.
#[test]
fn echoes_of_nothing() {
    let mut w = agreed();
    w.peer("E. 1:1(0) ack 1");
    w.write(2000);
    w.sees(". 1:1001(1000) ack 1");
    w.sees(". 1001:2001(1000) ack 1");
    w.peer(". 1:1(0) ack 1001");
    w.peer("E. 1:1(0) ack 1");
    assert_eq!(w.info().ssthresh, u32::MAX);
}

/// 3168-4: who did not agree to ECN is not slowed down by ECE.
#[test]
fn echoes_without_ecn() {
    let mut w = Wire::connected();
    w.write(2000);
    w.sees(". 1:1001(1000) ack 1");
    w.sees(". 1001:2001(1000) ack 1");
    w.peer("E. 1:1(0) ack 1001");
    assert_eq!(w.info().ssthresh, u32::MAX);
}

/// 3168-4: a loss among what was marked costs nothing more (RFC 3168 §6.1.2: one window, one reduction).
#[test]
fn a_loss_in_a_marked_window() {
    let mut w = agreed_to(with(EcnPolicy::Request), "win 65535 <mss 1000,sackOK>");
    first_flight(&mut w);
    w.after(ms(1));
    w.peer("E. 1:1(0) ack 1001");
    assert_eq!(w.info().ssthresh, 8);
    let _new = w.drain();
    for end in 3..=6 {
        w.peer(&format!(". 1:1(0) ack 1001 <sack 2001:{end}001>"));
    }
    assert_eq!(w.info().ssthresh, 8);
    assert!(w.info().total_retrans > 0 || w.drain().iter().any(|segment| segment.seq == 1001));
}

/// 3168-4: a window reduced for a loss is told as well, with the first new text.
#[test]
fn a_timeout_says_cwr() {
    let mut w = agreed();
    w.write(1000);
    w.sees(". 1:1001(1000) ack 1");
    w.after(w.info().rto);
    w.sees(". 1:1001(1000) ack 1");
    w.write(1000);
    w.peer(". 1:1(0) ack 1001");
    w.sees("W. 1001:2001(1000) ack 1");
}

/// 3168-4: of a super-segment the first packet says CWR; the device is told by the bit.
#[test]
fn a_super_segment_says_cwr() {
    let config = Config {
        segmentation_offload: 65_000,
        ..with(EcnPolicy::Request)
    };
    let mut w = agreed_to(config, PLAIN);
    w.write(40_000);
    w.sees(". 1:10001(10000) ack 1");
    w.peer("E. 1:1(0) ack 10001");
    let (_, segment) = w.next().expect("new text");
    assert!(segment.flags.has(Flags::CWR) && segment.len > 1000, "{segment}");
    assert_eq!(w.class(), ECT_0);
}

/// 3168-5: an echo with a window of one segment: the next one leaves when a retransmission timeout has passed.
#[test]
fn an_echo_with_the_least_window() {
    let mut w = Wire::new(with(EcnPolicy::Request), WE_CONNECT);
    w.connect();
    w.sees("SEW 0:0(0)");
    w.after(secs(1));
    w.sees("S 0:0(0)");
    w.peer(&format!("SE. 0:0(0) ack 1 {PLAIN}"));
    w.sees(". 1:1(0) ack 1");
    w.write(3000);
    w.sees(". 1:1001(1000) ack 1"); // 5681-2: one segment after a lost SYN
    w.after(ms(100));
    w.peer("E. 1:1(0) ack 1001");
    let rto = w.info().rto;
    w.after(rto);
    w.sees("W. 1001:2001(1000) ack 1");
    w.after(ms(100));
    w.peer(". 1:1(0) ack 2001");
    w.sees(". 2001:3001(1000) ack 1");
}
