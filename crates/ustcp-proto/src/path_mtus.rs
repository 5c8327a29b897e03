//! The path MTUs that routers have named, one for each destination, RFC 8201 §5.2: what one connection learns counts for
//! all of them, and not for ever.

use std::collections::BTreeMap;

use core::net::IpAddr;

use crate::Instant;

/// What is known of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathMtu {
    pub(crate) mtu: usize,
    /// A router named less than we believe in: others may cut our packets instead (no DF).
    pub(crate) fragmentable: bool,
    /// When the whole MTU is tried again, RFC 1191 §6.3.
    pub(crate) until: Instant,
}

/// What is known of all. Only who has text of ours in flight can enter a destination.
#[derive(Debug, Default)]
pub(crate) struct PathMtus {
    known: BTreeMap<IpAddr, PathMtu>,
    edition: u64,
}

impl PathMtus {
    /// Destinations remembered at most; beyond it the oldest is forgotten.
    const LIMIT: usize = 1024;

    /// Changes whenever something is learnt.
    pub(crate) fn edition(&self) -> u64 {
        self.edition
    }

    pub(crate) fn of(&self, now: Instant, destination: IpAddr) -> Option<PathMtu> {
        self.known.get(&destination).copied().filter(|path| now < path.until)
    }

    /// A router has spoken. It never raises what is known.
    pub(crate) fn learn(&mut self, now: Instant, destination: IpAddr, path: PathMtu) {
        if self.of(now, destination).is_some_and(|known| known.mtu < path.mtu) {
            return;
        }
        if self.known.len() >= PathMtus::LIMIT && !self.known.contains_key(&destination) {
            self.forget_oldest();
        }
        self.known.insert(destination, path);
        self.edition = self.edition.wrapping_add(1);
    }

    fn forget_oldest(&mut self) {
        let oldest = self.known.iter().min_by_key(|(_, path)| path.until);
        if let Some(oldest) = oldest.map(|(destination, _)| *destination) {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use core::time::Duration;

    use super::*;

    fn host(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn path(mtu: usize, until: u64) -> PathMtu {
        PathMtu {
            mtu,
            fragmentable: false,
            until: at(until),
        }
    }

    #[test]
    fn the_oldest_of_too_many_is_forgotten() {
        let mut paths = PathMtus::default();
        for number in 0..2000 {
            paths.learn(at(0), host(number), path(1400, 600 + u64::from(number)));
        }
        assert_eq!(paths.known.len(), 1024);
        assert_eq!(paths.of(at(0), host(2000 - 1025)), None);
        assert_eq!(paths.of(at(0), host(2000 - 1024)).map(|path| path.mtu), Some(1400));
    }

    #[test]
    fn what_is_known_falls_and_expires() {
        let mut paths = PathMtus::default();
        for (mtu, known) in [(1400, 1400), (1300, 1300), (1450, 1300)] {
            paths.learn(at(0), host(1), path(mtu, 600));
            assert_eq!(paths.of(at(599), host(1)), Some(path(known, 600)));
        }
        assert_eq!(paths.of(at(600), host(1)), None);
        paths.learn(at(600), host(1), path(1450, 1200));
        assert_eq!(paths.of(at(600), host(1)), Some(path(1450, 1200)));
    }
}
