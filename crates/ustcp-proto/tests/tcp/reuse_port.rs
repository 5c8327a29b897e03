//! SO_REUSEPORT: several listeners at one address and port, which share out its connections.

use core::net::{IpAddr, SocketAddr};

use ustcp_proto::{Error, Family, Instant, SocketId, Stack};

use crate::wire::*;

const PORTS: u16 = 200;

fn socket(stack: &mut Stack, family: Family, reuse_port: bool) -> SocketId {
    let id = stack.socket(family).expect("a socket");
    let mut options = stack.options(id).expect("options");
    options.reuse_port = reuse_port;
    stack.set_options(Instant::ZERO, id, options).expect("set");
    id
}

fn listener(stack: &mut Stack, at: SocketAddr) -> Result<SocketId, Error> {
    let id = socket(stack, Family::of(at.ip()), true);
    stack.bind(id, at)?;
    stack.listen(Instant::ZERO, id, PORTS.into())?;
    Ok(id)
}

/// Handshakes of as many peers.
fn connect_all(w: &mut Wire, ports: core::ops::Range<u16>) {
    for port in ports {
        w.ports = Ports(SERVER, port);
        w.peer("S 0:0(0) win 65535 <mss 1000>");
        w.sees("S. 0:0(0) ack 1");
        w.peer(". 1:1(0) ack 1");
    }
}

fn accepted(w: &mut Wire, id: SocketId) -> Vec<u16> {
    core::iter::from_fn(|| w.stack.accept(id).ok())
        .map(|(_, peer)| peer.port())
        .collect()
}

/// Each connection comes to one of them, none to two, and all have a good part.
#[test]
fn connections_are_shared_out() {
    let mut w = Wire::new(config(), Ports(SERVER, 1));
    let at = SocketAddr::new(OURS, SERVER);
    let listeners = [0, 1, 2].map(|_| listener(&mut w.stack, at).expect("beside the others"));
    connect_all(&mut w, 1..PORTS + 1);
    let shares = listeners.map(|id| accepted(&mut w, id));
    assert!(shares.iter().all(|share| share.len() > 30), "{shares:?}");
    let mut all = shares.concat();
    all.sort_unstable();
    assert_eq!(all, (1..=PORTS).collect::<Vec<_>>());
}

/// What one of them leaves the others take.
#[test]
fn one_of_them_ends() {
    let mut w = Wire::new(config(), Ports(SERVER, 1));
    let at = SocketAddr::new(OURS, SERVER);
    let [one, other] = [0, 1].map(|_| listener(&mut w.stack, at).expect("beside the other"));
    w.stack.close(Instant::ZERO, one).expect("close");
    connect_all(&mut w, 1..21);
    assert_eq!(accepted(&mut w, other).len(), 20);
    let again = listener(&mut w.stack, at).expect("beside the other");
    connect_all(&mut w, 21..61);
    let (old, new) = (accepted(&mut w, other).len(), accepted(&mut w, again).len());
    assert!(old + new == 40 && old > 5 && new > 5, "{old} and {new}");
}

/// All of them must have it, at bind as at listen.
#[test]
fn both_must_have_it() {
    let mut stack = Stack::new(config());
    let at = SocketAddr::new(OURS, SERVER);
    let one = listener(&mut stack, at).expect("the first");
    let other = socket(&mut stack, Family::V4, false);
    assert_eq!(stack.bind(other, at), Err(Error::AddressInUse));
    // bound together by SO_REUSEADDR, they must not listen together
    stack.close(Instant::ZERO, one).expect("close");
    let pair = [0, 1].map(|_| {
        let id = socket(&mut stack, Family::V4, false);
        let mut options = stack.options(id).expect("options");
        options.reuse_address = true;
        stack.set_options(Instant::ZERO, id, options).expect("set");
        stack.bind(id, at).expect("bind");
        id
    });
    assert_eq!(stack.listen(Instant::ZERO, pair[0], 1), Ok(()));
    assert_eq!(stack.listen(Instant::ZERO, pair[1], 1), Err(Error::AddressInUse));
}

/// Of the listeners of [::] only those that take IPv4 share its connections.
#[test]
fn ipv6_alone_takes_no_ipv4() {
    let mut w = Wire::new(config(), Ports(SERVER, 1));
    let at = SocketAddr::new(IpAddr::from([0; 16]), SERVER);
    let alone = socket(&mut w.stack, Family::V6, true);
    let mut options = w.stack.options(alone).expect("options");
    options.v6_only = true;
    w.stack.set_options(Instant::ZERO, alone, options).expect("set");
    w.stack.bind(alone, at).expect("bind");
    w.stack.listen(Instant::ZERO, alone, 64).expect("listen");
    let both = listener(&mut w.stack, at).expect("beside the other");
    connect_all(&mut w, 1..31);
    assert_eq!((accepted(&mut w, alone).len(), accepted(&mut w, both).len()), (0, 30));
}

/// Who closes takes along what nobody has accepted of it, and moves nothing of the others: their half-open connections stay
/// with them.
#[test]
fn half_open_connections_stay_with_their_listener() {
    let mut w = Wire::new(config(), Ports(SERVER, 1));
    let at = SocketAddr::new(OURS, SERVER);
    let [one, other] = [0, 1].map(|_| listener(&mut w.stack, at).expect("beside the other"));
    for port in 1..41 {
        w.ports = Ports(SERVER, port);
        w.peer("S 0:0(0) win 65535 <mss 1000>");
        w.sees("S. 0:0(0) ack 1");
    }
    w.stack.close(Instant::ZERO, one).expect("close");
    let left = w.stack.census().half_open;
    assert!((5..36).contains(&left), "{left}");
    for port in 1..41 {
        w.ports = Ports(SERVER, port);
        w.peer(". 1:1(0) ack 1");
    }
    assert_eq!(w.drain().len(), 40 - left, "an RST for each whose listener is gone");
    assert_eq!(accepted(&mut w, other).len(), left);
}

/// Linux's rules of bind, case by case: one option in common, which beside a listener is this one.
#[test]
fn who_may_be_bound_beside_whom() {
    let kinds = [(false, false), (false, true), (true, false), (true, true)];
    let bound = |stack: &mut Stack, (reuse_address, reuse_port): (bool, bool)| {
        let id = socket(stack, Family::V4, reuse_port);
        let mut options = stack.options(id).expect("options");
        options.reuse_address = reuse_address;
        stack.set_options(Instant::ZERO, id, options).expect("set");
        stack.bind(id, SocketAddr::new(OURS, SERVER)).map(|()| id)
    };
    for first in kinds {
        for second in kinds {
            for listens in [false, true] {
                let mut stack = Stack::new(config());
                let id = bound(&mut stack, first).expect("the first");
                if listens {
                    stack.listen(Instant::ZERO, id, 1).expect("listen");
                }
                let may = first.1 && second.1 || first.0 && second.0 && !listens;
                let result = bound(&mut stack, second).map(|_| ());
                let expected = if may { Ok(()) } else { Err(Error::AddressInUse) };
                assert_eq!(result, expected, "{first:?} listens {listens}, then {second:?}");
            }
        }
    }
}
