//! setsockopt and getsockopt: the pointers. Which options there are is the runtime's table.

use libc::{c_int, c_void, socklen_t};
use ustcp_client::calls::is_told_whole;
use ustcp_runtime::Errno;

use crate::boundary::boundary;
use crate::{engine, memory};

/// No option's value is longer than this; of a longer one the beginning is looked at, as in Linux.
const LONGEST_VALUE: usize = 256;

/// Sets an option; setsockopt(2).
///
/// `SOL_SOCKET`:
/// - `SO_REUSEADDR` (int): bind although a connection in TIME-WAIT is there.
/// - `SO_REUSEPORT` (int): bind and listen where other sockets that have it do; connections are shared out among them.
/// - `SO_KEEPALIVE` (int): probe an idle peer, RFC 9293 §3.8.4.
/// - `SO_LINGER` (struct linger, seconds): what `ustcp_close` does; on with 0 seconds sends RST.
/// - `SO_RCVTIMEO`, `SO_SNDTIMEO` (struct timeval): longest wait of one call; zero: as long as it takes.
/// - `SO_RCVBUF`, `SO_SNDBUF` (int, bytes): room for bytes received and not read, sent and not acknowledged. At least
///   1152 and 2304, at most 16 MiB; a figure beyond counts as the nearest. Told doubled, as in Linux. A size that is
///   set stays; one that is not grows with what the path carries.
/// - `SO_RCVBUFFORCE`, `SO_SNDBUFFORCE` (int, bytes): the same up to 1 GiB, and for everybody. Cannot be told.
/// - `SO_RCVLOWAT` (int, bytes): poll says readable, and a recv that waits returns, from so many on (recv: or as many as
///   it has room for). 1 at least, at most what `SO_RCVBUF` was set to; where it was not, the buffer grows for it.
///
/// - `SO_MAX_PACING_RATE` (bytes a second, 64 or 32 bits; 0 or all bits set: no limit): text leaves no faster.
/// - Kept, told and without effect: `SO_PRIORITY`, `SO_MARK`, `SO_BROADCAST`, `SO_DONTROUTE` and others; docs/c-api.md
///   lists them.
///
/// `IPPROTO_TCP`:
/// - `TCP_NODELAY` (int): no Nagle algorithm, RFC 9293 §3.7.4. Setting it lets out what `TCP_CORK` holds.
/// - `TCP_CORK` (int): less than a full segment waits for more, until this is cleared, a FIN goes, or for one
///   retransmission timeout (200 ms at least) when nothing else is in flight.
/// - `TCP_NOTSENT_LOWAT` (int, bytes; 0: no limit): a send takes no more while so many bytes wait to be sent for the first
///   time; poll says writable below half of it.
/// - `TCP_USER_TIMEOUT` (int, milliseconds; 0: as `tcp_retries2` counts): how long the peer may leave unacknowledged what
///   is sent again, keep its window closed, or be silent to keepalive; RFC 5482. Then `ETIMEDOUT`.
/// - `TCP_SYNCNT` (int, 1 to 127): retransmissions of a SYN; a listener's, of its SYN-ACKs.
/// - `TCP_DEFER_ACCEPT` (int, seconds): a listener's connections are there to accept with their first bytes, or after so
///   long without. Rounded up to 1, 3, 7, 15, ... seconds: timeouts of the SYN-ACK.
/// - `TCP_LINGER2` (int, seconds; 0: 60; beyond 120: 120): how long FIN-WAIT-2 lasts after `ustcp_close`. Negative: not at
///   all, the peer gets RST.
/// - `TCP_WINDOW_CLAMP` (int, at least 1152 bytes; 0, before there is a connection: none): largest window to announce.
/// - `TCP_THIN_LINEAR_TIMEOUTS` (int, 0 or 1): the first six retransmission timeouts are not doubled while less than four
///   segments are in flight. `TCP_THIN_DUPACK` (int, 0 or 1): no effect, as in Linux.
/// - `TCP_SAVE_SYN` (int, 0 to 2; 0: no): a listener keeps the IP and TCP headers of the SYNs that its connections begin
///   with, for `TCP_SAVED_SYN` of these. 2, which is from the link layer on, is the same as 1: there is none.
/// - `TCP_FASTOPEN_KEY` (16 bytes, or 32: a second key behind the first): what a listener's Fast Open cookies are made
///   with, as Linux makes them. Cookies of the second are taken, and replaced. Not handed on to accepted sockets.
/// - `TCP_MAXSEG` (int, 88 to 32767 bytes; 0: none): largest segment to announce and to send. Without effect on a
///   connection.
/// - `TCP_CONGESTION` (name, at most 15 bytes): `cubic`, `reno` or `bbr`, also for a connection at work. Told as 16
///   bytes, with zeros behind the name.
/// - `TCP_KEEPIDLE`, `TCP_KEEPINTVL` (int, 1 to 32767 seconds), `TCP_KEEPCNT` (int, 1 to 127).
/// - `TCP_INQ` (int, 0 or 1; its number is 36): `ustcp_recvmsg` tells how much is left to read.
///
/// `IPPROTO_IP`:
/// - `IP_RECVERR` (int or byte): an ICMP error that does not end the connection is told by the next call.
///
/// - `IP_BIND_ADDRESS_NO_PORT` (int or byte): bind with port 0 leaves the port to connect.
///
/// `IPPROTO_IP`; of a socket of `AF_INET6` also `IPPROTO_IPV6`:
/// - `IP_FREEBIND` (int or byte), `IPV6_FREEBIND` (int): bind takes any address that a host can have.
/// - `IP_TRANSPARENT`, `IPV6_TRANSPARENT` (int): bind takes any address that a host can have; a listener takes
///   connections to every port of its address (or of every address of the stack, as it is bound) for which there is no
///   other listener. `ustcp_getsockname` tells where the peer wanted to go. No privilege is asked for.
/// - `IP_TOS` (int or a byte), `IP_TTL` (int or a byte, 1 to 255; -1: the stack's own, 64): go with every packet from
///   now on. The lower two bits of the former are ECN's and stay so.
///
/// `IPPROTO_IPV6`, on a socket of `AF_INET6`:
/// - `IPV6_RECVERR` (int): the same.
/// - `IPV6_TCLASS` (int, 0 to 255), `IPV6_UNICAST_HOPS` (int, 0 to 255; -1: the stack's own): the same two.
/// - `IPV6_V6ONLY` (int): nothing to do with IPv4; only before the socket has its local address.
///
/// - `optval`, `optlen`: the value and its length in bytes; a longer one is read from its beginning.
///
/// Returns 0, or -1 and sets `errno`:
/// - `ENOPROTOOPT`: another option or level; also one that can only be read.
/// - `EPERM`, `EACCES`: `SO_MARK`, `SO_PRIORITY` above 6, `SO_PREFER_BUSY_POLL`; `SO_DEBUG`, without the capability that
///   Linux asks for; `TCP_REPAIR`. `ENODEV`: `SO_BINDTODEVICE` with a name. `EOPNOTSUPP`: `SO_PASSCRED`, `SO_PASSSEC`.
/// - `EINVAL`: a value too short or out of range, or `IPV6_V6ONLY` too late. `EDOM`: microseconds of a `struct timeval` out of range.
/// - `EINVAL`: also `TCP_WINDOW_CLAMP` 0 for a connection or a listener. `ENOENT`: `TCP_CONGESTION` of a name that is unknown.
/// - `EFAULT`: `optval` is not readable. `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has ended.
///
/// # Safety
/// `optval` stays readable for `optlen` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_setsockopt(
    fd: c_int,
    level: c_int,
    optname: c_int,
    optval: *const c_void,
    optlen: socklen_t,
) -> c_int {
    boundary(|| {
        engine::on(
            fd,
            |there| there.set_option((level, optname), optval, optlen),
            |socket| {
                socket.set_option(level, optname, &value(optval, optlen)?)?;
                Ok(0)
            },
        )
    })
}

/// Tells an option; getsockopt(2). All of `ustcp_setsockopt`, and:
///
/// `SOL_SOCKET`:
/// - `SO_ERROR` (int): the errno that waits for the program, which no longer does after this; 0 for none.
/// - `SO_TYPE`, `SO_DOMAIN`, `SO_PROTOCOL` (int): `SOCK_STREAM`, `AF_INET` or `AF_INET6`, `IPPROTO_TCP`.
/// - `SO_ACCEPTCONN` (int): whether it listens.
/// - `SO_SNDLOWAT` (int): 1, as in Linux. `SO_INCOMING_NAPI_ID` (int): 0.
/// - `SO_PEERCRED` (struct ucred): of nobody, 0, -1 and -1.
///
/// `IPPROTO_TCP`:
/// - `TCP_INFO` (struct tcp_info of <linux/tcp.h>): state, round-trip times in microseconds, windows, counts.
/// - `TCP_SAVED_SYN` (at most 256 bytes): IP and TCP header of the SYN of a connection that a listener with `TCP_SAVE_SYN`
///   has taken; once, then and otherwise nothing. None was kept where it was answered with a cookie, or was longer.
/// - `TCP_FASTOPEN_KEY`: nothing where none was set.
/// - `TCP_MAXSEG` (int, bytes): what segments are sent with, once connected.
///
/// `IPPROTO_IP`, `IPPROTO_IPV6`:
/// - `IP_MTU`, `IPV6_MTU` (int, bytes): the path MTU of the connection.
///
/// - `optval`: room for the value. A shorter room gets the beginning.
/// - `optlen`: in: bytes at `optval`; out: bytes written, or needed, where there is no room for all of `TCP_SAVED_SYN`.
///
/// Returns 0, or -1 and sets `errno`:
/// - `ENOPROTOOPT`: another option, or level of an IPv6 socket. `EOPNOTSUPP`: another level of an IPv4 socket,
///   `IPPROTO_IPV6` too; `SO_PASSCRED`. `ENOTCONN`: `IP_MTU` without a connection. `EINVAL`: negative `*optlen`; no
///   room for all of `TCP_SAVED_SYN`, which is kept.
/// - `EFAULT`: `optval` or `optlen` is not writable. `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack
///   has ended.
///
/// # Safety
/// `optval` stays writable for `*optlen` bytes, and `optlen` readable and writable, during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_getsockopt(
    fd: c_int,
    level: c_int,
    optname: c_int,
    optval: *mut c_void,
    optlen: *mut socklen_t,
) -> c_int {
    boundary(|| {
        engine::on(
            fd,
            |there| there.option((level, optname), optval, optlen),
            |socket| {
                tell((level, optname), optval, optlen, |room| {
                    socket.option(level, optname, room)
                })
            },
        )
    })
}

/// The value that an option is to be set to.
pub(crate) fn value(optval: *const c_void, optlen: socklen_t) -> Result<Vec<u8>, Errno> {
    memory::read_array(optval.cast::<u8>(), length(optlen)?.min(LONGEST_VALUE))
}

/// Writes what `ask` tells who has so much room, as far as there is.
pub(crate) fn tell(
    (level, name): (c_int, c_int),
    optval: *mut c_void,
    optlen: *mut socklen_t,
    ask: impl FnOnce(usize) -> Result<Vec<u8>, Errno>,
) -> Result<c_int, Errno> {
    let room = length(memory::read(optlen)?)?;
    let mut value = ask(room)?;
    let cut = value.len() > room;
    if cut && is_told_whole(level, name) {
        write_length(optlen, value.len())?;
        return Err(Errno(libc::EINVAL));
    }
    value.truncate(room);
    memory::write_array(optval.cast::<u8>(), &value)?;
    write_length(optlen, value.len())?;
    Ok(0)
}

fn write_length(optlen: *mut socklen_t, len: usize) -> Result<(), Errno> {
    memory::write(optlen, &socklen_t::try_from(len).unwrap_or(socklen_t::MAX))
}

/// Linux reads the length as an int.
fn length(given: socklen_t) -> Result<usize, Errno> {
    usize::try_from(given.cast_signed()).map_err(|_| Errno(libc::EINVAL))
}
