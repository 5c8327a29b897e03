use core::net::IpAddr;

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{IcmpEchoHeader, Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, PacketBuilder};
use proptest::prelude::*;

use super::*;
use crate::testing::{
    Extensions, IP, IP6, any_bytes, any_ipv4, any_ipv6, extended_packet, ip_packet, packet, repair_ip_checksum,
};
use crate::{Flags, IpPacket, TcpHeader};

/// An ICMP message with its checksum.
fn message(kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], &rest[..], body].concat();
    let checksum = Sum::default().add(&message).checksum();
    patch(&mut message, 2, checksum.to_be_bytes());
    message
}

/// What comes from a router on the way of `IP6`.
const ROUTER: IpHeader = IpHeader {
    destination: IP6.source,
    protocol: Protocol::Icmpv6,
    ..IP6
};

/// An ICMPv6 message from the router with its checksum.
fn message_v6(kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], &rest[..], body].concat();
    let checksum = icmpv6_sum(&ROUTER, message.len()).add(&message).checksum();
    patch(&mut message, 2, checksum.to_be_bytes());
    message
}

/// A packet of ours, as a router quotes it.
fn ours() -> Vec<u8> {
    ours_over(&IP)
}

fn ours_over(ip: &IpHeader) -> Vec<u8> {
    let header = TcpHeader {
        source_port: 40_000,
        destination_port: 80,
        seq: SeqNum(0x0102_0304),
        flags: Flags::SYN,
        ..TcpHeader::default()
    };
    packet(ip, &header, b"text")
}

fn quoted() -> Quoted {
    quoted_over(&IP)
}

fn quoted_over(ip: &IpHeader) -> Quoted {
    Quoted {
        source: SocketAddr::new(ip.source, 40_000),
        destination: SocketAddr::new(ip.destination, 80),
        seq: SeqNum(0x0102_0304),
    }
}

#[test]
fn errors_by_type_and_code() {
    let quoted = quoted();
    for (kind, code, expected) in [
        (3, 0, IcmpMessage::Unreachable { code: 0, quoted }),
        (3, 1, IcmpMessage::Unreachable { code: 1, quoted }),
        (3, 3, IcmpMessage::Unreachable { code: 3, quoted }),
        (3, 4, IcmpMessage::FragmentationNeeded { mtu: 1400, quoted }),
        (3, 13, IcmpMessage::Unreachable { code: 13, quoted }),
        (11, 0, IcmpMessage::TimeExceeded { quoted }),
        (12, 0, IcmpMessage::ParameterProblem { quoted }),
        (4, 0, IcmpMessage::Ignored),  // source quench, RFC 6633
        (5, 1, IcmpMessage::Ignored),  // redirect
        (13, 0, IcmpMessage::Ignored), // timestamp
        (255, 0, IcmpMessage::Ignored),
    ] {
        let message = message(kind, code, [0, 0, 0x05, 0x78], &ours());
        assert_eq!(IcmpMessage::parse(&message), Ok(expected), "type {kind} code {code}");
    }
}

#[test]
fn errors_for_ipv6_by_type_and_code() {
    let quoted = quoted_over(&IP6);
    for (kind, code, expected) in [
        (1, 0, IcmpMessage::Unreachable { code: 0, quoted }), // no route
        (1, 1, IcmpMessage::Unreachable { code: 1, quoted }), // prohibited
        (1, 3, IcmpMessage::Unreachable { code: 3, quoted }), // address
        (1, 4, IcmpMessage::Unreachable { code: 4, quoted }), // port
        (1, 6, IcmpMessage::Unreachable { code: 6, quoted }), // route rejected
        (2, 0, IcmpMessage::FragmentationNeeded { mtu: 70_000, quoted }),
        (2, 7, IcmpMessage::FragmentationNeeded { mtu: 70_000, quoted }),
        (3, 0, IcmpMessage::TimeExceeded { quoted }),
        (3, 1, IcmpMessage::TimeExceeded { quoted }),
        (4, 1, IcmpMessage::ParameterProblem { quoted }),
        (5, 0, IcmpMessage::Ignored),   // an error nobody knows
        (8, 0, IcmpMessage::Ignored),   // the other family's echo request
        (11, 0, IcmpMessage::Ignored),  // and its time exceeded
        (133, 0, IcmpMessage::Ignored), // router solicitation
        (134, 0, IcmpMessage::Ignored), // router advertisement
        (135, 0, IcmpMessage::Ignored), // neighbour solicitation
        (136, 0, IcmpMessage::Ignored), // neighbour advertisement
        (137, 0, IcmpMessage::Ignored), // redirect
        (255, 0, IcmpMessage::Ignored),
    ] {
        let message = message_v6(kind, code, 70_000u32.to_be_bytes(), &ours_over(&IP6));
        assert_eq!(
            IcmpMessage::parse_v6(&ROUTER, &message),
            Ok(expected),
            "type {kind} code {code}"
        );
    }
}

#[test]
fn echo_is_echo_in_both_families() {
    let rest = [0, 7, 0, 1];
    let (identifier, sequence, data) = (7, 1, &b"data"[..]);
    let request = IcmpMessage::EchoRequest {
        identifier,
        sequence,
        data,
    };
    let reply = IcmpMessage::EchoReply {
        identifier,
        sequence,
        data,
    };
    assert_eq!(IcmpMessage::parse(&message(8, 0, rest, data)), Ok(request));
    assert_eq!(IcmpMessage::parse(&message(0, 0, rest, data)), Ok(reply));
    assert_eq!(
        IcmpMessage::parse_v6(&ROUTER, &message_v6(128, 0, rest, data)),
        Ok(request)
    );
    assert_eq!(
        IcmpMessage::parse_v6(&ROUTER, &message_v6(129, 0, rest, data)),
        Ok(reply)
    );
}

#[test]
fn eight_quoted_bytes_of_tcp_are_enough_and_seven_are_not_over_ipv6() {
    const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];
    let tcp = ours_over(&IP6).split_off(40);
    for extensions in [&[][..], &[(0, &PADDING[..]), (60, &PADDING)]] {
        let quote = extended_packet(&IP6, extensions, &tcp);
        let needed = 40 + 8 * extensions.len() + 8;
        for len in 0..=quote.len() {
            let message = message_v6(3, 0, [0; 4], &quote[..len]);
            let expected = match len >= needed {
                true => IcmpMessage::TimeExceeded {
                    quoted: quoted_over(&IP6),
                },
                false => IcmpMessage::Ignored,
            };
            assert_eq!(
                IcmpMessage::parse_v6(&ROUTER, &message),
                Ok(expected),
                "{len} bytes quoted"
            );
        }
    }
}

#[test]
fn what_a_quoted_ipv6_packet_may_begin_with() {
    const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];
    let found = IcmpMessage::TimeExceeded {
        quoted: quoted_over(&IP6),
    };
    let tcp = ours_over(&IP6).split_off(40);
    let many = [(60, &PADDING[..]); 9];
    let cases: [(&str, &Extensions<'_>, IcmpMessage<'_>); 10] = [
        (
            "an option that we would refuse",
            &[(0, &[0, 0xc2, 4, 0, 0, 0, 0])],
            found,
        ),
        ("a route under way", &[(43, &[0, 0, 1, 0, 0, 0, 0])], found),
        ("a first fragment", &[(44, &[0, 0, 1, 0, 0, 0, 9])], found),
        ("an atomic fragment", &[(44, &[0, 0, 0, 0, 0, 0, 9])], found),
        ("eight headers", &many[..8], found),
        ("nine headers", &many, IcmpMessage::Ignored),
        (
            "a later fragment",
            &[(44, &[0, 0, 8, 0, 0, 0, 9])],
            IcmpMessage::Ignored,
        ),
        (
            "a later fragment of what looks like options",
            &[(44, &[0, 0, 8, 0, 0, 0, 9]), (60, &PADDING)],
            IcmpMessage::Ignored,
        ),
        ("encryption", &[(50, &PADDING)], IcmpMessage::Ignored),
        (
            "a header without an end",
            &[(60, &[255, 1, 4, 0, 0, 0, 0])],
            IcmpMessage::Ignored,
        ),
    ];
    for (name, extensions, expected) in cases {
        let message = message_v6(3, 0, [0; 4], &extended_packet(&IP6, extensions, &tcp));
        assert_eq!(IcmpMessage::parse_v6(&ROUTER, &message), Ok(expected), "{name}");
    }
}

#[test]
fn no_message_quotes_the_other_family() {
    let ignored = Ok(IcmpMessage::Ignored);
    assert_eq!(IcmpMessage::parse(&message(11, 0, [0; 4], &ours_over(&IP6))), ignored);
    assert_eq!(
        IcmpMessage::parse_v6(&ROUTER, &message_v6(3, 0, [0; 4], &ours())),
        ignored
    );
}

#[test]
fn a_short_or_damaged_message_for_ipv6_is_refused() {
    let whole = message_v6(128, 0, [0, 7, 0, 1], b"data");
    for len in 0..8 {
        assert_eq!(IcmpMessage::parse_v6(&ROUTER, &whole[..len]), Err(Malformed::Truncated));
    }
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            IcmpMessage::parse_v6(&ROUTER, &damaged),
            Err(Malformed::BadChecksum),
            "bit {bit}"
        );
    }
    // The checksum covers the addresses.
    let elsewhere = IpHeader {
        destination: "fd00::3".parse().unwrap(),
        ..ROUTER
    };
    assert_eq!(IcmpMessage::parse_v6(&elsewhere, &whole), Err(Malformed::BadChecksum));
}

#[test]
fn etherparses_packet_too_big_is_read() {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (ROUTER.source, ROUTER.destination) else {
        unreachable!()
    };
    let mut bytes = Vec::new();
    PacketBuilder::ipv6(source.octets(), destination.octets(), 64)
        .icmpv6(Icmpv6Type::PacketTooBig { mtu: 1280 })
        .write(&mut bytes, &ours_over(&IP6))
        .unwrap();
    let packet = IpPacket::parse(&bytes).unwrap();
    let expected = IcmpMessage::FragmentationNeeded {
        mtu: 1280,
        quoted: quoted_over(&IP6),
    };
    assert_eq!(packet.header.protocol, Protocol::Icmpv6);
    assert_eq!(IcmpMessage::parse_v6(&packet.header, packet.payload), Ok(expected));
}

#[test]
fn eight_quoted_bytes_of_tcp_are_enough_and_seven_are_not() {
    for len in 0..=28 {
        let message = message(11, 0, [0; 4], &ours()[..len]);
        let expected = if len == 28 {
            IcmpMessage::TimeExceeded { quoted: quoted() }
        } else {
            IcmpMessage::Ignored
        };
        assert_eq!(IcmpMessage::parse(&message), Ok(expected), "{len} bytes quoted");
    }
}

#[test]
fn a_quote_may_have_options_and_lengths_and_checksums_of_its_own() {
    let mut quote = ours();
    quote[0] = 0x47;
    quote.splice(20..20, [0x94, 4, 0, 0, 1, 1, 1, 0]);
    quote[2..4].copy_from_slice(&[0xff, 0xff]);
    let message = message(3, 3, [0; 4], &quote);
    assert_eq!(
        IcmpMessage::parse(&message),
        Ok(IcmpMessage::Unreachable {
            code: 3,
            quoted: quoted()
        })
    );
}

#[test]
fn a_quote_that_is_not_the_start_of_tcp_over_ipv4_is_ignored() {
    type Tamper = fn(&mut Vec<u8>);
    let cases: [(&str, Tamper); 4] = [
        ("UDP", |q| q[9] = 17),
        ("a later fragment", |q| q[7] = 1),
        ("IPv6", |q| q[0] = 0x65),
        ("an impossible header length", |q| q[0] = 0x41),
    ];
    for (name, tamper) in cases {
        let mut quote = ours();
        tamper(&mut quote);
        assert_eq!(
            IcmpMessage::parse(&message(3, 3, [0; 4], &quote)),
            Ok(IcmpMessage::Ignored),
            "{name}"
        );
    }
    let mut first_fragment = ours();
    first_fragment[6] = 0x20;
    repair_ip_checksum(&mut first_fragment);
    let message = message(11, 1, [0; 4], &first_fragment);
    assert_eq!(
        IcmpMessage::parse(&message),
        Ok(IcmpMessage::TimeExceeded { quoted: quoted() })
    );
}

#[test]
fn a_short_or_damaged_message_is_refused() {
    let whole = message(8, 0, [0, 7, 0, 1], b"data");
    for len in 0..8 {
        assert_eq!(IcmpMessage::parse(&whole[..len]), Err(Malformed::Truncated));
    }
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(IcmpMessage::parse(&damaged), Err(Malformed::BadChecksum), "bit {bit}");
    }
}

#[test]
fn etherparses_fragmentation_needed_is_read() {
    let unreachable = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1280 };
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ipv4([10, 77, 0, 1], [10, 77, 0, 2], 64);
    builder
        .icmpv4(Icmpv4Type::DestinationUnreachable(unreachable))
        .write(&mut bytes, &ours())
        .unwrap();
    let packet = IpPacket::parse(&bytes).unwrap();
    let expected = IcmpMessage::FragmentationNeeded {
        mtu: 1280,
        quoted: quoted(),
    };
    assert_eq!(
        (packet.header.protocol, IcmpMessage::parse(packet.payload)),
        (Protocol::Icmp, Ok(expected))
    );
}

#[test]
fn an_echo_reply_goes_back_with_the_requests_type_of_service() {
    let request = IpHeader {
        protocol: Protocol::Icmp,
        traffic_class: 0x48,
        hop_limit: 3,
        identification: 77,
        ..IP
    };
    let reply = IcmpMessage::echo_reply(&request, 7, 1, b"data");
    let packet = IpPacket::parse(&reply).unwrap();
    let expected = IpHeader {
        source: request.destination,
        destination: request.source,
        hop_limit: 64,
        identification: 0,
        ..request
    };
    assert_eq!(packet.header, expected);
}

proptest! {
    #[test]
    fn an_echo_request_is_answered_with_its_own_data(ip in any_ipv4(), id: u16, seq: u16, data in any_bytes(100)) {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ipv4([10, 77, 0, 1], [10, 77, 0, 2], 64);
        builder.icmpv4_echo_request(id, seq).write(&mut bytes, &data).unwrap();
        let request = IcmpMessage::parse(&bytes[20..]);
        prop_assert_eq!(request, Ok(IcmpMessage::EchoRequest { identifier: id, sequence: seq, data: &data }));

        let reply = IcmpMessage::echo_reply(&ip, id, seq, &data);
        prop_assert_eq!(reply.len(), 28 + data.len());
        let packet = IpPacket::parse(&reply).unwrap();
        prop_assert_eq!((packet.header.source, packet.header.destination), (ip.destination, ip.source));
        let oracle = Icmpv4Slice::from_slice(packet.payload).unwrap();
        prop_assert_eq!(oracle.checksum(), oracle.icmp_type().calc_checksum(&data));
        prop_assert_eq!(oracle.icmp_type(), Icmpv4Type::EchoReply(IcmpEchoHeader { id, seq }));
        prop_assert_eq!(oracle.payload(), &data[..]);
    }

    #[test]
    fn an_echo_request_over_ipv6_is_answered_with_its_own_data(
        source: [u8; 16], destination: [u8; 16], id: u16, seq: u16, data in any_bytes(100)
    ) {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ipv6(source, destination, 64);
        builder.icmpv6_echo_request(id, seq).write(&mut bytes, &data).unwrap();
        let request = IpPacket::parse(&bytes).unwrap();
        let expected = IcmpMessage::EchoRequest { identifier: id, sequence: seq, data: &data };
        prop_assert_eq!(IcmpMessage::parse_v6(&request.header, request.payload), Ok(expected));

        let reply = IcmpMessage::echo_reply(&request.header, id, seq, &data);
        let packet = IpPacket::parse(&reply).unwrap();
        prop_assert_eq!((packet.header.source, packet.header.destination), (destination.into(), source.into()));
        prop_assert_eq!((packet.header.protocol, packet.header.hop_limit), (Protocol::Icmpv6, 64));
        let oracle = Icmpv6Slice::from_slice(packet.payload).unwrap();
        prop_assert!(oracle.is_checksum_valid(destination, source));
        prop_assert_eq!(oracle.icmp_type(), Icmpv6Type::EchoReply(IcmpEchoHeader { id, seq }));
        prop_assert_eq!(oracle.payload(), &data[..]);
    }

    #[test]
    fn any_message_for_ipv6_is_read_or_refused(ip in any_ipv6(), kind: u8, code in 0..8u8, rest: [u8; 4], body in any_bytes(120)) {
        prop_assert!(IcmpMessage::parse_v6(&ROUTER, &message_v6(kind, code, rest, &body)).is_ok());
        let _ = IcmpMessage::parse_v6(&ip, &body);
    }

    #[test]
    fn any_message_is_read_or_refused(kind in 0..20u8, code in 0..16u8, rest: [u8; 4], body in any_bytes(100)) {
        prop_assert!(IcmpMessage::parse(&message(kind, code, rest, &body)).is_ok());
        let _ = IcmpMessage::parse(&body);
    }

    #[test]
    fn any_quote_is_read_or_ignored(kind in prop::sample::select(vec![3u8, 11, 12]), body in any_bytes(60), words: u8) {
        let mut quote = ip_packet(&IP, &body);
        quote[0] = 0x40 | words & 0x0f;
        let message = message(kind, 0, [0; 4], &quote);
        let read = IcmpMessage::parse(&message).unwrap();
        let header_len = usize::from(words & 0x0f) * 4;
        let whole = header_len >= 20 && header_len + 8 <= quote.len();
        prop_assert_eq!(read != IcmpMessage::Ignored, whole);
    }
}
