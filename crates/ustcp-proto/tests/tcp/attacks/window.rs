//! Peers that lie about what they received or can take.

use ustcp_proto::{Algorithm, Config, State};

use super::figure;
use crate::wire::*;

/// Reno, whose figures are the RFC's, with ten segments in flight and more to send.
fn bulk() -> Wire {
    let config = Config {
        send_buffer: 8 << 20,
        congestion: Algorithm::Reno,
        ..config()
    };
    let mut w = Wire::connected_to(config, "win 65535 <mss 1000,ws 7>");
    w.peer(". 1:1(0) ack 1"); // the first scaled window
    w.write(4 << 20);
    assert_eq!(w.drain().len(), 10);
    w
}

/// ATTACK-43: acknowledgements of what was never sent gain no window and free no text.
#[test]
fn optimistic_acks_gain_nothing() {
    let mut w = bulk();
    let (before, queued) = (w.info(), w.stack.queued_out(w.id()));
    for ack in [10_002, 20_001, 1_000_000, 2_000_000_000] {
        w.peer(&format!(". 1:1(0) ack {ack}"));
    }
    assert_eq!((w.info().cwnd, w.info().bytes_acked), (before.cwnd, before.bytes_acked));
    assert_eq!((w.stack.queued_out(w.id()), w.state()), (queued, State::Established));
    figure("ATTACK-43", "0 segments gained, 0 bytes freed");
}

/// ATTACK-44, 5681-5: an ACK cut into a thousand pieces grows the window by what it acknowledges and no more.
#[test]
fn ack_division_gains_nothing() {
    let mut w = bulk();
    let before = w.info().cwnd;
    for ack in 2..=1001 {
        w.peer(&format!(". 1:1(0) ack {ack}"));
        w.drain();
    }
    let gained = w.info().cwnd - before;
    assert!(gained <= 1, "{gained}");
    figure(
        "ATTACK-44",
        format!("{gained} segment gained by 1,000 ACKs of one segment"),
    );
}

/// ATTACK-45, MUST-39: a reader takes a byte each millisecond while the peer fills whatever opens: the window never moves
/// by less than a segment.
#[test]
fn a_slow_reader_announces_no_silly_window() {
    let config = Config {
        receive_buffer: 10_000,
        mtu: 1040, // ten whole segments, so that the SYN can tell all of it
        ..config()
    };
    let mut w = Wire::connected_to(config, PLAIN);
    let (mut next, mut right, mut moves, mut silly) = (1_i64, 10_001_i64, 0, 0);
    for _ in 0..30_000 {
        while next < right {
            let len = (right - next).min(1000);
            w.peer(&format!(". {next}:{}({len}) ack 1", next + len));
            next += len;
        }
        w.read(1).expect("a byte");
        for (_, segment) in w.elapse(ms(1)) {
            let edge = segment.ack.expect("an ACK") + i64::from(segment.win.expect("a window"));
            moves += usize::from(edge > right);
            silly += usize::from(edge > right && edge - right < 1000);
            right = right.max(edge);
        }
    }
    assert!(moves >= 5, "{moves}");
    assert_eq!(silly, 0);
    figure("ATTACK-45", format!("0 of {moves} moves below a segment"));
}

/// ATTACK-46, MUST-38: a peer that opens its window by 50 bytes at a time: hardly a segment of ours is tiny.
#[test]
fn a_window_that_creeps_is_not_filled_in_crumbs() {
    let mut w = Wire::connected();
    w.write(200_000);
    let (mut received, mut right) = (1_i64, 65_536_i64);
    let (mut segments, mut tiny) = (0, 0);
    while received < 200_001 {
        for (_, segment) in w.elapse(ms(5)) {
            segments += 1;
            tiny += usize::from(segment.len < 1000);
            received = received.max(segment.seq + segment.len as i64);
        }
        right += 50;
        w.peer(&format!(
            ". 1:1(0) ack {received} win {}",
            (right - received).clamp(0, 65_535)
        ));
    }
    assert!(tiny * 100 <= segments, "{tiny} of {segments}");
    figure("ATTACK-46", format!("{tiny} of {segments} segments tiny"));
}

/// ATTACK-47, MUST-34: a window of 5,000 bytes in use shrinks by one byte to all of them; what follows is a pause and not
/// the end.
#[test]
fn a_window_shrunk_by_any_amount() {
    for shrunk in 1..=5000 {
        let mut w = Wire::connected_to(config(), "win 5000 <mss 1000>");
        w.write(6000);
        assert_eq!(w.drain().len(), 5);
        w.peer(&format!(". 1:1(0) ack 1 win {}", 5000 - shrunk));
        let rto = w.info().rto;
        let sent_again = w.elapse(rto + ms(1));
        assert!(sent_again.iter().all(|(_, sent)| sent.seq < 5001), "nothing new");
        w.peer(". 1:1(0) ack 5001 win 5000");
        w.sees(". 5001:6001(1000) ack 1");
        w.peer(". 1:1(0) ack 6001 win 5000");
        assert_eq!((w.stack.queued_out(w.id()), w.state()), (Ok(0), State::Established));
    }
    figure("ATTACK-47", "resumed after each of 5,000");
}

/// ATTACK-48: a SYN-ACK that acknowledges anything but our ISN + 1 opens nothing. (Every conversation of these tests begins
/// a few bytes below 2^32 on both sides.)
#[test]
fn a_syn_ack_for_another_number() {
    for ack in [-1_000_000, -1, 0, 2, 3, 65_536, 2_000_000_000] {
        let mut w = Wire::connecting(config());
        w.peer(&format!("S. 0:0(0) ack {ack} {PLAIN}"));
        w.sees(&format!("R {ack}:{ack}(0)"));
        assert_eq!(w.state(), State::SynSent);
        w.peer(&format!("S. 0:0(0) ack 1 {PLAIN}"));
        assert_eq!(w.state(), State::Established);
    }
    figure("ATTACK-48", "0 of 7 opened");
}
