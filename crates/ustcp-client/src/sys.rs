//! The system calls that need `unsafe`: those on descriptors and pointers of the program, which may be anything.
//!
//! None of them goes through a symbol that a preloaded library hooks. The C library's `syscall` leaves its mark on errno;
//! whoever must not change that saves it.
#![allow(unsafe_code, reason = "the syscall file: each block says why it is sound")]

use core::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libc::{c_int, c_long, c_void, iovec, msghdr, socklen_t};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_oobinline, socket_oobinline};

use crate::protocol::{Standing, Tag};

pub(crate) mod arrivals;
pub(crate) mod epoll;
pub mod memory;
pub mod message;
mod peer;
pub mod program;
mod users;

pub use memory::{Sink, Source};
pub use peer::Peer;
pub use users::is_one_user;

const PTHREAD_CANCEL_ASYNCHRONOUS: c_int = 1;

/// What `_pthread_cleanup_push` keeps of a handler, in a place of its caller's.
#[repr(C)]
struct Cleanup {
    routine: Option<extern "C" fn(*mut c_void)>,
    argument: *mut c_void,
    cancel_type: c_int,
    before: *mut Cleanup,
}

unsafe extern "C-unwind" {
    fn syscall(number: c_long, ...) -> c_long;
    fn pthread_setcanceltype(kind: c_int, before: *mut c_int) -> c_int;
    fn _pthread_cleanup_push(place: *mut Cleanup, routine: extern "C" fn(*mut c_void), argument: *mut c_void);
    fn _pthread_cleanup_pop(place: *mut Cleanup, execute: c_int);
}

// ---- any system call

/// A system call. Not a cancellation point.
///
/// # Safety
/// As of the system call itself.
pub unsafe fn call(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    let result = unsafe { syscall(number, a, b, c, d, e, f) };
    usize::try_from(result).map_err(|_| errno())
}

/// A system call that waits: a thread that is cancelled in it ends there, as in the C library's own.
///
/// # Safety
/// As of the system call itself; and no frame of Rust between here and C has anything to drop, as cancellation unwinds
/// through them.
pub unsafe fn wait_in(number: c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    let mut before = 0;
    // SAFETY: `before` lives across the call.
    unsafe { pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &raw mut before) };
    // SAFETY: the caller's promise.
    let result = unsafe { call(number, arguments) };
    let mut ignored = 0;
    // SAFETY: `ignored` lives across the call; the type is what the call above gave.
    unsafe { pthread_setcanceltype(before, &raw mut ignored) };
    result
}

/// This thread's errno.
#[must_use]
pub fn errno() -> Errno {
    // SAFETY: the place of this thread's errno is always there.
    checked(unsafe { *libc::__errno_location() })
}

/// Sets this thread's errno.
pub fn set_errno(errno: Errno) {
    // SAFETY: the place of this thread's errno is always there.
    unsafe { *libc::__errno_location() = errno.raw_os_error() };
}

/// Runs `body` and leaves errno as it was.
pub fn without_errno<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: the place of this thread's errno is always there.
    let before = unsafe { *libc::__errno_location() };
    let result = body();
    // SAFETY: the same.
    unsafe { *libc::__errno_location() = before };
    result
}

/// A number as an error's; one that no error has is `EPROTO`.
#[must_use]
pub fn checked(number: c_int) -> Errno {
    match number {
        1..4096 => Errno::from_raw_os_error(number),
        _ => Errno::PROTO,
    }
}

/// bind(2) to an address of the program's.
pub fn bind(fd: c_int, address: Source) -> Result<(), Errno> {
    let name = address.vector();
    let arguments = [fd as usize, name.iov_base as usize, name.iov_len, 0, 0, 0];
    // SAFETY: the address is the call's to read, and the kernel checks it.
    unsafe { call(libc::SYS_bind, arguments) }.map(drop)
}

/// This process's number.
pub(crate) fn process_number() -> usize {
    // SAFETY: no pointers.
    unsafe { call(libc::SYS_getpid, [0; 6]) }.unwrap_or(0)
}

/// What a write to a connection that takes no more does beside `EPIPE`.
pub fn raise_sigpipe() {
    // SAFETY: no pointers; the process and the thread are this one.
    unsafe {
        let (process, thread) = (call(libc::SYS_getpid, [0; 6]), call(libc::SYS_gettid, [0; 6]));
        if let (Ok(process), Ok(thread)) = (process, thread) {
            let _ = call(libc::SYS_tgkill, [process, thread, libc::SIGPIPE as usize, 0, 0, 0]);
        }
    }
}

// ---- what the process was started with

/// A variable of the environment. The C library's, and as valid as that: for constructors.
#[must_use]
pub fn variable(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: `name` ends with a zero; what is found lives until the program changes its environment, which no
    // constructor runs beside.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes())
    }
}

/// Whether the program has rights its user has not (set-user-ID, set-group-ID, file capabilities): then the user's
/// environment is not to be trusted. getauxval(3), AT_SECURE.
#[must_use]
pub fn has_borrowed_rights() -> bool {
    // SAFETY: takes a number and reads what the kernel left in this process at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whether what this process executes will have such rights, as its real and its effective user or group differ.
#[must_use]
pub fn lends_rights() -> bool {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    getuid() != geteuid() || getgid() != getegid()
}

// ---- a socket that the engine is to carry, or carries

/// A tagged descriptor of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    fd: c_int,
    /// What its tag says.
    pub tag: Tag,
    /// And how far it is.
    pub standing: Standing,
}

/// What the descriptor's `SO_SNDBUF` is asked to be; the kernel takes it twofold. The engine leaves the last byte that a
/// program wrote in the stream, and with it the kernel charges all that came in one go: up to 64 KiB of sendfile. Only
/// with three times as much free does poll say that there is room.
static SEND_BUFFER: c_int = 144 << 10;

impl Socket {
    /// The socket behind a descriptor; `None` where it is a socket of the kernel's own, no socket or no descriptor.
    #[must_use]
    pub fn of(fd: c_int) -> Option<Socket> {
        let mut rate = 0_u64;
        let mut len = size_of::<u64>() as socklen_t;
        // SAFETY: `rate` has room for `len` bytes, and both live across the call.
        let told = unsafe {
            let into = (&raw mut rate as usize, &raw mut len as usize);
            call(libc::SYS_getsockopt, option(fd, libc::SO_MAX_PACING_RATE, into))
        };
        told.ok().filter(|_| len as usize == size_of::<u64>())?;
        Tag::from_rate(rate).map(|(tag, standing)| Socket { fd, tag, standing })
    }

    /// Tags a descriptor, and makes its buffer fit for what stays in it.
    pub fn tagged(fd: c_int, tag: Tag) -> Result<Socket, Errno> {
        let standing = Standing::Plain;
        set_rate(fd, tag.to_rate(standing))?;
        // SAFETY: an int is read from the constant, which lives for ever.
        unsafe {
            let value = (&raw const SEND_BUFFER as usize, size_of::<c_int>());
            call(libc::SYS_setsockopt, option(fd, libc::SO_SNDBUF, value))?;
        }
        Ok(Socket { fd, tag, standing })
    }

    /// Has the tag say how far it is.
    pub fn mark(&self, standing: Standing) -> Result<(), Errno> {
        set_rate(self.fd, self.tag.to_rate(standing))
    }

    /// Whether it listens.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.standing == Standing::Listening
    }

    /// `ENOTCONN` for one that has an address or listens, and no more: in its stream there is nothing to wait for.
    pub fn must_carry(&self) -> Result<(), Errno> {
        match self.standing {
            Standing::Plain => Ok(()),
            Standing::Idle | Standing::Listening => Err(Errno::NOTCONN),
        }
    }

    /// Its descriptor's number.
    #[must_use]
    pub fn number(&self) -> c_int {
        self.fd
    }

    /// Sets `SO_RCVLOWAT` of the descriptor itself.
    pub fn set_low(&self, bytes: c_int) -> Result<(), Errno> {
        let value = (&raw const bytes as usize, size_of::<c_int>());
        // SAFETY: an int is read from `bytes`, which lives across the call.
        unsafe { call(libc::SYS_setsockopt, option(self.fd, libc::SO_RCVLOWAT, value)) }.map(drop)
    }

    /// Sets what `other` has set of the descriptor's own beside its times: whom a signal goes to, and which, and how it reads.
    pub(crate) fn set_as(&self, other: &Socket) -> Result<(), Errno> {
        const F_GETSIG: c_int = 11;
        const F_SETSIG: c_int = 10;
        const F_GETOWN_EX: c_int = 16;
        const F_SETOWN_EX: c_int = 15;
        let mut owner: [c_int; 2] = [0; 2]; // struct f_owner_ex
        let mut low: c_int = 0;
        let mut len = size_of::<c_int>() as socklen_t;
        let control = |fd: c_int, what: c_int, argument: usize| [fd as usize, what as usize, argument, 0, 0, 0];
        // SAFETY: the kernel writes to `owner`, `low` and `len` what it has room for there, and reads it again.
        unsafe {
            let told = control(other.fd, F_GETOWN_EX, owner.as_mut_ptr() as usize);
            if call(libc::SYS_fcntl, told).is_ok() {
                // One that has ended cannot be set, and is told nothing.
                let _ = call(libc::SYS_fcntl, control(self.fd, F_SETOWN_EX, owner.as_ptr() as usize));
            }
            let signal = call(libc::SYS_fcntl, control(other.fd, F_GETSIG, 0))?;
            call(libc::SYS_fcntl, control(self.fd, F_SETSIG, signal))?;
            let told = (&raw mut low as usize, &raw mut len as usize);
            call(libc::SYS_getsockopt, option(other.fd, libc::SO_RCVLOWAT, told))?;
        }
        self.set_low(low)?;
        set_socket_oobinline(self, socket_oobinline(other)?)
    }

    /// Whether it is attached, or was: it has a peer, even one that has gone.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        let mut name = [0_u8; size_of::<libc::sockaddr_un>()];
        let mut len = name.len() as socklen_t;
        // SAFETY: `name` has room for `len` bytes, and both live across the call.
        let told = unsafe {
            let (name, len) = (name.as_mut_ptr() as usize, &raw mut len as usize);
            call(libc::SYS_getpeername, [self.fd as usize, name, len, 0, 0, 0])
        };
        told.is_ok()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: a socket was behind the number, so it is not -1. That it stays open is the program's to see to; where it
        // does not, the kernel says EBADF.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

fn set_rate(fd: c_int, rate: u64) -> Result<(), Errno> {
    let value = (&raw const rate as usize, size_of::<u64>());
    // SAFETY: 8 bytes are read from `rate`, which lives across the call.
    unsafe { call(libc::SYS_setsockopt, option(fd, libc::SO_MAX_PACING_RATE, value)) }.map(drop)
}

fn option(fd: c_int, name: c_int, (value, len): (usize, usize)) -> [usize; 6] {
    [fd as usize, libc::SOL_SOCKET as usize, name as usize, value, len, 0]
}

/// A descriptor that lives as long as a call of ours, or until it becomes the program's.
#[derive(Debug)]
pub struct Transient(c_int);

impl Transient {
    /// An AF_UNIX socket; `kind`: its type with flags.
    pub fn socket(kind: c_int) -> Result<Transient, Errno> {
        Transient::of_family(libc::AF_UNIX, kind)
    }

    /// A socket of another family.
    pub(crate) fn of_family(family: c_int, kind: c_int) -> Result<Transient, Errno> {
        // SAFETY: no pointers.
        let fd = unsafe { call(libc::SYS_socket, [family as usize, kind as usize, 0, 0, 0, 0]) }?;
        Ok(Transient(fd as c_int))
    }

    /// ioctl(2) with an argument of the program's.
    pub(crate) fn ioctl(&self, request: u64, argument: Sink) -> Result<c_int, Errno> {
        let argument = argument.vector().iov_base as usize;
        // SAFETY: the argument is the call's to read and write, and the kernel checks it.
        let answer = unsafe { call(libc::SYS_ioctl, [self.0 as usize, request as usize, argument, 0, 0, 0]) }?;
        Ok(answer as c_int)
    }

    /// Two of them, connected, that keep messages apart.
    pub(crate) fn pair() -> Result<[Transient; 2], Errno> {
        let mut pair = [0; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        let at = pair.as_mut_ptr() as usize;
        // SAFETY: `pair` has room for two descriptors.
        unsafe {
            call(
                libc::SYS_socketpair,
                [libc::AF_UNIX as usize, kind as usize, 0, at, 0, 0],
            )
        }?;
        Ok(pair.map(Transient))
    }

    /// Makes sure that there is a free number.
    pub fn probe(of: c_int) -> Result<(), Errno> {
        // SAFETY: no pointers.
        let fd = unsafe {
            call(
                libc::SYS_fcntl,
                [of as usize, libc::F_DUPFD_CLOEXEC as usize, 0, 0, 0, 0],
            )
        }?;
        drop(Transient(fd as c_int));
        Ok(())
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> c_int {
        self.0
    }

    /// Hands it to the program.
    #[must_use]
    pub fn keep(self) -> c_int {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }

    /// Puts it under the number of a descriptor of the program, whose file loses that; dup3(2).
    pub fn replace(self, fd: c_int, close_on_exec: bool) -> Result<(), Errno> {
        let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
        // SAFETY: no pointers; the number is the program's, which called to have this done.
        unsafe { call(libc::SYS_dup3, [self.0 as usize, fd as usize, flags as usize, 0, 0, 0]) }.map(drop)
    }
}

impl AsFd for Transient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open as long as `self` is.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// Not with the C library's close, which is a cancellation point.
impl Drop for Transient {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours alone.
        let _ = unsafe { call(libc::SYS_close, [self.0 as usize, 0, 0, 0, 0, 0]) };
    }
}

// ---- messages of our own, with pieces of the program's

/// Sends the pieces as one message, without SIGPIPE; `EFAULT` where one of them is nowhere.
pub fn send<const N: usize>(fd: BorrowedFd<'_>, pieces: &[Source; N], flags: c_int) -> Result<usize, Errno> {
    let mut vectors = pieces.map(|piece| piece.vector());
    let message = message(&mut vectors);
    let (fd, flags) = (fd.as_raw_fd() as usize, (flags | libc::MSG_NOSIGNAL) as usize);
    // SAFETY: `message` and its vectors live across the call; the pieces are the call's to read.
    unsafe { call(libc::SYS_sendmsg, [fd, &raw const message as usize, flags, 0, 0, 0]) }
}

/// How an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It comes at once: through signals, and not a cancellation point.
    Short,
    /// As the program's own calls wait: `EINTR`, and a cancellation point.
    Long,
}

/// Waits for the answer that comes back on `control`, and closes that; so does the cancellation of this thread.
pub(crate) fn wait_for_reply(control: Transient, into: &mut [u8], wait: Wait) -> Result<usize, Errno> {
    let (into, len) = (into.as_mut_ptr() as usize, into.len());
    closing(control, |control| {
        let arguments = [control as usize, into, len, 0, 0, 0];
        let mut is_reset = false;
        loop {
            // SAFETY: the call has room for what it writes; nothing is to be dropped.
            let received = unsafe {
                match wait {
                    Wait::Short => call(libc::SYS_recvfrom, arguments),
                    Wait::Long => wait_in(libc::SYS_recvfrom, arguments),
                }
            };
            match received {
                Err(Errno::INTR) if wait == Wait::Short => {}
                // An engine that turns us away has said why before it closed; the error of that comes first.
                Err(Errno::CONNRESET) if !core::mem::replace(&mut is_reset, true) => {}
                received => return received,
            }
        }
    })
}

/// Closes the descriptor after `body`, and where this thread is cancelled in it. Cancellation runs no destructors, so the
/// body has none, which is why it is `Copy`.
fn closing<T>(descriptor: Transient, body: impl FnOnce(c_int) -> T + Copy) -> T {
    let number = descriptor.keep();
    let argument = core::ptr::without_provenance_mut(number as usize);
    let mut place = Cleanup {
        routine: None,
        argument: core::ptr::null_mut(),
        cancel_type: 0,
        before: core::ptr::null_mut(),
    };
    // SAFETY: `place` stays until it is popped.
    unsafe { _pthread_cleanup_push(&raw mut place, close, argument) };
    let result = body(number);
    // SAFETY: it is what was pushed last.
    unsafe { _pthread_cleanup_pop(&raw mut place, 1) };
    result
}

extern "C" fn close(number: *mut c_void) {
    drop(Transient(number.addr() as c_int));
}

/// What came with a message: how many bytes of it, and the descriptor beside it.
#[derive(Debug)]
pub struct Received {
    /// Bytes; 0: the other end is closed.
    pub bytes: usize,
    /// The descriptor, if there was one and a number free for it.
    pub descriptor: Option<Transient>,
}

#[repr(C)]
struct Control {
    head: libc::cmsghdr,
    descriptor: c_int,
}

/// Bytes of a control message with one descriptor, and room for no other.
const WITH_DESCRIPTOR: usize = core::mem::offset_of!(Control, descriptor) + size_of::<c_int>();

/// Receives a message with a descriptor, waiting as the socket's own flags say. A cancellation point.
pub fn receive_descriptor(socket: &Socket, into: &mut [u8], close_on_exec: bool) -> Result<Received, Errno> {
    // SAFETY: integers.
    let mut control: Control = unsafe { core::mem::zeroed() };
    let mut vectors = [iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    }];
    let mut message = message(&mut vectors);
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = WITH_DESCRIPTOR as _;
    let flags = if close_on_exec { libc::MSG_CMSG_CLOEXEC } else { 0 };
    let arguments = [socket.fd as usize, &raw mut message as usize, flags as usize, 0, 0, 0];
    // SAFETY: `message` and what it points to live across the call; nothing in this frame and those up to C is to be dropped.
    let bytes = unsafe { wait_in(libc::SYS_recvmsg, arguments) }?;
    let rights = (control.head.cmsg_level, control.head.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS);
    let whole = control.head.cmsg_len as usize == WITH_DESCRIPTOR;
    Ok(Received {
        bytes,
        descriptor: (rights && whole).then(|| Transient(control.descriptor)),
    })
}

fn message(vectors: &mut [iovec]) -> msghdr {
    // SAFETY: all-zero is a message of nothing.
    let mut message: msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len() as _;
    message
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn a_tag_is_read_back_from_every_descriptor_of_the_socket() {
        let (socket, other) = UnixStream::pair().unwrap();
        let tag = Tag {
            socket: 0x1234_5678_9abc,
            is_v6: true,
        };
        Socket::tagged(socket.as_raw_fd(), tag).unwrap();
        let read = |fd| Socket::of(fd).map(|socket| socket.tag);
        assert_eq!(read(socket.as_raw_fd()), Some(tag));
        assert_eq!(read(socket.try_clone().unwrap().as_raw_fd()), Some(tag));
        assert_eq!(read(other.as_raw_fd()), None);
        assert_eq!(read(-1), None);
        assert_eq!(Socket::tagged(-1, tag), Err(Errno::BADF));
    }

    #[test]
    fn one_byte_that_stays_of_a_sendfile_leaves_room() {
        let path = std::env::temp_dir().join(format!("ustcp-sendfile-{}", std::process::id()));
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for length in [1, 4096, 40_000, 53_000, 65_536, 200_000] {
            let (socket, mut engine) = UnixStream::pair().unwrap();
            let tag = Tag {
                socket: 1,
                is_v6: false,
            };
            Socket::tagged(socket.as_raw_fd(), tag).unwrap();
            let sent = rustix::fs::sendfile(&socket, &file, Some(&mut 0), length).unwrap();
            engine.read_exact(&mut vec![0; sent - 1]).unwrap();
            let mut polled = [PollFd::new(&socket, PollFlags::OUT)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            assert_eq!(poll(&mut polled, Some(&now)), Ok(1), "{length} bytes of sendfile");
        }
    }

    #[test]
    fn a_socket_is_attached_as_long_as_it_had_a_peer() {
        let fresh = Transient::socket(libc::SOCK_STREAM).unwrap();
        let tag = Tag {
            socket: 1,
            is_v6: false,
        };
        assert!(!Socket::tagged(fresh.number(), tag).unwrap().is_attached());
        let (socket, peer) = UnixStream::pair().unwrap();
        let socket = Socket::tagged(socket.as_raw_fd(), tag).unwrap();
        assert!(socket.is_attached());
        drop(peer);
        assert!(socket.is_attached());
    }

    #[test]
    fn a_message_that_brings_no_descriptor_closes_none() {
        let (listener, mut engine) = UnixStream::pair().unwrap();
        let tag = Tag {
            socket: 1,
            is_v6: false,
        };
        let tagged = Socket::tagged(listener.as_raw_fd(), tag).unwrap();
        engine.write_all(b"record").unwrap();
        let received = receive_descriptor(&tagged, &mut [0; 16], true).unwrap();
        assert_eq!((received.bytes, received.descriptor.is_none()), (6, true));
        let standard_input = rustix::io::fcntl_getfd(std::io::stdin()); // number 0
        assert!(standard_input.is_ok());
    }

    #[test]
    fn numbers_that_are_no_errors_are_one() {
        assert_eq!(checked(libc::ECONNREFUSED), Errno::CONNREFUSED);
        for number in [0, -1, 4096, c_int::MIN, c_int::MAX] {
            assert_eq!(checked(number), Errno::PROTO);
        }
    }
}
