//! Whatever arrives: nothing but counters, no panic, and memory in bounds. safety.md §2.

use ustcp_proto::{Checksum, Config, DropReason, Shutdown, State};
use ustcp_wire::{Flags, IpPacket, SackBlock, SackBlocks, SeqNum, TcpHeader};

use crate::wire::*;

/// splitmix64: the tests' own dice, the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit as u64).expect("small")
    }
}

/// A stack with a listener, a connection and one in TIME-WAIT, without a trace.
fn target() -> Wire {
    let mut w = Wire::listening(
        Config {
            timestamps: true,
            trace: false,
            ..config()
        },
        8,
    );
    for port in [CLIENT_OF_THE_TIME_WAIT, WE_LISTEN.1] {
        w.ports = Ports(SERVER, port);
        w.peer("S 0:0(0) win 65535 <mss 1000,sackOK,ts 1000 0>");
        w.sees("S. 0:0(0) ack 1");
        w.peer(". 1:1(0) ack 1");
        w.accept();
        if port == CLIENT_OF_THE_TIME_WAIT {
            w.close();
            w.sees("F. 1:1(0) ack 1");
            w.peer("F. 1:1(0) ack 2");
            w.sees(". 2:2(0) ack 2");
        }
    }
    w
}

const CLIENT_OF_THE_TIME_WAIT: u16 = 7;

/// MUST-3, MUST-7: 100,000 packets cut short, with bits flipped, or made of noise: counted and nothing else.
#[test]
fn a_hundred_thousand_broken_packets() {
    let mut w = target();
    let census = w.stack.census();
    let mut dice = Dice(1);
    let originals = [
        w.packet(&Segment::read("P. 1:1001(1000) ack 1 <sack 1:5 7:9>")),
        w.packet(&Segment::read("S 0:0(0) <mss 1460,sackOK,ws 7>")),
        w.packet(&Segment::read("R 1:1(0)")),
        w.packet(&Segment::read("F. 1:1(0) ack 1")),
    ];
    for _ in 0..100_000 {
        let mut packet = originals[dice.below(originals.len())].clone();
        match dice.below(3) {
            0 => packet.truncate(dice.below(packet.len())),
            1 => {
                let bit = dice.below(packet.len() * 8);
                packet[bit / 8] ^= 1 << (bit % 8);
            }
            _ => {
                packet.truncate(dice.below(packet.len()));
                packet.iter_mut().for_each(|byte| *byte = (dice.roll() & 0xff) as u8);
            }
        }
        w.inject(&packet);
        w.quiet();
    }
    assert_eq!((w.stack.census(), w.state()), (census, State::Established));
    assert_eq!(w.stack.queued_in(w.id()), Ok(0));
    let dropped: u64 = [
        DropReason::Malformed,
        DropReason::Checksum,
        DropReason::Martian,
        DropReason::NotOurs,
        DropReason::Fragment,
        DropReason::Protocol,
    ]
    .iter()
    .map(|reason| w.drops(*reason))
    .sum();
    assert_eq!(dropped, 100_000);
}

/// 100,000 well-formed segments of random fields, near and far from the window, and random time: no panic, no loop, and
/// never more than an answer or two for each.
#[test]
fn a_hundred_thousand_random_segments() {
    let mut w = target();
    let mut dice = Dice(2);
    let mut sent = 0;
    for _ in 0..100_000 {
        let near = |dice: &mut Dice, isn: u32| {
            let spread = [4, 100, 70_000, u32::MAX][dice.below(4)];
            isn.wrapping_add((dice.roll() as u32) % spread).wrapping_sub(spread / 2)
        };
        let mut sack = SackBlocks::NONE;
        for _ in 0..dice.below(5) {
            let (start, end) = (near(&mut dice, w.iss()), near(&mut dice, w.iss()));
            sack.push(SackBlock {
                start: SeqNum(start),
                end: SeqNum(end),
            });
        }
        let iss = w.iss();
        let header = TcpHeader {
            source_port: [CLIENT_OF_THE_TIME_WAIT, WE_LISTEN.1, 3, 4][dice.below(4)],
            destination_port: [SERVER, SERVER, SERVER, 81][dice.below(4)],
            seq: SeqNum(near(&mut dice, PEER_ISN)),
            ack: SeqNum(near(&mut dice, iss)),
            flags: Flags(dice.roll() as u8),
            window: dice.roll() as u16,
            urgent: dice.roll() as u16,
            options: ustcp_wire::TcpOptions {
                mss: (dice.below(2) == 0).then_some(dice.roll() as u16),
                window_scale: (dice.below(2) == 0).then_some(dice.roll() as u8),
                sack_permitted: dice.below(2) == 0,
                timestamps: (dice.below(2) == 0).then(|| ustcp_wire::Timestamps {
                    value: dice.roll() as u32,
                    echo: dice.roll() as u32,
                }),
                sack,
                ..Default::default()
            },
        };
        let len = [0, 1, 10, 1460][dice.below(4)];
        w.stack
            .on_packet(w.now, &packet(PEERS, OURS, &header, &vec![0x55; len]), Checksum::Full);
        if dice.below(50) == 0 && w.stack.send(w.now, w.id(), b"some text").is_err() {
            w = target();
        }
        while w.next_packet().is_some() {
            sent += 1;
        }
        w.now = w.now + ms(dice.roll() % 50);
        w.stack.on_timeout(w.now);
        let census = w.stack.census();
        assert!(
            census.buffer_bytes < 4 << 20 && census.half_open <= 9 && census.time_wait <= 9,
            "{census:?}"
        );
    }
    assert!(sent < 300_000, "{sent}");
}

/// Martians and others: what is not for us is dropped in silence.
#[test]
fn addresses_that_cannot_be() {
    let mut w = target();
    let header = TcpHeader {
        source_port: 5,
        destination_port: SERVER,
        flags: Flags::SYN,
        ..TcpHeader::default()
    };
    // MUST-63
    for source in [
        [0, 0, 0, 0],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255, 255, 255, 255],
        [10, 0, 0, 255],
        [10, 0, 0, 2],
    ] {
        w.inject(&packet(source.into(), OURS, &header, &[]));
        w.quiet();
    }
    assert_eq!(w.drops(DropReason::Martian), 6);
    // MUST-57, 1122-1
    for destination in [
        [224, 0, 0, 1],
        [255, 255, 255, 255],
        [10, 0, 0, 255],
        [127, 0, 0, 1],
        [10, 0, 0, 3],
    ] {
        w.inject(&packet(PEERS, destination.into(), &header, &[]));
        w.quiet();
    }
    assert_eq!(w.drops(DropReason::NotOurs), 5);
}

/// All 256 combinations of flags in every state of a connection, with text and without, in and around the window: never
/// a panic, never more than one answer, and no state but those the RFC's arrows lead to.
#[test]
fn flag_chaos() {
    for flags in 0..=255_u8 {
        for (seq, len) in [(1, 0), (1, 10), (2, 0), (0, 1), (100_000, 0)] {
            for state in 0..6 {
                let mut w = Wire::connected();
                match state {
                    0 => {}
                    1 => w.shutdown(Shutdown::Write),
                    2 => w.peer("F. 1:1(0) ack 1"),
                    3 => {
                        w.shutdown(Shutdown::Write);
                        w.drain();
                        w.peer(". 1:1(0) ack 2");
                    }
                    4 => {
                        w.peer("F. 1:1(0) ack 1");
                        w.shutdown(Shutdown::Write);
                    }
                    _ => {
                        w.shutdown(Shutdown::Write);
                        w.drain();
                        w.peer("F. 1:1(0) ack 1");
                    }
                }
                w.drain();
                let iss = w.iss();
                let header = TcpHeader {
                    source_port: w.ports.1,
                    destination_port: w.ports.0,
                    seq: SeqNum(PEER_ISN) + seq,
                    ack: SeqNum(iss) + 1,
                    flags: Flags(flags),
                    window: 1000,
                    ..TcpHeader::default()
                };
                w.events();
                w.inject(&packet(PEERS, OURS, &header, &text(1, len)));
                assert!(w.drain().len() <= 1, "{} at {seq}({len})", Flags(flags));
                for (from, cause, to) in w.arrows() {
                    assert_eq!(from.on(cause), Some(to));
                }
            }
        }
    }
}

/// CVE-2018-5390: a byte here and a byte there, never the first: bounded in ranges and in memory.
#[test]
fn a_hundred_thousand_islands() {
    let mut config = config();
    config.receive_buffer = 256 * 1024;
    config.trace = false;
    let mut w = Wire::connected_to(config, "win 65535 <mss 1000,sackOK,ws 7>");
    w.peer(". 1:2(1) ack 1");
    assert_eq!(w.read(1), Ok(1));
    w.drain();
    let window = i64::from(w.info().rcv_wnd);
    for index in 0..100_000 {
        let seq = 3 + 2 * index % (window - 4);
        w.peer(&format!(". {seq}:{}(1) ack 1", seq + 1));
        w.drain();
    }
    assert!(w.stack.census().buffer_bytes <= 2 * 256 * 1024);
    assert!(w.drops(DropReason::Reassembly) > 0, "a limit of ranges");
    let end = 2 + window;
    for first in (2..end).step_by(1000) {
        let last = (first + 1000).min(end);
        w.peer(&format!(". {first}:{last}({}) ack 1", last - first));
        w.drain();
    }
    assert_eq!(
        w.read(1 << 20),
        Ok(usize::try_from(window).expect("positive")),
        "and the stream is whole"
    );
}

/// CVE-2019-11477 and its kin: SACK blocks that cut what is in flight into bytes: in the end the stream is whole. (The bound on the pieces is the scoreboard's own test.)
#[test]
fn a_flood_of_sacks() {
    let mut config = config();
    config.send_buffer = 1 << 20;
    config.initial_window = 1000;
    config.trace = false;
    let mut w = Wire::connected_to(config, "win 65535 <mss 1,sackOK,ws 7>");
    assert_eq!(w.info().snd_mss, 48);
    w.peer(". 1:1(0) ack 1");
    w.write(1 << 20);
    let in_flight = 48 * w.drain().len() as i64;
    assert!(in_flight >= 48_000);
    for index in 0..20_000 {
        let at = |step: i64| 2 + (2 * (4 * index + step)) % (in_flight - 2);
        let blocks: Vec<_> = (0..4).map(|step| format!("{}:{}", at(step), at(step) + 1)).collect();
        w.peer(&format!(". 1:1(0) ack 1 <sack {}>", blocks.join(" ")));
        w.drain();
    }
    let mut end = 1;
    while w.stack.queued_out(w.id()) != Ok(0) {
        let sent = w.elapse(secs(1));
        end = sent
            .iter()
            .map(|(_, segment)| segment.seq + segment.len as i64)
            .fold(end, i64::max);
        w.peer(&format!(". 1:1(0) ack {end}"));
    }
}

/// smoltcp #542: two ends that each believe the other far away do not keep each other busy.
#[test]
fn two_desynchronised_ends_fall_silent() {
    // The same connection seen from both ends: the second stack has the peer's address.
    let mut client = Wire::connected();
    let mut server = {
        let mut config = config();
        config.addresses[0].address = PEERS;
        ustcp_proto::Stack::new(config)
    };
    let listener = server.socket(ustcp_proto::Family::V4).expect("a socket");
    server
        .bind(listener, core::net::SocketAddr::new(PEERS, SERVER))
        .expect("bind");
    server.listen(client.now, listener, 1).expect("listen");
    // It gets a connection with numbers a mebibyte away from what the client believes.
    let mut syn = TcpHeader {
        source_port: WE_CONNECT.0,
        destination_port: SERVER,
        seq: SeqNum(client.iss()) + (1 << 20),
        flags: Flags::SYN,
        window: 65_535,
        ..TcpHeader::default()
    };
    server.on_packet(client.now, &packet(OURS, PEERS, &syn, &[]), Checksum::Full);
    let answer = server.poll_transmit(client.now).expect("a SYN-ACK").to_vec();
    let ip = IpPacket::parse(&answer).expect("a packet");
    let iss = ustcp_wire::TcpSegment::parse(&ip.header, ip.payload, Checksum::Full)
        .expect("a segment")
        .header
        .seq;
    syn.flags = Flags::ACK;
    syn.seq += 1;
    syn.ack = iss + 1;
    server.on_packet(client.now, &packet(OURS, PEERS, &syn, &[]), Checksum::Full);
    let (id, _) = server.accept(listener).expect("a connection");
    server.send(client.now, id, &[1; 5000]).expect("send");
    client.stack.send(client.now, client.id(), &[1; 5000]).expect("send");
    let mut packets = 0;
    let end = client.now + secs(60);
    while client.now < end {
        while let Some(packet) = client.next_packet() {
            server.on_packet(client.now, &packet, Checksum::Full);
            packets += 1;
        }
        while let Some(packet) = server.poll_transmit(client.now).map(|transmit| transmit.to_vec()) {
            client.inject(&packet);
            packets += 1;
        }
        client.now = client.now + ms(1);
        client.stack.on_timeout(client.now);
        server.on_timeout(client.now);
        assert!(packets <= 480, "{packets}");
    }
}

/// Two listeners that forged SYNs have talked into each other: their half-open connections do not keep each other busy.
#[test]
fn two_half_open_ends_fall_silent() {
    let mut w = Wire::half_open(config());
    let mut packets = 0;
    // Whatever we say comes back as if the other end were in SYN-RECEIVED with other numbers.
    for _ in 0..1000 {
        w.peer(". 5000000:5000000(0) ack 1");
        packets += w.elapse(ms(1)).len();
    }
    assert!(packets <= 4, "{packets}");
}

/// More answers than can wait are not given: a flood costs bounded memory when nobody takes the output.
#[test]
fn answers_that_nobody_takes_are_bounded() {
    let mut w = Wire::new(config(), WE_LISTEN);
    for _ in 0..100_000 {
        w.peer("P. 5:15(10) ack 77");
    }
    assert!(w.drain().len() <= 1024);
    assert!(w.drops(DropReason::Limit) > 90_000);
}

/// Events that nobody fetches are bounded and counted.
#[test]
fn events_that_nobody_fetches_are_bounded() {
    let mut w = Wire::new(config(), WE_LISTEN);
    for _ in 0..40_000 {
        w.peer("P. 5:15(10) ack 77");
        w.drain();
    }
    assert_eq!(w.events().len(), 65_536);
    assert!(w.stack.counters().events_lost > 0);
}
