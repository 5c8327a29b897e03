//! Sockets that have ended while their programs may still hold their end: why, and what they were. And those that have not
//! begun, of which only options were said.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use ustcp_proto::{Family, Options};

use crate::passed::Asked;

/// What is left of a socket.
#[derive(Clone, Debug)]
pub(crate) struct Departed {
    /// Why it ended, where the program must be told: an errno.
    pub(crate) fault: Option<i32>,
    /// The same until `SO_ERROR` has told it.
    pub(crate) pending: Option<i32>,
    /// Whose it is: each user's table is its own.
    pub(crate) user: u32,
    pub(crate) family: Family,
    pub(crate) local: SocketAddr,
    pub(crate) options: Options,
    /// For a socket of the kernel's, should it begin anew there.
    pub(crate) asked: Asked,
    pub(crate) urgent_inline: bool,
    /// The address that bind gave it.
    pub(crate) bound: Option<SocketAddr>,
    /// It was never connected, or not any more: with a fresh stream it may begin anew.
    pub(crate) may_begin: bool,
}

impl Departed {
    /// One that is not attached yet.
    pub(crate) fn prepared(user: u32, family: Family, local: SocketAddr, options: Options) -> Departed {
        Departed {
            user,
            fault: None,
            pending: None,
            family,
            local,
            options,
            asked: Asked::default(),
            urgent_inline: false,
            bound: None,
            may_begin: true,
        }
    }
}

/// The last of them. Where there are too many the user who has most loses its oldest: nobody crowds out another.
#[derive(Debug)]
pub(crate) struct Departure {
    limit: usize,
    by_number: HashMap<u64, Departed>,
    /// Each user's, the oldest first.
    in_order: HashMap<u32, VecDeque<u64>>,
}

impl Departure {
    pub(crate) fn new(limit: usize) -> Departure {
        Departure {
            limit,
            by_number: HashMap::new(),
            in_order: HashMap::new(),
        }
    }

    /// Whether one more of this user's would have another of the same go.
    pub(crate) fn is_full_for(&self, user: u32) -> bool {
        let own = self.in_order.get(&user).map_or(0, VecDeque::len);
        let most = self.in_order.values().map(VecDeque::len).max().unwrap_or(0);
        self.by_number.len() >= self.limit && own >= most
    }

    pub(crate) fn enter(&mut self, number: u64, departed: Departed) {
        self.remove(number);
        self.in_order.entry(departed.user).or_default().push_back(number);
        self.by_number.insert(number, departed);
        if self.by_number.len() > self.limit {
            let most = self.in_order.values().max_by_key(|numbers| numbers.len());
            if let Some(oldest) = most.and_then(|numbers| numbers.front().copied()) {
                self.remove(oldest);
            }
        }
    }

    /// Takes out one that begins anew.
    pub(crate) fn take_beginner(&mut self, number: u64) -> Option<Departed> {
        self.by_number.get(&number).filter(|departed| departed.may_begin)?;
        self.remove(number)
    }

    fn remove(&mut self, number: u64) -> Option<Departed> {
        let departed = self.by_number.remove(&number)?;
        if let Some(numbers) = self.in_order.get_mut(&departed.user) {
            let at = numbers.iter().position(|other| *other == number);
            at.and_then(|at| numbers.remove(at));
            if numbers.is_empty() {
                self.in_order.remove(&departed.user);
            }
        }
        Some(departed)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Departed> {
        self.by_number.get_mut(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn departed(fault: i32) -> Departed {
        of_user(0, fault)
    }

    fn of_user(user: u32, fault: i32) -> Departed {
        Departed {
            fault: Some(fault),
            pending: Some(fault),
            may_begin: false,
            ..Departed::prepared(
                user,
                Family::V4,
                SocketAddr::from(([0, 0, 0, 0], 0)),
                Options::default(),
            )
        }
    }

    #[test]
    fn the_last_are_kept_and_the_oldest_forgotten() {
        let mut table = Departure::new(2);
        (1..=3).for_each(|number| table.enter(number, departed(number as i32)));
        table.enter(3, departed(7));
        let faults = [1, 2, 3].map(|number| table.get_mut(number).and_then(|departed| departed.fault));
        assert_eq!(faults, [None, Some(2), Some(7)]);
    }

    #[test]
    fn who_has_most_loses_its_oldest() {
        let mut table = Departure::new(4);
        table.enter(1, of_user(1000, 1));
        (2..=20).for_each(|number| table.enter(number, of_user(2000, 2)));
        let left =
            |table: &mut Departure| -> Vec<_> { (1..=22).filter(|number| table.get_mut(*number).is_some()).collect() };
        assert_eq!(left(&mut table), [1, 18, 19, 20]);
        (21..=22).for_each(|number| table.enter(number, of_user(1000, 1)));
        table.enter(1, of_user(1000, 1));
        assert_eq!(left(&mut table).len(), 4);
        assert!(table.get_mut(20).is_some() && table.get_mut(1).is_some());
        assert!(table.is_full_for(1000) && table.is_full_for(2000) && !table.is_full_for(3000));
        let of_users: usize = table.in_order.values().map(VecDeque::len).sum();
        assert_eq!(of_users, table.by_number.len());
    }
}
