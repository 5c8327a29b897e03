use etherparse::icmpv6::{ParameterProblemCode, ParameterProblemHeader};
use etherparse::{Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, icmpv4, icmpv6};
use proptest::prelude::*;

use super::*;
use crate::testing::{IP, IP6, any_bytes, extended_packet, ip_packet, repair_ip_checksum};
use crate::{IcmpMessage, IpPacket, Malformed, Quoted, SeqNum};

const UDP: Protocol = Protocol::Other(17);
const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];

const REFUSED: IcmpError = IcmpError::ParameterProblem(ParameterProblem {
    code: ProblemCode::UnrecognizedOption,
    pointer: 42,
    even_to_multicast: false,
});
const REFUSED_BY_ALL: IcmpError = IcmpError::ParameterProblem(ParameterProblem {
    code: ProblemCode::UnrecognizedOption,
    pointer: 42,
    even_to_multicast: true,
});

fn datagram(ip: &IpHeader, len: usize) -> Vec<u8> {
    ip_packet(&IpHeader { protocol: UDP, ..*ip }, &vec![7; len])
}

/// Reads an answer for IPv4 with etherparse as judge: its header, type and quote.
fn read_v4(packet: &[u8]) -> (IpHeader, Icmpv4Type, &[u8]) {
    let read = IpPacket::parse(packet).unwrap();
    assert!(IcmpMessage::parse(read.payload).is_ok());
    let oracle = Icmpv4Slice::from_slice(read.payload).unwrap();
    assert_eq!(oracle.checksum(), oracle.icmp_type().calc_checksum(oracle.payload()));
    (read.header, oracle.icmp_type(), oracle.payload())
}

fn read_v6(packet: &[u8]) -> (IpHeader, Icmpv6Type, &[u8]) {
    let read = IpPacket::parse(packet).unwrap();
    assert!(IcmpMessage::parse_v6(&read.header, read.payload).is_ok());
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (read.header.source, read.header.destination) else {
        unreachable!()
    };
    let oracle = Icmpv6Slice::from_slice(read.payload).unwrap();
    assert!(oracle.is_checksum_valid(source.octets(), destination.octets()));
    (read.header, oracle.icmp_type(), oracle.payload())
}

#[test]
fn each_error_for_ipv4() {
    use icmpv4::{DestUnreachableHeader, TimeExceededCode};
    let offending = datagram(&IP, 30);
    for (error, expected) in [
        (
            IcmpError::PortUnreachable,
            Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port),
        ),
        (
            IcmpError::ProtocolUnreachable,
            Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Protocol),
        ),
        (
            IcmpError::ReassemblyTimeout,
            Icmpv4Type::TimeExceeded(TimeExceededCode::FragmentReassemblyTimeExceeded),
        ),
    ] {
        let packet = error.packet(&offending).unwrap();
        let (header, message, quote) = read_v4(&packet);
        let expected_header = IpHeader {
            source: IP.destination,
            destination: IP.source,
            protocol: Protocol::Icmp,
            traffic_class: 0xc0,
            ..IP
        };
        assert_eq!((header, message, quote), (expected_header, expected, &offending[..]));
    }
    assert_eq!(REFUSED.packet(&offending), None);
    assert!(!REFUSED.may_answer(&offending));
}

#[test]
fn each_error_for_ipv6() {
    use icmpv6::{DestUnreachableCode, TimeExceededCode};
    let offending = extended_packet(&IpHeader { protocol: UDP, ..IP6 }, &[(60, &PADDING)], &[7; 30]);
    let problem = |code, pointer| Icmpv6Type::ParameterProblem(ParameterProblemHeader { code, pointer });
    for (error, expected) in [
        (
            IcmpError::PortUnreachable,
            Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Port),
        ),
        (
            IcmpError::ProtocolUnreachable,
            problem(ParameterProblemCode::UnrecognizedNextHeader, 40),
        ),
        (
            IcmpError::ReassemblyTimeout,
            Icmpv6Type::TimeExceeded(TimeExceededCode::FragmentReassemblyTimeExceeded),
        ),
        (REFUSED, problem(ParameterProblemCode::UnrecognizedIpv6Option, 42)),
    ] {
        let packet = error.packet(&offending).unwrap();
        let (header, message, quote) = read_v6(&packet);
        let expected_header = IpHeader {
            source: IP6.destination,
            destination: IP6.source,
            protocol: Protocol::Icmpv6,
            flow_label: 0,
            ..IP6
        };
        assert_eq!((header, message, quote), (expected_header, expected, &offending[..]));
    }
}

#[test]
fn what_the_parser_refused_is_what_the_sender_is_told() {
    let tcp = [7; 24];
    let fragment = |offset: u8| [0, 0, offset | 1, 0, 0, 0, 9];
    let cases: [(&str, Vec<u8>, ParameterProblemCode, u32); 5] = [
        (
            "an option",
            extended_packet(&IP6, &[(0, &[0, 1, 0, 0xc2, 2, 0, 0])], &tcp),
            ParameterProblemCode::UnrecognizedIpv6Option,
            44,
        ),
        (
            "a route",
            extended_packet(&IP6, &[(43, &[0, 0, 1, 0, 0, 0, 0])], &tcp),
            ParameterProblemCode::ErroneousHeaderField,
            42,
        ),
        (
            "options by hop out of place",
            extended_packet(&IP6, &[(60, &PADDING), (0, &PADDING)], &tcp),
            ParameterProblemCode::UnrecognizedNextHeader,
            40,
        ),
        (
            "a fragment of an odd length",
            extended_packet(&IP6, &[(44, &fragment(0))], &tcp[..23]),
            ParameterProblemCode::ErroneousHeaderField,
            4,
        ),
        (
            "a chain cut short",
            extended_packet(&IP6, &[(44, &fragment(0))], &tcp[..16]),
            ParameterProblemCode::Ipv6FirstFragmentIncompleteHeaderChain,
            0,
        ),
    ];
    for (name, offending, code, pointer) in cases {
        let Err(Malformed::Problem(problem)) = IpPacket::parse(&offending) else {
            panic!("{name}")
        };
        let packet = IcmpError::ParameterProblem(problem).packet(&offending).unwrap();
        let expected = Icmpv6Type::ParameterProblem(ParameterProblemHeader { code, pointer });
        assert_eq!(read_v6(&packet).1, expected, "{name}");
    }
}

#[test]
fn the_pointer_of_a_protocol_nobody_speaks_is_the_parsers() {
    for extensions in [&[][..], &[(60, &PADDING[..])], &[(0, &PADDING), (60, &PADDING)]] {
        let offending = extended_packet(&IpHeader { protocol: UDP, ..IP6 }, extensions, &[7; 9]);
        let packet = IcmpError::ProtocolUnreachable.packet(&offending).unwrap();
        let (_, message, _) = read_v6(&packet);
        let pointer = IpPacket::parse(&offending).unwrap().protocol_at as u32;
        let code = ParameterProblemCode::UnrecognizedNextHeader;
        assert_eq!(
            message,
            Icmpv6Type::ParameterProblem(ParameterProblemHeader { code, pointer })
        );
    }
}

// RFC 8200 §4.7.
#[test]
fn that_there_is_no_next_header_is_no_error() {
    let protocol = Protocol::Other(59);
    let over_v6 = ip_packet(&IpHeader { protocol, ..IP6 }, &[]);
    assert_eq!(IcmpError::ProtocolUnreachable.packet(&over_v6), None);
    assert!(!IcmpError::ProtocolUnreachable.may_answer(&over_v6));
    let over_v4 = ip_packet(&IpHeader { protocol, ..IP }, &[]);
    assert!(IcmpError::ProtocolUnreachable.may_answer(&over_v4));
}

#[test]
fn as_much_is_quoted_as_there_is_room_for() {
    for (ip, longest, headers) in [(IP, 576, 28), (IP6, 1280, 48)] {
        let header_len = headers - 8;
        for len in [
            0,
            8,
            longest - headers - header_len,
            longest - headers - header_len + 1,
            5000,
        ] {
            let offending = datagram(&ip, len);
            let trailed = [&offending[..], &[0xee; 3]].concat();
            let packet = IcmpError::PortUnreachable.packet(&trailed).unwrap();
            assert_eq!(packet.len(), longest.min(headers + header_len + len));
            assert_eq!(packet[headers..], offending[..packet.len() - headers]);
        }
    }
}

// RFC 1122 §3.2.2, RFC 4443 §2.4 (e).
#[test]
fn to_whom_nothing_is_said() {
    let from = |source: &str, ip: IpHeader| {
        let source = source.parse().unwrap();
        datagram(&IpHeader { source, ..ip }, 20)
    };
    let to = |destination: &str, ip: IpHeader| {
        let destination = destination.parse().unwrap();
        datagram(&IpHeader { destination, ..ip }, 20)
    };
    for (name, offending, answered) in [
        ("a host", datagram(&IP, 20), true),
        ("to many", to("224.0.0.1", IP), false),
        ("to all", to("255.255.255.255", IP), false),
        ("from nobody", from("0.0.0.0", IP), false),
        ("from network 0", from("0.1.2.3", IP), false),
        ("from within", from("127.0.0.1", IP), false),
        ("from many", from("239.1.2.3", IP), false),
        ("from class E", from("240.0.0.1", IP), false),
        ("from all", from("255.255.255.255", IP), false),
        ("a host over IPv6", datagram(&IP6, 20), true),
        ("to many over IPv6", to("ff02::1", IP6), false),
        ("from nobody over IPv6", from("::", IP6), false),
        ("from many over IPv6", from("ff02::1", IP6), false),
        ("nothing", vec![], false),
        ("version 5", vec![0x50; 60], false),
    ] {
        assert_eq!(IcmpError::PortUnreachable.may_answer(&offending), answered, "{name}");
        assert_eq!(
            IcmpError::PortUnreachable.packet(&offending).is_some(),
            answered,
            "{name}"
        );
    }
}

#[test]
fn one_problem_is_told_even_about_what_went_to_many() {
    let multicast = IpHeader {
        destination: "ff02::1".parse().unwrap(),
        ..IP6
    };
    let offending = datagram(&multicast, 20);
    assert!(REFUSED_BY_ALL.may_answer(&offending));
    assert!(!REFUSED.may_answer(&offending));
    let nobodys = IpHeader {
        source: "::".parse().unwrap(),
        ..multicast
    };
    assert!(!REFUSED_BY_ALL.may_answer(&datagram(&nobodys, 20)));
}

#[test]
fn errors_are_not_answered_with_errors() {
    let over_v4 = |kind: u8| {
        ip_packet(
            &IpHeader {
                protocol: Protocol::Icmp,
                ..IP
            },
            &[kind, 0, 0, 0, 0, 0, 0, 0],
        )
    };
    for kind in 0..=255 {
        let is_error = matches!(kind, 3 | 4 | 5 | 11 | 12);
        assert_eq!(
            IcmpError::ProtocolUnreachable.may_answer(&over_v4(kind)),
            !is_error,
            "type {kind}"
        );
    }
    let icmpv6 = IpHeader {
        protocol: Protocol::Icmpv6,
        ..IP6
    };
    for kind in 0..=255 {
        let is_error = kind < 128 || kind == 137;
        let message = [kind, 0, 0, 0, 0, 0, 0, 0];
        let plain = ip_packet(&icmpv6, &message);
        let extended = extended_packet(&icmpv6, &[(60, &PADDING)], &message);
        for offending in [plain, extended] {
            assert_eq!(REFUSED.may_answer(&offending), !is_error, "type {kind}");
        }
    }
    // Without its type it may be one.
    assert!(!IcmpError::ProtocolUnreachable.may_answer(&over_v4(8)[..20]));
    assert!(!REFUSED.may_answer(&ip_packet(&icmpv6, &[])));
}

#[test]
fn our_own_errors_are_never_answered() {
    for offending in [datagram(&IP, 20), datagram(&IP6, 20)] {
        let error = IcmpError::PortUnreachable.packet(&offending).unwrap();
        assert!(!IcmpError::ProtocolUnreachable.may_answer(&error));
    }
}

// RFC 1122 §3.2.2: a non-initial fragment.
#[test]
fn only_a_first_fragment_is_answered() {
    for (more_and_offset, answered) in [([0x20, 0], true), ([0x20, 1], false), ([0, 1], false), ([0, 0], true)] {
        let mut offending = datagram(&IP, 24);
        [offending[6], offending[7]] = more_and_offset;
        repair_ip_checksum(&mut offending);
        assert_eq!(IcmpError::PortUnreachable.may_answer(&offending), answered);
    }
    for (offset_and_more, answered) in [([0, 1], true), ([0, 9], false), ([0, 8], false), ([0, 0], true)] {
        let fragment = [0, offset_and_more[0], offset_and_more[1], 0, 0, 0, 9];
        let offending = extended_packet(&IpHeader { protocol: UDP, ..IP6 }, &[(44, &fragment)], &[7; 24]);
        assert_eq!(IcmpError::PortUnreachable.may_answer(&offending), answered);
    }
}

#[test]
fn an_error_of_ours_quotes_tcp_as_we_read_it() {
    let tcp = [&[0x9c, 0x40, 0, 80, 1, 2, 3, 4][..], &[0; 12]].concat();
    let quoted = |ip: &IpHeader| Quoted {
        source: (ip.source, 40_000).into(),
        destination: (ip.destination, 80).into(),
        seq: SeqNum(0x0102_0304),
    };
    let packet = IcmpError::ReassemblyTimeout.packet(&ip_packet(&IP, &tcp)).unwrap();
    let expected = IcmpMessage::TimeExceeded { quoted: quoted(&IP) };
    assert_eq!(IcmpMessage::parse(&packet[20..]), Ok(expected));

    let packet = REFUSED.packet(&ip_packet(&IP6, &tcp)).unwrap();
    let read = IpPacket::parse(&packet).unwrap();
    let expected = IcmpMessage::ParameterProblem { quoted: quoted(&IP6) };
    assert_eq!(IcmpMessage::parse_v6(&read.header, read.payload), Ok(expected));
}

proptest! {
    #[test]
    fn any_bytes_are_answered_or_not(mut bytes in any_bytes(200), version in prop::sample::select(vec![0x45u8, 0x4f, 0x60, 0x00])) {
        let errors = [IcmpError::PortUnreachable, IcmpError::ProtocolUnreachable, IcmpError::ReassemblyTimeout, REFUSED_BY_ALL];
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        for error in errors {
            let answer = error.packet(&bytes);
            prop_assert_eq!(answer.is_some(), error.may_answer(&bytes));
            if let Some(answer) = answer {
                let read = IpPacket::parse(&answer).unwrap();
                let outer = Outline::of(&bytes).unwrap();
                prop_assert_eq!((read.header.source, read.header.destination), (outer.destination, outer.source));
                prop_assert!(answer.len() <= 48 + bytes.len());
            }
        }
    }
}
