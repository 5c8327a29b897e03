//! What poll and epoll show on a socket of ours, and on the kernel's in the same state: one table, both kinds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::io::{IoSliceMut, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::thread;

use common::native::{Epoll, mask};
use common::{KERNEL, STACK, asleep, at, recv, send, socket, start};
use ustcp_runtime::{Errno, Family, PollRequest, RecvFlags, Runtime, Socket, Wait, process};

/// A connection's near end: ours, or the kernel's own.
enum Near {
    Ours(Socket),
    Kernels(TcpStream),
}

impl Near {
    fn fd(&self) -> RawFd {
        match self {
            Near::Ours(socket) => socket.fd(),
            Near::Kernels(stream) => stream.as_raw_fd(),
        }
    }

    fn send(&self, data: &[u8]) -> Result<usize, i32> {
        match self {
            Near::Ours(socket) => send(socket, data, Wait::Never).map_err(|Errno(errno)| errno),
            Near::Kernels(stream) => {
                std::io::Write::write(&mut &*stream, data).map_err(|error| error.raw_os_error().unwrap())
            }
        }
    }

    fn recv(&self, into: &mut [u8]) -> Result<usize, i32> {
        match self {
            Near::Ours(socket) => recv(socket, into, Wait::Never).map_err(|Errno(errno)| errno),
            Near::Kernels(stream) => Read::read(&mut &*stream, into).map_err(|error| error.raw_os_error().unwrap()),
        }
    }

    fn shutdown(&self, how: Shutdown) {
        match self {
            Near::Ours(socket) => socket
                .shutdown(match how {
                    Shutdown::Read => ustcp_runtime::Shutdown::Read,
                    Shutdown::Write => ustcp_runtime::Shutdown::Write,
                    Shutdown::Both => ustcp_runtime::Shutdown::Both,
                })
                .unwrap(),
            Near::Kernels(stream) => stream.shutdown(how).unwrap(),
        }
    }

    fn take_error(&self) -> i32 {
        match self {
            Near::Ours(socket) => socket.take_error().unwrap(),
            Near::Kernels(stream) => stream
                .take_error()
                .unwrap()
                .map_or(0, |error| error.raw_os_error().unwrap()),
        }
    }
}

/// One thing that happens, and the mask that must come of it.
type Act = (&'static str, fn(&Near, &TcpStream), &'static str);

fn reset(peer: &TcpStream) {
    common::native::linger_zero(peer.as_raw_fd());
    common::native::close_early(peer);
}

fn fill(near: &Near) {
    let block = [0; 65_536];
    while near.send(&block).is_ok() {}
}

fn drain(peer: &TcpStream) {
    peer.set_read_timeout(Some(std::time::Duration::from_millis(300)))
        .unwrap();
    let mut block = vec![0; 1 << 20];
    while (&mut &*peer).read(&mut block).is_ok() {}
}

fn take(near: &Near, expected: Result<usize, i32>) {
    assert_eq!(near.recv(&mut [0; 64]), expected);
}

fn write(peer: &TcpStream) {
    std::io::Write::write_all(&mut &*peer, b"news").unwrap();
}

const TABLE: &[&[Act]] = &[
    &[
        ("data", |_, peer| write(peer), "IO"),
        ("more data", |_, peer| write(peer), "IO"),
        ("read out", |near, _| take(near, Ok(8)), "O"),
        ("nothing there", |near, _| take(near, Err(libc::EAGAIN)), "O"),
        ("peer's FIN", |_, peer| peer.shutdown(Shutdown::Write).unwrap(), "IOR"),
        ("end of stream", |near, _| take(near, Ok(0)), "IOR"),
        ("our FIN too", |near, _| near.shutdown(Shutdown::Write), "IORH"),
        ("end of stream", |near, _| take(near, Ok(0)), "IORH"),
        ("write", |near, _| assert_eq!(near.send(b"x"), Err(libc::EPIPE)), "IORH"),
    ],
    &[
        ("our FIN", |near, _| near.shutdown(Shutdown::Write), "O"),
        ("data", |_, peer| write(peer), "IO"),
        ("peer's FIN", |_, peer| peer.shutdown(Shutdown::Write).unwrap(), "IORH"),
        ("data", |near, _| take(near, Ok(4)), "IORH"),
        ("end", |near, _| take(near, Ok(0)), "IORH"),
    ],
    &[
        ("SHUT_RD", |near, _| near.shutdown(Shutdown::Read), "IOR"),
        ("end", |near, _| take(near, Ok(0)), "IOR"),
        ("data all the same", |_, peer| write(peer), "IOR"),
        ("write", |near, _| assert_eq!(near.send(b"x"), Ok(1)), "IOR"),
    ],
    &[
        ("SHUT_RDWR", |near, _| near.shutdown(Shutdown::Both), "IORH"),
        ("end", |near, _| take(near, Ok(0)), "IORH"),
    ],
    &[
        ("RST", |_, peer| reset(peer), "IORHE"),
        ("told once", |near, _| take(near, Err(libc::ECONNRESET)), "IORH"),
        ("then the end", |near, _| take(near, Ok(0)), "IORH"),
        ("write", |near, _| assert_eq!(near.send(b"x"), Err(libc::EPIPE)), "IORH"),
    ],
    &[
        ("RST", |_, peer| reset(peer), "IORHE"),
        (
            "SO_ERROR",
            |near, _| assert_eq!(near.take_error(), libc::ECONNRESET),
            "IORH",
        ),
        ("gone", |near, _| assert_eq!(near.take_error(), 0), "IORH"),
    ],
    &[
        ("RST", |_, peer| reset(peer), "IORHE"),
        (
            "write",
            |near, _| assert_eq!(near.send(b"x"), Err(libc::ECONNRESET)),
            "IORH",
        ),
        (
            "and again",
            |near, _| assert_eq!(near.send(b"x"), Err(libc::EPIPE)),
            "IORH",
        ),
    ],
    &[
        ("full", |near, _| fill(near), ""),
        ("data", |_, peer| write(peer), "I"),
        ("room", |_, peer| drain(peer), "IO"),
        ("read out", |near, _| take(near, Ok(4)), "O"),
    ],
];

fn run(kind: &str, connect: impl Fn() -> (Near, TcpStream)) {
    for story in TABLE {
        let (near, peer) = connect();
        let epoll = Epoll::edge_triggered(near.fd());
        assert_eq!(epoll.wait_for("O"), "O", "{kind}: connected");
        for (name, act, expected) in *story {
            let before = mask(near.fd());
            act(&near, &peer);
            // What is new must come as an edge; waiting for it is also how packets get their time to arrive.
            let grows = expected.chars().any(|letter| !before.contains(letter));
            let arrives = name.contains("data") && !name.contains("read");
            if grows || (arrives && before == *expected && !expected.contains('R')) {
                assert_eq!(epoll.wait_for(expected), *expected, "{kind}: {name}: edge");
            }
            assert_eq!(mask(near.fd()), *expected, "{kind}: {name}");
        }
    }
}

fn kernel_pair() -> (Near, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.set_nonblocking(true).unwrap();
    near.set_nodelay(true).unwrap();
    (Near::Kernels(near), listener.accept().unwrap().0)
}

fn our_pair(runtime: &Arc<Runtime>) -> (Near, TcpStream) {
    let (near, peer) = common::pair(runtime);
    (Near::Ours(near), peer)
}

#[test]
fn masks_and_edges_are_the_kernels() {
    let Some(runtime) = start() else { return };
    run("kernel", kernel_pair);
    run("ours", || our_pair(&runtime));
}

#[test]
fn a_connection_in_the_making_shows_nothing_then_out() {
    let Some(runtime) = start() else { return };
    let (_listener, address) = common::kernel_listener();
    let ours = socket(&runtime);
    let epoll = Epoll::edge_triggered(ours.fd());
    epoll.wait_for("O");
    assert_eq!(ours.connect(address, Wait::Never), Err(Errno(libc::EINPROGRESS)));
    assert_eq!(epoll.wait_for("O"), "O");
    assert_eq!(ours.take_error(), Ok(0));
    assert_eq!(ours.connect(address, Wait::Never), Ok(()));
    assert_eq!(ours.connect(address, Wait::Never), Err(Errno(libc::EISCONN)));
}

#[test]
fn a_refused_connection_in_the_making_shows_everything() {
    let Some(runtime) = start() else { return };
    let refused = at(KERNEL, 9);
    let ours = socket(&runtime);
    assert_eq!(ours.connect(refused, Wait::Never), Err(Errno(libc::EINPROGRESS)));
    let epoll = Epoll::edge_triggered(ours.fd());
    assert_eq!(epoll.wait_for("IORHE"), "IORHE");
    assert_eq!(ours.take_error(), Ok(libc::ECONNREFUSED));
    assert_eq!(mask(ours.fd()), "IORH");
}

#[test]
fn nobody_answers_so_connect_is_under_way() {
    let Some(runtime) = start() else { return };
    let silent = at("10.77.0.99", 1);
    let ours = socket(&runtime);
    assert_eq!(ours.connect(silent, Wait::Never), Err(Errno(libc::EINPROGRESS)));
    assert_eq!(mask(ours.fd()), "");
    assert_eq!(ours.connect(silent, Wait::Never), Err(Errno(libc::EALREADY)));
}

#[test]
fn a_listener_shows_each_pending_connection() {
    let Some(runtime) = start() else { return };
    let (listener, port) = common::listener(&runtime);
    assert_eq!(mask(listener.fd()), "");
    let epoll = Epoll::edge_triggered(listener.fd());
    let address: SocketAddr = at(STACK, port);
    let first = TcpStream::connect(address).unwrap();
    assert_eq!(epoll.wait_for("I"), "I");
    let second = TcpStream::connect(address).unwrap();
    assert_eq!(epoll.wait_for("I"), "I");
    for _ in 0..2 {
        assert_eq!(mask(listener.fd()), "I");
        listener.accept(Wait::Never).unwrap();
    }
    assert_eq!(mask(listener.fd()), "");
    assert_eq!(listener.accept(Wait::Never).err(), Some(Errno(libc::EAGAIN)));
    drop((first, second));
}

#[test]
fn what_a_blocked_call_leaves_is_shown() {
    let Some(runtime) = start() else { return };
    let (ours, peer) = common::pair(&runtime);
    let epoll = Epoll::edge_triggered(ours.fd());
    assert_eq!(epoll.wait_for("O"), "O");
    let peeking = ours.clone();
    let peek_all = RecvFlags {
        peek: true,
        wait_all: true,
        ..RecvFlags::default()
    };
    let peeking = asleep(move || peeking.recv(&mut [IoSliceMut::new(&mut [0; 8])], peek_all, Wait::Forever));
    write(&peer);
    assert_eq!(epoll.wait_for("IO"), "IO", "MSG_PEEK with MSG_WAITALL takes nothing");
    write(&peer);
    assert_eq!(peeking.join().unwrap(), Ok(8));
    assert_eq!(recv(&ours, &mut [0; 8], Wait::Never), Ok(8));
    assert_eq!(mask(ours.fd()), "O");
    let fd = process::register(ours);
    let polling = asleep(move || {
        let events = libc::POLLRDHUP;
        process::poll(&mut [PollRequest { fd, events, revents: 0 }], None)
    });
    write(&peer);
    assert_eq!(epoll.wait_for("IO"), "IO", "poll for POLLRDHUP takes nothing");
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(polling.join().unwrap(), Ok(1));
    process::close(fd).unwrap();
}

#[test]
fn a_native_event_loop_serves_many() {
    const CLIENTS: usize = 50;
    const ROUNDS: usize = 40;
    let Some(runtime) = start() else { return };
    let (listener, port) = common::listener(&runtime);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            thread::spawn(move || {
                let mut stream = TcpStream::connect((STACK, port)).unwrap();
                let sent = common::pattern(1000 + number);
                let mut got = vec![0; sent.len()];
                for _ in 0..ROUNDS {
                    std::io::Write::write_all(&mut stream, &sent).unwrap();
                    stream.read_exact(&mut got).unwrap();
                    assert!(got == sent);
                }
            })
        })
        .collect();
    let epoll = Epoll::level_triggered(listener.fd());
    let mut sockets: Vec<Option<Socket>> = Vec::new();
    let (mut open, mut served) = (0, 0);
    while served < CLIENTS || open > 0 {
        for fd in epoll.ready() {
            if fd == listener.fd() {
                let (accepted, _) = listener.accept(Wait::Never).unwrap();
                epoll.add_level_triggered(accepted.fd());
                let index = usize::try_from(accepted.fd()).unwrap();
                sockets.resize(sockets.len().max(index + 1), None);
                sockets[index] = Some(accepted);
                (open, served) = (open + 1, served + 1);
                continue;
            }
            let index = usize::try_from(fd).unwrap();
            let socket = sockets[index].clone().unwrap();
            let mut buffer = [0; 4096];
            match recv(&socket, &mut buffer, Wait::Never) {
                Ok(0) => {
                    socket.close().unwrap();
                    sockets[index] = None;
                    open -= 1;
                }
                Ok(got) => assert_eq!(send(&socket, &buffer[..got], Wait::Forever), Ok(got)),
                Err(errno) => panic!("readable, but {errno:?}"),
            }
        }
    }
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(runtime.census().sockets, 1);
    assert_eq!(listener.family(), Family::V4);
}
