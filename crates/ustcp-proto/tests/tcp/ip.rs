//! What of IP has an effect on TCP: RFC 791, RFC 1122 §3.2.

use ustcp_proto::{DropReason, State};
use ustcp_wire::Sum;

use crate::wire::*;

/// The packet with its IP header replaced by what `change` makes of it, the checksum right again.
fn with_ip_header(packet: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (mut header, payload) = (packet[..20].to_vec(), &packet[20..]);
    change(&mut header);
    header[0] = 0x40 | u8::try_from(header.len() / 4).expect("short");
    let total = u16::try_from(header.len() + payload.len())
        .expect("short")
        .to_be_bytes();
    header[2..4].copy_from_slice(&total);
    header[10..12].copy_from_slice(&[0, 0]);
    let sum = Sum::default().add(&header).checksum().to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    [&header, payload].concat()
}

fn text_of_ten(w: &mut Wire) -> Vec<u8> {
    w.packet(&Segment::read("P. 1:11(10) ack 1"))
}

/// MUST-50, MAY-10, MAY-11: options in the IP header, known or not, change nothing.
#[test]
fn ip_options_are_ignored() {
    for options in [
        &[1, 1, 1, 0][..],
        &[0x99, 4, 1, 2],
        &[0x44, 8, 5, 0, 0, 0, 0, 0],
        &[7, 7, 4, 0, 0, 0, 0, 0],
        &[0x83, 7, 4, 10, 0, 0, 9, 0],
        &[0x99, 255, 0, 0],
    ] {
        let mut w = Wire::connected();
        let packet = text_of_ten(&mut w);
        w.inject(&with_ip_header(&packet, |header| header.extend_from_slice(options)));
        assert_eq!(w.read(99), Ok(10), "{options:?}");
    }
}

/// What is said about service, ECN among it, and a low TTL change nothing either.
#[test]
fn service_and_ttl_are_ignored() {
    let mut w = Wire::connected();
    let packet = text_of_ten(&mut w);
    w.inject(&with_ip_header(&packet, |header| {
        header[1] = 0xff;
        header[8] = 1;
    }));
    assert_eq!(w.read(99), Ok(10));
}

/// No part of a datagram is taken for the whole.
#[test]
fn fragments_are_not_taken_for_datagrams() {
    let mut w = Wire::connected();
    let packet = text_of_ten(&mut w);
    for fragment in [[0x20, 0], [0x20, 1], [0, 1], [0x1f, 0xff]] {
        w.inject(&with_ip_header(&packet, |header| {
            header[6..8].copy_from_slice(&fragment)
        }));
        w.quiet();
    }
    // The first two say that more follow and are of no multiple of 8 bytes, the last ends past the largest packet, and
    // the third waits for what is before it.
    assert_eq!((w.drops(DropReason::Fragment), w.stack.queued_in(w.id())), (3, Ok(0)));
    assert!(w.stack.census().fragment_bytes > 0);
}

/// 1122-1: a length that is shorter than the packet is trimmed, one that is longer is no packet.
#[test]
fn lengths_that_lie() {
    let mut w = Wire::connected();
    let packet = text_of_ten(&mut w);
    for extra in [1, 8, 1000] {
        w.inject(&[&packet[..], &vec![0xee; extra]].concat());
    }
    assert_eq!(w.read(9999), Ok(10));
    for missing in 1..packet.len() {
        w.inject(&packet[..packet.len() - missing]);
    }
    assert_eq!(w.drops(DropReason::Malformed), packet.len() as u64 - 1);
    assert_eq!(w.state(), State::Established);
}

/// 1122-3, MUST-57: an echo request to everybody is answered by nobody.
#[test]
fn no_echo_to_broadcasts() {
    let mut w = Wire::new(config(), WE_LISTEN);
    let message = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    for destination in [[255, 255, 255, 255], [10, 0, 0, 255], [224, 0, 0, 1]] {
        let plain = [
            &[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1][..],
            &destination,
            &message,
        ]
        .concat();
        w.inject(&with_ip_header(&plain, |_| {}));
        assert!(w.next_packet().is_none());
    }
    let ours = [
        &[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2][..],
        &message,
    ]
    .concat();
    w.inject(&with_ip_header(&ours, |_| {}));
    assert!(w.next_packet().is_some(), "the same to us is");
}

/// MUST-53: a SYN with a source route (loose or strict) is answered, and the answer takes no route of the peer's choice.
#[test]
fn a_source_route_is_not_taken_back() {
    for kind in [0x83, 0x89] {
        let mut w = Wire::listening(config(), 8);
        let syn = w.packet(&Segment::read("S 0:0(0) <mss 1000>"));
        let routed = with_ip_header(&syn, |header| header.extend_from_slice(&[kind, 7, 8, 10, 0, 0, 9, 0]));
        w.inject(&routed);
        let answer = w.next_packet().expect("a SYN-ACK");
        assert_eq!(
            (answer[0], &answer[16..20]),
            (0x45, &[10, 0, 0, 1][..]),
            "no options, straight to the peer"
        );
    }
}
