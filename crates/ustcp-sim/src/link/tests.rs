use core::net::{IpAddr, Ipv4Addr};

use ustcp_wire::{Flags, Headers, IpHeader, IpPacket, Protocol, SeqNum, TcpHeader, TcpSegment};

use super::*;

fn link(weather: &str) -> Link {
    Link::new(weather.parse().unwrap())
}

fn at(micros: u64) -> Instant {
    Instant::from_nanos(micros * 1000)
}

/// Hands in `count` packets of `len` bytes, one a millisecond, and fetches all that comes out with its time.
fn through(link: &mut Link, count: u32, len: usize) -> Vec<(Instant, Vec<u8>)> {
    let mut out = Vec::new();
    for n in 0..count {
        let now = at(u64::from(n) * 1000);
        drain(link, now, &mut out);
        let mut packet = vec![0; len];
        packet[..4].copy_from_slice(&n.to_be_bytes());
        link.send(now, packet, None);
    }
    drain(link, at(u64::MAX / 2000), &mut out);
    out
}

fn drain(link: &mut Link, until: Instant, out: &mut Vec<(Instant, Vec<u8>)>) {
    while let Some(due) = link.poll_timeout().filter(|&due| due <= until) {
        assert!(
            due == Instant::ZERO || link.poll(due - Duration::from_nanos(1)).is_none(),
            "not before its time"
        );
        out.push((due, link.poll(due).expect("a packet when its time has come")));
    }
}

fn tcp_packet(flags: Flags, text: &[u8]) -> Vec<u8> {
    let ip = IpHeader {
        source: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)),
        destination: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2)),
        protocol: Protocol::Tcp,
        traffic_class: 0,
        hop_limit: 64,
        identification: 0,
        dont_fragment: true,
        flow_label: 0,
    };
    let tcp = TcpHeader {
        source_port: 1,
        destination_port: 2,
        seq: SeqNum(1000),
        flags,
        ..TcpHeader::default()
    };
    let headers = Headers::new(&ip, &tcp, [text, &[]], Checksum::Full);
    [headers.bytes(), text].concat()
}

#[test]
fn clear_weather_delivers_everything_at_once_and_in_order() {
    let mut link = link("clear");
    link.send(at(5), vec![1], None);
    link.send(at(5), vec![2], None);
    assert_eq!(link.poll_timeout(), Some(at(5)));
    assert_eq!(link.poll(at(5)), Some(vec![1]));
    assert_eq!(link.poll(at(5)), Some(vec![2]));
    assert_eq!(link.poll(at(5)), None);
    assert_eq!(link.poll_timeout(), None);
}

#[test]
fn delay_is_exact() {
    let mut link = link("delay=10ms");
    let out = through(&mut link, 50, 100);
    assert!(
        out.iter()
            .enumerate()
            .all(|(n, (time, _))| *time == at(n as u64 * 1000 + 10_000))
    );
    assert_eq!(out.len(), 50);
}

#[test]
fn jitter_stays_inside_its_bounds_and_overtakes() {
    let mut link = link("delay=10ms,jitter=5ms,seed=1");
    let out = through(&mut link, 1000, 100);
    let number = |packet: &[u8]| u32::from_be_bytes(packet[..4].try_into().unwrap());
    let lateness: Vec<Duration> = out
        .iter()
        .map(|(time, packet)| time.since(at(u64::from(number(packet)) * 1000 + 10_000)))
        .collect();
    assert!(lateness.iter().all(|&late| late <= Duration::from_millis(5)));
    assert!(lateness.iter().any(|&late| late > Duration::from_millis(4)));
    assert!(out.windows(2).any(|pair| number(&pair[1].1) < number(&pair[0].1)));
}

#[test]
fn rate_spaces_packets_exactly() {
    let mut link = link("rate=3mbit");
    for _ in 0..300 {
        link.send(at(0), vec![0; 1250], None);
    }
    let mut out = Vec::new();
    drain(&mut link, at(10_000_000), &mut out);
    // 10,000 bits at 3 Mbit/s are 3,333,333 1/3 ns: no third is ever lost.
    assert!(
        out.iter()
            .zip(1_u64..)
            .all(|((time, _), n)| time.as_nanos() == n * 10_000_000_000 / 3000)
    );
    assert_eq!(out.len(), 300);
}

#[test]
fn an_idle_line_begins_at_once() {
    let mut link = link("rate=8mbit");
    link.send(at(0), vec![0; 1000], None);
    link.send(at(5000), vec![0; 1000], None);
    let mut out = Vec::new();
    drain(&mut link, at(10_000), &mut out);
    assert_eq!(
        out.iter().map(|(time, _)| *time).collect::<Vec<_>>(),
        [at(1000), at(6000)]
    );
}

#[test]
fn a_full_queue_drops_at_its_tail_and_counts() {
    let mut link = link("rate=8mbit,queue=10");
    for n in 0..25_u8 {
        link.send(at(0), vec![n; 1000], None);
    }
    let mut out = Vec::new();
    drain(&mut link, at(5000), &mut out);
    link.send(at(5000), vec![99; 1000], None);
    drain(&mut link, at(1_000_000), &mut out);
    let kept: Vec<u8> = out.iter().map(|(_, packet)| packet[0]).collect();
    assert_eq!(kept, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 99]);
    assert_eq!(link.counters().overflowed, 15);
}

#[test]
fn bytes_on_the_way_are_bounded_without_a_rate() {
    let mut link = link("delay=60s");
    for _ in 0..2000 {
        link.send(at(0), vec![0; 65_535], None);
    }
    assert!(link.bytes < ON_THE_WAY + 65_535);
    assert_eq!(link.counters().overflowed, 2000 - (ON_THE_WAY as u64).div_ceil(65_535));
}

#[test]
fn faults_come_as_often_as_the_weather_says() {
    // 20,000 draws at p = 10 %: 2000 expected, standard deviation 42; five of them for each of ten seeds.
    for seed in 0..10 {
        let mut link = link(&format!("loss=10%,reorder=10%,duplicate=10%,corrupt=10%,seed={seed}"));
        let out = through(&mut link, 20_000, 40);
        let counters = link.counters();
        let near = |count: u64, expected: u64| count.abs_diff(expected) < 215;
        assert!(near(counters.lost, 2000), "{counters:?}");
        assert!(near(counters.duplicated, 1800), "{counters:?}");
        assert!(near(counters.corrupted, 1800), "{counters:?}");
        assert!(near(counters.reordered, 1800), "{counters:?}");
        assert_eq!(
            counters.delivered,
            counters.offered - counters.lost + counters.duplicated
        );
        assert_eq!(counters.delivered, out.len() as u64);
    }
}

#[test]
fn corruption_flips_exactly_one_bit_and_reaches_every_byte() {
    let mut link = link("corrupt=100%,seed=3");
    let mut reached = [false; 60];
    for n in 0..5000 {
        let original: Vec<u8> = (0..60).map(|byte| byte ^ n as u8).collect();
        link.send(at(n), original.clone(), None);
        let damaged = link.poll(at(n)).unwrap();
        let differences: Vec<u32> = original
            .iter()
            .zip(&damaged)
            .map(|(a, b)| (a ^ b).count_ones())
            .collect();
        assert_eq!(differences.iter().sum::<u32>(), 1);
        reached[differences.iter().position(|&bits| bits == 1).unwrap()] = true;
    }
    assert!(reached.iter().all(|&byte| byte));
}

#[test]
fn an_empty_packet_passes_through_every_fault() {
    let mut link = link("corrupt=100%,duplicate=100%,reorder=100%,rate=1mbit");
    link.send(at(0), Vec::new(), Some(0));
    let mut out = Vec::new();
    drain(&mut link, at(1_000_000), &mut out);
    assert_eq!(out.len(), 2);
}

#[test]
fn reordering_holds_a_packet_behind_1_to_64_later_ones() {
    let mut link = link("reorder=1%,seed=5");
    let mut order = Vec::new();
    for n in 0..5000_u64 {
        // All in a tenth of the time after which a held packet is let go anyway.
        let now = at(n * 2);
        link.send(now, n.to_be_bytes().to_vec(), None);
        while let Some(packet) = link.poll(now) {
            order.push(u64::from_be_bytes(packet.try_into().unwrap()));
        }
    }
    let mut behind = Vec::new();
    for (place, &n) in order.iter().enumerate() {
        let overtakers = order[..place].iter().filter(|&&earlier| earlier > n).count();
        if overtakers > 0 {
            behind.push(overtakers);
        }
    }
    assert!(behind.len() > 30, "{behind:?}");
    assert!(behind.iter().all(|&count| count <= 64), "{behind:?}");
    assert!(
        behind.iter().any(|&count| count < 8) && behind.iter().any(|&count| count > 56),
        "{behind:?}"
    );
}

#[test]
fn a_packet_held_back_with_nothing_behind_it_comes_in_the_end() {
    let mut link = link("reorder=100%,delay=10ms");
    link.send(at(0), vec![1], None);
    assert_eq!(link.poll_timeout(), Some(at(110_000)));
    assert_eq!(link.poll(at(109_999)), None);
    assert_eq!(link.poll(at(110_000)), Some(vec![1]));
    assert_eq!(link.poll_timeout(), None);
}

#[test]
fn super_segments_are_split_before_anything_is_drawn() {
    let mut link = link("clear");
    link.send(at(0), tcp_packet(Flags::ACK | Flags::PSH, &[7; 10_000]), Some(1000));
    assert_eq!(link.counters().offered, 10);
    let mut next = SeqNum(1000);
    while let Some(packet) = link.poll(at(0)) {
        let ip = IpPacket::parse(&packet).unwrap();
        let segment = TcpSegment::parse(&ip.header, ip.payload, Checksum::Full).unwrap();
        assert_eq!((segment.header.seq, segment.payload.len()), (next, 1000));
        next += 1000;
    }
    assert_eq!(next, SeqNum(11_000));
}

#[test]
fn exactly_the_named_packet_is_lost() {
    let mut link = link("drop=FIN#1,drop=ACK#2,drop=SYN-ACK#1");
    let fin = Flags::FIN | Flags::ACK;
    let offered = [
        Flags::SYN,
        Flags::SYN | Flags::ACK,
        Flags::ACK,
        fin,
        Flags::ACK,
        fin,
        Flags::ACK,
        Flags::RST,
    ];
    for flags in offered {
        link.send(at(0), tcp_packet(flags, &[]), None);
    }
    let mut out = Vec::new();
    while let Some(packet) = link.poll(at(0)) {
        let ip = IpPacket::parse(&packet).unwrap();
        out.push(
            TcpSegment::parse(&ip.header, ip.payload, Checksum::Full)
                .unwrap()
                .header
                .flags,
        );
    }
    assert_eq!(out, [Flags::SYN, Flags::ACK, fin, Flags::ACK, Flags::RST]);
    assert_eq!(link.counters().scripted, 3);
}

#[test]
fn a_fin_with_text_is_both_fin_and_data() {
    for script in ["drop=FIN", "drop=DATA"] {
        let mut link = link(script);
        link.send(at(0), tcp_packet(Flags::FIN | Flags::ACK, b"last words"), None);
        link.send(at(0), tcp_packet(Flags::ACK, &[]), None);
        assert_eq!((link.counters().scripted, link.counters().offered), (1, 2), "{script}");
    }
}

#[test]
fn the_fin_of_a_super_segment_takes_only_its_last_packet_along() {
    let mut link = link("drop=FIN#1");
    link.send(at(0), tcp_packet(Flags::FIN | Flags::ACK, &[1; 5000]), Some(1000));
    assert_eq!(core::iter::from_fn(|| link.poll(at(0))).count(), 4);
}

#[test]
fn the_same_seed_gives_the_same_network() {
    let weather = "loss=5%,reorder=5%,duplicate=5%,corrupt=5%,delay=3ms,jitter=9ms,rate=2mbit,queue=20,seed=";
    let first = through(&mut link(&format!("{weather}8")), 3000, 700);
    assert_eq!(first, through(&mut link(&format!("{weather}8")), 3000, 700));
    assert_ne!(first, through(&mut link(&format!("{weather}9")), 3000, 700));
}

#[test]
fn one_fault_more_moves_no_draw_of_the_others() {
    let numbers = |weather: &str| -> Vec<Vec<u8>> {
        through(&mut link(weather), 2000, 40)
            .into_iter()
            .map(|(_, packet)| packet)
            .collect()
    };
    assert_eq!(
        numbers("loss=5%,seed=4"),
        numbers("loss=5%,rate=100mbit,delay=1ms,seed=4")
    );
}

/// What is spared takes the line's time and nobody's draw.
#[test]
fn a_spared_packet_moves_no_fault_of_another() {
    let fates = |spared: bool| {
        let mut link = link("loss=50%,seed=3");
        let mut lost = Vec::new();
        for n in 0..100_u32 {
            if spared {
                link.send_spared(at(0), vec![0; 40]);
            }
            let before = link.counters().lost;
            link.send(at(0), n.to_be_bytes().to_vec(), None);
            lost.push(link.counters().lost > before);
        }
        (lost, link.counters().offered)
    };
    let ((alone, offered), (beside, with_spared)) = (fates(false), fates(true));
    assert_eq!(alone, beside);
    assert_eq!((offered, with_spared), (100, 200));
    let mut slow = link("loss=100%,rate=1mbit,delay=5ms,queue=2");
    (0..3).for_each(|_| slow.send_spared(at(0), vec![0; 125]));
    assert_eq!((slow.poll_timeout(), slow.counters().overflowed), (Some(at(6000)), 1));
}

#[test]
fn weather_changes_for_what_comes_later() {
    let mut link = link("delay=10ms");
    link.send(at(0), vec![1], None);
    link.change("loss=100%".parse().unwrap());
    link.send(at(1), vec![2], None);
    link.change("delay=1ms".parse().unwrap());
    link.send(at(2), vec![3], None);
    let mut out = Vec::new();
    drain(&mut link, at(20_000), &mut out);
    assert_eq!(out, [(at(1002), vec![3]), (at(10_000), vec![1])]);
    assert_eq!((link.counters().offered, link.counters().lost), (3, 1));
}
