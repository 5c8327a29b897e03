//! Programs speak through the engine with the kernel's TCP, and with each other.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use common::{KERNEL, STACK, at, engine, much_goes_both_ways, pattern};
use rustix::event::PollFlags;
use ustcp_client::protocol::{Address, Operation};

#[test]
fn a_program_connects_and_both_ends_speak_and_end() {
    let Some(engine) = engine() else { return };
    let pid = engine.ask(Operation::Hello, 0, 0, 0, &[]).unwrap();
    assert_eq!(pid, std::process::id().to_ne_bytes());

    let (program, mut peer) = engine.connected_to_kernel();
    assert_eq!(program.events(), PollFlags::OUT);
    assert_eq!(
        program.address(Operation::PeerAddress).unwrap(),
        peer.local_addr().unwrap()
    );
    assert_eq!(
        program.address(Operation::LocalAddress).unwrap(),
        peer.peer_addr().unwrap()
    );

    program.write(b"question");
    let mut question = [0; 8];
    peer.read_exact(&mut question).unwrap();
    assert_eq!(&question, b"question");
    peer.write_all(b"answer").unwrap();
    assert_eq!(program.read_exact(6), b"answer");

    program.shut_writing();
    assert_eq!(peer.read(&mut question).unwrap(), 0);
    peer.write_all(b"last words").unwrap();
    drop(peer);
    assert_eq!(program.read_to_end().unwrap(), b"last words");
    assert_eq!(
        program.await_events(PollFlags::RDHUP),
        PollFlags::RDHUP | PollFlags::HUP
    );
}

#[test]
fn a_program_accepts_what_comes_from_the_kernel() {
    let Some(engine) = engine() else { return };
    let (listener, port) = engine.listener(8);
    assert_eq!(listener.events(), PollFlags::empty());
    let mut peer = TcpStream::connect(at(STACK, port)).unwrap();
    peer.write_all(b"early").unwrap();
    assert_eq!(listener.await_events(PollFlags::IN), PollFlags::IN);
    let (accepted, arrival) = listener.accept();
    assert_eq!(arrival.local, Address(at(STACK, port)));
    assert_eq!(arrival.peer, Address(peer.local_addr().unwrap()));
    assert_eq!(accepted.read_exact(5), b"early");
    accepted.write(b"late");
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(accepted.read_to_end().unwrap(), b"");
    drop(accepted);
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"late");
}

#[test]
fn text_is_shown_before_the_connection_is_confirmed() {
    let Some(engine) = engine() else { return };
    let (listener, port) = engine.listener(8);
    let mut peer = TcpStream::connect(at(STACK, port)).unwrap();
    peer.write_all(b"hello").unwrap();
    let (accepted, _) = listener.take_arrival();
    assert_eq!(accepted.read_exact(5), b"hello");
    accepted.confirm();
    peer.write_all(b" world").unwrap();
    assert_eq!(accepted.read_exact(6), b" world");
}

#[test]
fn a_connection_whose_descriptor_is_lost_is_offered_again_with_all_its_text() {
    let Some(engine) = engine() else { return };
    let (listener, port) = engine.listener(8);
    let mut peer = TcpStream::connect(at(STACK, port)).unwrap();
    peer.write_all(b"hello").unwrap();
    let (lost, first) = listener.take_arrival();
    lost.await_events(PollFlags::IN);
    drop(lost);
    let (accepted, second) = listener.accept();
    assert_eq!(first.peer, second.peer);
    assert_eq!(accepted.read_exact(5), b"hello");
}

#[test]
fn much_goes_both_ways_at_once_and_nothing_is_lost() {
    let Some(engine) = engine() else { return };
    let (program, peer) = engine.connected_to_kernel();
    much_goes_both_ways(&program, &peer);
}

#[test]
fn two_programs_of_one_engine_speak_to_each_other() {
    let Some(engine) = engine() else { return };
    let (listener, port) = engine.listener(8);
    for ip in ["127.0.0.1", STACK] {
        let client = engine.socket();
        client.connect(at(ip, port)).unwrap();
        let (server, _) = listener.accept();
        let bytes = pattern(1 << 20);
        thread::scope(|scope| {
            scope.spawn(|| {
                client.write(&bytes);
                client.shut_writing();
            });
            assert!(server.read_to_end().unwrap() == bytes);
        });
        server.write(b"done");
        server.shut_writing();
        assert_eq!(client.read_to_end().unwrap(), b"done");
    }
}

#[test]
fn options_are_those_of_the_stack() {
    let Some(engine) = engine() else { return };
    let (program, _peer) = engine.connected_to_kernel();
    program
        .set_option(libc::IPPROTO_TCP, libc::TCP_NODELAY, &1_i32.to_ne_bytes())
        .unwrap();
    assert_eq!(program.option(libc::IPPROTO_TCP, libc::TCP_NODELAY), Ok(1));
    assert_eq!(
        program.option(libc::SOL_SOCKET, libc::SO_PROTOCOL),
        Ok(libc::IPPROTO_TCP)
    );
    assert_eq!(program.option(libc::SOL_SOCKET, 12_345), Err(libc::ENOPROTOOPT));
    let outstanding = program.ask(Operation::Ioctl, libc::TIOCOUTQ as i32, &[]).unwrap();
    assert_eq!(outstanding, 0_i32.to_ne_bytes());
}

#[test]
fn an_attempt_that_does_not_wait_shows_its_end_in_poll() {
    let Some(engine) = engine() else { return };
    let kernel = TcpListener::bind((KERNEL, 0)).unwrap();
    let program = engine.socket();
    assert_eq!(program.events(), PollFlags::empty());
    let to = Address(kernel.local_addr().unwrap()).to_bytes();
    assert_eq!(program.ask(Operation::Connect, 0, &to), Err(libc::EINPROGRESS));
    program.await_events(PollFlags::OUT);
    assert_eq!(program.option(libc::SOL_SOCKET, libc::SO_ERROR), Ok(0));
    assert_eq!(program.ask(Operation::Connect, 0, &to), Ok(vec![]));
    assert_eq!(program.ask(Operation::Connect, 0, &to), Err(libc::EISCONN));
}
