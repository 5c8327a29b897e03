//! ICMP for IPv4, RFC 792: echo, and the errors that concern TCP.

use core::net::{IpAddr, SocketAddr};

use etherparse::Ipv4HeaderSlice;

use crate::writer::{Writer, patch};
use crate::{IpHeader, Malformed, Protocol, SeqNum, Sum};

// Types, RFC 792.
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// The code of "fragmentation needed and DF set" among the unreachables.
const FRAGMENTATION_NEEDED: u8 = 4;

/// Length of the part that all messages share in shape.
const HEADER: usize = 8;

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

/// A parsed ICMP message.
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
    /// Destination unreachable other than code 4.
    Unreachable {
        /// The code.
        code: u8,
        /// The segment it is about.
        quoted: Quoted,
    },
    /// Fragmentation needed (destination unreachable, code 4), RFC 1191.
    FragmentationNeeded {
        /// Next-hop MTU in bytes; 0 from routers older than RFC 1191.
        mtu: u16,
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
    /// Anything else, source quench (RFC 6633) among it: to be ignored.
    Ignored,
}

impl<'a> IcmpMessage<'a> {
    /// Parses an ICMP message and verifies its checksum. An error that does not quote TCP is `Ignored`.
    pub fn parse(message: &'a [u8]) -> Result<IcmpMessage<'a>, Malformed> {
        let Some((&[kind, code, _, _, a, b, c, d], body)) = message.split_first_chunk::<HEADER>() else {
            return Err(Malformed::Truncated);
        };
        if !Sum::default().add(message).verifies() {
            return Err(Malformed::BadChecksum);
        }
        let (upper, lower) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        if kind == ECHO_REQUEST {
            return Ok(IcmpMessage::EchoRequest {
                identifier: upper,
                sequence: lower,
                data: body,
            });
        }
        let Some(quoted) = Quoted::parse(body) else {
            return Ok(IcmpMessage::Ignored);
        };
        Ok(match (kind, code) {
            // RFC 1191 §4: the next hop's MTU stands in the lower half of what RFC 792 left unused.
            (UNREACHABLE, FRAGMENTATION_NEEDED) => IcmpMessage::FragmentationNeeded { mtu: lower, quoted },
            (UNREACHABLE, code) => IcmpMessage::Unreachable { code, quoted },
            (TIME_EXCEEDED, _) => IcmpMessage::TimeExceeded { quoted },
            (PARAMETER_PROBLEM, _) => IcmpMessage::ParameterProblem { quoted },
            _ => IcmpMessage::Ignored,
        })
    }

    /// The whole IPv4 packet of an echo reply (RFC 1122 §3.2.2.6) to the request whose header is `ip`. `data` is the
    /// request's and so fits.
    #[must_use]
    pub fn echo_reply(ip: &IpHeader, identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
        let ([i0, i1], [s0, s1]) = (identifier.to_be_bytes(), sequence.to_be_bytes());
        let mut message = [ECHO_REPLY, 0, 0, 0, i0, i1, s0, s1];
        let checksum = Sum::default().add(&message).add(data).checksum();
        patch(&mut message, 2, checksum.to_be_bytes());

        let mut headers = [0; 48];
        let mut out = Writer::new(&mut headers);
        reply_header(ip).write(HEADER + data.len(), &mut out);
        out.put(message);
        let len = out.len();
        [headers.get(..len).unwrap_or(&[]), data].concat()
    }
}

/// RFC 6864 §4.1: an identification need not be unique where nobody may fragment.
fn reply_header(request: &IpHeader) -> IpHeader {
    IpHeader {
        source: request.destination,
        destination: request.source,
        protocol: Protocol::Icmp,
        traffic_class: request.traffic_class,
        hop_limit: 64,
        identification: 0,
        dont_fragment: true,
    }
}

impl Quoted {
    /// Reads the quoted packet as far as it is promised: the IPv4 header and eight bytes more. Its lengths and
    /// checksums are those of the whole packet, as some router left them, and say nothing here.
    fn parse(quote: &[u8]) -> Option<Quoted> {
        let ip = Ipv4HeaderSlice::from_slice(quote).ok()?;
        // Only the first fragment begins with the TCP header.
        if Protocol::from_number(ip.protocol().0) != Protocol::Tcp || ip.fragments_offset().value() != 0 {
            return None;
        }
        let &[s0, s1, d0, d1, n0, n1, n2, n3] = quote.get(ip.slice().len()..)?.first_chunk()?;
        let port = |upper, lower| u16::from_be_bytes([upper, lower]);
        Some(Quoted {
            source: SocketAddr::new(IpAddr::V4(ip.source_addr()), port(s0, s1)),
            destination: SocketAddr::new(IpAddr::V4(ip.destination_addr()), port(d0, d1)),
            seq: SeqNum(u32::from_be_bytes([n0, n1, n2, n3])),
        })
    }
}

#[cfg(test)]
mod tests;
