//! Initial sequence numbers: RFC 9293 §3.4.1, RFC 6528.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::HashMap;

use ustcp_proto::{Config, Identity, Instant, Secret, Stack};
use ustcp_wire::{Checksum, Flags, IpPacket, SeqNum, TcpHeader, TcpSegment};

use crate::wire::*;

/// The ISN with which a listener answers `port` of the peer at `now`.
fn isn(stack: &mut Stack, now: Instant, port: u16, peers_isn: u32) -> u32 {
    isn_towards(PEERS, stack, now, port, peers_isn)
}

fn isn_towards(peer: IpAddr, stack: &mut Stack, now: Instant, port: u16, peers_isn: u32) -> u32 {
    let header = TcpHeader {
        source_port: port,
        destination_port: SERVER,
        seq: SeqNum(peers_isn),
        flags: Flags::SYN,
        ..TcpHeader::default()
    };
    stack.on_packet(now, &packet(peer, OURS, &header, &[]), Checksum::Full);
    let answer = stack.poll_transmit(now).expect("a SYN-ACK").to_vec();
    let ip = IpPacket::parse(&answer).expect("a packet");
    let segment = TcpSegment::parse(&ip.header, ip.payload, Checksum::Full).expect("a segment");
    let reset = TcpHeader {
        seq: SeqNum(peers_isn) + 1,
        flags: Flags::RST,
        ..header
    };
    stack.on_packet(now, &packet(peer, OURS, &reset, &[]), Checksum::Full);
    assert_eq!(stack.census().half_open, 0);
    segment.header.seq.0
}

fn listening(secret: u8) -> Stack {
    let mut config = Config {
        trace: false,
        ..config()
    };
    config.secret.0[0] = secret;
    Wire::listening(config, 100).stack
}

/// ATTACK-12, 6528-1, MUST-8: between the same ends the number rises by one in 4 µs, to the microsecond and for hours.
#[test]
fn it_rises_with_the_clock() {
    let mut stack = listening(1);
    let begin = Instant::ZERO;
    let first = isn(&mut stack, begin, 1000, 7);
    for micros in [4, 8, 400, 4_000_000, 3_600_000_000, 17_179_869_184, 100_000_000_000] {
        let later = isn(&mut stack, begin + Duration::from_micros(micros), 1000, 9);
        assert_eq!(later.wrapping_sub(first), (micros / 4) as u32, "{micros}");
    }
}

/// ATTACK-11, 6528-1, SHLD-1: between other ends it tells nothing: every byte is uniform, and no difference comes up often.
#[test]
fn numbers_of_other_ends_are_unrelated() {
    let mut stack = listening(1);
    let peers = [PEERS, IpAddr::from([10, 0, 0, 7])];
    let isns: Vec<_> = peers
        .into_iter()
        .flat_map(|peer| (1..=50_000).map(move |port| (peer, port)))
        .map(|(peer, port)| isn_towards(peer, &mut stack, Instant::ZERO, port, 7))
        .collect();
    let mut worst = 0_f64;
    for shift in [0, 8, 16, 24] {
        let mut buckets = [0_f64; 256];
        for isn in &isns {
            buckets[(isn >> shift & 0xff) as usize] += 1.0;
        }
        let expected = isns.len() as f64 / 256.0;
        let chi_square: f64 = buckets.iter().map(|count| (count - expected).powi(2) / expected).sum();
        assert!(chi_square < 330.5, "byte at {shift}: {chi_square}"); // p > 0.001 with 255 degrees of freedom
        worst = worst.max(chi_square);
    }
    let mut differences = HashMap::new();
    for pair in isns.windows(2) {
        *differences.entry(pair[1].wrapping_sub(pair[0])).or_insert(0) += 1;
    }
    let most = differences.values().max().expect("differences");
    assert!(*most <= 3, "{most}");
    println!("ATTACK-11 seen: chi-square at most {worst:.0} (330 is p = 0.001); no difference more than {most} times");
}

/// ATTACK-12, 6528-1, MUST-9: another key, other numbers; the same key, the same: a run can be replayed.
#[test]
fn the_key_decides() {
    let numbers = |secret| -> Vec<_> {
        let mut stack = listening(secret);
        (1..100).map(|port| isn(&mut stack, Instant::ZERO, port, 7)).collect()
    };
    assert_eq!(numbers(1), numbers(1));
    let others = numbers(2);
    assert!(numbers(1).iter().zip(&others).all(|(one, other)| one != other));
}

/// SHLD-1, 6191-1: what a host keeps makes the next process go on where the last one was, though all its other keys are
/// new; and a clock that began anew is made up for.
#[test]
fn the_next_process_goes_on() {
    let process = |secret, now: u64, ahead: u64| {
        let mut config = Config {
            trace: false,
            timestamps: true,
            identity: Some(Identity {
                secret: Secret([9; 32]),
                ahead: Duration::from_secs(ahead),
            }),
            ..config()
        };
        config.secret.0[0] = secret;
        let mut stack = Wire::listening(config, 100).stack;
        let now = Instant::ZERO + Duration::from_secs(now);
        let syn = TcpHeader {
            source_port: 1000,
            destination_port: SERVER,
            flags: Flags::SYN,
            options: ustcp_wire::TcpOptions {
                timestamps: Some(ustcp_wire::Timestamps { value: 1, echo: 0 }),
                ..Default::default()
            },
            ..TcpHeader::default()
        };
        stack.on_packet(now, &packet(PEERS, OURS, &syn, &[]), Checksum::Full);
        let answer = stack.poll_transmit(now).expect("a SYN-ACK").to_vec();
        let ip = IpPacket::parse(&answer).expect("a packet");
        let header = TcpSegment::parse(&ip.header, ip.payload, Checksum::Full)
            .expect("a segment")
            .header;
        (header.seq.0, header.options.timestamps.expect("timestamps").value)
    };
    let (isn, stamp) = process(1, 500, 0);
    for (now, ahead) in [(500, 0), (510, 0), (5, 505), (0, 600)] {
        let (later_isn, later_stamp) = process(2, now, ahead);
        let passed = (now + ahead - 500) as u32;
        assert_eq!(later_isn.wrapping_sub(isn), passed * 250_000);
        assert_eq!(later_stamp.wrapping_sub(stamp), passed * 1000);
    }
}

/// MUST-9: the key is not to be seen in what is printed of a config.
#[test]
fn the_key_is_not_printed() {
    assert!(format!("{:?}", config()).contains("Secret(..)"));
}
