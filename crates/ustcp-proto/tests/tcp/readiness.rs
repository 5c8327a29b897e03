//! What poll would say, and that pollers are told when it changes: Linux's `tcp_poll`.

use ustcp_proto::{Readiness, Shutdown, State};

use crate::wire::*;

/// The letters of what is ready: Readable, Writable, read Closed, Hang-up, Error.
fn letters(ready: Readiness) -> String {
    [
        (ready.readable, 'R'),
        (ready.writable, 'W'),
        (ready.read_closed, 'C'),
        (ready.hang_up, 'H'),
        (ready.error, 'E'),
    ]
    .iter()
    .filter_map(|(set, letter)| set.then_some(*letter))
    .collect()
}

/// Something that happens, and the letters after it.
type Step = (fn(&mut Wire), &'static str);

/// Sockets that pollers are told of now.
fn told(w: &mut Wire) -> usize {
    core::iter::from_fn(|| w.stack.poll_ready()).count()
}

/// The masks of sockets-as-fds.md §1 over the life of a connection; every change is told.
#[test]
fn the_masks_of_a_life() {
    let mut w = Wire::new(config(), WE_CONNECT);
    let fresh = w.fresh();
    assert_eq!(letters(w.stack.readiness(fresh).expect("ready")), "WH");
    w.connect();
    assert_eq!(letters(w.readiness()), "");
    w.sees("S 0:0(0)");
    told(&mut w);
    let mut shown = w.readiness();
    let steps: [Step; 7] = [
        (|w| w.peer(&format!("S. 0:0(0) ack 1 {PLAIN}")), "W"),
        (|w| w.peer("P. 1:11(10) ack 1"), "RW"),
        (|w| assert_eq!(w.read(10), Ok(10)), "W"),
        (|w| w.peer("F. 11:11(0) ack 1"), "RWC"),
        (|w| w.shutdown(Shutdown::Write), "RWCH"),
        (|w| w.peer(". 12:12(0) ack 2"), "RWCH"),
        (|_| {}, "RWCH"),
    ];
    for (index, (step, mask)) in steps.into_iter().enumerate() {
        step(&mut w);
        w.drain();
        assert_eq!(letters(w.readiness()), mask, "step {index}");
        let changed = w.readiness() != shown;
        assert!(
            !changed || told(&mut w) > 0,
            "step {index}: a change that nobody was told of"
        );
        told(&mut w);
        shown = w.readiness();
    }
    assert_eq!(w.state(), State::Closed);
}

/// EPOLLET: every arrival is an edge although the level stays.
#[test]
fn each_arrival_is_an_edge() {
    let mut w = Wire::connected();
    told(&mut w);
    let mut before = w.readiness().arrivals;
    for segment in ["P. 1:11(10) ack 1", "P. 11:21(10) ack 1", "F. 21:21(0) ack 1"] {
        w.peer(segment);
        assert!(w.readiness().arrivals != before && told(&mut w) == 1, "{segment}");
        before = w.readiness().arrivals;
    }
    w.peer("F. 21:21(0) ack 1"); // nothing new
    assert_eq!(w.readiness().arrivals, before);
}

/// Text out of order is no arrival; the one that fills the gap is.
#[test]
fn text_out_of_order_is_no_arrival() {
    let mut w = Wire::connected();
    let before = w.readiness().arrivals;
    w.peer("P. 11:21(10) ack 1");
    assert_eq!((w.readiness().arrivals, w.readiness().readable), (before, false));
    w.peer("P. 1:11(10) ack 1");
    assert!(w.readiness().arrivals != before && w.readiness().readable);
}

/// Room in a full send buffer is told.
#[test]
fn room_is_told() {
    let mut config = config();
    config.send_buffer = 4000;
    let mut w = Wire::connected_to(config, PLAIN);
    w.write(4000);
    w.drain();
    told(&mut w);
    assert_eq!(letters(w.readiness()), "");
    w.peer(". 1:1(0) ack 3001");
    assert_eq!((letters(w.readiness()).as_str(), told(&mut w)), ("W", 1));
}

/// MUST-12: a reset and a timeout set every bit, and the error until it is fetched.
#[test]
fn errors_set_every_bit() {
    let mut w = Wire::connected();
    told(&mut w);
    w.peer("R 1:1(0)");
    assert_eq!((letters(w.readiness()).as_str(), told(&mut w)), ("RWCHE", 1));
    assert!(w.take_error().is_some());
    assert_eq!((letters(w.readiness()).as_str(), told(&mut w)), ("RWCH", 1));

    let mut w = Wire::connecting(config());
    told(&mut w);
    w.elapse(secs(300));
    assert_eq!(letters(w.readiness()), "RWCHE");
    assert!(told(&mut w) > 0);
}

/// peek leaves bytes where they are; discard drops them unseen.
#[test]
fn peek_and_discard() {
    let mut w = Wire::connected();
    w.peer("P. 1:11(10) ack 1");
    let mut buffer = [0; 20];
    assert_eq!(
        (w.stack.peek(w.id(), 0, &mut buffer), &buffer[..10]),
        (Ok(10), &text(1, 10)[..])
    );
    assert_eq!(
        (w.stack.peek(w.id(), 4, &mut buffer), &buffer[..6]),
        (Ok(6), &text(5, 6)[..])
    );
    assert_eq!(w.stack.queued_in(w.id()), Ok(10));
    assert_eq!(w.stack.discard(w.now, w.id(), 4), Ok(4));
    assert_eq!(
        (w.stack.peek(w.id(), 0, &mut buffer), &buffer[..6]),
        (Ok(6), &text(5, 6)[..])
    );
    assert_eq!(w.stack.discard(w.now, w.id(), 99), Ok(6));
    assert_eq!(w.stack.discard(w.now, w.id(), 99), Err(ustcp_proto::Error::WouldBlock));
    w.peer("F. 11:11(0) ack 1");
    assert_eq!(w.stack.discard(w.now, w.id(), 99), Ok(0));
}

/// Who is shown the bytes where they are takes as many as he says; who takes none is not called again for it.
#[test]
fn reading_in_place() {
    let mut w = Wire::connected();
    for number in 0..5 {
        let at = 1 + 1000 * number;
        w.peer(&format!("P. {at}:{}(1000) ack 1", at + 1000));
    }
    told(&mut w);
    let (now, id) = (w.now, w.id());
    let mut seen = Vec::new();
    let shown = w.stack.recv_in_place(now, id, |pieces| {
        seen = pieces.map(<[u8]>::to_vec).collect();
        4500
    });
    assert_eq!((shown, seen.len(), seen.concat()), (Ok(4500), 2, text(1, 5000))); // it lies in two pages
    assert_eq!(w.stack.recv_in_place(now, id, |_| 0), Ok(0));
    assert_eq!(w.stack.queued_in(id), Ok(500));
    assert_eq!(w.stack.recv_in_place(now, id, |_| 9999), Ok(500));
    told(&mut w);
    let nothing = w
        .stack
        .recv_in_place(now, id, |_| unreachable!("there is nothing to show"));
    assert_eq!((nothing, told(&mut w)), (Err(ustcp_proto::Error::WouldBlock), 0));
    w.peer("F. 5001:5001(0) ack 1");
    assert_eq!(w.stack.recv_in_place(now, id, |_| unreachable!()), Ok(0));
}
