//! What all hooks have in common.

use libc::{c_int, c_long, c_void, sockaddr, sockaddr_storage, socklen_t, ssize_t};
use rustix::io::Errno;
use ustcp_client::calls::{AddressRoom, Direction, fault};
use ustcp_client::engine::Engine;
use ustcp_client::sys::{self, Sink, Socket, Source};

use crate::sandbox;
use crate::start::engine;

/// The socket of ours behind a descriptor, and its engine.
pub(crate) fn ours(fd: c_int) -> Option<(&'static Engine, Socket)> {
    let engine = engine()?;
    sys::without_errno(|| Socket::of(fd)).map(|socket| (engine, socket))
}

/// The same for a call that is right natively too, but for its errors: in a sandbox that is all it is.
pub(crate) fn ours_outside_sandbox(fd: c_int) -> Option<(&'static Engine, Socket)> {
    if sandbox::is_entered() { None } else { ours(fd) }
}

/// Runs what a call of ours becomes: 0 or a number, or -1 and errno. Errno stays as it was where nothing failed.
pub(crate) fn answer(body: impl FnOnce() -> Result<c_int, Errno>) -> c_int {
    match sys::without_errno(body) {
        Ok(number) => number,
        Err(errno) => failed(errno) as c_int,
    }
}

/// The system call that the hook stands before; errno is as it leaves it.
///
/// # Safety
/// As of the system call.
pub(crate) unsafe fn pass(number: c_long, arguments: [usize; 6]) -> ssize_t {
    // SAFETY: the caller's promise.
    match unsafe { sys::call(number, arguments) } {
        Ok(result) => result as ssize_t,
        Err(_) => -1,
    }
}

/// The same of one that waits: a cancellation point.
///
/// # Safety
/// As of [`sys::wait_in`].
pub(crate) unsafe fn pass_waiting(number: c_long, arguments: [usize; 6]) -> ssize_t {
    // SAFETY: the caller's promise.
    match unsafe { sys::wait_in(number, arguments) } {
        Ok(result) => result as ssize_t,
        Err(_) => -1,
    }
}

/// The same of one that reads or writes: where it fails on a socket of ours, the errno is TCP's.
///
/// # Safety
/// As of [`sys::wait_in`].
pub(crate) unsafe fn move_bytes(
    number: c_long,
    fd: c_int,
    [b, c, d, e, f]: [usize; 5],
    direction: Direction,
) -> ssize_t {
    // SAFETY: the caller's promise.
    match unsafe { sys::wait_in(number, [fd as usize, b, c, d, e, f]) } {
        Ok(result) => result as ssize_t,
        Err(_) if sandbox::is_entered() => -1,
        Err(native) => moved_nothing(fd, native, direction),
    }
}

/// The answer to a failed read or write; 0 is the end of the stream.
#[cold]
pub(crate) fn moved_nothing(fd: c_int, native: Errno, direction: Direction) -> ssize_t {
    match engine().map_or(Err(native), |engine| fault(engine, fd, native, direction)) {
        Ok(()) => 0,
        Err(errno) => failed(errno),
    }
}

/// The answer to a call that has failed.
pub(crate) fn failed(errno: Errno) -> ssize_t {
    sys::set_errno(errno);
    -1
}

/// An address that the program hands in.
pub(crate) fn address(start: *const sockaddr, len: socklen_t) -> Source {
    // SAFETY: the program lets the call read it; where it cannot be read, the kernel says so.
    unsafe { Source::new(start.cast(), len as usize) }
}

/// Where the program wants an address.
pub(crate) fn address_room(to: *mut sockaddr, length: *mut socklen_t) -> AddressRoom {
    AddressRoom::new(
        sink(to.cast(), size_of::<sockaddr_storage>()),
        sink(length.cast(), size_of::<socklen_t>()),
    )
}

/// Memory that the program hands in to be read.
pub(crate) fn source(start: *const c_void, len: usize) -> Source {
    // SAFETY: the program lets the call read it; where it cannot be read, the kernel says so.
    unsafe { Source::new(start, len) }
}

/// Memory that the program hands in to be written.
pub(crate) fn sink(start: *mut c_void, len: usize) -> Sink {
    // SAFETY: the program lets the call write it; where it cannot be written, the kernel says so.
    unsafe { Sink::new(start, len) }
}
