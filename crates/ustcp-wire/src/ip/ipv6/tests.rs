use etherparse::{Ipv6Header, Ipv6Slice};
use proptest::prelude::*;

use super::*;
use crate::testing::{Extensions, IP6, any_bytes, any_ipv6, extended_packet, ip_packet};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// Eight bytes of padding as an options header, but for its next header.
const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];
const OPTIONS: (u8, &[u8]) = (DESTINATION, &PADDING);
/// A route at its end.
const ARRIVED: [u8; 7] = [0, 0, 0, 0, 0, 0, 0];
/// First and last at once.
const ATOMIC: [u8; 7] = [0, 0, 0, 1, 2, 3, 4];

/// A fragment header, but for its next header.
fn fragment(offset: u16, more: bool) -> [u8; 7] {
    let [o0, o1] = (offset | u16::from(more)).to_be_bytes();
    [0, o0, o1, 1, 2, 3, 4]
}

fn problem_at(code: ProblemCode, pointer: usize) -> Result<(), Malformed> {
    Err(problem(code, pointer))
}

/// What becomes of a packet with these extension headers before 24 bytes of TCP.
fn fate(extensions: &Extensions<'_>) -> Result<(), Malformed> {
    let packet = extended_packet(&IP6, extensions, &[7; 24]);
    IpPacket::parse(&packet).map(|read| {
        assert_eq!((read.header, read.fragment, read.payload), (IP6, None, &[7; 24][..]));
        assert_eq!(packet[read.protocol_at], 6);
    })
}

#[test]
fn the_bytes_of_a_header() {
    let header = IpHeader {
        traffic_class: 0xb9,
        ..IP6
    };
    let bytes = ip_packet(&header, b"abc");
    assert_eq!(bytes[..8], [0x6b, 0x91, 0x23, 0x45, 0, 3, 6, 64]);
    assert_eq!((bytes[8], bytes[23], bytes[24], bytes[39]), (0xfd, 2, 0xfd, 1));
    assert_eq!(bytes[40..], *b"abc");
}

#[test]
fn a_flow_label_of_more_than_twenty_bits_spoils_nothing_else() {
    let header = IpHeader {
        flow_label: u32::MAX,
        ..IP6
    };
    let bytes = ip_packet(&header, b"");
    assert_eq!(
        IpPacket::parse(&bytes).unwrap().header,
        IpHeader {
            flow_label: 0xf_ffff,
            ..IP6
        }
    );
}

#[test]
fn what_is_not_a_packet_and_why() {
    type Tamper = fn(&mut Vec<u8>);
    let cases: [(&str, Tamper, Malformed); 5] = [
        ("a header cut short", |p| p.truncate(39), Malformed::Truncated),
        ("payload cut short", |p| p.truncate(47), Malformed::Truncated),
        ("one byte less than said", |p| p[5] += 1, Malformed::Truncated),
        ("version 5", |p| p[0] = 0x50, Malformed::Unsupported),
        // RFC 2675: no jumbograms.
        (
            "no length and hop-by-hop options",
            |p| (p[5], p[6]) = (0, 0),
            Malformed::Truncated,
        ),
    ];
    for (name, tamper, malformed) in cases {
        let mut packet = ip_packet(&IP6, &[0; 8]);
        tamper(&mut packet);
        assert_eq!(IpPacket::parse(&packet), Err(malformed), "{name}");
    }
}

#[test]
fn bytes_beyond_the_payload_length_are_trimmed() {
    for payload in [&b"text"[..], b""] {
        let packet = [ip_packet(&IP6, payload), vec![0xee; 6]].concat();
        assert_eq!(IpPacket::parse(&packet).unwrap().payload, payload);
    }
}

#[test]
fn the_largest_payload_length_is_a_packet() {
    let packet = ip_packet(&IP6, &vec![7; 65_535]);
    assert_eq!(IpPacket::parse(&packet).unwrap().payload.len(), 65_535);
}

#[test]
fn extension_headers_are_passed_over() {
    let long = [&[2, 1, 20][..], &[0; 20]].concat();
    let cases: [(&str, &Extensions<'_>); 8] = [
        ("none", &[]),
        ("hop-by-hop", &[(HOP_BY_HOP, &PADDING)]),
        ("a route at its end", &[(ROUTING, &ARRIVED)]),
        ("destination options of 24 bytes", &[(DESTINATION, &long)]),
        ("an atomic fragment", &[(FRAGMENT, &ATOMIC)]),
        (
            "all in the order of RFC 8200 §4.1",
            &[
                (HOP_BY_HOP, &PADDING),
                (DESTINATION, &PADDING),
                (ROUTING, &ARRIVED),
                (FRAGMENT, &ATOMIC),
                (DESTINATION, &PADDING),
            ],
        ),
        (
            "in another order",
            &[(DESTINATION, &PADDING), (FRAGMENT, &ATOMIC), (ROUTING, &ARRIVED)],
        ),
        ("eight", &[OPTIONS; 8]),
    ];
    for (name, extensions) in cases {
        assert_eq!(fate(extensions), Ok(()), "{name}");
    }
}

#[test]
fn a_ninth_extension_header_is_one_too_many() {
    assert_eq!(fate(&[OPTIONS; 9]), Err(Malformed::Unsupported));
    assert_eq!(fate(&[OPTIONS; 100]), Err(Malformed::Unsupported));
}

#[test]
fn headers_that_are_not_ours_to_look_into_end_the_chain() {
    // No next header, encryption, authentication, IPv4 and IPv6 inside, UDP, and ICMP for the other family.
    for number in [59, 50, 51, 4, 41, 17, 1] {
        let packet = extended_packet(&IP6, &[(DESTINATION, &PADDING), (number, &[0; 23])], &[]);
        let read = IpPacket::parse(&packet).unwrap();
        assert_eq!(read.header.protocol, Protocol::Other(number));
        assert_eq!((read.header_len, read.protocol_at, packet[40]), (48, 40, number));
    }
    let icmp = extended_packet(&IP6, &[(58, &[0; 7])], &[]);
    let read = IpPacket::parse(&icmp).unwrap();
    assert_eq!((read.header.protocol, read.protocol_at), (Protocol::Icmpv6, 6));
}

#[test]
fn hop_by_hop_options_stand_first_or_not_at_all() {
    let code = ProblemCode::UnrecognizedNextHeader;
    let cases: [(&Extensions<'_>, usize); 3] = [
        (&[(DESTINATION, &PADDING), (HOP_BY_HOP, &PADDING)], 40),
        (&[(HOP_BY_HOP, &PADDING), (HOP_BY_HOP, &PADDING)], 40),
        (
            &[(ROUTING, &ARRIVED), (DESTINATION, &PADDING), (HOP_BY_HOP, &PADDING)],
            48,
        ),
    ];
    for (extensions, pointer) in cases {
        assert_eq!(fate(extensions), problem_at(code, pointer));
    }
}

// RFC 5095 §3: type 0 is treated as any type that is not understood.
#[test]
fn a_route_that_goes_on_is_refused_whatever_its_type() {
    for kind in [0, 1, 2, 3, 4, 255] {
        for left in [0, 1, 255] {
            let route = [0, kind, left, 0, 0, 0, 0];
            let expected = match left {
                0 => Ok(()),
                _ => problem_at(ProblemCode::ErroneousField, 50),
            };
            let extensions: [(u8, &[u8]); 2] = [(DESTINATION, &PADDING), (ROUTING, &route)];
            assert_eq!(fate(&extensions), expected, "type {kind}, {left} left");
        }
    }
}

#[test]
fn an_unknown_option_does_what_its_upper_bits_say() {
    let problem = |even_to_multicast| {
        Err(Malformed::Problem(ParameterProblem {
            code: ProblemCode::UnrecognizedOption,
            pointer: 44,
            even_to_multicast,
        }))
    };
    for header in [HOP_BY_HOP, DESTINATION] {
        for (kind, expected) in [
            (0x05, Ok(())), // router alert: skip
            (0x3e, Ok(())),
            (0x41, Err(Malformed::Unsupported)), // discard
            (0x81, problem(true)),               // and say so
            (0xc2, problem(false)),              // unless it went to many; this is the jumbo payload
            (0xff, problem(false)),
        ] {
            let options = [0, 1, 0, kind, 2, 0, 0];
            assert_eq!(fate(&[(header, &options)]), expected, "option {kind:#x} in {header}");
        }
    }
}

#[test]
fn options_keep_within_their_header() {
    let cases: [(&str, [u8; 7], Result<(), Malformed>); 7] = [
        ("one byte each", [0; 7], Ok(())),
        ("to the last byte", [0, 5, 4, 0, 0, 0, 0], Ok(())),
        ("of no bytes", [0, 1, 0, 1, 0, 1, 0], Ok(())),
        ("one too long", [0, 1, 5, 0, 0, 0, 0], Err(Malformed::BadLength)),
        ("far too long", [0, 1, 255, 0, 0, 0, 0], Err(Malformed::BadLength)),
        (
            "the last one too long",
            [0, 1, 2, 0, 0, 1, 1],
            Err(Malformed::BadLength),
        ),
        ("without its length", [0, 1, 3, 0, 0, 0, 1], Err(Malformed::BadLength)),
    ];
    for (name, options, expected) in cases {
        assert_eq!(fate(&[(HOP_BY_HOP, &options)]), expected, "{name}");
    }
}

#[test]
fn a_thirty_third_option_in_a_header_is_one_too_many() {
    for (singles, expected) in [(31, Ok(())), (32, Err(Malformed::Unsupported))] {
        // So many paddings of one byte, and one that fills up the 64 bytes of the header.
        let filling = 64 - 2 - singles - 2;
        let options = [&[7][..], &vec![0; singles], &[1, filling as u8], &vec![0; filling]].concat();
        assert_eq!(fate(&[(HOP_BY_HOP, &options)]), expected, "{singles}");
        assert_eq!(fate(&[(DESTINATION, &options)]), expected, "{singles}");
    }
}

#[test]
fn a_header_longer_than_the_packet_is_truncated() {
    for number in [HOP_BY_HOP, ROUTING, DESTINATION] {
        assert_eq!(fate(&[(number, &[255, 0, 0, 0, 0, 0, 0])]), Err(Malformed::Truncated));
    }
    for len in 0..8 {
        for number in [HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION] {
            let protocol = Protocol::Other(number);
            let packet = ip_packet(&IpHeader { protocol, ..IP6 }, &vec![0; len]);
            assert_eq!(
                IpPacket::parse(&packet),
                Err(Malformed::Truncated),
                "{len} bytes of {number}"
            );
        }
    }
}

#[test]
fn fragments_know_their_place_in_bytes() {
    for (offset, more) in [(0, true), (8, true), (1448, false), (65_488, false)] {
        let extensions: [(u8, &[u8]); 2] = [(HOP_BY_HOP, &PADDING), (FRAGMENT, &fragment(offset, more))];
        let packet = extended_packet(&IP6, &extensions, &[7; 24]);
        let read = IpPacket::parse(&packet).unwrap();
        let expected = Fragment {
            offset: offset.into(),
            more,
            identification: 0x0102_0304,
        };
        assert_eq!(
            (read.fragment, read.header, read.payload),
            (Some(expected), IP6, &[7; 24][..])
        );
        assert_eq!((read.header_len, read.protocol_at), (56, 48));
    }
}

#[test]
fn the_reserved_bits_of_a_fragment_header_say_nothing() {
    assert_eq!(fate(&[(FRAGMENT, &[0xff, 0, 0x06, 1, 2, 3, 4])]), Ok(()));
}

// What a later fragment carries is not looked into: it begins anywhere.
#[test]
fn what_follows_a_fragment_header_is_left_for_the_whole() {
    let extensions: [(u8, &[u8]); 2] = [(FRAGMENT, &fragment(8, false)), (ROUTING, &[9; 7])];
    let packet = extended_packet(&IP6, &extensions, &[]);
    let read = IpPacket::parse(&packet).unwrap();
    assert_eq!(
        (read.header.protocol, read.payload),
        (Protocol::Other(ROUTING), &[6, 9, 9, 9, 9, 9, 9, 9][..])
    );
}

#[test]
fn fragments_that_cannot_be_are_refused_with_the_field_that_is_wrong() {
    let code = ProblemCode::ErroneousField;
    for (name, offset, more, len, expected) in [
        ("the last may end anywhere", 8, false, 23, Ok(())),
        ("others only at eight bytes", 8, true, 23, problem_at(code, 4)),
        ("the first too", 0, true, 23, problem_at(code, 4)),
        ("up to the largest packet", 65_512, false, 23, Ok(())),
        ("and not beyond it", 65_512, false, 24, problem_at(code, 42)),
    ] {
        let packet = extended_packet(&IP6, &[(FRAGMENT, &fragment(offset, more))], &vec![0; len]);
        assert_eq!(IpPacket::parse(&packet).map(|_| ()), expected, "{name}");
    }
    // The headers before the fragment header count towards the whole.
    let extensions: [(u8, &[u8]); 2] = [(HOP_BY_HOP, &PADDING), (FRAGMENT, &fragment(65_512, false))];
    let packet = extended_packet(&IP6, &extensions, &[0; 16]);
    assert_eq!(IpPacket::parse(&packet).map(|_| ()), problem_at(code, 50));
}

// RFC 7112 §5.
#[test]
fn a_first_fragment_holds_all_headers() {
    let incomplete = problem_at(ProblemCode::IncompleteChain, 0);
    let first = fragment(0, true);
    type Case<'a> = (&'a str, u8, &'a [u8], Result<(), Malformed>);
    let cases: [Case<'_>; 9] = [
        ("TCP", 6, &[0; 24], Ok(())),
        ("less than a TCP header", 6, &[0; 16], incomplete),
        ("UDP", 17, &[0; 8], Ok(())),
        ("ICMP", 58, &[0; 8], Ok(())),
        ("nothing of ICMP", 58, &[], incomplete),
        ("some other protocol", 99, &[], Ok(())),
        (
            "options, then UDP",
            DESTINATION,
            &[17, 0, 1, 4, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
            Ok(()),
        ),
        ("options alone", DESTINATION, &[17, 0, 1, 4, 0, 0, 0, 0], incomplete),
        ("options cut short", DESTINATION, &[17, 1, 1, 4, 0, 0, 0, 0], incomplete),
    ];
    for (name, number, payload, expected) in cases {
        let protocol = Protocol::Other(number);
        let packet = extended_packet(&IpHeader { protocol, ..IP6 }, &[(FRAGMENT, &first)], payload);
        assert_eq!(IpPacket::parse(&packet).map(|_| ()), expected, "{name}");
    }
}

#[test]
fn a_fragment_of_a_fragment_is_refused() {
    let extensions: [(u8, &[u8]); 2] = [(FRAGMENT, &fragment(0, true)), (FRAGMENT, &fragment(8, true))];
    let packet = extended_packet(&IP6, &extensions, &[0; 24]);
    assert_eq!(IpPacket::parse(&packet), Err(Malformed::Unsupported));
}

fn any_extension() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let padding = (0..=3u8).prop_map(|units| {
        let len = 8 * usize::from(units) + 4;
        (DESTINATION, [&[units, 1, len as u8][..], &vec![0; len]].concat())
    });
    prop_oneof![
        padding,
        Just((ROUTING, ARRIVED.to_vec())),
        Just((FRAGMENT, ATOMIC.to_vec()))
    ]
}

fn any_extensions() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    (any::<bool>(), prop::collection::vec(any_extension(), 0..=7)).prop_map(|(hop_by_hop, rest)| {
        let first = hop_by_hop.then(|| (HOP_BY_HOP, PADDING.to_vec()));
        first.into_iter().chain(rest).collect()
    })
}

fn with_extensions(ip: &IpHeader, extensions: &[(u8, Vec<u8>)], payload: &[u8]) -> Vec<u8> {
    let extensions: Vec<(u8, &[u8])> = extensions.iter().map(|(number, rest)| (*number, &rest[..])).collect();
    extended_packet(ip, &extensions, payload)
}

proptest! {
    #[test]
    fn what_was_written_is_what_is_read(header in any_ipv6(), protocol: u8, payload in any_bytes(64)) {
        prop_assume!(Kind::from_number(protocol).is_none());
        let header = IpHeader { protocol: Protocol::in_ipv6(protocol), ..header };
        let packet = ip_packet(&header, &payload);
        let expected = IpPacket { header, fragment: None, payload: &payload, header_len: 40, protocol_at: 6 };
        prop_assert_eq!(IpPacket::parse(&packet), Ok(expected));

        let (oracle, rest) = Ipv6Header::from_slice(&packet).unwrap();
        prop_assert_eq!(usize::from(oracle.payload_length), payload.len());
        prop_assert_eq!((oracle.source_addr().into(), oracle.destination_addr().into()), (header.source, header.destination));
        prop_assert_eq!((oracle.hop_limit, oracle.next_header.0), (header.hop_limit, protocol));
        prop_assert_eq!((oracle.traffic_class, oracle.flow_label.value()), (header.traffic_class, header.flow_label));
        prop_assert_eq!(rest, &payload[..]);
    }

    #[test]
    fn etherparse_finds_the_same_behind_the_extension_headers(
        header in any_ipv6(), extensions in any_extensions(), payload in prop::collection::vec(any::<u8>(), 1..64)
    ) {
        let packet = with_extensions(&header, &extensions, &payload);
        let read = IpPacket::parse(&packet).unwrap();
        let oracle = Ipv6Slice::from_slice(&packet).unwrap();
        prop_assert_eq!(read.payload, oracle.payload().payload);
        prop_assert_eq!(read.header.protocol.number(), oracle.payload().ip_number.0);
        prop_assert_eq!(read.fragment.is_some(), oracle.is_payload_fragmented());
        prop_assert_eq!(read.header_len, 40 + oracle.extensions().slice().len());
        prop_assert_eq!(packet[read.protocol_at], 6);
    }

    #[test]
    fn etherparse_finds_the_same_in_a_fragment(header in any_ipv6(), offset in 1..4000u16, more: bool, units in 1..9usize) {
        let place = fragment(offset << 3, more);
        let packet = extended_packet(&header, &[(HOP_BY_HOP, &PADDING), (FRAGMENT, &place)], &vec![7; 8 * units]);
        let read = IpPacket::parse(&packet).unwrap();
        let oracle = Ipv6Slice::from_slice(&packet).unwrap();
        prop_assert!(oracle.is_payload_fragmented());
        prop_assert_eq!(read.payload, oracle.payload().payload);
        let fragment = read.fragment.unwrap();
        prop_assert_eq!((fragment.offset, fragment.more), (usize::from(offset) * 8, more));
        prop_assert_eq!(fragment.identification, 0x0102_0304);
    }

    #[test]
    fn every_truncation_is_refused(header in any_ipv6(), extensions in any_extensions(), payload in any_bytes(32)) {
        let packet = with_extensions(&header, &extensions, &payload);
        for len in 0..packet.len() {
            prop_assert_eq!(IpPacket::parse(&packet[..len]), Err(Malformed::Truncated));
        }
    }

    #[test]
    fn a_packet_that_ends_within_its_headers_is_refused_at_every_length(extensions in any_extensions()) {
        let whole = with_extensions(&IP6, &extensions, &[]);
        for len in 40..whole.len() {
            let mut packet = whole[..len].to_vec();
            packet[5] = (len - 40) as u8;
            let read = IpPacket::parse(&packet);
            prop_assert!(matches!(read, Err(Malformed::Truncated)), "{:?}", read);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in any_bytes(160), numbers: [u8; 9], length: u8) {
        let _ = IpPacket::parse(&bytes);
        if bytes.len() >= 40 {
            (bytes[0], bytes[4], bytes[5]) = (0x60, 0, length % 121);
            // Chains of headers, most of which are too long.
            for (at, number) in [6, 40, 48, 56, 64, 72, 80, 88, 96].into_iter().zip(numbers) {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = [HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, 6, 17, 59, number][usize::from(number % 8)];
                }
                if let Some(byte) = bytes.get_mut(at + 1).filter(|_| at >= 40) {
                    *byte %= 3;
                }
            }
            let read = IpPacket::parse(&bytes);
            let end = 40 + usize::from(bytes[5]);
            prop_assert_eq!(read == Err(Malformed::Truncated) || end <= bytes.len(), true);
            if let Ok(read) = read {
                prop_assert_eq!(read.payload, &bytes[read.header_len..end]);
                prop_assert_eq!(read.header.protocol.number(), bytes[read.protocol_at]);
            }
        }
    }
}
