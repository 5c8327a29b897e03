//! The conversations of TCP over IPv6, and what is different there: RFC 8200, RFC 9293 §3.7.1, RFC 6437.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use ustcp_proto::{Census, Checksum, Config, DropReason, Error, Family, Flow, Shutdown, Stack, State};
use ustcp_wire::{Flags, IpPacket, SeqNum, TcpHeader};

use crate::wire::*;

fn connected() -> Wire {
    Wire::connected_to(config_v6(), PLAIN)
}

fn flow_label(packet: &[u8]) -> u32 {
    IpPacket::parse(packet).expect("a packet").header.flow_label
}

/// MUST-5, MUST-13, MUST-38: from the SYN to the end of TIME-WAIT, we first, and nothing is left.
#[test]
fn a_conversation_that_we_open() {
    let mut w = connected();
    let remote = SocketAddr::new(PEERS_V6, SERVER);
    assert_eq!(w.stack.peer_address(w.id()), Ok(remote));
    w.write(1500);
    w.sees(". 1:1001(1000) ack 1");
    w.sees("P. 1001:1501(500) ack 1");
    w.peer("P. 1:11(10) ack 1501");
    assert_eq!(w.read(99), Ok(10));
    w.shutdown(Shutdown::Write);
    w.sees("F. 1501:1501(0) ack 11");
    w.peer("F. 11:11(0) ack 1502");
    w.sees(". 1502:1502(0) ack 12");
    assert_eq!(w.state(), State::TimeWait);
    w.close();
    w.after(secs(60));
    assert_eq!(w.stack.census(), Census::default());
}

/// The same the other way round.
#[test]
fn a_conversation_that_we_accept() {
    let mut w = Wire::half_open(config_v6());
    w.peer(". 1:1(0) ack 1");
    w.accept();
    w.peer("FP. 1:11(10) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 12");
    assert_eq!((w.read(99), w.read(99)), (Ok(10), Ok(0)));
    w.write(10);
    w.sees("P. 1:11(10) ack 12");
    w.close();
    w.sees("F. 11:11(0) ack 12");
    w.peer(". 12:12(0) ack 12");
    w.close_listener();
    assert_eq!(w.stack.census(), Census::default());
}

/// MUST-14, MUST-67: 60 bytes of headers are between the MTU and what we announce, and what we send stays within both
/// that and the peer's MSS.
#[test]
fn the_segment_size() {
    for (mtu, mss) in [(1500, 1440), (1280, 1220), (9000, 8940)] {
        let mut w = Wire::new(Config { mtu, ..config_v6() }, WE_CONNECT);
        w.connect();
        let syn = w.sees("S 0:0(0)");
        assert_eq!(syn.options.and_then(|options| options.mss), Some(mss));
        w.peer("S. 0:0(0) ack 1 win 65535 <mss 65000>");
        w.sees(". 1:1(0) ack 1");
        w.write(10_000);
        let first = w.drain().remove(0);
        assert_eq!(first.len, usize::from(mss));
    }
}

/// MUST-15: a peer that names no MSS is taken to mean 1220.
#[test]
fn the_segment_size_of_a_silent_peer() {
    let mut w = Wire::connected_to(config_v6(), "win 65535");
    assert_eq!(w.info().snd_mss, 1220);
    w.write(2000);
    w.sees(". 1:1221(1220) ack 1");
    let mut w = Wire::listening(config_v6(), 1);
    w.peer("S 0:0(0) win 65535");
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    w.accept();
    assert_eq!(w.info().snd_mss, 1220);
}

/// 8200-2, RFC 6437 §3: all that is said in one conversation has one flow label and not 0, and others have others.
#[test]
fn the_flow_label() {
    let mut labels = Vec::new();
    for port in 1..=20 {
        let mut w = Wire::new(config_v6(), Ports(port, SERVER));
        w.connect();
        let label = flow_label(&w.next_packet().expect("a SYN"));
        w.after(secs(1));
        assert_eq!(flow_label(&w.next_packet().expect("a SYN again")), label);
        let id = w.id();
        w.stack.close(w.now, id).expect("close");
        assert_ne!(label, 0);
        labels.push(label);
    }
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), 20);

    let mut w = Wire::half_open(config_v6());
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    let syn_ack = flow_label(&w.next_packet().expect("a SYN-ACK again"));
    w.peer(". 1:1(0) ack 1");
    w.accept();
    w.write(10);
    let text = flow_label(&w.next_packet().expect("text"));
    w.abort();
    let reset = flow_label(&w.next_packet().expect("an RST"));
    assert!(syn_ack != 0 && syn_ack == text && text == reset);
}

/// RFC 9293 §3.10.7.1: nobody is there, and an RST says so.
#[test]
fn a_closed_port() {
    let mut w = Wire::new(config_v6(), WE_LISTEN);
    w.peer("S 0:0(0) win 1000");
    w.sees("R. 0:0(0) ack 1");
}

/// 8200-3, MUST-2, MUST-3: the checksum covers the addresses of IPv6.
#[test]
fn a_wrong_checksum() {
    let mut w = connected();
    let mut packet = w.packet(&Segment::read("P. 1:11(10) ack 1"));
    for at in [8 + 15, 24 + 15, 56, 57, 69] {
        packet[at] ^= 4;
        w.inject(&packet);
        packet[at] ^= 4;
    }
    // Our own address changed is somebody else's.
    assert_eq!((w.drops(DropReason::Checksum), w.drops(DropReason::NotOurs)), (4, 1));
    w.inject(&packet);
    assert_eq!(w.read(99), Ok(10));
}

/// 8200-1, RFC 8200 §4: a segment behind extension headers is a segment.
#[test]
fn extension_headers() {
    let mut w = connected();
    let packet = w.packet(&Segment::read("P. 1:11(10) ack 1"));
    // Hop-by-hop and destination options of padding, a route at its end, a fragment header that is whole.
    let options = [0, 0, 1, 4, 0, 0, 0, 0];
    let extensions: [(u8, [u8; 8]); 4] = [
        (0, options),
        (60, options),
        (43, [0, 0, 4, 0, 0, 0, 0, 0]),
        (44, [0, 0, 0, 0, 1, 2, 3, 4]),
    ];
    let numbers: Vec<u8> = extensions.iter().map(|(number, _)| *number).chain([6]).collect();
    let mut payload = Vec::new();
    for (index, (_, mut header)) in extensions.into_iter().enumerate() {
        header[0] = numbers[index + 1];
        payload.extend_from_slice(&header);
    }
    payload.extend_from_slice(&packet[40..]);
    w.inject(&ip_packet(OURS_V6, 0, &payload));
    assert_eq!(w.read(99), Ok(10));
}

/// MUST-63, RFC 4291 §2.5, RFC 4942 §2.2: sources that no host can have.
#[test]
fn martians() {
    let sources: [Ipv6Addr; 6] = [
        Ipv6Addr::UNSPECIFIED,
        Ipv6Addr::LOCALHOST,
        "ff02::1".parse().expect("an address"),
        "2001:db8::2".parse().expect("an address"), // ours: LAND
        "::ffff:10.0.0.1".parse().expect("an address"),
        "::ffff:127.0.0.1".parse().expect("an address"),
    ];
    let header = TcpHeader {
        source_port: 1,
        destination_port: SERVER,
        flags: Flags::SYN,
        seq: SeqNum(9),
        window: 1000,
        ..TcpHeader::default()
    };
    let mut w = Wire::listening(config_v6(), 8);
    for source in sources {
        w.inject(&packet(IpAddr::V6(source), OURS_V6, &header, &[]));
        w.quiet();
    }
    assert_eq!(w.drops(DropReason::Martian), sources.len() as u64);
    for destination in ["::1", "ff02::1", "::", "2001:db8::3", "::ffff:10.0.0.2"] {
        let destination: Ipv6Addr = destination.parse().expect("an address");
        w.inject(&packet(PEERS_V6, IpAddr::V6(destination), &header, &[]));
        w.quiet();
    }
    assert_eq!(w.drops(DropReason::NotOurs), 5);
    assert_eq!(w.stack.census().half_open, 0);
}

/// MUST-46, MUST-57: where nobody can be connected to.
#[test]
fn groups_are_not_connected_to() {
    let mut stack = Stack::new(config_v6());
    let id = stack.socket(Family::V6).expect("a socket");
    let group = "[ff02::1]:80".parse().expect("an address");
    assert_eq!(
        stack.connect(ustcp_proto::Instant::ZERO, id, group),
        Err(Error::NetworkUnreachable)
    );
    assert_eq!(stack.bind(id, group), Err(Error::AddressNotAvailable));
}

/// MUST-44: an address of the other family does not serve.
#[test]
fn no_address_of_the_family() {
    for (config, family, remote) in [(config(), Family::V6, PEERS_V6), (config_v6(), Family::V4, PEERS)] {
        let mut stack = Stack::new(config);
        let id = stack.socket(family).expect("a socket");
        let result = stack.connect(ustcp_proto::Instant::ZERO, id, SocketAddr::new(remote, 80));
        assert_eq!(result, Err(Error::NetworkUnreachable));
    }
}

/// The same ports at both families are two connections.
#[test]
fn the_families_do_not_meet() {
    let mut both = config_v6();
    both.addresses.extend(config().addresses);
    let mut w = Wire::connected_to(both, PLAIN);
    let first = w.flow();
    let text_in_ipv4 = TcpHeader {
        source_port: first.remote.port(),
        destination_port: first.local.port(),
        flags: Flags::ACK,
        seq: SeqNum(PEER_ISN.wrapping_add(1)),
        ack: SeqNum(w.iss().wrapping_add(1)),
        window: 1000,
        ..TcpHeader::default()
    };
    let stranger = packet(PEERS, OURS, &text_in_ipv4, b"text");
    w.stack.on_packet(w.now, &stranger, Checksum::Full);
    assert_eq!((w.drops(DropReason::NoSocket), w.stack.queued_in(w.id())), (1, Ok(0)));
    assert_eq!(w.flow(), Flow { ..first });
}

/// Super-segments of IPv6 have room for 1440 bytes in each piece.
#[test]
fn super_segments() {
    let mut w = Wire::connected_to(
        Config {
            segmentation_offload: 65_000,
            ..config_v6()
        },
        "win 65535 <mss 9000>",
    );
    w.write(14_400);
    let transmit = w.stack.poll_transmit(w.now).expect("text");
    assert_eq!((transmit.segment_size, transmit.text[0].len()), (Some(1440), 14_400));
}
