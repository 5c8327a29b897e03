//! Blocking calls against the kernel's TCP and inside the stack.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::io::{IoSliceMut, Read, Write};
use std::net::TcpStream;
use std::thread;

use common::{
    KERNEL, STACK, at, echo, kernel_listener, listener, pair, pattern, recv, recv_all, send, socket, start, start_with,
};
use ustcp_runtime::{Errno, Offload, RecvFlags, Shutdown, Wait};

#[test]
fn we_connect_to_the_kernel_and_it_echoes() {
    let Some(runtime) = start() else { return };
    let (ours, theirs) = pair(&runtime);
    let echo = echo(theirs);
    let mut buffer = [0; 64];
    for round in 0..1000_u32 {
        let sent = round.to_be_bytes();
        assert_eq!(send(&ours, &sent, Wait::Forever), Ok(4));
        assert_eq!(recv(&ours, &mut buffer, Wait::Forever), Ok(4));
        assert_eq!(buffer[..4], sent);
    }
    ours.close().unwrap();
    echo.join().unwrap();
}

#[test]
fn the_kernel_connects_to_us() {
    let Some(runtime) = start() else { return };
    let (listener, port) = listener(&runtime);
    let kernel = thread::spawn(move || {
        let mut stream = TcpStream::connect((STACK, port)).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let (accepted, peer) = listener.accept(Wait::Forever).unwrap();
    assert_eq!(peer.ip(), at(KERNEL, 0).ip());
    assert_eq!(recv_all(&accepted), b"hello");
    assert_eq!(send(&accepted, b"goodbye", Wait::Forever), Ok(7));
    accepted.close().unwrap();
    assert_eq!(kernel.join().unwrap(), "goodbye");
}

#[test]
fn megabytes_go_both_ways_at_once_in_super_segments() {
    megabytes_go_both_ways_at_once(Offload::On);
}

#[test]
fn megabytes_go_both_ways_at_once_in_plain_packets() {
    megabytes_go_both_ways_at_once(Offload::Off);
}

fn megabytes_go_both_ways_at_once(offload: Offload) {
    let Some(runtime) = start_with(offload) else { return };
    let (ours, theirs) = pair(&runtime);
    let data = pattern(8 << 20);
    thread::scope(|scope| {
        let reading = scope.spawn(|| recv_all(&ours));
        let kernel_reading = scope.spawn(|| {
            let mut all = Vec::new();
            (&theirs).read_to_end(&mut all).unwrap();
            all
        });
        scope.spawn(|| {
            (&theirs).write_all(&data).unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
        });
        assert_eq!(send(&ours, &data, Wait::Forever), Ok(data.len()));
        ours.shutdown(Shutdown::Write).unwrap();
        assert!(reading.join().unwrap() == data);
        assert!(kernel_reading.join().unwrap() == data);
    });
}

#[test]
fn both_ends_in_one_process_talk_inside_the_stack() {
    let Some(runtime) = start() else { return };
    for ip in ["127.0.0.1", STACK] {
        let (listener, port) = listener(&runtime);
        let data = pattern(3 << 20);
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                let (accepted, _) = listener.accept(Wait::Forever).unwrap();
                let got = recv_all(&accepted);
                send(&accepted, &got, Wait::Forever).unwrap();
                accepted.close().unwrap();
            });
            let client = socket(&runtime);
            client.connect(at(ip, port), Wait::Forever).unwrap();
            assert_eq!(send(&client, &data, Wait::Forever), Ok(data.len()));
            client.shutdown(Shutdown::Write).unwrap();
            assert!(recv_all(&client) == data);
            server.join().unwrap();
        });
    }
}

#[test]
fn nobody_listens() {
    let Some(runtime) = start() else { return };
    let (kernel, address) = kernel_listener();
    drop(kernel);
    let ours = socket(&runtime);
    assert_eq!(ours.connect(address, Wait::Forever), Err(Errno(libc::ECONNREFUSED)));
}

#[test]
fn peek_waitall_and_trunc() {
    let Some(runtime) = start() else { return };
    let (ours, mut theirs) = pair(&runtime);
    theirs.write_all(b"abcdef").unwrap();
    let flags = |peek, wait_all, truncate| RecvFlags {
        peek,
        wait_all,
        truncate,
        ..RecvFlags::default()
    };
    let mut buffer = [0; 8];
    let take = |into: &mut [u8], flags| ours.recv(&mut [IoSliceMut::new(into)], flags, Wait::Forever);
    assert_eq!(take(&mut buffer[..6], flags(true, true, false)), Ok(6));
    assert_eq!(&buffer[..6], b"abcdef");
    assert_eq!(take(&mut buffer[..2], flags(false, false, true)), Ok(2));
    assert_eq!(take(&mut buffer[..2], flags(false, false, false)), Ok(2));
    assert_eq!(&buffer[..2], b"cd");
    let late = thread::spawn(move || {
        theirs.write_all(b"ghij").unwrap();
        theirs
    });
    let (mut first, mut second) = ([0; 3], [0; 3]);
    let mut slices = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(ours.recv(&mut slices, flags(false, true, false), Wait::Forever), Ok(6));
    assert_eq!((&first, &second), (b"efg", b"hij"));
    drop(late.join().unwrap());
    assert_eq!(recv(&ours, &mut buffer, Wait::Forever), Ok(0));
}
