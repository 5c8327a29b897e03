//! Packets that cannot be, or should not: nothing but counters, no panic, and memory in bounds.

use ustcp_proto::{Checksum, Config, DropReason, State};
use ustcp_wire::{Flags, SackBlock, SackBlocks, SeqNum, TcpHeader};

use super::{Dice, figure};
use crate::state_table::{Driven, STATES, drive};
use crate::wire::*;

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

/// ATTACK-58, MUST-3, MUST-7: 100,000 packets cut short, with bits flipped, or made of noise: counted and nothing else.
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
    figure("ATTACK-58", "100,000 counted, no answer");
}

/// ATTACK-59: 100,000 well-formed segments of random fields, near and far from the window, and random time: no panic, no loop, and
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
    figure("ATTACK-59", format!("{sent} answers, at most 4 MiB of buffers"));
}

/// ATTACK-60, MUST-63, MUST-57, 1122-1: addresses that no host can have as source, or that are not ours as destination:
/// dropped in silence and counted.
#[test]
fn martians() {
    let mut w = target();
    let header = syn();
    let sources = [
        [0, 0, 0, 0],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [239, 255, 255, 255],
        [255, 255, 255, 255],
        [10, 0, 0, 255],
    ];
    for source in sources {
        w.inject(&packet(source.into(), OURS, &header, &[]));
        w.quiet();
    }
    assert_eq!(w.drops(DropReason::Martian), sources.len() as u64);
    let destinations = [
        [224, 0, 0, 1],
        [255, 255, 255, 255],
        [10, 0, 0, 255],
        [127, 0, 0, 1],
        [10, 0, 0, 3],
    ];
    for destination in destinations {
        w.inject(&packet(PEERS, destination.into(), &header, &[]));
        w.quiet();
    }
    assert_eq!(w.drops(DropReason::NotOurs), destinations.len() as u64);
    figure("ATTACK-60", "11 of 11 counted, 0 answers");
}

/// ATTACK-61, LAND (1997): a SYN from our own address and port to itself, in either family.
#[test]
fn land() {
    for config in [config(), config_v6()] {
        let mut w = Wire::listening(config, 8);
        let header = TcpHeader {
            source_port: SERVER,
            ..syn()
        };
        for _ in 0..1000 {
            w.inject(&packet(w.ours, w.ours, &header, &[]));
            assert!(w.next_packet().is_none());
        }
        assert_eq!((w.drops(DropReason::Martian), w.stack.census().half_open), (1000, 0));
    }
    figure("ATTACK-61", "1,000 of 1,000 counted, 0 answers");
}

fn syn() -> TcpHeader {
    TcpHeader {
        source_port: 5,
        destination_port: SERVER,
        flags: Flags::SYN,
        ..TcpHeader::default()
    }
}

/// ATTACK-52: all 256 combinations of flags in every state, with text and without, in and around the window: never a
/// panic, never more than one answer, and no state but those that the RFC's arrows lead to.
#[test]
fn flag_chaos() {
    let mut cases = 0;
    for state in STATES {
        for flags in 0..=255_u8 {
            for (offset, len) in [(0, 0), (0, 10), (1, 0), (-1, 1), (100_000, 0)] {
                let Driven {
                    mut w,
                    peers_next,
                    ours_next,
                    ..
                } = drive(state);
                let header = TcpHeader {
                    source_port: w.ports.1,
                    destination_port: w.ports.0,
                    seq: SeqNum(PEER_ISN.wrapping_add_signed(i32::try_from(peers_next).expect("small") + offset)),
                    ack: SeqNum(w.iss()) + usize::try_from(ours_next).expect("positive"),
                    flags: Flags(flags),
                    window: 1000,
                    ..TcpHeader::default()
                };
                w.inject(&packet(
                    PEERS,
                    OURS,
                    &header,
                    &text(peers_next + i64::from(offset), len),
                ));
                let answers = core::iter::from_fn(|| w.next_packet()).count();
                assert!(
                    answers <= 1,
                    "{answers} to {} at {offset}({len}) in {state}",
                    Flags(flags)
                );
                for (from, cause, to) in w.arrows() {
                    assert_eq!(from.on(cause), Some(to));
                }
                cases += 1;
            }
        }
    }
    figure("ATTACK-52", format!("{cases} cases, at most one answer to each"));
}

/// ATTACK-56, Ripple20: packets inside packets are not looked into.
#[test]
fn tunnels_lead_nowhere() {
    for (config, protocol) in [(config(), 4), (config(), 41), (config_v6(), 4), (config_v6(), 41)] {
        let mut w = Wire::listening(config, 8);
        let (peers, ours) = (w.peers, w.ours);
        let inner = packet(peers, ours, &syn(), &[]);
        w.inject(&ip_packet(ours, protocol, &inner));
        assert_eq!((w.drops(DropReason::Protocol), w.stack.census().half_open), (1, 0));
    }
    figure("ATTACK-56", "4 of 4 dropped");
}

/// ATTACK-57: a SYN behind a hundred extension headers is none.
#[test]
fn a_hundred_extension_headers() {
    let mut w = Wire::listening(config_v6(), 8);
    let segment = packet(PEERS_V6, OURS_V6, &syn(), &[])[40..].to_vec();
    let mut taken = 0;
    for depth in 0..=100 {
        let mut chain = Vec::new();
        for index in 1..=depth {
            let next = if index == depth { 6 } else { 60 };
            chain.extend([next, 0, 1, 4, 0, 0, 0, 0]); // destination options: padding
        }
        let first = if depth == 0 { 6 } else { 60 };
        w.inject(&ip_packet(OURS_V6, first, &[&chain[..], &segment].concat()));
        while w.next_packet().is_some() {}
        if w.stack.census().half_open > 0 {
            taken = depth;
            w.inject(&packet(
                PEERS_V6,
                OURS_V6,
                &TcpHeader {
                    seq: SeqNum(1),
                    flags: Flags::RST,
                    ..syn()
                },
                &[],
            ));
        }
        assert_eq!(w.stack.census().half_open, 0);
    }
    assert_eq!(taken, 8);
    figure("ATTACK-57", "8 headers are passed over, 9 to 100 end the packet");
}

/// ATTACK-55, Ripple20: a total length that is not the length of what was read: short packets are dropped, long ones
/// trimmed.
#[test]
fn lengths_that_lie() {
    let mut w = Wire::connected();
    let honest = w.packet(&Segment::read("P. 1:11(10) ack 1"));
    for extra in [1, 7, 1000, 65_485] {
        w.inject(&[&honest[..], &vec![0xee; extra]].concat());
    }
    assert_eq!(w.read(9999), Ok(10));
    let mut dropped = 0;
    for claimed in (0..=65_535_u16).filter(|claimed| usize::from(*claimed) != honest.len()) {
        let mut lying = honest.clone();
        lying[2..4].copy_from_slice(&claimed.to_be_bytes());
        lying[10..12].copy_from_slice(&[0, 0]);
        let sum = ustcp_wire::Sum::default().add(&lying[..20]).checksum();
        lying[10..12].copy_from_slice(&sum.to_be_bytes());
        w.inject(&lying);
        dropped += 1;
    }
    assert_eq!(w.drops(DropReason::Malformed) + w.drops(DropReason::Checksum), dropped);
    assert_eq!((w.state(), w.stack.queued_in(w.id())), (State::Established, Ok(0)));
    figure("ATTACK-55", format!("{dropped} of {dropped} lengths refused"));
}

/// ATTACK-63: an acknowledgement that comes with a super-segment, as GRO makes them, counts like any.
#[test]
fn the_ack_of_a_merged_segment_counts() {
    let mut w = Wire::connected();
    w.write(5000);
    assert_eq!(w.drain().len(), 5);
    w.peer("P. 1:60001(60000) ack 5001");
    assert_eq!((w.stack.queued_out(w.id()), w.read(99_999)), (Ok(0), Ok(60_000)));
    figure("ATTACK-63", "5,000 of 5,000 bytes acknowledged");
}
