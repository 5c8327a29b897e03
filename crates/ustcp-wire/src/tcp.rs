//! TCP headers, RFC 9293 §3.1.

use core::fmt;
use core::ops::{BitOr, BitOrAssign};

use etherparse::TcpHeaderSlice;
use etherparse::err::tcp::HeaderSliceError;

use crate::writer::{Writer, patch};
use crate::{Ecn, IpHeader, Malformed, Protocol, SeqNum, Sum, TcpOptions, pseudo_header_sum};

/// Length of a TCP header without options.
const FIXED_HEADER: usize = 20;

/// Where in the TCP header its checksum stands.
pub(crate) const CHECKSUM_AT: usize = 16;

/// The control bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// None.
    pub const NONE: Flags = Flags(0);
    /// FIN.
    pub const FIN: Flags = Flags(0x01);
    /// SYN.
    pub const SYN: Flags = Flags(0x02);
    /// RST.
    pub const RST: Flags = Flags(0x04);
    /// PSH.
    pub const PSH: Flags = Flags(0x08);
    /// ACK.
    pub const ACK: Flags = Flags(0x10);
    /// URG.
    pub const URG: Flags = Flags(0x20);
    /// ECE.
    pub const ECE: Flags = Flags(0x40);
    /// CWR.
    pub const CWR: Flags = Flags(0x80);

    /// Whether every bit of `other` is set.
    #[must_use]
    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These, the bits of `other` cleared.
    #[must_use]
    pub fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, rhs: Flags) -> Flags {
        Flags(self.0 | rhs.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, rhs: Flags) {
        self.0 |= rhs.0;
    }
}

/// As RFC texts and captures write them: `SYN,ACK`; `none` for no bit.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let mut separator = "";
        for (bit, name) in NAMES.iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        if separator.is_empty() {
            f.write_str("none")
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who vouches for the bytes of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Software: sum it all when sending, verify it when receiving.
    Full,
    /// The device: leave the pseudo-header's sum in the field when sending, believe it when receiving.
    Offloaded,
}

/// A TCP header as values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpHeader {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: SeqNum,
    /// Acknowledgement number; meaningful with ACK.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: Flags,
    /// The window field as on the wire, not scaled.
    pub window: u16,
    /// Urgent pointer; meaningful with URG.
    pub urgent: u16,
    /// Options.
    pub options: TcpOptions,
}

/// A parsed TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSegment<'a> {
    /// The header.
    pub header: TcpHeader,
    /// The text.
    pub payload: &'a [u8],
    /// The ECN field of the packet it came in.
    pub ecn: Ecn,
}

impl<'a> TcpSegment<'a> {
    /// Parses the payload of `ip` as TCP; verifies the checksum unless `checksum` is offloaded.
    #[inline]
    pub fn parse(ip: &IpHeader, bytes: &'a [u8], checksum: Checksum) -> Result<TcpSegment<'a>, Malformed> {
        let header = open_tcp(bytes)?;
        // RFC 9293 MUST-3: the receiver checks it.
        if checksum == Checksum::Full && !tcp_sum(ip, bytes.len()).add(bytes).verifies() {
            return Err(Malformed::BadChecksum);
        }
        Ok(TcpSegment {
            header: TcpHeader {
                source_port: header.source_port(),
                destination_port: header.destination_port(),
                seq: SeqNum(header.sequence_number()),
                ack: SeqNum(header.acknowledgment_number()),
                flags: control_bits(&header),
                window: header.window_size(),
                urgent: header.urgent_pointer(),
                options: TcpOptions::parse(header.options()),
            },
            payload: bytes.get(header.slice().len()..).unwrap_or(&[]),
            ecn: Ecn::of(ip.traffic_class),
        })
    }
}

/// The header, when the data offset keeps within `bytes`.
#[inline]
pub(crate) fn open_tcp(bytes: &[u8]) -> Result<TcpHeaderSlice<'_>, Malformed> {
    TcpHeaderSlice::from_slice(bytes).map_err(|error| match error {
        HeaderSliceError::Len(_) => Malformed::Truncated,
        HeaderSliceError::Content(_) => Malformed::BadLength,
    })
}

/// All eight control bits; the reserved bits before them say nothing (RFC 9293 §3.1).
#[inline]
pub(crate) fn control_bits(header: &TcpHeaderSlice<'_>) -> Flags {
    header.slice().get(13).copied().map_or(Flags::NONE, Flags)
}

/// The pseudo-header's part in the checksum of a segment of `len` bytes, its header among them.
#[inline]
pub(crate) fn tcp_sum(ip: &IpHeader, len: usize) -> Sum {
    pseudo_header_sum(ip.source, ip.destination, Protocol::Tcp, len)
}

impl TcpHeader {
    /// The header up to its options, the checksum zero.
    #[inline]
    fn fixed(&self, header_len: usize) -> [u8; FIXED_HEADER] {
        let ([s0, s1], [d0, d1]) = (self.source_port.to_be_bytes(), self.destination_port.to_be_bytes());
        let ([n0, n1, n2, n3], [a0, a1, a2, a3]) = (self.seq.0.to_be_bytes(), self.ack.0.to_be_bytes());
        let ([w0, w1], [u0, u1]) = (self.window.to_be_bytes(), self.urgent.to_be_bytes());
        let (offset, flags) = ((header_len << 2) as u8, self.flags.0);
        [
            s0, s1, d0, d1, n0, n1, n2, n3, a0, a1, a2, a3, offset, flags, w0, w1, 0, 0, u0, u1,
        ]
    }
}

/// The IP and TCP headers of one packet, ready to stand before its text.
#[derive(Clone, Copy)]
pub struct Headers {
    bytes: [u8; 100],
    len: usize,
    ip_len: usize,
}

/// None at all.
impl Default for Headers {
    fn default() -> Headers {
        Headers {
            bytes: [0; 100],
            len: 0,
            ip_len: 0,
        }
    }
}

impl Headers {
    /// Writes both headers for a segment that carries `text` (in two parts, as a ring hands it out).
    #[must_use]
    pub fn new(ip: &IpHeader, tcp: &TcpHeader, text: [&[u8]; 2], checksum: Checksum) -> Headers {
        let mut options = [0; 40];
        let header_len = FIXED_HEADER + tcp.options.emit(&mut options);
        let segment_len = header_len + text.iter().map(|part| part.len()).sum::<usize>();
        let mut bytes = [0; 100];
        let mut out = Writer::new(&mut bytes);
        ip.write(segment_len, &mut out);
        let ip_len = out.len();
        out.put(tcp.fixed(header_len));
        out.put(options);
        let mut headers = Headers {
            bytes,
            len: ip_len + header_len,
            ip_len,
        };
        let sum = tcp_sum(ip, segment_len);
        let field = match checksum {
            Checksum::Full => {
                let [first, second] = text;
                sum.add(headers.bytes().get(ip_len..).unwrap_or(&[]))
                    .add(first)
                    .add(second)
                    .checksum()
            }
            Checksum::Offloaded => sum.folded(),
        };
        patch(&mut headers.bytes, ip_len + CHECKSUM_AT, field.to_be_bytes());
        headers
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Length of the IP header: where the TCP header begins.
    #[must_use]
    pub fn ip_len(&self) -> usize {
        self.ip_len
    }
}

#[cfg(test)]
mod tests;
