//! Closing: RFC 9293 §3.6, in every order.

use core::time::Duration;

use ustcp_proto::{Cause, DropReason, Error, Shutdown, State};

use crate::wire::*;

/// The four steps, we first: FIN, ACK, FIN, ACK; then TIME-WAIT, and at its end nothing is left.
#[test]
fn we_close_first() {
    let mut w = Wire::connected();
    w.events();
    w.shutdown(Shutdown::Write);
    assert_eq!(w.state(), State::FinWait1);
    w.sees("F. 1:1(0) ack 1");
    w.peer(". 1:1(0) ack 2");
    assert_eq!(w.state(), State::FinWait2);
    w.quiet();
    w.peer("F. 1:1(0) ack 2");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(w.state(), State::TimeWait);
    w.after(secs(60));
    w.quiet();
    assert_eq!(w.state(), State::Closed);
    w.close();
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
    use State::*;
    assert_eq!(
        w.arrows(),
        [
            (Established, Cause::UserClosed, FinWait1),
            (FinWait1, Cause::OurFinAcked, FinWait2),
            (FinWait2, Cause::PeerFin, TimeWait),
            (TimeWait, Cause::TwoMslPassed, Closed)
        ]
    );
}

/// The four steps, the peer first: no TIME-WAIT on our side.
#[test]
fn the_peer_closes_first() {
    let mut w = Wire::connected();
    w.events();
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 1:1(0) ack 2");
    assert_eq!((w.state(), w.read(10)), (State::CloseWait, Ok(0)));
    let ready = w.readiness();
    assert!(ready.readable && ready.read_closed && ready.writable && !ready.hang_up && !ready.error);
    w.close();
    w.sees("F. 1:1(0) ack 2");
    w.peer(". 2:2(0) ack 2");
    w.quiet();
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
    use State::*;
    assert_eq!(
        w.arrows(),
        [
            (Established, Cause::PeerFin, CloseWait),
            (CloseWait, Cause::UserClosed, LastAck),
            (LastAck, Cause::OurFinAcked, Closed)
        ]
    );
}

/// FSM-7: both FINs cross.
#[test]
fn both_close_at_once() {
    let mut w = Wire::connected();
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer("F. 1:1(0) ack 1");
    assert_eq!(w.state(), State::Closing);
    w.sees(". 2:2(0) ack 2");
    w.peer(". 2:2(0) ack 2");
    assert_eq!(w.state(), State::TimeWait);
    w.quiet();
}

/// FSM-7: the peer's FIN acknowledges ours: FIN-WAIT-2 is passed in one step.
#[test]
fn fin_and_ack_of_our_fin_in_one() {
    let mut w = Wire::connected();
    w.events();
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer("F. 1:1(0) ack 2");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(w.state(), State::TimeWait);
    assert_eq!(w.arrows().len(), 3);
}

/// Half-closed by us: the peer's bytes still come, as many as it has.
#[test]
fn we_have_said_all_and_still_listen() {
    let mut w = Wire::connected();
    w.shutdown(Shutdown::Write);
    assert_eq!(w.try_write(1), Err(Error::BrokenPipe));
    w.sees("F. 1:1(0) ack 1");
    w.peer(". 1:1(0) ack 2");
    for first in (1..200_000).step_by(1000) {
        w.peer(&format!("P. {first}:{}(1000) ack 2", first + 1000));
        assert_eq!(w.read(1000), Ok(1000));
        w.drain();
    }
    assert_eq!(w.state(), State::FinWait2);
    w.after(secs(3600)); // nothing hurries a peer whose user still listens
    w.peer("F. 200001:200001(0) ack 2");
    w.sees(". 2:2(0) ack 200002");
    assert_eq!((w.state(), w.read(1)), (State::TimeWait, Ok(0)));
}

/// Half-closed by the peer: we may go on as long as we like.
#[test]
fn the_peer_has_said_all_and_still_listens() {
    let mut w = Wire::connected();
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 1:1(0) ack 2");
    for first in (1..100_000).step_by(1000) {
        w.write(1000);
        let end = first + 1000;
        w.sees(&format!("P. {first}:{end}(1000) ack 2"));
        w.peer(&format!(". 2:2(0) ack {end}"));
    }
    w.shutdown(Shutdown::Write);
    assert_eq!(w.state(), State::LastAck);
    w.sees("F. 100001:100001(0) ack 2");
    w.peer(". 2:2(0) ack 100002");
    assert_eq!(w.state(), State::Closed);
    assert!(w.readiness().hang_up);
}

/// The FIN goes with the last text, and only when all before it went.
#[test]
fn the_fin_comes_after_all_that_was_written() {
    let mut w = Wire::connected();
    w.write(2500);
    w.shutdown(Shutdown::Write);
    w.sees(". 1:1001(1000) ack 1");
    w.sees(". 1001:2001(1000) ack 1");
    w.sees("FP. 2001:2501(500) ack 1");
    w.quiet();
    w.peer(". 1:1(0) ack 2501"); // all but the FIN
    assert_eq!(w.state(), State::FinWait1);
    w.peer(". 1:1(0) ack 2502");
    assert_eq!(w.state(), State::FinWait2);
}

/// FSM-9: a FIN with text, and one that comes before the text in front of it.
#[test]
fn a_fin_waits_for_its_turn() {
    let mut w = Wire::connected();
    w.peer("FP. 11:21(10) ack 1");
    w.sees(". 1:1(0) ack 1");
    assert_eq!((w.state(), w.read(99)), (State::Established, Err(Error::WouldBlock)));
    w.peer("P. 1:11(10) ack 1");
    w.sees(". 1:1(0) ack 22");
    assert_eq!(w.state(), State::CloseWait);
    assert_eq!((w.read(99), w.read(99)), (Ok(20), Ok(0)));
}

/// FSM-9: a bare FIN out of order, then the text.
#[test]
fn a_bare_fin_waits_for_the_text_before_it() {
    let mut w = Wire::connected();
    w.peer("F. 11:11(0) ack 1");
    w.sees(". 1:1(0) ack 1");
    w.peer("P. 1:11(10) ack 1");
    w.sees(". 1:1(0) ack 12"); // the gap is filled: at once
    assert_eq!((w.state(), w.read(99), w.read(99)), (State::CloseWait, Ok(10), Ok(0)));
}

/// FSM-9: a bare FIN is taken although the window is closed.
#[test]
fn a_fin_at_a_closed_window() {
    let mut w = Wire::connected();
    w.set(|options| options.receive_buffer = Some(2000));
    // The window announced so far stays open; it is used up, and then none is left.
    let mut next = 1;
    while w.info().rcv_wnd > 0 {
        let len = w.info().rcv_wnd.min(1000);
        w.peer(&format!("P. {next}:{}({len}) ack 1", next + len));
        w.drain();
        next += len;
    }
    w.peer(&format!("F. {next}:{next}(0) ack 1"));
    w.after(ms(40));
    w.sees(&format!(". 1:1(0) ack {} win 0", next + 1));
    assert_eq!(w.state(), State::CloseWait);
}

/// The FIN that comes again in CLOSE-WAIT, LAST-ACK and CLOSING is acknowledged again.
#[test]
fn a_repeated_fin_is_acknowledged_again() {
    let mut w = Wire::connected();
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 1:1(0) ack 2");
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 1:1(0) ack 2");
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 2");
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(w.state(), State::LastAck);

    let mut w = Wire::connected();
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 2:2(0) ack 2");
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(w.state(), State::Closing);
}

/// A lost FIN goes out again, by the clock of all retransmission.
#[test]
fn a_lost_fin_is_sent_again() {
    let mut w = Wire::connected();
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    for gap in [200, 400, 800] {
        w.after(ms(gap));
        w.sees("F. 1:1(0) ack 1");
    }
    w.peer(". 1:1(0) ack 2");
    assert_eq!(w.state(), State::FinWait2);
}

/// FSM-8, SHLD-3: text for a user who has closed is answered with RST.
#[test]
fn text_after_close_is_reset() {
    for acked in [false, true] {
        let mut w = Wire::connected();
        w.close();
        w.sees("F. 1:1(0) ack 1");
        if acked {
            w.peer(". 1:1(0) ack 2");
        }
        w.peer("P. 1:11(10) ack 2");
        w.sees("R 2:2(0)");
        w.quiet();
        assert_eq!(w.stack.census(), ustcp_proto::Census::default());
        w.peer("P. 11:21(10) ack 2"); // nobody there any more
        w.sees("R 2:2(0)");
    }
}

/// FSM-8, SHLD-3: also where the FIN waits for what the user has left to be handed in.
#[test]
fn text_for_a_user_who_has_gone_is_reset() {
    for order in ["P. 1:11(10) ack 1", "P. 11:21(10) ack 1"] {
        let mut w = Wire::connected();
        w.stack.abandon(w.id()).expect("it is held");
        w.write(1); // it still goes out
        w.sees("P. 1:2(1) ack 1");
        w.peer(". 1:1(0) ack 2");
        w.quiet();
        w.peer(order);
        w.sees("R 1:1(0)");
        assert_eq!(w.state(), State::Closed, "{order}");
    }
}

/// FSM-8: an old copy of text that was read before the close is no reason to reset.
#[test]
fn old_text_after_close_is_only_acknowledged() {
    let mut w = Wire::connected();
    w.peer("P. 1:11(10) ack 1");
    assert_eq!(w.read(10), Ok(10));
    w.close();
    w.sees("F. 1:1(0) ack 11");
    w.peer("P. 1:11(10) ack 1");
    w.sees(". 2:2(0) ack 11");
    w.quiet();
    assert_eq!(w.stack.census().orphans, 1);
}

/// SHLD-3, MAY-1: close with unread bytes tells the peer that they were lost.
#[test]
fn close_with_unread_bytes_resets() {
    let mut w = Wire::connected();
    w.peer("P. 1:11(10) ack 1");
    w.close();
    w.sees("R. 1:1(0) ack 11");
    w.quiet();
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
}

/// SHLD-3 in CLOSE-WAIT, where the FIN stands behind the unread bytes.
#[test]
fn close_with_unread_bytes_and_a_fin_resets() {
    let mut w = Wire::connected();
    w.peer("FP. 1:11(10) ack 1");
    w.close();
    w.sees("R. 1:1(0) ack 12");
    w.quiet();
}

/// SO_LINGER of zero: close is an abort.
#[test]
fn linger_zero_resets() {
    let mut w = Wire::connected();
    w.set(|options| options.linger = Some(Duration::ZERO));
    w.write(10);
    w.close();
    let sent = w.drain();
    let last = sent.last().expect("an RST");
    assert_eq!((last.flags.0, last.ack), (0x14, Some(1)));
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
}

/// RFC 9293 §3.10.5: abort sends RST, and everyone who waits is told.
#[test]
fn abort_resets() {
    let mut w = Wire::connected();
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    w.abort();
    w.sees("R. 11:11(0) ack 1");
    assert_eq!(
        (w.state(), w.try_write(1)),
        (State::Closed, Err(Error::ConnectionAborted))
    );
    assert_eq!((w.try_write(1), w.read(1)), (Err(Error::BrokenPipe), Ok(0)));
}

/// A closed user's FIN-WAIT-2 does not wait for ever on a peer that never closes.
#[test]
fn an_orphan_leaves_fin_wait_2() {
    let mut w = Wire::connected();
    w.close();
    w.sees("F. 1:1(0) ack 1");
    w.peer(". 1:1(0) ack 2");
    w.after(secs(60));
    w.quiet();
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
}

/// The same when the user half-closed long before.
#[test]
fn an_orphan_made_in_fin_wait_2_leaves_it() {
    let mut w = Wire::connected();
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer(". 1:1(0) ack 2");
    w.after(secs(500));
    w.close();
    w.after(secs(60));
    w.quiet();
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
}

/// A closed user's FIN that nobody acknowledges is given up after some 100 s.
#[test]
fn an_orphan_gives_up_its_fin() {
    let mut w = Wire::connected();
    w.close();
    let sent = w.elapse(secs(240));
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
    let (last, _) = sent.last().expect("a FIN");
    assert!(*last >= secs(100) && *last <= secs(210), "{last:?}");
}

/// shutdown of the reading half: the end for the reader, nothing for the peer.
#[test]
fn shutdown_of_reading_is_our_own_affair() {
    let mut w = Wire::connected();
    w.shutdown(Shutdown::Read);
    w.quiet();
    assert_eq!((w.state(), w.read(1)), (State::Established, Ok(0)));
    assert!(w.readiness().read_closed && w.readiness().readable && !w.readiness().hang_up);
    w.write(1);
    w.sees("P. 1:2(1) ack 1");
}

/// shutdown of both halves sends FIN, and a second shutdown changes nothing.
#[test]
fn shutdown_of_both_halves() {
    let mut w = Wire::connected();
    w.shutdown(Shutdown::Both);
    w.shutdown(Shutdown::Both);
    w.sees("F. 1:1(0) ack 1");
    w.quiet();
    let ready = w.readiness();
    assert!(ready.hang_up && ready.read_closed && ready.readable);
    w.peer("F. 1:1(0) ack 2");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(w.state(), State::TimeWait);
}

/// RFC 9293 §3.10.7.4 seventh: text behind a FIN cannot be and is not taken.
#[test]
fn text_behind_the_fin_is_ignored() {
    let mut w = Wire::connected();
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 1:1(0) ack 2");
    w.peer("P. 2:12(10) ack 1");
    w.drain();
    assert_eq!((w.state(), w.read(10)), (State::CloseWait, Ok(0)));
    assert_eq!(w.drops(DropReason::Checksum), 0);
}

/// As Linux: without lingering the end of LAST-ACK and CLOSING is not waited for. Nobody is told, for the peer has said all
/// and heard all.
#[test]
fn no_linger_after_both_fins() {
    let mut w = Wire::connected();
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 1:1(0) ack 2");
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 2");
    close_without_lingering(&mut w);
    w.quiet();
    w.peer(". 2:2(0) ack 2");
    w.sees("R 2:2(0)");
    let mut w = Wire::connected();
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer("F. 1:1(0) ack 1");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(w.state(), State::Closing);
    close_without_lingering(&mut w);
    w.quiet();
}

/// SHLD-3: text that nobody will read is told of in the states after FIN-WAIT-1 and CLOSE-WAIT too.
#[test]
fn close_with_unread_bytes_after_both_fins() {
    let mut w = Wire::connected();
    w.peer("FP. 1:11(10) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 12");
    w.shutdown(Shutdown::Write);
    w.sees("F. 1:1(0) ack 12");
    assert_eq!(w.state(), State::LastAck);
    w.close();
    w.sees("R. 2:2(0) ack 12");
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
}

/// Who has not heard all gets RST.
#[test]
fn no_linger_with_text_unsent() {
    let mut w = Wire::connected();
    w.peer("F. 1:1(0) ack 1 win 0");
    w.sees(". 1:1(0) ack 2");
    w.write(10);
    w.shutdown(Shutdown::Write);
    assert_eq!(w.state(), State::LastAck);
    close_without_lingering(&mut w);
    w.sees("R. 1:1(0) ack 2");
    w.quiet();
}

fn close_without_lingering(w: &mut Wire) {
    w.set(|options| options.linger = Some(Duration::ZERO));
    w.close();
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
}
