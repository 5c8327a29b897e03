use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use ustcp_wire::{Malformed, Sum};

use super::*;

/// A protocol of which nothing is looked into: "for experimentation", RFC 3692.
const PROTOCOL: u8 = 253;

/// A fragment to be written, or with nothing before and nothing behind it a whole packet.
#[derive(Clone, Debug)]
struct Part {
    source: IpAddr,
    identification: u32,
    protocol: u8,
    traffic_class: u8,
    offset: usize,
    more: bool,
    payload: Vec<u8>,
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));

/// `len` bytes at `offset` of a datagram in which each byte knows its place.
fn part(source: IpAddr, identification: u32, offset: usize, len: usize, more: bool) -> Part {
    Part {
        source,
        identification,
        protocol: PROTOCOL,
        traffic_class: 0,
        offset,
        more,
        payload: text(offset, len),
    }
}

fn text(offset: usize, len: usize) -> Vec<u8> {
    (offset..offset + len).map(|at| (at % 251) as u8).collect()
}

impl Part {
    fn bytes(&self) -> Vec<u8> {
        match self.source {
            IpAddr::V4(source) => self.ipv4(source),
            IpAddr::V6(source) => self.ipv6(source),
        }
    }

    fn ipv4(&self, source: Ipv4Addr) -> Vec<u8> {
        let [len0, len1] = (20 + self.payload.len() as u16).to_be_bytes();
        let [i0, i1] = (self.identification as u16).to_be_bytes();
        let [f0, f1] = ((self.offset as u16 / 8) | if self.more { 0x2000 } else { 0 }).to_be_bytes();
        let fixed = [
            0x45,
            self.traffic_class,
            len0,
            len1,
            i0,
            i1,
            f0,
            f1,
            64,
            self.protocol,
            0,
            0,
        ];
        let mut header = [&fixed, &source.octets()[..], &[10, 77, 0, 2]].concat();
        let checksum = Sum::default().add(&header).checksum();
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        [header, self.payload.clone()].concat()
    }

    fn ipv6(&self, source: Ipv6Addr) -> Vec<u8> {
        let destination = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
        let whole = self.offset == 0 && !self.more;
        let [f0, f1] = (self.offset as u16 | u16::from(self.more)).to_be_bytes();
        let [i0, i1, i2, i3] = self.identification.to_be_bytes();
        let (next, extension) = match whole {
            true => (self.protocol, vec![]),
            false => (44, vec![self.protocol, 0, f0, f1, i0, i1, i2, i3]),
        };
        let [len0, len1] = ((extension.len() + self.payload.len()) as u16).to_be_bytes();
        let class = self.traffic_class;
        let fixed = [0x60 | class >> 4, class << 4, 0, 0, len0, len1, next, 64];
        let addresses = [source.octets(), destination.octets()].concat();
        [&fixed[..], &addresses, &extension, &self.payload].concat()
    }
}

/// The datagram of this length, cut at these offsets.
fn cut(source: IpAddr, identification: u32, len: usize, at: &[usize]) -> Vec<Part> {
    let starts = core::iter::once(0).chain(at.iter().copied());
    let ends = at.iter().copied().chain([len]);
    let span = |(start, end): (usize, usize)| part(source, identification, start, end - start, end < len);
    starts.zip(ends).map(span).collect()
}

fn whole(source: IpAddr, identification: u32, len: usize) -> Vec<u8> {
    part(source, identification, 0, len, false).bytes()
}

fn add_at(reassembler: &mut Reassembler, now: Instant, part: &Part) -> Option<Vec<u8>> {
    let joined = add_unaudited(reassembler, now, part);
    reassembler.audit();
    joined
}

fn add_unaudited(reassembler: &mut Reassembler, now: Instant, part: &Part) -> Option<Vec<u8>> {
    let bytes = part.bytes();
    let ip = IpPacket::parse(&bytes).unwrap();
    reassembler.add(now, &bytes, &ip)
}

fn add(reassembler: &mut Reassembler, part: &Part) -> Option<Vec<u8>> {
    add_at(reassembler, Instant::ZERO, part)
}

/// What comes out when these go in.
fn add_all(reassembler: &mut Reassembler, parts: &[Part]) -> Vec<Vec<u8>> {
    parts.iter().filter_map(|part| add(reassembler, part)).collect()
}

fn seconds(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

impl Reassembler {
    /// The books agree with each other and keep within the bounds.
    fn audit(&self) {
        assert!(self.held <= POOL);
        assert_eq!(self.held, self.shares.values().map(|share| share.held).sum::<usize>());
        assert!(
            self.shares
                .values()
                .all(|share| share.held <= SHARE && !share.datagrams.is_empty())
        );
        assert_eq!(self.by_key.len(), self.datagrams.len());
        assert_eq!(self.deadlines.len(), self.datagrams.len());
        if self.datagrams.len() < 100 {
            self.audit_datagrams();
        }
    }

    fn audit_datagrams(&self) {
        assert_eq!(
            self.held,
            self.datagrams.values().map(|datagram| datagram.cost).sum::<usize>()
        );
        for (serial, datagram) in &self.datagrams {
            let pieces: usize = datagram.pieces.iter().map(Piece::cost).sum();
            assert_eq!(datagram.cost, DATAGRAM_OVERHEAD + pieces);
            assert!(datagram.pieces.len() <= MOST_FRAGMENTS);
            assert!(datagram.pieces.is_sorted_by(|a, b| a.end() <= b.offset));
            assert_eq!(self.by_key.get(&datagram.key), Some(serial));
            assert!(self.deadlines.contains(&(datagram.deadline, *serial)));
            assert!(self.shares[&datagram.key.source].datagrams.contains(serial));
        }
    }

    fn is_empty(&self) -> bool {
        self.held == 0 && self.datagrams.is_empty() && self.shares.is_empty() && self.poll_timeout().is_none()
    }
}

/// All orders of `0..count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let shorter = orders(count - 1);
    let with_last = |order: &Vec<usize>, place| {
        let mut order = order.clone();
        order.insert(place, count - 1);
        order
    };
    shorter
        .iter()
        .flat_map(|order| (0..count).map(move |place| with_last(order, place)))
        .collect()
}

#[test]
fn fragments_in_any_order_become_the_packet_they_were() {
    for source in [V4, V6] {
        let parts = cut(source, 7, 100, &[24, 48, 56]);
        for order in orders(4) {
            let mut reassembler = Reassembler::default();
            let (last, rest) = order.split_last().unwrap();
            for &index in rest {
                assert_eq!(add(&mut reassembler, &parts[index]), None, "{order:?}");
            }
            assert_eq!(
                add(&mut reassembler, &parts[*last]),
                Some(whole(source, 7, 100)),
                "{order:?}"
            );
            assert!(reassembler.is_empty());
            let counts = reassembler.counts();
            assert_eq!((counts.fragments, counts.reassembled), (4, 1));
        }
    }
}

#[test]
fn a_whole_packet_is_none_of_its_business() {
    let mut reassembler = Reassembler::default();
    for source in [V4, V6] {
        assert_eq!(add(&mut reassembler, &part(source, 7, 0, 40, false)), None);
    }
    assert_eq!(reassembler.counts(), ReassemblyCounts::default());
    assert!(reassembler.is_empty());
}

#[test]
fn a_packet_is_put_together_once_and_what_repeats_it_waits_for_the_rest() {
    let mut reassembler = Reassembler::default();
    let parts = cut(V4, 7, 50, &[24]);
    assert_eq!(add_all(&mut reassembler, &parts), [whole(V4, 7, 50)]);
    assert_eq!(add(&mut reassembler, &parts[1]), None);
    assert_eq!(add(&mut reassembler, &parts[0]), Some(whole(V4, 7, 50)));
}

// RFC 8200 §4.5 lets exact duplicates be ignored: networks duplicate.
#[test]
fn a_fragment_that_comes_twice_does_no_harm() {
    for source in [V4, V6] {
        let mut reassembler = Reassembler::default();
        let parts = cut(source, 7, 100, &[24, 48]);
        for index in [2, 2, 0, 2, 0] {
            assert_eq!(add(&mut reassembler, &parts[index]), None);
        }
        assert_eq!(add(&mut reassembler, &parts[1]), Some(whole(source, 7, 100)));
        assert_eq!((reassembler.counts().duplicates, reassembler.counts().refused), (3, 0));
    }
}

// RFC 5722 §4.
#[test]
fn fragments_that_contradict_each_other_end_the_datagram_for_good() {
    type Changed = fn(&mut Part);
    type Span = (usize, usize, bool);
    type Case<'a> = (&'a str, &'a [Span], (usize, usize, bool, Changed));
    let span = |offset, len, more| (offset, len, more, (|_| {}) as Changed);
    let cases: [Case<'_>; 14] = [
        (
            "the same place, other bytes",
            &[(24, 24, true)],
            (24, 24, true, |part| part.payload[5] ^= 1),
        ),
        ("the same bytes, but the last", &[(24, 24, true)], span(24, 24, false)),
        (
            "the same bytes, but not the last",
            &[(24, 24, false)],
            span(24, 24, true),
        ),
        ("shorter at the same place", &[(24, 24, true)], span(24, 16, true)),
        ("longer at the same place", &[(24, 24, true)], span(24, 32, true)),
        ("into the front", &[(24, 24, true)], span(16, 16, true)),
        ("into the end", &[(24, 24, true)], span(40, 16, true)),
        ("within", &[(24, 24, true)], span(32, 8, true)),
        ("around", &[(24, 24, true)], span(16, 40, true)),
        ("over two", &[(0, 16, true), (24, 16, true)], span(8, 24, true)),
        ("past the end", &[(48, 10, false)], span(64, 8, true)),
        ("past the end, touching it", &[(48, 16, false)], span(64, 8, true)),
        ("an end before what is there", &[(48, 24, true)], span(24, 8, false)),
        ("a second end", &[(48, 10, false)], span(72, 4, false)),
    ];
    for source in [V4, V6] {
        for (name, before, (offset, len, more, change)) in &cases {
            let mut reassembler = Reassembler::default();
            for &(offset, len, more) in *before {
                assert_eq!(add(&mut reassembler, &part(source, 7, offset, len, more)), None);
            }
            let mut wrong = part(source, 7, *offset, *len, *more);
            change(&mut wrong);
            assert_eq!(add(&mut reassembler, &wrong), None, "{name}");
            assert_eq!(reassembler.counts().refused, 1, "{name}");
            assert_eq!(reassembler.held(), DATAGRAM_OVERHEAD, "{name}");
            // Not even the whole of it comes through then; another datagram does.
            assert!(
                add_all(&mut reassembler, &cut(source, 7, 100, &[24, 48])).is_empty(),
                "{name}"
            );
            assert_eq!(
                add_all(&mut reassembler, &cut(source, 8, 100, &[24, 48])).len(),
                1,
                "{name}"
            );
            assert_eq!(reassembler.counts().refused, 1, "{name}");
            // Until its time has passed.
            assert!(reassembler.on_timeout(seconds(60)).is_empty());
            assert!(reassembler.is_empty());
            assert_eq!(
                add_all(&mut reassembler, &cut(source, 7, 100, &[24, 48])).len(),
                1,
                "{name}"
            );
            assert_eq!(reassembler.counts().timed_out, 0);
        }
    }
}

#[test]
fn fragments_belong_together_by_what_the_rfcs_say() {
    let other = |source: IpAddr| match source {
        IpAddr::V4(_) => IpAddr::from([10, 77, 0, 9]),
        IpAddr::V6(_) => "fd00::9".parse().unwrap(),
    };
    for source in [V4, V6] {
        let parts = cut(source, 7, 50, &[24]);
        let strangers = [
            Part {
                source: other(source),
                ..parts[1].clone()
            },
            Part {
                identification: 8,
                ..parts[1].clone()
            },
        ];
        for stranger in strangers {
            let mut reassembler = Reassembler::default();
            assert!(add_all(&mut reassembler, &[parts[0].clone(), stranger]).is_empty());
            assert_eq!(reassembler.datagrams.len(), 2);
        }
        // The protocol counts in IPv4 only; in IPv6 it is the first fragment's.
        let mut reassembler = Reassembler::default();
        let of_another_protocol = Part {
            protocol: 99,
            ..parts[1].clone()
        };
        let joined = add_all(&mut reassembler, &[of_another_protocol, parts[0].clone()]);
        match source {
            IpAddr::V4(_) => assert!(joined.is_empty()),
            IpAddr::V6(_) => assert_eq!(joined, [whole(source, 7, 50)]),
        }
    }
}

#[test]
fn identifications_of_ipv6_have_32_bits() {
    let mut reassembler = Reassembler::default();
    add(&mut reassembler, &part(V6, 0x1_0007, 0, 24, true));
    assert_eq!(add(&mut reassembler, &part(V6, 7, 24, 10, false)), None);
    assert_eq!(
        add(&mut reassembler, &part(V6, 0x1_0007, 24, 10, false)),
        Some(whole(V6, 7, 34))
    );
}

/// ATTACK-24: the limit of fragments.
#[test]
fn sixty_four_fragments_make_a_packet_and_sixty_five_do_not() {
    for source in [V4, V6] {
        for (count, joined) in [(64, 1), (65, 0)] {
            let cuts: Vec<usize> = (1..count).map(|index| index * 8).collect();
            let mut reassembler = Reassembler::default();
            let parts = cut(source, 7, count * 8, &cuts);
            assert_eq!(add_all(&mut reassembler, &parts).len(), joined, "{count}");
            assert_eq!(reassembler.counts().refused, 1 - joined as u64);
        }
    }
}

/// ATTACK-24: the limit of bytes.
#[test]
fn the_largest_packet_can_be_put_together_and_none_beyond() {
    for (source, most) in [(V4, 65_515), (V6, 65_535)] {
        let mut reassembler = Reassembler::default();
        let parts = cut(source, 7, most, &[32_000, 64_000]);
        assert_eq!(add_all(&mut reassembler, &parts), [whole(source, 7, most)]);
    }
    // IPv4's length field holds the header too.
    let mut reassembler = Reassembler::default();
    assert!(add_all(&mut reassembler, &cut(V4, 7, 65_516, &[32_000, 64_000])).is_empty());
    assert_eq!(reassembler.counts().refused, 1);
    assert!(reassembler.is_empty());
    // The "ping of death", which IPv6's parser refuses.
    let mut reassembler = Reassembler::default();
    add(&mut reassembler, &part(V4, 7, 65_528, 8, false));
    assert_eq!((reassembler.counts().malformed, reassembler.held()), (1, 0));
    let refused = IpPacket::parse(&part(V6, 7, 65_528, 8, false).bytes()).map(|_| ());
    assert!(matches!(refused, Err(Malformed::Problem(_))));
}

#[test]
fn what_can_be_no_part_of_a_packet_is_dropped_alone() {
    for source in [V4, V6] {
        for (name, len, more) in [("empty", 0, true), ("empty at the end", 0, false), ("odd", 23, true)] {
            let mut reassembler = Reassembler::default();
            let parts = cut(source, 7, 100, &[24]);
            add(&mut reassembler, &parts[0]);
            // As if the parser had let it pass.
            let bytes = part(source, 7, 24, len, false).bytes();
            let mut ip = IpPacket::parse(&bytes).unwrap();
            ip.fragment.as_mut().unwrap().more = more;
            assert_eq!(reassembler.add(Instant::ZERO, &bytes, &ip), None);
            assert_eq!(reassembler.counts().malformed, 1, "{name}");
            assert!(add(&mut reassembler, &parts[1]).is_some(), "{name}");
        }
    }
}

#[test]
fn a_packet_shorter_than_it_was_parsed_is_dropped() {
    let mut reassembler = Reassembler::default();
    let bytes = part(V4, 7, 0, 24, true).bytes();
    let ip = IpPacket::parse(&bytes).unwrap();
    assert_eq!(reassembler.add(Instant::ZERO, &bytes[..43], &ip), None);
    assert_eq!(reassembler.counts().malformed, 1);
}

#[test]
fn bytes_beyond_the_packet_are_not_held() {
    for source in [V4, V6] {
        let mut reassembler = Reassembler::default();
        let parts = cut(source, 7, 50, &[24]);
        for (index, expected) in [(0, None), (1, Some(whole(source, 7, 50)))] {
            let bytes = [parts[index].bytes(), vec![0xee; 900]].concat();
            let joined = reassembler.add(Instant::ZERO, &bytes, &IpPacket::parse(&bytes).unwrap());
            assert_eq!(joined, expected);
            assert!(reassembler.held() < 900);
        }
    }
}

// RFC 3168 §5.3.
#[test]
fn marks_of_congestion_survive() {
    for source in [V4, V6] {
        for (marks, expected) in [
            ([0b00, 0b00], Some(0b00)),
            ([0b10, 0b10], Some(0b10)),
            ([0b10, 0b01], Some(0b10)), // the first fragment's
            ([0b10, 0b11], Some(0b11)),
            ([0b11, 0b10], Some(0b11)),
            ([0b11, 0b11], Some(0b11)),
            ([0b00, 0b11], None),
            ([0b10, 0b00], None),
        ] {
            let mut reassembler = Reassembler::default();
            let mut parts = cut(source, 7, 50, &[24]);
            for (part, mark) in parts.iter_mut().zip(marks) {
                part.traffic_class = 0xb8 | mark;
            }
            let joined = add_all(&mut reassembler, &parts);
            let class = joined
                .first()
                .map(|packet| IpPacket::parse(packet).unwrap().header.traffic_class);
            assert_eq!(class, expected.map(|mark| 0xb8 | mark), "{marks:?}");
            assert!(reassembler.is_empty());
        }
    }
}

#[test]
fn a_datagram_has_thirty_seconds_in_ipv4_and_sixty_in_ipv6() {
    for (source, timeout) in [(V4, 30), (V6, 60)] {
        let mut reassembler = Reassembler::default();
        let parts = cut(source, 7, 100, &[24, 48]);
        assert_eq!(reassembler.poll_timeout(), None);
        assert_eq!(add_at(&mut reassembler, seconds(5), &parts[0]), None);
        // From the first arrival on, whatever comes after.
        assert_eq!(add_at(&mut reassembler, seconds(20), &parts[1]), None);
        assert_eq!(reassembler.poll_timeout(), Some(seconds(5 + timeout)));
        let too_early = seconds(5 + timeout) - Duration::from_nanos(1);
        assert!(reassembler.on_timeout(too_early).is_empty());
        assert_eq!(reassembler.counts().timed_out, 0);
        let told = reassembler.on_timeout(seconds(5 + timeout));
        assert_eq!(told, [parts[0].bytes().into_boxed_slice()]);
        assert_eq!(reassembler.counts().timed_out, 1);
        assert!(reassembler.is_empty());
        assert_eq!(add_at(&mut reassembler, seconds(5 + timeout), &parts[2]), None);
    }
}

// RFC 1122 §3.3.2: no time exceeded without fragment zero.
#[test]
fn nobody_is_told_of_a_datagram_without_its_first_fragment() {
    let mut reassembler = Reassembler::default();
    add(&mut reassembler, &part(V4, 7, 24, 24, true));
    assert!(reassembler.on_timeout(seconds(30)).is_empty());
    assert_eq!(reassembler.counts().timed_out, 1);
}

#[test]
fn deadlines_pass_in_their_own_order() {
    let mut reassembler = Reassembler::default();
    for (source, identification, at) in [(V6, 1, 0), (V4, 2, 10), (V4, 3, 20), (V6, 4, 25)] {
        add_at(
            &mut reassembler,
            seconds(at),
            &part(source, identification, 0, 24, true),
        );
    }
    let mut passed = Vec::new();
    while let Some(deadline) = reassembler.poll_timeout() {
        let told = reassembler.on_timeout(deadline);
        reassembler.audit();
        assert_eq!(told.len(), 1);
        let fragment = IpPacket::parse(&told[0]).unwrap().fragment.unwrap();
        passed.push((fragment.identification, deadline.since(Instant::ZERO).as_secs()));
    }
    assert_eq!(passed, [(2, 40), (3, 50), (1, 60), (4, 85)]);
}

fn host(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | number))
}

#[test]
fn when_memory_runs_out_the_oldest_go_first() {
    let mut reassembler = Reassembler::default();
    let first = |number: u32| part(host(number), 7, 0, 60_000, true);
    let last = |number: u32| part(host(number), 7, 60_000, 8, false);
    let count = POOL / (60_000 + 20 + FRAGMENT_OVERHEAD + DATAGRAM_OVERHEAD);
    for number in 0..count as u32 {
        add(&mut reassembler, &first(number));
    }
    assert_eq!(reassembler.counts().evicted, 0);
    for number in 0..3 {
        add(&mut reassembler, &first(1000 + number));
    }
    assert_eq!(reassembler.counts().evicted, 3);
    let joined: Vec<u32> = (0..count as u32)
        .filter(|&number| add(&mut reassembler, &last(number)).is_some())
        .collect();
    assert_eq!(joined, (3..count as u32).collect::<Vec<_>>());
}

/// ATTACK-25: the limit of a source.
#[test]
fn a_source_that_takes_more_than_a_quarter_loses_its_own() {
    let mut reassembler = Reassembler::default();
    let (quiet, loud) = (host(1), host(2));
    let parts = cut(quiet, 7, 50, &[24]);
    add(&mut reassembler, &parts[0]);
    for identification in 0..2000 {
        add(&mut reassembler, &part(loud, identification, 0, 1480, true));
        assert!(reassembler.shares[&loud].held <= SHARE);
    }
    let kept = SHARE / (1480 + 20 + FRAGMENT_OVERHEAD + DATAGRAM_OVERHEAD);
    assert_eq!(reassembler.datagrams.len(), 1 + kept);
    assert_eq!(add(&mut reassembler, &parts[1]), Some(whole(quiet, 7, 50)));
    // Its own newest are there.
    let newest = part(loud, 1999, 1480, 10, false);
    assert_eq!(add(&mut reassembler, &newest), Some(whole(loud, 1999, 1490)));
}

#[test]
fn a_datagram_may_be_the_oldest_of_its_own_source() {
    let mut reassembler = Reassembler::default();
    let parts = cut(V4, 0, 60_008, &[30_000, 60_000]);
    let most = SHARE / (30_000 + 20 + FRAGMENT_OVERHEAD + DATAGRAM_OVERHEAD);
    add(&mut reassembler, &parts[0]);
    for identification in 1..most as u32 {
        add(&mut reassembler, &part(V4, identification, 0, 30_000, true));
    }
    assert_eq!(reassembler.counts().evicted, 0);
    // Its first fragment goes to make room for its second, which waits for it anew.
    assert_eq!(add(&mut reassembler, &parts[1]), None);
    assert_eq!((reassembler.counts().evicted, reassembler.datagrams.len()), (1, most));
    assert_eq!(add(&mut reassembler, &parts[2]), None);
    assert_eq!(add(&mut reassembler, &parts[0]), Some(whole(V4, 0, 60_008)));
}

// FragmentSmack, CVE-2018-5391: safety.md's figure for it is the pool.
#[test]
fn a_flood_of_fragments_holds_no_more_than_the_pool() {
    let mut reassembler = Reassembler::default();
    for number in 0..100_000u32 {
        let source = if number % 2 == 0 { host(number % 5000) } else { host(1) };
        let offset = 8 * (1 + number as usize % 8000);
        let now = Instant::from_nanos(number.into());
        add_unaudited(&mut reassembler, now, &part(source, number, offset, 8, true));
        // Every seventh refuses the datagram it is of.
        if number % 7 == 0 {
            add_unaudited(&mut reassembler, now, &part(source, number, offset, 16, true));
        }
        assert!(reassembler.held() <= POOL);
        if number % 1000 == 0 {
            reassembler.audit();
        }
    }
    assert!(reassembler.datagrams.len() <= POOL / DATAGRAM_OVERHEAD);
    reassembler.audit_datagrams();
    // And a packet of somebody else's still comes through.
    assert_eq!(
        add_all(&mut reassembler, &cut(V6, 7, 3000, &[1400, 2800])),
        [whole(V6, 7, 3000)]
    );
    assert!(reassembler.on_timeout(seconds(61)).is_empty());
    assert!(reassembler.is_empty());
}

fn any_cuts() -> impl Strategy<Value = (usize, Vec<usize>)> {
    (2..400usize, prop::collection::btree_set(1..200usize, 1..12)).prop_map(|(len, cuts)| {
        let last = (len - 1) / 8;
        let cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut <= last).map(|cut| cut * 8).collect();
        (len, cuts)
    })
}

/// A few sources and identifications, so that fragments meet.
fn any_part() -> impl Strategy<Value = Part> {
    (
        any::<bool>(),
        0..2u32,
        0..6usize,
        1..5usize,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(v6, identification, offset, units, more, odd)| {
            let source = if v6 { V6 } else { V4 };
            let len = 8 * units - usize::from(odd && !more);
            part(source, identification, 8 * offset, len, more)
        })
}

proptest! {
    #[test]
    fn datagrams_cut_and_shuffled_and_doubled_come_out_whole(
        datagrams in prop::collection::vec((any::<bool>(), any_cuts()), 1..6), doubled: bool, shuffle in any::<[prop::sample::Index; 64]>()
    ) {
        let mut parts = Vec::new();
        let mut expected = Vec::new();
        for (identification, (v6, (len, cuts))) in datagrams.iter().enumerate().filter(|(_, (_, (_, cuts)))| !cuts.is_empty()) {
            let (source, identification) = (if *v6 { V6 } else { V4 }, identification as u32);
            parts.extend(cut(source, identification, *len, cuts));
            expected.push(whole(source, identification, *len));
        }
        for (at, index) in shuffle.iter().enumerate().take(parts.len()) {
            let other = index.index(parts.len());
            parts.swap(at, other);
        }
        let mut reassembler = Reassembler::default();
        let mut joined = Vec::new();
        for part in &parts {
            // A copy right behind it; once the packet is whole its copies are the beginning of another.
            for _ in 0..=usize::from(doubled) {
                joined.extend(add(&mut reassembler, part));
            }
        }
        joined.sort();
        expected.sort();
        prop_assert_eq!(joined, expected);
        reassembler.on_timeout(seconds(60));
        prop_assert!(reassembler.is_empty());
    }

    #[test]
    fn whatever_comes_out_was_sent(parts in prop::collection::vec(any_part(), 0..60)) {
        let mut reassembler = Reassembler::default();
        let mut again = Reassembler::default();
        for part in parts.iter().filter(|part| part.more || part.offset > 0) {
            let joined = add(&mut reassembler, part);
            // The same in, the same out.
            prop_assert_eq!(&joined, &add(&mut again, part));
            if let Some(packet) = joined {
                let read = IpPacket::parse(&packet).unwrap();
                prop_assert_eq!(read.fragment, None);
                prop_assert_eq!(read.payload, text(0, read.payload.len()));
            }
        }
        prop_assert_eq!(reassembler.counts(), again.counts());
        reassembler.on_timeout(seconds(60));
        prop_assert!(reassembler.is_empty());
    }
}
