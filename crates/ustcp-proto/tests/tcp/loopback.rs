//! Client and server inside one stack.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use ustcp_proto::{Cause, Error, EventKind, Family, Instant, Shutdown, SocketId, Stack, State};

use crate::wire::*;

const LOCALHOST_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Lets everything that can happen now happen; nothing may reach the device.
fn turn(stack: &mut Stack, now: Instant) {
    stack.on_timeout(now);
    assert!(
        stack.poll_transmit(now).is_none(),
        "a packet to ourselves left the stack"
    );
}

/// A listener and a connection to it, both in the stack.
fn pair(stack: &mut Stack, address: SocketAddr, from: Option<SocketAddr>) -> (SocketId, SocketId) {
    let now = Instant::ZERO;
    let listener = stack.socket(family_of(address.ip())).expect("a socket");
    stack.bind(listener, address).expect("bind");
    stack.listen(now, listener, 1).expect("listen");
    let client = stack.socket(family_of(address.ip())).expect("a socket");
    if let Some(from) = from {
        stack.bind(client, from).expect("bind");
    }
    assert_eq!(stack.connect(now, client, address), Err(Error::InProgress));
    turn(stack, now);
    let (server, remote) = stack.accept(listener).expect("a connection");
    assert_eq!(stack.local_address(client), Ok(remote));
    assert_eq!(stack.peer_address(client), Ok(address));
    stack.close(now, listener).expect("close");
    (client, server)
}

/// Every kind of address of our own works, and carries bytes both ways to the orderly end.
#[test]
fn a_conversation_with_ourselves() {
    for ip in [
        OURS,
        OURS_V6,
        IpAddr::from([127, 0, 0, 1]),
        IpAddr::from([127, 200, 3, 4]),
        LOCALHOST_V6,
    ] {
        let mut both = config();
        both.addresses.extend(config_v6().addresses);
        let mut stack = Stack::new(both);
        let now = Instant::ZERO;
        let (client, server) = pair(&mut stack, SocketAddr::new(ip, 80), None);
        let data = text(1, 200_000);
        for (from, to) in [(client, server), (server, client)] {
            let (mut sent, mut got) = (0, Vec::new());
            while got.len() < data.len() {
                sent += stack.send(now, from, &data[sent..]).unwrap_or(0);
                turn(&mut stack, now);
                let mut buffer = vec![0; 50_000];
                let count = stack.recv(now, to, &mut buffer).unwrap_or(0);
                got.extend_from_slice(&buffer[..count]);
            }
            assert!(got == data);
        }
        turn(&mut stack, now);
        stack.shutdown(now, client, Shutdown::Write).expect("shutdown");
        turn(&mut stack, now);
        assert_eq!(stack.recv(now, server, &mut [0; 9]), Ok(0));
        stack.close(now, server).expect("close");
        turn(&mut stack, now);
        assert_eq!(stack.state(client), Ok(State::TimeWait));
        stack.close(now, client).expect("close");
        turn(&mut stack, now + secs(60));
        assert_eq!(stack.census(), ustcp_proto::Census::default());
    }
}

/// Nobody listens: refused at once.
#[test]
fn refused_by_ourselves() {
    let mut stack = Stack::new(config());
    let id = stack.socket(Family::V4).expect("a socket");
    let _in_progress = stack.connect(Instant::ZERO, id, SocketAddr::new(OURS, 81));
    turn(&mut stack, Instant::ZERO);
    assert_eq!(stack.take_error(id), Ok(Some(Error::ConnectionRefused)));
}

/// MUST-10: a socket connected to itself is a simultaneous open of one, and reads what it writes.
#[test]
fn a_socket_connected_to_itself() {
    let mut stack = Stack::new(config());
    let now = Instant::ZERO;
    let address = SocketAddr::new(OURS, 5000);
    let id = stack.socket(Family::V4).expect("a socket");
    stack.bind(id, address).expect("bind");
    assert_eq!(stack.connect(now, id, address), Err(Error::InProgress));
    turn(&mut stack, now);
    assert_eq!(stack.state(id), Ok(State::Established));
    let arrows: Vec<_> = core::iter::from_fn(|| stack.poll_event())
        .filter_map(|event| match event.kind {
            EventKind::Transition { cause, .. } => Some(cause),
            _ => None,
        })
        .collect();
    assert_eq!(arrows, [Cause::ActiveOpen, Cause::PeerSyn, Cause::OurSynAcked]);
    stack.send(now, id, b"echo").expect("send");
    turn(&mut stack, now);
    let mut buffer = [0; 9];
    assert_eq!((stack.recv(now, id, &mut buffer), &buffer[..4]), (Ok(4), &b"echo"[..]));
    stack.shutdown(now, id, Shutdown::Write).expect("shutdown");
    turn(&mut stack, now);
    assert_eq!(
        (stack.state(id), stack.recv(now, id, &mut buffer)),
        (Ok(State::TimeWait), Ok(0))
    );
}

/// connect to the unspecified address is to this host, as on Linux.
#[test]
fn the_unspecified_address_is_this_host() {
    let any_v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    for (family, any, local) in [
        (Family::V4, IpAddr::from([0, 0, 0, 0]), IpAddr::from([127, 0, 0, 1])),
        (Family::V6, any_v6, LOCALHOST_V6),
    ] {
        let mut stack = Stack::new(config());
        let now = Instant::ZERO;
        let listener = stack.socket(family).expect("a socket");
        stack.listen(now, listener, 1).expect("listen");
        let port = stack.local_address(listener).expect("bound").port();
        let id = stack.socket(family).expect("a socket");
        let _in_progress = stack.connect(now, id, SocketAddr::new(any, port));
        turn(&mut stack, now);
        assert_eq!(stack.state(id), Ok(State::Established));
        assert_eq!(stack.peer_address(id), Ok(SocketAddr::new(local, port)));
    }
}

/// 127.0.0.1 is nobody's on the wire, and a bound client speaks from where it was bound.
#[test]
fn a_client_bound_to_another_own_address() {
    let mut stack = Stack::new(config());
    let from = SocketAddr::new(OURS, 1234);
    let (client, server) = pair(
        &mut stack,
        SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 80),
        Some(from),
    );
    assert_eq!(
        (stack.local_address(client), stack.peer_address(server)),
        (Ok(from), Ok(from))
    );
}

/// Unread bytes reset a conversation with ourselves like any other.
#[test]
fn a_reset_by_ourselves() {
    let mut stack = Stack::new(config());
    let now = Instant::ZERO;
    let (client, server) = pair(&mut stack, SocketAddr::new(OURS, 80), None);
    stack.send(now, client, b"never read").expect("send");
    turn(&mut stack, now);
    stack.close(now, server).expect("close");
    turn(&mut stack, now);
    assert_eq!(stack.recv(now, client, &mut [0]), Err(Error::ConnectionReset));
}

/// ATTACK-49, FSM-11: 5 GiB over one connection: every number comes round, and the bytes are those that were sent.
#[test]
fn five_gibibytes_over_one_connection() {
    const CHUNK: usize = 1 << 18;
    let mut stack = Stack::new(ustcp_proto::Config {
        trace: false,
        segmentation_offload: 65_000,
        send_buffer: CHUNK,
        receive_buffer: CHUNK,
        ..config()
    });
    let now = Instant::ZERO;
    let (client, server) = pair(&mut stack, SocketAddr::new(OURS, 80), None);
    // A prime period: no two places of the stream a power of two apart look alike.
    let pattern: Vec<u8> = (0..CHUNK + 65_521).map(|index| (index % 65_521 % 251) as u8).collect();
    let (mut sent, mut got, total) = (0_usize, 0_usize, 5 << 30);
    let mut buffer = vec![0; CHUNK];
    while got < total {
        let len = CHUNK.min(total - sent);
        sent += stack.send(now, client, &pattern[sent % 65_521..][..len]).unwrap_or(0);
        turn(&mut stack, now);
        let count = stack.recv(now, server, &mut buffer).expect("text");
        assert!(buffer[..count] == pattern[got % 65_521..][..count], "at byte {got}");
        got += count;
    }
    println!("ATTACK-49 seen: {got} bytes, all of them right");
}
