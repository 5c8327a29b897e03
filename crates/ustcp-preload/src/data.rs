//! Hooks of the calls that move bytes through one buffer or several. Where they succeed they are the system call and nothing
//! more; where they fail on a socket of ours, the errno becomes TCP's.

use libc::{c_int, c_void, iovec, size_t, sockaddr, socklen_t, ssize_t};
use ustcp_client::calls::{self, Direction};

use crate::hook::{address, address_room, move_bytes, moved_nothing, ours, sink, source};
use crate::sandbox;
use crate::start::engine;

/// SIGPIPE is raised here: after a reset the stream would raise it, and TCP does not.
pub(crate) fn sending(flags: c_int) -> Direction {
    let quiet = flags & libc::MSG_NOSIGNAL != 0;
    Direction::Sending { quiet }
}

/// read(2).
///
/// # Safety
/// As of read(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn read(fd: c_int, buffer: *mut c_void, len: size_t) -> ssize_t {
    let arguments = [buffer as usize, len, 0, 0, 0];
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { move_bytes(libc::SYS_read, fd, arguments, Direction::Reading) }
}

/// readv(2).
///
/// # Safety
/// As of readv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn readv(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    let arguments = [pieces as usize, count as usize, 0, 0, 0];
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { move_bytes(libc::SYS_readv, fd, arguments, Direction::Reading) }
}

/// write(2).
///
/// # Safety
/// As of write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn write(fd: c_int, buffer: *const c_void, len: size_t) -> ssize_t {
    let arguments = [buffer as usize, len, 0, 0, 0];
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { move_bytes(libc::SYS_write, fd, arguments, Direction::Writing) }
}

/// writev(2).
///
/// # Safety
/// As of writev(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn writev(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    let arguments = [pieces as usize, count as usize, 0, 0, 0];
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { move_bytes(libc::SYS_writev, fd, arguments, Direction::Writing) }
}

/// recv(2).
///
/// # Safety
/// As of recv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn recv(fd: c_int, buffer: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise; nobody wants the address.
    unsafe { recvfrom(fd, buffer, len, flags, core::ptr::null_mut(), core::ptr::null_mut()) }
}

/// recvfrom(2).
///
/// # Safety
/// As of recvfrom(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn recvfrom(
    fd: c_int,
    buffer: *mut c_void,
    len: size_t,
    flags: c_int,
    name: *mut sockaddr,
    name_len: *mut socklen_t,
) -> ssize_t {
    let waits_for_all = flags & libc::MSG_WAITALL != 0 && !sandbox::is_entered();
    if (!name.is_null() || waits_for_all || calls::is_received_otherwise(flags))
        && let Some((_, socket)) = ours(fd)
    {
        let room = (!name.is_null()).then(|| address_room(name, name_len));
        let received = calls::receive(&socket, sink(buffer, len), flags, room);
        return received.map_or_else(
            |errno| moved_nothing(fd, errno, Direction::receiving(flags)),
            |bytes| bytes as ssize_t,
        );
    }
    let arguments = [buffer as usize, len, flags as usize, name as usize, name_len as usize];
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { move_bytes(libc::SYS_recvfrom, fd, arguments, Direction::receiving(flags)) }
}

/// send(2).
///
/// # Safety
/// As of send(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn send(fd: c_int, buffer: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise; there is no address.
    unsafe { sendto(fd, buffer, len, flags, core::ptr::null(), 0) }
}

/// sendto(2).
///
/// # Safety
/// As of sendto(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendto(
    fd: c_int,
    buffer: *const c_void,
    len: size_t,
    flags: c_int,
    name: *const sockaddr,
    name_len: socklen_t,
) -> ssize_t {
    if (!name.is_null() || flags & calls::SENT_OTHERWISE != 0)
        && let Some((engine, socket)) = ours(fd)
    {
        let sent = engine.send_to(&socket, source(buffer, len), flags, address(name, name_len));
        return sent.map_or_else(
            |errno| moved_nothing(fd, errno, sending(flags)),
            |bytes| bytes as ssize_t,
        );
    }
    let silent = match engine() {
        Some(_) if !sandbox::is_entered() => flags | libc::MSG_NOSIGNAL,
        _ => flags,
    };
    let arguments = [buffer as usize, len, silent as usize, name as usize, name_len as usize];
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { move_bytes(libc::SYS_sendto, fd, arguments, sending(flags)) }
}

/// read(2), by the C library's other name.
///
/// # Safety
/// As of read(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __read(fd: c_int, buffer: *mut c_void, len: size_t) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { read(fd, buffer, len) }
}

/// write(2), by the C library's other name.
///
/// # Safety
/// As of write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __write(fd: c_int, buffer: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { write(fd, buffer, len) }
}

/// send(2), by the C library's other name.
///
/// # Safety
/// As of send(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __send(fd: c_int, buffer: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { send(fd, buffer, len, flags) }
}

unsafe extern "C" {
    /// Ends a program that would write beyond its buffer.
    fn __chk_fail() -> !;
}

/// What the compiler makes of a read into a buffer whose size it knows.
fn check(len: size_t, size: size_t) {
    if len > size {
        // SAFETY: does not return.
        unsafe { __chk_fail() }
    }
}

/// read(2), of programs built with `_FORTIFY_SOURCE`.
///
/// # Safety
/// As of read(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __read_chk(fd: c_int, buffer: *mut c_void, len: size_t, size: size_t) -> ssize_t {
    check(len, size);
    // SAFETY: the caller's promise.
    unsafe { read(fd, buffer, len) }
}

/// recv(2), of programs built with `_FORTIFY_SOURCE`.
///
/// # Safety
/// As of recv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __recv_chk(
    fd: c_int,
    buffer: *mut c_void,
    len: size_t,
    size: size_t,
    flags: c_int,
) -> ssize_t {
    check(len, size);
    // SAFETY: the caller's promise.
    unsafe { recv(fd, buffer, len, flags) }
}

/// recvfrom(2), of programs built with `_FORTIFY_SOURCE`.
///
/// # Safety
/// As of recvfrom(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __recvfrom_chk(
    fd: c_int,
    buffer: *mut c_void,
    len: size_t,
    size: size_t,
    flags: c_int,
    name: *mut sockaddr,
    name_len: *mut socklen_t,
) -> ssize_t {
    check(len, size);
    // SAFETY: the caller's promise.
    unsafe { recvfrom(fd, buffer, len, flags, name, name_len) }
}
