//! The ICMP errors that this stack sends.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{HEADER, answer_header, packet, v4, v6};
use crate::ip::ipv6::{FIXED_HEADER, PAYLOAD_LENGTH_AT};
use crate::ip::outline::Outline;
use crate::{IpHeader, ParameterProblem, ProblemCode, Protocol};

/// Longest error for IPv4, RFC 1812 §4.3.2.3: what any host takes.
const LONGEST_V4: usize = 576;

/// Longest error for IPv6, RFC 4443 §2.4 (c): its least MTU.
const LONGEST_V6: usize = 1280;

/// The next header that says that there is none, RFC 8200 §4.7.
const NO_NEXT_HEADER: u8 = 59;

/// What a packet's sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// Nobody listens on the packet's port. For UDP: TCP answers with a segment of its own.
    PortUnreachable,
    /// Nobody here speaks the packet's protocol: a destination unreachable in IPv4, in IPv6 a parameter problem that
    /// points at the next header.
    ProtocolUnreachable,
    /// The time for reassembly passed; it goes to the sender of the first fragment.
    ReassemblyTimeout,
    /// A header of an IPv6 packet was refused, see [`Malformed::Problem`](crate::Malformed::Problem).
    ParameterProblem(ParameterProblem),
}

impl IcmpError {
    /// The whole ICMP packet that says so to the sender of `offending`, quoting as much of it as there is room for:
    /// 576 bytes in all in IPv4, 1280 in IPv6. `None` where nothing must be said ([`may_answer`](IcmpError::may_answer)).
    #[must_use]
    pub fn packet(self, offending: &[u8]) -> Option<Vec<u8>> {
        let outline = Outline::of(offending)?;
        if !self.may_go_to(&outline) {
            return None;
        }
        let message = self.message(&outline)?;
        let header = header(&outline);
        let room = match header.destination {
            IpAddr::V4(_) => LONGEST_V4 - 20 - HEADER,
            IpAddr::V6(_) => LONGEST_V6 - FIXED_HEADER - HEADER,
        };
        let whole = trimmed(offending);
        Some(packet(&header, message, whole.get(..room).unwrap_or(whole)))
    }

    /// Whether this may be sent about `offending`. RFC 1122 §3.2.2 and RFC 4443 §2.4 (e): not about an ICMP error or
    /// redirect, not about a packet to a multicast or broadcast address (but for the one problem that is for everybody),
    /// nor from a source that is no single host, nor about a fragment other than the first. The broadcast addresses of
    /// the networks that one is on are for the caller to know.
    #[must_use]
    pub fn may_answer(self, offending: &[u8]) -> bool {
        Outline::of(offending).is_some_and(|outline| self.may_go_to(&outline) && self.message(&outline).is_some())
    }

    fn may_go_to(self, offending: &Outline<'_>) -> bool {
        let for_everybody = matches!(self, IcmpError::ParameterProblem(problem) if problem.even_to_multicast);
        offending.is_start
            && is_one_host(offending.source)
            && (for_everybody || !is_many_hosts(offending.destination))
            && !is_icmp_error(offending)
    }

    /// Type, code and what the second word says.
    fn message(self, offending: &Outline<'_>) -> Option<[u8; HEADER]> {
        let (kind, code, value) = match offending.destination {
            IpAddr::V4(_) => self.for_ipv4()?,
            IpAddr::V6(_) => self.for_ipv6(offending)?,
        };
        let [a, b, c, d] = value.to_be_bytes();
        Some([kind, code, 0, 0, a, b, c, d])
    }

    /// RFC 792.
    fn for_ipv4(self) -> Option<(u8, u8, u32)> {
        match self {
            IcmpError::PortUnreachable => Some((v4::UNREACHABLE, 3, 0)),
            IcmpError::ProtocolUnreachable => Some((v4::UNREACHABLE, 2, 0)),
            IcmpError::ReassemblyTimeout => Some((v4::TIME_EXCEEDED, 1, 0)),
            IcmpError::ParameterProblem(_) => None,
        }
    }

    /// RFC 4443 §3.
    fn for_ipv6(self, offending: &Outline<'_>) -> Option<(u8, u8, u32)> {
        let problem = |code: ProblemCode, pointer| {
            let pointer = u32::try_from(pointer).ok()?;
            Some((v6::PARAMETER_PROBLEM, code.number(), pointer))
        };
        match self {
            IcmpError::PortUnreachable => Some((v6::UNREACHABLE, 4, 0)),
            IcmpError::ProtocolUnreachable if offending.protocol.number() == NO_NEXT_HEADER => None,
            IcmpError::ProtocolUnreachable => problem(ProblemCode::UnrecognizedNextHeader, offending.protocol_at),
            IcmpError::ReassemblyTimeout => Some((v6::TIME_EXCEEDED, 1, 0)),
            IcmpError::ParameterProblem(ParameterProblem { code, pointer, .. }) => problem(code, pointer),
        }
    }
}

fn header(offending: &Outline<'_>) -> IpHeader {
    answer_header(&IpHeader {
        source: offending.source,
        destination: offending.destination,
        protocol: offending.protocol,
        // RFC 1812 §4.3.2.5: precedence 6, "internetwork control", as Linux sends it; IPv6 knows nothing of the kind.
        traffic_class: if offending.destination.is_ipv4() { 0xc0 } else { 0 },
        hop_limit: 0,
        identification: 0,
        dont_fragment: true,
        flow_label: 0,
    })
}

/// The packet without the bytes beyond its own length.
fn trimmed(packet: &[u8]) -> &[u8] {
    let field = |at: usize| {
        let bytes = packet.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |&bytes| usize::from(u16::from_be_bytes(bytes)))
    };
    let len = match packet.first() {
        Some(0x60..=0x6f) => FIXED_HEADER + field(PAYLOAD_LENGTH_AT),
        _ => field(2),
    };
    packet.get(..len).unwrap_or(packet)
}

/// RFC 1122 §3.2.2: not "zero, a loopback address, a broadcast address, a multicast address, or a Class E address";
/// RFC 4443 §2.4 (e.6): neither unspecified nor multicast.
fn is_one_host(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(source) => {
            let [first, ..] = source.octets();
            !matches!(first, 0 | 127 | 224..)
        }
        IpAddr::V6(source) => source != Ipv6Addr::UNSPECIFIED && !source.is_multicast(),
    }
}

fn is_many_hosts(destination: IpAddr) -> bool {
    destination.is_multicast() || destination == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Whether the packet is an ICMP error or redirect, or may be one: its type did not come along.
fn is_icmp_error(packet: &Outline<'_>) -> bool {
    let kind = packet.rest.first();
    match packet.protocol {
        Protocol::Icmp => kind.is_none_or(|kind| {
            matches!(
                *kind,
                v4::UNREACHABLE | v4::SOURCE_QUENCH | v4::REDIRECT | v4::TIME_EXCEEDED | v4::PARAMETER_PROBLEM
            )
        }),
        Protocol::Icmpv6 => kind.is_none_or(|&kind| kind < v6::INFORMATIONAL || kind == v6::REDIRECT),
        Protocol::Tcp | Protocol::Other(_) => false,
    }
}

#[cfg(test)]
mod tests;
