//! Addresses and ports: RFC 9293 §3.9.1, RFC 6056, and Linux's rules of bind.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::HashSet;

use ustcp_proto::{Cidr, Config, Error, Family, SocketId, Stack, State};

use crate::wire::*;

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn stack() -> Stack {
    Stack::new(Config {
        trace: false,
        ..config()
    })
}

fn socket(stack: &mut Stack, reuse: bool) -> SocketId {
    let id = stack.socket(Family::V4).expect("a socket");
    let mut options = stack.options(id).expect("options");
    options.reuse_address = reuse;
    stack.set_options(ustcp_proto::Instant::ZERO, id, options).expect("set");
    id
}

fn at(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}

/// MUST-43: what can be bound to and what not.
#[test]
fn addresses() {
    let mut stack = stack();
    for (address, result) in [
        (at(OURS, 80), Ok(())),
        (at(ANY, 81), Ok(())),
        (at(IpAddr::from([127, 0, 0, 1]), 82), Ok(())),
        (at(IpAddr::from([127, 9, 9, 9]), 82), Ok(())),
        (at(PEERS, 83), Err(Error::AddressNotAvailable)),
        (at(IpAddr::from([224, 0, 0, 1]), 83), Err(Error::AddressNotAvailable)),
        (at(IpAddr::from([0; 16]), 83), Err(Error::AddressFamilyNotSupported)),
    ] {
        let id = socket(&mut stack, false);
        assert_eq!(stack.bind(id, address), result, "{address}");
        let local = if result.is_ok() { address } else { at(ANY, 0) };
        assert_eq!(stack.local_address(id), Ok(local));
        if result.is_ok() {
            assert_eq!(stack.bind(id, at(OURS, 99)), Err(Error::InvalidArgument), "twice");
        }
    }
}

/// Two sockets at one port: by addresses, by SO_REUSEADDR of both, by listening.
#[test]
fn sharing_a_port() {
    let local = IpAddr::from([127, 0, 0, 1]);
    // first: address, reuse, listens; second: address, reuse; whether it may.
    for (first, first_reuse, listens, second, second_reuse, may) in [
        (OURS, false, false, OURS, false, false),
        (OURS, true, false, OURS, false, false),
        (OURS, false, false, OURS, true, false),
        (OURS, true, false, OURS, true, true),
        (OURS, true, true, OURS, true, false),
        (OURS, false, false, local, false, true),
        (OURS, false, true, local, false, true),
        (OURS, false, false, ANY, false, false),
        (ANY, false, false, OURS, false, false),
        (ANY, true, false, OURS, true, true),
        (ANY, true, true, OURS, true, false),
        (ANY, false, false, ANY, false, false),
    ] {
        let mut stack = stack();
        let one = socket(&mut stack, first_reuse);
        stack.bind(one, at(first, 80)).expect("bind");
        if listens {
            stack.listen(ustcp_proto::Instant::ZERO, one, 1).expect("listen");
        }
        let other = socket(&mut stack, second_reuse);
        let expected = if may { Ok(()) } else { Err(Error::AddressInUse) };
        assert_eq!(
            stack.bind(other, at(second, 80)),
            expected,
            "{first} {first_reuse} {listens} {second} {second_reuse}"
        );
        stack.close(ustcp_proto::Instant::ZERO, one).expect("close");
        let third = socket(&mut stack, false);
        let after = stack.bind(third, at(second, 80));
        assert_eq!(after.is_ok(), !may, "the port is free again unless the second has it");
    }
}

/// MUST-41, MUST-42: of two that are bound to one port only one may listen there.
#[test]
fn one_listener_for_each_address_and_port() {
    let mut stack = stack();
    let now = ustcp_proto::Instant::ZERO;
    let [one, other] = [0, 1].map(|_| {
        let id = socket(&mut stack, true);
        stack.bind(id, at(OURS, 80)).expect("bind");
        id
    });
    assert_eq!(stack.listen(now, one, 1), Ok(()));
    assert_eq!(stack.listen(now, other, 1), Err(Error::AddressInUse));
    stack.close(now, one).expect("close");
    assert_eq!(stack.listen(now, other, 1), Ok(()));
}

/// listen and bind to port 0 choose one.
#[test]
fn a_port_of_the_stacks_choice() {
    let mut stack = stack();
    let id = socket(&mut stack, false);
    stack.bind(id, at(OURS, 0)).expect("bind");
    let port = stack.local_address(id).expect("bound").port();
    assert!((32_768..=60_999).contains(&port));
    let listener = socket(&mut stack, false);
    stack.listen(ustcp_proto::Instant::ZERO, listener, 1).expect("listen");
    let local = stack.local_address(listener).expect("bound");
    assert!(local.ip().is_unspecified() && (32_768..=60_999).contains(&local.port()) && local.port() != port);
}

/// MUST-44, MUST-43, MUST-45: without bind the source is the address on the peer's network.
#[test]
fn the_source_address() {
    let other = IpAddr::from([192, 168, 7, 9]);
    let mut config = config();
    config.addresses.push(Cidr {
        address: other,
        prefix: 16,
    });
    let mut stack = Stack::new(config);
    for (destination, source) in [
        (PEERS, OURS),
        (IpAddr::from([192, 168, 200, 1]), other),
        (IpAddr::from([8, 8, 8, 8]), OURS),
        (other, other),
        (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 1])),
    ] {
        let id = socket(&mut stack, false);
        let _in_progress = stack.connect(ustcp_proto::Instant::ZERO, id, at(destination, 80));
        assert_eq!(
            stack.local_address(id).map(|local| local.ip()),
            Ok(source),
            "{destination}"
        );
    }
    let bound = socket(&mut stack, false);
    stack.bind(bound, at(other, 0)).expect("bind");
    let _in_progress = stack.connect(ustcp_proto::Instant::ZERO, bound, at(PEERS, 80));
    assert_eq!(
        stack.local_address(bound).map(|local| local.ip()),
        Ok(other),
        "as bound"
    );
}

/// MUST-46: nobody can be at these addresses, and nothing is sent there.
#[test]
fn connect_to_nobody() {
    let mut stack = stack();
    let now = ustcp_proto::Instant::ZERO;
    for address in [[255, 255, 255, 255], [224, 0, 0, 1], [239, 1, 2, 3], [10, 0, 0, 255]] {
        let id = socket(&mut stack, false);
        let address = at(IpAddr::from(address), 80);
        assert_eq!(
            stack.connect(now, id, address),
            Err(Error::NetworkUnreachable),
            "{address}"
        );
    }
    let id = socket(&mut stack, false);
    assert_eq!(
        stack.connect(now, id, at(IpAddr::from([0; 16]), 80)),
        Err(Error::AddressFamilyNotSupported)
    );
    assert!(stack.poll_transmit(now).is_none());
}

/// 6056-2: never the same pair of ends twice; when all are taken, an error, until one is given back.
#[test]
fn ephemeral_ports_run_out() {
    let mut stack = Stack::new(Config {
        ephemeral_ports: 50_000..=50_099,
        trace: false,
        ..config()
    });
    let now = ustcp_proto::Instant::ZERO;
    let ids: Vec<_> = (0..100).map(|_| socket(&mut stack, false)).collect();
    let ports: HashSet<_> = ids
        .iter()
        .map(|id| {
            assert_eq!(stack.connect(now, *id, at(PEERS, 80)), Err(Error::InProgress));
            stack.local_address(*id).expect("bound").port()
        })
        .collect();
    assert_eq!(ports.len(), 100);
    let more = socket(&mut stack, false);
    assert_eq!(stack.connect(now, more, at(PEERS, 80)), Err(Error::AddressNotAvailable));
    assert_eq!(stack.bind(more, at(OURS, 0)), Err(Error::AddressInUse));
    assert_eq!(
        stack.connect(now, more, at(PEERS, 81)),
        Err(Error::InProgress),
        "another destination"
    );
    stack.close(now, ids[17]).expect("close");
    let again = socket(&mut stack, false);
    assert_eq!(stack.connect(now, again, at(PEERS, 80)), Err(Error::InProgress));
}

/// ATTACK-13, 6056-1: chosen at random over the whole range: chi-square over 64 buckets, few neighbours, and other with another key.
#[test]
fn ephemeral_ports_are_random() {
    let draw = |secret: u8| {
        let mut config = config();
        config.secret.0[20] = secret;
        config.trace = false;
        let mut stack = Stack::new(config);
        let now = ustcp_proto::Instant::ZERO;
        (0..10_000_u16)
            .map(|index| {
                let id = socket(&mut stack, false);
                let remote = at(IpAddr::from([172, 16, (index >> 8) as u8, index as u8]), 80);
                let _in_progress = stack.connect(now, id, remote);
                let port = stack.local_address(id).expect("bound").port();
                stack.close(now, id).expect("close");
                port
            })
            .collect::<Vec<_>>()
    };
    let ports = draw(1);
    let mut buckets = [0_f64; 64];
    for port in &ports {
        buckets[usize::from(port - 32_768) * 64 / 28_232] += 1.0;
    }
    let expected = 10_000.0 / 64.0;
    let chi_square: f64 = buckets.iter().map(|count| (count - expected).powi(2) / expected).sum();
    assert!(chi_square < 104.0, "{chi_square}"); // p > 0.001 with 63 degrees of freedom
    let steps = ports.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    assert!(steps < 100, "{steps}");
    println!("ATTACK-13 seen: chi-square {chi_square:.0} (104 is p = 0.001); {steps} neighbours of 10,000");
    assert!(ports != draw(2));
}

/// The limit of sockets, and ids that are never used again.
#[test]
fn sockets_are_limited_and_ids_unique() {
    let mut stack = Stack::new(Config {
        socket_limit: 10,
        ..config()
    });
    let now = ustcp_proto::Instant::ZERO;
    let ids: Vec<_> = (0..10).map(|_| socket(&mut stack, false)).collect();
    assert_eq!(stack.socket(Family::V4), Err(Error::NoBuffers));
    stack.close(now, ids[3]).expect("close");
    let id = socket(&mut stack, false);
    assert!(!ids.contains(&id));
    assert_eq!(stack.close(now, ids[3]), Err(Error::BadSocket));
    assert_eq!(stack.state(ids[3]), Err(Error::BadSocket));
    assert_eq!(stack.send(now, ids[3], b""), Err(Error::BadSocket));
}

/// Connections stand in the way of a bind to their own address only.
#[test]
fn connections_at_another_address_do_not_forbid() {
    let mut w = Wire::accepted();
    let id = w.fresh();
    assert_eq!(
        w.stack.bind(id, SocketAddr::new(OURS, SERVER)),
        Err(Error::AddressInUse)
    );
    assert_eq!(w.stack.bind(id, SocketAddr::from(([127, 0, 0, 1], SERVER))), Ok(()));
}

/// As Linux: a port that connect chose, or that came from a listener, is given up with the connection, and the socket may be
/// bound anew; one that bind gave stays.
#[test]
fn a_port_after_its_connection() {
    let mut w = Wire::accepted();
    w.peer("R 1:1(0)");
    assert_eq!(w.state(), State::Closed);
    let id = w.id();
    assert_eq!(w.stack.bind(id, at(OURS, 4000)), Ok(()));
    assert_eq!(w.stack.local_address(id), Ok(at(OURS, 4000)));
    assert_eq!(w.stack.bind(id, at(OURS, 4001)), Err(Error::InvalidArgument));
    w.close_listener();
    let other = w.fresh();
    assert_eq!(w.stack.bind(other, at(OURS, SERVER)), Ok(()));

    let mut w = Wire::connected();
    w.peer("R 1:1(0)");
    let id = w.id();
    assert_eq!(w.stack.bind(id, at(OURS, 4000)), Err(Error::InvalidArgument));
}

/// TIME-WAIT keeps the port, whatever becomes of the socket.
#[test]
fn a_socket_leaves_its_time_wait() {
    let mut w = Wire::accepted();
    w.shutdown(ustcp_proto::Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer("F. 1:1(0) ack 2");
    assert_eq!(w.state(), State::TimeWait);
    let id = w.id();
    assert_eq!(w.stack.bind(id, at(OURS, 4000)), Ok(()));
    w.close_listener();
    let other = w.fresh();
    assert_eq!(w.stack.bind(other, at(OURS, SERVER)), Err(Error::AddressInUse));
    w.elapse(secs(61));
    assert_eq!(w.stack.bind(other, at(OURS, SERVER)), Ok(()));
}

fn set(w: &mut Wire, id: SocketId, change: impl FnOnce(&mut ustcp_proto::Options)) {
    let mut options = w.stack.options(id).expect("options");
    change(&mut options);
    w.stack.set_options(w.now, id, options).expect("set");
}

/// `IP_FREEBIND`: any address that a host can have, and no other.
#[test]
fn free_bind() {
    let mut w = Wire::new(config(), WE_CONNECT);
    for (address, result) in [
        (PEERS, Ok(())),
        (IpAddr::from([203, 0, 113, 9]), Ok(())),
        (IpAddr::from([224, 0, 0, 1]), Err(Error::AddressNotAvailable)),
    ] {
        let id = w.fresh();
        assert_eq!(w.stack.bind(id, at(address, 80)), Err(Error::AddressNotAvailable));
        set(&mut w, id, |options| options.free_bind = true);
        assert_eq!(w.stack.bind(id, at(address, 80)), result, "{address}");
    }
}

/// `IP_BIND_ADDRESS_NO_PORT`: bind fixes the address, connect the port, and so two sockets may have the same one towards
/// different peers; listen chooses one too.
#[test]
fn bind_without_a_port() {
    let mut w = Wire::new(
        Config {
            ephemeral_ports: 40_000..=40_000,
            ..config()
        },
        WE_CONNECT,
    );
    let far = |last| at(IpAddr::from([10, 0, 0, last]), 80);
    for last in [1, 3] {
        let id = w.fresh();
        set(&mut w, id, |options| options.bind_without_port = true);
        assert_eq!(w.stack.bind(id, at(OURS, 0)), Ok(()));
        assert_eq!(w.stack.local_address(id), Ok(at(OURS, 0)));
        assert_eq!(w.stack.bind(id, at(OURS, 0)), Ok(()), "as in Linux: it has no port yet");
        assert_eq!(w.stack.connect(w.now, id, far(last)), Err(Error::InProgress));
        assert_eq!(w.stack.local_address(id), Ok(at(OURS, 40_000)));
        if last == 3 {
            w.stack.disconnect(w.now, id).expect("disconnect");
            assert_eq!(w.stack.local_address(id), Ok(at(OURS, 0)));
        }
    }
    let mut w = Wire::new(config(), WE_LISTEN);
    let id = w.fresh();
    set(&mut w, id, |options| options.bind_without_port = true);
    assert_eq!(w.stack.bind(id, at(OURS, 0)), Ok(()));
    assert_eq!(w.stack.listen(w.now, id, 1), Ok(()));
    let local = w.stack.local_address(id).expect("an address");
    assert!(local.ip() == OURS && local.port() != 0, "{local}");
    let plain = w.fresh();
    assert_eq!(w.stack.bind(plain, at(OURS, 80)), Ok(()));
    set(&mut w, plain, |options| options.bind_without_port = true);
    assert_eq!(w.stack.bind(plain, at(OURS, 0)), Err(Error::InvalidArgument));
}
