//! Hooks of the calls that move messages: sendmsg, recvmsg and their plurals.

use std::time::{Duration, Instant};

use libc::{c_int, c_uint, c_void, mmsghdr, msghdr, ssize_t, timespec};
use rustix::io::Errno;
use ustcp_client::calls;
use ustcp_client::engine::Engine;
use ustcp_client::sys::message::Message;
use ustcp_client::sys::{Sink, Socket};

use crate::data::sending;
use crate::hook::{failed, moved_nothing, ours, ours_outside_sandbox, pass_waiting, sink, source};

/// Most messages of one call, as in Linux.
const MESSAGES_MAX: c_uint = libc::UIO_MAXIOV as c_uint;

/// sendmsg(2).
///
/// # Safety
/// As of sendmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    let socket = match flags & calls::SENT_OTHERWISE {
        0 => ours_outside_sandbox(fd),
        _ => ours(fd),
    };
    if let Some((engine, socket)) = socket {
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
    let socket = if calls::is_received_otherwise(flags) {
        ours(fd)
    } else {
        ours_outside_sandbox(fd)
    };
    if let Some((engine, socket)) = socket {
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
    if ours_outside_sandbox(fd).is_some() {
        // SAFETY: the caller's promise.
        let send = |message: *mut msghdr| unsafe { sendmsg(fd, message, flags) };
        // What comes after a message that is sent in part would be after a hole.
        let is_whole = |message: *mut msghdr, bytes| {
            let message = Message::read(source(message.cast(), size_of::<msghdr>()));
            message.and_then(|message| message.room()) == Ok(bytes)
        };
        return one_by_one(messages, count, send, is_whole);
    }
    let arguments = [fd as usize, messages as usize, count as usize, flags as usize, 0, 0];
    // SAFETY: the caller's promise; nothing is to be dropped.
    unsafe { pass_waiting(libc::SYS_sendmmsg, arguments) as c_int }
}

/// recvmmsg(2).
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
    if let Some((engine, socket)) = ours_outside_sandbox(fd) {
        let timeout = (!timeout.is_null()).then(|| sink(timeout.cast(), size_of::<timespec>()));
        let received = receive_several(engine, &socket, messages, count, flags, timeout);
        return received.unwrap_or_else(|errno| failed(errno) as c_int);
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

/// As Linux: an error that has come is told first, and the time is looked at after each message.
fn receive_several(
    engine: &Engine,
    socket: &Socket,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: Option<Sink>,
) -> Result<c_int, Errno> {
    let deadline = timeout.map(|timeout| deadline(&timeout)).transpose()?;
    engine.check_error(socket)?;
    let first_only = flags & libc::MSG_WAITFORONE != 0;
    let flags = flags & !libc::MSG_WAITFORONE;
    let late = if first_only { flags | libc::MSG_DONTWAIT } else { flags };
    let mut now = flags;
    let receive = |message: *mut msghdr| receive(engine, socket, message.cast(), core::mem::replace(&mut now, late));
    let goes_on = |_, _| {
        let is_early = deadline.flatten().is_none_or(|deadline| Instant::now() < deadline);
        is_early && calls::next_is_there(socket, late)
    };
    let received = one_by_one(messages, count, receive, goes_on);
    if let (Some(timeout), Some(Some(deadline))) = (timeout, deadline)
        && received > 0
    {
        tell_rest(&timeout, deadline.saturating_duration_since(Instant::now()))?;
    }
    Ok(received)
}

/// When a time is over: never, where it is longer than the clock has room for. `EFAULT`, `EINVAL`.
fn deadline(timeout: &Sink) -> Result<Option<Instant>, Errno> {
    let mut bytes = [0; size_of::<timespec>()];
    timeout.read(&mut bytes)?;
    // SAFETY: of one size, and any bytes are numbers.
    let time: timespec = unsafe { core::mem::transmute(bytes) };
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::INVAL)?;
    let nanoseconds = u32::try_from(time.tv_nsec)
        .ok()
        .filter(|nanoseconds| *nanoseconds < 1_000_000_000);
    Ok(Instant::now().checked_add(Duration::new(seconds, nanoseconds.ok_or(Errno::INVAL)?)))
}

fn tell_rest(timeout: &Sink, rest: Duration) -> Result<(), Errno> {
    let time = timespec {
        tv_sec: rest.as_secs() as libc::time_t,
        tv_nsec: rest.subsec_nanos().into(),
    };
    // SAFETY: `time` is ours.
    let bytes: [u8; size_of::<timespec>()] = unsafe { core::mem::transmute(time) };
    timeout.write(&bytes).map(drop)
}

/// Message after message until one fails or `goes_on` says no; how many went, or -1 where none did.
fn one_by_one(
    messages: *mut mmsghdr,
    count: c_uint,
    mut one: impl FnMut(*mut msghdr) -> ssize_t,
    goes_on: impl Fn(*mut msghdr, usize) -> bool,
) -> c_int {
    let count = count.min(MESSAGES_MAX);
    let mut done = 0;
    for index in 0..count as usize {
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
        if done == count || !goes_on(message.cast(), bytes as usize) {
            break;
        }
    }
    if done == 0 && count > 0 { -1 } else { done as c_int }
}
