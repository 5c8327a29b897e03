//! What waits while there are no descriptors, or while a client has its share: programs' listeners that cannot offer a
//! connection, and whoever would be taken in.

use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use ustcp_proto::Instant;

use crate::engine::Engine;
use crate::key::Key;

/// How long it waits where no descriptor of ours is given back: others may do so, where the system has no more.
const PATIENCE: Duration = Duration::from_millis(100);

/// Who waits.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// Listeners that could not offer a connection.
    starved: Vec<u64>,
    /// Nobody is taken in: our own listeners are not heard of.
    is_deaf: bool,
    /// When to try again, should no descriptor be given back before.
    until: Option<Instant>,
}

impl Shortage {
    fn add(&mut self, listener: u64) {
        if !self.starved.contains(&listener) {
            self.starved.push(listener);
        }
    }

    fn try_again(&mut self, now: Instant) {
        self.until.get_or_insert(now + PATIENCE);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }
}

/// Whether that is want of descriptors, or of memory: what could not be had may be had later.
pub(crate) fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
}

impl Engine {
    /// A listener has connections that it cannot offer now.
    pub(crate) fn starve(&mut self, listener: u64) {
        self.shortage.add(listener);
        self.shortage.try_again(self.ground.now);
    }

    /// The same where its client has its share: nobody else gives that back, so it is not tried in between.
    pub(crate) fn await_share(&mut self, listener: u64) {
        self.shortage.add(listener);
    }

    /// Nobody can be taken in now. epoll would tell of those who wait again and again.
    pub(crate) fn turn_deaf(&mut self) {
        self.shortage.try_again(self.ground.now);
        if !std::mem::replace(&mut self.shortage.is_deaf, true) {
            self.listen_for(EventFlags::empty());
        }
    }

    /// A descriptor was given back: whoever waits for one may try again.
    pub(crate) fn relieve(&mut self) {
        self.shortage.until = None;
        for listener in std::mem::take(&mut self.shortage.starved) {
            self.call(listener);
        }
        if std::mem::take(&mut self.shortage.is_deaf) {
            self.listen_for(EventFlags::IN);
        }
    }

    /// The same once they have waited long enough.
    pub(crate) fn relieve_in_time(&mut self) {
        if self.shortage.until.is_some_and(|until| until <= self.ground.now) {
            self.relieve();
        }
    }

    fn listen_for(&self, flags: EventFlags) {
        for (index, (streams, controls)) in (0..).zip(self.site.streams.iter().zip(&self.site.controls)) {
            for (listener, key) in [(streams, Key::Streams(index)), (controls, Key::Controls(index))] {
                // It cannot fail: they are watched since the beginning.
                let _ = epoll::modify(&self.epoll, listener, EventData::new_u64(key.data()), flags);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_share_of_its_own_is_not_tried_in_between() {
        let mut shortage = Shortage::default();
        shortage.add(1);
        assert_eq!((shortage.starved.as_slice(), shortage.poll_timeout()), (&[1][..], None));
        shortage.add(2);
        shortage.try_again(Instant::ZERO);
        shortage.add(1);
        assert_eq!(
            (shortage.starved.as_slice(), shortage.poll_timeout()),
            (&[1, 2][..], Some(Instant::ZERO + PATIENCE))
        );
    }
}
