//! TCP options and segment sizes: RFC 9293 §3.2 and §3.7.1.

use ustcp_proto::Config;
use ustcp_wire::{Flags, IpPacket, Protocol, SeqNum, TcpHeader};

use crate::wire::*;

/// What the first full segment carries towards a peer whose SYN-ACK had `options`.
fn first_segment(mtu: usize, options: &str) -> usize {
    let mut w = Wire::connected_to(Config { mtu, ..config() }, &format!("win 65535 <{options}>"));
    w.write(20_000);
    w.next().expect("a segment").1.len
}

/// MUST-14, MUST-15, MUST-16: the size of what we send: the peer's MSS, 536 without, and never beyond the MTU.
#[test]
fn the_segment_size() {
    for (mtu, options, len) in [
        (1500, "mss 1460", 1460),
        (1500, "mss 300", 300),
        (1500, "", 536),
        (1500, "mss 9000", 1460),
        (1500, "mss 65535", 1460),
        (9000, "mss 8960", 8960),
        (576, "mss 1460", 536),
        (1500, "mss 1", 48),  // CVE-2019-11479: as Linux
        (1500, "mss 0", 536), // as Linux: it says nothing
        (1500, "mss 48", 48),
    ] {
        assert_eq!(first_segment(mtu, options), len, "mtu {mtu} <{options}>");
    }
}

/// SHLD-5, MUST-67, MAY-3: what we announce follows the MTU, in SYN and SYN-ACK.
#[test]
fn the_announced_size() {
    for (mtu, mss) in [
        (68, 28),
        (576, 536),
        (1280, 1240),
        (1500, 1460),
        (9000, 8960),
        (65_535, 65_495),
    ] {
        let mut w = Wire::new(Config { mtu, ..config() }, WE_CONNECT);
        w.connect();
        w.sees(&format!("S 0:0(0) <mss {mss},sackOK,ws 3>"));
        let mut w = Wire::listening(Config { mtu, ..config() }, 1);
        w.peer("S 0:0(0) <mss 1000,sackOK,ws 0>");
        w.sees(&format!("S. 0:0(0) ack 1 <mss {mss},sackOK,ws 3>"));
    }
}

/// The user's TCP_MAXSEG bounds both directions.
#[test]
fn the_users_size() {
    let mut w = Wire::new(config(), WE_LISTEN);
    let id = w.fresh();
    let mut options = w.stack.options(id).expect("options");
    options.max_segment = Some(500);
    w.stack.set_options(w.now, id, options).expect("set");
    w.use_socket(id);
    let (local, remote) = (w.flow().local, w.flow().remote);
    w.stack.bind(id, local).expect("bind");
    let _in_progress = w.stack.connect(w.now, id, remote);
    w.sees("S 0:0(0) <mss 500,sackOK,ws 3>");
    w.peer("S. 0:0(0) ack 1 <mss 1000>");
    w.sees(". 1:1(0) ack 1");
    w.set(|options| options.max_segment = Some(200)); // too late, as in Linux
    w.write(2000);
    w.sees(". 1:501(500) ack 1");
}

/// `tcp_window_scaling` off: no scale is offered, none is granted, and none is believed.
#[test]
fn no_scaling_where_it_is_off() {
    let off = || Config {
        window_scaling: false,
        ..config()
    };
    let mut w = Wire::new(off(), WE_CONNECT);
    w.connect();
    assert_eq!(w.sees("S 0:0(0) <mss 1460,sackOK>").win, Some(65_535));
    w.peer("S. 0:0(0) ack 1 win 1000 <mss 1000,ws 7>");
    assert_eq!(w.sees(". 1:1(0) ack 1").win, Some(65_535));
    assert_eq!((w.info().window_scale, w.info().snd_wnd), (None, 1000));
    let mut w = Wire::listening(off(), 1);
    w.peer("S 0:0(0) win 1000 <mss 1000,ws 7>");
    w.sees("S. 0:0(0) ack 1 <mss 1460>");
    w.peer(". 1:1(0) ack 1 win 1000");
    w.accept();
    assert_eq!((w.info().window_scale, w.info().snd_wnd), (None, 1000));
}

/// 2018-1: no blocks unless both SYNs permit them, and `tcp_sack` off permits nothing.
#[test]
fn both_ends_must_permit_sack() {
    for (ours, peers) in [(true, true), (true, false), (false, true), (false, false)] {
        let config = Config { sack: ours, ..config() };
        let both = ours && peers;
        let offer = if peers { "<mss 1000,sackOK>" } else { "<mss 1000>" };

        let mut w = Wire::new(config.clone(), WE_CONNECT);
        w.connect();
        let syn = w.next().expect("a SYN").1.options.expect("options");
        assert_eq!(syn.sack_permitted, ours);
        w.peer(&format!("S. 0:0(0) ack 1 {offer}"));
        w.sees(". 1:1(0) ack 1 <>");
        assert_eq!(w.info().sack, both);
        w.peer(". 501:1001(500) ack 1");
        w.sees(if both {
            ". 1:1(0) ack 1 <sack 501:1001>"
        } else {
            ". 1:1(0) ack 1 <>"
        });

        let mut w = Wire::listening(config, 1);
        w.peer(&format!("S 0:0(0) {offer}"));
        w.sees(if both {
            "S. 0:0(0) ack 1 <mss 1460,sackOK>"
        } else {
            "S. 0:0(0) ack 1 <mss 1460>"
        });
    }
}

/// A scale and SACK are only offered to a SYN that offered them.
#[test]
fn the_syn_ack_offers_what_the_syn_did() {
    for (offer, answer) in [
        ("", "mss 1460"),
        ("mss 1000", "mss 1460"),
        ("mss 1000,sackOK", "mss 1460,sackOK"),
        ("mss 1000,ws 0", "mss 1460,ws 3"),
        ("sackOK,ws 15", "mss 1460,sackOK,ws 3"),
    ] {
        let mut w = Wire::listening(config(), 1);
        w.peer(&format!("S 0:0(0) <{offer}>"));
        w.sees(&format!("S. 0:0(0) ack 1 <{answer}>"));
    }
}

/// MUST-68, MUST-69, MUST-65: the bytes of our options: Linux's order, a length on each, no padding that says anything,
/// and MSS nowhere but on SYNs.
#[test]
fn the_bytes_of_our_options() {
    let mut w = Wire::new(config(), WE_CONNECT);
    w.connect();
    let syn = w.next_packet().expect("a SYN");
    assert_eq!(syn[40..], [2, 4, 0x05, 0xb4, 1, 1, 4, 2, 1, 3, 3, 3]);
    let mut w = Wire::connected_to(config(), "win 65535 <mss 1000,sackOK,ws 7>");
    w.write(10);
    let text = w.next_packet().expect("text");
    assert_eq!((text[32] >> 4, text.len()), (5, 50));
    w.peer("P. 11:21(10) ack 1");
    let ack = w.next_packet().expect("an ACK");
    assert_eq!((ack[32] >> 4, &ack[40..44]), (8, &[1, 1, 5, 10][..]));
}

/// ATTACK-51, MUST-4, MUST-6, MUST-7, MUST-64: options in any order and alignment, unknown ones among them, and illegal lengths,
/// which end the options but not the segment.
#[test]
fn odd_options_on_a_syn() {
    let peers_mss = |options: &[u8]| {
        let mut w = Wire::listening(config(), 1);
        w.inject(&syn_with(options));
        w.sees("S. 0:0(0) ack 1");
        w.peer(". 1:1(0) ack 1");
        w.accept();
        w.info().snd_mss
    };
    for (options, mss) in [
        (&[2, 4, 1, 44][..], 300),
        (&[1, 2, 4, 1, 44, 0, 0, 0], 300),
        (&[1, 1, 2, 4, 1, 44, 0, 0], 300),
        (&[1, 1, 1, 2, 4, 1, 44, 0], 300),
        (&[200, 7, 1, 2, 3, 4, 5, 2, 4, 1, 44, 1], 300),
        (&[0, 2, 4, 1, 44, 0, 0, 0], 536),   // nothing counts behind END
        (&[2, 4, 1, 44, 8, 0, 0, 0], 300),   // a length of 0
        (&[2, 4, 1, 44, 200, 1, 0, 0], 300), // of 1
        (&[2, 4, 1, 44, 200, 255, 0, 0], 300),
        (&[2, 255, 1, 44], 536),
        (&[2, 3, 1, 1], 536), // no MSS option has a length of 3
        (&[2, 4, 1, 44, 2, 4, 2, 88], 600),
        (&[1, 1, 1, 200], 536), // a kind without a length
    ] {
        assert_eq!(peers_mss(options), mss, "{options:?}");
    }
}

fn syn_with(options: &[u8]) -> Vec<u8> {
    let header = TcpHeader {
        source_port: WE_LISTEN.1,
        destination_port: WE_LISTEN.0,
        seq: SeqNum(PEER_ISN),
        flags: Flags::SYN,
        window: 65_535,
        ..TcpHeader::default()
    };
    let plain = packet(PEERS, OURS, &header, &[]);
    let ip = IpPacket::parse(&plain).expect("a packet").header;
    assert_eq!(ip.protocol, Protocol::Tcp);
    let mut packet = [&plain[..], options].concat();
    packet[3] = u8::try_from(packet.len()).expect("short");
    packet[32] = u8::try_from((20 + options.len()) / 4).expect("short") << 4;
    packet[10..12].copy_from_slice(&[0, 0]);
    let sum = ustcp_wire::Sum::default().add(&packet[..20]).checksum().to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    ustcp_wire::complete_checksum(&mut packet);
    packet
}

/// 1191-1, RFC 6864: what we put into the IP header.
#[test]
fn our_ip_header() {
    let mut w = Wire::new(config(), WE_CONNECT);
    w.connect();
    let syn = w.next_packet().expect("a SYN");
    let header = IpPacket::parse(&syn).expect("a packet").header;
    assert_eq!((header.hop_limit, header.traffic_class), (64, 0));
    assert!(header.dont_fragment && header.identification == 0);
}

/// SHLD-6: the MTU changes, and with it what the next SYN announces; what stands keeps its own.
#[test]
fn the_announced_size_follows_the_mtu() {
    let mut w = Wire::connected();
    for (port, mtu, mss) in [
        (40_001, 1500, 1460),
        (40_002, 576, 536),
        (40_003, 9000, 8960),
        (40_004, 1280, 1240),
    ] {
        let config = ustcp_proto::Config {
            mtu,
            ..w.stack.config().clone()
        };
        w.stack.set_config(config);
        w.ports = Ports(port, SERVER);
        w.connect();
        let syn = w.sees("S 0:0(0)");
        assert_eq!(syn.options.and_then(|options| options.mss), Some(mss));
    }
}

/// MAY-4: a segment that goes again is the same packet to the last bit, its identification among them.
#[test]
fn a_retransmission_is_the_same_packet() {
    let mut w = Wire::connected();
    w.write(1000);
    let first = w.next_packet().expect("text");
    let rto = w.info().rto;
    w.after(rto);
    assert_eq!(w.next_packet().expect("text again"), first);
}
