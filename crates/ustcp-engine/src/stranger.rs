//! Those who have connected and not shown the token yet. The listeners' abstract names are open to every user of the host, so
//! there may be only so many of one process, of one user and in all, and each of them only so long.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use ustcp_client::sys::Peer;
use ustcp_proto::Instant;

use crate::count::Counted;
use crate::engine::Engine;
use crate::options::Quotas;

/// Who has connected. Whoever cannot be told is nobody in particular, and not root.
pub(crate) fn client(stream: &OwnedFd) -> Peer {
    Peer::of(stream).unwrap_or(Peer {
        process: 0,
        user: u32::MAX,
    })
}

/// All of them, by the numbers of their greetings or control connections.
#[derive(Debug)]
pub(crate) struct Strangers {
    /// In the order in which they came.
    by_number: BTreeMap<u64, Stranger>,
    counted: Counted,
    quotas: Quotas,
}

#[derive(Debug)]
struct Stranger {
    client: Peer,
    /// When its time is over.
    until: Instant,
}

impl Strangers {
    pub(crate) fn new(quotas: Quotas) -> Strangers {
        Strangers {
            by_number: BTreeMap::new(),
            counted: Counted::default(),
            quotas,
        }
    }

    /// One more. `false`: its process or its user has too many already.
    pub(crate) fn enter(&mut self, number: u64, client: Peer, now: Instant) -> bool {
        if !self.counted.has_room(client, self.quotas.share_of_strangers()) {
            return false;
        }
        let until = now + self.quotas.greeting;
        self.by_number.insert(number, Stranger { client, until });
        self.counted.add(client, 1);
        true
    }

    /// It has shown the token, or gone. `false`: it was none of them.
    pub(crate) fn leave(&mut self, number: u64) -> bool {
        let stranger = self.by_number.remove(&number);
        if let Some(Stranger { client, .. }) = &stranger {
            self.counted.remove(*client, 1);
        }
        stranger.is_some()
    }

    /// The one who must go: its time is over, or there are too many.
    fn overdue(&self, now: Instant) -> Option<u64> {
        let (number, oldest) = self.by_number.first_key_value()?;
        let is_overdue = oldest.until <= now || self.by_number.len() > self.quotas.strangers;
        is_overdue.then_some(*number)
    }

    /// When the time of the next of them is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.by_number.first_key_value().map(|(_, oldest)| oldest.until)
    }
}

impl Engine {
    /// Closes the connections of those who must go.
    pub(crate) fn dismiss_overdue(&mut self) {
        while let Some(number) = self.strangers.overdue(self.ground.now) {
            self.strangers.leave(number);
            drop(self.greetings.remove(number));
            self.controls.remove(&number);
            self.relieve();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn strangers() -> Strangers {
        Strangers::new(Quotas {
            strangers: 4,
            strangers_of_user: 3,
            strangers_of_process: 2,
            greeting: Duration::from_secs(10),
            ..Quotas::default()
        })
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn client(process: u32, user: u32) -> Peer {
        Peer { process, user }
    }

    #[test]
    fn each_process_and_each_user_has_its_share() {
        let mut strangers = strangers();
        let ours = [(1, 10), (2, 10), (3, 10), (4, 11), (5, 11)];
        let entered = ours.map(|(number, process)| strangers.enter(number, client(process, 100), at(0)));
        assert_eq!(entered, [true, true, false, true, false]);
        assert!(strangers.enter(6, client(20, 200), at(0)));
        assert!(strangers.leave(1) && !strangers.leave(1));
        assert!(strangers.enter(7, client(10, 100), at(0)));
    }

    #[test]
    fn the_oldest_goes_when_its_time_is_over_or_there_are_too_many() {
        let mut strangers = strangers();
        for number in 1..=4 {
            assert!(strangers.enter(number, client(number as u32, number as u32), at(number)));
        }
        assert_eq!(strangers.overdue(at(4)), None);
        assert_eq!(
            (strangers.poll_timeout(), strangers.overdue(at(11))),
            (Some(at(11)), Some(1))
        );
        assert!(strangers.enter(5, client(5, 5), at(5)));
        assert_eq!(strangers.overdue(at(5)), Some(1));
        assert!(strangers.leave(1));
        assert_eq!(strangers.overdue(at(5)), None);
    }
}
