//! ICMP for IPv6 that comes in: RFC 4443, RFC 8201, RFC 5927.

use ustcp_proto::{DropReason, Error, State};
use ustcp_wire::{IpPacket, Protocol, pseudo_header_sum};

use crate::wire::*;

const UNREACHABLE: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PARAMETER_PROBLEM: u8 = 4;

/// An error about a packet of ours: all of it is quoted that fits.
fn about(packet: &[u8], kind: u8, code: u8, value: u32) -> Vec<u8> {
    let quoted = &packet[..packet.len().min(1232)];
    icmp_packet(OURS_V6, kind, code, value.to_be_bytes(), quoted)
}

/// A text segment of 1,440 bytes in flight, as bytes.
fn in_flight() -> (Wire, Vec<u8>) {
    let mut w = Wire::connected_to(config_v6(), "win 65535 <mss 1440>");
    w.write(14_400);
    let first = w.next_packet().expect("text");
    w.drain();
    (w, first)
}

/// RFC 4443 §4.2: an echo request comes back with its data, whatever its length.
#[test]
fn echo() {
    let mut w = Wire::new(config_v6(), WE_LISTEN);
    for len in [0, 1, 56, 1000, 20_000] {
        let data = text(1, len);
        w.inject(&icmp_packet(OURS_V6, 128, 0, [1, 2, 3, 4], &data));
        let reply = w.next_packet().expect("a reply");
        let ip = IpPacket::parse(&reply).expect("a packet");
        let between = (ip.header.source, ip.header.destination, ip.header.protocol);
        assert_eq!(between, (OURS_V6, PEERS_V6, Protocol::Icmpv6));
        assert_eq!(
            (&ip.payload[..2], &ip.payload[4..8]),
            (&[129, 0][..], &[1, 2, 3, 4][..])
        );
        assert!(ip.payload[8..] == data);
        let covered = pseudo_header_sum(OURS_V6, PEERS_V6, Protocol::Icmpv6, ip.payload.len());
        assert!(covered.add(ip.payload).verifies());
    }
    assert_eq!(w.stack.counters().echo_replies, 5);
}

/// A wrong checksum or another type brings no answer, neighbour discovery (there is no link to have neighbours on) and
/// the ICMP of IPv4 among it.
#[test]
fn no_answer_to_others() {
    let mut w = Wire::new(config_v6(), WE_LISTEN);
    let mut bad = icmp_packet(OURS_V6, 128, 0, [0; 4], b"data");
    bad[50] ^= 1;
    w.inject(&bad);
    for kind in (0..=255).filter(|kind| *kind != 128) {
        w.inject(&icmp_packet(OURS_V6, kind, 0, [0; 4], b"data"));
    }
    assert!(w.next_packet().is_none());
    assert_eq!(w.drops(DropReason::Checksum), 1);
}

/// RFC 8201 §4: the path carries less: the segment size falls, and what was too large goes again at once.
#[test]
fn packet_too_big() {
    let (mut w, first) = in_flight();
    let before = w.info();
    w.inject(&about(&first, PACKET_TOO_BIG, 0, 1400));
    assert_eq!((w.info().pmtu, w.info().snd_mss), (1400, 1340));
    w.sees(". 1:1341(1340) ack 1");
    assert_eq!((w.info().ssthresh, w.info().retransmits), (before.ssthresh, 0));
}

/// ATTACK-9, 8201-1: never up, and what is below 1280 is not believed at all.
#[test]
fn sizes_that_routers_name() {
    for (named, pmtu) in [
        (1499, 1499),
        (1500, 1500),
        (9000, 1500),
        (u32::MAX, 1500),
        (1280, 1280),
        (1279, 1500),
        (68, 1500),
        (1, 1500),
    ] {
        let (mut w, first) = in_flight();
        w.inject(&about(&first, PACKET_TOO_BIG, 0, named));
        assert_eq!(w.info().pmtu, pmtu, "{named}");
    }
}

/// RFC 5927 §4.1, MUST-54: only what quotes a segment in flight is believed.
#[test]
fn a_quote_out_of_flight_is_ignored() {
    let (mut w, first) = in_flight();
    for offset in [-1, 14_401, 1_000_000, -1_000_000] {
        let mut quoted = first.clone();
        let seq = u32::from_be_bytes(*quoted[44..].first_chunk().expect("four")).wrapping_add_signed(offset);
        quoted[44..48].copy_from_slice(&seq.to_be_bytes());
        w.inject(&about(&quoted, PACKET_TOO_BIG, 0, 1300));
    }
    let mut other = first.clone();
    other[40] ^= 1; // another port
    w.inject(&about(&other, PACKET_TOO_BIG, 0, 1300));
    let mut other = first;
    other[39] ^= 1; // another address
    w.inject(&about(&other, PACKET_TOO_BIG, 0, 1300));
    assert_eq!((w.info().pmtu, w.drops(DropReason::OutOfWindow)), (1500, 6));
}

/// SHLD-26, RFC 4443 §3.1: in SYN-SENT port unreachable is believed.
#[test]
fn a_hard_error_ends_an_attempt() {
    let mut w = Wire::new(config_v6(), WE_CONNECT);
    w.connect();
    let syn = w.next_packet().expect("a SYN");
    w.inject(&about(&syn, UNREACHABLE, 4, 0));
    let end = (w.state(), w.take_error());
    assert_eq!(end, (State::Closed, Some(Error::ConnectionRefused)));
}

/// MUST-56, SHLD-25, MUST-47: the others are hints: the attempt goes on, and when it fails they say why.
#[test]
fn soft_errors_are_the_reason_in_the_end() {
    for (kind, code, reason) in [
        (UNREACHABLE, 0, Error::NetworkUnreachable),
        (UNREACHABLE, 3, Error::HostUnreachable),
        (TIME_EXCEEDED, 0, Error::HostUnreachable),
        (PARAMETER_PROBLEM, 1, Error::ProtocolError),
    ] {
        let mut w = Wire::new(config_v6(), WE_CONNECT);
        w.connect();
        let syn = w.next_packet().expect("a SYN");
        w.inject(&about(&syn, kind, code, 0));
        assert_eq!(w.state(), State::SynSent);
        w.after(secs(1));
        w.sees("S 0:0(0)");
        w.elapse(secs(300));
        assert_eq!(w.take_error(), Some(reason), "{kind} {code}");
    }
}

/// MUST-56, RFC 5927 §5.2: nothing of the kind ends a connection that stands.
#[test]
fn no_error_ends_a_connection() {
    let (mut w, first) = in_flight();
    for kind in [UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM] {
        for code in 0..=8 {
            w.inject(&about(&first, kind, code, 0));
            assert_eq!(w.state(), State::Established);
        }
    }
    w.peer(". 1:1(0) ack 14401");
    assert_eq!((w.stack.queued_out(w.id()), w.take_error()), (Ok(0), None));
}

/// A quote cut short anywhere before its end of eight bytes of TCP is no quote.
#[test]
fn short_quotes() {
    let (mut w, first) = in_flight();
    for len in 0..48 {
        w.inject(&icmp_packet(
            OURS_V6,
            PACKET_TOO_BIG,
            0,
            1300_u32.to_be_bytes(),
            &first[..len],
        ));
    }
    assert_eq!(w.info().pmtu, 1500);
    w.inject(&icmp_packet(
        OURS_V6,
        PACKET_TOO_BIG,
        0,
        1300_u32.to_be_bytes(),
        &first[..48],
    ));
    assert_eq!(w.info().pmtu, 1300);
}

/// SHLD-26: a hard error about a SYN-ACK ends the half-open connection, a soft one does not (MUST-56).
#[test]
fn errors_about_half_open_connections() {
    for (code, left) in [(0, 1), (3, 1), (1, 0), (4, 0)] {
        let mut w = Wire::listening(config_v6(), 8);
        w.peer("S 0:0(0) <mss 1000>");
        let syn_ack = w.next_packet().expect("a SYN-ACK");
        w.inject(&about(&syn_ack, UNREACHABLE, code, 0));
        assert_eq!(w.stack.census().half_open, left, "{code}");
    }
}
