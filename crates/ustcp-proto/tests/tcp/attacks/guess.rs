//! What an attacker would like to foretell: identifications and ports. (Initial sequence numbers have isn.rs.)

use std::collections::HashSet;

use ustcp_proto::{Config, Error, Family, Stack};

use super::figure;
use crate::wire::*;

/// ATTACK-16, RFC 6864 §4.1: packets that may not be fragmented have no identification, whoever they go to.
#[test]
fn the_ip_identification_tells_nothing() {
    let mut w = Wire::listening(config(), 600);
    let mut packets = 0;
    for port in 1..=500 {
        w.ports = Ports(SERVER, port);
        w.peer("S 0:0(0) <mss 1000>");
        w.peer("P. 7:9(2) ack 50");
        while let Some(packet) = w.next_packet() {
            assert_eq!((packet[4], packet[5], packet[6] & 0x40), (0, 0, 0x40));
            packets += 1;
        }
    }
    assert_eq!(packets, 1000);
    figure("ATTACK-16", format!("0 in each of {packets} packets"));
}

/// ATTACK-14, RFC 6056 §2.3: 1,000 connections to one destination within a minute, all with ports of their own, so that
/// none meets what the peer still remembers of the last.
#[test]
fn ports_to_one_destination_do_not_come_again() {
    let mut stack = Stack::new(Config {
        trace: false,
        ..config()
    });
    let mut now = ustcp_proto::Instant::ZERO;
    let mut ports = HashSet::new();
    for _ in 0..1000 {
        let id = stack.socket(Family::V4).expect("a socket");
        let remote = core::net::SocketAddr::new(PEERS, SERVER);
        assert_eq!(stack.connect(now, id, remote), Err(Error::InProgress));
        ports.insert(stack.local_address(id).expect("bound").port());
        stack.close(now, id).expect("close");
        now = now + ms(60);
    }
    assert_eq!(ports.len(), 1000);
    figure("ATTACK-14", "0 of 1,000 came again");
}
