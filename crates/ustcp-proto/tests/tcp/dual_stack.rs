//! IPv6 sockets that also speak IPv4: RFC 3493 §3.7 and §5.3, RFC 4291 §2.5.5.2, and Linux where they are silent.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ustcp_proto::{Cidr, Config, Error, Family, Instant, SocketId, Stack, State};

use crate::wire::*;

const NOW: Instant = Instant::ZERO;
const ANY_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// A stack with an address of either family, which the tests talk to from inside.
fn stack() -> Stack {
    let addresses = [(OURS, 24), (OURS_V6, 64)].map(|(address, prefix)| Cidr { address, prefix });
    Stack::new(Config {
        addresses: addresses.to_vec(),
        ..config()
    })
}

fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
        IpAddr::V6(_) => address,
    }
}

fn at(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}

fn socket(stack: &mut Stack, family: Family, v6_only: bool) -> SocketId {
    let id = stack.socket(family).expect("a socket");
    let mut options = stack.options(id).expect("options");
    options.v6_only = v6_only;
    stack.set_options(NOW, id, options).expect("set");
    id
}

fn listener(stack: &mut Stack, address: SocketAddr, v6_only: bool) -> SocketId {
    let id = socket(stack, family_of(address.ip()), v6_only);
    stack.bind(id, address).expect("bind");
    stack.listen(NOW, id, 8).expect("listen");
    id
}

/// A connection attempt from inside, with all that follows from it.
fn client(stack: &mut Stack, remote: SocketAddr) -> SocketId {
    let id = socket(stack, family_of(remote.ip()), false);
    assert_eq!(stack.connect(NOW, id, remote), Err(Error::InProgress));
    assert!(stack.poll_transmit(NOW).is_none());
    id
}

/// A listener on [::] takes both families, and its IPv4 peers are ::ffff:a.b.c.d.
#[test]
fn a_listener_for_both() {
    for own in [OURS, OURS_V6] {
        let mut stack = stack();
        let listener = listener(&mut stack, at(ANY_V6, 80), false);
        let client = client(&mut stack, at(own, 80));
        let from = stack.local_address(client).expect("an address");
        let (accepted, told) = stack.accept(listener).expect("a connection");
        let peer = at(mapped(from.ip()), from.port());
        assert_eq!((told, stack.peer_address(accepted)), (peer, Ok(peer)));
        assert_eq!(stack.local_address(accepted), Ok(at(mapped(own), 80)));
        stack.send(NOW, client, b"text").expect("send");
        assert!(stack.poll_transmit(NOW).is_none());
        let mut buffer = [0; 9];
        assert_eq!(
            (stack.recv(NOW, accepted, &mut buffer), &buffer[..4]),
            (Ok(4), &b"text"[..])
        );
        assert_eq!(stack.options(accepted).map(|options| options.v6_only), Ok(false));
    }
}

/// The segment size is that of the family on the wire, not that of the socket.
#[test]
fn an_ipv4_conversation_of_an_ipv6_socket() {
    let mut stack = stack();
    let id = socket(&mut stack, Family::V6, false);
    let remote = at(mapped(PEERS), 80);
    assert_eq!(stack.connect(NOW, id, remote), Err(Error::InProgress));
    let syn = stack.poll_transmit(NOW).expect("a SYN").to_vec();
    let ip = ustcp_wire::IpPacket::parse(&syn).expect("a packet");
    assert_eq!((ip.header.source, ip.header.destination), (OURS, PEERS));
    let syn = ustcp_wire::TcpSegment::parse(&ip.header, ip.payload, ustcp_proto::Checksum::Full).expect("a segment");
    assert_eq!(syn.header.options.mss, Some(1460));
    let local = stack.local_address(id).expect("an address");
    assert_eq!(local.ip(), mapped(OURS));
}

/// With IPV6_V6ONLY a listener on [::] is not there for IPv4, and nor is one on an IPv6 address.
#[test]
fn a_listener_for_ipv6_alone() {
    for (address, v6_only) in [(ANY_V6, true), (OURS_V6, false), (OURS_V6, true)] {
        let mut stack = stack();
        let listener = listener(&mut stack, at(address, 80), v6_only);
        let refused = client(&mut stack, at(OURS, 80));
        assert_eq!(stack.take_error(refused), Ok(Some(Error::ConnectionRefused)));
        let taken = client(&mut stack, at(OURS_V6, 80));
        assert_eq!(stack.state(taken), Ok(State::Established));
        assert!(stack.accept(listener).is_ok());
    }
}

/// 0.0.0.0 beside [::] with IPV6_V6ONLY: each has its own.
#[test]
fn a_listener_for_each_family() {
    let mut stack = stack();
    let v6 = listener(&mut stack, at(ANY_V6, 80), true);
    let v4 = listener(&mut stack, at(ANY_V4, 80), false);
    for (own, takes, not) in [(OURS, v4, v6), (OURS_V6, v6, v4)] {
        client(&mut stack, at(own, 80));
        assert_eq!(stack.accept(not), Err(Error::WouldBlock));
        assert!(stack.accept(takes).is_ok());
    }
}

/// Of those that could take a connection the one with the address itself does.
#[test]
fn the_closest_listener_takes_it() {
    let mut stack = stack();
    let here = listener(&mut stack, at(mapped(OURS), 80), false);
    let other = listener(&mut stack, at(OURS_V6, 80), false);
    let local = listener(&mut stack, at(IpAddr::from([127, 0, 0, 1]), 80), false);
    for (own, takes) in [(OURS, here), (OURS_V6, other), (IpAddr::from([127, 0, 0, 1]), local)] {
        client(&mut stack, at(own, 80));
        assert!(stack.accept(takes).is_ok(), "{own}");
    }
}

/// Who is in whose way, in either order.
#[test]
fn conflicts() {
    // address, IPV6_V6ONLY; address, IPV6_V6ONLY; whether both can be bound.
    for (first, first_only, second, second_only, may) in [
        (ANY_V6, false, ANY_V4, false, false),
        (ANY_V6, true, ANY_V4, false, true),
        (ANY_V6, false, OURS, false, false),
        (ANY_V6, true, OURS, false, true),
        (ANY_V6, false, mapped(OURS), false, false),
        (ANY_V6, true, mapped(OURS), false, true),
        (ANY_V6, true, OURS_V6, true, false),
        (ANY_V6, true, ANY_V6, false, false),
        (OURS_V6, false, ANY_V4, false, true),
        (OURS_V6, false, OURS, false, true),
        (mapped(OURS), false, OURS, false, false),
        (mapped(OURS), false, ANY_V4, false, false),
        (mapped(OURS), false, mapped(IpAddr::from([127, 0, 0, 1])), false, true),
    ] {
        for [(a, a_only), (b, b_only)] in [
            [(first, first_only), (second, second_only)],
            [(second, second_only), (first, first_only)],
        ] {
            let mut stack = stack();
            let one = socket(&mut stack, family_of(a), a_only);
            let other = socket(&mut stack, family_of(b), b_only);
            assert_eq!(stack.bind(one, at(a, 80)), Ok(()));
            let expected = if may { Ok(()) } else { Err(Error::AddressInUse) };
            assert_eq!(stack.bind(other, at(b, 80)), expected, "{a} {a_only} {b} {b_only}");
        }
    }
}

/// listen on both is refused too where bind with SO_REUSEADDR was not.
#[test]
fn only_one_of_those_in_each_others_way_listens() {
    let mut stack = stack();
    let [one, other] = [ANY_V6, ANY_V4].map(|address| {
        let id = socket(&mut stack, family_of(address), false);
        let mut options = stack.options(id).expect("options");
        options.reuse_address = true;
        stack.set_options(NOW, id, options).expect("set");
        stack.bind(id, at(address, 80)).expect("bind");
        id
    });
    assert_eq!(stack.listen(NOW, one, 1), Ok(()));
    assert_eq!(stack.listen(NOW, other, 1), Err(Error::AddressInUse));
}

/// connect to ::ffff:a.b.c.d goes by IPv4, and with IPV6_V6ONLY nowhere.
#[test]
fn connect_to_a_mapped_address() {
    let mut stack = stack();
    listener(&mut stack, at(OURS, 80), false);
    let remote = at(mapped(OURS), 80);
    let id = client(&mut stack, remote);
    assert_eq!(stack.state(id), Ok(State::Established));
    assert_eq!(stack.peer_address(id), Ok(remote));
    assert_eq!(stack.local_address(id).map(|local| local.ip()), Ok(mapped(OURS)));
    let only = socket(&mut stack, Family::V6, true);
    assert_eq!(stack.connect(NOW, only, remote), Err(Error::NetworkUnreachable));
    assert_eq!(stack.bind(only, at(mapped(OURS), 81)), Err(Error::InvalidArgument));
}

/// A socket that was bound in one family reaches the other as little as on Linux, with its errors.
#[test]
fn a_bound_socket_stays_in_its_family() {
    let local = IpAddr::from([127, 0, 0, 1]);
    for (from, to, result) in [
        (OURS_V6, mapped(PEERS), Err(Error::NetworkUnreachable)),
        (mapped(OURS), PEERS_V6, Err(Error::AddressFamilyNotSupported)),
        (mapped(OURS), mapped(PEERS), Err(Error::InProgress)),
        (OURS_V6, PEERS_V6, Err(Error::InProgress)),
    ] {
        let mut stack = stack();
        let id = socket(&mut stack, Family::V6, false);
        stack.bind(id, at(from, 1000)).expect("bind");
        assert_eq!(stack.connect(NOW, id, at(to, 80)), result, "{from} {to}");
    }
    // The unspecified address is this host in the family of the bound one.
    let mut stack = stack();
    listener(&mut stack, at(ANY_V6, 80), false);
    let id = socket(&mut stack, Family::V6, false);
    stack.bind(id, at(mapped(local), 1000)).expect("bind");
    assert_eq!(stack.connect(NOW, id, at(ANY_V6, 80)), Err(Error::InProgress));
    assert!(stack.poll_transmit(NOW).is_none());
    assert_eq!(stack.peer_address(id), Ok(at(mapped(local), 80)));
}

/// IPV6_V6ONLY is settled when the socket has its address.
#[test]
fn ipv6_alone_or_not_is_for_before_bind() {
    let mut stack = stack();
    let id = socket(&mut stack, Family::V6, true);
    stack.bind(id, at(ANY_V6, 80)).expect("bind");
    let mut options = stack.options(id).expect("options");
    assert_eq!(stack.set_options(NOW, id, options), Ok(()), "no change is no matter");
    options.v6_only = false;
    assert_eq!(stack.set_options(NOW, id, options), Err(Error::InvalidArgument));
    assert_eq!(stack.options(id).map(|options| options.v6_only), Ok(true));
}

/// As Linux: who is bound to an IPv6 address has nothing to do with IPv4, and IPV6_V6ONLY says so.
#[test]
fn an_ipv6_address_is_ipv6_alone() {
    for (address, alone) in [(ANY_V6, false), (OURS_V6, true), (mapped(OURS), false)] {
        let mut stack = stack();
        let id = socket(&mut stack, Family::V6, false);
        stack.bind(id, at(address, 80)).expect("bind");
        assert_eq!(stack.options(id).map(|options| options.v6_only), Ok(alone), "{address}");
        if alone {
            assert_eq!(
                stack.connect(NOW, id, at(mapped(OURS), 9)),
                Err(Error::NetworkUnreachable)
            );
        }
    }
}

/// An address of the wrong family is no address.
#[test]
fn wrong_families() {
    let mut stack = stack();
    for (family, address) in [(Family::V4, OURS_V6), (Family::V4, mapped(OURS)), (Family::V6, OURS)] {
        let id = socket(&mut stack, family, false);
        let refused = Err(Error::AddressFamilyNotSupported);
        assert_eq!(stack.bind(id, at(address, 80)), refused);
        assert_eq!(stack.connect(NOW, id, at(address, 80)), refused);
        let nowhere = if family == Family::V4 { ANY_V4 } else { ANY_V6 };
        assert_eq!(stack.local_address(id), Ok(at(nowhere, 0)));
    }
}
