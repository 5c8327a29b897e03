//! Everything that must not be guessed from outside: initial sequence numbers, ports, the order of hash tables.

use core::hash::{BuildHasher, Hash, Hasher};
use core::time::Duration;

use siphasher::sip::{SipHasher13, SipHasher24};
use ustcp_wire::SeqNum;

use crate::tcp::syn_cookie::SynCookies;
use crate::{Config, FastOpenKeys, Flow, Identity, Instant, Secret};

/// Keys drawn from the configured secret, each for one use.
pub(crate) struct Keys {
    isn: (u64, u64),
    draws: (u64, u64),
    drawn: u64,
    timestamps: (u64, u64),
    /// How far the clocks of ISNs and timestamps are ahead of the caller's.
    ahead: Duration,
    pub(crate) cookies: SynCookies,
    /// Those of listeners that have none of their own.
    pub(crate) fast_open: FastOpenKeys,
}

impl Keys {
    pub(crate) fn new(config: &Config) -> Keys {
        let secret = &config.secret;
        let [_, _, draws @ ..] = words(secret);
        let (lasting, ahead) = match &config.identity {
            Some(Identity { secret, ahead }) => (secret, *ahead),
            None => (secret, Duration::ZERO),
        };
        let [first, second, ..] = words(lasting);
        Keys {
            isn: (first, second),
            draws: draws.into(),
            fast_open: FastOpenKeys::of(derived(secret, 4)),
            drawn: 0,
            timestamps: derived(lasting, 1),
            ahead,
            cookies: SynCookies::new(derived(secret, 2), derived(secret, 3)),
        }
    }

    /// An initial sequence number: a clock that rises once in 4 µs plus a keyed function of the two ends.
    /// Where an earlier connection between the same ends is to be succeeded, one beyond all that it sent.
    // RFC 9293 MUST-8, SHLD-1, MUST-9, MAY-2; RFC 6528 §3
    pub(crate) fn initial_sequence(&self, now: Instant, flow: &Flow, last: Option<SeqNum>) -> SeqNum {
        let mut hasher = SipHasher24::new_with_keys(self.isn.0, self.isn.1);
        flow.hash(&mut hasher);
        let iss = SeqNum(low_word(hasher.finish()).wrapping_add(low_word((now + self.ahead).as_nanos() / 4000)));
        match last {
            Some(last) if !iss.after(last) => last + 65_537,
            _ => iss,
        }
    }

    /// How far the clock of our timestamps towards a peer is ahead of ours, RFC 7323 §7.1. For each pair of addresses
    /// one, whatever the ports: as Linux has it.
    pub(crate) fn timestamp_offset(&self, flow: &Flow) -> u32 {
        let mut hasher = SipHasher24::new_with_keys(self.timestamps.0, self.timestamps.1);
        (flow.local.ip(), flow.remote.ip()).hash(&mut hasher);
        let ahead = (Instant::ZERO + self.ahead).as_nanos() / 1_000_000;
        low_word(hasher.finish()).wrapping_add(low_word(ahead))
    }

    /// The flow label of a connection, RFC 6437 §3: 20 bits that stay, and tell an onlooker nothing.
    pub(crate) fn flow_label(&self, flow: &Flow) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.draws.1, self.isn.0);
        flow.hash(&mut hasher);
        (low_word(hasher.finish()) >> 12).max(1) // 0 says that there is none
    }

    /// The next of a sequence of numbers that nobody without the key can foretell.
    pub(crate) fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let mut hasher = SipHasher24::new_with_keys(self.draws.0, self.draws.1);
        hasher.write_u64(self.drawn);
        hasher.finish()
    }
}

/// Hashes tables by a key, so that a peer who chooses tuples cannot aim at one bucket.
#[derive(Clone)]
pub(crate) struct TableHash(u64, u64);

impl TableHash {
    pub(crate) fn new(secret: &Secret) -> TableHash {
        let words = words(secret);
        TableHash(words[0] ^ words[3], words[1] ^ words[2].rotate_left(32))
    }
}

impl BuildHasher for TableHash {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

/// A key for one use, which tells nothing of the keys for others.
fn derived(secret: &Secret, purpose: u64) -> (u64, u64) {
    let words = words(secret);
    let half = |number: u64| {
        let mut hasher = SipHasher24::new_with_keys(words[0], words[1]);
        (words[2], words[3], purpose, number).hash(&mut hasher);
        hasher.finish()
    };
    (half(0), half(1))
}

fn words(secret: &Secret) -> [u64; 4] {
    let (words, _) = secret.0.as_chunks::<8>();
    let mut all = [0; 4];
    for (word, bytes) in all.iter_mut().zip(words) {
        *word = u64::from_le_bytes(*bytes);
    }
    all
}

#[allow(clippy::cast_possible_truncation, reason = "sequence numbers are modulo 2^32")]
fn low_word(value: u64) -> u32 {
    value as u32
}
