//! Who is at the other end of an AF_UNIX connection.

use std::os::fd::{AsFd, AsRawFd};

use libc::{socklen_t, ucred};
use rustix::io::Errno;

use super::{call, option};

/// A process: the one that has connected or, for who has connected itself, the one that listens. unix(7), `SO_PEERCRED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its number here; 0 where it has none: it is in a process namespace that is not below ours.
    pub process: u32,
    /// Its user's number here; that of nobody (65534) where it has none.
    pub user: u32,
}

impl Peer {
    /// As it was when it connected, or began to listen.
    pub fn of(connection: impl AsFd) -> Result<Peer, Errno> {
        let mut told = ucred { pid: 0, uid: 0, gid: 0 };
        let mut len = size_of::<ucred>() as socklen_t;
        let fd = connection.as_fd().as_raw_fd();
        let into = (&raw mut told as usize, &raw mut len as usize);
        // SAFETY: `told` has room for `len` bytes, any of which are an integer's; both live across the call.
        unsafe { call(libc::SYS_getsockopt, option(fd, libc::SO_PEERCRED, into)) }?;
        Ok(Peer {
            process: told.pid.unsigned_abs(),
            user: told.uid,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_other_end_is_of_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let this = Peer {
            process: std::process::id(),
            user: rustix::process::geteuid().as_raw(),
        };
        assert_eq!(Peer::of(&one), Ok(this));
        assert_eq!(Peer::of(std::fs::File::open("/").unwrap()), Err(Errno::NOTSOCK));
    }
}
