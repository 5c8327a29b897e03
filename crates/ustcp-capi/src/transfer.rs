//! Bytes through one buffer: send and recv in their plain forms.

use libc::{c_int, c_void, size_t, sockaddr, socklen_t, ssize_t};
use std::io::{IoSlice, IoSliceMut};
use ustcp_runtime::{Errno, RecvFlags, SendFlags, Socket, Wait};

use crate::address::{self, Room};
use crate::boundary::waiting_boundary;
use crate::{engine, memory};

/// Writes bytes to a connection; send(2), RFC 9293 §3.9.1.2. Waits until all of them are in the send buffer unless the
/// socket has `O_NONBLOCK`; that they are taken does not mean that the peer has them.
///
/// - `buf`: the bytes, used in place; may be null when `len` is 0.
/// - `len`: bytes, 0 to `SSIZE_MAX`; at most 0x7ffff000 are taken by one call, as in Linux.
/// - `flags`: `MSG_DONTWAIT`: take what there is room for now. `MSG_NOSIGNAL`: no `SIGPIPE`. `MSG_OOB`: the last byte is
///   urgent (RFC 9293 §3.8.5; the pointer names the byte after it). `MSG_FASTOPEN`: with an address only, see
///   `ustcp_sendto`. `MSG_MORE`: more follows, so less than a full segment waits for it: until a send without it, a
///   segment from the peer, or for one retransmission timeout (200 ms at least). `MSG_EOR`: a record ends here; no
///   segment holds bytes of two records. Others are taken without effect.
///
/// Returns the number of bytes taken: all in a blocking call, unless a signal or `SO_SNDTIMEO` ended it; at least 1 if
/// `len` is not 0. Or -1 and sets `errno`:
/// - `EAGAIN`: no room, and the call must not wait (longer).
/// - `EPIPE`: not connected, or our side was shut down; also raises `SIGPIPE` unless `MSG_NOSIGNAL` says no.
/// - `ECONNRESET`: the peer sent RST. `ETIMEDOUT`: it no longer answers. `EHOSTUNREACH`, `ENETUNREACH`: nor can it be
///   reached.
/// - `EINTR`: before any byte was taken, a signal's handler ran that was installed without `SA_RESTART`, or
///   `SO_SNDTIMEO` is set.
/// - `EINVAL`: `len` is too large. `EFAULT`: `buf` can point nowhere (null, or outside of user memory); other wild
///   pointers are a `SIGSEGV`, as with libc's own functions.
/// - `EBADF`: not a descriptor of this library, or closed by another thread in the meantime. `ENETDOWN`: the stack has
///   ended.
///
/// Several threads may send at once; each call's bytes stay together only as far as they fit into the buffer at once.
///
/// # Safety
/// `buf` stays readable for `len` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_send(fd: c_int, buf: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    waiting_boundary(|| send_one(fd, buf, len, flags))
}

/// As `ustcp_send`; sendto(2). The address is checked and, as in Linux, otherwise ignored: a TCP socket has one peer.
/// With `MSG_FASTOPEN` it is where to connect: the first of the bytes go with the SYN if the server has given us a cookie
/// before (RFC 7413), else all of them follow the handshake.
///
/// - `addr`, `addrlen`: null and 0, or an address of at most 128 bytes.
///
/// Returns and sets `errno` as `ustcp_send`, and:
/// - `EINVAL`: `addrlen` is over 128, or `MSG_FASTOPEN` has no address. `EFAULT`: `addr` is not readable.
/// - with `MSG_FASTOPEN`, those of `ustcp_connect`; `EINPROGRESS`: it does not wait, and nothing was taken, for there is
///   no cookie yet. `EOPNOTSUPP`: the knob `tcp_fastopen` has no bit 1.
///
/// # Safety
/// `buf` and `addr` stay readable for `len` and `addrlen` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_sendto(
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
    addr: *const sockaddr,
    addrlen: socklen_t,
) -> ssize_t {
    waiting_boundary(|| {
        engine::on(
            fd,
            |there| there.send((buf, len), flags, (addr, addrlen)),
            |socket| {
                let data = memory::data(buf, len)?;
                let flags = address::send_flags(flags, addr, addrlen, socket.family())?;
                send(&socket, &[data], flags)
            },
        )
    })
}

/// As `ustcp_send` with flags 0; write(2).
///
/// # Safety
/// `buf` stays readable for `len` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_write(fd: c_int, buf: *const c_void, len: size_t) -> ssize_t {
    waiting_boundary(|| send_one(fd, buf, len, 0))
}

/// Reads bytes from a connection; recv(2), RFC 9293 §3.9.1.3. Waits for the first one unless the socket has
/// `O_NONBLOCK`.
///
/// - `buf`: room for them, written in place; may be null when `len` is 0.
/// - `len`: bytes, 0 to `SSIZE_MAX`; at most 0x7ffff000 are read by one call, as in Linux.
/// - `flags`: `MSG_DONTWAIT`: take what is there. `MSG_PEEK`: leave it there too. `MSG_WAITALL`: wait until `len` bytes
///   are there, the stream ends or a signal comes. `MSG_TRUNC`: drop the bytes instead of copying them, `buf` is not
///   touched. `MSG_OOB`: the urgent byte, without waiting. `MSG_ERRQUEUE`: see `ustcp_recvmsg`.
///   Others are taken without effect.
///
/// Returns the number of bytes read; 0 when the peer has sent FIN and all before it was read, or our side was shut down
/// (or `len` is 0). Or -1 and sets `errno`:
/// - `EAGAIN`: nothing there, and the call must not wait (longer than `SO_RCVTIMEO`).
/// - `ENOTCONN`: not connected.
/// - `ECONNRESET`: the peer sent RST. `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, `ENETUNREACH`: why the connection
///   failed. Each is told once; then reads return 0.
/// - `EINTR`: before any byte was read, a signal's handler ran that was installed without `SA_RESTART`, or
///   `SO_RCVTIMEO` is set.
/// - `EINVAL`: `len` is too large; with `MSG_OOB`, there is no urgent byte, or `SO_OOBINLINE` has it in the stream.
///   `EFAULT`: `buf` can point nowhere (null, or outside of user memory); other wild pointers are a `SIGSEGV`, as with
///   libc's own functions.
/// - `EBADF`: not a descriptor of this library, or closed by another thread in the meantime. `ENETDOWN`: the stack has
///   ended.
///
/// # Safety
/// `buf` stays writable for `len` bytes during the call, and nobody else uses them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_recv(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    waiting_boundary(|| receive_one(fd, buf, len, flags))
}

/// As `ustcp_recv`; recvfrom(2). A TCP socket tells no address here, as in Linux; `ustcp_getpeername` does.
///
/// - `addr`: not written.
/// - `addrlen`: when `addr` is not null, in: bytes at `addr`; out: 0.
///
/// Returns and sets `errno` as `ustcp_recv`, and:
/// - `EINVAL`: negative `*addrlen`. `EFAULT`: `addrlen` is not readable and writable.
///
/// # Safety
/// As for `ustcp_recv`; `addrlen` stays readable and writable during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_recvfrom(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    addr: *mut sockaddr,
    addrlen: *mut socklen_t,
) -> ssize_t {
    waiting_boundary(|| {
        engine::on(
            fd,
            |there| there.receive((buf, len), flags, Some((addr, addrlen))),
            |socket| {
                // First, so that a bad pointer costs no bytes.
                if let Some(room) = Room::optional(addr, addrlen)? {
                    room.write_none()?;
                }
                recv_one(&socket, buf, len, flags)
            },
        )
    })
}

/// As `ustcp_recv` with flags 0; read(2).
///
/// # Safety
/// As for `ustcp_recv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t {
    waiting_boundary(|| receive_one(fd, buf, len, 0))
}

fn send_one(fd: c_int, buf: *const c_void, len: size_t, flags: c_int) -> Result<ssize_t, Errno> {
    engine::on(
        fd,
        |there| there.send((buf, len), flags, (std::ptr::null(), 0)),
        |socket| send(&socket, &[memory::data(buf, len)?], SendFlags::from_bits(flags)),
    )
}

fn receive_one(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int) -> Result<ssize_t, Errno> {
    engine::on(
        fd,
        |there| there.receive((buf, len), flags, None),
        |socket| recv_one(&socket, buf, len, flags),
    )
}

/// Sends from any number of buffers.
pub(crate) fn send(socket: &Socket, data: &[IoSlice<'_>], flags: SendFlags) -> Result<ssize_t, Errno> {
    let wait = if flags.dont_wait {
        Wait::Never
    } else {
        socket.send_wait()
    };
    count(socket.send(data, flags, wait)?)
}

fn recv_one(socket: &Socket, buf: *mut c_void, len: size_t, flags: c_int) -> Result<ssize_t, Errno> {
    into_buffer(buf, len, flags, |into, flags| recv(socket, into, flags))
}

/// Receives into one buffer; `MSG_TRUNC` does not look at it.
pub(crate) fn into_buffer(
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    recv: impl FnOnce(&mut [IoSliceMut<'_>], c_int) -> Result<usize, Errno>,
) -> Result<ssize_t, Errno> {
    if flags & libc::MSG_TRUNC != 0 {
        return nowhere(len, flags, recv);
    }
    count(recv(&mut [memory::room(buf, len)?], flags)?)
}

/// `MSG_TRUNC`: the bytes are taken and go nowhere.
pub(crate) fn nowhere(
    len: size_t,
    flags: c_int,
    recv: impl FnOnce(&mut [IoSliceMut<'_>], c_int) -> Result<usize, Errno>,
) -> Result<ssize_t, Errno> {
    count(recv(&mut [IoSliceMut::new(&mut memory::untouched(len)?)], flags)?)
}

/// Receives into any number of buffers.
pub(crate) fn recv(socket: &Socket, into: &mut [IoSliceMut<'_>], flags: c_int) -> Result<usize, Errno> {
    if flags & libc::MSG_ERRQUEUE != 0 {
        return recv_report(socket, into);
    }
    let flags = RecvFlags::from_bits(flags)?;
    let wait = if flags.dont_wait {
        Wait::Never
    } else {
        socket.receive_wait()
    };
    socket.recv(into, flags, wait)
}

/// `MSG_ERRQUEUE` without a message header: what was quoted, and no word about why.
fn recv_report(socket: &Socket, into: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    let report = socket.take_report()?;
    let mut rest = report.quoted.as_slice();
    for buffer in into.iter_mut() {
        let (part, more) = rest.split_at(rest.len().min(buffer.len()));
        if let Some(place) = buffer.get_mut(..part.len()) {
            place.copy_from_slice(part);
        }
        rest = more;
    }
    Ok(report.quoted.len() - rest.len())
}

/// A number of bytes as C has it.
pub(crate) fn count(bytes: usize) -> Result<ssize_t, Errno> {
    ssize_t::try_from(bytes).map_err(|_| Errno(libc::EINVAL))
}
