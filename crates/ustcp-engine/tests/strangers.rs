//! Who would harm others by what it says, or by saying nothing: with the token or without.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use common::{Reach, at, engine, engine_in_turns, place, random_tag, unix};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_linger, set_socket_send_buffer_size, set_socket_timeout};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, connect, send, sendmsg};
use ustcp_client::protocol::{Address, Greeting, Operation};
use ustcp_client::whereabouts::Listener;
use ustcp_runtime::kernel;

/// An engine that is held up is so for longer than this.
const LONG: Duration = Duration::from_secs(20);

/// `SO_PASSRIGHTS` of <asm-generic/socket.h>.
const SO_PASSRIGHTS: i32 = 83;

/// Whether the kernel can refuse descriptors (Linux 6.16); if not, the test says that it is not run.
fn can_refuse_descriptors() -> bool {
    let any = unix(SocketType::STREAM);
    let can = kernel::option(any.as_fd(), libc::SOL_SOCKET, SO_PASSRIGHTS, 4).is_ok();
    if !can {
        eprintln!("not run: this kernel has no SO_PASSRIGHTS");
    }
    can
}

/// One of the kernel's TCP whose last close waits for a peer that reads nothing, which is there too.
fn lingering() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    set_socket_send_buffer_size(&stream, 1 << 20).unwrap();
    stream.set_nonblocking(true).unwrap();
    while send(&stream, &[0; 65_536], SendFlags::NOSIGNAL).is_ok() {}
    set_socket_linger(&stream, Some(LONG)).unwrap();
    (stream, peer)
}

/// A message with a descriptor beside it.
fn pass(by: impl AsFd, descriptor: impl AsFd) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor.as_fd()];
    beside.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(by, &[IoSlice::new(b"hi")], &mut beside, SendFlags::NOSIGNAL)
}

/// Whether the engine answers, in half the time that it would be held up.
fn answers(engine: &Reach) -> bool {
    let control = engine.control();
    set_socket_timeout(&control.stream, Timeout::Recv, Some(LONG / 2)).unwrap();
    control.ask(Operation::Hello, 0, 0, 0, &[]).is_ok()
}

fn stranger(engine: &Reach, listener: Listener) -> OwnedFd {
    let stream = unix(match listener {
        Listener::Streams => SocketType::STREAM,
        Listener::Control => SocketType::SEQPACKET,
    });
    connect(&stream, &engine.whereabouts.address(listener).unwrap()).unwrap();
    stream
}

#[test]
fn a_descriptor_whose_close_waits_holds_nobody_up() {
    let Some(engine) = engine().filter(|_| can_refuse_descriptors()) else {
        return;
    };
    for listener in [Listener::Streams, Listener::Control] {
        let (waits, _peer) = lingering();
        let stranger = stranger(&engine, listener);
        let passed = pass(&stranger, &waits);
        if passed.is_err() {
            set_socket_linger(&waits, None).unwrap(); // the last close of it is ours
        }
        drop(waits);
        drop(stranger);
        assert!(answers(&engine), "{listener:?}");
        assert_eq!(passed, Err(Errno::PERM), "{listener:?}");
    }
}

/// Connections to the abstract name that say what is no greeting, which the engine closes once it has taken them in.
fn crowd(engine: &Reach, listener: Listener, count: usize) -> Vec<OwnedFd> {
    let come = |_| {
        let stranger = stranger(engine, listener);
        send(&stranger, &[0; Greeting::LEN], SendFlags::NOSIGNAL).unwrap();
        stranger
    };
    (0..count).map(come).collect()
}

fn is_closed(stranger: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(stranger, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
}

const CROWD: usize = 500;

#[test]
fn a_crowd_at_the_abstract_names_keeps_out_nobody_who_comes_by_path() {
    let Some((engine, turns)) = engine_in_turns() else {
        return;
    };
    let kinds = [Listener::Streams, Listener::Control];
    let [streams, controls] = kinds.map(|listener| place(&engine.directory).address(listener).unwrap());
    let crowds = kinds.map(|listener| crowd(&engine, listener, CROWD));
    let program = engine.attached_by(&streams, random_tag(), 0);
    let control = engine.control_by(&controls);
    let bind = Address(at("0.0.0.0", 0)).to_bytes();
    control.send(Operation::Bind, program.number, 0, 0, &bind);
    turns.take();
    assert_eq!(control.answer_now(), Some(Ok(Vec::new())));
    let closed = |crowd: &Vec<OwnedFd>| crowd.iter().filter(|stranger| is_closed(stranger)).count();
    assert!(
        crowds.iter().all(|crowd| closed(crowd) < CROWD),
        "all of them in one turn"
    );
    while crowds.iter().any(|crowd| closed(crowd) < CROWD) {
        turns.take();
    }
}

#[test]
fn who_comes_by_an_abstract_name_is_found_behind_a_crowd() {
    let Some((engine, turns)) = engine_in_turns() else {
        return;
    };
    let control = engine.control();
    let _crowd = crowd(&engine, Listener::Streams, CROWD);
    let program = engine.socket();
    let bind = Address(at("0.0.0.0", 0)).to_bytes();
    control.send(Operation::Bind, program.number, 0, 0, &bind);
    turns.take();
    assert_eq!(control.answer_now(), Some(Ok(Vec::new())));
}

#[test]
fn no_descriptor_comes_by_a_socket() {
    let Some(engine) = engine().filter(|_| can_refuse_descriptors()) else {
        return;
    };
    let (listener, port) = engine.listener(1);
    let (connected, _kernel) = engine.connected_to_kernel();
    let _peer = TcpStream::connect((common::STACK, port)).unwrap();
    let (accepted, _) = listener.accept();
    for program in [connected, accepted] {
        assert_eq!(pass(&program.stream, &program.stream), Err(Errno::PERM));
    }
}
