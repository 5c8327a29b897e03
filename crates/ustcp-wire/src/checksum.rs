//! The Internet checksum, RFC 1071.

use core::net::IpAddr;

use crate::Protocol;
use crate::ip::AddressPair;

/// A one's-complement sum under way. The bytes may come in any number of parts of any length: a part that begins at
/// an odd place in the whole is summed with its bytes swapped.
///
/// The sum is kept in the machine's own byte order and 64 bits wide, which RFC 1071 §2 (B) and (C) allow: 2^64 - 1 is
/// a multiple of 2^16 - 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    total: u64,
    odd: bool,
}

impl Sum {
    /// Adds `bytes`, which stand right after what was added before.
    #[must_use]
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "`sum + bytes` would hide that the bytes are walked"
    )]
    pub fn add(self, bytes: &[u8]) -> Sum {
        // RFC 1071 §2 (B): to rotate by a byte is to swap the bytes of every 16-bit word.
        let part = sum_native(bytes).rotate_left(if self.odd { 8 } else { 0 });
        let (total, carry) = self.total.overflowing_add(part);
        Sum {
            total: total + u64::from(carry),
            odd: self.odd != (bytes.len() % 2 == 1),
        }
    }

    /// The folded 16-bit sum, not complemented: what a NIC expects in the field it is to complete.
    #[must_use]
    #[inline]
    pub fn folded(self) -> u16 {
        let sum = (self.total >> 32) + (self.total & 0xffff_ffff);
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        (sum as u16).to_be()
    }

    /// The checksum: the complement of [`folded`](Sum::folded).
    #[must_use]
    #[inline]
    pub fn checksum(self) -> u16 {
        !self.folded()
    }

    /// Whether the bytes summed, their checksum field among them, are what their sender summed.
    #[must_use]
    #[inline]
    pub fn verifies(self) -> bool {
        self.folded() == 0xffff
    }
}

/// The sum of 32-bit words in native byte order, the end filled up with zeros. 64 bits hold the sum of 16 GiB.
#[inline]
fn sum_native(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(place, &byte)| *place = byte);
    words
        .iter()
        .fold(native(last), |sum, &word| sum.wrapping_add(native(word)))
}

#[inline]
fn native(word: [u8; 4]) -> u64 {
    u64::from(u32::from_ne_bytes(word))
}

/// The sum over the pseudo-header of RFC 9293 §3.1 (IPv4) or RFC 8200 §8.1 (IPv6). Addresses of different families
/// are a caller's bug and sum as if the source were unspecified.
#[must_use]
#[inline]
pub fn pseudo_header_sum(source: IpAddr, destination: IpAddr, protocol: Protocol, length: usize) -> Sum {
    let addresses = match AddressPair::of(source, destination) {
        AddressPair::V4(source, destination) => Sum::default().add(&source.octets()).add(&destination.octets()),
        AddressPair::V6(source, destination) => Sum::default().add(&source.octets()).add(&destination.octets()),
    };
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    addresses
        .add(&u32::from(protocol.number()).to_be_bytes())
        .add(&length.to_be_bytes())
}

#[cfg(test)]
mod tests;
