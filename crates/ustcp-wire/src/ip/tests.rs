use etherparse::Ipv4Header;
use proptest::prelude::*;

use super::*;
use crate::testing::{IP, any_bytes, any_ipv4, ip_packet, repair_ip_checksum};

#[test]
fn the_bytes_of_a_header() {
    let header = IpHeader {
        traffic_class: 0x02,
        identification: 0x1234,
        ..IP
    };
    let packet = ip_packet(&header, b"abc");
    let expected = [
        0x45, 2, 0, 23, 0x12, 0x34, 0x40, 0, 64, 6, 0x14, 0x0f, 10, 77, 0, 2, 10, 77, 0, 1, b'a', b'b', b'c',
    ];
    assert_eq!(packet, expected);
}

/// What is read of a packet without options.
fn unfragmented(header: IpHeader, payload: &[u8]) -> IpPacket<'_> {
    IpPacket {
        header,
        fragment: None,
        payload,
        header_len: 20,
        protocol_at: 9,
    }
}

#[test]
fn what_is_not_a_packet_and_why() {
    type Tamper = fn(&mut Vec<u8>);
    let cases: [(&str, Tamper, Malformed); 10] = [
        ("no bytes", |p| p.clear(), Malformed::Truncated),
        ("a header cut short", |p| p.truncate(19), Malformed::Truncated),
        ("payload cut short", |p| p.truncate(27), Malformed::Truncated),
        ("version 6, too short for it", |p| p[0] = 0x65, Malformed::Truncated),
        ("version 0", |p| p[0] = 0x05, Malformed::Unsupported),
        ("header of 16 bytes", |p| p[0] = 0x44, Malformed::BadLength),
        ("header longer than the bytes", |p| p[0] = 0x4f, Malformed::Truncated),
        (
            "header longer than the total",
            |p| (p[0], p[3]) = (0x46, 23),
            Malformed::BadLength,
        ),
        ("total length 0", |p| p[3] = 0, Malformed::BadLength),
        ("checksum off by one", |p| p[11] ^= 1, Malformed::BadChecksum),
    ];
    for (name, tamper, malformed) in cases {
        let mut packet = ip_packet(&IP, &[0; 8]);
        tamper(&mut packet);
        assert_eq!(IpPacket::parse(&packet), Err(malformed), "{name}");
    }
}

#[test]
fn bytes_beyond_the_total_length_are_trimmed() {
    let packet = [ip_packet(&IP, b"text"), vec![0xee; 6]].concat();
    assert_eq!(IpPacket::parse(&packet).unwrap().payload, b"text");
}

#[test]
fn the_largest_total_length_is_a_packet() {
    let packet = ip_packet(&IP, &vec![7; 65_515]);
    assert_eq!(IpPacket::parse(&packet).unwrap().payload.len(), 65_515);
}

#[test]
fn options_are_skipped_whatever_they_are() {
    for words in 1..=10u8 {
        let mut packet = ip_packet(&IP, b"text");
        packet[0] = 0x45 + words;
        packet.splice(
            20..20,
            core::iter::repeat_n([0xde, 0, 0xad, 0xff], words.into()).flatten(),
        );
        packet[3] = packet.len() as u8;
        repair_ip_checksum(&mut packet);
        let header_len = 20 + usize::from(words) * 4;
        assert_eq!(
            IpPacket::parse(&packet),
            Ok(IpPacket {
                header_len,
                ..unfragmented(IP, b"text")
            })
        );
    }
}

#[test]
fn fragments_know_their_place_in_bytes() {
    for (field, expected) in [
        (0x0000u16, None),
        (0x4000, None),
        (0x8000, None), // RFC 791's reserved bit says nothing
        (0x2000, Some((0, true))),
        (0x2001, Some((8, true))),
        (0x00b9, Some((1480, false))),
        (0x1fff, Some((65_528, false))),
    ] {
        let identification = 0xbeef;
        let mut packet = ip_packet(&IpHeader { identification, ..IP }, b"text");
        patch_fragment(&mut packet, field);
        let expected = expected.map(|(offset, more)| Fragment {
            offset,
            more,
            identification: identification.into(),
        });
        assert_eq!(IpPacket::parse(&packet).unwrap().fragment, expected, "{field:#06x}");
    }
}

fn patch_fragment(packet: &mut [u8], field: u16) {
    [packet[6], packet[7]] = field.to_be_bytes();
    repair_ip_checksum(packet);
}

#[test]
fn protocols_keep_their_numbers() {
    for number in 0..=255 {
        assert_eq!(Protocol::from_number(number).number(), number);
    }
    assert_eq!(
        [1, 6, 58].map(Protocol::from_number),
        [Protocol::Icmp, Protocol::Tcp, Protocol::Icmpv6]
    );
}

#[test]
fn the_other_familys_icmp_is_no_icmp() {
    let header = IpHeader {
        protocol: Protocol::Icmpv6,
        ..IP
    };
    let packet = ip_packet(&header, &[0; 8]);
    assert_eq!(IpPacket::parse(&packet).unwrap().header.protocol, Protocol::Other(58));
}

#[test]
fn a_payload_too_long_for_the_field_is_written_as_the_longest() {
    let packet = ip_packet(&IP, &vec![0; 70_000]);
    assert_eq!(packet[2..4], [0xff, 0xff]);
}

proptest! {
    #[test]
    fn what_was_written_is_what_is_read(header in any_ipv4(), protocol: u8, payload in any_bytes(64)) {
        let header = IpHeader { protocol: Protocol::in_ipv4(protocol), ..header };
        let packet = ip_packet(&header, &payload);
        prop_assert_eq!(IpPacket::parse(&packet), Ok(unfragmented(header, &payload)));

        let (oracle, rest) = Ipv4Header::from_slice(&packet).unwrap();
        prop_assert_eq!(oracle.header_checksum, oracle.calc_header_checksum());
        prop_assert_eq!(usize::from(oracle.payload_len().unwrap()), payload.len());
        prop_assert_eq!((oracle.source.into(), oracle.destination.into()), (header.source, header.destination));
        prop_assert_eq!((oracle.time_to_live, oracle.protocol.0), (header.hop_limit, protocol));
        prop_assert_eq!((oracle.identification, oracle.dont_fragment), (header.identification, header.dont_fragment));
        prop_assert_eq!(oracle.dscp.value() << 2 | oracle.ecn.value(), header.traffic_class);
        prop_assert_eq!(rest, &payload[..]);
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_refused(header in any_ipv4(), bit in 0..160usize) {
        let mut packet = ip_packet(&header, &[0; 80]);
        packet[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(IpPacket::parse(&packet).is_err());
    }

    #[test]
    fn every_truncation_is_refused(header in any_ipv4(), payload in any_bytes(32)) {
        let packet = ip_packet(&header, &payload);
        for len in 0..packet.len() {
            prop_assert_eq!(IpPacket::parse(&packet[..len]), Err(Malformed::Truncated));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in any_bytes(120), lengths: [u8; 2]) {
        let _ = IpPacket::parse(&bytes);
        if bytes.len() >= 60 {
            (bytes[0], bytes[2], bytes[3]) = (0x45 + lengths[0] % 11, 0, lengths[1] % 120);
            repair_ip_checksum(&mut bytes);
            let read = IpPacket::parse(&bytes);
            let (header_len, total_len) = (usize::from(bytes[0] & 15) * 4, usize::from(bytes[3]));
            prop_assert_eq!(read.is_ok(), header_len <= total_len && total_len <= bytes.len());
            prop_assert!(read.is_err() || read.unwrap().payload == &bytes[header_len..total_len]);
        }
    }
}
