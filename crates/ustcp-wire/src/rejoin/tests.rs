use proptest::prelude::*;

use super::*;
use crate::testing::{Extensions, IP, IP6, any_bytes, extended_packet, ip_packet, packet, repair_ip_checksum};
use crate::{Checksum, IpHeader, TcpHeader, TcpSegment};

const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];
const FIRST: [u8; 7] = [0, 0, 1, 0, 0, 0, 9];
const ATOMIC: [u8; 7] = [0, 0, 0, 0, 0, 0, 5];

/// An IPv4 packet's first fragment, DF left set as careless senders do.
fn first_v4(header: &IpHeader, payload: &[u8]) -> Vec<u8> {
    let mut first = ip_packet(header, payload);
    first[6] |= 0x20;
    repair_ip_checksum(&mut first);
    first
}

#[test]
fn an_ipv4_packet_is_whole_again_but_for_its_flags() {
    let (first, rest) = ([1; 24], [2; 5]);
    let header = IpHeader {
        identification: 77,
        ..IP
    };
    let whole = rejoin(&first_v4(&header, &first), &[&first, &rest], false).unwrap();
    let expected = IpHeader {
        dont_fragment: false,
        ..header
    };
    assert_eq!(whole, ip_packet(&expected, &[&first[..], &rest].concat()));
}

#[test]
fn ipv4_options_stay() {
    let mut first = first_v4(&IP, &[1; 8]);
    first[0] = 0x46;
    first.splice(20..20, [0x94, 4, 0, 0]);
    first[3] += 4;
    repair_ip_checksum(&mut first);
    let whole = rejoin(&first, &[&[1; 8], &[2; 3]], false).unwrap();
    let read = IpPacket::parse(&whole).unwrap();
    assert_eq!((read.header_len, read.fragment, read.payload.len()), (24, None, 11));
    assert_eq!(whole[20..24], [0x94, 4, 0, 0]);
}

#[test]
fn an_ipv6_packet_is_whole_again() {
    let payload = [7; 40];
    let cases: [(&str, &Extensions<'_>, &Extensions<'_>); 4] = [
        ("no other header", &[], &[]),
        ("a header before", &[(0, &PADDING)], &[]),
        (
            "headers before and behind",
            &[(0, &PADDING), (60, &PADDING)],
            &[(60, &PADDING)],
        ),
        ("an atomic fragment before", &[(44, &ATOMIC)], &[]),
    ];
    for (name, before, behind) in cases {
        let expected = extended_packet(&IP6, &[before, behind].concat(), &payload);
        let first = extended_packet(&IP6, &[before, &[(44, &FIRST)], behind].concat(), &payload[..24]);
        let carried = IpPacket::parse(&first).unwrap().payload;
        assert_eq!(
            rejoin(&first, &[carried, &payload[24..]], false),
            Some(expected),
            "{name}"
        );
    }
}

// RFC 3168 §5.3.
#[test]
fn congestion_that_any_fragment_met_is_told() {
    let header = IpHeader {
        traffic_class: 0xb9,
        ..IP
    };
    let header_v6 = IpHeader {
        traffic_class: 0xb9,
        ..IP6
    };
    for first in [
        first_v4(&header, &[1; 24]),
        extended_packet(&header_v6, &[(44, &FIRST)], &[1; 24]),
    ] {
        for (congestion_experienced, expected) in [(false, 0xb9), (true, 0xbb)] {
            let whole = rejoin(&first, &[&[1; 24], &[2]], congestion_experienced).unwrap();
            let read = IpPacket::parse(&whole).unwrap();
            assert_eq!(
                (read.header.traffic_class, read.header.flow_label),
                (expected, if read.header.source.is_ipv4() { 0 } else { 0x1_2345 })
            );
        }
    }
}

#[test]
fn only_a_first_fragment_begins_a_packet() {
    let mut later = first_v4(&IP, &[1; 24]);
    later[7] = 1;
    repair_ip_checksum(&mut later);
    for (name, bytes) in [
        ("a whole packet", ip_packet(&IP, &[1; 24])),
        ("a later fragment", later),
        ("an atomic fragment", extended_packet(&IP6, &[(44, &ATOMIC)], &[1; 24])),
        (
            "a later fragment over IPv6",
            extended_packet(&IP6, &[(44, &[0, 0, 9, 0, 0, 0, 9])], &[1; 24]),
        ),
        ("nothing", vec![]),
    ] {
        assert_eq!(rejoin(&bytes, &[&[1; 24]], false), None, "{name}");
    }
}

#[test]
fn a_whole_is_no_longer_than_its_length_field_can_say() {
    let payload = vec![7; 65_536];
    let first_v6 = extended_packet(&IP6, &[(0, &PADDING), (44, &FIRST)], &[7; 24]);
    for (first, most) in [(first_v4(&IP, &[7; 24]), 65_515), (first_v6, 65_527)] {
        let whole = rejoin(&first, &[&payload[..most]], false).unwrap();
        assert_eq!(IpPacket::parse(&whole).unwrap().payload.len(), most);
        assert_eq!(rejoin(&first, &[&payload[..most + 1]], false), None);
    }
}

proptest! {
    #[test]
    fn a_segment_cut_anywhere_is_read_whole(text in prop::collection::vec(any::<u8>(), 4..200), units in 3..=27usize) {
        for (ip, header_len) in [(IP, 20), (IP6, 40)] {
            let whole = packet(&ip, &TcpHeader::default(), &text);
            let (_, segment) = whole.split_at(header_len);
            let (first, rest) = segment.split_at((8 * units).min(segment.len() & !7));
            let fragment = if ip.source.is_ipv4() {
                first_v4(&ip, first)
            } else {
                extended_packet(&ip, &[(44, &FIRST)], first)
            };
            let joined = rejoin(&fragment, &[first, rest], false).unwrap();
            let read = IpPacket::parse(&joined).unwrap();
            let segment = TcpSegment::parse(&read.header, read.payload, Checksum::Full).unwrap();
            prop_assert_eq!(segment.payload, &text[..]);
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in any_bytes(120), payload in any_bytes(40)) {
        let _ = rejoin(&bytes, &[&payload], true);
    }
}
