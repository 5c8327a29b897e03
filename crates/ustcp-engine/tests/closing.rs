//! The end of an engine that waits for no program: told to, or without its device.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

mod common;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{KERNEL, STACK, at, engine, engine_with, pattern};
use rustix::event::PollFlags;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use ustcp_client::protocol::{Address, Operation};
use ustcp_runtime::ExitWait;

#[test]
fn what_was_written_arrives_and_then_fin() {
    let Some(mut engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    let bytes = pattern(200_000);
    program.write(&bytes);
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).map(|_| got)
    });
    engine.stop();
    assert!(reader.join().unwrap().unwrap() == bytes);
    assert_eq!(program.read_to_end(), Err(libc::ECONNRESET)); // an end of file would be a promise
}

#[test]
fn more_than_the_connection_has_room_for_is_sent_as_the_peer_reads() {
    let Some(mut engine) = engine() else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    let bytes = pattern(8 << 20);
    let (written, got) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            use std::io::Write;
            bytes
                .chunks(100_000)
                .map_while(|chunk| (&program.stream).write(chunk).ok())
                .sum::<usize>()
        });
        let mut first = vec![0; 1 << 20];
        peer.read_exact(&mut first).unwrap();
        let reader = scope.spawn(move || {
            peer.read_to_end(&mut first).unwrap();
            first
        });
        engine.stop();
        (writer.join().unwrap(), reader.join().unwrap())
    });
    assert_eq!(got.len(), written);
    assert!(got == bytes[..written]);
}

#[test]
fn a_peer_that_does_not_take_it_all_is_reset_when_the_time_is_over() {
    let short = Duration::from_millis(300);
    let Some(mut engine) = engine_with(|settings, _| settings.exit_wait = ExitWait::Acknowledged(short)) else {
        return;
    };
    let (program, mut peer) = engine.connected_to_kernel();
    let bytes = pattern(100_000);
    while rustix::net::send(&program.stream, &bytes, rustix::net::SendFlags::DONTWAIT).is_ok() {}
    let begun = Instant::now();
    engine.stop();
    assert!(begun.elapsed() >= short);
    let told = peer.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(told.raw_os_error(), Some(libc::ECONNRESET));
}

#[test]
fn whoever_waits_is_told() {
    let Some(mut engine) = engine() else { return };
    let (listener, port) = engine.listener(4);
    let mut waiting = std::net::TcpStream::connect(at(STACK, port)).unwrap();
    listener.await_events(PollFlags::IN);
    let attempt = engine.socket();
    let control = engine.control();
    let nowhere = Address(at("10.77.0.77", 1)).to_bytes();
    control.send(Operation::Connect, attempt.number, 1, 0, &nowhere);
    assert_eq!(attempt.connect_now(at("10.77.0.77", 1)), Err(libc::EALREADY)); // it has begun
    engine.stop();
    assert_eq!(control.answer(), Err(libc::ENETDOWN));
    attempt.await_events(PollFlags::HUP);
    let reset = waiting.read(&mut [0]).unwrap_err(); // nobody accepted it
    assert_eq!(reset.raw_os_error(), Some(libc::ECONNRESET));
}

#[test]
fn without_its_device_every_program_is_told_and_the_engine_says_why() {
    let Some(mut engine) = engine() else { return };
    let (program, _peer) = engine.connected_to_kernel();
    let (listener, _) = engine.listener(4);
    let attempt = engine.socket();
    let control = engine.control();
    let nowhere = Address(at("10.77.0.77", 1)).to_bytes();
    control.send(Operation::Connect, attempt.number, 1, 0, &nowhere);
    assert_eq!(attempt.connect_now(at("10.77.0.77", 1)), Err(libc::EALREADY));
    common::delete_device();
    assert_eq!(control.answer(), Err(libc::ENETDOWN));
    assert_eq!(engine.outcome().unwrap_err().kind(), std::io::ErrorKind::NetworkDown);
    for program in [&program, &listener] {
        assert_eq!(program.read_to_end(), Err(libc::ECONNRESET));
    }
    assert!(!engine.directory.join("engine").exists());
}

/// They do without the device. What their programs wrote goes on its way, though the engine does not wait for that as a program
/// with `SO_LINGER` would; and of whom less than that arrives, no peer takes it for all.
#[test]
fn without_its_device_relayed_connections_are_whole_or_reset() {
    let Some(mut engine) = engine() else { return };
    let [(whole, whole_peer), (cut_off, cut_off_peer)] = [1 << 20, 4096].map(|buffer: i32| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set_socket_recv_buffer_size(&listener, 4096).unwrap();
        let program = engine.socket();
        let linger = [1_i32.to_ne_bytes(), 600_i32.to_ne_bytes()].concat();
        for (name, value) in [(libc::SO_SNDBUF, &buffer.to_ne_bytes()[..]), (libc::SO_LINGER, &linger)] {
            program.set_option(libc::SOL_SOCKET, name, value).unwrap();
        }
        program.connect(listener.local_addr().unwrap()).unwrap();
        program.write(&pattern(100_000));
        (program, listener.accept().unwrap().0)
    });
    common::delete_device();
    assert_eq!(engine.outcome().unwrap_err().kind(), std::io::ErrorKind::NetworkDown);
    for program in [&whole, &cut_off] {
        assert_eq!(program.read_to_end(), Err(libc::ECONNRESET));
    }
    let all_of = |mut peer: TcpStream| {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).map(|_| got)
    };
    assert!(all_of(whole_peer).unwrap() == pattern(100_000));
    let error = all_of(cut_off_peer).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET));
}

#[test]
fn a_panic_is_a_reset_for_every_program() {
    static PANICS: AtomicBool = AtomicBool::new(false);
    let Some(mut engine) = common::engine_that_panics(&PANICS) else {
        return;
    };
    let (program, _peer) = engine.connected_to_kernel();
    let attempt = engine.socket();
    let nowhere = Address(at("10.77.0.77", 1)).to_bytes();
    let control = engine.control();
    control.send(Operation::Connect, attempt.number, 1, 0, &nowhere);
    assert_eq!(attempt.connect_now(at(KERNEL, 1)), Err(libc::EALREADY));
    PANICS.store(true, Ordering::Relaxed);
    drop(engine.control()); // it wakes
    assert!(engine.panicked());
    assert_eq!(control.answer(), Err(libc::EPIPE)); // ENETDOWN for a client
    for program in [program, attempt] {
        assert_eq!(program.read_to_end(), Err(libc::ECONNRESET));
    }
    assert!(!engine.directory.join("engine").exists());
}
