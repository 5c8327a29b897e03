//! Connections that the kernel has in the program's stead: loopback, this host, what nothing routes to the stack.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::{
    KERNEL, Program, Running, STACK, at, await_events, engine, engine_with, last_words_arrive, much_goes_both_ways,
    pattern,
};
use rustix::event::PollFlags;
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;
use ustcp_client::protocol::{Address, Operation};
use ustcp_engine::{Loopback, Options};

fn loopback(port: u16) -> SocketAddr {
    at("127.0.0.1", port)
}

fn engine_of(loopback: Loopback) -> Option<Running> {
    engine_with(|_, options| options.loopback = loopback)
}

/// A connection that the engine relays to the kernel's loopback.
fn relayed(engine: &Running) -> (Program, TcpStream) {
    let listener = TcpListener::bind(loopback(0)).unwrap();
    let program = engine.socket();
    program.connect(listener.local_addr().unwrap()).unwrap();
    (program, listener.accept().unwrap().0)
}

/// A program that listens on loopback, whosever that is.
fn loopback_listener(engine: &Running) -> (Program, SocketAddr) {
    let listener = engine.socket();
    listener
        .ask(Operation::Bind, 0, &Address(loopback(0)).to_bytes())
        .unwrap();
    listener.ask(Operation::Listen, 8, &[]).unwrap();
    let address = listener.address(Operation::LocalAddress).unwrap();
    (listener, address)
}

#[test]
fn a_program_speaks_with_the_kernels_loopback() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = relayed(&engine);
    assert_eq!(program.events(), PollFlags::OUT);
    assert_eq!(
        program.address(Operation::PeerAddress).unwrap(),
        peer.local_addr().unwrap()
    );
    assert_eq!(
        program.address(Operation::LocalAddress).unwrap(),
        peer.peer_addr().unwrap()
    );
    program.write(b"question");
    program.shut_writing();
    let mut question = Vec::new();
    peer.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"question");
    peer.write_all(b"answer").unwrap();
    drop(peer);
    assert_eq!(program.read_to_end().unwrap(), b"answer");
}

/// With `ip_nonlocal_bind` a socket can be bound to any address, and to one of multicast it always can.
#[test]
fn an_address_that_can_be_bound_is_not_the_hosts_for_that() {
    let Some(engine) = engine_of(Loopback::Refuse) else {
        return;
    };
    std::fs::write("/proc/sys/net/ipv4/ip_nonlocal_bind", "1").unwrap();
    std::fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").unwrap();
    for (address, prefix) in [("192.0.2.1", 32), ("2001:db8::1", 128)] {
        let words = ["addr", "add", &format!("{address}/{prefix}"), "dev", "lo"];
        assert!(Command::new("ip").args(words).status().unwrap().success());
    }
    for (to, errno) in [
        ("192.0.2.1", libc::ECONNREFUSED),
        ("198.51.100.1", libc::ENETUNREACH), // the kernel's word, where it goes
        ("224.0.0.1", libc::ENETUNREACH),
    ] {
        assert_eq!(engine.socket().connect(at(to, 80)), Err(errno), "{to}");
    }
    for (to, errno) in [
        ("2001:db8::1", libc::ECONNREFUSED),
        ("2001:db8:1::1", libc::ENETUNREACH),
    ] {
        assert_eq!(engine.socket_of(true).connect(at(to, 80)), Err(errno), "{to}");
    }
}

#[test]
fn much_is_relayed_both_ways_at_once() {
    let Some(engine) = engine() else { return };
    let (program, peer) = relayed(&engine);
    much_goes_both_ways(&program, &peer);
}

#[test]
fn resets_are_relayed_both_ways() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = relayed(&engine);
    peer.write_all(b"last words").unwrap();
    program.await_events(PollFlags::IN);
    set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
    drop(peer);
    program.await_events(PollFlags::HUP);
    assert_eq!(program.read_exact(10), b"last words");
    assert_eq!(program.read_to_end(), Err(libc::ECONNRESET));
    assert_eq!(program.fault(), libc::ECONNRESET);

    let (program, mut peer) = relayed(&engine);
    peer.write_all(b"unread").unwrap();
    program.await_events(PollFlags::IN);
    drop(program);
    await_events(&peer, PollFlags::RDHUP);
    assert_eq!(peer.read(&mut [0]).unwrap_err().raw_os_error(), Some(libc::ECONNRESET));
}

#[test]
fn what_a_program_wrote_before_it_went_is_relayed() {
    let Some(engine) = engine() else { return };
    let (program, peer) = relayed(&engine);
    last_words_arrive(program, peer);
}

/// As Linux: no abort looks like the end of a whole stream.
#[test]
fn a_program_that_wants_no_lingering_resets_a_peer_whose_end_it_has_read() {
    let Some(engine) = engine() else { return };
    let at_once = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
    for reads_no_more in [false, true] {
        let (program, mut peer) = relayed(&engine);
        program.write(b"so far");
        peer.read_exact(&mut [0; 6]).unwrap();
        match reads_no_more {
            true => drop(program.ask(Operation::Shutdown, libc::SHUT_RD, &[]).unwrap()),
            false => peer.shutdown(std::net::Shutdown::Write).unwrap(),
        }
        program.await_events(PollFlags::RDHUP);
        program.set_option(libc::SOL_SOCKET, libc::SO_LINGER, &at_once).unwrap();
        drop(program);
        let error = peer.read(&mut [0]).map_err(|error| error.raw_os_error());
        assert_eq!(error, Err(Some(libc::ECONNRESET)), "reads no more: {reads_no_more}");
    }
}

/// As Linux, which sends when a program writes: a server that answers and has not read all of the question.
#[test]
fn a_reset_by_a_program_comes_after_what_it_wrote() {
    let Some(engine) = engine() else { return };
    let at_once = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
    for round in 0..200 {
        let (program, mut peer) = match round % 2 {
            0 => relayed(&engine),
            _ => engine.connected_to_kernel(),
        };
        if round % 4 < 2 {
            peer.write_all(b"a long question").unwrap();
            program.await_events(PollFlags::IN);
        } else {
            program.set_option(libc::SOL_SOCKET, libc::SO_LINGER, &at_once).unwrap();
        }
        program.write(b"answer");
        drop(program);
        let mut got = Vec::new();
        let error = peer.read_to_end(&mut got).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET), "round {round}");
        assert_eq!(got, b"answer", "round {round}");
    }
}

/// Nothing came that it could have left unread, whichever of its two calls the engine hears of first.
#[test]
fn what_a_program_wrote_that_reads_no_more_is_relayed() {
    let Some(engine) = engine() else { return };
    let (program, peer) = relayed(&engine);
    program.stream.shutdown(std::net::Shutdown::Read).unwrap();
    program.ask(Operation::Shutdown, libc::SHUT_RD, &[]).unwrap();
    last_words_arrive(program, peer);
}

/// The engine would be held up by a close that waits for a peer who does not read.
#[test]
fn a_close_that_lingers_holds_nobody_up() {
    let Some(engine) = engine() else { return };
    let linger = [1_i32.to_ne_bytes(), 600_i32.to_ne_bytes()].concat();
    let listener = TcpListener::bind(loopback(0)).unwrap();
    set_socket_recv_buffer_size(&listener, 4096).unwrap();
    let program = engine.socket();
    program.connect(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    program.set_option(libc::SOL_SOCKET, libc::SO_LINGER, &linger).unwrap();
    let bytes = pattern(150_000);
    program.write(&bytes);
    drop(program);
    let (other, mut others) = relayed(&engine); // while nobody has read
    other.write(b"!");
    others.read_exact(&mut [0]).unwrap();
    let mut got = Vec::new();
    (&peer).read_to_end(&mut got).unwrap();
    assert!(got == bytes);
}

#[test]
fn an_attempt_fails_as_the_kernels_does() {
    let Some(engine) = engine() else { return };
    let nobody = loopback(7000); // a port that the kernel gives nobody: one of those might be connected to itself
    let program = engine.socket();
    assert_eq!(program.connect(nobody), Err(libc::ECONNREFUSED));
    let again = program.renewed();
    let _listener = TcpListener::bind(nobody).unwrap();
    again.connect(nobody).unwrap();
}

#[test]
fn a_program_listens_on_the_kernels_loopback() {
    let Some(engine) = engine() else { return };
    let (listener, address) = loopback_listener(&engine);
    let mut peer = TcpStream::connect(address).unwrap();
    peer.write_all(b"early").unwrap();
    let (lost, _) = listener.take_arrival();
    assert_eq!(lost.read_exact(5), b"early");
    drop(lost);
    let (accepted, arrival) = listener.accept();
    assert_eq!(arrival.local, Address(address));
    assert_eq!(arrival.peer, Address(peer.local_addr().unwrap()));
    assert_eq!(accepted.read_exact(5), b"early");
    accepted.write(b"late");
    drop(accepted);
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"late");
    drop(listener);
    while TcpStream::connect(address).is_ok() {}
}

/// As Linux: it keeps the port that bind gave it.
#[test]
fn a_listener_of_the_kernels_that_is_undone_listens_again_where_it_was() {
    let Some(engine) = engine() else { return };
    let at = loopback(7000);
    let mut listener = engine.socket();
    let on = 1_i32.to_ne_bytes();
    listener.set_option(libc::SOL_SOCKET, libc::SO_REUSEADDR, &on).unwrap();
    listener.ask(Operation::Bind, 0, &Address(at).to_bytes()).unwrap();
    let mut held = Vec::new();
    for (undo, how) in [
        (Operation::Shutdown, libc::SHUT_RD),
        (Operation::Shutdown, libc::SHUT_RDWR),
        (Operation::Disconnect, 0),
    ] {
        listener.ask(Operation::Listen, 8, &[]).unwrap();
        let peer = TcpStream::connect(at).unwrap();
        held.push((listener.accept(), peer)); // its port is the connection's too
        listener.ask(undo, how, &[]).unwrap();
        let refused = TcpStream::connect(at).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED), "{undo:?}");
        assert_eq!(listener.ask(Operation::Listen, 8, &[]), Err(libc::ESTALE), "{undo:?}");
        listener = listener.renewed();
    }
    listener.ask(Operation::Listen, 8, &[]).unwrap();
    assert_eq!(listener.address(Operation::LocalAddress), Ok(at));
    let peer = TcpStream::connect(at).unwrap();
    assert_eq!(listener.accept().1.peer, Address(peer.local_addr().unwrap()));
}

#[test]
fn one_of_the_kernels_that_could_not_connect_listens_where_it_is_bound() {
    let Some(engine) = engine() else { return };
    let at = loopback(7000);
    let program = engine.socket();
    program.ask(Operation::Bind, 0, &Address(at).to_bytes()).unwrap();
    assert_eq!(program.connect(loopback(1)), Err(libc::ECONNREFUSED));
    let listener = program.renewed();
    listener.ask(Operation::Listen, 8, &[]).unwrap();
    let peer = TcpStream::connect(at).unwrap();
    assert_eq!(listener.accept().1.peer, Address(peer.local_addr().unwrap()));
}

#[test]
fn options_set_before_go_along() {
    let Some(engine) = engine() else { return };
    let mut address = loopback(0);
    for _ in 0..2 {
        let listener = engine.socket();
        for (level, name) in [
            (libc::SOL_SOCKET, libc::SO_REUSEADDR),
            (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        ] {
            listener.set_option(level, name, &1_i32.to_ne_bytes()).unwrap();
        }
        // The second time the kernel's end of a connection is in TIME-WAIT, which takes the option on both sockets.
        listener.ask(Operation::Bind, 0, &Address(address).to_bytes()).unwrap();
        listener.ask(Operation::Listen, 8, &[]).unwrap();
        assert_eq!(listener.option(libc::IPPROTO_TCP, libc::TCP_NODELAY), Ok(1));
        assert_eq!(listener.option(libc::SOL_SOCKET, libc::SO_ACCEPTCONN), Ok(1));
        address = listener.address(Operation::LocalAddress).unwrap();
        let mut peer = TcpStream::connect(address).unwrap();
        drop(listener.accept());
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
}

/// What would act on the engine, or by its rights, is answered by the stack; the rest is the connection's.
#[test]
fn options_that_are_not_the_connections_stay_here() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = relayed(&engine);
    let set = |level, name, number: i32| program.set_option(level, name, &number.to_ne_bytes());
    assert_eq!(set(libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1), Err(libc::ENOPROTOOPT));
    assert_eq!(set(libc::SOL_SOCKET, libc::SO_PEEK_OFF, 1), Err(libc::ENOPROTOOPT));
    let drop_all = [1_u64, 0, 0]; // struct sock_fprog
    let filter = drop_all.map(u64::to_ne_bytes).concat();
    assert_eq!(
        program.set_option(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter),
        Err(libc::ENOPROTOOPT)
    );
    assert_eq!(
        program.set_option(libc::IPPROTO_TCP, libc::TCP_ULP, b"tls"),
        Err(libc::ENOENT)
    );
    assert_eq!(set(libc::SOL_SOCKET, libc::SO_RCVLOWAT, 1000), Ok(()));
    assert_eq!(program.option(libc::SOL_SOCKET, libc::SO_RCVLOWAT), Ok(1000));
    peer.write_all(b"x").unwrap();
    assert_eq!(program.read_exact(1), b"x");

    assert_eq!(set(libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 7), Ok(()));
    assert_eq!(program.option(libc::IPPROTO_TCP, libc::TCP_KEEPCNT), Ok(7));
    assert_eq!(set(libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 128), Err(libc::EINVAL));
}

/// As the kernel's end of a second attempt is another socket.
#[test]
fn options_go_along_to_the_next_attempt() {
    let Some(engine) = engine() else { return };
    let listener = TcpListener::bind(loopback(0)).unwrap();
    let program = engine.socket();
    program
        .set_option(libc::IPPROTO_IP, libc::IP_TOS, &0x20_i32.to_ne_bytes())
        .unwrap();
    assert_eq!(program.connect(loopback(1)), Err(libc::ECONNREFUSED));
    let program = program.renewed();
    assert_eq!(program.connect(listener.local_addr().unwrap()), Ok(()));
    assert_eq!(program.option(libc::IPPROTO_IP, libc::IP_TOS), Ok(0x20));
    assert_eq!(
        program
            .option(libc::IPPROTO_TCP, libc::TCP_MAXSEG)
            .map(|mss| mss > 1460),
        Ok(true)
    ); // the kernel's
}

#[test]
fn a_port_is_free_as_soon_as_its_socket_is_closed() {
    let Some(engine) = engine() else { return };
    for ip in ["127.0.0.1", STACK] {
        let mut address = at(ip, 0);
        for _ in 0..100 {
            let listener = engine.socket();
            listener.ask(Operation::Bind, 0, &Address(address).to_bytes()).unwrap();
            listener.ask(Operation::Listen, 8, &[]).unwrap();
            address = listener.address(Operation::LocalAddress).unwrap();
        }
    }
}

/// What another user's program does that has the token.
fn by_another_user<T: Send>(does: impl FnOnce() -> T + Send) -> T {
    let nobody = Uid::from_raw(65534);
    let become_nobody = || set_thread_res_uid(nobody, nobody, nobody).unwrap(); // of this thread alone
    thread::scope(|scope| scope.spawn(|| (become_nobody(), does()).1).join().unwrap())
}

/// The engine may have the kernel's ports below 1024, and does not lend them.
#[test]
fn a_connect_takes_a_low_port_along_for_who_may_have_it() {
    let Some(engine) = engine() else { return };
    let listener = TcpListener::bind(loopback(0)).unwrap();
    let to = listener.local_addr().unwrap();
    let goes_from = |port| {
        let program = engine.socket();
        let address = Address(at("0.0.0.0", port)).to_bytes();
        program.ask(Operation::Bind, 0, &address).unwrap();
        program.connect(to)
    };
    assert_eq!(by_another_user(|| goes_from(80)), Err(libc::EACCES));
    assert_eq!(goes_from(81), Ok(()));
    assert_eq!(listener.accept().unwrap().1, loopback(81));
}

/// The attempt was the kernel's; what comes next goes its own way, whoever's the port is there.
#[test]
fn who_could_not_connect_listens_on_the_stack() {
    let Some(engine) = engine() else { return };
    let binds = |listener: &Program, port| {
        let address = Address(at("0.0.0.0", port)).to_bytes();
        by_another_user(|| listener.ask(Operation::Bind, 0, &address)).unwrap();
    };
    for (before, after) in [(None, Some(80)), (Some(7000), None), (None, None)] {
        let listener = engine.socket();
        before.inspect(|port| binds(&listener, *port));
        assert_eq!(listener.connect(at("198.51.100.1", 80)), Err(libc::ENETUNREACH));
        after.inspect(|port| binds(&listener, *port));
        listens_on_the_stack(&listener, before.or(after));
    }
}

#[test]
fn who_disconnects_listens_on_the_stack() {
    let Some(engine) = engine() else { return };
    let kernels = TcpListener::bind(loopback(0)).unwrap();
    for port in [Some(7000), None] {
        let program = engine.socket();
        if let Some(port) = port {
            let address = Address(at("0.0.0.0", port)).to_bytes();
            program.ask(Operation::Bind, 0, &address).unwrap();
        }
        program.connect(kernels.local_addr().unwrap()).unwrap();
        program.ask(Operation::Disconnect, 0, &[]).unwrap();
        listens_on_the_stack(&program.renewed(), port);
    }
}

/// At that port, if it is said, and not on the kernel.
fn listens_on_the_stack(listener: &Program, bound: Option<u16>) {
    listener.ask(Operation::Listen, 8, &[]).unwrap();
    let port = listener.address(Operation::LocalAddress).unwrap().port();
    assert_eq!(port, bound.unwrap_or(port));
    let refused = TcpStream::connect(loopback(port)).map_err(|error| error.raw_os_error());
    assert_eq!(refused.unwrap_err(), Some(libc::ECONNREFUSED), "{bound:?}");
    let peer = TcpStream::connect(at(STACK, port)).unwrap();
    assert_eq!(listener.accept().1.peer, Address(peer.local_addr().unwrap()));
}

#[test]
fn urgent_bytes_are_relayed_in_their_place() {
    let Some(engine) = engine() else { return };
    let (program, mut peer) = relayed(&engine);
    peer.write_all(b"before").unwrap();
    send(&peer, b"!", SendFlags::OOB).unwrap();
    peer.write_all(b"after").unwrap();
    program.await_events(PollFlags::PRI);
    let mut bytes = [0; 20];
    assert_eq!(recv(&program.stream, &mut bytes, RecvFlags::OOB).unwrap().1, 1);
    assert_eq!(bytes[0], b'!');
    assert_eq!(program.read_exact(11), b"beforeafter");

    program.write(b"before");
    program.ask(Operation::SendUrgent, 1, b"?").unwrap();
    await_events(&peer, PollFlags::PRI);
    assert_eq!(recv(&peer, &mut bytes, RecvFlags::OOB).unwrap().1, 1);
    assert_eq!(bytes[0], b'?');
}

#[test]
fn loopback_reaches_a_server_on_the_wildcard_address() {
    let Some(engine) = engine() else { return };
    let (listener, port) = engine.listener(8);
    for to in [loopback(port), at("0.0.0.0", port), at(STACK, port)] {
        let client = engine.socket();
        client.connect(to).unwrap();
        let (server, _) = listener.accept();
        server.write(b"here");
        assert_eq!(client.read_exact(4), b"here");
    }
}

#[test]
fn this_hosts_addresses_and_what_is_not_routed_are_the_kernels() {
    let Some(engine) = engine() else { return };
    ip(&["addr", "add", "192.0.2.1/32", "dev", "lo"]);
    let listener = TcpListener::bind(("192.0.2.1", 0)).unwrap();
    let program = engine.socket();
    program.connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(listener.accept().unwrap().1.ip().to_string(), "192.0.2.1");
    // Not the host's, and no network of the stack's: the kernel says that it has no route.
    assert_eq!(engine.socket().connect(at("198.51.100.1", 80)), Err(libc::ENETUNREACH));
    // The kernel's own address on the device is reached through the device.
    let (through, peer) = engine.connected_to_kernel();
    assert_eq!(peer.peer_addr().unwrap().ip().to_string(), STACK);
    assert_eq!(
        through.address(Operation::LocalAddress).unwrap(),
        peer.peer_addr().unwrap()
    );
}

fn ip(arguments: &[&str]) {
    assert!(Command::new("ip").args(arguments).status().unwrap().success());
}

#[test]
fn what_is_routed_goes_out_by_the_stack() {
    let Some(engine) = engine_with(|_, options| {
        options.routes = vec![ustcp_runtime::Cidr {
            address: "0.0.0.0".parse().unwrap(),
            prefix: 0,
        }];
    }) else {
        return;
    };
    let listener = TcpListener::bind((KERNEL, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    ip(&["addr", "add", "198.51.100.1/32", "dev", "lo"]);
    let far = TcpListener::bind(("198.51.100.1", 0)).unwrap();
    let program = engine.socket();
    program.connect(at(KERNEL, port)).unwrap();
    // Of this host since just now, so the kernel's.
    engine.socket().connect(far.local_addr().unwrap()).unwrap();
    assert_eq!(far.accept().unwrap().1.ip().to_string(), "198.51.100.1");
    ip(&["addr", "del", "198.51.100.1/32", "dev", "lo"]);
    let routed = engine.socket();
    let to = Address(at("198.51.100.1", 80)).to_bytes();
    assert_eq!(routed.ask(Operation::Connect, 0, &to), Err(libc::EINPROGRESS));
    assert_eq!(routed.address(Operation::LocalAddress).unwrap().ip().to_string(), STACK);
}

#[test]
fn loopback_can_be_the_stacks_own() {
    let Some(engine) = engine_of(Loopback::Ustcp) else {
        return;
    };
    ip(&["link", "set", "lo", "down"]);
    let (listener, address) = loopback_listener(&engine);
    let client = engine.socket();
    client.connect(address).unwrap();
    let (server, arrival) = listener.accept();
    assert_eq!(arrival.local, Address(address));
    server.write(b"inside");
    assert_eq!(client.read_exact(6), b"inside");
}

#[test]
fn loopback_can_be_refused() {
    let Some(engine) = engine_of(Loopback::Refuse) else {
        return;
    };
    let listener = TcpListener::bind(loopback(0)).unwrap();
    let program = engine.socket();
    assert_eq!(program.connect(listener.local_addr().unwrap()), Err(libc::ECONNREFUSED));
    let bound = program.ask(Operation::Bind, 0, &Address(loopback(0)).to_bytes());
    assert_eq!(bound, Err(libc::EADDRNOTAVAIL));
}

#[test]
fn a_listener_that_is_published_takes_the_kernels_connections_too() {
    let Some(engine) = engine_with(|_, options| options.publish = true) else {
        return;
    };
    let (listener, port) = engine.listener(8);
    let by_loopback = TcpStream::connect(loopback(port)).unwrap();
    let (accepted, arrival) = listener.accept();
    assert_eq!(arrival.peer, Address(by_loopback.local_addr().unwrap()));
    let by_device = TcpStream::connect(at(STACK, port)).unwrap();
    let (_second, arrival) = listener.accept();
    assert_eq!(arrival.peer, Address(by_device.local_addr().unwrap()));
    accepted.write(b"both");
    drop(accepted);
    let mut got = String::new();
    (&by_loopback).read_to_string(&mut got).unwrap();
    assert_eq!(got, "both");

    let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap().local_addr().unwrap();
    let _kernels = TcpListener::bind(taken).unwrap();
    let refused = engine.socket();
    refused.ask(Operation::Bind, 0, &Address(taken).to_bytes()).unwrap();
    assert_eq!(refused.ask(Operation::Listen, 8, &[]), Err(libc::EADDRINUSE));
}

/// As one of the kernel's: who is accepted has the listener's options, and a backlog can be changed.
#[test]
fn what_is_said_to_a_listener_is_said_to_its_published_one_too() {
    let Some(engine) = engine_with(|_, options| options.publish = true) else {
        return;
    };
    let (listener, port) = engine.listener(8);
    let options = [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 77),
    ];
    for (level, name, number) in options {
        listener.set_option(level, name, &i32::to_ne_bytes(number)).unwrap();
    }
    for to in [loopback(port), at(STACK, port)] {
        let _peer = TcpStream::connect(to).unwrap();
        let (accepted, _) = listener.accept();
        for (level, name, number) in options {
            assert_eq!(accepted.option(level, name), Ok(number), "{name} of {to}");
        }
    }
    assert_eq!(kernels_backlog(port), "8");
    listener.ask(Operation::Listen, 16, &[]).unwrap();
    assert_eq!(kernels_backlog(port), "16");
}

/// As ss(8) tells it.
fn kernels_backlog(port: u16) -> String {
    let words = ["-Htln", &format!("sport = :{port}")];
    let told = String::from_utf8(Command::new("ss").args(words).output().unwrap().stdout).unwrap();
    told.split_whitespace().nth(2).unwrap().to_owned()
}

#[test]
fn a_program_of_ipv6_speaks_of_ipv4_in_its_own_way() {
    let Some(engine) = engine() else { return };
    let listener = TcpListener::bind(loopback(0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let program = engine.socket_of(true);
    program.connect(at("::ffff:127.0.0.1", port)).unwrap();
    let (_peer, from) = listener.accept().unwrap();
    let local = program.address(Operation::LocalAddress).unwrap();
    assert_eq!(local, at("::ffff:127.0.0.1", from.port()));
}

/// Bits above a socket's number are the protocol's own, and no way to have more than one's share.
#[test]
fn one_that_the_kernel_carries_counts_twice_whatever_stands_above_its_number() {
    let Some(engine) = engine_with(|_, options| options.quotas.sockets = 4) else {
        return;
    };
    let kernel = TcpListener::bind(loopback(0)).unwrap();
    let to = Address(kernel.local_addr().unwrap()).to_bytes();
    let programs = [engine.socket(), engine.socket()];
    for program in &programs {
        let number = program.number | 1 << 50;
        assert!(engine.ask(Operation::Connect, number, 1, 0, &to).is_ok());
    }
    let one_more = engine.socket();
    assert_eq!(
        one_more.connect(kernel.local_addr().unwrap()),
        Err(libc::EMFILE),
        "four descriptors are its share"
    );
}

/// Its listener sleeps until then: nothing else wakes it.
#[test]
fn who_disconnects_has_room_for_what_its_listener_holds_back() {
    let Some(engine) = engine_with(|_, options| options.quotas.sockets = 3) else {
        return;
    };
    let (listener, port) = engine.listener(8);
    let (program, _peer) = relayed(&engine);
    let waiting = TcpStream::connect(at(STACK, port)).unwrap();
    assert_eq!(engine.socket().connect(at(STACK, port)), Err(libc::EMFILE));
    assert!(!listener.events().contains(PollFlags::IN));
    program.ask(Operation::Disconnect, 0, &[]).unwrap();
    let (_accepted, arrival) = listener.accept();
    assert_eq!(arrival.peer, Address(waiting.local_addr().unwrap()));
}

#[test]
fn who_shuts_a_published_listener_down_has_room_for_what_another_holds_back() {
    let change = |_: &mut _, options: &mut Options| {
        options.publish = true;
        options.quotas.sockets = 4;
    };
    let Some(engine) = engine_with(change) else { return };
    let [(first, _), (second, port)] = [engine.listener(8), engine.listener(8)];
    let waiting = TcpStream::connect(at(STACK, port)).unwrap();
    assert_eq!(engine.socket().connect(at(STACK, port)), Err(libc::EMFILE));
    assert!(!second.events().contains(PollFlags::IN));
    first.ask(Operation::Shutdown, libc::SHUT_RD, &[]).unwrap();
    let (_accepted, arrival) = second.accept();
    assert_eq!(arrival.peer, Address(waiting.local_addr().unwrap()));
}
