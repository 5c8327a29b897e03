//! The system calls on a socket's stream. None of them waits.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use libc::c_int;
use rustix::io::{Errno, Result, ioctl_fionread};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType,
    recv, send, sendmsg, shutdown, socketpair,
};
use ustcp_runtime::kernel;

/// Pieces given in one go: 256 KiB in pages, which is more than a stream takes.
const PIECES: usize = 64;

const GIVE: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Bytes that wait to be taken.
pub(crate) fn queued(e: impl AsFd) -> usize {
    ioctl_fionread(e).map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// Takes bytes out.
pub(crate) fn take(e: impl AsFd, into: &mut [u8]) -> Result<usize> {
    recv(e, into, RecvFlags::DONTWAIT).map(|(_, len)| len)
}

/// Takes all of them out.
pub(crate) fn empty(e: impl AsFd, spare: &mut [u8]) {
    while take(&e, spare).is_ok_and(|taken| taken > 0) {}
}

/// Looks at bytes and leaves them.
pub(crate) fn look(e: impl AsFd, into: &mut [u8]) -> Result<usize> {
    recv(e, into, RecvFlags::DONTWAIT | RecvFlags::PEEK).map(|(_, len)| len)
}

/// Gives bytes to the program: how many it has room for, 0 for none.
pub(crate) fn give(e: impl AsFd, bytes: &[u8]) -> Result<usize> {
    or_none(send(e, bytes, GIVE))
}

/// The same with bytes that are in pieces, as many of those as go at once: how many bytes these are, too.
pub(crate) fn give_pieces<'a>(e: impl AsFd, pieces: impl Iterator<Item = &'a [u8]>) -> Result<(usize, usize)> {
    let mut vectors = [IoSlice::new(&[]); PIECES];
    let mut count = 0;
    for (vector, piece) in vectors.iter_mut().zip(pieces) {
        *vector = IoSlice::new(piece);
        count += 1;
    }
    let vectors = vectors.get(..count).unwrap_or_default();
    let given = or_none(sendmsg(e, vectors, &mut SendAncillaryBuffer::default(), GIVE))?;
    Ok((given, vectors.iter().map(|vector| vector.len()).sum()))
}

/// Gives it an urgent byte: 0 when it has no room for it.
pub(crate) fn give_urgent(e: impl AsFd, byte: u8) -> Result<usize> {
    or_none(send(e, &[byte], GIVE | SendFlags::OOB))
}

/// Gives it a record with a descriptor beside it. `AGAIN`, `TOOMANYREFS`: later.
pub(crate) fn give_descriptor(e: impl AsFd, record: &[u8], descriptor: impl AsFd) -> Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor.as_fd()];
    beside.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(e, &[IoSlice::new(record)], &mut beside, GIVE).map(drop)
}

/// No more bytes come to the program: it reads to the end of the stream.
pub(crate) fn end(e: impl AsFd) {
    // It fails when the program has gone, which the stream says itself.
    let _ = shutdown(e, Shutdown::Write);
}

/// The program's writes fail from now on; what it wrote before stays.
pub(crate) fn take_no_more(e: impl AsFd) {
    // It fails when the program has gone.
    let _ = shutdown(e, Shutdown::Read);
}

/// `SO_PASSRIGHTS` of <asm-generic/socket.h>.
const SO_PASSRIGHTS: c_int = 83;

/// Has the kernel refuse descriptors beside what is said to this socket, or to the connections of this listener: `EPERM` for
/// who sends them. They would be closed in this thread, and a close may wait (`SO_LINGER`).
pub(crate) fn refuse_descriptors(of: impl AsFd) {
    // Linux before 6.16 does not know it.
    let _ = kernel::set_option(of.as_fd(), libc::SOL_SOCKET, SO_PASSRIGHTS, &0_i32.to_ne_bytes());
}

/// A stream with both its ends: the engine's and the program's.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    refuse_descriptors(&ours);
    Ok((ours, theirs))
}

fn or_none(sent: Result<usize>) -> Result<usize> {
    match sent {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        other => other,
    }
}
