//! IP packets of either family; IPv4 here, IPv6 with its extension headers in a file of its own.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::Ipv4HeaderSlice;
use etherparse::err::ipv4::{HeaderError, HeaderSliceError};

use crate::writer::Writer;
use crate::{Malformed, Sum};

pub(crate) mod ipv6;
pub(crate) mod outline;

/// Length of an IPv4 header without options, which is how we send it.
const IPV4_HEADER: usize = 20;

/// Where in an IPv4 header the protocol stands.
const IPV4_PROTOCOL_AT: usize = 9;

/// The protocols above IP that this stack tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// ICMP for IPv4, 1.
    Icmp,
    /// TCP, 6.
    Tcp,
    /// ICMP for IPv6, 58.
    Icmpv6,
    /// Anything else, by its number: in a parsed packet the other family's ICMP too, for it is none there.
    Other(u8),
}

impl Protocol {
    /// The protocol of this assigned number.
    #[must_use]
    pub fn from_number(number: u8) -> Protocol {
        match number {
            1 => Protocol::Icmp,
            6 => Protocol::Tcp,
            58 => Protocol::Icmpv6,
            other => Protocol::Other(other),
        }
    }

    /// Its assigned number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Protocol::Icmp => 1,
            Protocol::Tcp => 6,
            Protocol::Icmpv6 => 58,
            Protocol::Other(number) => number,
        }
    }

    /// What the number means behind an IPv4 header.
    #[inline]
    pub(crate) fn in_ipv4(number: u8) -> Protocol {
        match Protocol::from_number(number) {
            Protocol::Icmpv6 => Protocol::Other(number),
            protocol => protocol,
        }
    }

    /// What the number means behind an IPv6 header.
    #[inline]
    pub(crate) fn in_ipv6(number: u8) -> Protocol {
        match Protocol::from_number(number) {
            Protocol::Icmp => Protocol::Other(number),
            protocol => protocol,
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
    /// IPv4 identification; 0 in IPv6, where only fragments have one.
    pub identification: u16,
    /// IPv4 "don't fragment"; always so in IPv6, where routers never do.
    pub dont_fragment: bool,
    /// IPv6 flow label, 20 bits; 0 in IPv4.
    pub flow_label: u32,
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
    #[inline]
    fn ipv6(&self, source: Ipv6Addr, destination: Ipv6Addr, payload_len: usize) -> [u8; ipv6::FIXED_HEADER] {
        let [len0, len1] = length_field(payload_len);
        let [_, label0, label1, label2] = self.flow_label.to_be_bytes();
        let (class, protocol, hops) = (self.traffic_class, self.protocol.number(), self.hop_limit);
        let (first, second) = (0x60 | class >> 4, class << 4 | label0 & 0x0f);
        let fixed = [first, second, label1, label2, len0, len1, protocol, hops];
        let mut header = [0; ipv6::FIXED_HEADER];
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
    /// What the fragments of one datagram have in common: 16 bits in IPv4, 32 in IPv6.
    pub identification: u32,
}

/// A parsed IP packet. Options and extension headers are passed over; bytes beyond the packet's own length are trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPacket<'a> {
    /// The header's fields.
    pub header: IpHeader,
    /// Present when the packet is one of several fragments. The payload is then what follows the IPv4 header or the
    /// IPv6 fragment header, and the protocol what the fragment says that the first begins with.
    pub fragment: Option<Fragment>,
    /// What the packet carries.
    pub payload: &'a [u8],
    /// Bytes before the payload: the header with its options or extension headers.
    pub header_len: usize,
    /// Where in the packet the protocol's number stands: what an ICMPv6 parameter problem points at when nobody
    /// here speaks it.
    pub protocol_at: usize,
}

impl<'a> IpPacket<'a> {
    /// Parses a packet of either family: by RFC 791 with the header's checksum verified, or by RFC 8200 with up to
    /// eight extension headers. What the sender of an IPv6 packet should be told is [`Malformed::Problem`].
    #[inline]
    pub fn parse(packet: &'a [u8]) -> Result<IpPacket<'a>, Malformed> {
        match packet.first() {
            Some(0x60..=0x6f) => ipv6::parse(packet),
            _ => parse_ipv4(packet),
        }
    }
}

/// Parses an IPv4 packet and verifies its header.
#[inline]
fn parse_ipv4(packet: &[u8]) -> Result<IpPacket<'_>, Malformed> {
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
    Ok(IpPacket {
        header: IpHeader {
            source: IpAddr::V4(header.source_addr()),
            destination: IpAddr::V4(header.destination_addr()),
            protocol: Protocol::in_ipv4(header.protocol().0),
            traffic_class: header.dcp().value() << 2 | header.ecn().value(),
            hop_limit: header.ttl(),
            identification: header.identification(),
            dont_fragment: header.dont_fragment(),
            flow_label: 0,
        },
        fragment: ipv4_fragment(&header),
        payload,
        header_len,
        protocol_at: IPV4_PROTOCOL_AT,
    })
}

#[inline]
fn ipv4_fragment(header: &Ipv4HeaderSlice<'_>) -> Option<Fragment> {
    // RFC 791 §3.1: the offset counts units of eight bytes.
    let offset = usize::from(header.fragments_offset().value()) * 8;
    let more = header.more_fragments();
    (more || offset != 0).then(|| Fragment {
        offset,
        more,
        identification: header.identification().into(),
    })
}

#[cfg(test)]
mod tests;
