//! Too much of everything: SYNs have half_open.rs of their own; here are fragments, answers, events and peers that stall.

use ustcp_proto::{Config, DropReason, State};

use super::figure;
use crate::wire::*;

/// ATTACK-33: more answers than can wait are not given: a flood costs bounded memory when nobody takes the output.
#[test]
fn answers_that_nobody_takes_are_bounded() {
    let mut w = Wire::new(config(), WE_LISTEN);
    for _ in 0..100_000 {
        w.peer("P. 5:15(10) ack 77");
    }
    assert!(w.drain().len() <= 1024);
    assert!(w.drops(DropReason::Limit) > 90_000);
}

/// ATTACK-34: events that nobody fetches are bounded and counted.
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

/// Acknowledges, with a closed window, everything that anyone sends for so long; how many packets that was.
fn stall(w: &mut Wire, time: core::time::Duration) -> usize {
    let (mut sent, end) = (0, w.now + time);
    loop {
        while let Some((ports, segment)) = w.next() {
            sent += 1;
            w.ports = ports;
            if !segment.flags.has(ustcp_wire::Flags::RST) {
                w.peer(". 1:1(0) ack 1 win 0");
            }
        }
        match w.stack.poll_timeout().filter(|(due, _)| *due < end) {
            Some((due, _)) => w.now = due.max(w.now),
            None => break,
        }
        w.stack.on_timeout(w.now);
    }
    w.now = end;
    w.stack.on_timeout(end);
    sent
}

/// `count` peers that shake hands and then close their windows; each connection has `text` bytes to send.
fn stalled(count: u16, text: usize) -> (Wire, Vec<ustcp_proto::SocketId>) {
    let config = Config {
        accept_backlog: 20_000,
        trace: false,
        ..config()
    };
    let mut w = Wire::listening(config, 20_000);
    let mut ids = Vec::new();
    for port in 1..=count {
        w.ports = Ports(SERVER, port);
        w.peer("S 0:0(0) win 0 <mss 1000>");
        w.sees("S. 0:0(0) ack 1");
        w.peer(". 1:1(0) ack 1 win 0");
        w.accept();
        assert_eq!(w.try_write(text), if text == 0 { Ok(0) } else { Ok(text) });
        ids.push(w.id());
    }
    (w, ids)
}

/// ATTACK-29, sockstress: 10,000 peers whose windows stay closed and whose user has closed: gone within two minutes,
/// though every probe is answered.
#[test]
fn orphans_of_closed_windows_do_not_live_on() {
    let (mut w, ids) = stalled(10_000, 2000);
    for id in ids {
        w.stack.close(w.now, id).expect("close");
    }
    let census = w.stack.census();
    assert_eq!(census.orphans, 10_000);
    assert!(census.buffer_bytes <= 10_000 * 4096, "{census:?}");
    let bytes = census.buffer_bytes;
    let begin = w.now;
    while w.stack.census().orphans > 0 {
        stall(&mut w, secs(1));
        assert!(w.now.since(begin) <= secs(120), "{:?}", w.stack.census());
    }
    assert_eq!(w.stack.census().buffer_bytes, 0);
    let life = w.now.since(begin).as_secs();
    figure(
        "ATTACK-29",
        format!("gone after {life} s; {} KiB for 10,000 of them", bytes / 1024),
    );
}

/// ATTACK-30, sockstress: connections that their users hold live on behind closed windows, and probe less and less.
#[test]
fn held_connections_wait_behind_closed_windows() {
    let (mut w, ids) = stalled(1000, 2000);
    let probes = stall(&mut w, secs(3600)) / ids.len();
    assert!((30..=60).contains(&probes), "{probes} probes in an hour");
    assert!(ids.iter().all(|id| w.stack.state(*id) == Ok(State::Established)));
    figure(
        "ATTACK-30",
        format!("1,000 of 1,000 alive, {probes} probes each in an hour"),
    );
}

/// ATTACK-31: connections on which nothing was said hold no buffer.
#[test]
fn a_connection_without_text_has_no_buffer() {
    let (w, _) = stalled(1000, 0);
    assert_eq!(w.stack.census().buffer_bytes, 0);
    figure("ATTACK-31", "0 bytes for 1,000 connections");
}

/// The first 512 bytes of a datagram that never becomes whole, from one of many hosts.
fn beginning(identification: u32) -> Vec<u8> {
    let host = core::net::IpAddr::from([172, 16, 0, 1 + (identification % 100) as u8]);
    let mut fragment = ip_packet_between(host, OURS, 6, &[0; 512]);
    fragment[4..6].copy_from_slice(&identification.to_be_bytes()[2..]);
    fragment[6] = 0x20; // more fragments
    fragment[10..12].copy_from_slice(&[0, 0]);
    let sum = ustcp_wire::Sum::default().add(&fragment[..20]).checksum();
    fragment[10..12].copy_from_slice(&sum.to_be_bytes());
    fragment
}

/// ATTACK-23, ATTACK-28, CVE-2018-5391: 50,000 fragments in a second for ten seconds, beside a conversation: it loses nothing.
#[test]
fn a_conversation_beside_a_flood_of_fragments() {
    let config = Config {
        trace: false,
        ..config()
    };
    let mut w = Wire::connected_to(config, PLAIN);
    let (mut most, mut next) = (0, 1_i64);
    for index in 0..10_000_u32 {
        for fragment in 0..50 {
            w.inject(&beginning(50 * index + fragment));
        }
        w.peer(&format!(". {next}:{}(1000) ack 1", next + 1000));
        next += 1000;
        assert_eq!(w.read(2000), Ok(1000));
        while w.next_packet().is_some() {}
        w.now = w.now + ms(1);
        w.stack.on_timeout(w.now);
        most = most.max(w.stack.census().fragment_bytes);
    }
    assert!((3 << 20..=4 << 20).contains(&most), "{most}");
    assert!(w.drops(DropReason::Fragment) > 400_000);
    figure("ATTACK-28", "100 % of the other flow's text");
    figure("ATTACK-23", format!("at most {} KiB of 500,000 fragments", most / 1024));
}
