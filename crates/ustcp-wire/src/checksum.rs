//! The Internet checksum, RFC 1071.

use core::net::IpAddr;

use crate::Protocol;

/// A one's-complement sum under way. Parts may be added in any number; every part but the last has an even length, or
/// [`Sum::add`] is told where in the whole it stands by the order of calls (an odd part swaps the bytes of the next).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    total: u64,
    odd: bool,
}

impl Sum {
    /// Adds `bytes`, which stand right after what was added before.
    #[must_use]
    pub fn add(self, bytes: &[u8]) -> Sum {
        let _ = (bytes, self.total, self.odd);
        todo!()
    }

    /// The folded 16-bit sum, not complemented: what a NIC expects in the field it is to complete.
    #[must_use]
    pub fn folded(self) -> u16 {
        todo!()
    }

    /// The checksum: the complement of [`folded`](Sum::folded).
    #[must_use]
    pub fn checksum(self) -> u16 {
        !self.folded()
    }
}

/// The sum over the pseudo-header of RFC 9293 §3.1 (IPv4) or RFC 8200 §8.1 (IPv6). Addresses of different families
/// are a caller's bug and sum as if the source were unspecified.
#[must_use]
pub fn pseudo_header_sum(source: IpAddr, destination: IpAddr, protocol: Protocol, length: usize) -> Sum {
    let _ = (source, destination, protocol, length);
    todo!()
}
