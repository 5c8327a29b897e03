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
    pub(crate) fn prepared(family: Family, local: SocketAddr, options: Options) -> Departed {
        Departed {
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

/// The last of them; those before are forgotten.
#[derive(Debug)]
pub(crate) struct Departure {
    limit: usize,
    by_number: HashMap<u64, Departed>,
    in_order: VecDeque<u64>,
}

impl Departure {
    pub(crate) fn new(limit: usize) -> Departure {
        Departure {
            limit,
            by_number: HashMap::new(),
            in_order: VecDeque::new(),
        }
    }

    pub(crate) fn enter(&mut self, number: u64, departed: Departed) {
        if self.by_number.insert(number, departed).is_none() {
            self.in_order.push_back(number);
        }
        while self.in_order.len() > self.limit {
            if let Some(oldest) = self.in_order.pop_front() {
                self.by_number.remove(&oldest);
            }
        }
    }

    /// Takes out one that begins anew.
    pub(crate) fn take_beginner(&mut self, number: u64) -> Option<Departed> {
        self.by_number.get(&number).filter(|departed| departed.may_begin)?;
        self.in_order.retain(|other| *other != number);
        self.by_number.remove(&number)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Departed> {
        self.by_number.get_mut(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn departed(fault: i32) -> Departed {
        Departed {
            fault: Some(fault),
            pending: Some(fault),
            may_begin: false,
            ..Departed::prepared(Family::V4, SocketAddr::from(([0, 0, 0, 0], 0)), Options::default())
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
}
