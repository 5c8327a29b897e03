//! A connection whose owner has its share of the memory: what its peer and its user are told, and what they are given.

use ustcp_proto::{Config, DropReason, Error, Owner, SocketId};

use crate::wire::*;

/// What a process may have of `memory_limit`.
const SHARE: usize = 100_000;

/// What each socket may hold whatever its owner has, each way.
const FLOOR: usize = 16 * 1024;

fn limited() -> Config {
    Config {
        memory_limit: 4 * SHARE,
        receive_buffer: 60_000,
        ..config()
    }
}

/// A server on port 80 and a connection to it, of one owner.
fn server(config: Config) -> Wire {
    let mut w = Wire::listening(config, 16);
    w.use_socket(w.listener());
    w.set(|options| options.owner = Some(Owner { process: 1, user: 7 }));
    accept_from(&mut w, 1000);
    w
}

/// One more connection, from the peer's `port`.
fn accept_from(w: &mut Wire, port: u16) {
    w.accept_from(port, "win 65535 <mss 1000,sackOK,ws 3>");
}

fn turn_to(w: &mut Wire, (ports, id): (Ports, SocketId)) {
    w.ports = ports;
    w.use_socket(id);
}

/// What is done with another connection than the one that the script is about.
fn beside<T>(w: &mut Wire, other: (Ports, SocketId), act: impl FnOnce(&mut Wire) -> T) -> T {
    let here = (w.ports, w.id());
    turn_to(w, other);
    let result = act(w);
    turn_to(w, here);
    result
}

/// Two connections that are not read take all that there is: the first of them.
fn fill_up(w: &mut Wire) -> (Ports, SocketId) {
    fill_up_by(w, [1, 1])[0]
}

/// The same of two processes: both of them.
fn fill_up_by(w: &mut Wire, processes: [u32; 2]) -> [(Ports, SocketId); 2] {
    let here = (w.ports, w.id());
    let both = [(1001, processes[0]), (1002, processes[1])].map(|(port, process)| {
        accept_from(w, port);
        w.set(|options| options.owner = Some(Owner { process, user: 7 }));
        (w.ports, w.id())
    });
    for socket in both {
        turn_to(w, socket);
        w.peer(". 1:50001(50000) ack 1");
        w.elapse(ms(40));
        assert_eq!(w.stack.queued_in(w.id()), Ok(50_000));
    }
    turn_to(w, here);
    told(w);
    both
}

/// The peer takes nothing, and the user has written what he was allowed to.
fn write_all_that_is_granted(w: &mut Wire) {
    w.peer(". 1:1(0) ack 1 win 0");
    assert_eq!(w.try_write(50_000), Ok(FLOOR));
    w.drain();
}

/// Whom pollers are told of now.
fn told(w: &mut Wire) -> Vec<SocketId> {
    core::iter::from_fn(|| w.stack.poll_ready()).collect()
}

/// SHLD-14, where it gives way: what was promised when there was memory cannot be kept. The peer hears at once how much there is, and at once when it has
/// been read.
#[test]
fn what_is_refused_shuts_the_window_and_reading_opens_it() {
    let mut w = server(limited());
    fill_up(&mut w);
    for first in (1..30_001).step_by(1000) {
        w.peer(&format!(". {first}:{}(1000) ack 1", first + 1000));
    }
    let last = w.drain().pop().expect("an acknowledgement");
    assert_eq!((last.ack, last.win), (Some(1 + FLOOR as i64), Some(0)));
    assert_eq!(w.stack.queued_in(w.id()), Ok(FLOOR));
    w.peer(". 16385:17385(1000) ack 1");
    w.sees(". 1:1(0) ack 16385 win 0 <>");

    assert_eq!(w.read(99_999), Ok(FLOOR));
    w.sees(". 1:1(0) ack 16385 win 16384 <>");
    w.peer(". 17385:18385(1000) ack 1");
    w.sees(". 1:1(0) ack 16385 <sack 17385:18385>"); // ahead of its turn, and there is room for it
    w.peer(". 16385:17385(1000) ack 1");
    w.sees(". 1:1(0) ack 18385 win 14384 <>");
    assert_eq!(w.read(99_999), Ok(2000));
}

/// What the peer had sent by then stands between us and its acknowledgements: they count all the same (RFC 9293 §3.10.7.4,
/// RFC 7323 §2.4).
#[test]
fn acknowledgements_behind_what_was_refused_count() {
    let mut w = server(limited());
    fill_up(&mut w);
    w.write(1000);
    w.sees("P. 1:1001(1000) ack 1");
    w.peer(". 1:20001(20000) ack 1");
    w.sees(". 1001:1001(0) ack 16385 win 0");
    w.peer(". 20001:20001(0) ack 1001");
    assert_eq!(w.stack.queued_out(w.id()), Ok(0));
    w.quiet();
    w.peer(". 20001:21001(1000) ack 1001");
    w.sees(". 1001:1001(0) ack 16385 win 0");
    assert_eq!(w.read(99_999), Ok(FLOOR));
    w.sees(". 1001:1001(0) ack 16385 win 16384");
    w.peer("R 20001:20001(0)"); // a challenge for what is in no window of ours but once was
    w.sees(". 1001:1001(0) ack 16385");
}

/// Of a segment that does not fit a part is taken, and the peer need not wait to hear of it.
#[test]
fn what_is_cut_is_acknowledged_at_once() {
    let mut w = server(limited());
    fill_up(&mut w);
    w.peer("F. 1:20001(20000) ack 1");
    w.sees(". 1:1(0) ack 16385 win 0");
    w.quiet();
    assert_eq!(w.read(99_999), Ok(FLOOR));
    w.sees(". 1:1(0) ack 16385 win 16384");
    w.peer("F. 16385:20001(3616) ack 1");
    w.elapse(ms(40));
    assert_eq!((w.read(99_999), w.read(1)), (Ok(3616), Ok(0)));
}

/// What lies beyond what there is room for is refused although the buffer is empty.
#[test]
fn what_is_too_far_ahead_is_refused() {
    let mut w = server(limited());
    fill_up(&mut w);
    w.peer(". 16385:17385(1000) ack 1");
    w.sees(". 1:1(0) ack 1 win 16384 <>");
    w.peer(". 15885:16885(1000) ack 1");
    w.sees(". 1:1(0) ack 1 win 16384 <sack 15885:16385>");
    assert_eq!(w.drops(DropReason::Limit), 1);
}

/// MUST-39: however large a segment is, and however coarse the window field, the window opens by one.
#[test]
fn the_window_has_room_for_a_segment() {
    for (mtu, segment) in [(65_535, 65_495), (32_001, 31_961)] {
        let mut w = server(Config {
            mtu,
            receive_buffer: 1 << 20,
            ..limited()
        });
        fill_up(&mut w);
        let mut next = 1;
        for _ in 0..5 {
            w.peer(&format!(". {next}:{}({segment}) ack 1", next + segment));
            w.elapse(ms(40));
            next += segment;
            assert_eq!(w.read(99_999), Ok(segment as usize));
            w.drain();
            assert!(w.info().rcv_wnd as i64 >= segment, "{} of {segment}", w.info().rcv_wnd);
        }
        assert_eq!(w.drops(DropReason::Limit), 0);
    }
}

/// Nor is more promised to begin with, to whoever comes and to whom we go.
#[test]
fn a_syn_promises_what_there_is() {
    let mut w = server(limited());
    fill_up(&mut w);
    w.ports = Ports(SERVER, 2000);
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    w.sees("S. 0:0(0) ack 1 win 16060"); // eleven segments
    let id = w.fresh();
    w.use_socket(id);
    w.set(|options| options.owner = Some(Owner { process: 1, user: 7 }));
    w.ports = Ports(3000, 80);
    let remote = core::net::SocketAddr::new(PEERS, 80);
    w.stack.bind(id, core::net::SocketAddr::new(OURS, 3000)).expect("bind");
    assert_eq!(w.stack.connect(w.now, id, remote), Err(Error::InProgress));
    w.sees("S 0:0(0) win 16060");
}

/// A reader who waits for more than there is room for is told that it will not come.
#[test]
fn who_waits_for_much_is_told_that_there_is_no_room() {
    let mut w = server(limited());
    w.set(|options| options.receive_low = 30_000);
    fill_up(&mut w);
    w.peer(". 1:16385(16384) ack 1");
    assert!(!w.readiness().readable);
    told(&mut w);
    w.peer(". 16385:17385(1000) ack 1");
    assert!(w.readiness().readable && told(&mut w).contains(&w.id()));
}

/// Of what is refused again and again, because there is no memory in the whole stack, the user hears once.
#[test]
fn a_user_is_told_once_that_there_is_no_room() {
    let mut w = server(limited());
    let here = (w.ports, w.id());
    let others: Vec<_> = (1001..1009)
        .map(|port| {
            accept_from(&mut w, port);
            let number = u32::from(port % 4) + 1;
            w.set(|options| {
                options.owner = Some(Owner {
                    process: number,
                    user: number + 6,
                });
            });
            (w.ports, w.id())
        })
        .collect();
    for other in others {
        turn_to(&mut w, other);
        w.peer(". 1:50001(50000) ack 1");
    }
    turn_to(&mut w, here);
    for hears in [true, false] {
        w.drain();
        told(&mut w);
        w.peer(". 2001:3001(1000) ack 1");
        w.sees(". 1:1(0) ack 1 win 16384 <>");
        assert_eq!(told(&mut w).contains(&w.id()), hears);
    }
}

/// poll says that there is room where send takes something, and not where it does not.
#[test]
fn poll_says_what_send_takes() {
    let mut w = server(limited());
    fill_up(&mut w);
    assert!(w.readiness().writable);
    assert_eq!(w.stack.room(w.id()), Ok(FLOOR));
    assert_eq!(w.try_write(50_000), Ok(FLOOR));
    let blocked = |w: &mut Wire| {
        let seen = (w.readiness().writable, w.stack.room(w.id()), w.try_write(1));
        seen == (false, Ok(0), Err(Error::WouldBlock))
    };
    assert!(blocked(&mut w));
    w.drain();
    told(&mut w);
    w.peer(". 1:1(0) ack 9001");
    assert!(w.readiness().writable && told(&mut w).contains(&w.id()));
    assert_eq!((w.stack.room(w.id()), w.try_write(50_000)), (Ok(9000), Ok(9000)));
    assert!(blocked(&mut w));
}

/// A writer whose peer takes nothing waits for its owner's memory, and is told when another connection gives some back.
#[test]
fn a_writer_is_told_when_another_makes_room() {
    let mut w = server(limited());
    let other = fill_up(&mut w);
    write_all_that_is_granted(&mut w);
    told(&mut w);
    assert_eq!(beside(&mut w, other, |w| w.read(1000)), Ok(1000));
    assert!(!told(&mut w).contains(&w.id()) && !w.readiness().writable);
    assert_eq!(beside(&mut w, other, |w| w.read(99_999)), Ok(49_000));
    assert!(told(&mut w).contains(&w.id()) && w.readiness().writable);
    assert_eq!(w.try_write(10_000), Ok(10_000));
}

/// And when another connection ends.
#[test]
fn a_writer_is_told_when_another_ends() {
    let mut w = server(limited());
    let other = fill_up(&mut w);
    write_all_that_is_granted(&mut w);
    told(&mut w);
    beside(&mut w, other, Wire::close);
    assert!(told(&mut w).contains(&w.id()) && w.readiness().writable);
}

/// A peer whose text nobody has read yet may send on when another connection gives memory back.
#[test]
fn a_peer_is_told_when_another_makes_room() {
    let mut w = server(limited());
    let other = fill_up(&mut w);
    w.peer(". 1:20001(20000) ack 1");
    w.sees(". 1:1(0) ack 16385 win 0");
    assert_eq!(beside(&mut w, other, |w| w.read(99_999)), Ok(50_000));
    let opened = w.drain().iter().filter_map(|segment| segment.win).max();
    assert!(opened >= Some(5000), "{opened:?}");
}

/// A user in several processes has twice as much: what one of them gives back is another's.
#[test]
fn a_user_is_told_across_its_processes() {
    let mut w = server(Config {
        memory_limit: 2 * SHARE,
        ..limited()
    });
    let [other, _] = fill_up_by(&mut w, [2, 3]);
    write_all_that_is_granted(&mut w);
    told(&mut w);
    assert_eq!(beside(&mut w, other, |w| w.read(99_999)), Ok(50_000));
    assert!(told(&mut w).contains(&w.id()));
}

/// A writer who wrote while there was memory, and heard nothing since, is told all the same when there is some again.
#[test]
fn a_writer_of_better_times_is_told_when_another_makes_room() {
    let mut w = server(limited());
    w.peer(". 1:1(0) ack 1 win 0");
    let here = (w.ports, w.id());
    let others = [1001, 1002].map(|port| {
        accept_from(&mut w, port);
        w.set(|options| options.owner = Some(Owner { process: 1, user: 7 }));
        (w.ports, w.id())
    });
    turn_to(&mut w, here);
    assert_eq!(w.try_write(40_000), Ok(40_000));
    for other in others {
        beside(&mut w, other, |w| w.peer(". 1:50001(50000) ack 1"));
    }
    w.drain();
    told(&mut w);
    assert!(!w.readiness().writable);
    assert_eq!(beside(&mut w, others[0], |w| w.read(99_999)), Ok(50_000));
    assert_eq!(beside(&mut w, others[1], |w| w.read(20_000)), Ok(20_000));
    assert!(told(&mut w).contains(&w.id()) && w.readiness().writable);
}

/// Several wait, and one of them takes what little is given back: the others are told when there is more.
#[test]
fn who_comes_too_late_is_told_the_next_time() {
    let mut w = server(limited());
    let late = (w.ports, w.id());
    accept_from(&mut w, 1003);
    w.set(|options| options.owner = Some(Owner { process: 1, user: 7 }));
    let [first, second] = fill_up_by(&mut w, [1, 1]);
    write_all_that_is_granted(&mut w);
    beside(&mut w, late, write_all_that_is_granted);
    told(&mut w);
    assert_eq!(beside(&mut w, first, |w| w.read(99_999)), Ok(50_000));
    assert_eq!(beside(&mut w, second, |w| w.read(20_000)), Ok(20_000));
    assert!(told(&mut w).contains(&late.1));
    assert_eq!(w.try_write(40_000), Ok(40_000));
    assert!(!beside(&mut w, late, |w| w.readiness().writable));
    beside(&mut w, first, Wire::close);
    beside(&mut w, second, Wire::close);
    assert!(told(&mut w).contains(&late.1) && beside(&mut w, late, |w| w.readiness().writable));
}
