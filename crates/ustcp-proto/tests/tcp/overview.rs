//! What a stack has, told as a whole.

use ustcp_proto::{Overview, State, Timer};

use crate::wire::*;

fn of(w: &Wire, state: State) -> Overview {
    let all = w.stack.overview(w.now);
    let mut those = all.into_iter().filter(|one| one.state == state);
    let one = those.next().expect("there is one");
    assert!(those.next().is_none(), "one in {state}");
    one
}

fn timer(w: &Wire, state: State) -> Option<(Timer, core::time::Duration, u8)> {
    of(w, state)
        .timer
        .map(|waiting| (waiting.timer, waiting.left, waiting.count))
}

/// Bytes in both directions, and what TCP knows.
#[test]
fn a_connection_with_its_queues() {
    let mut w = Wire::connected();
    w.peer("P. 1:11(10) ack 1");
    w.write(300);
    w.drain();
    let one = of(&w, State::Established);
    assert_eq!(one.queues, (10, 300));
    assert_eq!(one.info.unwrap().bytes_received, 10);
    assert!(one.socket.is_some() && one.remote.is_some());
}

/// The timers as they take turns: the retransmission's count is that of timeouts.
#[test]
fn the_timer_that_runs() {
    let mut w = Wire::connected();
    assert_eq!(timer(&w, State::Established), None);
    w.set(|options| {
        options.keepalive = true;
        options.keepalive_idle = secs(10);
    });
    assert_eq!(timer(&w, State::Established), Some((Timer::Keepalive, secs(10), 0)));
    w.write(10);
    w.drain();
    let rto = w.info().rto;
    assert_eq!(timer(&w, State::Established), Some((Timer::Retransmission, rto, 0)));
    w.elapse(rto);
    assert_eq!(timer(&w, State::Established), Some((Timer::Retransmission, 2 * rto, 1)));
}

/// A connection that its user has closed is there until the end of TIME-WAIT, once.
#[test]
fn what_goes_on_without_a_user() {
    let mut w = Wire::connected();
    w.close();
    w.sees("F. 1:1(0) ack 1");
    assert_eq!(of(&w, State::FinWait1).queues, (0, 1));
    w.peer(". 1:1(0) ack 2");
    assert_eq!(
        timer(&w, State::FinWait2).map(|(timer, ..)| timer),
        Some(Timer::FinWait2)
    );
    w.peer("F. 1:1(0) ack 2");
    w.drain();
    let time_wait = w.stack.config().time_wait;
    assert_eq!(timer(&w, State::TimeWait), Some((Timer::TimeWait, time_wait, 0)));
    w.after(time_wait);
    assert!(w.stack.overview(w.now).is_empty());
}

/// A user who has only shut down sees TIME-WAIT with its socket.
#[test]
fn time_wait_with_its_user() {
    let mut w = Wire::connected();
    w.shutdown(ustcp_proto::Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer("F. 1:1(0) ack 2");
    w.drain();
    let one = of(&w, State::TimeWait);
    assert!(one.socket.is_some());
    assert_eq!(one.timer.map(|waiting| waiting.timer), Some(Timer::TimeWait));
}

/// A listener has connections in its Recv-Q, and its backlog in the other; half-open ones are told besides.
#[test]
fn a_listener_and_what_knocks() {
    let mut w = Wire::listening(config(), 5);
    w.peer("S 0:0(0) <mss 1000>");
    w.drain();
    let half = of(&w, State::SynReceived);
    assert!(half.socket.is_none() && half.remote.is_some());
    assert_eq!(
        half.timer.map(|waiting| (waiting.timer, waiting.count)),
        Some((Timer::Retransmission, 0))
    );
    assert_eq!(of(&w, State::Listen).queues.0, 0);
    w.peer(". 1:1(0) ack 1");
    let listener = of(&w, State::Listen);
    assert_eq!(listener.queues.0, 1);
    assert_eq!((listener.queues.1, listener.remote), (5, None));
    assert_eq!(of(&w, State::Established).queues, (0, 0));
}
