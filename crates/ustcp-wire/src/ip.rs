//! IP headers. IPv4 on the wire; the types hold either family.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::Ipv4HeaderSlice;
use etherparse::err::ipv4::{HeaderError, HeaderSliceError};

use crate::writer::Writer;
use crate::{Malformed, Sum};

/// Length of an IPv4 header without options, which is how we send it.
const IPV4_HEADER: usize = 20;

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

impl Protocol {
    /// The protocol of this assigned number.
    #[must_use]
    pub fn from_number(number: u8) -> Protocol {
        match number {
            1 => Protocol::Icmp,
            6 => Protocol::Tcp,
            other => Protocol::Other(other),
        }
    }

    /// Its assigned number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Protocol::Icmp => 1,
            Protocol::Tcp => 6,
            Protocol::Other(number) => number,
        }
    }
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

impl IpHeader {
    /// Writes the header of a packet that carries `payload_len` bytes. A length that the header's field cannot hold is
    /// a caller's bug and written as the largest that it can.
    #[inline]
    pub(crate) fn write(&self, payload_len: usize, out: &mut Writer<'_>) {
        match AddressPair::of(self.source, self.destination) {
            AddressPair::V4(source, destination) => out.put(self.ipv4(source, destination, payload_len)),
            AddressPair::V6(source, destination) => out.put(self.ipv6(source, destination, payload_len)),
        }
    }

    /// RFC 791 §3.1.
    #[inline]
    fn ipv4(&self, source: Ipv4Addr, destination: Ipv4Addr, payload_len: usize) -> [u8; IPV4_HEADER] {
        let [len0, len1] = length_field(IPV4_HEADER + payload_len);
        let [id0, id1] = self.identification.to_be_bytes();
        let (tos, ttl, protocol) = (self.traffic_class, self.hop_limit, self.protocol.number());
        let flags = if self.dont_fragment { 0x40 } else { 0 };
        let ([s0, s1, s2, s3], [d0, d1, d2, d3]) = (source.octets(), destination.octets());
        let mut header = [
            0x45, tos, len0, len1, id0, id1, flags, 0, ttl, protocol, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3,
        ];
        [header[10], header[11]] = Sum::default().add(&header).checksum().to_be_bytes();
        header
    }

    /// RFC 8200 §3. It has neither checksum nor identification, and nobody may fragment it on its way.
    fn ipv6(&self, source: Ipv6Addr, destination: Ipv6Addr, payload_len: usize) -> [u8; 40] {
        let [len0, len1] = length_field(payload_len);
        let (class, protocol, hops) = (self.traffic_class, self.protocol.number(), self.hop_limit);
        let fixed = [0x60 | class >> 4, class << 4, 0, 0, len0, len1, protocol, hops];
        let mut header = [0; 40];
        let mut out = Writer::new(&mut header);
        out.put(fixed);
        out.put(source.octets());
        out.put(destination.octets());
        header
    }
}

fn length_field(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

/// Two addresses of one family. The destination decides which; a source of the other is a caller's bug and counts as
/// unspecified.
pub(crate) enum AddressPair {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl AddressPair {
    #[inline]
    pub(crate) fn of(source: IpAddr, destination: IpAddr) -> AddressPair {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => AddressPair::V4(source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => AddressPair::V6(source, destination),
            (IpAddr::V6(_), IpAddr::V4(destination)) => AddressPair::V4(Ipv4Addr::UNSPECIFIED, destination),
            (IpAddr::V4(_), IpAddr::V6(destination)) => AddressPair::V6(Ipv6Addr::UNSPECIFIED, destination),
        }
    }
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
    #[inline]
    pub fn parse(packet: &'a [u8]) -> Result<IpPacket<'a>, Malformed> {
        let (header, payload) = open_ipv4(packet)?;
        Ok(IpPacket::of(&header, payload))
    }

    #[inline]
    pub(crate) fn of(header: &Ipv4HeaderSlice<'_>, payload: &'a [u8]) -> IpPacket<'a> {
        // RFC 791 §3.1: the offset counts units of eight bytes.
        let (more, offset) = (
            header.more_fragments(),
            usize::from(header.fragments_offset().value()) * 8,
        );
        IpPacket {
            header: IpHeader {
                source: IpAddr::V4(header.source_addr()),
                destination: IpAddr::V4(header.destination_addr()),
                protocol: Protocol::from_number(header.protocol().0),
                traffic_class: header.dcp().value() << 2 | header.ecn().value(),
                hop_limit: header.ttl(),
                identification: header.identification(),
                dont_fragment: header.dont_fragment(),
            },
            fragment: (more || offset != 0).then_some(Fragment { offset, more }),
            payload,
        }
    }
}

/// Divides an IPv4 packet into header and payload and verifies the header.
#[inline]
pub(crate) fn open_ipv4(packet: &[u8]) -> Result<(Ipv4HeaderSlice<'_>, &[u8]), Malformed> {
    let header = Ipv4HeaderSlice::from_slice(packet).map_err(|error| match error {
        HeaderSliceError::Len(_) => Malformed::Truncated,
        HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. }) => Malformed::Unsupported,
        HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { .. }) => Malformed::BadLength,
    })?;
    let (header_len, total_len) = (header.slice().len(), usize::from(header.total_len()));
    if total_len < header_len {
        return Err(Malformed::BadLength);
    }
    let payload = packet.get(header_len..total_len).ok_or(Malformed::Truncated)?;
    // RFC 1122 §3.2.1.2: a datagram with a bad header checksum is silently discarded.
    if !Sum::default().add(header.slice()).verifies() {
        return Err(Malformed::BadChecksum);
    }
    Ok((header, payload))
}

#[cfg(test)]
mod tests;
