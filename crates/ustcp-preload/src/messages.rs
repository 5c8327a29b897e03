//! Hooks of the calls that move messages: sendmsg, recvmsg and their plurals.

use libc::{c_int, c_uint, c_void, mmsghdr, msghdr, ssize_t, timespec};
use ustcp_client::engine::Engine;
use ustcp_client::sys::Socket;

use crate::data::sending;
use crate::hook::{failed, moved_nothing, ours, pass_waiting, sink, source};

/// Most messages of one call, as in Linux.
const MESSAGES_MAX: c_uint = libc::UIO_MAXIOV as c_uint;

/// sendmsg(2).
///
/// # Safety
/// As of sendmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    if let Some((engine, socket)) = ours(fd) {
        let sent = engine.send_message(&socket, source(message.cast(), size_of::<msghdr>()), flags);
        return sent.map_or_else(
            |errno| moved_nothing(fd, errno, sending(flags)),
            |bytes| bytes as ssize_t,
        );
    }
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe {
        pass_waiting(
            libc::SYS_sendmsg,
            [fd as usize, message as usize, flags as usize, 0, 0, 0],
        )
    }
}

/// recvmsg(2).
///
/// # Safety
/// As of recvmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    if let Some((engine, socket)) = ours(fd) {
        return receive(engine, &socket, message.cast(), flags);
    }
    let arguments = [fd as usize, message as usize, flags as usize, 0, 0, 0];
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { pass_waiting(libc::SYS_recvmsg, arguments) }
}

fn receive(engine: &Engine, socket: &Socket, message: *mut c_void, flags: c_int) -> ssize_t {
    match engine.receive_message(socket, sink(message, size_of::<msghdr>()), flags) {
        Ok(bytes) => bytes as ssize_t,
        Err(errno) => failed(errno),
    }
}

/// sendmmsg(2).
///
/// # Safety
/// As of sendmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int {
    if ours(fd).is_some() {
        // SAFETY: the caller's promise.
        return one_by_one(messages, count, |message| unsafe { sendmsg(fd, message, flags) });
    }
    let arguments = [fd as usize, messages as usize, count as usize, flags as usize, 0, 0];
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { pass_waiting(libc::SYS_sendmmsg, arguments) as c_int }
}

/// recvmmsg(2). On a socket of ours the time that it may take is not looked at, which Linux does between messages only.
///
/// # Safety
/// As of recvmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    if let Some((engine, socket)) = ours(fd) {
        let mut flags = flags;
        return one_by_one(messages, count, |message| {
            let received = receive(engine, &socket, message.cast(), flags & !libc::MSG_WAITFORONE);
            if flags & libc::MSG_WAITFORONE != 0 {
                flags |= libc::MSG_DONTWAIT;
            }
            received
        });
    }
    let arguments = [
        fd as usize,
        messages as usize,
        count as usize,
        flags as usize,
        timeout as usize,
        0,
    ];
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { pass_waiting(libc::SYS_recvmmsg, arguments) as c_int }
}

/// Message after message until one fails; how many went, or -1 where none did.
fn one_by_one(messages: *mut mmsghdr, count: c_uint, mut one: impl FnMut(*mut msghdr) -> ssize_t) -> c_int {
    let mut done = 0;
    for index in 0..count.min(MESSAGES_MAX) as usize {
        let message = messages.wrapping_add(index);
        let Ok(bytes) = c_uint::try_from(one(message.cast())) else {
            break;
        };
        let told = message
            .cast::<c_void>()
            .wrapping_byte_add(core::mem::offset_of!(mmsghdr, msg_len));
        if sink(told, size_of::<c_uint>()).write(&bytes.to_ne_bytes()).is_err() {
            break;
        }
        done += 1;
    }
    if done == 0 && count > 0 { -1 } else { done }
}
