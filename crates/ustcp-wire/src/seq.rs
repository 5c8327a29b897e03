//! Sequence numbers, RFC 9293 §3.4: arithmetic modulo 2^32.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A TCP sequence number. It has no `<`: it has [`before`](SeqNum::before). Differences are signed and wrap, so a
/// hostile number is a negative distance and not a panic.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// Earlier in sequence space than `other`.
    #[must_use]
    pub fn before(self, other: SeqNum) -> bool {
        self - other < 0
    }

    /// Later in sequence space than `other`.
    #[must_use]
    pub fn after(self, other: SeqNum) -> bool {
        other.before(self)
    }

    /// Not later than `other`.
    #[must_use]
    pub fn at_or_before(self, other: SeqNum) -> bool {
        !self.after(other)
    }

    /// Not earlier than `other`.
    #[must_use]
    pub fn at_or_after(self, other: SeqNum) -> bool {
        !self.before(other)
    }

    /// The earlier of the two.
    #[must_use]
    pub fn min(self, other: SeqNum) -> SeqNum {
        if self.before(other) { self } else { other }
    }

    /// The later of the two.
    #[must_use]
    pub fn max(self, other: SeqNum) -> SeqNum {
        if self.after(other) { self } else { other }
    }

    /// How far `self` lies beyond `start`; 0 when it does not.
    #[must_use]
    pub fn distance_from(self, start: SeqNum) -> usize {
        usize::try_from(self - start).unwrap_or(0)
    }
}

impl Sub for SeqNum {
    type Output = i32;
    fn sub(self, rhs: Self) -> i32 {
        self.0.wrapping_sub(rhs.0).cast_signed()
    }
}

impl Add<usize> for SeqNum {
    type Output = SeqNum;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "modulo 2^32 is the meaning of this addition"
    )]
    fn add(self, rhs: usize) -> SeqNum {
        SeqNum(self.0.wrapping_add(rhs as u32))
    }
}

impl AddAssign<usize> for SeqNum {
    fn add_assign(&mut self, rhs: usize) {
        *self = *self + rhs;
    }
}

impl Sub<usize> for SeqNum {
    type Output = SeqNum;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "modulo 2^32 is the meaning of this subtraction"
    )]
    fn sub(self, rhs: usize) -> SeqNum {
        SeqNum(self.0.wrapping_sub(rhs as u32))
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_goes_around_the_end_of_the_space() {
        for (earlier, later) in [
            (0, 1),
            (u32::MAX, 0),
            (u32::MAX - 10, 10),
            (0x7fff_ffff, 0x8000_0000),
            (1, 0x8000_0000),
        ] {
            let (earlier, later) = (SeqNum(earlier), SeqNum(later));
            assert!(earlier.before(later) && later.after(earlier));
            assert!(!later.before(earlier) && !earlier.after(later));
            assert!(earlier.at_or_before(later) && !earlier.at_or_after(later));
            assert_eq!((earlier.min(later), later.min(earlier)), (earlier, earlier));
            assert_eq!((earlier.max(later), later.max(earlier)), (later, later));
        }
    }

    #[test]
    fn equals_are_neither_before_nor_after() {
        let here = SeqNum(u32::MAX);
        assert!(!here.before(here) && !here.after(here));
        assert!(here.at_or_before(here) && here.at_or_after(here));
    }

    // Half the space away has no side; whatever the answer, it is one and no panic.
    #[test]
    fn the_antipode_is_a_negative_distance() {
        assert_eq!(SeqNum(0x8000_0000) - SeqNum(0), i32::MIN);
        assert_eq!(SeqNum(0x8000_0000).distance_from(SeqNum(0)), 0);
    }

    #[test]
    fn sums_and_distances_go_around() {
        let start = SeqNum(u32::MAX - 1);
        let mut moved = start;
        moved += 5;
        assert_eq!((moved, start + 5, moved - 5usize), (SeqNum(3), SeqNum(3), start));
        assert_eq!((moved - start, start - moved), (5, -5));
        assert_eq!((moved.distance_from(start), start.distance_from(moved)), (5, 0));
        assert_eq!((moved.to_string(), format!("{moved:?}")), ("3".into(), "3".into()));
    }
}
