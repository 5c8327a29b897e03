//! IP headers. IPv4 on the wire; the types hold either family.

use core::net::IpAddr;

use crate::Malformed;

/// The protocols above IP that this stack tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// ICMP for IPv4, 1.
    Icmp,
    /// TCP, 6.
    Tcp,
    /// Anything else, by its number.
    Other(u8),
}

/// What this stack reads from and writes into an IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHeader {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// What the payload is.
    pub protocol: Protocol,
    /// Type of service: DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// Time to live.
    pub hop_limit: u8,
    /// IPv4 identification.
    pub identification: u16,
    /// IPv4 "don't fragment".
    pub dont_fragment: bool,
}

/// Where a fragment belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Offset of the payload in the datagram, in bytes.
    pub offset: usize,
    /// More fragments follow.
    pub more: bool,
}

/// A parsed IP packet. Options are skipped; bytes beyond the total length are trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPacket<'a> {
    /// The header's fields.
    pub header: IpHeader,
    /// Present when the packet is one of several fragments.
    pub fragment: Option<Fragment>,
    /// What the packet carries.
    pub payload: &'a [u8],
}

impl<'a> IpPacket<'a> {
    /// Parses an IPv4 packet and verifies its header checksum. IPv6 is [`Malformed::Unsupported`] as yet.
    pub fn parse(packet: &'a [u8]) -> Result<IpPacket<'a>, Malformed> {
        let _ = packet;
        todo!()
    }
}
