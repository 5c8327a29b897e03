//! The header that IFF_VNET_HDR puts before each packet: struct virtio_net_hdr of linux/virtio_net.h, ten bytes in
//! the host's byte order.

use ustcp_proto::{Checksum, Transmit};

/// Its length.
pub(super) const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_UDP: u8 = 3;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Where the checksum stands in a TCP header.
const TCP_CHECKSUM: u16 = 16;
/// Where the control bits stand in a TCP header, and the bit of CWR among them.
const TCP_FLAGS: usize = 13;
const CWR: u8 = 0x80;

/// The header as values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct VnetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

/// What the header of a received packet says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) checksum: Checksum,
    pub(super) segment_size: Option<u16>,
}

impl VnetHeader {
    /// The header that stands before `packet`.
    pub(super) fn of(packet: &Transmit<'_>) -> VnetHeader {
        let header = match packet.checksum {
            Checksum::Full => VnetHeader::default(),
            Checksum::Offloaded => VnetHeader {
                flags: NEEDS_CSUM,
                csum_start: packet.headers.ip_len() as u16,
                csum_offset: TCP_CHECKSUM,
                ..VnetHeader::default()
            },
        };
        match packet.segment_size {
            None => header,
            Some(gso_size) => VnetHeader {
                gso_type: gso_type(packet),
                hdr_len: packet.headers.bytes().len() as u16,
                gso_size,
                ..header
            },
        }
    }

    pub(super) fn parse(bytes: [u8; LEN]) -> VnetHeader {
        let [flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1] = bytes;
        VnetHeader {
            flags,
            gso_type,
            hdr_len: u16::from_ne_bytes([h0, h1]),
            gso_size: u16::from_ne_bytes([g0, g1]),
            csum_start: u16::from_ne_bytes([s0, s1]),
            csum_offset: u16::from_ne_bytes([o0, o1]),
        }
    }

    pub(super) fn emit(self) -> [u8; LEN] {
        let [h0, h1] = self.hdr_len.to_ne_bytes();
        let [g0, g1] = self.gso_size.to_ne_bytes();
        let [s0, s1] = self.csum_start.to_ne_bytes();
        let [o0, o1] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, h0, h1, g0, g1, s0, s1, o0, o1]
    }

    /// What it promises of a received packet of `len` bytes; `None` for a header that cannot be.
    pub(super) fn promise(self, len: usize) -> Option<Promise> {
        Some(Promise {
            checksum: self.checksum(len)?,
            segment_size: self.segment_size(len)?,
        })
    }

    fn checksum(self, len: usize) -> Option<Checksum> {
        if self.flags & NEEDS_CSUM != 0 {
            let end = usize::from(self.csum_start) + usize::from(self.csum_offset) + 2;
            return (end <= len).then_some(Checksum::Offloaded);
        }
        // Without either flag the kernel promises nothing: forwarded packets come so, unverified.
        Some(match self.flags & DATA_VALID {
            0 => Checksum::Full,
            _ => Checksum::Offloaded,
        })
    }

    fn segment_size(self, len: usize) -> Option<Option<u16>> {
        match self.gso_type & !GSO_ECN {
            GSO_NONE => Some(None),
            GSO_TCPV4 | GSO_TCPV6 | GSO_UDP | GSO_UDP_L4 => {
                let sane = self.gso_size > 0 && usize::from(self.hdr_len) <= len;
                sane.then_some(Some(self.gso_size))
            }
            _ => None,
        }
    }
}

fn gso_type(packet: &Transmit<'_>) -> u8 {
    let headers = packet.headers.bytes();
    let family = match headers.first() {
        Some(first) if first >> 4 == 6 => GSO_TCPV6,
        _ => GSO_TCPV4,
    };
    // RFC 3168 §6.1.2: CWR belongs to the first segment only, and who splits must be told so.
    match headers.get(packet.headers.ip_len() + TCP_FLAGS) {
        Some(flags) if flags & CWR != 0 => family | GSO_ECN,
        _ => family,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPER_SEGMENT: VnetHeader = VnetHeader {
        flags: NEEDS_CSUM,
        gso_type: GSO_TCPV4,
        hdr_len: 52,
        gso_size: 1448,
        csum_start: 20,
        csum_offset: 16,
    };

    fn promise(checksum: Checksum, segment_size: Option<u16>) -> Option<Promise> {
        Some(Promise { checksum, segment_size })
    }

    #[test]
    fn the_bytes_are_linuxs_layout() {
        let bytes = SUPER_SEGMENT.emit();
        let words: Vec<u16> = bytes[2..].chunks(2).map(|w| u16::from_ne_bytes([w[0], w[1]])).collect();
        assert_eq!(bytes[..2], [1, 1]);
        assert_eq!(words, [52, 1448, 20, 16]);
        assert_eq!(VnetHeader::parse(bytes), SUPER_SEGMENT);
    }

    #[test]
    fn a_checksum_is_believed_only_under_a_flag_that_says_so() {
        let with = |flags| VnetHeader {
            flags,
            ..VnetHeader::default()
        };
        assert_eq!(with(0).promise(100), promise(Checksum::Full, None));
        assert_eq!(with(DATA_VALID).promise(100), promise(Checksum::Offloaded, None));
        assert_eq!(with(NEEDS_CSUM).promise(100), promise(Checksum::Offloaded, None));
        assert_eq!(
            with(4).promise(100),
            promise(Checksum::Full, None),
            "an unknown flag vouches for nothing"
        );
    }

    /// ATTACK-62: sizes and places that do not fit the packet.
    #[test]
    fn a_header_that_cannot_be_promises_nothing() {
        let table = [
            (
                "no segment size",
                VnetHeader {
                    gso_size: 0,
                    ..SUPER_SEGMENT
                },
                3000,
            ),
            (
                "headers longer than the packet",
                VnetHeader {
                    hdr_len: 3001,
                    ..SUPER_SEGMENT
                },
                3000,
            ),
            (
                "checksum past the end",
                VnetHeader {
                    csum_start: 2983,
                    ..SUPER_SEGMENT
                },
                3000,
            ),
            (
                "checksum offset past the end",
                VnetHeader {
                    csum_offset: u16::MAX,
                    ..SUPER_SEGMENT
                },
                3000,
            ),
            (
                "unknown kind of super-segment",
                VnetHeader {
                    gso_type: 2,
                    ..SUPER_SEGMENT
                },
                3000,
            ),
            (
                "unknown kind with ECN",
                VnetHeader {
                    gso_type: GSO_ECN | 0x7f,
                    ..SUPER_SEGMENT
                },
                3000,
            ),
            ("an empty packet", SUPER_SEGMENT, 0),
        ];
        for (what, header, len) in table {
            assert_eq!(header.promise(len), None, "{what}");
        }
        let edge = VnetHeader {
            csum_start: 2982,
            ..SUPER_SEGMENT
        };
        assert_eq!(edge.promise(3000), promise(Checksum::Offloaded, Some(1448)));
    }

    /// ATTACK-62: whatever the bytes.
    #[test]
    fn every_header_is_answered_without_a_panic() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let bytes = [first, second, 255, 255, 255, 255, 255, 255, 255, 255];
                let header = VnetHeader::parse(bytes);
                assert_eq!(header.emit(), bytes);
                if header.flags & NEEDS_CSUM != 0 {
                    assert_eq!(header.promise(65_535), None);
                }
            }
        }
    }
}
