//! A network of each test's own: the stack at 10.77.0.2, the kernel at 10.77.0.1.
#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod native;

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ustcp_runtime::{Cidr, Errno, Family, Offload, RecvFlags, Runtime, SendFlags, Settings, Socket, Wait, namespace};

/// The kernel's address.
pub(crate) const KERNEL: &str = "10.77.0.1";
/// The stack's.
pub(crate) const STACK: &str = "10.77.0.2";

/// Settings for a device `name` in a new network namespace of this thread and those it starts; `None`, with the reason
/// printed, where none can be had.
pub(crate) fn settings() -> Option<Settings> {
    if let Err(error) = namespace::unshare_network().and_then(|_| namespace::probe_tun()) {
        eprintln!("not run: {error}");
        return None;
    }
    Some(Settings {
        tun: "ustcp0".into(),
        addresses: vec![Cidr {
            address: STACK.parse().unwrap(),
            prefix: 24,
        }],
        peers: vec![KERNEL.parse().unwrap()],
        time_wait: Duration::from_millis(200),
        ..Settings::default()
    })
}

/// A runtime in a network of its own.
pub(crate) fn start() -> Option<Arc<Runtime>> {
    start_with(Offload::Auto)
}

/// The same, with what the device may be given.
pub(crate) fn start_with(offload: Offload) -> Option<Arc<Runtime>> {
    let settings = Settings { offload, ..settings()? };
    Some(Runtime::start(&settings).unwrap_or_else(|error| panic!("{}", error.message)))
}

pub(crate) fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

pub(crate) fn socket(runtime: &Arc<Runtime>) -> Socket {
    runtime.socket(Family::V4).unwrap()
}

/// A listener of ours and its port.
pub(crate) fn listener(runtime: &Arc<Runtime>) -> (Socket, u16) {
    let listener = socket(runtime);
    listener.bind(at("0.0.0.0", 0)).unwrap();
    listener.listen(128).unwrap();
    let port = listener.local_address().unwrap().port();
    (listener, port)
}

/// A kernel listener, reachable for the stack.
pub(crate) fn kernel_listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((KERNEL, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A connection of ours to the kernel.
pub(crate) fn pair(runtime: &Arc<Runtime>) -> (Socket, TcpStream) {
    let (listener, address) = kernel_listener();
    let ours = socket(runtime);
    ours.connect(address, Wait::Forever).unwrap();
    (ours, listener.accept().unwrap().0)
}

pub(crate) fn send(socket: &Socket, data: &[u8], wait: Wait) -> Result<usize, Errno> {
    socket.send(
        &[IoSlice::new(data)],
        SendFlags {
            no_signal: true,
            ..SendFlags::default()
        },
        wait,
    )
}

pub(crate) fn recv(socket: &Socket, into: &mut [u8], wait: Wait) -> Result<usize, Errno> {
    socket.recv(&mut [IoSliceMut::new(into)], RecvFlags::default(), wait)
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Everything until the end of the stream.
pub(crate) fn recv_all(socket: &Socket) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        match recv(socket, &mut buffer, Wait::Forever).unwrap() {
            0 => return all,
            got => all.extend_from_slice(&buffer[..got]),
        }
    }
}

/// A kernel thread-of-control that sends back what it gets until the end of the stream.
pub(crate) fn echo(mut stream: TcpStream) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return,
                got => stream.write_all(&buffer[..got]).unwrap(),
            }
        }
    })
}

/// Starts a thread in a call and returns when it sleeps there.
pub(crate) fn asleep<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        tell.send(native::Thread::current()).unwrap();
        call()
    });
    told.recv().unwrap().until_asleep();
    thread
}
