//! SYN cookies, RFC 4987 §3.6: a half-open connection that is kept in its own sequence number.
//!
//! As in Linux: a keyed function of the two ends, and the peer's number, plus a minute in the upper 8 bits, and in the
//! lower 24 which of a few segment sizes, behind a second keyed function of ends and minute. A guess is right once in
//! 2^32 / 8.

use core::hash::{Hash, Hasher};
use core::time::Duration;

use siphasher::sip::SipHasher24;
use ustcp_wire::SeqNum;

use super::Offer;
use crate::{Family, Flow, Instant};

/// The segment sizes that a cookie can remember, as Linux chose them from what is common.
const SIZES: [[u16; 4]; 2] = [[536, 1300, 1440, 1460], [1220, 1420, 1440, 8940]];

const MINUTE: Duration = Duration::from_secs(60);

/// Minutes after which a cookie is no good any more: it lives for one to two.
const AGE_LIMIT: u32 = 2;

/// Below the minute.
const LOW: u32 = 0x00ff_ffff;

/// How long after the last cookie that was sent it is worth while to look for one in an ACK.
pub(crate) const LIFETIME: Duration = MINUTE.saturating_mul(AGE_LIMIT);

/// Makes and judges cookies.
#[derive(Clone, Copy)]
pub(crate) struct SynCookies {
    of_ends: (u64, u64),
    of_minute: (u64, u64),
}

impl SynCookies {
    pub(crate) fn new(of_ends: (u64, u64), of_minute: (u64, u64)) -> SynCookies {
        SynCookies { of_ends, of_minute }
    }

    /// The sequence number for a SYN-ACK to a SYN of the number `irs`, from a peer that takes segments of `mss`.
    pub(crate) fn make(&self, now: Instant, flow: &Flow, irs: SeqNum, mss: u16) -> SeqNum {
        let minute = minute(now);
        let larger = sizes(flow).into_iter().skip(1).take_while(|size| *size <= mss);
        let index = larger.fold(0, |index, _| index + 1);
        let low = self.second(flow, minute).wrapping_add(index) & LOW;
        SeqNum(self.first(flow, irs).wrapping_add(minute << 24).wrapping_add(low))
    }

    /// The segment size that `cookie` remembers, if it is one that went to these ends within [`LIFETIME`].
    pub(crate) fn check(&self, now: Instant, flow: &Flow, irs: SeqNum, cookie: SeqNum) -> Option<u16> {
        let rest = cookie.0.wrapping_sub(self.first(flow, irs));
        let age = minute(now).wrapping_sub(rest >> 24) & 0xff;
        if age >= AGE_LIMIT {
            return None;
        }
        let then = minute(now).wrapping_sub(age);
        let index = rest.wrapping_sub(self.second(flow, then)) & LOW;
        sizes(flow).into_iter().nth(usize::try_from(index).ok()?)
    }

    fn first(&self, flow: &Flow, irs: SeqNum) -> u32 {
        self.hash(self.of_ends, flow, irs.0)
    }

    fn second(&self, flow: &Flow, minute: u32) -> u32 {
        self.hash(self.of_minute, flow, minute)
    }

    #[allow(clippy::cast_possible_truncation, reason = "sequence numbers are modulo 2^32")]
    fn hash(&self, key: (u64, u64), flow: &Flow, number: u32) -> u32 {
        let mut hasher = SipHasher24::new_with_keys(key.0, key.1);
        flow.hash(&mut hasher);
        hasher.write_u32(number);
        hasher.finish() as u32
    }
}

/// What stands in the lowest bits of a timestamp, as in Linux: the window scale, whether SACK is permitted, and whether
/// the SYN-ACK agreed to ECN.
const NO_SCALE: u32 = 0xf;
const SACK: u32 = 1 << 4;
const ECN: u32 = 1 << 5;

impl Offer {
    /// What a timestamp is to carry of it.
    pub(crate) fn to_bits(self, ecn: bool) -> u32 {
        let sack = if self.sack { SACK } else { 0 };
        let ecn = if ecn { ECN } else { 0 };
        self.window_scale.map_or(NO_SCALE, u32::from) | sack | ecn
    }

    /// The offer of a SYN that a cookie remembers the segment size of, and a timestamp the rest.
    pub(crate) fn from_cookie(mss: u16, bits: Option<u32>) -> Offer {
        let bits = bits.unwrap_or(NO_SCALE);
        let scale = u8::try_from(bits & NO_SCALE).ok();
        Offer {
            mss,
            window_scale: scale.filter(|scale| u32::from(*scale) != NO_SCALE),
            sack: bits & SACK != 0,
        }
    }

    /// Leaves out what a cookie alone does not remember.
    pub(crate) fn forget(&mut self) {
        *self = Offer::from_cookie(self.mss, None);
    }
}

/// Whether the SYN-ACK agreed to ECN, by what its timestamp carried.
pub(crate) fn remembers_ecn(bits: Option<u32>) -> bool {
    bits.is_some_and(|bits| bits & ECN != 0)
}

/// Only its lowest bits are looked at.
#[allow(clippy::cast_possible_truncation, reason = "minutes are modulo 2^32")]
fn minute(now: Instant) -> u32 {
    (now.since(Instant::ZERO).as_secs() / MINUTE.as_secs()) as u32
}

fn sizes(flow: &Flow) -> [u16; 4] {
    let [v4, v6] = SIZES;
    match Family::of(flow.local.ip()) {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}

#[cfg(test)]
mod tests;
