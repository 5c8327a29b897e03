//! Super-segments in software: what a NIC does under TSO, for links, captures and devices without it.

use core::net::IpAddr;

use crate::ip::ipv6::{FIXED_HEADER, PAYLOAD_LENGTH_AT};
use crate::tcp::{CHECKSUM_AT, control_bits, open_tcp, tcp_sum};
use crate::writer::patch;
use crate::{Flags, IpHeader, IpPacket, Protocol, Sum};

/// Completes in place the TCP checksum of a packet whose field holds only the pseudo-header's sum. A checksum that is
/// complete stays what it is. Bytes that are not a whole TCP/IP packet are left alone.
pub fn complete_checksum(packet: &mut [u8]) {
    let Some(whole) = Whole::open(packet) else { return };
    let (at, checksum) = (whole.ip.len() + CHECKSUM_AT, whole.checksum());
    patch(packet, at, checksum.to_be_bytes());
}

/// Splits a TCP/IP packet into packets of at most `segment_size` bytes of text each, with complete checksums,
/// advancing sequence numbers, FIN and PSH on the last only and CWR on the first only (RFC 3168). A packet that needs
/// no split, or is not TCP, comes out as it is.
pub fn segments(packet: &[u8], segment_size: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let large = Whole::open(packet).filter(|whole| segment_size > 0 && whole.text.len() > segment_size);
    let unsplit = large.is_none().then(|| packet.to_vec());
    large
        .into_iter()
        .flat_map(move |whole| whole.pieces(segment_size))
        .chain(unsplit)
}

/// A TCP/IP packet that is not a fragment, in its three parts.
#[derive(Clone, Copy)]
struct Whole<'a> {
    header: IpHeader,
    ip: &'a [u8],
    tcp: &'a [u8],
    text: &'a [u8],
}

impl<'a> Whole<'a> {
    fn open(packet: &'a [u8]) -> Option<Whole<'a>> {
        let IpPacket {
            header,
            fragment,
            payload,
            header_len,
            ..
        } = IpPacket::parse(packet).ok()?;
        if header.protocol != Protocol::Tcp || fragment.is_some() {
            return None;
        }
        let (tcp, text) = payload.split_at_checked(open_tcp(payload).ok()?.slice().len())?;
        let ip = packet.get(..header_len)?;
        Some(Whole { header, ip, tcp, text })
    }

    /// The checksum that belongs into the TCP header, whatever stands there now.
    fn checksum(&self) -> u16 {
        let before = self.tcp.get(..CHECKSUM_AT).unwrap_or(&[]);
        let after = self.tcp.get(CHECKSUM_AT + 2..).unwrap_or(&[]);
        tcp_sum(&self.header, self.tcp.len() + self.text.len())
            .add(before)
            .add(after)
            .add(self.text)
            .checksum()
    }

    fn pieces(self, size: usize) -> impl Iterator<Item = Vec<u8>> + 'a {
        self.text
            .chunks(size)
            .enumerate()
            .map(move |(index, text)| self.piece(index, index * size, text))
    }

    /// The packet that carries `text`, the `index`th from the start, which begins at `offset` of the whole text.
    fn piece(&self, index: usize, offset: usize, text: &[u8]) -> Vec<u8> {
        let mut packet = [self.ip, self.tcp, text].concat();
        let total_len = packet.len();
        let (ip, tcp) = packet.split_at_mut(self.ip.len());
        match self.header.destination {
            IpAddr::V4(_) => self.advance_ipv4(ip, index, total_len as u16),
            IpAddr::V6(_) => patch(ip, PAYLOAD_LENGTH_AT, ((total_len - FIXED_HEADER) as u16).to_be_bytes()),
        }
        self.advance_tcp(tcp, offset, offset + text.len() == self.text.len());
        complete_checksum(&mut packet);
        packet
    }

    /// Makes `ip`, a copy of the header, that of the `index`th piece.
    fn advance_ipv4(&self, ip: &mut [u8], index: usize, total_len: u16) {
        patch(ip, 2, total_len.to_be_bytes());
        // RFC 6864 §4: an identification means something only where the packet may be fragmented.
        if !self.header.dont_fragment {
            let identification = self.header.identification.wrapping_add(index as u16);
            patch(ip, 4, identification.to_be_bytes());
        }
        patch(ip, 10, [0, 0]);
        let checksum = Sum::default().add(ip).checksum();
        patch(ip, 10, checksum.to_be_bytes());
    }

    /// Makes `tcp`, a copy of the header, that of the piece at `offset`, all but its checksum.
    fn advance_tcp(&self, tcp: &mut [u8], offset: usize, last: bool) {
        let Ok(whole) = open_tcp(self.tcp) else { return };
        let seq = whole.sequence_number().wrapping_add(offset as u32);
        // RFC 9293 §3.8.5: the urgent pointer counts from the segment's own sequence number.
        let urgent = usize::from(whole.urgent_pointer()).saturating_sub(offset) as u16;
        let mut flags = control_bits(&whole);
        if !last {
            flags = flags.without(Flags::FIN | Flags::PSH);
        }
        if offset > 0 {
            flags = flags.without(Flags::CWR);
        }
        if offset > 0 && urgent == 0 {
            flags = flags.without(Flags::URG);
        }
        patch(tcp, 4, seq.to_be_bytes());
        patch(tcp, 13, [flags.0]);
        patch(tcp, 18, urgent.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
