//! The handles of a manual stack's sockets.

use std::collections::HashMap;
use std::time::Duration;

use ustcp_proto::{Family, Readiness, SocketId};

use crate::Errno;
use crate::entries::Entries;

/// Names a socket of one stack; what a descriptor is to the system. A number is used again only after all others were.
pub type Handle = i32;

/// Above what the system gives, so that a socket's number is never taken for a descriptor, standard input for one.
pub const FIRST_HANDLE: Handle = 1 << 30;

/// A socket as its stack's owner knows it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: SocketId,
    pub(super) family: Family,
    /// `SO_RCVTIMEO` and `SO_SNDTIMEO`: kept to be told, for nothing waits here.
    pub(super) receive_timeout: Option<Duration>,
    pub(super) send_timeout: Option<Duration>,
    /// What its owner was last told to look at.
    shown: Option<Readiness>,
}

pub(super) struct Sockets {
    entries: HashMap<Handle, Entry>,
    handles: Entries<Handle>,
    next: Handle,
}

impl Default for Sockets {
    fn default() -> Sockets {
        Sockets {
            entries: HashMap::new(),
            handles: Entries::new(),
            next: FIRST_HANDLE,
        }
    }
}

impl Sockets {
    /// Enters a socket. `EMFILE` when every number is in use.
    pub(super) fn insert(&mut self, id: SocketId, family: Family) -> Result<Handle, Errno> {
        let handle = self.unused().ok_or(Errno(libc::EMFILE))?;
        self.entries.insert(
            handle,
            Entry {
                id,
                family,
                receive_timeout: None,
                send_timeout: None,
                shown: None,
            },
        );
        self.handles.insert(id, handle);
        Ok(handle)
    }

    /// The next number that is free.
    fn unused(&mut self) -> Option<Handle> {
        for _ in 0..=self.entries.len() {
            let handle = self.next;
            self.next = handle.checked_add(1).unwrap_or(FIRST_HANDLE);
            if !self.entries.contains_key(&handle) {
                return Some(handle);
            }
        }
        None
    }

    /// `EBADF` for a number that is no socket's, or no longer.
    pub(super) fn get(&self, handle: Handle) -> Result<&Entry, Errno> {
        self.entries.get(&handle).ok_or(Errno(libc::EBADF))
    }

    /// The same, to change it.
    pub(super) fn get_mut(&mut self, handle: Handle) -> Result<&mut Entry, Errno> {
        self.entries.get_mut(&handle).ok_or(Errno(libc::EBADF))
    }

    /// The number of a socket, unless it was shown with this very readiness before.
    pub(super) fn show(&mut self, id: SocketId, readiness: Readiness) -> Option<Handle> {
        let handle = *self.handles.get(id)?;
        let entry = self.entries.get_mut(&handle)?;
        let before = entry.shown.replace(readiness);
        (before != Some(readiness)).then_some(handle)
    }

    /// Takes a socket out.
    pub(super) fn remove(&mut self, handle: Handle) -> Result<SocketId, Errno> {
        let entry = self.entries.remove(&handle).ok_or(Errno(libc::EBADF))?;
        self.handles.remove(entry.id);
        Ok(entry.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ustcp_proto::{Config, Stack};

    #[test]
    fn a_number_comes_again_only_after_all_others() {
        let mut stack = Stack::new(Config::default());
        let mut sockets = Sockets::default();
        let mut make = |sockets: &mut Sockets| sockets.insert(stack.socket(Family::V4).unwrap(), Family::V4).unwrap();
        assert_eq!(make(&mut sockets), FIRST_HANDLE);
        assert_eq!(make(&mut sockets), FIRST_HANDLE + 1);
        sockets.remove(FIRST_HANDLE + 1).unwrap();
        assert_eq!(make(&mut sockets), FIRST_HANDLE + 2);
        assert_eq!(sockets.remove(FIRST_HANDLE + 1), Err(Errno(libc::EBADF)));
        sockets.next = Handle::MAX;
        assert_eq!(make(&mut sockets), Handle::MAX);
        assert_eq!(make(&mut sockets), FIRST_HANDLE + 1, "the first is in use");
    }
}
