//! TCP headers, RFC 9293 §3.1.

use core::fmt;
use core::ops::{BitOr, BitOrAssign};

use crate::{IpHeader, Malformed, SeqNum, TcpOptions};

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
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
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
}

impl<'a> TcpSegment<'a> {
    /// Parses the payload of `ip` as TCP; verifies the checksum unless `checksum` is offloaded.
    pub fn parse(ip: &IpHeader, bytes: &'a [u8], checksum: Checksum) -> Result<TcpSegment<'a>, Malformed> {
        let _ = (ip, bytes, checksum);
        todo!()
    }
}

/// The IP and TCP headers of one packet, ready to stand before its text.
#[derive(Clone, Copy)]
pub struct Headers {
    bytes: [u8; 100],
    len: usize,
    ip_len: usize,
}

impl Headers {
    /// Writes both headers for a segment that carries `text` (in two parts, as a ring hands it out).
    #[must_use]
    pub fn new(ip: &IpHeader, tcp: &TcpHeader, text: [&[u8]; 2], checksum: Checksum) -> Headers {
        let _ = (ip, tcp, text, checksum);
        todo!()
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
