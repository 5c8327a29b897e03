use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{IcmpEchoHeader, Icmpv4Slice, Icmpv4Type, PacketBuilder};
use proptest::prelude::*;

use super::*;
use crate::testing::{IP, any_bytes, any_ip, ip_packet, packet, repair_ip_checksum};
use crate::{Flags, IpPacket, TcpHeader};

/// An ICMP message with its checksum.
fn message(kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], &rest[..], body].concat();
    let checksum = Sum::default().add(&message).checksum();
    patch(&mut message, 2, checksum.to_be_bytes());
    message
}

/// A packet of ours, as a router quotes it.
fn ours() -> Vec<u8> {
    let header = TcpHeader {
        source_port: 40_000,
        destination_port: 80,
        seq: SeqNum(0x0102_0304),
        flags: Flags::SYN,
        ..TcpHeader::default()
    };
    packet(&IP, &header, b"text")
}

fn quoted() -> Quoted {
    Quoted {
        source: SocketAddr::new(IP.source, 40_000),
        destination: SocketAddr::new(IP.destination, 80),
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
        (0, 0, IcmpMessage::Ignored),  // echo reply
        (13, 0, IcmpMessage::Ignored), // timestamp
        (255, 0, IcmpMessage::Ignored),
    ] {
        let message = message(kind, code, [0, 0, 0x05, 0x78], &ours());
        assert_eq!(IcmpMessage::parse(&message), Ok(expected), "type {kind} code {code}");
    }
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
    fn an_echo_request_is_answered_with_its_own_data(ip in any_ip(), id: u16, seq: u16, data in any_bytes(100)) {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ipv4([10, 77, 0, 1], [10, 77, 0, 2], 64);
        builder.icmpv4_echo_request(id, seq).write(&mut bytes, &data).unwrap();
        let request = IcmpMessage::parse(&bytes[20..]);
        prop_assert_eq!(request, Ok(IcmpMessage::EchoRequest { identifier: id, sequence: seq, data: &data }));

        let reply = IcmpMessage::echo_reply(&ip, id, seq, &data);
        let packet = IpPacket::parse(&reply).unwrap();
        prop_assert_eq!((packet.header.source, packet.header.destination), (ip.destination, ip.source));
        let oracle = Icmpv4Slice::from_slice(packet.payload).unwrap();
        prop_assert_eq!(oracle.checksum(), oracle.icmp_type().calc_checksum(&data));
        prop_assert_eq!(oracle.icmp_type(), Icmpv4Type::EchoReply(IcmpEchoHeader { id, seq }));
        prop_assert_eq!(oracle.payload(), &data[..]);
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
