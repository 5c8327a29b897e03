//! How TIME-WAIT gives way: to a newer SYN (RFC 6191), to our own connect, and to RST only where that is asked for.

use ustcp_proto::{Config, Error, SocketId, State, SynCookies, TimeWaitReuse};
use ustcp_wire::SeqNum;

use crate::wire::*;

fn stamped() -> Config {
    Config {
        timestamps: true,
        ..config()
    }
}

/// TIME-WAIT behind a listener. The peer's sequence numbers end at 2, its timestamps at 2000 where it has any.
fn listening(config: Config) -> Wire {
    let stamps = config.timestamps;
    let mut w = Wire::listening(config, 8);
    let with = |stamp: u32| {
        if stamps {
            format!("<ts {stamp} 0>")
        } else {
            String::new()
        }
    };
    w.peer(&format!(
        "S 0:0(0) win 65535 {}",
        if stamps { "<mss 1000,ts 1000 0>" } else { "<mss 1000>" }
    ));
    w.sees("S. 0:0(0) ack 1");
    w.peer(&format!(". 1:1(0) ack 1 {}", with(1000)));
    w.accept();
    end(&mut w, &with(2000));
    w
}

fn end(w: &mut Wire, options: &str) {
    w.close();
    w.sees("F. 1:1(0) ack 1");
    w.peer(&format!("F. 1:1(0) ack 2 {options}"));
    w.sees(". 2:2(0) ack 2");
    assert_eq!(w.stack.census().time_wait, 1);
}

/// SHLD-4, MAY-2, 6191-1: a SYN with a newer timestamp takes the place at once, whatever its sequence number; with an
/// older one never; where timestamps do not tell, the sequence number does. Our ISN is beyond, and our clock goes on.
#[test]
fn a_newer_syn_takes_the_place() {
    const BELOW: u32 = PEER_ISN - 5000;
    const ABOVE: u32 = PEER_ISN.wrapping_add(5000);
    for (stamps, isn, options, taken) in [
        (true, BELOW, "mss 1000,ts 2001 0", true),
        (true, ABOVE, "mss 1000,ts 2001 0", true),
        (true, BELOW, "mss 1000,ts 2000 0", false),
        (true, ABOVE, "mss 1000,ts 2000 0", true),
        (true, BELOW, "mss 1000,ts 1999 0", false),
        (true, ABOVE, "mss 1000,ts 1999 0", false),
        (true, BELOW, "mss 1000", false),
        (true, ABOVE, "mss 1000", true),
        (false, BELOW, "mss 1000", false),
        (false, ABOVE, "mss 1000", true),
        (false, BELOW, "mss 1000,ts 2001 0", false),
    ] {
        let mut w = listening(Config {
            timestamps: stamps,
            ..config()
        });
        let last = SeqNum(w.iss()) + 2;
        w.after(ms(100));
        let offset = i64::from(SeqNum(isn) - SeqNum(PEER_ISN));
        w.peer(&format!("S {offset}:{offset}(0) <{options}>"));
        let what = format!("{stamps} {offset} {options}");
        assert_eq!(w.stack.census().time_wait, usize::from(!taken), "{what}");
        if !taken {
            w.sees(". 2:2(0) ack 2");
            continue;
        }
        w.set_peer_isn(isn);
        let syn_ack = w.next().expect("a SYN-ACK").1;
        assert!(SeqNum(w.iss()).after(last), "{what}");
        let stamp = syn_ack.options.expect("options").timestamps.map(|stamps| stamps.value);
        assert!(stamp.is_none_or(|stamp| stamp == 100), "{what}");
        w.peer(". 1:1(0) ack 1");
        w.accept();
        assert_eq!(w.state(), State::Established, "{what}");
    }
}

/// As Linux: who was in TIME-WAIT with us is no stranger. A full queue of half-open connections has room for it, nobody gives
/// way, and nothing is counted; up to the most that a listener may have at all.
#[test]
fn it_is_let_past_a_full_queue() {
    for (syn_backlog, drops) in [(4096, 0), (4, 1)] {
        for (syn_cookies, waiting) in [
            (SynCookies::Never, syn_backlog.min(8) + 1),
            (SynCookies::WhenFull, syn_backlog.min(8) + 1),
            (SynCookies::Always, 0),
        ] {
            let mut w = listening(Config {
                syn_cookies,
                syn_backlog,
                ..config()
            });
            for port in 0..waiting {
                w.ports = Ports(SERVER, 1 + u16::try_from(port).expect("few"));
                w.peer("S 0:0(0) <mss 1000>");
                w.sees("S. 0:0(0) ack 1");
            }
            w.ports = WE_LISTEN;
            let before = *w.stack.counters();
            w.peer("S 5000:5000(0) <mss 1000>");
            w.set_peer_isn(PEER_ISN.wrapping_add(5000));
            w.sees("S. 0:0(0) ack 1");
            let (after, drops) = (*w.stack.counters(), if waiting > 0 { drops } else { 0 });
            assert_eq!(w.stack.census().half_open, waiting + 1 - drops, "{syn_cookies:?}");
            assert_eq!(after.listen_drops - before.listen_drops, drops as u64);
            assert_eq!(
                (after.request_queue_full_drops, after.request_queue_full_cookies),
                (before.request_queue_full_drops, before.request_queue_full_cookies)
            );
        }
    }
}

/// As Linux: a full queue of those that wait for accept has room for nobody.
#[test]
fn a_full_accept_queue_has_no_room_for_it() {
    let mut w = listening(config());
    for port in 1..=9 {
        w.ports = Ports(SERVER, port);
        w.peer("S 0:0(0) <mss 1000>");
        w.sees("S. 0:0(0) ack 1");
        w.peer(". 1:1(0) ack 1");
    }
    w.ports = WE_LISTEN;
    w.peer("S 5000:5000(0) <mss 1000>");
    w.quiet();
    let counters = w.stack.counters();
    assert_eq!((counters.listen_overflows, counters.listen_drops), (1, 1));
}

/// 6191-1: nobody listens, so nobody can take the place.
#[test]
fn without_a_listener_it_stays() {
    let mut w = listening(stamped());
    w.close_listener();
    w.peer("S 5000:5000(0) <mss 1000,ts 9000 0>");
    w.sees(". 2:2(0) ack 2");
    assert_eq!(w.stack.census().time_wait, 1);
}

/// 1337-1: no RST ends TIME-WAIT, unless `tcp_rfc1337` is off: then the exact one does, as in Linux.
#[test]
fn a_reset_ends_it_only_where_that_is_asked_for() {
    for (rfc1337, reset, over) in [
        (true, "R 2:2(0)", false),
        (true, "R. 2:2(0) ack 2 <ts 2001 0>", false),
        (false, "R 2:2(0)", true),
        (false, "R. 2:2(0) ack 2 <ts 2001 0>", true),
        (false, "R. 2:2(0) ack 2 <ts 1000 0>", false),
        (false, "R 3:3(0)", false),
        (false, "R 1:1(0)", false),
    ] {
        let mut w = listening(Config { rfc1337, ..stamped() });
        w.peer(reset);
        w.quiet();
        assert_eq!(w.stack.census().time_wait, usize::from(!over), "{rfc1337} {reset}");
    }
}

/// A connection of ours to the peer's port 80 in TIME-WAIT, and a fresh socket bound to the same port of ours.
fn connecting_again(config: Config) -> (Wire, SocketId) {
    let stamps = config.timestamps;
    let mut w = Wire::connecting(config);
    w.set_reuse_address();
    w.peer(&format!(
        "S. 0:0(0) ack 1 {}",
        if stamps { "<mss 1000,ts 1000 0>" } else { "<mss 1000>" }
    ));
    w.sees(". 1:1(0) ack 1");
    end(&mut w, if stamps { "<ts 2000 0>" } else { "" });
    let id = w.fresh();
    w.use_socket(id);
    w.set_reuse_address();
    let local = w.flow().local;
    w.stack.bind(id, local).expect("both sockets allow it");
    (w, id)
}

/// `tcp_tw_reuse`: connect takes a pair of ends in TIME-WAIT where it is allowed, the connection had timestamps, and
/// they have moved on by a second. The ISN is beyond the earlier connection's, and the timestamps are newer.
#[test]
fn connect_takes_the_place_where_it_may() {
    use TimeWaitReuse::*;
    for (reuse, stamps, wait, taken) in [
        (Always, true, 1000, true),
        (Always, true, 999, false),
        (Always, false, 5000, false),
        (Loopback, true, 5000, false), // the peer is another host
        (Never, true, 5000, false),
    ] {
        let config = Config {
            timestamps: stamps,
            time_wait_reuse: reuse,
            ..config()
        };
        let (mut w, id) = connecting_again(config);
        let last = SeqNum(w.iss()) + 2;
        w.after(ms(wait));
        let remote = w.flow().remote;
        let result = w.stack.connect(w.now, id, remote);
        let expected = if taken {
            Error::InProgress
        } else {
            Error::AddressNotAvailable
        };
        assert_eq!(result, Err(expected), "{reuse:?} {stamps} {wait}");
        assert_eq!(w.stack.census().time_wait, usize::from(!taken));
        assert_eq!(w.stack.counters().time_waits_reused, u64::from(taken));
        if taken {
            w.sees("S 0:0(0) <mss 1460,sackOK,ts 1000 0,ws 3>");
            assert!(SeqNum(w.iss()).after(last));
        }
    }
}

/// The same for ports that connect chooses: with a single one to choose from, it waits for TIME-WAIT or takes its place.
#[test]
fn a_chosen_port_takes_the_place_where_it_may() {
    for (reuse, taken) in [(TimeWaitReuse::Always, true), (TimeWaitReuse::Loopback, false)] {
        let config = Config {
            time_wait_reuse: reuse,
            ephemeral_ports: 40_000..=40_000,
            ..stamped()
        };
        let mut w = Wire::connecting(config);
        w.peer("S. 0:0(0) ack 1 <mss 1000,ts 1000 0>");
        w.sees(". 1:1(0) ack 1");
        end(&mut w, "<ts 2000 0>");
        w.after(secs(2));
        let id = w.fresh();
        let remote = w.flow().remote;
        let expected = if taken {
            Error::InProgress
        } else {
            Error::AddressNotAvailable
        };
        assert_eq!(w.stack.connect(w.now, id, remote), Err(expected));
    }
}
