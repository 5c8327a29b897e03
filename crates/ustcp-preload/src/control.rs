//! Hooks of the calls that make, name and steer a socket.
//!
//! Each has the signature of its namesake; on a descriptor that is not ours it is the system call.

use libc::{c_int, c_ulong, c_void, sockaddr, sockaddr_in, socklen_t};
use ustcp_client::calls::{self, Kind};
use ustcp_client::protocol::PassedBy;
use ustcp_client::sys;

use crate::hook::{address, address_room, answer, ours, pass, pass_waiting, sink, source};
use crate::start::{engine, tell_of_absence, tell_of_end};

/// socket(2).
#[unsafe(no_mangle)]
pub extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    match (calls::kind(domain, kind, protocol), engine()) {
        (Kind::Tcp { is_v6, flags }, Some(engine)) => return answer(|| engine.socket(is_v6, flags)),
        (Kind::OtherStream, Some(engine)) => sys::without_errno(|| engine.passed_by(PassedBy::Protocol)),
        (Kind::Tcp { .. }, None) => sys::without_errno(tell_of_absence),
        _ => {}
    }
    let arguments = [domain as usize, kind as usize, protocol as usize, 0, 0, 0];
    // SAFETY: no pointers.
    unsafe { pass(libc::SYS_socket, arguments) as c_int }
}

/// bind(2).
///
/// # Safety
/// As of bind(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bind(fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    if let Some((engine, socket)) = ours(fd) {
        return answer(|| engine.bind(&socket, address(name, len)).map(|()| 0));
    }
    // SAFETY: the caller's promise.
    unsafe { pass(libc::SYS_bind, [fd as usize, name as usize, len as usize, 0, 0, 0]) as c_int }
}

/// bindresvport(3), which calls bind past the hook.
///
/// # Safety
/// As of bindresvport(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bindresvport(fd: c_int, name: *mut sockaddr_in) -> c_int {
    let name = (!name.is_null()).then(|| sink(name.cast(), size_of::<sockaddr_in>()));
    answer(|| {
        let bind = |name| match ours(fd) {
            Some((engine, socket)) => engine.bind(&socket, name),
            None => sys::bind(fd, name),
        };
        calls::bind_reserved(name, bind).map(|()| 0)
    })
}

/// listen(2).
#[unsafe(no_mangle)]
pub extern "C" fn listen(fd: c_int, backlog: c_int) -> c_int {
    if let Some((engine, socket)) = ours(fd) {
        return answer(|| engine.listen(&socket, backlog).map(|()| 0));
    }
    // SAFETY: no pointers.
    unsafe { pass(libc::SYS_listen, [fd as usize, backlog as usize, 0, 0, 0, 0]) as c_int }
}

/// accept(2).
///
/// # Safety
/// As of accept(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn accept(fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { accept4(fd, name, len, 0) }
}

/// accept4(2).
///
/// # Safety
/// As of accept4(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn accept4(fd: c_int, name: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int {
    if let Some((engine, socket)) = ours(fd) {
        return answer(|| {
            let accepted = engine.accept(&socket, address_room(name, len), flags);
            accepted.inspect_err(|errno| tell_of_end(engine, *errno))
        });
    }
    let arguments = [fd as usize, name as usize, len as usize, flags as usize, 0, 0];
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { pass_waiting(libc::SYS_accept4, arguments) as c_int }
}

/// connect(2).
///
/// # Safety
/// As of connect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn connect(fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    if let Some((engine, socket)) = ours(fd) {
        return answer(|| engine.connect(&socket, address(name, len)).map(|()| 0));
    }
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { pass_waiting(libc::SYS_connect, [fd as usize, name as usize, len as usize, 0, 0, 0]) as c_int }
}

/// connect(2), by the C library's other name.
///
/// # Safety
/// As of connect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __connect(fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { connect(fd, name, len) }
}

/// shutdown(2).
#[unsafe(no_mangle)]
pub extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    if let Some((engine, socket)) = ours(fd) {
        return answer(|| engine.shutdown(&socket, how).map(|()| 0));
    }
    // SAFETY: no pointers.
    unsafe { pass(libc::SYS_shutdown, [fd as usize, how as usize, 0, 0, 0, 0]) as c_int }
}

/// getsockname(2).
///
/// # Safety
/// As of getsockname(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockname(fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int {
    if let Some((engine, socket)) = ours(fd) {
        return answer(|| engine.local_address(&socket, address_room(name, len)).map(|()| 0));
    }
    // SAFETY: the caller's promise.
    unsafe {
        pass(
            libc::SYS_getsockname,
            [fd as usize, name as usize, len as usize, 0, 0, 0],
        ) as c_int
    }
}

/// getpeername(2).
///
/// # Safety
/// As of getpeername(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getpeername(fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int {
    if let Some((engine, socket)) = ours(fd) {
        return answer(|| engine.peer_address(&socket, address_room(name, len)).map(|()| 0));
    }
    // SAFETY: the caller's promise.
    unsafe {
        pass(
            libc::SYS_getpeername,
            [fd as usize, name as usize, len as usize, 0, 0, 0],
        ) as c_int
    }
}

/// setsockopt(2).
///
/// # Safety
/// As of setsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    if let Some((engine, socket)) = ours(fd).filter(|_| !calls::is_native(level, name)) {
        let value = source(value, len as usize);
        return answer(|| engine.set_option(&socket, (level, name), value, len).map(|()| 0));
    }
    let arguments = [
        fd as usize,
        level as usize,
        name as usize,
        value as usize,
        len as usize,
        0,
    ];
    // SAFETY: the caller's promise.
    unsafe { pass(libc::SYS_setsockopt, arguments) as c_int }
}

/// getsockopt(2).
///
/// # Safety
/// As of getsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    if let Some((engine, socket)) = ours(fd).filter(|_| !calls::is_native(level, name)) {
        let room = (sink(value, usize::MAX), sink(len.cast(), size_of::<socklen_t>()));
        return answer(|| engine.option(&socket, (level, name), room.0, room.1).map(|()| 0));
    }
    let arguments = [
        fd as usize,
        level as usize,
        name as usize,
        value as usize,
        len as usize,
        0,
    ];
    // SAFETY: the caller's promise.
    unsafe { pass(libc::SYS_getsockopt, arguments) as c_int }
}

/// ioctl(2). In C its third argument is variadic, which on the machines of this library is passed as any other.
///
/// # Safety
/// As of ioctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    if calls::is_asked(request)
        && let Some((engine, socket)) = ours(fd)
        && engine.is_number_asked(&socket, request)
    {
        let to = sink(argument, size_of::<c_int>());
        return answer(|| engine.number(&socket, request, to).map(|()| 0));
    }
    if calls::is_of_host(request)
        && let Some((_, socket)) = ours(fd)
    {
        // How long the argument is, the request says.
        return answer(|| calls::ask_host(&socket, request, sink(argument, usize::MAX)));
    }
    // SAFETY: the caller's promise.
    unsafe {
        pass(
            libc::SYS_ioctl,
            [fd as usize, request as usize, argument as usize, 0, 0, 0],
        ) as c_int
    }
}
