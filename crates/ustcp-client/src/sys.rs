//! The system calls that need `unsafe`: those on descriptors and pointers of the program, which may be anything.
#![allow(unsafe_code, reason = "the syscall file: each block says why it is sound")]

use libc::{c_int, c_void, socklen_t};
use rustix::io::Errno;

use crate::protocol::Tag;

/// The tag of a socket; `None` where it is a socket of the kernel's own, no socket or no descriptor.
#[must_use]
pub fn tag(fd: c_int) -> Option<Tag> {
    let mut rate = 0_u64;
    let mut len = size_of::<u64>() as socklen_t;
    let into = (&raw mut rate).cast::<c_void>();
    let name = libc::SO_MAX_PACING_RATE;
    // SAFETY: `into` has room for `len` bytes, and both live across the call.
    unsafe {
        call(
            libc::SYS_getsockopt,
            [
                fd as usize,
                libc::SOL_SOCKET as usize,
                name as usize,
                into as usize,
                &raw mut len as usize,
                0,
            ],
        )
    }
    .ok()
    .filter(|_| len as usize == size_of::<u64>())
    .and_then(|_| Tag::from_rate(rate))
}

/// Tags a socket.
pub fn set_tag(fd: c_int, tag: Tag) -> Result<(), Errno> {
    let rate = tag.to_rate();
    let from = &raw const rate as usize;
    let name = libc::SO_MAX_PACING_RATE;
    // SAFETY: 8 bytes are read from `rate`, which lives across the call.
    unsafe {
        call(
            libc::SYS_setsockopt,
            [
                fd as usize,
                libc::SOL_SOCKET as usize,
                name as usize,
                from,
                size_of::<u64>(),
                0,
            ],
        )
    }
    .map(drop)
}

/// A system call, not through a symbol that anyone hooks.
///
/// # Safety
/// As of the system call itself.
unsafe fn call(number: libc::c_long, [a, b, c, d, e, f]: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    usize::try_from(result).map_err(|_| errno())
}

fn errno() -> Errno {
    // SAFETY: the place of this thread's errno is always there.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_tag_is_read_back_from_every_descriptor_of_the_socket() {
        let (socket, other) = UnixStream::pair().unwrap();
        let ours = Tag {
            socket: 0x1234_5678_9abc,
            is_v6: true,
        };
        set_tag(socket.as_raw_fd(), ours).unwrap();
        assert_eq!(tag(socket.as_raw_fd()), Some(ours));
        assert_eq!(tag(socket.try_clone().unwrap().as_raw_fd()), Some(ours));
        assert_eq!(tag(other.as_raw_fd()), None);
        assert_eq!(tag(-1), None);
        assert_eq!(set_tag(-1, ours), Err(Errno::BADF));
    }
}
