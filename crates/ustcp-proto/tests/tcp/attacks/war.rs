//! Two ends, or what looks like two, that could keep each other busy for ever.

use ustcp_proto::Checksum;
use ustcp_wire::{Flags, IpPacket, SeqNum, TcpHeader};

use super::figure;
use crate::wire::*;

/// ATTACK-6, smoltcp #542: two ends that each believe the other far away do not keep each other busy.
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
        assert!(packets <= 240, "{packets}");
    }
    figure("ATTACK-6", format!("{packets} packets in 60 s"));
}

/// ATTACK-7: two listeners that forged SYNs have talked into each other: their half-open connections do not keep each other busy.
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
    figure("ATTACK-7", format!("{packets} packets in a second"));
}
