//! IPv6 packets, RFC 8200: the fixed header and the chain of extension headers behind it.

use core::net::IpAddr;

use etherparse::Ipv6HeaderSlice;

use super::{Fragment, IpHeader, IpPacket, Protocol};
use crate::Malformed;

/// Length of the header that every IPv6 packet begins with.
pub(crate) const FIXED_HEADER: usize = 40;

/// Where in it the length of all that follows stands.
pub(crate) const PAYLOAD_LENGTH_AT: usize = 4;

/// Where in it the number of the next header stands.
const NEXT_HEADER_AT: usize = 6;

/// Length of the fragment header, the only extension header of a fixed length.
pub(crate) const FRAGMENT_HEADER: usize = 8;

/// Most extension headers of one packet. RFC 8504 §5.3 lets a host set such a limit; RFC 8200 §4.1 foresees seven.
const MOST_EXTENSIONS: usize = 8;

/// Most options of one extension header, paddings among them: what RFC 8504 §5.3 lets a host limit as well, lest 2 KiB
/// of one-byte options be walked in each of eight headers.
const MOST_OPTIONS: usize = 32;

/// What an ICMPv6 parameter problem tells the sender of a packet, RFC 4443 §3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterProblem {
    /// What is wrong.
    pub code: ProblemCode,
    /// Where in the packet it stands, in bytes from its start.
    pub pointer: usize,
    /// The packet's sender wants to know even of a packet to many.
    pub even_to_multicast: bool,
}

/// The codes of a parameter problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemCode {
    /// A field with a value that cannot be.
    ErroneousField,
    /// A next header of a number that nobody here understands, or out of its place.
    UnrecognizedNextHeader,
    /// An option that is not understood and must not be passed over.
    UnrecognizedOption,
    /// A first fragment that does not hold all headers up to that of the protocol above IP, RFC 7112.
    IncompleteChain,
}

impl ProblemCode {
    /// As IANA assigns them.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            ProblemCode::ErroneousField => 0,
            ProblemCode::UnrecognizedNextHeader => 1,
            ProblemCode::UnrecognizedOption => 2,
            ProblemCode::IncompleteChain => 3,
        }
    }
}

fn problem(code: ProblemCode, pointer: usize) -> Malformed {
    Malformed::Problem(ParameterProblem {
        code,
        pointer,
        even_to_multicast: false,
    })
}

/// Parses an IPv6 packet as its destination does.
#[inline]
pub(crate) fn parse(packet: &[u8]) -> Result<IpPacket<'_>, Malformed> {
    let fixed = Ipv6HeaderSlice::from_slice(packet).map_err(|_| Malformed::Truncated)?;
    // A jumbogram (RFC 2675) says 0, which leaves its hop-by-hop header no bytes: it is Truncated, as we want it.
    let end = FIXED_HEADER + usize::from(fixed.payload_length());
    let packet = packet.get(..end).ok_or(Malformed::Truncated)?;
    let mut chain = Chain::along(packet).ok_or(Malformed::Truncated)?;
    let fragment = chain.walk_to_fragment()?;
    let payload = chain.rest();
    if let Some(fragment) = &fragment {
        check_fragment(fragment, &chain)?;
    }
    Ok(IpPacket {
        header: IpHeader {
            source: IpAddr::V6(fixed.source_addr()),
            destination: IpAddr::V6(fixed.destination_addr()),
            protocol: Protocol::in_ipv6(chain.number),
            traffic_class: fixed.traffic_class(),
            hop_limit: fixed.hop_limit(),
            identification: 0,
            dont_fragment: true,
            flow_label: fixed.flow_label().value(),
        },
        fragment,
        payload,
        header_len: chain.at,
        protocol_at: chain.named_at,
    })
}

/// The extension headers that are looked into. Authentication, encryption and "no next header" end the chain as any
/// protocol does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    HopByHop,
    Routing,
    Fragment,
    DestinationOptions,
}

impl Kind {
    #[inline]
    fn from_number(number: u8) -> Option<Kind> {
        match number {
            0 => Some(Kind::HopByHop),
            43 => Some(Kind::Routing),
            44 => Some(Kind::Fragment),
            60 => Some(Kind::DestinationOptions),
            _ => None,
        }
    }
}

/// An extension header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extension<'a> {
    pub(crate) kind: Kind,
    /// Where its number stands: in the header before it.
    pub(crate) named_at: usize,
    /// Where it begins.
    pub(crate) at: usize,
    bytes: &'a [u8],
}

/// A walk along the headers of a packet: it stands before the header that it has last heard the number of.
#[derive(Clone, Copy)]
pub(crate) struct Chain<'a> {
    packet: &'a [u8],
    /// The number of the header ahead.
    pub(crate) number: u8,
    /// Where that number stands.
    pub(crate) named_at: usize,
    /// Where the header ahead begins.
    pub(crate) at: usize,
    walked: usize,
}

impl<'a> Chain<'a> {
    /// Begins behind the fixed header.
    #[inline]
    pub(crate) fn along(packet: &'a [u8]) -> Option<Chain<'a>> {
        let number = *packet.first_chunk::<FIXED_HEADER>()?.get(NEXT_HEADER_AT)?;
        Some(Chain {
            packet,
            number,
            named_at: NEXT_HEADER_AT,
            at: FIXED_HEADER,
            walked: 0,
        })
    }

    /// All that has not been passed.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.packet.get(self.at..).unwrap_or(&[])
    }

    /// Passes one extension header; `None` where what is ahead is none.
    #[inline]
    pub(crate) fn pass(&mut self) -> Result<Option<Extension<'a>>, Malformed> {
        let Some(kind) = Kind::from_number(self.number) else {
            return Ok(None);
        };
        if self.walked == MOST_EXTENSIONS {
            return Err(Malformed::Unsupported);
        }
        let rest = self.rest();
        let &[next, units, ..] = rest else {
            return Err(Malformed::Truncated);
        };
        let len = match kind {
            Kind::Fragment => FRAGMENT_HEADER,
            // RFC 8200 §4.3: units of eight bytes, the first not counted.
            Kind::HopByHop | Kind::Routing | Kind::DestinationOptions => (usize::from(units) + 1) * 8,
        };
        let bytes = rest.get(..len).ok_or(Malformed::Truncated)?;
        let (named_at, at) = (self.named_at, self.at);
        (self.number, self.named_at, self.at) = (next, at, at + len);
        self.walked += 1;
        Ok(Some(Extension {
            kind,
            named_at,
            at,
            bytes,
        }))
    }

    /// Passes the headers that are ours to act on, up to the protocol above IP or just behind the fragment header of a
    /// true fragment: what follows that one is for when the whole is there.
    #[inline]
    fn walk_to_fragment(&mut self) -> Result<Option<Fragment>, Malformed> {
        while let Some(extension) = self.pass()? {
            extension.check()?;
            if let Some(fragment) = extension.fragment() {
                return Ok(Some(fragment));
            }
        }
        Ok(None)
    }

    /// RFC 8200 §4.5, RFC 7112 §5: a first fragment holds every header up to and with that of the protocol above IP.
    fn check_complete(mut self) -> Result<(), Malformed> {
        let incomplete = problem(ProblemCode::IncompleteChain, 0);
        loop {
            match self.pass() {
                // A fragment of a fragment.
                Ok(Some(extension)) if extension.kind == Kind::Fragment => return Err(Malformed::Unsupported),
                Ok(Some(_)) => {}
                Ok(None) if self.rest().len() >= shortest_header(self.number) => return Ok(()),
                Ok(None) | Err(Malformed::Truncated) => return Err(incomplete),
                Err(malformed) => return Err(malformed),
            }
        }
    }
}

/// The least that the header of a protocol above IP takes.
fn shortest_header(number: u8) -> usize {
    const UDP: u8 = 17;
    match Protocol::in_ipv6(number) {
        Protocol::Tcp => 20,
        Protocol::Icmpv6 | Protocol::Other(UDP) => 8,
        Protocol::Icmp | Protocol::Other(_) => 0,
    }
}

impl Extension<'_> {
    /// Whether a destination may go on behind this header.
    #[inline]
    fn check(&self) -> Result<(), Malformed> {
        match self.kind {
            // RFC 8200 §4.1: nowhere but right behind the fixed header.
            Kind::HopByHop if self.at != FIXED_HEADER => {
                Err(problem(ProblemCode::UnrecognizedNextHeader, self.named_at))
            }
            Kind::HopByHop | Kind::DestinationOptions => self.check_options(),
            Kind::Routing => self.check_routing(),
            Kind::Fragment => Ok(()),
        }
    }

    /// RFC 8200 §4.4, and RFC 5095 §3 for type 0: no type is understood, so a route that is not at its end is refused
    /// and one at its end says nothing.
    fn check_routing(&self) -> Result<(), Malformed> {
        match self.bytes {
            [_, _, _, 0, ..] => Ok(()),
            _ => Err(problem(ProblemCode::ErroneousField, self.at + 2)),
        }
    }

    /// RFC 8200 §4.2. Padding is all we know; the upper two bits of any other type say what to do about it.
    fn check_options(&self) -> Result<(), Malformed> {
        let mut at = 2;
        for _ in 0..=MOST_OPTIONS {
            let Some(&kind) = self.bytes.get(at) else {
                // The last option ends where its header does.
                let fits = at == self.bytes.len();
                return if fits { Ok(()) } else { Err(Malformed::BadLength) };
            };
            let len = match (kind, self.bytes.get(at + 1)) {
                (0, _) => 1, // Pad1
                (_, Some(&len)) => 2 + usize::from(len),
                (_, None) => return Err(Malformed::BadLength),
            };
            check_option(kind, self.at + at)?;
            at += len;
        }
        Err(Malformed::Unsupported)
    }

    /// What a fragment header says. RFC 6946: one that is first and last at once is no fragment.
    #[inline]
    pub(crate) fn fragment(&self) -> Option<Fragment> {
        let (Kind::Fragment, &[_, _, o0, o1, i0, i1, i2, i3]) = (self.kind, self.bytes) else {
            return None;
        };
        // RFC 8200 §4.5: thirteen bits of offset in units of eight bytes, two reserved, one flag.
        let field = u16::from_be_bytes([o0, o1]);
        let fragment = Fragment {
            offset: usize::from(field & 0xfff8),
            more: field & 1 != 0,
            identification: u32::from_be_bytes([i0, i1, i2, i3]),
        };
        (fragment.more || fragment.offset != 0).then_some(fragment)
    }
}

fn check_option(kind: u8, pointer: usize) -> Result<(), Malformed> {
    let code = ProblemCode::UnrecognizedOption;
    match kind >> 6 {
        0b00 => Ok(()),
        0b01 => Err(Malformed::Unsupported),
        action => Err(Malformed::Problem(ParameterProblem {
            code,
            pointer,
            even_to_multicast: action == 0b10,
        })),
    }
}

/// RFC 8200 §4.5, its list of errors. `chain` stands behind the fragment header.
fn check_fragment(fragment: &Fragment, chain: &Chain<'_>) -> Result<(), Malformed> {
    let len = chain.rest().len();
    if fragment.more && !len.is_multiple_of(8) {
        return Err(problem(ProblemCode::ErroneousField, PAYLOAD_LENGTH_AT));
    }
    let fragment_header = chain.at - FRAGMENT_HEADER;
    if fragment_header - FIXED_HEADER + fragment.offset + len > usize::from(u16::MAX) {
        return Err(problem(ProblemCode::ErroneousField, fragment_header + 2));
    }
    match fragment.offset {
        0 => chain.check_complete(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
