//! Every address counts as ours (`any_address`), and a listener takes every port (`IP_TRANSPARENT`).

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use ustcp_proto::{Config, DropReason, Error, Family, SocketId};
use ustcp_wire::{Flags, SeqNum, TcpHeader};

use crate::wire::*;

const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

fn any_address() -> Config {
    Config {
        any_address: true,
        ..config()
    }
}

fn make_transparent(w: &mut Wire, id: SocketId) {
    let mut options = w.stack.options(id).expect("options");
    options.transparent = true;
    w.stack.set_options(w.now, id, options).expect("set");
}

/// A listener at `at`, and how the stack is from then on asked for something else than its own address.
fn listening_at(at: &str) -> Wire {
    let mut w = Wire::new(any_address(), WE_LISTEN);
    let id = w.fresh();
    make_transparent(&mut w, id);
    w.stack.bind(id, at.parse().expect("an address")).expect("bind");
    w.stack.listen(w.now, id, 8).expect("listen");
    w.use_socket(id);
    w
}

/// SYN and ACK to a place; the local address of the socket that accept gives.
fn connect_to(w: &mut Wire, listener: SocketId, ip: IpAddr, port: u16) -> SocketAddr {
    w.ours = ip;
    w.ports = Ports(port, 40_000);
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    let (id, peer) = w.stack.accept(listener).expect("accepted");
    assert_eq!(peer, SocketAddr::new(w.peers, 40_000));
    w.stack.local_address(id).expect("a local address")
}

#[test]
fn one_listener_takes_every_address_and_port_and_getsockname_tells_which() {
    let mut w = listening_at("0.0.0.0:0");
    let listener = w.id();
    for (ip, port) in [
        ("10.0.0.2", 80),
        ("192.0.2.1", 443),
        ("203.0.113.9", 1),
        ("8.8.8.8", 65535),
    ] {
        let place = SocketAddr::new(ip.parse().expect("an address"), port);
        assert_eq!(connect_to(&mut w, listener, place.ip(), port), place);
    }
}

#[test]
fn a_listener_for_a_port_goes_before_one_for_all_and_one_for_an_address_before_one_for_every_address() {
    let mut w = listening_at("0.0.0.0:1000");
    let all = w.id();
    let mut add = |at: &str, transparent: bool| {
        let id = w.stack.socket(Family::V4).expect("a socket");
        let mut options = w.stack.options(id).expect("options");
        options.transparent = true; // so that the address may be bound
        w.stack.set_options(w.now, id, options).expect("set");
        w.stack.bind(id, at.parse().expect("an address")).expect("bind");
        options.transparent = transparent;
        w.stack.set_options(w.now, id, options).expect("set");
        w.stack.listen(w.now, id, 8).expect("listen");
        id
    };
    let port = add("0.0.0.0:443", false);
    let place = add("203.0.113.9:80", false);
    let address = add("203.0.113.9:81", true);
    connect_to(&mut w, place, ELSEWHERE, 80);
    connect_to(&mut w, port, ELSEWHERE, 443);
    connect_to(&mut w, address, ELSEWHERE, 7);
    connect_to(&mut w, all, Ipv4Addr::new(192, 0, 2, 1).into(), 80);
}

/// The option may come after listen, and be taken back.
#[test]
fn the_option_counts_from_when_it_is_set() {
    let mut w = Wire::listening(any_address(), 8);
    let listener = w.listener();
    let syn = "S 0:0(0) win 65535 <mss 1000>";
    w.ports = Ports(81, 1);
    w.peer(syn);
    w.sees("R. 0:0(0) ack 1");
    make_transparent(&mut w, listener);
    connect_to(&mut w, listener, OURS, 82);
    w.stack.close(w.now, listener).expect("closed");
    w.ports = Ports(83, 1);
    w.peer(syn);
    w.sees("R. 0:0(0) ack 1");
}

/// Without the knob only our own addresses are ours, whatever listens.
#[test]
fn the_stack_decides_which_packets_are_for_it() {
    let mut w = Wire::listening(config(), 8);
    let listener = w.listener();
    make_transparent(&mut w, listener);
    connect_to(&mut w, listener, OURS, 81);
    w.ours = ELSEWHERE;
    w.ports = Ports(81, 2);
    w.peer("S 0:0(0) win 65535 <mss 1000>");
    w.quiet();
    assert_eq!(w.drops(DropReason::NotOurs), 1);
}

/// MUST-57, MUST-63: what no host can be is no address of ours either, and nobody speaks with himself (LAND).
#[test]
fn martians_stay_martians() {
    let mut w = listening_at("0.0.0.0:0");
    let refused = [
        ("10.0.0.1", "0.0.0.0"),
        ("10.0.0.1", "127.0.0.1"),
        ("10.0.0.1", "224.0.0.1"),
        ("10.0.0.1", "255.255.255.255"),
        ("10.0.0.1", "10.0.0.255"),
        ("0.0.0.0", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.1"),
        ("224.0.0.1", "192.0.2.1"),
        ("10.0.0.2", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
    ];
    for (from, to) in refused {
        let header = TcpHeader {
            source_port: 1,
            destination_port: 80,
            seq: SeqNum(1),
            flags: Flags::SYN,
            window: 1000,
            ..TcpHeader::default()
        };
        let (from, to): (IpAddr, IpAddr) = (from.parse().expect("one"), to.parse().expect("one"));
        w.inject(&packet(from, to, &header, &[]));
        w.quiet();
    }
    let dropped = w.drops(DropReason::Martian) + w.drops(DropReason::NotOurs);
    assert_eq!(dropped, u64::try_from(refused.len()).expect("few"));
}

/// `IP_TRANSPARENT`: an address that is not ours may be bound to, and spoken from.
#[test]
fn a_transparent_socket_speaks_from_any_address() {
    let mut w = Wire::new(any_address(), WE_CONNECT);
    let id = w.fresh();
    let place = SocketAddr::new(ELSEWHERE, 40_000);
    assert_eq!(w.stack.bind(id, place), Err(Error::AddressNotAvailable));
    make_transparent(&mut w, id);
    assert_eq!(w.stack.bind(id, place), Ok(()));
    w.use_socket(id);
    w.ours = ELSEWHERE;
    let begun = w.stack.connect(w.now, id, SocketAddr::new(PEERS, SERVER));
    assert_eq!(begun, Err(Error::InProgress));
    let sent = w.next_packet().expect("a SYN");
    assert_eq!(sent[12..16], [203, 0, 113, 9]);
    for nobody in ["224.0.0.1:1", "10.0.0.255:1", "255.255.255.255:1"] {
        let id = w.stack.socket(Family::V4).expect("a socket");
        make_transparent(&mut w, id);
        let bound = w.stack.bind(id, nobody.parse().expect("an address"));
        assert_eq!(bound, Err(Error::AddressNotAvailable), "{nobody}");
    }
}
