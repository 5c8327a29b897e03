//! The descriptors of this process, and who gets the last of them.
//!
//! The system gives the lowest number that is free, so a descriptor's number says how many there are.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the system names no limit: more than there will be.
const UNLIMITED: u64 = 1 << 30;

/// How many there may be, and how many of them are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptors {
    limit: usize,
}

impl Descriptors {
    /// As many as this process may ask for.
    pub(crate) fn raised() -> Descriptors {
        let before = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: before.maximum,
            ..before
        };
        // Where it is refused the limit stays what it was.
        let _ = setrlimit(Resource::Nofile, raised);
        let now = getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED);
        Descriptors {
            limit: usize::try_from(now).unwrap_or(usize::MAX),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether it is one of those that are kept for requests: no socket gets it.
    pub(crate) fn is_for_requests(&self, descriptor: impl AsFd) -> bool {
        self.is_among_last(descriptor, (self.limit / 8).min(1024))
    }

    /// Whether the next one would be for a socket. `of` is any that is open.
    pub(crate) fn has_room_for_sockets(&self, of: impl AsFd) -> bool {
        fcntl_dupfd_cloexec(of, 0).is_ok_and(|next| !self.is_for_requests(next))
    }

    /// Whether it is one of the last, which are kept so that everyone can be told that there are no more.
    pub(crate) fn is_last(&self, descriptor: impl AsFd) -> bool {
        self.is_among_last(descriptor, (self.limit / 32).min(64))
    }

    fn is_among_last(&self, descriptor: impl AsFd, kept: usize) -> bool {
        let number = usize::try_from(descriptor.as_fd().as_raw_fd()).unwrap_or(0);
        number >= self.limit.saturating_sub(kept)
    }
}
