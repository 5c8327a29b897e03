//! How connections end, and what both sides hear of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::{
    KERNEL, Program, Reach, STACK, STALLED, at, await_events, engine, engine_with, last_words_arrive, pattern,
};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_socket_oobinline};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use ustcp_client::protocol::{Address, Operation, Request, Tag};

const ENDED: PollFlags = PollFlags::IN.union(PollFlags::OUT).union(PollFlags::RDHUP);
const BROKEN: PollFlags = ENDED.union(PollFlags::HUP).union(PollFlags::ERR);

fn reset(peer: TcpStream) {
    set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
}

/// The kernel shows room once it has thrown away what the engine left unread, a moment after it shows the rest.
fn await_broken(program: &Program) {
    assert!(program.await_events(PollFlags::HUP).contains(PollFlags::HUP));
    while program.events() != BROKEN {
        std::thread::yield_now();
    }
}

#[test]
fn after_a_message_of_any_length_the_peers_reset_is_heard() {
    let Some(engine) = engine() else { return };
    for len in [1, 2, 4095, 4096, 4097, 70_000] {
        let (program, mut peer) = engine.connected_to_kernel();
        for message in [pattern(len), vec![7], pattern(len)] {
            program.write(&message);
            let mut got = vec![0; message.len()];
            peer.read_exact(&mut got).unwrap();
            assert!(got == message, "{len} bytes");
        }
        reset(peer);
        await_broken(&program);
        assert_eq!(program.read_to_end(), Err(libc::ECONNRESET), "{len} bytes");
    }
}

/// What the kernel's program reads in the end.
fn error_of(peer: &mut TcpStream) -> Option<i32> {
    await_events(&*peer, PollFlags::RDHUP);
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).err().and_then(|error| error.raw_os_error())
}

#[test]
fn the_peers_reset_comes_after_what_it_sent_before() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    peer.write_all(b"last words").unwrap();
    program.await_events(PollFlags::IN);
    reset(peer);
    await_broken(&program);
    assert_eq!(program.read_exact(10), b"last words");
    assert_eq!(program.read_to_end(), Err(libc::ECONNRESET));
    assert_eq!(program.read_to_end(), Ok(vec![]));
    assert_eq!(program.fault(), libc::ECONNRESET);
    assert_eq!(program.fault(), libc::ECONNRESET);
    assert_eq!(program.option(libc::SOL_SOCKET, libc::SO_ERROR), Ok(libc::ECONNRESET));
    assert_eq!(program.option(libc::SOL_SOCKET, libc::SO_ERROR), Ok(0));
    assert_eq!(program.address(Operation::PeerAddress), Err(libc::ENOTCONN));
    assert_eq!(
        program.address(Operation::LocalAddress).unwrap().ip().to_string(),
        STACK
    );
    assert_eq!(program.connect(at(KERNEL, 1)), Err(libc::EISCONN));
}

/// What is asked in the turn of the failure, before the engine has looked at the attempt itself.
#[test]
fn a_failure_is_told_once_by_whoever_asks_first() {
    let Some(engine) = engine() else { return };
    let nowhere = at("127.0.0.1", 1); // relayed: the kernel refuses it before its connect returns
    let address = Address(nowhere).to_bytes();
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ERROR);
    for ask in [
        (Operation::Connect, 0, 0, &address[..]),
        (Operation::GetOption, level, name, &[]),
    ] {
        for _ in 0..20 {
            let (program, control) = (engine.socket(), engine.control());
            control.send(Operation::Connect, program.number, 0, 0, &address);
            let (operation, a, b, payload) = ask;
            control.send(operation, program.number, a, b, payload);
            assert_eq!(control.answer(), Err(libc::EINPROGRESS));
            let told = control.answer();
            let error = told.map_or_else(|errno| errno, |value| i32::from_ne_bytes(value.try_into().unwrap()));
            assert_eq!(error, libc::ECONNREFUSED, "{operation:?}");
            assert_eq!(program.connect_now(nowhere), Err(libc::ESTALE), "{operation:?}");
        }
    }
}

/// Sets `TCP_KEEPCNT` of a socket that has no stream yet, or asks for it.
fn ask_unattached(engine: &Reach, operation: Operation, socket: u64, value: &[u8]) -> Result<Vec<u8>, i32> {
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_KEEPCNT);
    engine.ask(operation, socket | Request::UNATTACHED, level, name, value)
}

fn count(number: i32) -> Vec<u8> {
    number.to_ne_bytes().to_vec()
}

/// Who only looks takes the place of none that has set something.
#[test]
fn an_option_that_is_read_before_there_is_a_stream_keeps_nothing() {
    let Some(engine) = engine_with(|_, options| options.quotas.departed = 2) else {
        return;
    };
    let ask = |operation, socket, value: &[u8]| ask_unattached(&engine, operation, socket, value);
    assert_eq!(ask(Operation::SetOption, 1, &count(7)), Ok(vec![]));
    for number in 2..10 {
        assert_eq!(ask(Operation::GetOption, number, &[]), Ok(count(9)));
    }
    assert_eq!(ask(Operation::GetOption, 1, &[]), Ok(count(7)));
}

/// Nor does one more that sets something: it is to have a stream first.
#[test]
fn options_of_too_many_without_a_stream_are_refused_and_none_are_forgotten() {
    let Some(engine) = engine_with(|_, options| options.quotas.departed = 2) else {
        return;
    };
    let ask = |operation, socket, value: &[u8]| ask_unattached(&engine, operation, socket, value);
    for number in [1, 2] {
        assert_eq!(ask(Operation::SetOption, number, &count(7)), Ok(vec![]));
    }
    assert_eq!(ask(Operation::SetOption, 3, &count(7)), Err(libc::ESTALE));
    assert_eq!(ask(Operation::SetOption, 2, &count(8)), Ok(vec![]));
    assert_eq!(ask(Operation::GetOption, 1, &[]), Ok(count(7)));
    assert_eq!(ask(Operation::GetOption, 2, &[]), Ok(count(8)));
}

/// Options ask for no stream.
#[test]
fn options_are_kept_for_a_stream_that_is_yet_to_come() {
    let Some(engine) = engine() else { return };
    let tag = Tag {
        socket: 0x1234,
        is_v6: true,
    };
    let number = tag.socket | Request::UNATTACHED_V6;
    let ask = |operation, name, value: &[u8]| engine.ask(operation, number, libc::IPPROTO_TCP, name, value);
    let count = |number: i32| number.to_ne_bytes().to_vec();
    assert_eq!(ask(Operation::SetOption, libc::TCP_KEEPCNT, &count(7)), Ok(vec![]));
    assert_eq!(
        ask(Operation::SetOption, libc::TCP_KEEPCNT, &count(128)),
        Err(libc::EINVAL)
    );
    assert_eq!(ask(Operation::GetOption, libc::TCP_KEEPCNT, &[]), Ok(count(7)));
    assert_eq!(
        engine.ask(
            Operation::SetOption,
            number,
            libc::IPPROTO_IPV6,
            libc::IPV6_V6ONLY,
            &count(1)
        ),
        Ok(vec![])
    );
    assert_eq!(
        engine.ask(Operation::GetOption, 0x1234, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, &[]),
        Ok(count(7))
    );
    let program = engine.attached(tag);
    assert_eq!(program.option(libc::IPPROTO_TCP, libc::TCP_KEEPCNT), Ok(7));
    assert_eq!(program.option(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY), Ok(1));
    assert!(
        engine
            .ask(
                Operation::SetOption,
                0x4321,
                libc::IPPROTO_TCP,
                libc::TCP_KEEPCNT,
                &count(7)
            )
            .is_err()
    );
}

#[test]
fn a_reset_overtakes_nothing_that_the_program_has_no_room_for() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    let bytes = pattern(400_000); // more than a stream takes unread, less than the window
    peer.write_all(&bytes).unwrap();
    while rustix::io::ioctl_fionread(&program.stream).unwrap() < 100_000 {
        std::thread::yield_now();
    }
    // A reset overtakes what is on its way.
    while outstanding(&peer) > 0 {
        std::thread::yield_now();
    }
    reset(peer);
    assert_eq!(program.read_exact(bytes.len()), bytes);
    assert_eq!(program.read_to_end(), Err(libc::ECONNRESET));
}

/// Bytes that the kernel has sent and not seen acknowledged.
fn outstanding(peer: &TcpStream) -> u64 {
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let ends = [peer.local_addr(), peer.peer_addr()].map(|end| format!(":{:04X}", end.unwrap().port()));
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<&str>>());
    let mut mine = rows.filter(|row| row[1].ends_with(&ends[0]) && row[2].ends_with(&ends[1]));
    let queues = mine.next().unwrap()[4];
    u64::from_str_radix(queues.split(':').next().unwrap(), 16).unwrap()
}

#[test]
fn a_program_that_leaves_bytes_unread_resets_its_peer() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    peer.write_all(b"unread").unwrap();
    program.await_events(PollFlags::IN);
    drop(program);
    assert_eq!(error_of(&mut peer), Some(libc::ECONNRESET));
}

#[test]
fn a_program_that_wants_no_lingering_resets_its_peer() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    let linger = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
    program.set_option(libc::SOL_SOCKET, libc::SO_LINGER, &linger).unwrap();
    drop(program);
    assert_eq!(error_of(&mut peer), Some(libc::ECONNRESET));
}

#[test]
fn what_comes_for_a_program_that_has_gone_is_answered_by_a_reset() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    drop(program);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    peer.write_all(b"anybody there?").unwrap();
    await_events(&peer, PollFlags::empty()); // the error alone
    let error = peer.take_error().unwrap().unwrap();
    assert_eq!(error.raw_os_error(), Some(libc::EPIPE)); // what a reset is called in CLOSE-WAIT
}

/// As Linux, also where what the program wrote before is still on its way.
#[test]
fn what_comes_for_a_program_that_has_shut_both_halves_is_answered_by_a_reset() {
    let Some(engine) = engine() else { return };
    for address in [KERNEL, "127.0.0.1"] {
        let (program, mut peer) = engine.stalled(address);
        program.ask(Operation::Shutdown, libc::SHUT_RDWR, &[]).unwrap();
        program.stream.shutdown(std::net::Shutdown::Both).unwrap();
        peer.write_all(b"too late").unwrap();
        assert_eq!(error_of(&mut peer), Some(libc::ECONNRESET), "{address}");
    }
}

/// What had come before is nobody's business any more.
#[test]
fn what_a_program_wrote_before_it_shut_both_halves_arrives_whatever_has_come() {
    let Some(engine) = engine() else { return };
    for address in [KERNEL, "127.0.0.1"] {
        let (program, mut peer) = engine.stalled(address);
        peer.write_all(&pattern(240_000)).unwrap(); // more than a stream takes unread, less than the window besides
        while outstanding(&peer) > 0 {
            std::thread::yield_now();
        }
        program.ask(Operation::Shutdown, libc::SHUT_RDWR, &[]).unwrap();
        program.stream.shutdown(std::net::Shutdown::Both).unwrap();
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        assert_eq!(got, pattern(STALLED), "{address}");
    }
}

#[test]
fn what_a_program_wrote_before_it_went_arrives() {
    let Some(engine) = engine() else { return };
    let (program, peer) = engine.connected_to_kernel();
    last_words_arrive(program, peer);
}

#[test]
fn a_failed_attempt_is_told_once_and_may_be_made_again() {
    let Some(engine) = engine() else { return };
    let refused = TcpListener::bind((KERNEL, 0)).unwrap().local_addr().unwrap();
    let program = engine.socket();
    let own = at(STACK, 4711);
    program.ask(Operation::Bind, 0, &Address(own).to_bytes()).unwrap();
    program
        .set_option(libc::IPPROTO_TCP, libc::TCP_NODELAY, &1_i32.to_ne_bytes())
        .unwrap();
    assert_eq!(program.connect(refused), Err(libc::ECONNREFUSED));
    await_broken(&program);
    assert_eq!(program.option(libc::SOL_SOCKET, libc::SO_ERROR), Ok(0));
    assert_eq!(program.address(Operation::LocalAddress), Ok(own));
    assert_eq!(program.connect(refused), Err(libc::ESTALE));

    let again = program.renewed();
    assert_eq!(again.option(libc::IPPROTO_TCP, libc::TCP_NODELAY), Ok(1));
    let listener = TcpListener::bind(refused).unwrap();
    again.connect(refused).unwrap();
    assert_eq!(listener.accept().unwrap().1, own);
    drop(program);
    again.write(b"still connected");
}

#[test]
fn an_attempt_that_does_not_wait_fails_in_poll_and_tells_why() {
    let Some(engine) = engine() else { return };
    let refused = Address(TcpListener::bind((KERNEL, 0)).unwrap().local_addr().unwrap()).to_bytes();
    for by_option in [true, false] {
        let program = engine.socket();
        assert_eq!(program.ask(Operation::Connect, 0, &refused), Err(libc::EINPROGRESS));
        await_broken(&program);
        assert_eq!(program.fault(), libc::ECONNREFUSED);
        if by_option {
            assert_eq!(program.option(libc::SOL_SOCKET, libc::SO_ERROR), Ok(libc::ECONNREFUSED));
        } else {
            assert_eq!(program.ask(Operation::Connect, 0, &refused), Err(libc::ECONNREFUSED));
        }
        assert_eq!(program.ask(Operation::Connect, 0, &refused), Err(libc::ESTALE));
    }
}

#[test]
fn a_wait_that_is_given_up_leaves_the_attempt_alone() {
    let Some(engine) = engine() else { return };
    let program = engine.socket();
    let (listener, port) = engine.listener(1);
    let to = Address(at("127.0.0.1", port)).to_bytes();
    let control = engine.control();
    control.send(Operation::Connect, program.number, 1, 0, &to);
    drop(control);
    program.await_events(PollFlags::OUT);
    let (server, _) = listener.accept();
    server.write(b"here");
    assert_eq!(program.read_exact(4), b"here");
}

#[test]
fn disconnect_undoes_connect_and_listen() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    program.ask(Operation::Disconnect, 0, &[]).unwrap();
    assert_eq!(error_of(&mut peer), Some(libc::ECONNRESET));
    assert_eq!(program.connect(at(KERNEL, 1)), Err(libc::ESTALE));
    let program = program.renewed();
    program
        .ask(Operation::Bind, 0, &Address(at(STACK, 80)).to_bytes())
        .unwrap();
    program.ask(Operation::Listen, 1, &[]).unwrap();
    let client = engine.socket();
    client.connect(at(STACK, 80)).unwrap();
    program.ask(Operation::Disconnect, 0, &[]).unwrap();
    let program = program.renewed();
    assert_eq!(engine.socket().connect(at(STACK, 80)), Err(libc::ECONNREFUSED));
    program.ask(Operation::Listen, 1, &[]).unwrap();
    assert_eq!(program.address(Operation::LocalAddress), Ok(at(STACK, 80)));
}

#[test]
fn a_listener_that_closes_resets_what_waits_in_accept() {
    let Some(engine) = engine() else { return };
    let (listener, port) = engine.listener(8);
    let mut offered = TcpStream::connect(at(STACK, port)).unwrap();
    listener.await_events(PollFlags::IN);
    drop(listener);
    assert_eq!(error_of(&mut offered), Some(libc::ECONNRESET));
    let refused = TcpStream::connect(at(STACK, port)).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn a_descriptor_that_was_taken_outlives_its_listener() {
    let Some(engine) = engine() else { return };
    let (listener, port) = engine.listener(8);
    let mut peer = TcpStream::connect(at(STACK, port)).unwrap();
    let (accepted, _) = listener.take_arrival();
    drop(listener);
    let refused = TcpStream::connect(at(STACK, port)).unwrap_err(); // the engine has seen it
    assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
    accepted.confirm();
    accepted.write(b"mine");
    let mut got = [0; 4];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"mine");
}

#[test]
fn one_that_was_reset_before_accept_is_accepted_and_says_so() {
    let Some(engine) = engine() else { return };
    let (listener, port) = engine.listener(8);
    let mut peer = TcpStream::connect(at(STACK, port)).unwrap();
    let from = peer.local_addr().unwrap();
    peer.write_all(b"early").unwrap();
    listener.await_events(PollFlags::IN);
    reset(peer);
    let (accepted, arrival) = listener.accept();
    assert_eq!(arrival.peer, Address(from));
    accepted.await_events(PollFlags::HUP);
    assert_eq!(accepted.read_exact(5), b"early");
    assert_eq!(accepted.read_to_end(), Err(libc::ECONNRESET));
}

#[test]
fn no_more_are_offered_than_the_backlog_and_all_come_in_the_end() {
    let Some(engine) = engine() else { return };
    let (listener, port) = engine.listener(2);
    let peers: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(at(STACK, port)).unwrap()).collect();
    for peer in &peers {
        let (_accepted, arrival) = listener.accept();
        assert!(
            peers
                .iter()
                .any(|peer| Address(peer.local_addr().unwrap()) == arrival.peer),
            "{peer:?}"
        );
    }
}

#[test]
fn a_listener_that_is_shut_down_listens_no_longer() {
    let Some(engine) = engine() else { return };
    let (listener, port) = engine.listener(8);
    listener.ask(Operation::Shutdown, libc::SHUT_RD, &[]).unwrap();
    listener.stream.shutdown(std::net::Shutdown::Read).unwrap();
    let refused = TcpStream::connect(at(STACK, port)).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn reading_that_is_shut_ends_at_once() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    program.ask(Operation::Shutdown, libc::SHUT_RD, &[]).unwrap();
    assert_eq!(program.read_to_end(), Ok(vec![]));
    assert_eq!(program.events(), ENDED);
    program.write(b"still writing");
    let mut got = [0; 13];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(
        engine.socket().ask(Operation::Shutdown, libc::SHUT_RD, &[]),
        Err(libc::ENOTCONN)
    );
}

#[test]
fn both_halves_shut_is_fin_and_no_reset() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    program.write(b"all");
    program.ask(Operation::Shutdown, libc::SHUT_RDWR, &[]).unwrap();
    program.stream.shutdown(std::net::Shutdown::Both).unwrap();
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"all");
}

#[test]
fn an_engine_that_dies_resets_every_program() {
    let Some(mut engine) = engine() else { return };
    let (listener, port) = engine.listener(8);
    let (program, _peer) = engine.connected_to_kernel();
    let client = engine.socket();
    client.connect(at("127.0.0.1", port)).unwrap();
    let (server, _) = listener.accept();
    let attempt = engine.socket();
    let nowhere = Address(at("10.77.0.77", 1)).to_bytes();
    assert_eq!(attempt.ask(Operation::Connect, 0, &nowhere), Err(libc::EINPROGRESS));
    engine.stop();
    for program in [program, client, server, attempt] {
        program.await_events(PollFlags::HUP);
        assert_eq!(program.read_to_end(), Err(libc::ECONNRESET));
    }
}

#[test]
fn urgent_bytes_go_out_in_their_place() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    program.write(b"before");
    let sent = program.ask(Operation::SendUrgent, 1, b"!").unwrap();
    assert_eq!(sent, 1_u32.to_ne_bytes());
    program.write(b"after");
    program.shut_writing();
    await_events(&peer, PollFlags::PRI);
    let mut byte = [0];
    assert_eq!(recv(&peer, &mut byte, RecvFlags::OOB).unwrap().1, 1);
    assert_eq!(&byte, b"!");
    let mut stream = Vec::new();
    peer.read_to_end(&mut stream).unwrap();
    assert_eq!(stream, b"beforeafter");
}

#[test]
fn urgent_bytes_come_in_in_their_place() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    peer.write_all(b"before").unwrap();
    send(&peer, b"!", SendFlags::OOB).unwrap();
    peer.write_all(b"after").unwrap();
    drop(peer);
    program.await_events(PollFlags::PRI);
    let mut bytes = [0; 20];
    assert_eq!(recv(&program.stream, &mut bytes, RecvFlags::OOB).unwrap().1, 1);
    assert_eq!(bytes[0], b'!');
    assert_eq!(recv(&program.stream, &mut bytes, RecvFlags::OOB), Err(Errno::INVAL));
    assert_eq!(program.read_to_end().unwrap(), b"beforeafter");
}

#[test]
fn urgent_bytes_stay_in_the_stream_of_a_program_that_wants_them_there() {
    let Some(engine) = engine() else { return };
    let (listener, port) = engine.listener(1);
    listener
        .set_option(libc::SOL_SOCKET, libc::SO_OOBINLINE, &1_i32.to_ne_bytes())
        .unwrap();
    assert_eq!(listener.option(libc::SOL_SOCKET, libc::SO_OOBINLINE), Ok(1));
    let mut peer = TcpStream::connect(at(STACK, port)).unwrap();
    let (accepted, _) = listener.accept(); // what it inherits, the engine has set on its descriptor
    assert_eq!(accepted.option(libc::SOL_SOCKET, libc::SO_OOBINLINE), Ok(1));
    inline(&mut peer, &accepted);

    let (program, mut peer) = engine.connected_to_kernel();
    program
        .set_option(libc::SOL_SOCKET, libc::SO_OOBINLINE, &1_i32.to_ne_bytes())
        .unwrap();
    set_socket_oobinline(&program.stream, true).unwrap();
    inline(&mut peer, &program);
}

fn inline(peer: &mut TcpStream, program: &Program) {
    peer.write_all(b"before").unwrap();
    send(&*peer, b"!", SendFlags::OOB).unwrap();
    peer.write_all(b"after").unwrap();
    program.await_events(PollFlags::PRI);
    assert_eq!(program.read_exact(6), b"before");
    assert_eq!(program.read_exact(6), b"!after");
}
