//! What a program does in order happens in that order, though it comes to the engine by several ways: its streams, their
//! closing, and its control connections.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

mod common;

use std::io::Read;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use common::{at, engine, unix};
use libc::{SO_KEEPALIVE, SOL_SOCKET};
use rustix::net::{SendFlags, SocketType, connect, send};
use ustcp_client::protocol::{Address, Greeting, Operation, Tag};
use ustcp_client::sys;
use ustcp_client::whereabouts::Listener;

const TIMES: u64 = 300;

#[test]
fn a_request_finds_the_socket_whose_greeting_was_written_before() {
    let Some(running) = engine() else { return };
    for number in 1..=TIMES {
        let tag = Tag {
            socket: number,
            is_v6: false,
        };
        let stream = unix(SocketType::STREAM);
        sys::Socket::tagged(stream.as_raw_fd(), tag).unwrap();
        connect(&stream, &running.whereabouts.address(Listener::Streams).unwrap()).unwrap();
        let control = running.control();
        // The engine has the stream now, without its greeting, and hears of the control connection first.
        control.ask(Operation::Hello, 0, 0, 0, &[]).unwrap();
        let greeting = Greeting {
            token: running.whereabouts.token,
            socket: number,
            is_v6: false,
            run: 0,
        };
        control.send(Operation::Hello, 0, 0, 0, &[]);
        send(&stream, &greeting.to_bytes(), SendFlags::NOSIGNAL).unwrap();
        control.send(Operation::Bind, number, 0, 0, &Address(at("0.0.0.0", 0)).to_bytes());
        control.answer().unwrap();
        assert_eq!(control.answer(), Ok(Vec::new()), "at {number}");
    }
}

#[test]
fn a_port_is_free_once_its_socket_is_closed() {
    let Some(running) = engine() else { return };
    let (mut listener, port) = running.listener(4);
    for number in 0..TIMES {
        let next = running.socket();
        let control = running.control();
        // The engine is at this connection's requests when the listener is closed.
        control.send(Operation::Hello, 0, 0, 0, &[]);
        drop(listener);
        let to = Address(at("0.0.0.0", port)).to_bytes();
        control.send(Operation::Bind, next.number, 0, 0, &to);
        control.answer().unwrap();
        assert_eq!(control.answer(), Ok(Vec::new()), "at {number}");
        next.ask(Operation::Listen, 4, &[]).unwrap();
        listener = next;
    }
}

#[test]
fn a_listener_that_is_closed_takes_no_connection() {
    let Some(running) = engine() else { return };
    for number in 0..TIMES {
        let (listener, port) = running.listener(4);
        let client = running.socket();
        let control = running.control();
        // The engine is at this connection's requests when the listener is closed.
        control.send(Operation::Hello, 0, 0, 0, &[]);
        drop(listener);
        let to = Address(at("127.0.0.1", port)).to_bytes();
        control.send(Operation::Connect, client.number, 1, 0, &to);
        control.answer().unwrap();
        assert_eq!(control.answer(), Err(libc::ECONNREFUSED), "at {number}");
    }
}

#[test]
fn a_listener_that_is_closed_takes_no_connection_from_elsewhere() {
    let Some(running) = engine() else { return };
    for number in 0..TIMES {
        let (listener, port) = running.listener(4);
        let control = running.control();
        control.send(Operation::Hello, 0, 0, 0, &[]);
        drop(listener);
        let refused = TcpStream::connect(at(common::STACK, port)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED), "at {number}");
    }
}

#[test]
fn text_that_came_with_the_confirmation_is_sent_although_a_request_came_too() {
    let Some(running) = engine() else { return };
    let (listener, port) = running.listener(4);
    for number in 0..TIMES {
        let mut peer = TcpStream::connect(at(common::STACK, port)).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (accepted, _) = listener.take_arrival();
        let control = running.control();
        // The engine is at this connection's requests when all of it comes, and hears of it at once.
        control.send(Operation::Hello, 0, 0, 0, &[]);
        accepted.confirm();
        accepted.write(b"text");
        control.send(
            Operation::SetOption,
            accepted.number,
            SOL_SOCKET,
            SO_KEEPALIVE,
            &1_i32.to_ne_bytes(),
        );
        let mut text = [0; 4];
        peer.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"text", "at {number}");
    }
}
