//! ICMP for IPv4 (RFC 792) and IPv6 (RFC 4443) as one: echo, and the errors that concern TCP.

use core::net::SocketAddr;

use crate::ip::outline::Outline;
use crate::writer::{Writer, patch};
use crate::{IpHeader, Malformed, Protocol, SeqNum, Sum, pseudo_header_sum};

pub(crate) mod error;

/// Types for IPv4, RFC 792.
mod v4 {
    pub(super) const ECHO_REPLY: u8 = 0;
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const SOURCE_QUENCH: u8 = 4;
    pub(super) const REDIRECT: u8 = 5;
    pub(super) const ECHO_REQUEST: u8 = 8;
    pub(super) const TIME_EXCEEDED: u8 = 11;
    pub(super) const PARAMETER_PROBLEM: u8 = 12;
    /// The code of "fragmentation needed and DF set" among the unreachables.
    pub(super) const FRAGMENTATION_NEEDED: u8 = 4;
}

/// Types for IPv6, RFC 4443.
mod v6 {
    pub(super) const UNREACHABLE: u8 = 1;
    pub(super) const PACKET_TOO_BIG: u8 = 2;
    pub(super) const TIME_EXCEEDED: u8 = 3;
    pub(super) const PARAMETER_PROBLEM: u8 = 4;
    /// The least type that is no error, §2.1.
    pub(super) const INFORMATIONAL: u8 = 128;
    pub(super) const ECHO_REQUEST: u8 = 128;
    pub(super) const ECHO_REPLY: u8 = 129;
    /// RFC 4861 §4.5.
    pub(super) const REDIRECT: u8 = 137;
}

/// Length of the part that all messages share in shape.
const HEADER: usize = 8;

/// The longest headers of a message of ours: those of IPv6 and ICMP.
const LONGEST_HEADERS: usize = 48;

/// The TCP segment that an ICMP error quotes: its first eight bytes are all that is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Who sent the quoted segment: us.
    pub source: SocketAddr,
    /// Where it went.
    pub destination: SocketAddr,
    /// Its sequence number.
    pub seq: SeqNum,
}

/// A parsed ICMP message of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpMessage<'a> {
    /// Echo request with identifier, sequence number and data.
    EchoRequest {
        /// Identifier.
        identifier: u16,
        /// Sequence number.
        sequence: u16,
        /// Data, to be returned as it is.
        data: &'a [u8],
    },
    /// Echo reply with identifier, sequence number and data.
    EchoReply {
        /// Identifier.
        identifier: u16,
        /// Sequence number.
        sequence: u16,
        /// Data, as it was sent.
        data: &'a [u8],
    },
    /// Destination unreachable, other than code 4 of IPv4.
    Unreachable {
        /// The code: RFC 792's in IPv4, RFC 4443's in IPv6, which [`Quoted::source`] tells apart.
        code: u8,
        /// The segment it is about.
        quoted: Quoted,
    },
    /// Fragmentation needed (destination unreachable, code 4), RFC 1191; packet too big in IPv6, RFC 8201.
    FragmentationNeeded {
        /// Next-hop MTU in bytes as the router says; 0 from those older than RFC 1191.
        mtu: u32,
        /// The segment it is about.
        quoted: Quoted,
    },
    /// Time exceeded.
    TimeExceeded {
        /// The segment it is about.
        quoted: Quoted,
    },
    /// Parameter problem.
    ParameterProblem {
        /// The segment it is about.
        quoted: Quoted,
    },
    /// Anything else, source quench (RFC 6633) and neighbour discovery among it: to be ignored.
    Ignored,
}

impl<'a> IcmpMessage<'a> {
    /// Parses an ICMP message for IPv4 and verifies its checksum. An error that does not quote TCP is `Ignored`.
    pub fn parse(message: &'a [u8]) -> Result<IcmpMessage<'a>, Malformed> {
        let parts = Parts::open(4, message, Sum::default())?;
        let [_, _, m0, m1] = parts.rest;
        Ok(match (parts.kind, parts.code) {
            (v4::ECHO_REQUEST, _) => parts.echo_request(),
            (v4::ECHO_REPLY, _) => parts.echo_reply(),
            // RFC 1191 §4: the next hop's MTU stands in the lower half of what RFC 792 left unused.
            (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED) => parts.error(|quoted| IcmpMessage::FragmentationNeeded {
                mtu: u16::from_be_bytes([m0, m1]).into(),
                quoted,
            }),
            (v4::UNREACHABLE, code) => parts.error(|quoted| IcmpMessage::Unreachable { code, quoted }),
            (v4::TIME_EXCEEDED, _) => parts.error(|quoted| IcmpMessage::TimeExceeded { quoted }),
            (v4::PARAMETER_PROBLEM, _) => parts.error(|quoted| IcmpMessage::ParameterProblem { quoted }),
            _ => IcmpMessage::Ignored,
        })
    }

    /// Parses the payload of `ip` as an ICMP message for IPv6 and verifies its checksum, which covers the addresses.
    /// An error that does not quote TCP is `Ignored`.
    pub fn parse_v6(ip: &IpHeader, message: &'a [u8]) -> Result<IcmpMessage<'a>, Malformed> {
        let parts = Parts::open(6, message, icmpv6_sum(ip, message.len()))?;
        Ok(match (parts.kind, parts.code) {
            (v6::ECHO_REQUEST, _) => parts.echo_request(),
            (v6::ECHO_REPLY, _) => parts.echo_reply(),
            (v6::UNREACHABLE, code) => parts.error(|quoted| IcmpMessage::Unreachable { code, quoted }),
            // RFC 4443 §3.2: whatever its code.
            (v6::PACKET_TOO_BIG, _) => parts.error(|quoted| IcmpMessage::FragmentationNeeded {
                mtu: u32::from_be_bytes(parts.rest),
                quoted,
            }),
            (v6::TIME_EXCEEDED, _) => parts.error(|quoted| IcmpMessage::TimeExceeded { quoted }),
            (v6::PARAMETER_PROBLEM, _) => parts.error(|quoted| IcmpMessage::ParameterProblem { quoted }),
            _ => IcmpMessage::Ignored,
        })
    }

    /// What an ICMP error quotes of the segment that it is about: the TCP header, and as much behind it as there is. Of
    /// another message nothing.
    #[must_use]
    pub fn quoted_segment(message: &[u8]) -> &[u8] {
        let quote = message.get(HEADER..).and_then(Outline::of);
        quote.map_or(&[], |outline| outline.rest)
    }

    /// The whole packet of an echo reply (RFC 1122 §3.2.2.6, RFC 4443 §4.2) to the request whose header is `ip`.
    /// `data` is the request's and so fits.
    #[must_use]
    pub fn echo_reply(ip: &IpHeader, identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
        let ([i0, i1], [s0, s1]) = (identifier.to_be_bytes(), sequence.to_be_bytes());
        let kind = if ip.destination.is_ipv4() {
            v4::ECHO_REPLY
        } else {
            v6::ECHO_REPLY
        };
        packet(&answer_header(ip), [kind, 0, 0, 0, i0, i1, s0, s1], data)
    }
}

/// A message in its parts, the checksum verified.
#[derive(Clone, Copy)]
struct Parts<'a> {
    /// Of the IP header before the message.
    version: u8,
    kind: u8,
    code: u8,
    /// The second word, whose meaning is the type's.
    rest: [u8; 4],
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    /// `before`: the sum of what the checksum covers besides the message.
    fn open(version: u8, message: &'a [u8], before: Sum) -> Result<Parts<'a>, Malformed> {
        let Some((&[kind, code, _, _, a, b, c, d], body)) = message.split_first_chunk::<HEADER>() else {
            return Err(Malformed::Truncated);
        };
        if !before.add(message).verifies() {
            return Err(Malformed::BadChecksum);
        }
        Ok(Parts {
            version,
            kind,
            code,
            rest: [a, b, c, d],
            body,
        })
    }

    fn echo_request(self) -> IcmpMessage<'a> {
        let (identifier, sequence) = self.echo();
        IcmpMessage::EchoRequest {
            identifier,
            sequence,
            data: self.body,
        }
    }

    fn echo_reply(self) -> IcmpMessage<'a> {
        let (identifier, sequence) = self.echo();
        IcmpMessage::EchoReply {
            identifier,
            sequence,
            data: self.body,
        }
    }

    fn echo(self) -> (u16, u16) {
        let [i0, i1, s0, s1] = self.rest;
        (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([s0, s1]))
    }

    fn error(self, about: impl FnOnce(Quoted) -> IcmpMessage<'a>) -> IcmpMessage<'a> {
        let same_family = self.body.first().is_some_and(|first| first >> 4 == self.version);
        let quoted = same_family.then(|| Quoted::parse(self.body)).flatten();
        quoted.map_or(IcmpMessage::Ignored, about)
    }
}

/// The pseudo-header's part in the checksum of an ICMPv6 message of `len` bytes, RFC 4443 §2.3.
fn icmpv6_sum(ip: &IpHeader, len: usize) -> Sum {
    pseudo_header_sum(ip.source, ip.destination, Protocol::Icmpv6, len)
}

/// A whole ICMP packet: `message` with its checksum behind the header `ip`, and `body` behind both.
fn packet(ip: &IpHeader, mut message: [u8; HEADER], body: &[u8]) -> Vec<u8> {
    let len = HEADER + body.len();
    let before = match ip.protocol {
        Protocol::Icmpv6 => icmpv6_sum(ip, len),
        Protocol::Icmp | Protocol::Tcp | Protocol::Other(_) => Sum::default(),
    };
    let checksum = before.add(&message).add(body).checksum();
    patch(&mut message, 2, checksum.to_be_bytes());

    let mut headers = [0; LONGEST_HEADERS];
    let mut out = Writer::new(&mut headers);
    ip.write(len, &mut out);
    out.put(message);
    let headers_len = out.len();
    [headers.get(..headers_len).unwrap_or(&[]), body].concat()
}

/// The header of what answers a packet. RFC 6864 §4.1: an identification need not be unique where nobody may fragment.
fn answer_header(to: &IpHeader) -> IpHeader {
    IpHeader {
        source: to.destination,
        destination: to.source,
        protocol: if to.destination.is_ipv4() {
            Protocol::Icmp
        } else {
            Protocol::Icmpv6
        },
        traffic_class: to.traffic_class,
        hop_limit: 64,
        identification: 0,
        dont_fragment: true,
        flow_label: 0,
    }
}

impl Quoted {
    /// Reads the quoted packet as far as it is promised: the IP headers and eight bytes more.
    fn parse(quote: &[u8]) -> Option<Quoted> {
        let outline = Outline::of(quote)?;
        if outline.protocol != Protocol::Tcp || !outline.is_start {
            return None;
        }
        let &[s0, s1, d0, d1, n0, n1, n2, n3] = outline.rest.first_chunk()?;
        let port = |upper, lower| u16::from_be_bytes([upper, lower]);
        Some(Quoted {
            source: SocketAddr::new(outline.source, port(s0, s1)),
            destination: SocketAddr::new(outline.destination, port(d0, d1)),
            seq: SeqNum(u32::from_be_bytes([n0, n1, n2, n3])),
        })
    }
}

#[cfg(test)]
mod tests;
