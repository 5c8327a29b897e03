//! The ICMP errors that we send, and all those that we do not: RFC 1122 §3.2.2, RFC 4443 §2.4.

use core::net::IpAddr;
use core::time::Duration;

use ustcp_proto::{Config, Instant};
use ustcp_wire::{IpPacket, Protocol};

use crate::wire::*;

const UDP: u8 = 17;
const SCTP: u8 = 132;

/// A stack with an address of either family.
fn wire() -> Wire {
    let mut both = config();
    both.addresses.extend(config_v6().addresses);
    Wire::new(both, WE_LISTEN)
}

/// What a datagram of eight bytes of UDP looks like, for us.
fn datagram(ours: IpAddr) -> Vec<u8> {
    ip_packet(ours, UDP, &[0, 9, 0, 53, 0, 8, 0, 0])
}

/// Protocol, type, code and second word of the error, which quotes `packet` whole and goes to its sender.
#[track_caller]
fn error_about(w: &mut Wire, packet: &[u8]) -> (Protocol, u8, u8, u32) {
    let error = w.next_packet().expect("an error");
    let ip = IpPacket::parse(&error).expect("a packet");
    let offending = IpPacket::parse(packet).expect("a packet").header;
    let between = (ip.header.source, ip.header.destination);
    assert_eq!(between, (offending.destination, offending.source));
    assert!(ip.payload[8..] == *packet, "the quote");
    assert!(w.next_packet().is_none(), "one error");
    let word = u32::from_be_bytes(*ip.payload[4..].first_chunk().expect("four"));
    (ip.header.protocol, ip.payload[0], ip.payload[1], word)
}

/// 1122-5, RFC 1122 §4.1.3.1, RFC 4443 §3.1: nobody here has a port of UDP.
#[test]
fn port_unreachable() {
    for (ours, expected) in [
        (OURS, (Protocol::Icmp, 3, 3, 0)),
        (OURS_V6, (Protocol::Icmpv6, 1, 4, 0)),
    ] {
        let mut w = wire();
        let packet = datagram(ours);
        w.inject(&packet);
        assert_eq!(error_about(&mut w, &packet), expected);
    }
}

/// RFC 1122 §3.2.2.1; RFC 8200 §4: in IPv6 it points at the next header.
#[test]
fn protocol_unreachable() {
    for (ours, protocol, expected) in [
        (OURS, SCTP, (Protocol::Icmp, 3, 2, 0)),
        (OURS, 58, (Protocol::Icmp, 3, 2, 0)),
        (OURS_V6, SCTP, (Protocol::Icmpv6, 4, 1, 6)),
        (OURS_V6, 1, (Protocol::Icmpv6, 4, 1, 6)),
    ] {
        let mut w = wire();
        let packet = ip_packet(ours, protocol, b"something");
        w.inject(&packet);
        assert_eq!(error_about(&mut w, &packet), expected);
    }
}

/// RFC 8200 §4.2: an option that must be known and is not.
#[test]
fn parameter_problem() {
    let options = |kind: u8| ip_packet(OURS_V6, 60, &[59, 0, kind, 4, 0, 0, 0, 0]);
    let mut w = wire();
    for kind in [0x1e, 0x5e] {
        w.inject(&options(kind));
        assert!(w.next_packet().is_none(), "{kind:#x} is skipped, or dropped in silence");
    }
    for kind in [0x9e, 0xde] {
        let packet = options(kind);
        w.inject(&packet);
        let error = w.next_packet().expect("an error");
        assert_eq!(error[40..48], [4, 2, error[42], error[43], 0, 0, 0, 42]);
    }
}

/// RFC 1122 §3.2.2, RFC 4443 §2.4 (e): about none of these, and from no address that is not ours.
#[test]
fn nothing_is_said_about() {
    let udp = [0, 9, 0, 53, 0, 8, 0, 0];
    let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let between = |source: &str, destination: &str| ip_packet_between(address(source), address(destination), UDP, &udp);
    let option_for_all = |destination: &str| {
        let options = [59, 0, 0x9e, 4, 0, 0, 0, 0];
        ip_packet_between(PEERS_V6, address(destination), 60, &options)
    };
    let mut later = datagram(OURS);
    later[6..8].copy_from_slice(&[0, 1]);
    let sum = ustcp_wire::Sum::default().add(&{
        let mut header = later[..20].to_vec();
        header[10..12].copy_from_slice(&[0, 0]);
        header
    });
    later[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
    let cases = [
        ("an error of IPv4", icmp_packet(OURS, 3, 3, [0; 4], &datagram(PEERS))),
        (
            "an error of IPv6",
            icmp_packet(OURS_V6, 1, 4, [0; 4], &datagram(PEERS_V6)),
        ),
        ("what is for all", between("10.0.0.1", "255.255.255.255")),
        ("what is for our network", between("10.0.0.1", "10.0.0.255")),
        ("what is for a group", between("10.0.0.1", "224.0.0.1")),
        ("what is for a group of IPv6", between("2001:db8::1", "ff02::1")),
        ("what is from a group", between("224.0.0.1", "10.0.0.2")),
        ("what is from all", between("255.255.255.255", "10.0.0.2")),
        ("what is from our network", between("10.0.0.255", "10.0.0.2")),
        ("what is from nobody", between("0.0.0.0", "10.0.0.2")),
        ("what is from nobody in IPv6", between("::", "2001:db8::2")),
        ("what is from us", between("10.0.0.2", "10.0.0.2")),
        ("what is from this host", between("::1", "2001:db8::2")),
        ("what is not for us", between("10.0.0.1", "10.0.0.3")),
        ("what is not for us in IPv6", between("2001:db8::1", "2001:db8::3")),
        ("an option for another", option_for_all("2001:db8::3")),
        ("an option for a group", option_for_all("ff02::1")),
        ("a later fragment", later),
        ("no next header", ip_packet(OURS_V6, 59, &[])),
    ];
    for (what, packet) in cases {
        let mut w = wire();
        w.inject(&packet);
        w.elapse_in_silence(Duration::from_secs(100));
        assert!(w.next_packet().is_none(), "{what}");
    }
}

/// ATTACK-10: Linux's icmp_msgs_burst and icmp_msgs_per_sec: 50 at once, and then 1,000 in a second for all together.
#[test]
fn errors_are_limited() {
    let mut w = wire();
    let burst = |w: &mut Wire, count: usize| {
        (0..count)
            .filter(|index| {
                w.inject(&datagram(if index % 2 == 0 { OURS } else { OURS_V6 }));
                w.next_packet().is_some()
            })
            .count()
    };
    assert_eq!(burst(&mut w, 1000), 50);
    w.now = w.now + ms(10);
    assert_eq!(burst(&mut w, 1000), 10);
    w.now = w.now + Duration::from_micros(900);
    assert_eq!(burst(&mut w, 10), 0);
    w.now = w.now + secs(3600);
    assert_eq!(burst(&mut w, 1000), 50);
    let mut sent = 0;
    for _ in 0..10_000 {
        w.now = w.now + Duration::from_micros(100);
        sent += burst(&mut w, 1);
    }
    assert!((999..=1001).contains(&sent), "{sent} in a second");
}

/// What waits to be sent is bounded, whoever asks for it.
#[test]
fn answers_that_wait_are_bounded() {
    let mut w = Wire::new(Config { ..config_v6() }, WE_LISTEN);
    for _ in 0..5000 {
        let request = icmp_packet(OURS_V6, 128, 0, [0; 4], b"data");
        w.stack.on_packet(Instant::ZERO, &request, ustcp_proto::Checksum::Full);
    }
    let answers = core::iter::from_fn(|| w.next_packet()).count();
    assert_eq!(answers, 1024);
}
