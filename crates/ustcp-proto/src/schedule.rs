//! When whom: at most one entry for each connection that has a timer.

use std::collections::BTreeSet;

use crate::{Instant, SocketId};

/// Whose timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Socket(SocketId),
    HalfOpen(usize),
    TimeWait(usize),
}

#[derive(Debug, Default)]
pub(crate) struct Schedule {
    queue: BTreeSet<(Instant, Owner)>,
}

impl Schedule {
    pub(crate) fn insert(&mut self, at: Instant, owner: Owner) {
        self.queue.insert((at, owner));
    }

    pub(crate) fn remove(&mut self, at: Instant, owner: Owner) {
        self.queue.remove(&(at, owner));
    }

    pub(crate) fn first(&self) -> Option<(Instant, Owner)> {
        self.queue.first().copied()
    }

    /// Takes out the first entry that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Owner> {
        let (at, owner) = self.first().filter(|(at, _)| *at <= now)?;
        self.remove(at, owner);
        Some(owner)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests;
