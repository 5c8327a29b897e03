//! The networks between the stack and the kernel, one of each family that the stack has an address of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::route;
use super::trouble::failed;
use crate::{Cidr, Family, Settings, StartError};

/// Packets that the kernel queues towards a device that we make. Its own 500 are for the whole stack, and overflow as
/// soon as two fast senders meet.
pub(super) const QUEUE: u32 = 5000;

/// The network of a device that we make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) prefix: u8,
    /// The kernel's end.
    pub(super) peer: IpAddr,
}

impl Network {
    /// The networks of the first address of each family; the other addresses are the business of whoever routes them
    /// here.
    pub(super) fn all_of(settings: &Settings) -> Result<Vec<Network>, StartError> {
        if let Some(peer) = settings.peers.iter().find(|peer| first_of(settings, **peer).is_none()) {
            let message = format!("the stack has no address to speak to the peer {peer} with");
            return Err(failed(libc::EINVAL, message));
        }
        let first = settings
            .addresses
            .iter()
            .filter(|cidr| first_of(settings, cidr.address) == Some(*cidr));
        first.map(|cidr| Network::around(cidr, settings)).collect()
    }

    fn around(cidr: &Cidr, settings: &Settings) -> Result<Network, StartError> {
        let (address, prefix) = (cidr.address, cidr.prefix);
        let is_ours = |peer| settings.addresses.iter().any(|cidr| cidr.address == peer);
        let named = settings.peers.iter().find(|peer| same_family(**peer, address));
        let peer = match named {
            Some(peer) if is_ours(*peer) || bits(*peer) & mask(cidr) != bits(address) & mask(cidr) => {
                Err(format!("the peer {peer} is no other host of {address}/{prefix}"))
            }
            Some(peer) => Ok(*peer),
            None => hosts(cidr).find(|host| !is_ours(*host)).ok_or_else(|| {
                let name = &settings.tun;
                format!("{address}/{prefix} leaves no address for the kernel's end of {name}: a shorter prefix does")
            }),
        };
        let peer = peer.map_err(|message| failed(libc::EINVAL, message))?;
        Ok(Network { prefix, peer })
    }

    /// Its own address.
    fn address(self) -> IpAddr {
        let cidr = Cidr {
            address: self.peer,
            prefix: self.prefix,
        };
        address_of(self.peer, bits(self.peer) & mask(&cidr))
    }

    /// The kernel sends what is for a network to one device, the first that has it: another would hear nothing.
    pub(super) fn check_that_it_is_free(self) -> Result<(), StartError> {
        if matches!(self.peer, IpAddr::V6(peer) if peer.is_unicast_link_local()) {
            return Ok(()); // every link has that one
        }
        let Some(device) = route::device_of(self.address(), self.prefix) else {
            return Ok(());
        };
        let message = format!(
            "{}/{} is {device}'s already, and the kernel sends there what is for it: name an address of another network \
             by USTCP_ADDRESS",
            self.address(),
            self.prefix
        );
        Err(failed(libc::EADDRINUSE, message))
    }
}

fn first_of(settings: &Settings, like: IpAddr) -> Option<&Cidr> {
    settings.addresses.iter().find(|cidr| same_family(cidr.address, like))
}

fn same_family(one: IpAddr, other: IpAddr) -> bool {
    Family::of(one) == Family::of(other)
}

/// An address that a stack can have.
pub(super) fn check(cidr: &Cidr) -> Result<(), StartError> {
    let Cidr { address, prefix } = cidr;
    let longest = width(*address);
    if u32::from(*prefix) <= longest {
        return Ok(());
    }
    let message = format!("{address}/{prefix} has a prefix above {longest}");
    Err(failed(libc::EINVAL, message))
}

/// The hosts of the network around an address, from the lowest.
fn hosts(cidr: &Cidr) -> impl Iterator<Item = IpAddr> {
    let (mask, is_v4) = (mask(cidr), cidr.address.is_ipv4());
    let first = bits(cidr.address) & mask;
    let last = first | (!mask & u128::MAX >> (128 - width(cidr.address)));
    // RFC 3021, RFC 6164: a network of two addresses has no network address, and no address of its routers. IPv6 has no
    // broadcasts.
    let is_wide = last - first > 1;
    let hosts = first + u128::from(is_wide)..=last - u128::from(is_wide && is_v4);
    let like = cidr.address;
    hosts.map(move |host| address_of(like, host))
}

/// The address of the family of `like` that has these bits.
fn address_of(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn mask(cidr: &Cidr) -> u128 {
    let host_bits = width(cidr.address).saturating_sub(cidr.prefix.into());
    u128::MAX.checked_shl(host_bits).unwrap_or(0)
}
