use etherparse::{IpSlice, TcpSlice};
use proptest::prelude::*;

use super::*;
use crate::testing::{IP, IP6, any_bytes, any_ip, any_tcp, extended_packet, ip_packet, packet, repair_ip_checksum};
use crate::{Checksum, Headers, SeqNum, TcpHeader, TcpSegment};

const HEADER: TcpHeader = TcpHeader {
    source_port: 40_000,
    destination_port: 80,
    seq: SeqNum(u32::MAX - 99),
    ack: SeqNum(5),
    flags: Flags::ACK,
    window: 500,
    urgent: 0,
    options: crate::TcpOptions {
        mss: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: Some(crate::Timestamps { value: 1, echo: 2 }),
        fast_open: None,
        sack: crate::SackBlocks::NONE,
    },
};

fn split(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    segments(packet, size).collect()
}

/// Reads a piece that must be right in every checksum.
fn read(piece: &[u8]) -> (IpHeader, TcpSegment<'_>) {
    let ip = IpPacket::parse(piece).unwrap();
    (
        ip.header,
        TcpSegment::parse(&ip.header, ip.payload, Checksum::Full).unwrap(),
    )
}

#[test]
fn sequence_numbers_advance_around_the_end_of_their_space() {
    let pieces = split(&packet(&IP, &HEADER, &[7; 250]), 100);
    let read: Vec<_> = pieces.iter().map(|piece| read(piece).1).collect();
    assert_eq!(
        read.iter().map(|s| s.header.seq.0).collect::<Vec<_>>(),
        [u32::MAX - 99, 0, 100]
    );
    assert_eq!(read.iter().map(|s| s.payload.len()).collect::<Vec<_>>(), [100, 100, 50]);
    assert!(read.iter().all(|s| TcpHeader {
        seq: HEADER.seq,
        ..s.header
    } == HEADER));
}

#[test]
fn each_flag_stands_where_it_belongs() {
    let all = Flags::ACK | Flags::PSH | Flags::FIN | Flags::CWR | Flags::ECE;
    let pieces = split(&packet(&IP, &TcpHeader { flags: all, ..HEADER }, &[7; 25]), 10);
    let flags: Vec<_> = pieces.iter().map(|piece| read(piece).1.header.flags).collect();
    let (first, middle) = (Flags::ACK | Flags::ECE | Flags::CWR, Flags::ACK | Flags::ECE);
    assert_eq!(flags, [first, middle, middle | Flags::PSH | Flags::FIN]);
}

#[test]
fn the_urgent_pointer_keeps_pointing_at_the_same_byte() {
    for (pointer, expected) in [
        (15, [(true, 15), (true, 5), (false, 0)]),
        (10, [(true, 10), (false, 0), (false, 0)]),
        (0, [(true, 0), (false, 0), (false, 0)]),
    ] {
        let header = TcpHeader {
            flags: Flags::ACK | Flags::URG,
            urgent: pointer,
            ..HEADER
        };
        let pieces = split(&packet(&IP, &header, &[7; 30]), 10);
        let headers = pieces.iter().map(|piece| read(piece).1.header);
        let urgent: Vec<_> = headers
            .map(|header| (header.flags.has(Flags::URG), header.urgent))
            .collect();
        assert_eq!(urgent, expected);
    }
}

#[test]
fn identifications_advance_where_the_packet_may_be_fragmented() {
    for (dont_fragment, expected) in [(true, [u16::MAX; 3]), (false, [u16::MAX, 0, 1])] {
        let ip = IpHeader {
            dont_fragment,
            identification: u16::MAX,
            ..IP
        };
        let pieces = split(&packet(&ip, &HEADER, &[7; 30]), 10);
        assert_eq!(
            pieces.iter().map(|p| read(p).0.identification).collect::<Vec<_>>(),
            expected
        );
    }
}

#[test]
fn ip_options_are_on_every_piece() {
    let mut with_options = packet(&IP, &HEADER, &[7; 30]);
    with_options[0] = 0x46;
    with_options.splice(20..20, [0x94, 4, 0, 0]);
    with_options[3] += 4;
    repair_ip_checksum(&mut with_options);
    let pieces = split(&with_options, 10);
    assert_eq!(pieces.len(), 3);
    assert!(
        pieces
            .iter()
            .all(|p| p[20..24] == [0x94, 4, 0, 0] && read(p).1.payload == [7; 10])
    );
}

#[test]
fn extension_headers_are_on_every_piece() {
    let tcp = packet(&IP6, &HEADER, &[7; 30]).split_off(40);
    let whole = extended_packet(&IP6, &[(60, &[0, 1, 4, 0, 0, 0, 0])], &tcp);
    let pieces = split(&whole, 10);
    assert_eq!(pieces.len(), 3);
    for piece in pieces {
        let (ip, segment) = read(&piece);
        assert_eq!((ip, segment.payload), (IP6, &[7; 10][..]));
        assert_eq!(piece[40..48], [6, 0, 1, 4, 0, 0, 0, 0]);
    }
}

#[test]
fn a_super_segment_of_64_kib_becomes_segments() {
    let text: Vec<u8> = (0..65_000u32).map(|n| n as u8).collect();
    for ip in [IP, IP6] {
        let headers = Headers::new(&ip, &HEADER, [&text, &[]], Checksum::Offloaded);
        let pieces = split(&[headers.bytes(), &text].concat(), 1428);
        assert_eq!(pieces.len(), 65_000usize.div_ceil(1428));
        assert!(pieces.iter().all(|piece| read(piece).0 == ip));
        let joined: Vec<u8> = pieces.iter().flat_map(|piece| read(piece).1.payload.to_vec()).collect();
        assert_eq!(joined, text);
    }
}

#[test]
fn what_needs_no_split_or_cannot_be_split_comes_out_as_it_is() {
    // Not even its checksum is touched.
    let mut whole = packet(&IP, &HEADER, &[7; 30]);
    patch(&mut whole, 20 + CHECKSUM_AT, [0, 0]);
    let mut fragment = whole.clone();
    fragment[6] = 0x20;
    repair_ip_checksum(&mut fragment);
    let tcp = &whole[20..];
    let fragment_v6 = extended_packet(&IP6, &[(44, &[0, 0, 0x10, 0, 0, 0, 7])], tcp);
    let mut bad_ip_checksum = whole.clone();
    bad_ip_checksum[11] ^= 1;
    let icmp = ip_packet(
        &IpHeader {
            protocol: Protocol::Icmp,
            ..IP
        },
        &[0x75; 60],
    );
    for (name, bytes, size) in [
        ("fits exactly", &whole, 30),
        ("no size", &whole, 0),
        ("fragment", &fragment, 10),
        ("bad header", &bad_ip_checksum, 10),
        ("ICMP", &icmp, 10),
        ("nothing", &vec![], 10),
        ("no TCP header", &ip_packet(&IP, &[7; 12]), 10),
        ("no TCP header over IPv6", &ip_packet(&IP6, &[7; 12]), 10),
        ("IPv6 fragment", &fragment_v6, 10),
        ("IPv6 cut short", &packet(&IP6, &HEADER, &[7; 30])[..80].to_vec(), 10),
    ] {
        assert_eq!(split(bytes, size), std::slice::from_ref(bytes), "{name}");
        if name != "fits exactly" && name != "no size" {
            let mut completed = bytes.clone();
            complete_checksum(&mut completed);
            assert_eq!(completed, *bytes, "{name}");
        }
    }
}

#[test]
fn bytes_beyond_the_packet_have_no_part_in_its_checksum() {
    for ip in [IP, IP6] {
        let whole = packet(&ip, &HEADER, &[7; 30]);
        let mut trailed = [&whole[..], &[0xee; 5]].concat();
        complete_checksum(&mut trailed);
        assert_eq!(trailed[..whole.len()], whole);
        assert_eq!(split(&trailed, 10), split(&whole, 10));
    }
}

proptest! {
    #[test]
    fn the_pieces_are_the_whole(ip in any_ip(), header in any_tcp(), text in any_bytes(600), size in 1..=700usize) {
        let pieces = split(&packet(&ip, &header, &text), size);
        prop_assert_eq!(pieces.len(), text.len().div_ceil(size).max(1));
        let mut joined: Vec<u8> = Vec::new();
        for piece in &pieces {
            let outer = IpSlice::from_slice(piece).unwrap();
            let tcp = TcpSlice::from_slice(outer.payload().payload).unwrap();
            let expected = match &outer {
                IpSlice::Ipv4(outer) => {
                    let outer = outer.header();
                    prop_assert_eq!(outer.header_checksum(), outer.to_header().calc_header_checksum());
                    prop_assert_eq!(usize::from(outer.total_len()), piece.len());
                    tcp.calc_checksum_ipv4(outer.source(), outer.destination())
                }
                IpSlice::Ipv6(outer) => {
                    let outer = outer.header();
                    prop_assert_eq!(usize::from(outer.payload_length()), piece.len() - 40);
                    tcp.calc_checksum_ipv6(outer.source(), outer.destination())
                }
            };
            prop_assert_eq!(tcp.checksum(), expected.unwrap());
            prop_assert_eq!(tcp.sequence_number(), (header.seq + joined.len()).0);
            prop_assert!(tcp.payload().len() <= size);
            let (read_ip, segment) = read(piece);
            prop_assert_eq!(IpHeader { identification: ip.identification, ..read_ip }, ip);
            prop_assert_eq!(segment.header.options, header.options);
            joined.extend(tcp.payload());
        }
        prop_assert_eq!(joined, text);
    }

    #[test]
    fn a_complete_checksum_stays_what_it_is(ip in any_ip(), header in any_tcp(), text in any_bytes(60)) {
        let whole = packet(&ip, &header, &text);
        let mut completed = whole.clone();
        complete_checksum(&mut completed);
        prop_assert_eq!(completed, whole);
    }

    #[test]
    fn any_payload_behind_a_right_header_does_no_harm(mut payload in any_bytes(200), size in 0..60usize, offset: u8) {
        if let Some(byte) = payload.get_mut(12) {
            *byte = offset;
        }
        for (ip, header_len) in [(IP, 20), (IP6, 40)] {
            let mut bytes = ip_packet(&ip, &payload);
            let pieces = split(&bytes, size);
            prop_assert!((1..=200).contains(&pieces.len()));
            complete_checksum(&mut bytes);
            prop_assert_eq!(&bytes[..header_len], &ip_packet(&ip, &payload)[..header_len]);
        }
        complete_checksum(&mut payload);
    }
}
