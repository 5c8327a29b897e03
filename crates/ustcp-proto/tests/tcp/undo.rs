//! Timeouts and recoveries that were a mistake, and what is undone then: RFC 5682, RFC 3708, RFC 4015.

use ustcp_proto::Config;

use crate::wire::*;

const SACKING: &str = "win 65535 <mss 1000,sackOK>";

/// Ten segments in flight over a path of 100 ms, ten more to send, and a timeout has sent the first again.
fn timed_out(config: Config, offer: &str) -> Wire {
    let mut w = Wire::connected_over(
        Config {
            early_retrans: 0,
            ..config
        },
        offer,
        ms(100),
    );
    w.write(20_000);
    assert_eq!(w.places().len(), 10);
    w.after(ms(300));
    w.sees(". 1:1001(1000) ack 1");
    w.quiet();
    assert_eq!((w.info().cwnd, w.info().ssthresh), (1, 7));
    w
}

/// 5682-1, 4015-1: the first ACK that advances brings two new segments; the second shows that what was held lost was only
/// late: nothing more goes again, the window is back, and the timeout learns how long the path can take.
#[test]
fn a_late_window_is_not_sent_again() {
    for offer in [PLAIN, SACKING] {
        let mut w = timed_out(config(), offer);
        w.after(ms(50));
        w.peer(". 1:1(0) ack 1001");
        assert_eq!(w.places(), [10_001, 11_001], "{offer}");
        w.peer(". 1:1(0) ack 2001");
        assert!(w.places().iter().all(|seq| *seq > 11_001), "{offer}");
        assert_eq!(w.info().ssthresh, u32::MAX);
        assert!(w.info().cwnd >= 10);
        assert!(
            w.info().rto >= ms(1000),
            "{:?} after a round trip of 350 ms",
            w.info().rto
        );
        assert_eq!((w.info().total_retrans, w.info().lost), (1, 0));
        let counters = w.stack.counters();
        assert_eq!((counters.spurious_rtos, counters.loss_undos), (1, 1));
    }
}

/// 5682-1 with SACK: what was sent once and is SACKed after the timeout proves as much.
#[test]
fn a_late_sack_undoes_a_timeout() {
    let mut w = timed_out(config(), SACKING);
    w.peer(". 1:1(0) ack 1 <sack 1001:2001>");
    assert_eq!((w.info().ssthresh, w.stack.counters().spurious_rtos), (u32::MAX, 1));
}

/// 5682-2: a duplicate instead: the timeout was right, and what is lost goes again.
#[test]
fn a_duplicate_confirms_the_timeout() {
    for offer in [PLAIN, SACKING] {
        let mut w = timed_out(config(), offer);
        w.after(ms(100));
        w.peer(". 1:1(0) ack 1001");
        assert_eq!(w.places(), [10_001, 11_001]);
        w.after(ms(100));
        let block = if offer == SACKING { " <sack 10001:11001>" } else { "" };
        w.peer(&format!(". 1:1(0) ack 1001{block}"));
        assert_eq!(w.places().first(), Some(&1001), "{offer}");
        assert_eq!((w.info().ssthresh, w.stack.counters().spurious_rtos), (7, 0));
    }
}

/// 5682-2: a duplicate as the first answer.
#[test]
fn a_duplicate_first_confirms_the_timeout() {
    let mut w = timed_out(config(), PLAIN);
    w.peer(". 1:1(0) ack 1");
    w.peer(". 1:1(0) ack 1001");
    assert_eq!(w.places(), [1001, 2001]);
}

/// 5682-1: an acknowledgement that goes beyond the first segment and may owe that to the retransmission proves nothing
/// without SACK.
#[test]
fn a_filled_hole_proves_nothing() {
    let mut w = timed_out(config(), PLAIN);
    w.peer(". 1:1(0) ack 5001");
    assert_eq!((w.info().ssthresh, w.stack.counters().spurious_rtos), (7, 0));
}

/// `tcp_frto` off: what is held lost goes again at once.
#[test]
fn timeouts_may_be_believed() {
    let mut w = timed_out(Config { frto: 0, ..config() }, SACKING);
    w.peer(". 1:1(0) ack 1001");
    assert_eq!(w.places(), [1001, 2001]);
}

/// 5682-1: where there is no new text what is held lost goes again.
#[test]
fn without_new_text_there_is_no_doubt() {
    let mut w = Wire::connected_over(config(), PLAIN, ms(100));
    w.write(3000);
    w.drain();
    w.after(ms(300));
    w.sees(". 1:1001(1000) ack 1");
    w.peer(". 1:1(0) ack 1001");
    assert_eq!(w.places(), [1001, 2001]);
}

/// 3708-1, 4015-1: D-SACKs for all that was sent again: the reduction is undone; for part of it, it is not.
#[test]
fn duplicates_of_everything_undo_a_recovery() {
    for (told, undone) in [(1, false), (2, true)] {
        let mut w = Wire::connected_over(config(), SACKING, ms(100));
        w.write(10_000);
        assert_eq!(w.places().len(), 10);
        w.after(ms(100));
        w.peer(". 1:1(0) ack 1 <sack 2001:10001>");
        assert_eq!(w.places(), [1, 1001]);
        assert_eq!(w.info().ssthresh, 7);
        w.after(ms(5));
        w.peer(". 1:1(0) ack 10001"); // all of it was only late
        w.after(ms(100));
        for number in 0..told {
            let first = 1 + 1000 * number;
            w.peer(&format!(". 1:1(0) ack 10001 <sack {first}:{}>", first + 1000));
        }
        let expected = if undone { u32::MAX } else { 7 };
        assert_eq!(w.info().ssthresh, expected);
        assert_eq!(w.stack.counters().dsack_undos, u64::from(undone));
        assert_eq!(u64::from(w.info().dsack_dups), w.stack.counters().dsacks_received);
    }
}

/// 3708-1, 4015-1: what was late may arrive when the next recovery has begun already. D-SACKs for all that the first sent
/// again undo it nevertheless: at once when the second has been undone, else together with it. Where the second was right,
/// its reduction stays.
#[test]
fn a_recovery_may_prove_needless_during_the_next() {
    for (told, ssthresh) in [
        (&[1, 10_001][..], u32::MAX),
        (&[10_001, 1], u32::MAX),
        (&[10_001], 7),
        (&[1], 5),
    ] {
        let mut w = Wire::connected_over(config(), SACKING, ms(100));
        w.write(40_000);
        w.drain();
        w.after(ms(100));
        w.peer(". 1:1(0) ack 1 <sack 1001:10001>"); // the first is late
        assert_eq!(w.places()[0], 1);
        w.elapse(ms(100));
        w.peer(". 1:1(0) ack 10001");
        assert_eq!(w.info().ssthresh, 7);
        let end = w.places().into_iter().max().expect("new text") + 1000;
        w.peer(&format!(". 1:1(0) ack 10001 <sack 11001:{end}>")); // and so is the first of the next flight
        assert_eq!(w.places()[0], 10_001);
        assert_eq!(w.info().ssthresh, 5);
        let una = end;
        w.elapse(ms(50));
        w.peer(&format!(". 1:1(0) ack {una}"));
        w.drain();
        for first in told {
            w.peer(&format!(". 1:1(0) ack {una} <sack {first}:{}>", first + 1000));
        }
        assert_eq!(w.info().ssthresh, ssthresh, "{told:?}");
        assert_eq!(w.stack.counters().dsack_undos as usize, told.len());
    }
}

/// 2883-2: a D-SACK is no duplicate acknowledgement and shows no loss, and one about more than was ever sent again says
/// nothing at all.
#[test]
fn a_duplicate_is_no_loss() {
    let mut w = Wire::connected_over(config(), SACKING, ms(100));
    w.write(2000);
    w.drain();
    w.after(ms(100));
    w.peer(". 1:1(0) ack 2001");
    w.write(8000);
    w.drain();
    for _ in 0..5 {
        w.peer(". 1:1(0) ack 2001 <sack 1:1001>");
        w.quiet();
    }
    assert_eq!((w.info().sacked, w.info().lost, w.info().dsack_dups), (0, 0, 0));
    assert_eq!(w.stack.counters().fast_retransmits, 0);
}

const STAMPING: &str = "win 65535 <mss 1012,sackOK,ts 1000 0>";
const STAMPING_ALONE: &str = "win 65535 <mss 1012,ts 1000 0>";

/// Ten segments in flight at 100 ms of our clock; the path takes as long.
fn stamped_in_flight() -> Wire {
    in_flight_towards(STAMPING)
}

fn in_flight_towards(offer: &str) -> Wire {
    let config = Config {
        timestamps: true,
        early_retrans: 0,
        frto: 0,
        ..config()
    };
    let mut w = Wire::connected_over(config, offer, ms(100));
    w.write(20_000);
    assert_eq!(w.places().len(), 10);
    w
}

/// 3522-1, 4015-1: the answer to the first copy undoes the timeout that sent the second; the answer to the second does not.
#[test]
fn the_timestamp_of_the_first_copy_undoes_a_timeout() {
    for (echo, undone) in [(100, true), (400, false)] {
        let mut w = stamped_in_flight();
        w.after(ms(300));
        w.sees(". 1:1001(1000) ack 1");
        w.after(ms(20));
        w.peer(&format!(". 1:1(0) ack 1001 <ts 1001 {echo}>"));
        assert_eq!(w.places().contains(&1001), !undone, "echo {echo}");
        assert_eq!(w.info().ssthresh, if undone { u32::MAX } else { 7 });
        assert_eq!(w.stack.counters().loss_undos, u64::from(undone));
        let adapted = w.info().rto >= ms(900); // a round trip of 320 ms, and four times half of it
        assert_eq!(adapted, undone, "{:?}", w.info().rto);
    }
}

/// 3522-1: the same in fast recovery, at its end.
#[test]
fn the_timestamp_of_the_first_copy_undoes_a_recovery() {
    for (echo, undone) in [(100, true), (200, false)] {
        let mut w = stamped_in_flight();
        w.after(ms(100));
        w.peer(". 1:1(0) ack 1 <sack 1001:10001,ts 1001 100>");
        assert_eq!(w.places().first(), Some(&1));
        w.after(ms(50));
        w.peer(&format!(". 1:1(0) ack 10001 <ts 1002 {echo}>"));
        let end = w.places().iter().copied().max().map_or(10_001, |seq| seq + 1000);
        w.peer(&format!(". 1:1(0) ack {end} <ts 1003 {echo}>"));
        assert_eq!(w.info().ssthresh, if undone { u32::MAX } else { 7 }, "echo {echo}");
        let counters = w.stack.counters();
        assert_eq!(counters.full_undos + counters.partial_undos, u64::from(undone));
        assert_eq!(w.info().reord_seen > 0, undone);
    }
}

/// 3522-1: and in the middle of it: the other holes were found lost but are no more, and are not sent again.
#[test]
fn an_undone_recovery_repairs_nothing_more() {
    let mut w = stamped_in_flight();
    w.after(ms(100));
    for (end, sent) in [(4001, 10_001), (5001, 11_001), (6001, 1)] {
        w.peer(&format!(". 1:1(0) ack 1 <sack 3001:{end},ts 1001 100>"));
        assert_eq!(w.places(), [sent]);
    }
    w.after(ms(5));
    w.peer(". 1:1(0) ack 1001 <sack 3001:6001,ts 1002 100>");
    assert!(w.places().iter().all(|seq| *seq > 11_001));
    assert_eq!((w.stack.counters().partial_undos, w.info().ssthresh), (1, u32::MAX));
    w.peer(". 1:1(0) ack 10001 <ts 1003 100>");
    assert_eq!(w.info().total_retrans, 1);
}

/// MUST-18, 4015-1: the ACK was lost, and a timeout has sent a second copy of what had arrived. TSecr is still that of the
/// first, so that the time since then is no round trip; the backoff is over all the same.
#[test]
fn a_lost_acknowledgement_is_no_round_trip() {
    let mut w = stamped_in_flight();
    let before = w.info();
    w.after(ms(300));
    w.sees(". 1:1001(1000) ack 1");
    w.after(ms(600));
    w.sees(". 1:1001(1000) ack 1");
    w.after(ms(100));
    w.peer(". 1:1(0) ack 10001 <sack 1:1001,ts 1001 100>");
    let after = w.info();
    assert_eq!(
        (after.srtt, after.rttvar, after.rto),
        (before.srtt, before.rttvar, before.rto)
    );
    assert_eq!(after.backoff, 0);
}

/// MUST-18: the same from a peer that tells of no duplicates. TSecr names the second copy, while the third had left: the
/// answer to that one, when the one to the second was lost, would measure our own timeout. Karn's rule then, with the
/// backoff, until there is an answer that names what was sent last.
#[test]
fn an_answer_to_an_earlier_copy_is_no_round_trip() {
    for (offer, echo, measured) in [
        (STAMPING_ALONE, 400, false),
        (STAMPING, 400, false),
        (STAMPING_ALONE, 1000, true),
        (STAMPING, 1000, true),
    ] {
        let mut w = in_flight_towards(offer);
        let before = w.info();
        w.after(ms(300));
        w.sees(". 1:1001(1000) ack 1");
        w.after(ms(600));
        w.sees(". 1:1001(1000) ack 1");
        w.after(ms(100));
        w.peer(&format!(". 1:1(0) ack 1001 <ts 1001 {echo}>"));
        let after = w.info();
        assert_eq!(after.rttvar != before.rttvar, measured, "{offer}, echo {echo}");
        assert_eq!(after.backoff, if measured { 0 } else { 2 }, "{offer}, echo {echo}");
    }
}

/// 4015-1: an answer that comes a round trip after the second copy may be to that, when the answer to the first was lost:
/// the timeout is undone, and learns nothing. Where answers are lost often it would learn from itself, and grow each time.
#[test]
fn an_answer_that_may_be_to_the_second_copy_teaches_nothing() {
    for (offer, pause, adapted) in [
        (STAMPING_ALONE, 20, true),
        (STAMPING_ALONE, 100, false),
        (STAMPING, 20, true),
        (STAMPING, 100, false),
    ] {
        let mut w = in_flight_towards(offer);
        w.after(ms(300));
        w.sees(". 1:1001(1000) ack 1");
        w.after(ms(pause));
        w.peer(". 1:1(0) ack 1001 <ts 1001 100>");
        assert_eq!(w.stack.counters().loss_undos, 1);
        let rto = w.info().rto;
        assert_eq!(rto >= ms(900), adapted, "{rto:?} after {pause} ms, {offer}");
    }
}

/// 4015-1, 5682-1: the same where what was sent once is acknowledged with it.
#[test]
fn an_acknowledgement_of_all_teaches_nothing() {
    let mut w = timed_out(config(), SACKING);
    let before = w.info().srtt;
    w.after(ms(100));
    w.peer(". 1:1(0) ack 10001");
    assert_eq!((w.stack.counters().loss_undos, w.info().srtt), (1, before));
}
