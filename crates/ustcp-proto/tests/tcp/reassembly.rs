//! Segments that came in fragments: RFC 791 §3.2, RFC 8200 §4.5, RFC 5722.

use core::net::IpAddr;

use ustcp_proto::{Census, DropReason, ReassemblyCounts, Timer};
use ustcp_wire::{IpPacket, Protocol, Sum};

use crate::wire::*;

/// A connection of the family of `ours`, and the bytes of the peer's next segment of 1,000.
fn connected(ours: IpAddr) -> (Wire, Vec<u8>) {
    let config = if ours.is_ipv4() { config() } else { config_v6() };
    let mut w = Wire::connected_to(config, PLAIN);
    let packet = w.packet(&Segment::read("P. 1:1001(1000) ack 1"));
    (w, packet)
}

/// The fragment of `packet` with the bytes of its payload in `range`.
fn fragment(packet: &[u8], identification: u32, range: core::ops::Range<usize>) -> Vec<u8> {
    let payload = IpPacket::parse(packet).expect("a packet").payload;
    let (offset, more) = (range.start, range.end < payload.len());
    let [high, low] = u16::try_from(offset).expect("short").to_be_bytes();
    let piece = &payload[range];
    if packet[0] >> 4 == 6 {
        let id = identification.to_be_bytes();
        let extension = [6, 0, high, low | u8::from(more), id[0], id[1], id[2], id[3]];
        return ip_packet(OURS_V6, 44, &[&extension, piece].concat());
    }
    let mut fragment = ip_packet(OURS, 6, piece);
    let offset = u16::try_from(offset / 8).expect("short") | u16::from(more) << 13;
    fragment[4..6].copy_from_slice(&identification.to_be_bytes()[2..]);
    fragment[6..8].copy_from_slice(&offset.to_be_bytes());
    fragment[10..12].copy_from_slice(&[0, 0]);
    let sum = Sum::default().add(&fragment[..20]).checksum();
    fragment[10..12].copy_from_slice(&sum.to_be_bytes());
    fragment
}

/// 1122-2, 8200-1: in whatever order the pieces come, the segment is what it was, and no memory is held when it is whole.
#[test]
fn a_segment_in_three_pieces() {
    for ours in [OURS, OURS_V6] {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let (mut w, packet) = connected(ours);
            let pieces = [0..400, 400..800, 800..1020];
            for (count, index) in order.into_iter().enumerate() {
                assert_eq!(w.stack.queued_in(w.id()), Ok(0));
                w.inject(&fragment(&packet, 7, pieces[index].clone()));
                assert_eq!(w.stack.census().fragment_bytes > 0, count < 2);
            }
            assert_eq!(w.read(9999), Ok(1000));
            let counts = ReassemblyCounts {
                fragments: 3,
                reassembled: 1,
                ..ReassemblyCounts::default()
            };
            assert_eq!(w.stack.reassembly(), counts);
            assert_eq!(w.drops(DropReason::Fragment), 0);
        }
    }
}

/// The checksum of a whole that came in pieces is verified, whatever the device says of each piece.
#[test]
fn a_wrong_whole() {
    for ours in [OURS, OURS_V6] {
        let (mut w, mut packet) = connected(ours);
        *packet.last_mut().expect("a byte") ^= 1;
        for range in [0..512, 512..1020] {
            let piece = fragment(&packet, 7, range);
            w.stack.on_packet(w.now, &piece, ustcp_proto::Checksum::Offloaded);
        }
        assert_eq!((w.drops(DropReason::Checksum), w.stack.queued_in(w.id())), (1, Ok(0)));
    }
}

/// ATTACK-26, 1122-2, 8200-1, RFC 5722, CVE-2018-5391: pieces that overlap end the datagram they are of.
#[test]
fn overlapping_pieces() {
    for ours in [OURS, OURS_V6] {
        let (mut w, packet) = connected(ours);
        for range in [0..512, 504..1020, 512..1020] {
            w.inject(&fragment(&packet, 7, range));
        }
        assert_eq!((w.drops(DropReason::Fragment), w.stack.queued_in(w.id())), (1, Ok(0)));
        assert_eq!(w.stack.reassembly().refused, 1);
    }
}

/// ATTACK-27, 1122-2, RFC 1122 §3.3.2, RFC 8200 §4.5: 30 and 60 s after its first piece a datagram is given up, and its sender is told
/// where the piece with the ports came.
#[test]
fn the_time_for_the_rest() {
    for (ours, limit, message) in [(OURS, secs(30), [11, 1]), (OURS_V6, secs(60), [3, 1])] {
        for (range, told) in [(0..512, true), (512..1020, false)] {
            let (mut w, packet) = connected(ours);
            let begin = w.now;
            w.inject(&fragment(&packet, 7, range));
            assert_eq!(w.stack.poll_timeout(), Some((begin + limit, Timer::Reassembly)));
            w.after(limit - ms(1));
            assert!(w.stack.census().fragment_bytes > 0);
            w.now = begin + limit;
            w.stack.on_timeout(w.now);
            assert_eq!((w.stack.census().fragment_bytes, w.stack.poll_timeout()), (0, None));
            assert_eq!(w.drops(DropReason::Fragment), 1);
            let error = w.next_packet();
            assert_eq!(error.is_some(), told);
            if let Some(error) = error {
                let ip = IpPacket::parse(&error).expect("a packet");
                assert_eq!((ip.header.destination, &ip.payload[..2]), (w.peers, &message[..]));
            }
        }
    }
}

/// However many begin, memory stays below 4 MiB, and time frees all of it.
#[test]
fn a_flood_of_beginnings() {
    for ours in [OURS, OURS_V6] {
        let (mut w, packet) = connected(ours);
        let begun = w.now;
        for identification in 0..20_000 {
            w.inject(&fragment(&packet, identification, 0..512));
        }
        let held = w.stack.census().fragment_bytes;
        assert!((100_000..=4 << 20).contains(&held), "{held}");
        assert!(w.drops(DropReason::Fragment) > 10_000);
        // An honest datagram is still put together.
        for range in [0..512, 512..1020] {
            w.inject(&fragment(&packet, 65_000, range));
        }
        assert_eq!(w.read(9999), Ok(1000));
        w.drain();
        w.now = begun + secs(60);
        w.stack.on_timeout(w.now);
        assert_eq!(w.stack.census().fragment_bytes, 0);
        let errors = core::iter::from_fn(|| w.next_packet())
            .filter(|packet| IpPacket::parse(packet).is_ok_and(|ip| ip.header.protocol != Protocol::Tcp))
            .count();
        assert_eq!(errors, 50, "as many as the limit lets go");
        w.abort();
        w.drain();
        w.close();
        assert_eq!(w.stack.census(), Census::default());
    }
}
