use core::net::IpAddr;

use etherparse::{Ipv4HeaderSlice, PacketBuilder, TcpHeaderSlice, TcpOptionElement, TcpSlice};
use proptest::prelude::*;

use super::*;
use crate::testing::{IP, IP6, any_bytes, any_ip, any_ipv4, any_tcp, packet};
use crate::{IpPacket, complete_checksum};

/// An ACK with four bytes of text, as the payload of an IP packet.
fn ack() -> Vec<u8> {
    let header = TcpHeader {
        source_port: 1025,
        destination_port: 80,
        flags: Flags::ACK,
        ..TcpHeader::default()
    };
    packet(&IP, &header, b"text").split_off(20)
}

#[test]
fn the_bytes_of_a_header() {
    let header = TcpHeader {
        source_port: 0x1234,
        destination_port: 80,
        seq: SeqNum(0x0102_0304),
        ack: SeqNum(0x0506_0708),
        flags: Flags::SYN | Flags::ACK,
        window: 0xfaf0,
        urgent: 9,
        options: TcpOptions {
            mss: Some(1460),
            ..TcpOptions::default()
        },
    };
    let bytes = packet(&IP, &header, b"x");
    let before = [0x12, 0x34, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x60, 0x12, 0xfa, 0xf0];
    assert_eq!(
        (&bytes[20..36], &bytes[38..]),
        (&before[..], &[0, 9, 2, 4, 0x05, 0xb4, b'x'][..])
    );
}

#[test]
fn what_is_not_a_segment_and_why() {
    type Tamper = fn(&mut Vec<u8>);
    let cases: [(&str, Tamper, Malformed); 6] = [
        ("no bytes", |s| s.clear(), Malformed::Truncated),
        ("a header cut short", |s| s.truncate(19), Malformed::Truncated),
        ("data offset 4", |s| s[12] = 0x40, Malformed::BadLength),
        ("data offset 0", |s| s[12] = 0x00, Malformed::BadLength),
        ("data offset past the end", |s| s[12] = 0x70, Malformed::Truncated),
        ("checksum off by one", |s| s[17] ^= 1, Malformed::BadChecksum),
    ];
    for (name, tamper, malformed) in cases {
        let mut segment = ack();
        tamper(&mut segment);
        assert_eq!(
            TcpSegment::parse(&IP, &segment, Checksum::Full),
            Err(malformed),
            "{name}"
        );
    }
}

#[test]
fn a_checksum_vouched_for_by_the_device_is_believed() {
    let mut segment = ack();
    segment[17] ^= 1;
    assert_eq!(
        TcpSegment::parse(&IP, &segment, Checksum::Offloaded).unwrap().payload,
        b"text"
    );
}

#[test]
fn the_checksum_covers_the_addresses() {
    let segment = ack();
    let elsewhere = IpHeader {
        destination: IpAddr::from([10, 77, 0, 3]),
        ..IP
    };
    assert_eq!(
        TcpSegment::parse(&elsewhere, &segment, Checksum::Full),
        Err(Malformed::BadChecksum)
    );
}

#[test]
fn reserved_bits_say_nothing() {
    let mut segment = ack();
    segment[12] |= 0x0f;
    assert_eq!(
        TcpSegment::parse(&IP, &segment, Checksum::Offloaded)
            .unwrap()
            .header
            .flags,
        Flags::ACK
    );
}

#[test]
fn text_longer_than_a_packet_can_be_does_no_harm() {
    let text = vec![0; 70_000];
    let headers = Headers::new(&IP, &TcpHeader::default(), [&text, &text], Checksum::Full);
    assert_eq!((headers.bytes().len(), headers.ip_len()), (40, 20));
}

#[test]
fn the_checksum_over_ipv6_is_etherparses() {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (IP6.source, IP6.destination) else {
        unreachable!()
    };
    let headers = Headers::new(&IP6, &TcpHeader::default(), [b"abc", b"de"], Checksum::Full);
    assert_eq!((headers.ip_len(), headers.bytes().len()), (40, 60));
    let tcp = TcpHeaderSlice::from_slice(&headers.bytes()[40..]).unwrap();
    let expected = tcp
        .calc_checksum_ipv6_raw(source.octets(), destination.octets(), b"abcde")
        .unwrap();
    assert_eq!(tcp.checksum(), expected);
}

// RFC 8200 §8.1: addresses, length and next header, as the sender put them down by hand here.
#[test]
fn the_pseudo_header_of_ipv6_is_that_of_rfc_8200() {
    let header = TcpHeader {
        source_port: 0x1234,
        destination_port: 80,
        flags: Flags::SYN,
        ..TcpHeader::default()
    };
    let bytes = packet(&IP6, &header, b"x");
    // fd00::2, fd00::1, length 21, next header 6; then the segment, its checksum left out, the odd byte filled up.
    let words = [
        0xfd00u32, 2, 0xfd00, 1, 21, 6, 0x1234, 80, 0, 0, 0, 0, 0x5002, 0, 0, 0x7800,
    ];
    let sum: u32 = words.iter().sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    assert_eq!(bytes[56..58], (!(folded as u16)).to_be_bytes());
}

#[test]
fn the_largest_headers_fit() {
    let options = TcpOptions {
        mss: Some(1440),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(crate::Timestamps { value: 1, echo: 2 }),
        fast_open: crate::FastOpenCookie::new(&[7; 16]),
        ..TcpOptions::default()
    };
    let header = TcpHeader {
        options,
        ..TcpHeader::default()
    };
    let headers = Headers::new(&IP6, &header, [&[], &[]], Checksum::Full);
    assert_eq!((headers.ip_len(), headers.bytes().len()), (40, 100));
    let ip = IpPacket::parse(headers.bytes()).unwrap();
    let segment = TcpSegment::parse(&ip.header, ip.payload, Checksum::Full).unwrap();
    assert_eq!((ip.header, segment.header), (IP6, header));
}

#[test]
fn flags_are_written_as_rfc_texts_write_them() {
    assert_eq!((Flags::SYN | Flags::ACK).to_string(), "SYN,ACK");
    assert_eq!(Flags::NONE.to_string(), "none");
    assert_eq!(format!("{:?}", Flags(0xff)), "FIN,SYN,RST,PSH,ACK,URG,ECE,CWR");
    assert_eq!((Flags::FIN | Flags::ACK).without(Flags::FIN | Flags::PSH), Flags::ACK);
}

proptest! {
    #[test]
    fn what_was_written_is_what_is_read(ip in any_ip(), header in any_tcp(), text in any_bytes(100), cut in 0..=100usize) {
        let parts = text.split_at(cut.min(text.len()));
        let headers = Headers::new(&ip, &header, [parts.0, parts.1], Checksum::Full);
        prop_assert_eq!(headers.ip_len(), if ip.source.is_ipv4() { 20 } else { 40 });
        let bytes = [headers.bytes(), &text].concat();
        let read = IpPacket::parse(&bytes).unwrap();
        prop_assert_eq!(read.header, ip);
        let segment = TcpSegment::parse(&read.header, read.payload, Checksum::Full);
        prop_assert_eq!(segment, Ok(TcpSegment { header, payload: &text, ecn: Ecn::of(ip.traffic_class) }));
    }

    #[test]
    fn etherparse_agrees_on_what_was_written(ip in any_ipv4(), header in any_tcp(), text in any_bytes(100)) {
        let bytes = packet(&ip, &header, &text);
        let outer = Ipv4HeaderSlice::from_slice(&bytes).unwrap();
        prop_assert_eq!(outer.header_checksum(), outer.to_header().calc_header_checksum());
        let tcp = TcpSlice::from_slice(&bytes[20..]).unwrap();
        prop_assert_eq!(tcp.checksum(), tcp.calc_checksum_ipv4(outer.source(), outer.destination()).unwrap());
        prop_assert_eq!((tcp.source_port(), tcp.destination_port()), (header.source_port, header.destination_port));
        prop_assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number()), (header.seq.0, header.ack.0));
        let bits = [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack(), tcp.urg(), tcp.ece(), tcp.cwr()];
        prop_assert_eq!((0..8).map(|bit| header.flags.0 >> bit & 1 == 1).collect::<Vec<_>>(), bits);
        prop_assert_eq!((tcp.window_size(), tcp.urgent_pointer()), (header.window, header.urgent));
        prop_assert_eq!(tcp.payload(), &text[..]);
    }

    #[test]
    fn what_etherparse_wrote_over_ipv6_is_read(source: [u8; 16], destination: [u8; 16], seq: u32, text in any_bytes(100)) {
        let mut bytes = Vec::new();
        PacketBuilder::ipv6(source, destination, 3).tcp(1, 2, seq, 9).psh().write(&mut bytes, &text).unwrap();
        let read = IpPacket::parse(&bytes).unwrap();
        prop_assert_eq!((read.header.source, read.header.destination), (source.into(), destination.into()));
        let segment = TcpSegment::parse(&read.header, read.payload, Checksum::Full).unwrap();
        prop_assert_eq!((segment.header.seq, segment.header.flags), (SeqNum(seq), Flags::PSH));
        prop_assert_eq!(segment.payload, &text[..]);
    }

    #[test]
    fn what_etherparse_wrote_is_read(source: [u8; 4], destination: [u8; 4], seq: u32, window: u16, text in any_bytes(100)) {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(source, destination, 3)
            .tcp(1, 2, seq, window)
            .psh()
            .options(&[TcpOptionElement::MaximumSegmentSize(1400), TcpOptionElement::WindowScale(9)])
            .unwrap()
            .write(&mut bytes, &text)
            .unwrap();
        let read = IpPacket::parse(&bytes).unwrap();
        prop_assert_eq!((read.header.source, read.header.destination), (source.into(), destination.into()));
        let segment = TcpSegment::parse(&read.header, read.payload, Checksum::Full).unwrap();
        let options = TcpOptions { mss: Some(1400), window_scale: Some(9), ..TcpOptions::default() };
        prop_assert_eq!((segment.header.seq, segment.header.window), (SeqNum(seq), window));
        prop_assert_eq!((segment.header.flags, segment.header.options), (Flags::PSH, options));
        prop_assert_eq!(segment.payload, &text[..]);
    }

    #[test]
    fn a_partial_checksum_is_the_pseudo_headers_and_completes_to_the_full(ip in any_ip(), header in any_tcp(), text in any_bytes(100)) {
        let headers = Headers::new(&ip, &header, [&text, &[]], Checksum::Offloaded);
        let at = headers.ip_len() + CHECKSUM_AT;
        let segment_len = headers.bytes().len() - headers.ip_len() + text.len();
        let pseudo = pseudo_header_sum(ip.source, ip.destination, Protocol::Tcp, segment_len).folded();
        prop_assert_eq!(&headers.bytes()[at..at + 2], &pseudo.to_be_bytes()[..]);
        let mut bytes = [headers.bytes(), &text].concat();
        complete_checksum(&mut bytes);
        prop_assert_eq!(bytes, packet(&ip, &header, &text));
    }

    #[test]
    fn every_flipped_bit_of_a_segment_is_refused(header in any_tcp(), text in any_bytes(60), bit: prop::sample::Index) {
        for (ip, header_len) in [(IP, 20), (IP6, 40)] {
            let mut segment = packet(&ip, &header, &text).split_off(header_len);
            let bit = bit.index(segment.len() * 8);
            segment[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(TcpSegment::parse(&ip, &segment, Checksum::Full).is_err());
        }
    }

    #[test]
    fn a_truncated_header_is_refused_at_every_length(header in any_tcp(), text in any_bytes(8)) {
        let segment = packet(&IP, &header, &text).split_off(20);
        let header_len = segment.len() - text.len();
        for len in 0..=segment.len() {
            let read = TcpSegment::parse(&IP, &segment[..len], Checksum::Offloaded);
            if len < header_len {
                prop_assert_eq!(read, Err(Malformed::Truncated));
            } else {
                prop_assert_eq!(read.unwrap().payload, &text[..len - header_len]);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in any_bytes(120), offset in 5..=15u8) {
        let _ = TcpSegment::parse(&IP, &bytes, Checksum::Full);
        if bytes.len() >= 20 {
            bytes[12] = offset << 4;
            let read = TcpSegment::parse(&IP, &bytes, Checksum::Offloaded);
            prop_assert_eq!(read.is_ok(), usize::from(offset) * 4 <= bytes.len());
        }
    }
}
