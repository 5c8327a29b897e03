//! The life of a socket, from socket to close.

use libc::{c_int, sockaddr, socklen_t};
use ustcp_runtime::{Errno, Family, Shutdown, Socket, process};

use crate::address::{self, Purpose, Room};
use crate::boundary::{boundary, waiting_boundary};
use crate::engine;

/// Linux's `SOCK_MAX` and `IPPROTO_MAX`: numbers from here on are no type and no protocol.
const TYPES_END: c_int = 11;
const PROTOCOLS_END: c_int = 263;

/// Makes a TCP socket; socket(2). The first one starts the stack as `ustcp_init(NULL)` does.
///
/// - `domain`: `AF_INET` or `AF_INET6`. A socket of IPv6 speaks of IPv4 as ::ffff:a.b.c.d, unless `IPV6_V6ONLY` is set.
/// - `type`: `SOCK_STREAM`, with `SOCK_NONBLOCK` or not. `SOCK_CLOEXEC` is always on: what the descriptor stands for
///   does not outlive exec.
/// - `protocol`: 0 or `IPPROTO_TCP`.
///
/// The descriptor is valid natively for poll, select, epoll and fstat, and for nothing else: read, write, close, dup
/// and the like go through `ustcp_*`. It is the caller's until `ustcp_close`. At an engine (`USTCP_ENGINE`) it is a whole
/// one, and close-on-exec with `SOCK_CLOEXEC` only.
///
/// Returns the descriptor, or -1 and sets `errno`:
/// - `EAFNOSUPPORT`: another domain.
/// - `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`: another type or protocol.
/// - `EINVAL`: no such type, flag or protocol at all.
/// - `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`: no descriptor or memory left.
/// - what `ustcp_init` sets, if the stack has yet to start; `ENETDOWN` if it has ended or its device has gone, or if the
///   engine is not there.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_socket(domain: c_int, r#type: c_int, protocol: c_int) -> c_int {
    boundary(|| {
        let (family, flags) = socket_kind(domain, r#type, protocol)?;
        engine::choose(|| engine::socket(family, flags), || make(family, flags))
    })
}

fn make(family: Family, flags: c_int) -> Result<c_int, Errno> {
    let socket = process::runtime()?.socket(family)?;
    socket.set_nonblocking(flags & libc::SOCK_NONBLOCK != 0);
    Ok(process::register(socket))
}

/// The family, and the flags of a type, once all three are known to mean TCP. In Linux's order.
pub(crate) fn socket_kind(domain: c_int, kind: c_int, protocol: c_int) -> Result<(Family, c_int), Errno> {
    const TYPE_MASK: c_int = 0xf;
    let flags = accept_flags(kind & !TYPE_MASK)?;
    let family = match domain {
        libc::AF_INET => Family::V4,
        libc::AF_INET6 => Family::V6,
        _ => return Err(Errno(libc::EAFNOSUPPORT)),
    };
    match (kind & TYPE_MASK, protocol) {
        (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Ok((family, flags)),
        (TYPES_END.., _) | (_, ..0 | PROTOCOLS_END..) => Err(Errno(libc::EINVAL)),
        (libc::SOCK_STREAM, _) | (libc::SOCK_RAW, 0) => Err(Errno(libc::EPROTONOSUPPORT)),
        _ => Err(Errno(libc::ESOCKTNOSUPPORT)),
    }
}

/// Flags that come with a new descriptor; any other is `EINVAL`.
fn accept_flags(flags: c_int) -> Result<c_int, Errno> {
    if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) == 0 {
        Ok(flags)
    } else {
        Err(Errno(libc::EINVAL))
    }
}

/// Gives the socket a local address; bind(2).
///
/// - `addr`: a `struct sockaddr_in` or `struct sockaddr_in6` as the socket's domain says, of any alignment: an address
///   of the stack, 127.0.0.0/8 or ::1 (inside the stack only), `INADDR_ANY` or `in6addr_any`, which is IPv4's too
///   without `IPV6_V6ONLY`; port 0 has a free one chosen (RFC 6056). `AF_UNSPEC` with `INADDR_ANY` counts as `AF_INET`.
///   `sin6_flowinfo` and `sin6_scope_id` are not looked at: the stack has one device.
/// - `addrlen`: bytes at `addr`: 16 (24 for IPv6) to 128.
///
/// Returns 0, or -1 and sets `errno`:
/// - `EADDRINUSE`: another socket holds address and port, or (without `SO_REUSEADDR`) a connection in TIME-WAIT does;
///   or no port is free.
/// - `EADDRNOTAVAIL`: not an address of this stack.
/// - `EAFNOSUPPORT`: not an address of the socket's domain. `EINVAL`: wrong length, bound already, or ::ffff:a.b.c.d
///   with `IPV6_V6ONLY`.
/// - `EBADF`: not a descriptor of this library. `EFAULT`: `addr` is not readable. `ENETDOWN`: the stack has ended.
///
/// # Safety
/// `addr` stays readable for `addrlen` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_bind(fd: c_int, addr: *const sockaddr, addrlen: socklen_t) -> c_int {
    boundary(|| {
        engine::on(
            fd,
            |there| there.bind(addr, addrlen),
            |socket| {
                socket.bind(address::read(addr, addrlen, socket.family(), Purpose::Bind)?)?;
                Ok(0)
            },
        )
    })
}

/// Takes connections from now on; listen(2), RFC 9293 §3.9.1.1 (passive OPEN). An unbound socket gets a free port.
///
/// - `backlog`: most established connections that wait for accept; negative counts as the largest, as in Linux. May be
///   changed by another call.
///
/// Returns 0, or -1 and sets `errno`:
/// - `EADDRINUSE`: another socket listens there, or no port is free.
/// - `EINVAL`: connected, or connecting.
/// - `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has ended.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_listen(fd: c_int, backlog: c_int) -> c_int {
    boundary(|| {
        engine::on(
            fd,
            |there| there.listen(backlog),
            |socket| socket.listen(backlog).map(|()| 0),
        )
    })
}

/// Takes the next established connection of a listening socket; accept(2). The same as `ustcp_accept4` with flags 0.
///
/// # Safety
/// As for `ustcp_accept4`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_accept(fd: c_int, addr: *mut sockaddr, addrlen: *mut socklen_t) -> c_int {
    waiting_boundary(|| accept(fd, addr, addrlen, 0))
}

/// Takes the next established connection of a listening socket; accept4(2). Waits for one unless the listening socket
/// has `O_NONBLOCK`, at most as long as its `SO_RCVTIMEO`.
///
/// - `addr`: room for the peer's address, or null when nobody wants it.
/// - `addrlen`: in: bytes at `addr`; out: the address's full length, 16 or 28. Not looked at when `addr` is null.
/// - `flags`: `SOCK_NONBLOCK` for the new socket; `SOCK_CLOEXEC` is always on.
///
/// The new socket has the listening one's options. Wrong arguments take no connection from the queue.
///
/// Returns the new descriptor, the caller's until `ustcp_close`, or -1 and sets `errno`:
/// - `EAGAIN`: nobody waits and the socket has `O_NONBLOCK`, or the timeout has passed.
/// - `EINTR`: a signal's handler ran that was installed without `SA_RESTART`, or a timeout was set.
/// - `EINVAL`: not listening, negative `*addrlen`, or an unknown flag.
/// - `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`: no descriptor or memory left; the connection stays in the queue.
/// - `EBADF`: not a descriptor of this library, or closed by another thread in the meantime.
/// - `EFAULT`: `addr` or `addrlen` is not writable. `ENETDOWN`: the stack has ended.
///
/// # Safety
/// `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_accept4(fd: c_int, addr: *mut sockaddr, addrlen: *mut socklen_t, flags: c_int) -> c_int {
    waiting_boundary(|| accept(fd, addr, addrlen, flags))
}

fn accept(fd: c_int, addr: *mut sockaddr, addrlen: *mut socklen_t, flags: c_int) -> Result<c_int, Errno> {
    let flags = accept_flags(flags)?;
    engine::on(
        fd,
        |there| there.accept(addr, addrlen, flags),
        |listener| take(&listener, addr, addrlen, flags),
    )
}

fn take(listener: &Socket, addr: *mut sockaddr, addrlen: *mut socklen_t, flags: c_int) -> Result<c_int, Errno> {
    let room = Room::optional(addr, addrlen)?;
    let (socket, peer) = listener.accept(listener.receive_wait())?;
    if let Some(room) = room
        && let Err(errno) = room.write(peer)
    {
        // The caller cannot learn of this connection, so it ends here, as in Linux.
        socket.close()?;
        return Err(errno);
    }
    socket.set_nonblocking(flags & libc::SOCK_NONBLOCK != 0);
    Ok(process::register(socket))
}

/// Opens a connection; connect(2), RFC 9293 §3.9.1.1 (active OPEN). Waits until it is established or has failed, at
/// most as long as `SO_SNDTIMEO`, unless the socket has `O_NONBLOCK`; then the socket becomes writable (natively too)
/// when it is decided, and `SO_ERROR` tells how. An unbound socket gets an address and a free port (RFC 6056).
///
/// - `addr`: a `struct sockaddr_in` or `struct sockaddr_in6` as the socket's domain says, of any alignment;
///   `INADDR_ANY` and `in6addr_any` mean this host. `sin6_flowinfo` and `sin6_scope_id` are not looked at.
/// - `addrlen`: bytes at `addr`: 16 (24 for IPv6) to 128.
///
/// An address of `AF_UNSPEC`, of at least 2 bytes, undoes connect and listen: the peer gets RST, `SO_ERROR` says
/// `ECONNRESET`, and the socket, still bound if bind did that, may connect or listen again.
///
/// Returns 0, or -1 and sets `errno`:
/// - `EINPROGRESS`: begun; the socket has `O_NONBLOCK`, or the timeout has passed.
/// - `EALREADY`: an attempt is under way. `EISCONN`: connected already, or listening.
/// - `ECONNREFUSED`: the peer answered with RST. `ETIMEDOUT`: it did not answer. `ECONNABORTED`: a former attempt failed
///   and was not asked about.
/// - `EHOSTUNREACH`, `ENETUNREACH`: no way there, or ICMP said so; the stack has no address of that family; or
///   ::ffff:a.b.c.d with `IPV6_V6ONLY`.
/// - `EADDRNOTAVAIL`: no free port is left for that peer, or the connection exists already.
/// - `EINTR`: a signal's handler ran that was installed without `SA_RESTART`; the attempt goes on.
/// - `EAFNOSUPPORT`: not an address of the socket's domain, or not of the family that it was bound in.
/// - `EINVAL`: wrong length. `EFAULT`: `addr` is not readable.
/// - `EBADF`: not a descriptor of this library, or closed by another thread in the meantime. `ENETDOWN`: the stack has
///   ended.
///
/// # Safety
/// `addr` stays readable for `addrlen` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_connect(fd: c_int, addr: *const sockaddr, addrlen: socklen_t) -> c_int {
    waiting_boundary(|| {
        engine::on(
            fd,
            |there| there.connect(addr, addrlen),
            |socket| connect(&socket, addr, addrlen).map(|()| 0),
        )
    })
}

fn connect(socket: &Socket, addr: *const sockaddr, addrlen: socklen_t) -> Result<(), Errno> {
    if address::is_unspecified(addr, addrlen)? {
        return socket.disconnect();
    }
    let peer = address::read(addr, addrlen, socket.family(), Purpose::Connect)?;
    socket.connect(peer, socket.send_wait())
}

/// Ends one direction of a connection or both; shutdown(2), RFC 9293 §3.6.
///
/// - `how`: `SHUT_WR` sends FIN after all written bytes; the peer may go on sending. `SHUT_RD`: reads return 0 once the
///   buffer is empty; the peer is not told. `SHUT_RDWR`: both. On a listening socket, `SHUT_RD` and `SHUT_RDWR` end the
///   listening.
///
/// The descriptor stays the caller's. Calls of other threads that wait for what was ended return.
///
/// Returns 0, or -1 and sets `errno`:
/// - `ENOTCONN`: not connected. `EINVAL`: another `how`.
/// - `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has ended.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_shutdown(fd: c_int, how: c_int) -> c_int {
    boundary(|| {
        engine::on(
            fd,
            |there| there.shutdown(how),
            |socket| socket.shutdown(half(how)?).map(|()| 0),
        )
    })
}

/// What shutdown is to end.
pub(crate) fn half(how: c_int) -> Result<Shutdown, Errno> {
    match how {
        libc::SHUT_RD => Ok(Shutdown::Read),
        libc::SHUT_WR => Ok(Shutdown::Write),
        libc::SHUT_RDWR => Ok(Shutdown::Both),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Closes a socket; close(2), RFC 9293 §3.9.1.4. Written bytes are still delivered and FIN follows them; the side that
/// closes first goes through TIME-WAIT, in the background. Sends RST instead when received bytes were not read
/// (RFC 2525 §2.17), or when `SO_LINGER` is on with 0 seconds.
///
/// Returns at once, but with `SO_LINGER` on and some seconds only when the peer has acknowledged everything or that time
/// has passed, also with `O_NONBLOCK`, as in Linux. The descriptor is closed in any case: do not call again. Calls of other
/// threads that wait on it return with `EBADF`. At an engine it is the kernel's close: the connection ends with its last
/// descriptor, at once also with `SO_LINGER` on and some seconds, and who waits on it waits on.
///
/// Returns 0, or -1 and sets `errno`:
/// - `EBADF`: not a descriptor of this library; also the second time.
/// - `EINTR`: a signal ended the lingering.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_close(fd: c_int) -> c_int {
    waiting_boundary(|| engine::on(fd, |there| there.close(), |_| process::close(fd).map(|()| 0)))
}

/// Tells the local address; getsockname(2). `INADDR_ANY` or `in6addr_any` and port 0 before bind, listen or connect.
///
/// - `addr`: room for a `struct sockaddr_in` or, of an IPv6 socket, `struct sockaddr_in6` (flow and scope 0).
/// - `addrlen`: in: bytes at `addr`; out: the address's full length, 16 or 28. A shorter room gets the beginning.
///
/// Returns 0, or -1 and sets `errno`:
/// - `EINVAL`: negative `*addrlen`. `EFAULT`: `addr` or `addrlen` is not writable.
/// - `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has ended.
///
/// # Safety
/// `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_getsockname(fd: c_int, addr: *mut sockaddr, addrlen: *mut socklen_t) -> c_int {
    boundary(|| {
        engine::on(
            fd,
            |there| there.local_address(addr, addrlen),
            |socket| {
                Room::new(addr, addrlen)?.write(socket.local_address()?)?;
                Ok(0)
            },
        )
    })
}

/// Tells the peer's address; getpeername(2).
///
/// - `addr`: room for a `struct sockaddr_in` or, of an IPv6 socket, `struct sockaddr_in6` (flow and scope 0).
/// - `addrlen`: in: bytes at `addr`; out: the address's full length, 16 or 28. A shorter room gets the beginning.
///
/// Returns 0, or -1 and sets `errno`:
/// - `ENOTCONN`: not connected.
/// - `EINVAL`: negative `*addrlen`. `EFAULT`: `addr` or `addrlen` is not writable.
/// - `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has ended.
///
/// # Safety
/// `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_getpeername(fd: c_int, addr: *mut sockaddr, addrlen: *mut socklen_t) -> c_int {
    boundary(|| {
        engine::on(
            fd,
            |there| there.peer_address(addr, addrlen),
            |socket| {
                let peer = socket.peer_address()?;
                Room::new(addr, addrlen)?.write(peer)?;
                Ok(0)
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_socket_are_judged_as_linux_does() {
        use libc::{AF_INET, AF_INET6, AF_UNIX, EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT, ESOCKTNOSUPPORT};
        use libc::{
            IPPROTO_TCP, IPPROTO_UDP, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM,
        };
        let table = [
            (AF_INET, SOCK_STREAM, 0, Ok(0)),
            (AF_INET, SOCK_STREAM, IPPROTO_TCP, Ok(0)),
            (AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, Ok(SOCK_NONBLOCK)),
            (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0, Ok(SOCK_CLOEXEC)),
            (AF_INET, SOCK_STREAM | 0x10, 0, Err(EINVAL)),
            (AF_INET, SOCK_STREAM, IPPROTO_UDP, Err(EPROTONOSUPPORT)),
            (AF_INET, SOCK_STREAM, -1, Err(EINVAL)),
            (AF_INET, SOCK_STREAM, 300, Err(EINVAL)),
            (AF_INET, SOCK_DGRAM, 0, Err(ESOCKTNOSUPPORT)),
            (AF_INET, SOCK_SEQPACKET, 0, Err(ESOCKTNOSUPPORT)),
            (AF_INET, SOCK_RAW, 0, Err(EPROTONOSUPPORT)),
            (AF_INET, 0, 0, Err(ESOCKTNOSUPPORT)),
            (AF_INET, 15, 0, Err(EINVAL)),
            (AF_INET, -1, 0, Err(EINVAL)),
            (AF_UNIX, SOCK_STREAM, 0, Err(EAFNOSUPPORT)),
            (-1, SOCK_STREAM, 0, Err(EAFNOSUPPORT)),
            (999, SOCK_STREAM, 0, Err(EAFNOSUPPORT)),
        ];
        for (domain, kind, protocol, flags) in table {
            let expected = flags.map(|flags| (Family::V4, flags)).map_err(Errno);
            assert_eq!(
                socket_kind(domain, kind, protocol),
                expected,
                "{domain} {kind:#x} {protocol}"
            );
            if domain == AF_INET {
                let expected = flags.map(|flags| (Family::V6, flags)).map_err(Errno);
                assert_eq!(socket_kind(AF_INET6, kind, protocol), expected, "{kind:#x} {protocol}");
            }
        }
    }
}
