//! RST: RFC 9293 §3.5.2 and §3.10.7, RFC 5961.

use ustcp_proto::{Cause, DropReason, Error, Shutdown, State};

use crate::wire::*;

/// A synchronized state and how to get there: the peer's next number, ours, and what the peer has acknowledged.
fn synchronized(state: State) -> (Wire, i64, i64) {
    let mut w = Wire::connected();
    let close = |w: &mut Wire| {
        w.shutdown(Shutdown::Write);
        w.drain();
    };
    let (peers_next, ours_next) = match state {
        State::Established => (1, 1),
        State::FinWait1 => {
            close(&mut w);
            (1, 2)
        }
        State::FinWait2 => {
            close(&mut w);
            w.peer(". 1:1(0) ack 2");
            (1, 2)
        }
        State::CloseWait => {
            w.peer("F. 1:1(0) ack 1");
            (2, 1)
        }
        State::Closing => {
            close(&mut w);
            w.peer("F. 1:1(0) ack 1");
            (2, 2)
        }
        State::LastAck => {
            w.peer("F. 1:1(0) ack 1");
            close(&mut w);
            (2, 2)
        }
        other => panic!("{other} is not synchronized"),
    };
    w.drain();
    assert_eq!(w.state(), state);
    w.events();
    (w, peers_next, ours_next)
}

const SYNCHRONIZED: [State; 6] = [
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
];

/// 5961-1, MUST-12: an RST at RCV.NXT ends the connection, and the user is told so.
#[test]
fn an_exact_rst_resets() {
    for state in SYNCHRONIZED {
        let (mut w, next, _) = synchronized(state);
        w.peer(&format!("R {next}:{next}(0)"));
        assert_eq!(w.state(), State::Closed, "{state}");
        assert_eq!(w.arrows(), [(state, Cause::PeerReset, State::Closed)]);
        w.quiet();
        let ready = w.readiness();
        assert!(ready.error && ready.hang_up && ready.readable && ready.writable && ready.read_closed);
        let expected = if state == State::CloseWait {
            Error::BrokenPipe
        } else {
            Error::ConnectionReset
        };
        assert_eq!(w.take_error(), Some(expected), "{state}");
        assert_eq!((w.take_error(), w.stack.census().timers), (None, 0));
    }
}

/// 5961-1: an RST elsewhere in the window is challenged, one outside it is dropped in silence.
#[test]
fn a_guessed_rst_is_challenged() {
    for state in SYNCHRONIZED {
        let (mut w, next, ours) = synchronized(state);
        for seq in [next - 1, next - 65_536, next + 65_536, next + 1_000_000_000] {
            w.peer(&format!("R {seq}:{seq}(0)"));
            w.quiet();
        }
        w.peer(&format!("R {}:{}(0)", next + 1, next + 1));
        w.sees(&format!(". {ours}:{ours}(0) ack {next}"));
        w.quiet();
        assert_eq!((w.state(), w.arrows().len()), (state, 0));
        assert_eq!(w.stack.counters().challenge_acks, 1);
    }
}

/// 5961-2: a SYN in a connection is challenged wherever it stands.
#[test]
fn a_syn_inside_a_connection_is_challenged() {
    for state in SYNCHRONIZED {
        for offset in [-2_000_000, -1, 0, 1, 1000, 100_000] {
            let (mut w, next, ours) = synchronized(state);
            let seq = next + offset;
            w.peer(&format!("S {seq}:{seq}(0) <mss 1000>"));
            w.sees(&format!(". {ours}:{ours}(0) ack {next}"));
            w.quiet();
            assert_eq!(w.state(), state);
        }
    }
}

/// 5961-4: challenges are few, however many are provoked, and one connection's are its own.
#[test]
fn challenges_are_limited_for_each_connection() {
    let mut w = Wire::connected();
    let mut count = 0;
    for _ in 0..1500 {
        w.peer("R 5:5(0)");
        count += w.elapse(ms(1)).len();
    }
    assert!((1..=4).contains(&count), "{count}");
    // Another connection has its own count: nothing to be felt from outside (CVE-2016-5696).
    w.ports = Ports(40_001, SERVER);
    w.connect();
    w.sees("S 0:0(0)");
    w.peer("S. 0:0(0) ack 1 <mss 1000>");
    w.sees(". 1:1(0) ack 1");
    w.peer("R 5:5(0)");
    w.sees(". 1:1(0) ack 1");
}

/// SHLD-2: an RST with text is an RST.
#[test]
fn an_rst_with_text_resets() {
    let mut w = Wire::connected();
    w.peer("R 1:9(8)");
    assert_eq!(w.state(), State::Closed);
}

/// MUST-12: what came before the RST can still be read; then the error is told once, then the end.
#[test]
fn bytes_before_the_rst_are_read_first() {
    let mut w = Wire::connected();
    w.peer("P. 1:11(10) ack 1");
    w.peer("R 11:11(0)");
    assert_eq!(w.read(99), Ok(10));
    assert_eq!(w.read(99), Err(Error::ConnectionReset));
    assert_eq!((w.read(99), w.try_write(1)), (Ok(0), Err(Error::BrokenPipe)));
}

/// MUST-66: RST counts although the window is closed.
#[test]
fn an_rst_at_a_closed_window_resets() {
    let mut w = Wire::connected();
    for first in (1..65_535).step_by(1000) {
        let len = (65_536 - first).min(1000);
        w.peer(&format!(". {first}:{}({len}) ack 1", first + len));
        w.drain();
    }
    w.set(|options| options.receive_buffer = Some(65_535));
    let next = 65_536 + fill(&mut w, 65_536);
    assert_eq!(w.info().rcv_wnd, 0);
    w.peer(&format!("R {}:{}(0)", next + 1, next + 1)); // beyond: out of the window
    assert_eq!(w.state(), State::Established);
    w.peer(&format!("R {next}:{next}(0)"));
    assert_eq!(w.state(), State::Closed);
}

/// Uses up what is left of our window; says how many bytes that were.
fn fill(w: &mut Wire, from: i64) -> i64 {
    let mut next = from;
    while w.info().rcv_wnd > 0 {
        let len = i64::from(w.info().rcv_wnd.min(1000));
        w.peer(&format!(". {next}:{}({len}) ack 1", next + len));
        w.drain();
        next += len;
    }
    next - from
}

/// FSM-1: CLOSED answers everything but RST with RST: at the ACK's number, or at 0 acknowledging what came.
#[test]
fn nobody_there() {
    let mut w = Wire::new(config(), WE_LISTEN);
    for (segment, answer) in [
        ("S 0:0(0) <mss 1000>", "R. 0:0(0) ack 1"),
        ("S 0:10(10) <mss 1000>", "R. 0:0(0) ack 11"),
        ("F 5:5(0)", "R. 0:0(0) ack 6"),
        ("SF 5:15(10)", "R. 0:0(0) ack 17"),
        ("- 5:5(0)", "R. 0:0(0) ack 5"),
        ("P 5:15(10)", "R. 0:0(0) ack 15"),
        (". 5:5(0) ack 77", "R 77:77(0)"),
        ("P. 5:15(10) ack 77", "R 77:77(0)"),
        ("S. 5:5(0) ack 77", "R 77:77(0)"),
        ("F. 5:5(0) ack 77", "R 77:77(0)"),
        ("FPU. 5:15(10) ack 77", "R 77:77(0)"),
    ] {
        w.peer(segment);
        w.sees(answer);
        w.quiet();
    }
    for segment in ["R 5:5(0)", "R. 5:5(0) ack 7", "RS 5:5(0)", "RF. 5:5(0) ack 1"] {
        w.peer(segment);
        w.quiet();
    }
    assert_eq!((w.stack.counters().out_rsts, w.drops(DropReason::NoSocket)), (11, 15));
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
}

/// FSM-2: LISTEN ignores RST, answers ACK with RST, SYN with SYN-ACK, and drops the rest.
#[test]
fn listen_and_the_flags() {
    for (segment, answer) in [
        ("R 5:5(0)", None),
        ("R. 5:5(0) ack 5", None),
        ("RS 5:5(0)", None),
        (". 5:5(0) ack 77", Some("R 77:77(0)")),
        ("S. 5:5(0) ack 77", Some("R 77:77(0)")),
        ("F. 5:5(0) ack 77", Some("R 77:77(0)")),
        ("P. 5:15(10) ack 77", Some("R 77:77(0)")),
        ("- 5:5(0)", None),
        ("F 5:5(0)", None),
        ("P 5:15(10)", None),
        ("SF 0:0(0)", None),
        ("FPU 0:0(0)", None),
        ("S 0:0(0) <mss 1000>", Some("S. 0:0(0) ack 1")),
        ("SEW 0:0(0) <mss 1000>", Some("SE. 0:0(0) ack 1")),
        ("SP 0:10(10) <mss 1000>", Some("S. 0:0(0) ack 1")),
    ] {
        let mut w = Wire::listening(config(), 8);
        w.peer(segment);
        if let Some(answer) = answer {
            w.sees(answer);
        }
        w.quiet();
        assert_eq!(w.stack.state(w.listener()), Ok(State::Listen), "{segment}");
    }
}

/// MUST-11: an RST returns SYN-RECEIVED to LISTEN without a word when it was passive.
#[test]
fn rst_in_passive_syn_received() {
    let mut w = Wire::half_open(config());
    w.peer("R 100000:100000(0)"); // outside
    w.quiet();
    w.peer("R 2:2(0)"); // inside, not exact
    w.sees(". 1:1(0) ack 1");
    assert_eq!(w.stack.census().half_open, 1);
    w.events();
    w.peer("R 1:1(0)");
    w.quiet();
    assert_eq!(w.stack.census().half_open, 0);
    assert!(!w.stack.readiness(w.listener()).expect("ready").readable);
    assert_eq!(w.arrows(), [(State::SynReceived, Cause::PeerReset, State::Closed)]);
    w.peer("S 0:0(0) <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
}

/// MUST-11: and it is a refusal when it was active.
#[test]
fn rst_in_active_syn_received() {
    let mut w = Wire::connecting(config());
    w.peer("S 0:0(0) <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    w.peer("R 2:2(0)");
    assert_eq!(w.state(), State::SynReceived);
    w.drain();
    w.peer("R 1:1(0)");
    assert_eq!(
        (w.state(), w.take_error()),
        (State::Closed, Some(Error::ConnectionRefused))
    );
}

/// An accepted connection that was reset while it waited is still handed out, and says what happened.
#[test]
fn reset_before_accept() {
    let mut w = Wire::half_open(config());
    w.peer(". 1:1(0) ack 1");
    w.peer("R 1:1(0)");
    w.accept();
    assert_eq!(w.read(1), Err(Error::ConnectionReset));
    w.close();
    assert_eq!(w.stack.census().sockets, 1);
}

/// As Linux: an error is told once, to whoever asks first, a peeker too.
#[test]
fn a_peeker_is_told_once() {
    let mut w = Wire::connected();
    w.peer("R. 1:1(0) ack 1");
    let id = w.id();
    assert_eq!(w.stack.peek(id, 0, &mut [0; 4]), Err(Error::ConnectionReset));
    assert_eq!(w.stack.peek(id, 0, &mut [0; 4]), Ok(0));
    assert_eq!(w.read(4), Ok(0));
}
