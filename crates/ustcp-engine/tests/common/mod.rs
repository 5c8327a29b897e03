//! An engine of each test's own in a network of its own, and programs that speak to it word by word.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

use std::fs;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, recv, recvmsg, send, socket_with,
};
use ustcp_client::place::{Place, Seeker};
use ustcp_client::protocol::{Address, Arrival, Greeting, Operation, Reply, Request, Tag};
use ustcp_client::sys;
use ustcp_client::whereabouts::{Listener, Whereabouts};
use ustcp_engine::{Engine, Options};
use ustcp_runtime::{Cidr, Settings, namespace};

/// The kernel's address.
pub(crate) const KERNEL: &str = "10.77.0.1";
/// The stack's.
pub(crate) const STACK: &str = "10.77.0.2";

pub(crate) fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// How programs reach an engine.
#[derive(Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) whereabouts: Whereabouts,
}

/// An engine that runs in a thread, and its directory.
pub(crate) struct Running {
    reach: Reach,
    pub(crate) directory: PathBuf,
    thread: Option<JoinHandle<Outcome>>,
}

/// An engine in a new network namespace of this thread; `None`, with the reason printed, where none can be had.
pub(crate) fn engine() -> Option<Running> {
    engine_with(|_, _| ())
}

pub(crate) fn engine_with(change: impl FnOnce(&mut Settings, &mut Options)) -> Option<Running> {
    start(change, Engine::run)
}

/// One whose thread panics when something comes after `panics` has been set.
pub(crate) fn engine_that_panics(panics: &'static AtomicBool) -> Option<Running> {
    let run = |mut engine: Engine| {
        while engine.step()? {
            assert!(!panics.load(Ordering::Relaxed), "planted");
        }
        Ok(())
    };
    start(|_, _| (), run)
}

/// One that takes a turn when it is told to, and goes on by itself once nobody can tell it.
pub(crate) fn engine_in_turns() -> Option<(Running, Turns)> {
    let (go, told) = mpsc::channel();
    let (over, taken) = mpsc::channel();
    let run = move |mut engine: Engine| {
        while told.recv().is_ok() {
            assert!(engine.step()?);
            over.send(()).unwrap();
        }
        engine.run()
    };
    Some((start(|_, _| (), run)?, Turns { go, taken }))
}

pub(crate) struct Turns {
    go: mpsc::Sender<()>,
    taken: mpsc::Receiver<()>,
}

impl Turns {
    /// Has it take one, and waits for its end.
    pub(crate) fn take(&self) {
        self.go.send(()).unwrap();
        self.taken.recv().unwrap();
    }
}

type Outcome = std::io::Result<()>;

fn start(
    change: impl FnOnce(&mut Settings, &mut Options),
    run: impl FnOnce(Engine) -> Outcome + Send + 'static,
) -> Option<Running> {
    if let Err(error) = namespace::unshare_network().and_then(|_| namespace::probe_tun()) {
        eprintln!("not run: {error}");
        return None;
    }
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!(
        "ustcp-engine-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let directory = std::env::temp_dir().join(name);
    let (mut settings, mut options) = (settings(), Options::at(place(&directory)));
    change(&mut settings, &mut options);
    let directory = options.place.directory().to_owned();
    let engine = Engine::start(&settings, &options).unwrap_or_else(|error| panic!("{}", error.message));
    let whereabouts = options.place.whereabouts(uid()).unwrap();
    Some(Running {
        reach: Reach { whereabouts },
        directory,
        thread: Some(thread::spawn(|| run(engine))),
    })
}

pub(crate) fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(crate) fn place(directory: &std::path::Path) -> Place {
    let seeker = Seeker {
        uid: uid(),
        runtime_directory: None,
    };
    Place::of(Some(directory.as_os_str().as_bytes()), seeker).unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings {
        addresses: vec![Cidr {
            address: STACK.parse().unwrap(),
            prefix: 24,
        }],
        peers: vec![KERNEL.parse().unwrap()],
        time_wait: Duration::from_millis(200),
        secret: ustcp_runtime::SecretFile::None,
        ..Settings::default()
    }
}

impl Running {
    pub(crate) fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.control().ask(Operation::Stop, 0, 1, 0, &[]).unwrap();
            thread.join().unwrap().unwrap();
        }
    }

    /// Waits for it to end by itself.
    pub(crate) fn ended(&mut self) {
        self.outcome().unwrap();
    }

    /// How it ends by itself.
    pub(crate) fn outcome(&mut self) -> Outcome {
        self.thread.take().unwrap().join().unwrap()
    }

    /// Waits for its end: whether that is a panic.
    pub(crate) fn panicked(&mut self) -> bool {
        self.thread.take().unwrap().join().is_err()
    }
}

impl std::ops::Deref for Running {
    type Target = Reach;

    fn deref(&self) -> &Reach {
        &self.reach
    }
}

impl Reach {
    pub(crate) fn control(&self) -> Control {
        self.control_by(&self.whereabouts.address(Listener::Control).unwrap())
    }

    /// A control connection by that address.
    pub(crate) fn control_by(&self, address: &SocketAddrUnix) -> Control {
        let stream = unix(SocketType::SEQPACKET);
        connect(&stream, address).unwrap();
        Control {
            stream,
            token: self.whereabouts.token,
        }
    }

    /// One request on a connection of its own, as programs do it.
    pub(crate) fn ask(
        &self,
        operation: Operation,
        socket: u64,
        a: i32,
        b: i32,
        payload: &[u8],
    ) -> Result<Vec<u8>, i32> {
        self.control().ask(operation, socket, a, b, payload)
    }

    /// A new socket, attached: the junk in it leaves no room.
    pub(crate) fn socket(&self) -> Program {
        self.socket_of(false)
    }

    pub(crate) fn socket_of(&self, is_v6: bool) -> Program {
        self.attached(Tag { is_v6, ..random_tag() })
    }

    /// A socket with this tag, attached.
    pub(crate) fn attached(&self, tag: Tag) -> Program {
        self.attached_in(tag, 0)
    }

    /// The same, of a run.
    pub(crate) fn attached_in(&self, tag: Tag, run: u32) -> Program {
        self.attached_by(&self.whereabouts.address(Listener::Streams).unwrap(), tag, run)
    }

    /// The same, by that address.
    pub(crate) fn attached_by(&self, address: &SocketAddrUnix, tag: Tag, run: u32) -> Program {
        let stream = unix(SocketType::STREAM);
        sys::Socket::tagged(stream.as_raw_fd(), tag).unwrap();
        connect(&stream, address).unwrap();
        let greeting = Greeting {
            token: self.whereabouts.token,
            socket: tag.socket,
            is_v6: tag.is_v6,
            run,
        };
        assert_eq!(
            send(&stream, &greeting.to_bytes(), SendFlags::NOSIGNAL),
            Ok(Greeting::LEN)
        );
        let program = Program {
            engine: *self,
            number: tag.socket,
            stream: UnixStream::from(stream),
        };
        program.fill();
        program
    }

    /// A listener of the engine's, and its port.
    pub(crate) fn listener(&self, backlog: i32) -> (Program, u16) {
        let listener = self.socket();
        listener
            .ask(Operation::Bind, 0, &Address(at("0.0.0.0", 0)).to_bytes())
            .unwrap();
        listener.ask(Operation::Listen, backlog, &[]).unwrap();
        let port = listener.address(Operation::LocalAddress).unwrap().port();
        (listener, port)
    }

    /// A connection of the engine's to the kernel.
    pub(crate) fn connected_to_kernel(&self) -> (Program, TcpStream) {
        let listener = TcpListener::bind((KERNEL, 0)).unwrap();
        let program = self.socket();
        program.connect(listener.local_addr().unwrap()).unwrap();
        (program, listener.accept().unwrap().0)
    }
}

/// What a program has written whose peer takes nothing: more than its connection takes and less than its stream does.
pub(crate) const STALLED: usize = 128 << 10;

impl Reach {
    /// A program whose peer, of the kernel's at `address`, takes nothing of what it has written.
    pub(crate) fn stalled(&self, address: &str) -> (Program, TcpStream) {
        let listener = TcpListener::bind((address, 0)).unwrap();
        set_socket_recv_buffer_size(&listener, 4096).unwrap();
        let program = self.socket();
        let room = 4096_i32.to_ne_bytes();
        program.set_option(libc::SOL_SOCKET, libc::SO_SNDBUF, &room).unwrap();
        program.connect(listener.local_addr().unwrap()).unwrap();
        program.write(&pattern(STALLED));
        (program, listener.accept().unwrap().0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.stop();
            fs::remove_dir_all(&self.directory).unwrap();
        }
    }
}

/// 8 MiB each way at the same time.
pub(crate) fn much_goes_both_ways(program: &Program, mut peer: &TcpStream) {
    let bytes = pattern(8 << 20);
    let mut writer = peer;
    thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&bytes).unwrap());
        scope.spawn(|| program.write(&bytes));
        scope.spawn(|| assert!(program.read_exact(bytes.len()) == bytes));
        let mut got = vec![0; bytes.len()];
        peer.read_exact(&mut got).unwrap();
        assert!(got == bytes);
    });
}

/// What a program wrote before it went.
pub(crate) fn last_words_arrive(program: Program, mut peer: TcpStream) {
    let bytes = pattern(150_000);
    program.write(&bytes);
    drop(program);
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    assert!(got == bytes);
}

/// Takes the device of this thread's network away.
pub(crate) fn delete_device() {
    let name = &Settings::default().tun;
    let done = std::process::Command::new("ip").args(["link", "delete", name]).status();
    assert!(done.unwrap().success());
}

/// Of a socket of IPv4, as programs make them.
pub(crate) fn random_tag() -> Tag {
    let socket = u64::from_ne_bytes(random()) & Tag::SOCKET_MASK;
    Tag { socket, is_v6: false }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

pub(crate) fn unix(kind: SocketType) -> OwnedFd {
    socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap()
}

/// A control connection.
pub(crate) struct Control {
    pub(crate) stream: OwnedFd,
    pub(crate) token: [u8; 16],
}

impl Control {
    pub(crate) fn send(&self, operation: Operation, socket: u64, a: i32, b: i32, payload: &[u8]) {
        let request = Request {
            operation,
            token: self.token,
            socket,
            a: a.cast_unsigned(),
            b: b.cast_unsigned(),
        };
        let packet = [&request.to_bytes()[..], payload].concat();
        assert_eq!(send(&self.stream, &packet, SendFlags::NOSIGNAL), Ok(packet.len()));
    }

    /// The payload, or an errno. A connection that is closed unanswered is `EPIPE`.
    pub(crate) fn answer(&self) -> Result<Vec<u8>, i32> {
        self.received(RecvFlags::empty()).unwrap_or(Err(libc::EPIPE))
    }

    /// The same, if it has come.
    pub(crate) fn answer_now(&self) -> Option<Result<Vec<u8>, i32>> {
        self.received(RecvFlags::DONTWAIT)
    }

    fn received(&self, flags: RecvFlags) -> Option<Result<Vec<u8>, i32>> {
        let mut packet = vec![0; 65_536];
        let len = match recv(&self.stream, &mut packet, flags) {
            Ok((_, len)) => len,
            Err(Errno::AGAIN) => return None,
            Err(_) => 0,
        };
        if len == 0 {
            return Some(Err(libc::EPIPE));
        }
        Some(match Reply::from_bytes(&packet[..len]).unwrap().errno {
            0 => Ok(packet[Reply::LEN..len].to_vec()),
            errno => Err(errno),
        })
    }

    pub(crate) fn ask(
        &self,
        operation: Operation,
        socket: u64,
        a: i32,
        b: i32,
        payload: &[u8],
    ) -> Result<Vec<u8>, i32> {
        self.send(operation, socket, a, b, payload);
        self.answer()
    }
}

/// A socket as a program has it.
pub(crate) struct Program {
    pub(crate) engine: Reach,
    pub(crate) number: u64,
    pub(crate) stream: UnixStream,
}

impl Program {
    fn fill(&self) {
        let junk = [0_u8; 65_536];
        while send(&self.stream, &junk, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok() {}
    }

    /// A fresh stream under the same number.
    pub(crate) fn renewed(&self) -> Program {
        self.engine
            .attached(sys::Socket::of(self.stream.as_raw_fd()).unwrap().tag)
    }

    pub(crate) fn ask(&self, operation: Operation, a: i32, payload: &[u8]) -> Result<Vec<u8>, i32> {
        self.engine.ask(operation, self.number, a, 0, payload)
    }

    pub(crate) fn connect(&self, to: SocketAddr) -> Result<(), i32> {
        self.ask(Operation::Connect, 1, &Address(to).to_bytes()).map(drop)
    }

    /// connect(2) of a socket that does not wait.
    pub(crate) fn connect_now(&self, to: SocketAddr) -> Result<(), i32> {
        self.ask(Operation::Connect, 0, &Address(to).to_bytes()).map(drop)
    }

    pub(crate) fn address(&self, operation: Operation) -> Result<SocketAddr, i32> {
        let payload = self.ask(operation, 0, &[])?;
        Ok(Address::from_payload(&payload).unwrap().0)
    }

    pub(crate) fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Result<(), i32> {
        self.engine
            .ask(Operation::SetOption, self.number, level, name, value)
            .map(drop)
    }

    pub(crate) fn option(&self, level: i32, name: i32) -> Result<i32, i32> {
        let value = self.engine.ask(Operation::GetOption, self.number, level, name, &[])?;
        Ok(i32::from_ne_bytes(value[..4].try_into().unwrap()))
    }

    pub(crate) fn fault(&self) -> i32 {
        i32::from_ne_bytes(self.ask(Operation::Fault, 0, &[]).unwrap().try_into().unwrap())
    }

    /// shutdown(2): the request, then the descriptor's own.
    pub(crate) fn shut_writing(&self) {
        self.ask(Operation::Shutdown, libc::SHUT_WR, &[]).unwrap();
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// accept(2).
    pub(crate) fn accept(&self) -> (Program, Arrival) {
        let (accepted, arrival) = self.take_arrival();
        accepted.confirm();
        (accepted, arrival)
    }

    /// The first half of accept(2).
    pub(crate) fn take_arrival(&self) -> (Program, Arrival) {
        let mut bytes = [0; Arrival::LEN];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut room = [IoSliceMut::new(&mut bytes)];
        let got = recvmsg(&self.stream, &mut room, &mut beside, RecvFlags::CMSG_CLOEXEC).unwrap();
        assert_eq!(got.bytes, Arrival::LEN);
        let descriptor = beside.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let arrival = Arrival::from_bytes(&bytes).unwrap();
        let stream = UnixStream::from(descriptor.unwrap());
        let tag = sys::Socket::of(stream.as_raw_fd()).unwrap().tag;
        assert_eq!(tag.socket, arrival.socket);
        let program = Program {
            engine: self.engine,
            number: arrival.socket,
            stream,
        };
        (program, arrival)
    }

    /// The second.
    pub(crate) fn confirm(&self) {
        assert_eq!(send(&self.stream, &[0], SendFlags::NOSIGNAL), Ok(1));
    }

    pub(crate) fn write(&self, bytes: &[u8]) {
        (&self.stream).write_all(bytes).unwrap();
    }

    pub(crate) fn read_exact(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        (&self.stream).read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn read_to_end(&self) -> Result<Vec<u8>, i32> {
        let mut bytes = Vec::new();
        match (&self.stream).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(error.raw_os_error().unwrap()),
        }
    }

    /// What poll says, once any of `wanted` holds.
    pub(crate) fn await_events(&self, wanted: PollFlags) -> PollFlags {
        await_events(&self.stream, wanted)
    }

    /// What poll says now.
    pub(crate) fn events(&self) -> PollFlags {
        let all = PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP | PollFlags::PRI;
        let mut polled = [PollFd::new(&self.stream, all)];
        poll(&mut polled, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        polled[0].revents()
    }
}

/// What poll says, once any of `wanted` holds.
pub(crate) fn await_events(stream: impl AsFd, wanted: PollFlags) -> PollFlags {
    loop {
        let mut polled = [PollFd::new(&stream, wanted)];
        match poll(&mut polled, None) {
            Ok(_) => return polled[0].revents(),
            Err(Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Bytes that no mistake in order or place leaves equal.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}
