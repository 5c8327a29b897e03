//! Sockets of the manual port. Each function is its namesake without `stack_` on a stack driven by hand: same arguments
//! behind the stack's, no waiting, and errors as negative numbers.

use std::io::IoSliceMut;

use libc::{c_int, c_ulong, c_void, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t};
use ustcp_runtime::manual::ManualStack;
use ustcp_runtime::{Errno, ErrorReport, Family, RecvFlags};

use crate::address::{self, Purpose, Room};
use crate::ancillary::Source;
use crate::stack_table::{on, ustcp_stack};
use crate::{control, memory, message, options, socket, transfer};

/// Makes a TCP socket on a stack; socket(2). Its number is 2^30 or more, means something on this stack only, and is used
/// again only after some 2^30 others. No socket of a stack ever waits: `SOCK_NONBLOCK` is taken without effect.
///
/// What holds for all functions of sockets of a stack. Arguments are those of the namesake, after `stack`. Calls happen
/// at the time that `ustcp_stack_advance` or `ustcp_stack_input` was given last. `errno` is not touched, and no signal
/// raised. Besides what a comment lists they return:
/// - `-EFAULT`: `stack` is null. `-EBADF`: no stack, or freed already; or no socket of it (any more).
/// - `-EBUSY`: another thread uses the stack: one at a time may. `-ENETDOWN`: it has ended by an internal error.
///
/// Returns the socket's number, or negative:
/// - `-EAFNOSUPPORT`, `-ESOCKTNOSUPPORT`, `-EPROTONOSUPPORT`, `-EINVAL`: as `ustcp_socket`.
/// - `-ENOBUFS`: the knob `socket_limit` is reached.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_stack_socket(stack: *mut ustcp_stack, domain: c_int, r#type: c_int, protocol: c_int) -> c_int {
    on(stack, |stack| {
        let (family, _) = socket::socket_kind(domain, r#type, protocol)?;
        stack.socket(family)
    })
}

/// Gives the socket a local address; as `ustcp_bind`.
///
/// Returns 0, or negative: `-EADDRINUSE`, `-EADDRNOTAVAIL`, `-EAFNOSUPPORT`, `-EINVAL`, `-EFAULT`, as `ustcp_bind`.
///
/// # Safety
/// `addr` stays readable for `addrlen` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_bind(
    stack: *mut ustcp_stack,
    fd: c_int,
    addr: *const sockaddr,
    addrlen: socklen_t,
) -> c_int {
    on(stack, |stack| {
        let address = address::read(addr, addrlen, stack.family(fd)?, Purpose::Bind)?;
        stack.bind(fd, address).map(|()| 0)
    })
}

/// Makes the socket a listener; as `ustcp_listen`. With `IP_TRANSPARENT` set it takes connections to every port.
///
/// Returns 0, or negative: `-EADDRINUSE`, `-EINVAL`, as `ustcp_listen`.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_stack_listen(stack: *mut ustcp_stack, fd: c_int, backlog: c_int) -> c_int {
    on(stack, |stack| stack.listen(fd, backlog).map(|()| 0))
}

/// Takes the oldest established connection of a listener; as `ustcp_accept`.
///
/// Returns the connection's number, or negative: `-EAGAIN`: none waits. `-EINVAL`, `-ECONNABORTED`, `-EFAULT`, as
/// `ustcp_accept`.
///
/// # Safety
/// `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_accept(
    stack: *mut ustcp_stack,
    fd: c_int,
    addr: *mut sockaddr,
    addrlen: *mut socklen_t,
) -> c_int {
    on(stack, |stack| {
        let room = Room::optional(addr, addrlen)?;
        let (accepted, peer) = stack.accept(fd)?;
        if let Some(room) = room
            && let Err(errno) = room.write(peer)
        {
            // The caller cannot learn of this connection, so it ends here, as in Linux.
            stack.close(accepted)?;
            return Err(errno);
        }
        Ok(accepted)
    })
}

/// Opens a connection; as `ustcp_connect` of a socket with `O_NONBLOCK`.
///
/// Returns 0 when it is established (the first time it is called after), or negative: `-EINPROGRESS`: begun; the socket
/// becomes writable when it is decided. `-EALREADY`, `-EISCONN`, `-ECONNREFUSED`, `-ETIMEDOUT`, `-ECONNABORTED`,
/// `-EHOSTUNREACH`, `-ENETUNREACH`, `-EADDRNOTAVAIL`, `-EAFNOSUPPORT`, `-EINVAL`, `-EFAULT`, as `ustcp_connect`.
///
/// # Safety
/// `addr` stays readable for `addrlen` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_connect(
    stack: *mut ustcp_stack,
    fd: c_int,
    addr: *const sockaddr,
    addrlen: socklen_t,
) -> c_int {
    on(stack, |stack| {
        let family = stack.family(fd)?;
        if address::is_unspecified(addr, addrlen)? {
            return stack.disconnect(fd).map(|()| 0);
        }
        let address = address::read(addr, addrlen, family, Purpose::Connect)?;
        stack.connect(fd, address).map(|()| 0)
    })
}

/// Writes bytes to a connection; as `ustcp_sendto` with `MSG_DONTWAIT` and `MSG_NOSIGNAL`.
///
/// Returns the number of bytes taken, or negative: `-EAGAIN`: no room. `-EPIPE`, `-ECONNRESET`, `-ETIMEDOUT`,
/// `-EHOSTUNREACH`, `-ENETUNREACH`, `-EOPNOTSUPP`, `-EINVAL`, `-EFAULT`, as `ustcp_sendto`.
///
/// # Safety
/// `buf` and `addr` stay readable for `len` and `addrlen` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_sendto(
    stack: *mut ustcp_stack,
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
    addr: *const sockaddr,
    addrlen: socklen_t,
) -> ssize_t {
    on(stack, |stack| {
        let family = stack.family(fd)?; // EBADF before anything else
        let data = memory::data(buf, len)?;
        let flags = address::send_flags(flags, addr, addrlen, family)?;
        transfer::count(stack.send(fd, &[data], flags)?)
    })
}

/// Writes a message's bytes to a connection; as `ustcp_sendmsg` with `MSG_DONTWAIT` and `MSG_NOSIGNAL`.
///
/// Returns as `ustcp_stack_sendto`, and `-EMSGSIZE`, as `ustcp_sendmsg`.
///
/// # Safety
/// `msg` and all that it points to stay readable during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_sendmsg(
    stack: *mut ustcp_stack,
    fd: c_int,
    msg: *const msghdr,
    flags: c_int,
) -> ssize_t {
    on(stack, |stack| {
        let family = stack.family(fd)?; // EBADF before anything else
        let (data, flags) = message::outgoing(msg, flags, family)?;
        transfer::count(stack.send(fd, &data, flags)?)
    })
}

/// Reads bytes from a connection; as `ustcp_recvfrom` with `MSG_DONTWAIT`.
///
/// Returns the number of bytes read, 0 at the end of the stream, or negative: `-EAGAIN`: nothing there. `-ENOTCONN`,
/// `-ECONNRESET`, `-ECONNREFUSED`, `-ETIMEDOUT`, `-EHOSTUNREACH`, `-ENETUNREACH`, `-EOPNOTSUPP`, `-EINVAL`, `-EFAULT`,
/// as `ustcp_recvfrom`.
///
/// # Safety
/// `buf` stays writable for `len` bytes and `addrlen` readable and writable during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_recvfrom(
    stack: *mut ustcp_stack,
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    addr: *mut sockaddr,
    addrlen: *mut socklen_t,
) -> ssize_t {
    on(stack, |stack| {
        stack.family(fd)?; // EBADF before anything else
        if let Some(room) = Room::optional(addr, addrlen)? {
            room.write_none()?;
        }
        transfer::into_buffer(buf, len, flags, |into, flags| {
            stack.recv(fd, into, RecvFlags::from_bits(flags)?)
        })
    })
}

/// Reads bytes from a connection into a message; as `ustcp_recvmsg` with `MSG_DONTWAIT`.
///
/// Returns as `ustcp_stack_recvfrom`, and `-EMSGSIZE`, as `ustcp_recvmsg`.
///
/// # Safety
/// `msg` and all its buffers stay writable during the call; no two of them overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_recvmsg(
    stack: *mut ustcp_stack,
    fd: c_int,
    msg: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    on(stack, |stack| {
        stack.family(fd)?; // EBADF before anything else
        message::into_message(msg, flags, &mut ByHand { stack, fd })
    })
}

/// A socket of a stack by hand.
struct ByHand<'a> {
    stack: &'a mut ManualStack,
    fd: c_int,
}

impl Source for ByHand<'_> {
    fn family(&mut self) -> Result<Family, Errno> {
        self.stack.family(self.fd)
    }

    fn recv(&mut self, into: &mut [IoSliceMut<'_>], flags: c_int) -> Result<usize, Errno> {
        self.stack.recv(self.fd, into, RecvFlags::from_bits(flags)?)
    }

    fn left_to_read(&mut self) -> Result<Option<c_int>, Errno> {
        self.stack.left_to_read(self.fd)
    }

    fn take_report(&mut self) -> Result<ErrorReport, Errno> {
        self.stack.take_report(self.fd)
    }
}

/// Ends one direction of a connection or both; as `ustcp_shutdown`.
///
/// Returns 0, or negative: `-ENOTCONN`, `-EINVAL`, as `ustcp_shutdown`.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_stack_shutdown(stack: *mut ustcp_stack, fd: c_int, how: c_int) -> c_int {
    on(stack, |stack| {
        stack.shutdown(fd, socket::half(how)?)?;
        Ok(0)
    })
}

/// Closes a socket; as `ustcp_close`, at once also with `SO_LINGER`. The connection ends by itself as packets and time
/// come in; its number is gone in any case.
///
/// Returns 0, or negative, as every function of sockets of a stack.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_stack_close(stack: *mut ustcp_stack, fd: c_int) -> c_int {
    on(stack, |stack| stack.close(fd).map(|()| 0))
}

/// Tells an option; as `ustcp_getsockopt`.
///
/// Returns 0, or negative: `-ENOPROTOOPT`, `-EOPNOTSUPP`, `-EINVAL`, `-EFAULT`, as `ustcp_getsockopt`.
///
/// # Safety
/// `optval` stays writable for `*optlen` bytes, and `optlen` readable and writable, during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_getsockopt(
    stack: *mut ustcp_stack,
    fd: c_int,
    level: c_int,
    optname: c_int,
    optval: *mut c_void,
    optlen: *mut socklen_t,
) -> c_int {
    on(stack, |stack| {
        options::tell((level, optname), optval, optlen, |room| {
            stack.option(fd, level, optname, room)
        })
    })
}

/// Sets an option; as `ustcp_setsockopt`. `SO_RCVTIMEO` and `SO_SNDTIMEO` are kept and told, and nothing waits for them.
///
/// Returns 0, or negative: `-ENOPROTOOPT`, `-EINVAL`, `-EDOM`, `-EFAULT`, as `ustcp_setsockopt`.
///
/// # Safety
/// `optval` stays readable for `optlen` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_setsockopt(
    stack: *mut ustcp_stack,
    fd: c_int,
    level: c_int,
    optname: c_int,
    optval: *const c_void,
    optlen: socklen_t,
) -> c_int {
    on(stack, |stack| {
        stack.family(fd)?; // EBADF before anything else
        let value = options::value(optval, optlen)?;
        stack.set_option(fd, level, optname, &value)?;
        Ok(0)
    })
}

/// Tells the local address; as `ustcp_getsockname`. Of a connection that a listener with `IP_TRANSPARENT` has taken it is
/// where its peer wanted to go.
///
/// Returns 0, or negative: `-EINVAL`, `-EFAULT`, as `ustcp_getsockname`.
///
/// # Safety
/// `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_getsockname(
    stack: *mut ustcp_stack,
    fd: c_int,
    addr: *mut sockaddr,
    addrlen: *mut socklen_t,
) -> c_int {
    on(stack, |stack| {
        let address = stack.local_address(fd)?;
        Room::new(addr, addrlen)?.write(address).map(|()| 0)
    })
}

/// Tells the peer's address; as `ustcp_getpeername`.
///
/// Returns 0, or negative: `-ENOTCONN`, `-EINVAL`, `-EFAULT`, as `ustcp_getpeername`.
///
/// # Safety
/// `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_getpeername(
    stack: *mut ustcp_stack,
    fd: c_int,
    addr: *mut sockaddr,
    addrlen: *mut socklen_t,
) -> c_int {
    on(stack, |stack| {
        let address = stack.peer_address(fd)?;
        Room::new(addr, addrlen)?.write(address).map(|()| 0)
    })
}

/// Asks a socket for a number; as `ustcp_ioctl` with those requests that ask. `FIONBIO` is taken without effect.
///
/// - `arg`: an `int`.
///
/// Returns 0, or negative: `-ENOTTY`, `-EINVAL`, `-EFAULT`, as `ustcp_ioctl`.
///
/// # Safety
/// `arg` stays readable and writable as an `int` during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_ioctl(
    stack: *mut ustcp_stack,
    fd: c_int,
    request: c_ulong,
    arg: *mut c_void,
) -> c_int {
    on(stack, |stack| {
        stack.family(fd)?; // EBADF before anything else
        match request {
            libc::FIONBIO => memory::read(arg.cast::<c_int>()).map(|_| 0),
            _ => control::write_number(arg, stack.ask_number(fd, request)?),
        }
    })
}

/// Tells which sockets of a stack are ready now; poll(2) with a timeout of 0.
///
/// - `fds`: sockets of this stack, and room for the answer in `revents`; an entry with negative `fd` is passed over.
/// - `nfds`: entries.
///
/// The events are those of `ustcp_poll`; `POLLNVAL` is no socket of this stack.
///
/// Returns how many entries have events, or negative: `-EFAULT`: `fds` is not readable and writable. `-EINVAL`: too many
/// entries. `-ENOMEM`: no memory left.
///
/// # Safety
/// `fds` stays readable and writable for `nfds` entries during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_poll(stack: *mut ustcp_stack, fds: *mut pollfd, nfds: nfds_t) -> c_int {
    on(stack, |stack| {
        let count = c_int::try_from(nfds).map_err(|_| Errno(libc::EINVAL))?;
        let mut entries = memory::read_array(fds, usize::try_from(count).map_err(|_| Errno(libc::EINVAL))?)?;
        for entry in &mut entries {
            entry.revents = match entry.fd {
                ..0 => 0,
                fd => stack.poll(fd, entry.events)?,
            };
        }
        memory::write_array(fds, &entries)?;
        let ready = entries.iter().filter(|entry| entry.revents != 0).count();
        c_int::try_from(ready).map_err(|_| Errno(libc::EINVAL))
    })
}

/// Names a socket whose readiness has changed since it was last named here, as an edge of epoll: new arrivals are a change,
/// bytes that were left unread are none. What there is to poll when there are many.
///
/// Returns its number, or negative: `-EAGAIN`: no other. And as every function of sockets of a stack.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_stack_ready(stack: *mut ustcp_stack) -> c_int {
    on(stack, |stack: &mut ManualStack| {
        stack.ready()?.ok_or(Errno(libc::EAGAIN))
    })
}
