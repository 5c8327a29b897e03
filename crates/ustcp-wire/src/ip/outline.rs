//! What can be told of a packet from its start alone.

use core::net::IpAddr;

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use super::ipv6::Chain;
use super::{IPV4_PROTOCOL_AT, Protocol, ipv4_fragment};

/// A packet of which perhaps only the start is there, as ICMP errors quote it, or one that [`parse`] refuses. Its
/// lengths and checksums are not looked at: in a quote they are as some router left them.
///
/// [`parse`]: crate::IpPacket::parse
pub(crate) struct Outline<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The protocol above IP; where the headers break off before it, the extension header that they break off at.
    pub(crate) protocol: Protocol,
    /// Where its number stands.
    pub(crate) protocol_at: usize,
    /// Whether what follows begins where that protocol's header does: not in a later fragment.
    pub(crate) is_start: bool,
    /// What follows the headers, as far as it is there.
    pub(crate) rest: &'a [u8],
}

impl<'a> Outline<'a> {
    pub(crate) fn of(packet: &'a [u8]) -> Option<Outline<'a>> {
        match packet.first()? >> 4 {
            4 => Outline::of_ipv4(packet),
            6 => Outline::of_ipv6(packet),
            _ => None,
        }
    }

    fn of_ipv4(packet: &'a [u8]) -> Option<Outline<'a>> {
        let header = Ipv4HeaderSlice::from_slice(packet).ok()?;
        Some(Outline {
            source: IpAddr::V4(header.source_addr()),
            destination: IpAddr::V4(header.destination_addr()),
            protocol: Protocol::in_ipv4(header.protocol().0),
            protocol_at: IPV4_PROTOCOL_AT,
            is_start: ipv4_fragment(&header).is_none_or(|fragment| fragment.offset == 0),
            rest: packet.get(header.slice().len()..)?,
        })
    }

    fn of_ipv6(packet: &'a [u8]) -> Option<Outline<'a>> {
        let header = Ipv6HeaderSlice::from_slice(packet).ok()?;
        let mut chain = Chain::along(packet)?;
        let mut is_start = true;
        while is_start && let Ok(Some(extension)) = chain.pass() {
            is_start = extension.fragment().is_none_or(|fragment| fragment.offset == 0);
        }
        Some(Outline {
            source: IpAddr::V6(header.source_addr()),
            destination: IpAddr::V6(header.destination_addr()),
            protocol: Protocol::in_ipv6(chain.number),
            protocol_at: chain.named_at,
            is_start,
            rest: chain.rest(),
        })
    }
}
