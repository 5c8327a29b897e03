//! pcapng, as draft-ietf-opsawg-pcapng describes it: the five kinds of block that a capture of one interface needs,
//! in little-endian byte order.

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
/// LINKTYPE_RAW: packets begin with their IP header.
const LINKTYPE_RAW: u16 = 101;
/// Timestamps count 10^-9 s.
const NANOSECONDS: u8 = 9;

const OPT_END: u16 = 0;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Received.
    Inbound = 1,
    /// Sent.
    Outbound = 2,
}

/// The head of a file: one section, one interface.
pub(crate) fn head(out: &mut Vec<u8>, interface: &str, snaplen: usize) {
    block(out, SECTION_HEADER, |body| {
        body.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        body.extend([1u16, 0].map(u16::to_le_bytes).concat()); // version 1.0
        body.extend(u64::MAX.to_le_bytes()); // length of the section: not told
        option(
            body,
            SHB_USERAPPL,
            concat!("ustcp ", env!("CARGO_PKG_VERSION")).as_bytes(),
        );
        option(body, OPT_END, &[]);
    });
    block(out, INTERFACE_DESCRIPTION, |body| {
        body.extend([LINKTYPE_RAW, 0].map(u16::to_le_bytes).concat());
        body.extend((snaplen as u32).to_le_bytes());
        option(body, IF_NAME, interface.as_bytes());
        option(body, IF_TSRESOL, &[NANOSECONDS]);
        option(body, OPT_END, &[]);
    });
}

/// One packet, of which at most `snaplen` bytes are kept. `time` is nanoseconds since 1970.
pub(crate) fn packet(out: &mut Vec<u8>, time: u64, direction: Direction, packet: &[u8], snaplen: usize) {
    let kept = packet.get(..snaplen).unwrap_or(packet);
    block(out, ENHANCED_PACKET, |body| {
        body.extend(0u32.to_le_bytes()); // the first and only interface
        body.extend(timestamp(time));
        body.extend((kept.len() as u32).to_le_bytes());
        body.extend((packet.len() as u32).to_le_bytes());
        padded(body, kept);
        option(body, EPB_FLAGS, &(direction as u32).to_le_bytes());
        option(body, OPT_END, &[]);
    });
}

/// The end of a file: packets that the interface received, and that it dropped.
pub(crate) fn statistics(out: &mut Vec<u8>, time: u64, received: u64, dropped: u64) {
    block(out, INTERFACE_STATISTICS, |body| {
        body.extend(0u32.to_le_bytes());
        body.extend(timestamp(time));
        option(body, ISB_IFRECV, &received.to_le_bytes());
        option(body, ISB_IFDROP, &dropped.to_le_bytes());
        option(body, OPT_END, &[]);
    });
}

/// The upper half first, each in the file's byte order.
fn timestamp(time: u64) -> [u8; 8] {
    time.rotate_left(32).to_le_bytes()
}

/// Type, total length, body, total length again.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let total = (out.len() - start + 4) as u32;
    out.extend(total.to_le_bytes());
    if let Some(length) = out.get_mut(start + 4..start + 8) {
        length.copy_from_slice(&total.to_le_bytes());
    }
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    padded(out, value);
}

/// `bytes` and zeros up to the next multiple of four.
fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.extend(std::iter::repeat_n(0, bytes.len().wrapping_neg() % 4));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a file apart into (type, body), checking what every block must satisfy.
    fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
        let mut found = Vec::new();
        while !file.is_empty() {
            let len = word(&file[4..]) as usize;
            assert_eq!(len % 4, 0);
            assert_eq!(word(&file[len - 4..]) as usize, len, "both lengths agree");
            found.push((word(file), &file[8..len - 4]));
            file = &file[len..];
        }
        found
    }

    #[test]
    fn a_file_begins_with_its_section_and_its_interface() {
        let mut file = Vec::new();
        head(&mut file, "ustcp0", 65_535);
        let blocks = blocks(&file);
        let [(SECTION_HEADER, section), (INTERFACE_DESCRIPTION, interface)] = blocks[..] else {
            panic!("{blocks:?}");
        };
        assert_eq!(section[..8], [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0]);
        assert_eq!(interface[..8], [101, 0, 0, 0, 0xff, 0xff, 0, 0]);
        assert_eq!(interface[8..20], *b"\x02\0\x06\0ustcp0\0\0");
        assert_eq!(interface[20..], [9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_packet_has_its_time_its_two_lengths_and_its_direction() {
        let mut file = Vec::new();
        packet(&mut file, 0x0102_0304_0506_0708, Direction::Outbound, b"seven77", 5);
        let (ENHANCED_PACKET, body) = blocks(&file)[0] else {
            panic!()
        };
        assert_eq!(body[..4], [0; 4]);
        assert_eq!(body[4..12], [4, 3, 2, 1, 8, 7, 6, 5]);
        assert_eq!(body[12..20], [5, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(body[20..28], *b"seven\0\0\0");
        assert_eq!(body[28..], [2, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn statistics_end_a_file() {
        let mut file = Vec::new();
        statistics(&mut file, 0, 9, 3);
        let (INTERFACE_STATISTICS, body) = blocks(&file)[0] else {
            panic!()
        };
        assert_eq!(body[12..24], [4, 0, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(body[24..36], [5, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    }
}
