use core::net::SocketAddr;
use core::time::Duration;

use ustcp_proto::{Cause, Census, Error, EventKind, Family, State, Timer};

use super::*;
use crate::Socket;

const HOUR: Duration = Duration::from_secs(3600);

fn pair(weather: &str) -> (Network, HostId, HostId) {
    let mut network = Network::new();
    let here = network.add_host(Network::host_config(1));
    let there = network.add_host(Network::host_config(2));
    network.link(here, there, &weather.parse().unwrap());
    (network, here, there)
}

/// The states a host's connections went through, in order.
fn path(network: &Network, host: HostId) -> Vec<State> {
    let transitions = network
        .events()
        .iter()
        .filter(|event| event.host == host)
        .filter_map(|event| {
            let EventKind::Transition { to, .. } = event.event.kind else {
                return None;
            };
            event.event.flow.filter(|flow| flow.remote.port() != 0).map(|_| to)
        });
    transitions.collect()
}

fn expired(network: &Network, host: HostId, timer: Timer) -> usize {
    let mine = network.events().iter().filter(|event| event.host == host);
    mine.filter(|event| event.event.kind == EventKind::Expired(timer))
        .count()
}

fn assert_empty(network: &Network, hosts: [HostId; 2]) {
    for host in hosts {
        assert_eq!(network.stack(host).census(), Census::default());
    }
}

#[test]
fn a_conversation_from_open_to_closed() {
    let (mut network, here, there) = pair("delay=10ms");
    let (client, server) = network.open(here, there, 80).unwrap();
    assert_eq!(
        network.transfer(client, server, b"GET / HTTP/1.0\r\n\r\n").unwrap(),
        b"GET / HTTP/1.0\r\n\r\n"
    );
    let page = vec![7; 300_000];
    assert_eq!(network.transfer(server, client, &page).unwrap(), page);
    network.close(server).unwrap();
    assert_eq!(network.receive_to_end(client).unwrap(), b"");
    network.close(client).unwrap();
    network.run_until_idle(HOUR).unwrap();

    use State::*;
    assert_eq!(path(&network, here), [SynSent, Established, CloseWait, LastAck, Closed]);
    assert_eq!(
        path(&network, there),
        [SynReceived, Established, FinWait1, FinWait2, TimeWait, Closed]
    );
    assert_empty(&network, [here, there]);
}

#[test]
fn simultaneous_open_and_simultaneous_close() {
    let (mut network, here, there) = pair("delay=10ms");
    let [client, server] = open_simultaneously(&mut network, here, there);
    network.close(client).unwrap();
    network.close(server).unwrap();
    network.run_until_idle(HOUR).unwrap();

    use State::*;
    let way = [SynSent, SynReceived, Established, FinWait1, Closing, TimeWait, Closed];
    assert_eq!(path(&network, here), way);
    assert_eq!(path(&network, there), way);
    assert_empty(&network, [here, there]);
}

/// Both connect from port 1000 to port 1000 of the other at the same instant.
fn open_simultaneously(network: &mut Network, here: HostId, there: HostId) -> [Socket; 2] {
    let now = network.now();
    let addresses = [here, there].map(|host| SocketAddr::new(network.address(host), 1000));
    let sockets = [(here, 0, 1), (there, 1, 0)].map(|(host, local, remote)| {
        let stack = network.stack_mut(host);
        let id = stack.socket(Family::V4).unwrap();
        stack.bind(id, addresses[local]).unwrap();
        assert_eq!(stack.connect(now, id, addresses[remote]), Err(Error::InProgress));
        Socket { host, id }
    });
    for socket in sockets {
        network.wait_for_state(socket, State::Established).unwrap();
    }
    sockets
}

#[test]
fn the_window_of_the_syn_ack_in_a_simultaneous_open_is_not_scaled() {
    let mut network = Network::new();
    let hosts = [1, 2].map(|number| {
        network.add_host(Config {
            receive_buffer: 1 << 20,
            receive_buffer_max: 0,
            ..Network::host_config(number)
        })
    });
    network.link(hosts[0], hosts[1], &"delay=10ms".parse().unwrap());
    let now = network.now();
    let sockets = open_simultaneously(&mut network, hosts[0], hosts[1]);
    assert!(network.now() > now);
    for socket in sockets {
        let info = network.stack(socket.host).info(network.now(), socket.id).unwrap();
        assert_eq!(info.window_scale, Some((5, 5)));
        assert!(
            info.snd_wnd <= 65_535,
            "the peer offered no more than {} so far",
            info.snd_wnd
        );
    }
}

#[test]
fn a_lost_fin_is_sent_again() {
    let (mut network, here, there) = pair("delay=10ms,drop=out:FIN#1");
    let (client, server) = network.open(here, there, 80).unwrap();
    network.close(client).unwrap();
    assert_eq!(network.receive_to_end(server).unwrap(), b"");
    network.close(server).unwrap();
    network.run_until_idle(HOUR).unwrap();
    assert_eq!(network.link_counters(here, there).scripted, 1);
    assert_eq!(
        expired(&network, here, Timer::LossProbe),
        1,
        "RFC 8985 §7.2: before a timeout"
    );
    assert_empty(&network, [here, there]);
}

#[test]
fn a_lost_last_ack_is_answered_out_of_time_wait() {
    // The client's ACKs: of SYN-ACK, and of the server's FIN.
    let (mut network, here, there) = pair("delay=10ms,drop=out:ACK#2");
    let (client, server) = network.open(here, there, 80).unwrap();
    network.close(client).unwrap();
    assert_eq!(network.receive_to_end(server).unwrap(), b"");
    network.close(server).unwrap();
    let entered = network.run_until(HOUR, |network| {
        (path(network, here).last() == Some(&State::TimeWait)).then(|| network.now())
    });
    network.run_until_idle(HOUR).unwrap();

    assert_eq!(path(&network, there).last(), Some(&State::Closed));
    let retransmitted = expired(&network, there, Timer::LossProbe);
    assert_eq!(retransmitted, 1);
    let over = network.now().since(entered.unwrap());
    assert!(
        over > network.stack(here).config().time_wait,
        "the FIN began the 2 MSL anew, which ended after {over:?}"
    );
    assert_empty(&network, [here, there]);
}

#[test]
fn abort_in_time_wait_changes_nothing() {
    let (mut network, here, there) = pair("delay=10ms");
    let (client, server) = network.open(here, there, 80).unwrap();
    network.shutdown(client).unwrap();
    assert_eq!(network.receive_to_end(server).unwrap(), b"");
    network.close(server).unwrap();
    network.wait_for_state(client, State::TimeWait).unwrap();
    let now = network.now();
    network.stack_mut(here).abort(now, client.id).unwrap();
    network.close(client).unwrap();
    network.run_until_idle(HOUR).unwrap();
    assert_eq!(network.now().since(now), network.stack(here).config().time_wait);
    let last = network.events().iter().rev().find_map(|event| match event.event.kind {
        EventKind::Transition { from, cause, .. } => Some((from, cause)),
        _ => None,
    });
    assert_eq!(last, Some((State::TimeWait, Cause::TwoMslPassed)));
    assert_eq!(
        path(&network, here)
            .iter()
            .filter(|&&state| state == State::Closed)
            .count(),
        1
    );
}

#[test]
fn a_refused_connection_is_the_callers_to_know() {
    let (mut network, here, there) = pair("delay=10ms");
    let failure = network.connect(here, there, 81).unwrap_err();
    assert_eq!(
        failure,
        Failure::Call {
            host: here,
            error: Error::ConnectionRefused
        }
    );
}

#[test]
fn three_hosts_talk_over_a_link_for_each_pair() {
    let mut network = Network::new();
    let hosts = [1, 2, 3].map(|number| network.add_host(Network::host_config(number)));
    let [a, b, c] = hosts;
    network.link(a, b, &"delay=1ms".parse().unwrap());
    network.link(a, c, &"delay=20ms".parse().unwrap());
    for (server, delay) in [(b, 1), (c, 20)] {
        let begun = network.now();
        let (client, server) = network.open(a, server, 80).unwrap();
        assert_eq!(network.transfer(client, server, b"hello").unwrap(), b"hello");
        assert_eq!(network.now().since(begun), Duration::from_millis(4 * delay));
    }
    assert_eq!(network.unroutable(), 0);
    assert!(matches!(
        network.connect(b, c, 80),
        Err(Failure::Call {
            error: Error::TimedOut,
            ..
        })
    ));
    assert!(network.unroutable() > 0, "there is no way from b to c");
}

#[test]
fn a_cut_link_carries_nothing() {
    let (mut network, here, there) = pair("delay=10ms");
    let (client, _) = network.open(here, there, 80).unwrap();
    network.cut(here, there);
    let now = network.now();
    network.stack_mut(here).send(now, client.id, b"anyone?").unwrap();
    let before = network.link_counters(here, there).offered;
    network.run_for(Duration::from_secs(10)).unwrap();
    assert_eq!(network.link_counters(here, there).offered, before);
    assert!(expired(&network, here, Timer::Retransmission) > 3);
    assert_eq!(network.now().since(now), Duration::from_secs(10));
}

#[test]
fn waiting_for_what_never_comes_ends() {
    let (mut network, here, there) = pair("delay=10ms");
    let (client, _) = network.open(here, there, 80).unwrap();
    let failure = network.wait_for_state(client, State::TimeWait).unwrap_err();
    assert!(matches!(failure, Failure::Idle { .. }), "{failure}");
    let failure = network.run_until(Duration::ZERO, |_| None::<()>).unwrap_err();
    assert!(matches!(failure, Failure::Idle { .. }), "{failure}");
}

#[test]
fn both_ends_of_a_link_are_traced() {
    let (mut network, here, there) = pair("delay=10ms");
    network.trace_packets();
    network.open(here, there, 80).unwrap();
    let lines: Vec<String> = network.trace().iter().map(ToString::to_string).collect();
    let flags = |line: &String| line.split_whitespace().nth(5).map(str::to_owned);
    assert!(lines[0].starts_with("0.000000 0 >   1 "), "{}", lines[0]);
    assert!(lines[1].starts_with("0.010000 0   > 1 "), "{}", lines[1]);
    let flags: Vec<String> = lines.iter().filter_map(flags).collect();
    assert_eq!(flags, ["SYN", "SYN", "SYN,ACK", "SYN,ACK", "ACK", "ACK"]);
}
