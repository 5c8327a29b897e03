//! Which addresses are ours, which cannot be, and which of ours speaks to whom.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Cidr, Config, Error, Family};

/// This host, to itself.
pub(crate) fn localhost(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

/// Whether packets to `address` stay inside the stack.
pub(crate) fn is_local(config: &Config, address: IpAddr) -> bool {
    address.is_loopback() || is_own(config, address)
}

/// Whether `address` was configured as one of ours.
pub(crate) fn is_own(config: &Config, address: IpAddr) -> bool {
    config.addresses.iter().any(|cidr| cidr.address == address)
}

/// Whether packets from the device to `address` are for us.
pub(crate) fn is_taken(config: &Config, address: IpAddr) -> bool {
    is_own(config, address) || (config.any_address && may_be_host(config, address))
}

/// Whether a host on a network can have `address`.
pub(crate) fn may_be_host(config: &Config, address: IpAddr) -> bool {
    !address.is_loopback() && !is_no_host(config, address) && address == address.to_canonical()
}

/// Whether no single host can have `address`: RFC 1122 §3.2.1.3, RFC 9293 MUST-46, MUST-57, MUST-63.
pub(crate) fn is_no_host(config: &Config, address: IpAddr) -> bool {
    address.is_unspecified() || address.is_multicast() || is_broadcast(config, address)
}

fn is_broadcast(config: &Config, address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else { return false };
    address.is_broadcast()
        || config
            .addresses
            .iter()
            .any(|cidr| is_broadcast_of(cidr, address.to_bits()))
}

fn is_broadcast_of(cidr: &Cidr, address: u32) -> bool {
    let IpAddr::V4(own) = cidr.address else { return false };
    let hosts = u32::MAX.checked_shr(u32::from(cidr.prefix)).unwrap_or(0);
    // RFC 3021: a /31 has no broadcast address, and a /32 no network.
    hosts > 1 && address == own.to_bits() | hosts
}

/// The address to speak to `destination` with: its own inside the stack, else the one on the same network, else the
/// first of the family.
pub(crate) fn source_for(config: &Config, destination: IpAddr) -> Result<IpAddr, Error> {
    if is_local(config, destination) {
        return Ok(destination);
    }
    let family = || {
        config
            .addresses
            .iter()
            .filter(|cidr| cidr.address.is_ipv4() == destination.is_ipv4())
    };
    family()
        .find(|cidr| cidr.contains(destination))
        .or_else(|| family().next())
        .map(|cidr| cidr.address)
        .ok_or(Error::NetworkUnreachable)
}

#[cfg(test)]
mod tests;
