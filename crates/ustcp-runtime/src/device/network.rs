//! The network between the stack and the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::trouble::failed;
use crate::{Cidr, Settings, StartError};

/// Packets that the kernel queues towards a device that we make. Its own 500 are for the whole stack, and overflow as
/// soon as two fast senders meet.
pub(super) const QUEUE: u32 = 5000;

/// The network of a device that we make.
pub(super) struct Network {
    pub(super) prefix: u8,
    /// The kernel's end.
    pub(super) peer: Ipv4Addr,
}

impl Network {
    /// The network of the first address; the others are the business of whoever routes them here.
    pub(super) fn of(settings: &Settings) -> Result<Network, StartError> {
        let Some(cidr) = settings.addresses.first() else {
            return Err(failed(libc::EINVAL, "a network needs an address".to_owned()));
        };
        let (address, prefix) = (ipv4(cidr)?, cidr.prefix);
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let peer = match settings.peer {
            Some(IpAddr::V4(peer)) => peer,
            Some(IpAddr::V6(peer)) => return Err(only_ipv4(&peer)),
            None => first_host(address, mask),
        };
        let is_ours = settings.addresses.iter().any(|cidr| cidr.address == peer);
        if is_ours || peer.to_bits() & mask != address.to_bits() & mask {
            let message = format!("the peer {peer} (USTCP_PEER) is no other host of {address}/{prefix}");
            return Err(failed(libc::EINVAL, message));
        }
        Ok(Network { prefix, peer })
    }
}

/// An address that this release can use.
pub(super) fn ipv4(cidr: &Cidr) -> Result<Ipv4Addr, StartError> {
    match cidr.address {
        IpAddr::V4(address) if cidr.prefix <= 32 => Ok(address),
        IpAddr::V4(address) => {
            let message = format!("{address}/{} has a prefix above 32", cidr.prefix);
            Err(failed(libc::EINVAL, message))
        }
        IpAddr::V6(address) => Err(only_ipv4(&address)),
    }
}

fn only_ipv4(address: &Ipv6Addr) -> StartError {
    failed(libc::EAFNOSUPPORT, format!("{address}: this release carries IPv4 only"))
}

/// The lowest host of the network around `address` that is not `address` itself.
fn first_host(address: Ipv4Addr, mask: u32) -> Ipv4Addr {
    let network = address.to_bits() & mask;
    // RFC 3021: a network of two addresses has no network address.
    let lowest = if mask.count_zeros() > 1 { network + 1 } else { network };
    if lowest == address.to_bits() {
        Ipv4Addr::from_bits(lowest.saturating_add(1))
    } else {
        Ipv4Addr::from_bits(lowest)
    }
}
