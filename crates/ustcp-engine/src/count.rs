//! How many of something each has: a process, and a user with all its processes.

use std::collections::HashMap;
use std::hash::Hash;

use ustcp_client::sys::Peer;

/// Counts by a process, or by a user. Who has none takes no room.
#[derive(Debug)]
struct Counts<Who>(HashMap<Who, usize>);

impl<Who> Default for Counts<Who> {
    fn default() -> Counts<Who> {
        Counts(HashMap::new())
    }
}

impl<Who: Eq + Hash> Counts<Who> {
    fn of(&self, who: Who) -> usize {
        self.0.get(&who).copied().unwrap_or(0)
    }

    fn add(&mut self, who: Who, count: usize) {
        *self.0.entry(who).or_default() += count;
    }

    fn remove(&mut self, who: Who, count: usize) {
        if let Some(left) = self.0.get_mut(&who) {
            *left = left.saturating_sub(count);
            if *left == 0 {
                self.0.remove(&who);
            }
        }
    }
}

/// What a process may have, and what its user may have: who forks has no more by that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) of_process: usize,
    pub(crate) of_user: usize,
}

/// What everybody has.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Those that have no number here are one of their user's.
    by_process: Counts<Peer>,
    by_user: Counts<u32>,
}

impl Counted {
    /// Whether it may have one more.
    pub(crate) fn has_room(&self, client: Peer, share: Share) -> bool {
        self.by_process.of(client) < share.of_process && self.by_user.of(client.user) < share.of_user
    }

    pub(crate) fn add(&mut self, client: Peer, count: usize) {
        self.by_process.add(client, count);
        self.by_user.add(client.user, count);
    }

    pub(crate) fn remove(&mut self, client: Peer, count: usize) {
        self.by_process.remove(client, count);
        self.by_user.remove(client.user, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_forks_has_no_more_by_that() {
        let share = Share {
            of_process: 2,
            of_user: 5,
        };
        let mut counted = Counted::default();
        let one = |process, user| Peer { process, user };
        let mut taken = |client| {
            let has_room = counted.has_room(client, share);
            if has_room {
                counted.add(client, 1);
            }
            has_room
        };
        let children = [1, 1, 1, 2, 2, 2, 3, 4].map(|process| taken(one(process, 100)));
        assert_eq!(children, [true, true, false, true, true, false, true, false]);
        assert!(taken(one(5, 200)));
        counted.remove(one(1, 100), 2);
        assert!(counted.has_room(one(4, 100), share) && counted.has_room(one(1, 100), share));
        counted.remove(one(2, 100), 2);
        counted.remove(one(3, 100), 1);
        counted.remove(one(5, 200), 1);
        assert!(counted.by_process.0.is_empty() && counted.by_user.0.is_empty());
    }

    /// Of other process namespaces.
    #[test]
    fn who_has_no_number_here_takes_nothing_of_other_users() {
        let share = Share {
            of_process: 2,
            of_user: 5,
        };
        let mut counted = Counted::default();
        let [one, other] = [100, 200].map(|user| Peer { process: 0, user });
        counted.add(one, 2);
        assert_eq!(
            [one, other].map(|client| counted.has_room(client, share)),
            [false, true]
        );
    }
}
