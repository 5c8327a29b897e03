//! What a user asks of IP: its traffic class and its hop limit.

use ustcp_proto::{Config, EcnPolicy};

use crate::wire::*;

/// The traffic class and hop limit of the packet last seen.
fn carried(w: &Wire) -> (u8, u8) {
    let ip = w.last_ip.expect("a packet");
    (ip.traffic_class, ip.hop_limit)
}

fn serve(w: &mut Wire, traffic_class: u8, hop_limit: u8) {
    w.set(|options| {
        options.traffic_class = traffic_class;
        options.hop_limit = Some(hop_limit);
    });
}

/// MUST-49: 64 hops, or what the stack is told.
#[test]
fn the_stacks_hop_limit() {
    for default_ttl in [64, 7] {
        for config in [config(), config_v6()] {
            let mut w = Wire::connecting(Config { default_ttl, ..config });
            assert_eq!(carried(&w), (0, default_ttl));
            w.peer(". 1:1(0) ack 77"); // an RST answers it
            w.sees("R 77:77(0)");
            assert_eq!(carried(&w), (0, default_ttl));
        }
    }
}

/// MUST-48, MUST-49, SHLD-21: what the user says goes with all that follows, whenever it is said.
#[test]
fn a_users_wish_goes_with_every_packet() {
    for config in [config(), config_v6()] {
        let mut w = Wire::connected_to(config, PLAIN);
        serve(&mut w, 0xb8, 9);
        w.write(100);
        w.sees(". 1:101(100) ack 1");
        assert_eq!(carried(&w), (0xb8, 9));
        serve(&mut w, 0x20, 10);
        w.after(w.info().rto);
        w.sees(". 1:101(100) ack 1");
        assert_eq!(carried(&w), (0x20, 10), "and with what is sent again");
        w.peer(". 1:3001(3000) ack 101");
        w.sees(". 101:101(0) ack 3001");
        assert_eq!(carried(&w), (0x20, 10));
        w.set(|options| options.hop_limit = None);
        w.abort();
        w.sees("R. 101:101(0) ack 3001");
        assert_eq!(carried(&w), (0x20, 64));
    }
}

/// MUST-48, SHLD-22: a listener's wish goes with its SYN-ACKs, and is its connections' from the start.
#[test]
fn a_listeners_wish_is_its_connections() {
    let mut w = Wire::listening(config(), 8);
    w.use_socket(w.listener());
    serve(&mut w, 0x48, 5);
    w.peer(&format!("S 0:0(0) {PLAIN}"));
    w.sees("S. 0:0(0) ack 1");
    assert_eq!(carried(&w), (0x48, 5));
    w.after(secs(1));
    w.sees("S. 0:0(0) ack 1");
    assert_eq!(carried(&w), (0x48, 5));
    w.peer(". 1:1(0) ack 1");
    w.accept();
    w.write(10);
    w.sees(". 1:11(10) ack 1");
    assert_eq!(carried(&w), (0x48, 5));
}

/// MUST-48: TIME-WAIT's last ACK is carried as the connection was.
#[test]
fn time_wait_keeps_the_wish() {
    let mut w = Wire::connected();
    serve(&mut w, 0x10, 33);
    w.close();
    w.sees("F. 1:1(0) ack 1");
    w.peer("F. 1:1(0) ack 2");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(carried(&w), (0x10, 33));
    w.peer("F. 1:1(0) ack 2");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(carried(&w), (0x10, 33));
}

/// MUST-48: the two bits of ECN are not the user's.
#[test]
fn the_ecn_field_is_not_the_users() {
    for (ecn, bits) in [(EcnPolicy::Off, 0b00), (EcnPolicy::Accept, 0b10)] {
        let mut w = Wire::listening(Config { ecn, ..config() }, 8);
        w.use_socket(w.listener());
        serve(&mut w, 0xff, 64);
        w.peer(&format!("SEW 0:0(0) {PLAIN}"));
        assert!(w.next().is_some());
        assert_eq!(w.class(), 0xfc);
        w.peer(". 1:1(0) ack 1");
        w.accept();
        w.write(10);
        w.sees(". 1:11(10) ack 1");
        assert_eq!(w.class(), 0xfc | bits);
    }
}
