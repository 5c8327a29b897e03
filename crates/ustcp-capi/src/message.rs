//! Bytes through many buffers: iovecs and messages.

use std::io::{IoSlice, IoSliceMut};

use libc::{c_int, iovec, msghdr, ssize_t};
use ustcp_runtime::{Errno, Family, SendFlags};

use crate::ancillary::{self, Control, Source};
use crate::boundary::waiting_boundary;
use crate::{address, engine, memory, transfer};

/// `TCP_CM_INQ` of <linux/tcp.h>.
const TCP_CM_INQ: c_int = 36;

/// Most buffers of one call, Linux's `UIO_MAXIOV`.
const MOST_BUFFERS: usize = 1024;

/// As `ustcp_send` with flags 0, from several buffers in turn; writev(2).
///
/// - `iov`: the buffers; each may be empty.
/// - `iovcnt`: how many, 0 to 1024 (`IOV_MAX`). Their lengths together are at most `SSIZE_MAX`.
///
/// Returns and sets `errno` as `ustcp_send`, and:
/// - `EINVAL`: `iovcnt` is out of range, or the lengths are too large. `EFAULT`: `iov` is not readable.
///
/// # Safety
/// `iov` and all its buffers stay readable during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_writev(fd: c_int, iov: *const iovec, iovcnt: c_int) -> ssize_t {
    waiting_boundary(|| {
        engine::on(
            fd,
            |there| there.send_pieces(iov, iovcnt),
            |socket| transfer::send(&socket, &data(&vector(iov, iovcnt)?)?, SendFlags::default()),
        )
    })
}

/// As `ustcp_recv` with flags 0, into several buffers in turn; readv(2).
///
/// - `iov`: the buffers; each may be empty.
/// - `iovcnt`: how many, 0 to 1024 (`IOV_MAX`). Their lengths together are at most `SSIZE_MAX`.
///
/// Returns and sets `errno` as `ustcp_recv`, and:
/// - `EINVAL`: `iovcnt` is out of range, or the lengths are too large. `EFAULT`: `iov` is not readable.
///
/// # Safety
/// `iov` stays readable and all its buffers writable during the call; no two of them overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_readv(fd: c_int, iov: *const iovec, iovcnt: c_int) -> ssize_t {
    waiting_boundary(|| {
        engine::on(
            fd,
            |there| there.receive_pieces(iov, iovcnt),
            |socket| transfer::count(transfer::recv(&socket, &mut room(&vector(iov, iovcnt)?)?, 0)?),
        )
    })
}

/// As `ustcp_send`, from a message; sendmsg(2).
///
/// - `msg`: `msg_iov` and `msg_iovlen` (0 to 1024) are the buffers. `msg_name` is checked and otherwise ignored, as
///   `ustcp_sendto` does; control data and `msg_flags` are ignored.
/// - `flags`: as for `ustcp_send`.
///
/// Returns and sets `errno` as `ustcp_send`, and:
/// - `EMSGSIZE`: more than 1024 buffers. `EINVAL`: the lengths are too large, or `msg_namelen` is over 128.
/// - `EFAULT`: `msg`, its name or its vector is not readable.
///
/// # Safety
/// `msg` and all that it points to stay readable during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_sendmsg(fd: c_int, msg: *const msghdr, flags: c_int) -> ssize_t {
    waiting_boundary(|| {
        engine::on(
            fd,
            |there| there.send_message(msg, flags),
            |socket| {
                let (data, flags) = outgoing(msg, flags, socket.family())?;
                transfer::send(&socket, &data, flags)
            },
        )
    })
}

/// As `ustcp_recv`, into a message; recvmsg(2).
///
/// - `msg`: `msg_iov` and `msg_iovlen` (0 to 1024) are the buffers. Out: `msg_namelen` is 0: a TCP socket tells no address
///   here. With `TCP_INQ` set there is one piece of control data, of level `IPPROTO_TCP` and type `TCP_CM_INQ` (36): an int,
///   the bytes that are still there to read, 1 at the end of the stream. `msg_controllen` is the length of the control
///   data; `msg_flags` is `MSG_OOB` with the urgent byte, `MSG_CTRUNC` if the control data were cut, else 0.
/// - `flags`: as for `ustcp_recv`. `MSG_ERRQUEUE`: the oldest ICMP error of an attempt to connect, or `EAGAIN`: the quoted
///   segment in the buffers, its destination in `msg_name`, a `struct sock_extended_err` of <linux/errqueue.h> with the
///   sender's address behind it as control data (`IP_RECVERR`, `IPV6_RECVERR`). At most 8 are kept.
///
/// Returns and sets `errno` as `ustcp_recv`, and:
/// - `EMSGSIZE`: more than 1024 buffers. `EINVAL`: the lengths are too large, or `msg_namelen` is negative.
/// - `EFAULT`: `msg` is not readable and writable, or its vector is not readable.
///
/// # Safety
/// `msg` and all its buffers stay writable during the call; no two of them overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_recvmsg(fd: c_int, msg: *mut msghdr, flags: c_int) -> ssize_t {
    waiting_boundary(|| {
        engine::on(
            fd,
            |there| there.receive_message(msg, flags),
            |socket| into_message(msg, flags, &mut &socket),
        )
    })
}

/// The buffers of a message to be sent.
pub(crate) fn outgoing<'a>(
    msg: *const msghdr,
    flags: c_int,
    family: Family,
) -> Result<(Vec<IoSlice<'a>>, SendFlags), Errno> {
    let header = memory::read(msg)?;
    let flags = address::send_flags(flags, header.msg_name.cast(), header.msg_namelen, family)?;
    Ok((data(&message_vector(&header)?)?, flags))
}

/// Receives into the buffers of a message.
pub(crate) fn into_message(msg: *mut msghdr, flags: c_int, source: &mut impl Source) -> Result<ssize_t, Errno> {
    let mut header = memory::read(msg)?;
    if header.msg_namelen.cast_signed() < 0 {
        return Err(Errno(libc::EINVAL));
    }
    let vector = message_vector(&header)?;
    if flags & libc::MSG_ERRQUEUE != 0 {
        let taken = ancillary::take_report(source, &mut header, |quoted| scatter(&vector, quoted))?;
        memory::write(msg, &header)?;
        return Ok(taken);
    }
    let mut control = Control::new(&header);
    (header.msg_namelen, header.msg_controllen, header.msg_flags) = (0, 0, 0);
    // First, so that a header which cannot be written costs no bytes.
    memory::write(msg, &header)?;
    if flags & libc::MSG_TRUNC != 0 {
        return transfer::nowhere(total(&vector)?, flags, |into, flags| source.recv(into, flags));
    }
    let count = source.recv(&mut room(&vector)?, flags)?;
    if flags & libc::MSG_OOB != 0 && count > 0 {
        header.msg_flags = libc::MSG_OOB;
    }
    if let Some(left) = source.left_to_read()? {
        control.put(libc::IPPROTO_TCP, TCP_CM_INQ, &left.to_ne_bytes());
    }
    control.write(&mut header)?;
    memory::write(msg, &header)?;
    transfer::count(count)
}

/// Copies `bytes` into the buffers, as far as they hold them.
fn scatter(vector: &[iovec], bytes: &[u8]) -> Result<usize, Errno> {
    let mut rest = bytes;
    for mut buffer in room(vector)? {
        let (part, more) = rest.split_at(rest.len().min(buffer.len()));
        if let Some(place) = buffer.get_mut(..part.len()) {
            place.copy_from_slice(part);
        }
        rest = more;
    }
    Ok(bytes.len() - rest.len())
}

fn vector(iov: *const iovec, count: c_int) -> Result<Vec<iovec>, Errno> {
    match usize::try_from(count) {
        Ok(count) if count <= MOST_BUFFERS => memory::read_array(iov, count),
        _ => Err(Errno(libc::EINVAL)),
    }
}

fn message_vector(header: &msghdr) -> Result<Vec<iovec>, Errno> {
    match header.msg_iovlen {
        count if count <= MOST_BUFFERS => memory::read_array(header.msg_iov, count),
        _ => Err(Errno(libc::EMSGSIZE)),
    }
}

/// The bytes of all buffers together: `EINVAL` when no `ssize_t` holds the sum.
fn total(vector: &[iovec]) -> Result<usize, Errno> {
    vector
        .iter()
        .try_fold(0usize, |sum, buffer| sum.checked_add(buffer.iov_len))
        .filter(|&sum| isize::try_from(sum).is_ok())
        .ok_or(Errno(libc::EINVAL))
}

/// The buffers to send from, up to the most that one call moves.
fn data<'a>(vector: &[iovec]) -> Result<Vec<IoSlice<'a>>, Errno> {
    capped(vector)?
        .map(|(base, length)| memory::data(base, length))
        .collect()
}

/// The buffers to receive into, up to the most that one call moves.
fn room<'a>(vector: &[iovec]) -> Result<Vec<IoSliceMut<'a>>, Errno> {
    capped(vector)?
        .map(|(base, length)| memory::room(base, length))
        .collect()
}

/// Start and length of each buffer, cut where the call's limit is reached.
fn capped(vector: &[iovec]) -> Result<impl Iterator<Item = (*mut libc::c_void, usize)>, Errno> {
    total(vector)?;
    Ok(vector.iter().scan(memory::MOST_BYTES, |left, buffer| {
        let length = buffer.iov_len.min(*left);
        *left -= length;
        Some((buffer.iov_base, length))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffers(lengths: &[usize]) -> Vec<iovec> {
        let base = std::ptr::dangling_mut();
        lengths
            .iter()
            .map(|&iov_len| iovec {
                iov_base: base,
                iov_len,
            })
            .collect()
    }

    #[test]
    fn lengths_that_overflow_are_einval() {
        assert_eq!(total(&buffers(&[1, 2, 3])), Ok(6));
        assert_eq!(total(&buffers(&[])), Ok(0));
        for lengths in [[usize::MAX, 0], [usize::MAX, 1], [isize::MAX.cast_unsigned(), 1]] {
            assert_eq!(total(&buffers(&lengths)), Err(Errno(libc::EINVAL)));
        }
    }

    #[test]
    fn one_call_moves_no_more_than_linux_does() {
        let lengths =
            |given: &[usize]| -> Vec<usize> { capped(&buffers(given)).unwrap().map(|(_, length)| length).collect() };
        assert_eq!(lengths(&[10, memory::MOST_BYTES, 5]), [10, memory::MOST_BYTES - 10, 0]);
    }

    #[test]
    fn counts_out_of_range_are_refused_before_the_vector_is_looked_at() {
        let nowhere = std::ptr::null();
        assert_eq!(vector(nowhere, -1).err(), Some(Errno(libc::EINVAL)));
        assert_eq!(vector(nowhere, 1025).err(), Some(Errno(libc::EINVAL)));
        assert_eq!(vector(nowhere, 0).map(|v| v.len()), Ok(0));
        assert_eq!(vector(nowhere, 1).err(), Some(Errno(libc::EFAULT)));
    }
}
