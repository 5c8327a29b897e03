//! IPv6, and both families through one socket, against the kernel's TCP.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown as NativeShutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{KERNEL, STACK, at, pattern, recv_all, send, settings};
use libc::{EAFNOSUPPORT, EINVAL, ENETUNREACH, ENOPROTOOPT, EOPNOTSUPP, IPPROTO_IPV6, IPV6_V6ONLY};
use ustcp_runtime::{Cidr, Errno, Family, Offload, Runtime, Settings, Shutdown, Socket, Wait};

const KERNEL_V6: &str = "fd77::1";
const STACK_V6: &str = "fd77::2";
const LEN: usize = 4 << 20;

fn start(addresses: &[(&str, u8)], offload: Offload) -> Option<Arc<Runtime>> {
    let addresses = addresses.iter().map(|&(address, prefix)| Cidr {
        address: address.parse().unwrap(),
        prefix,
    });
    let settings = Settings {
        addresses: addresses.collect(),
        peers: vec![],
        offload,
        ..settings()?
    };
    Some(Runtime::start(&settings).unwrap_or_else(|error| panic!("{}", error.message)))
}

fn start_both() -> Option<Arc<Runtime>> {
    start(&[(STACK, 24), (STACK_V6, 64)], Offload::Auto)
}

fn socket(runtime: &Arc<Runtime>) -> Socket {
    runtime.socket(Family::V6).unwrap()
}

fn set_v6_only(socket: &Socket, on: i32) -> Result<(), Errno> {
    socket.set_option(IPPROTO_IPV6, IPV6_V6ONLY, &on.to_ne_bytes())
}

fn v6_only(socket: &Socket) -> Result<Vec<u8>, Errno> {
    socket.option(IPPROTO_IPV6, IPV6_V6ONLY, usize::MAX)
}

fn listener(runtime: &Arc<Runtime>, address: SocketAddr) -> (Socket, u16) {
    let listener = runtime.socket(Family::of(address.ip())).unwrap();
    listener.bind(address).unwrap();
    listener.listen(8).unwrap();
    let port = listener.local_address().unwrap().port();
    (listener, port)
}

/// Megabytes both ways at once, to the orderly end.
fn converse(ours: &Socket, theirs: &TcpStream) {
    let data = pattern(LEN);
    thread::scope(|scope| {
        let kernel = scope.spawn(|| {
            let mut all = Vec::new();
            (&*theirs).read_to_end(&mut all).unwrap();
            all
        });
        scope.spawn(|| {
            (&*theirs).write_all(&data).unwrap();
            theirs.shutdown(NativeShutdown::Write).unwrap();
        });
        scope.spawn(|| {
            let mut sent = 0;
            while sent < LEN {
                sent += send(ours, &data[sent..], Wait::Forever).unwrap();
            }
            ours.shutdown(Shutdown::Write).unwrap();
        });
        assert!(recv_all(ours) == data);
        assert!(kernel.join().unwrap() == data);
    });
}

#[test]
fn a_stack_of_ipv6_alone_converses_with_the_kernel() {
    for offload in [Offload::On, Offload::Off] {
        let Some(runtime) = start(&[(STACK_V6, 64)], offload) else {
            return;
        };
        let kernel = TcpListener::bind((KERNEL_V6, 0)).unwrap();
        let ours = socket(&runtime);
        ours.connect(kernel.local_addr().unwrap(), Wait::Forever).unwrap();
        let (theirs, from) = kernel.accept().unwrap();
        assert_eq!(ours.local_address(), Ok(from));
        converse(&ours, &theirs);

        let (listener, port) = listener(&runtime, at("::", 0));
        let theirs = TcpStream::connect((STACK_V6, port)).unwrap();
        let (ours, from) = listener.accept(Wait::Forever).unwrap();
        assert_eq!(from, theirs.local_addr().unwrap());
        converse(&ours, &theirs);
        runtime.stop();
    }
}

#[test]
fn one_listener_takes_both_families() {
    let Some(runtime) = start_both() else { return };
    let (listener, port) = listener(&runtime, at("::", 0));
    for (stack, own) in [(STACK, "::ffff:10.77.0.2"), (STACK_V6, STACK_V6)] {
        let theirs = TcpStream::connect((stack, port)).unwrap();
        let (ours, from) = listener.accept(Wait::Forever).unwrap();
        let seen = match theirs.local_addr().unwrap() {
            SocketAddr::V4(address) => SocketAddr::new(address.ip().to_ipv6_mapped().into(), address.port()),
            address => address,
        };
        assert_eq!((from, ours.peer_address()), (seen, Ok(seen)));
        assert_eq!(ours.local_address(), Ok(at(own, port)));
        let domain = ours.option(libc::SOL_SOCKET, libc::SO_DOMAIN, usize::MAX);
        assert_eq!(domain, Ok(libc::AF_INET6.to_ne_bytes().to_vec()));
        converse(&ours, &theirs);
    }
}

#[test]
fn an_ipv6_socket_connects_to_a_mapped_address() {
    let Some(runtime) = start_both() else { return };
    let kernel = TcpListener::bind((KERNEL, 0)).unwrap();
    let mapped = at(&format!("::ffff:{KERNEL}"), kernel.local_addr().unwrap().port());
    let ours = socket(&runtime);
    ours.connect(mapped, Wait::Forever).unwrap();
    let (theirs, _) = kernel.accept().unwrap();
    assert_eq!(ours.peer_address(), Ok(mapped));
    converse(&ours, &theirs);
    let only = socket(&runtime);
    set_v6_only(&only, 1).unwrap();
    assert_eq!(only.connect(mapped, Wait::Forever), Err(Errno(ENETUNREACH)));
    let of_ipv4 = runtime.socket(Family::V4).unwrap();
    assert_eq!(of_ipv4.connect(mapped, Wait::Forever), Err(Errno(EAFNOSUPPORT)));
}

#[test]
fn ipv6_alone_is_asked_for_before_bind() {
    let Some(runtime) = start_both() else { return };
    let ours = socket(&runtime);
    assert_eq!(v6_only(&ours), Ok(0_i32.to_ne_bytes().to_vec()));
    set_v6_only(&ours, 7).unwrap();
    assert_eq!(v6_only(&ours), Ok(1_i32.to_ne_bytes().to_vec()));
    let short = ours.set_option(IPPROTO_IPV6, IPV6_V6ONLY, &[1, 0, 0]);
    assert_eq!(short, Err(Errno(EINVAL)));
    ours.bind(at("::", 0)).unwrap();
    assert_eq!(set_v6_only(&ours, 1), Err(Errno(EINVAL)));
    let port = ours.local_address().unwrap().port();
    listener(&runtime, at("0.0.0.0", port));
    ours.listen(8).unwrap();
    TcpStream::connect((STACK_V6, port)).unwrap();
    assert!(ours.accept(Wait::Forever).is_ok());
    let of_ipv4 = runtime.socket(Family::V4).unwrap();
    assert_eq!(set_v6_only(&of_ipv4, 1), Err(Errno(ENOPROTOOPT)));
    assert_eq!(v6_only(&of_ipv4), Err(Errno(EOPNOTSUPP)));
}

/// What the kernel says once a datagram of `len` bytes has been answered. Datagrams may be lost, and so may errors about
/// them, which the kernel limits for all of the machine: then it is sent again.
fn answer_to(udp: &UdpSocket, len: usize) -> Option<i32> {
    let mut answers = (0..20).map(|_| {
        let sent = udp.send(&pattern(len)).map(drop);
        let error = sent.and_then(|()| udp.recv(&mut [0; 1]).map(drop)).err()?;
        error.raw_os_error()
    });
    answers.find(|answer| *answer != Some(libc::EAGAIN)).flatten()
}

/// The kernel hears of a port that nobody has, also when its datagram came in fragments.
#[test]
fn a_datagram_to_nobody_is_refused_whole_or_in_fragments() {
    for offload in [Offload::On, Offload::Off] {
        let Some(runtime) = start(&[(STACK, 24), (STACK_V6, 64)], offload) else {
            return;
        };
        for (kernel, stack) in [(KERNEL, STACK), (KERNEL_V6, STACK_V6)] {
            for len in [1, 3000, 60_000] {
                let udp = UdpSocket::bind((kernel, 0)).unwrap();
                udp.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                udp.connect((stack, 9)).unwrap();
                let what = format!("{len} bytes to {stack}, offload {offload:?}");
                assert_eq!(answer_to(&udp, len), Some(libc::ECONNREFUSED), "{what}");
            }
        }
        runtime.stop();
    }
}
