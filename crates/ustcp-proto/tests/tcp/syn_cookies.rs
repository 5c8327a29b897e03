//! A listener under a flood of SYNs: RFC 4987.

use ustcp_proto::{Checksum, Config, DropReason, EcnPolicy, State, SynCookies};
use ustcp_wire::{Flags, SeqNum, TcpHeader};

use crate::wire::*;

const NOT_ECT: u8 = 0b00;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

fn stamped() -> Config {
    Config {
        timestamps: true,
        ..config()
    }
}

fn always() -> Config {
    Config {
        syn_cookies: SynCookies::Always,
        ..stamped()
    }
}

/// 4987-1: beyond its queue a listener answers with cookies and keeps what it has; as long as there is room it keeps
/// what comes. With `tcp_syncookies` 0 there are none.
#[test]
fn cookies_begin_where_the_queue_ends() {
    for (syn_cookies, sent) in [
        (SynCookies::Never, 0),
        (SynCookies::WhenFull, 91),
        (SynCookies::Always, 100),
    ] {
        let mut w = Wire::listening(
            Config {
                syn_cookies,
                ..config()
            },
            8,
        );
        for port in 1..=100 {
            w.ports = Ports(SERVER, port);
            w.peer(&format!("S 0:0(0) {PLAIN}"));
            w.sees("S. 0:0(0) ack 1");
        }
        assert_eq!(w.stack.counters().syncookies_sent, sent, "{syn_cookies:?}");
        assert_eq!(w.stack.census().half_open as u64, 9.min(100 - sent));
        w.ports = Ports(SERVER, 1);
        w.peer(". 1:1(0) ack 1");
        let keeps_the_first = syn_cookies != SynCookies::Never;
        assert_eq!(w.stack.accept(w.listener()).is_ok(), keeps_the_first, "{syn_cookies:?}");
    }
}

/// 4987-2: the ACK makes the connection that the SYN asked for: its segment size nearly, and by timestamp its window
/// scale and SACK. Without timestamps neither of them is offered.
#[test]
fn the_acknowledgement_makes_the_connection() {
    for (offer, answer, echo, (mss, scale, sack)) in [
        ("mss 1460", "mss 1460", None, (1460, None, false)),
        ("mss 1400,sackOK,ws 7", "mss 1460", None, (1300, None, false)),
        ("mss 1460,ts 500 0", "mss 1460,ts 0 500", Some(0), (1448, None, false)),
        (
            "mss 1460,sackOK,ts 500 0,ws 7",
            "mss 1460,sackOK,ts 0 500,ws 3",
            Some(0),
            (1448, Some((7, 3)), true),
        ),
        (
            "mss 1460,ts 500 0,ws 14",
            "mss 1460,ts 0 500,ws 3",
            Some(0),
            (1448, Some((14, 3)), false),
        ),
    ] {
        let mut w = Wire::listening(always(), 8);
        w.peer(&format!("S 0:0(0) win 65535 <{offer}>"));
        w.sees(&format!("S. 0:0(0) ack 1 <{answer}>"));
        assert_eq!(w.stack.census().half_open, 0, "nothing is kept");
        w.after(ms(100));
        let stamps = echo.map_or(String::new(), |echo| format!("<ts 600 {echo}>"));
        w.peer(&format!("P. 1:11(10) ack 1 win 1000 {stamps}"));
        w.accept();
        assert_eq!((w.state(), w.read(99)), (State::Established, Ok(10)));
        let info = w.info();
        assert_eq!(
            (info.snd_mss, info.window_scale, info.sack),
            (mss, scale, sack),
            "{offer}"
        );
        assert_eq!(info.snd_wnd as usize, 1000 << scale.map_or(0, |(peers, _)| peers));
        let counters = w.stack.counters();
        assert_eq!((counters.syncookies_recv, counters.syncookies_failed), (1, 0));
        w.write(100);
        w.sees("P. 1:101(100) ack 11");
    }
}

/// 4987-2, 3168-1: the timestamp brings back whether ECN was agreed on, and the connection uses it. Without timestamps
/// nothing would, so it is not agreed on.
#[test]
fn ecn_comes_back_by_timestamp() {
    const OFFER: &str = "mss 1460,sackOK,ts 500 0,ws 7";
    for (ecn, syn, offer, agreed) in [
        (EcnPolicy::Accept, "SEW", OFFER, true),
        (EcnPolicy::Request, "SEW", OFFER, true),
        (EcnPolicy::Accept, "S", OFFER, false),
        (EcnPolicy::Accept, "SEW", "mss 1460", false),
        (EcnPolicy::Off, "SEW", OFFER, false),
    ] {
        let mut w = Wire::listening(Config { ecn, ..always() }, 8);
        w.peer(&format!("{syn} 0:0(0) <{offer}>"));
        w.sees(if agreed { "SE. 0:0(0) ack 1" } else { "S. 0:0(0) ack 1" });
        w.after(ms(100));
        let stamps = if offer == OFFER { "<ts 600 0>" } else { "" };
        w.peer(&format!(". 1:1(0) ack 1 {stamps}"));
        w.accept();
        w.write(100);
        w.sees("P. 1:101(100) ack 1");
        assert_eq!(w.class(), if agreed { ECT_0 } else { NOT_ECT }, "{ecn:?} {syn} {offer}");
        w.peer_with_class(&format!("P. 1:3001(3000) ack 101 {stamps}"), CE);
        w.sees(if agreed {
            "E. 101:101(0) ack 3001"
        } else {
            ". 101:101(0) ack 3001"
        });
    }
}

/// A timestamp has no say where ECN is off by the time that it comes back.
#[test]
fn ecn_that_was_switched_off_meanwhile() {
    let mut w = Wire::listening(always(), 8);
    w.peer("SEW 0:0(0) <mss 1460,ts 500 0>");
    w.sees("SE. 0:0(0) ack 1");
    let config = w.stack.config().clone();
    w.stack.set_config(Config {
        ecn: EcnPolicy::Off,
        ..config
    });
    w.peer(". 1:1(0) ack 1 <ts 600 0>");
    w.accept();
    w.write(100);
    w.sees("P. 1:101(100) ack 1");
    assert_eq!(w.class(), NOT_ECT);
}

/// A cookie's timestamp is of the present, at most 63 ms old, and the connection's own are never older.
#[test]
fn its_timestamp_is_of_the_present() {
    for wait in 0..200 {
        let mut w = Wire::listening(always(), 8);
        w.peer("S 0:0(0) win 65535 <mss 1460,sackOK,ts 500 0,ws 7>");
        w.sees("S. 0:0(0) ack 1");
        w.after(ms(wait));
        w.peer("S 0:0(0) win 65535 <mss 1460,sackOK,ts 500 0,ws 7>");
        let again = w.next().expect("a SYN-ACK").1.options.expect("options");
        let stamp = again.timestamps.expect("timestamps").value.cast_signed();
        assert!((wait as i32 - 63..=wait as i32 + 63).contains(&stamp), "{wait} {stamp}");
        w.peer(&format!("P. 1:11(10) ack 1 <ts 600 {stamp}>"));
        w.accept();
        w.after(ms(40));
        let ack = w.next().expect("an ACK").1.options.expect("options");
        assert!(ack.timestamps.expect("timestamps").value.cast_signed() >= stamp);
    }
}

/// 4987-2, ATTACK-37: an ACK that answers no cookie gets RST: a number off by one, another port, one that is too late; and any, at
/// a listener that has sent no cookie within two minutes.
#[test]
fn what_answers_no_cookie_is_refused() {
    let mut w = Wire::listening(always(), 8);
    w.peer(". 1:1(0) ack 1");
    w.sees("R 1:1(0)");
    assert_eq!(w.stack.counters().syncookies_failed, 0, "nobody was in need");
    w.peer(&format!("S 0:0(0) {PLAIN}"));
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 6"); // up to 4 it would be another segment size's
    w.sees("R 6:6(0)");
    w.peer(". 2:2(0) ack 1");
    w.sees("R 1:1(0)");
    assert_eq!(w.stack.counters().syncookies_failed, 2);
    w.after(secs(240));
    w.ports = Ports(SERVER, 7);
    w.peer(&format!("S 0:0(0) {PLAIN}")); // so that cookies are looked at again
    w.sees("S. 0:0(0) ack 1");
    w.ports = WE_LISTEN;
    w.peer(". 1:1(0) ack 1");
    w.sees("R 1:1(0)");
    assert_eq!(w.stack.counters().syncookies_failed, 3, "a replay after four minutes");
    assert!(w.stack.accept(w.listener()).is_err());
    w.after(secs(121));
    w.peer(". 1:1(0) ack 1");
    w.sees("R 1:1(0)");
    assert_eq!(w.stack.counters().syncookies_failed, 3, "the need is over");
}

/// 4987-2: a million random ACKs to a listener in need make no connection.
#[test]
fn a_million_guesses() {
    let config = Config {
        trace: false,
        ..always()
    };
    let mut w = Wire::listening(config, 1000);
    w.peer(&format!("S 0:0(0) {PLAIN}"));
    w.sees("S. 0:0(0) ack 1");
    let mut dice = 88_172_645_463_325_252_u64;
    for _ in 0..1_000_000 {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let header = TcpHeader {
            source_port: (dice >> 48) as u16 | 1,
            destination_port: SERVER,
            seq: SeqNum(dice as u32),
            ack: SeqNum((dice >> 16) as u32),
            flags: Flags::ACK,
            window: 1000,
            ..TcpHeader::default()
        };
        w.stack
            .on_packet(w.now, &packet(PEERS, OURS, &header, &[]), Checksum::Full);
        assert!(w.next_packet().is_some(), "an RST");
    }
    let counters = w.stack.counters();
    assert_eq!((counters.syncookies_failed, counters.syncookies_recv), (1_000_000, 0));
}

/// 4987-3, ATTACK-36: a SYN that is answered with a cookie leaves nothing behind: no entry, no timer, no buffer.
#[test]
fn a_cookie_keeps_nothing() {
    let config = Config {
        trace: false,
        ..config()
    };
    let mut w = Wire::listening(config, 8);
    for port in 1..=9 {
        w.ports = Ports(SERVER, port);
        w.peer(&format!("S 0:0(0) {PLAIN}"));
        w.sees("S. 0:0(0) ack 1");
    }
    let census = w.stack.census();
    for port in 10..=60_000 {
        w.ports = Ports(SERVER, port);
        w.peer(&format!("S 0:0(0) {PLAIN}"));
        assert!(w.next_packet().is_some());
    }
    assert_eq!(w.stack.census(), census);
    assert_eq!(w.stack.counters().syncookies_sent, 59_991);
}

/// 4987-1, ATTACK-38: in a flood of 100,000 SYNs from everywhere an established connection has every byte through in both
/// directions, and 200 of 200 clients connect. The stack holds no more at its end than the queue that it began with.
#[test]
fn nobody_is_shut_out() {
    let config = Config {
        trace: false,
        ..stamped()
    };
    let mut w = Wire::listening(config, 128);
    w.peer("S 0:0(0) win 65535 <mss 1460,sackOK,ts 1 0,ws 7>");
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1 <ts 1 0>");
    w.accept();
    let established = w.id();
    let (mut connected, mut moved) = (0, 0);
    for n in 0..100_000_u32 {
        let source = core::net::IpAddr::from([198, 18, (n >> 8) as u8, n as u8]);
        let syn = TcpHeader {
            source_port: (n >> 16) as u16 + 1000,
            destination_port: SERVER,
            seq: SeqNum(n.wrapping_mul(2_654_435_769)),
            flags: Flags::SYN,
            window: 1000,
            ..TcpHeader::default()
        };
        w.inject(&packet(source, OURS, &syn, &[]));
        while w.next_packet().is_some() {}
        if n % 500 == 0 {
            w.ports = Ports(SERVER, 2000 + (n / 500) as u16);
            w.peer("S 0:0(0) win 65535 <mss 1460,sackOK,ts 1 0,ws 7>");
            w.sees("S. 0:0(0) ack 1");
            w.peer(". 1:1(0) ack 1 <ts 1 0>");
            w.accept();
            connected += usize::from(w.state() == State::Established);
            w.abort();
            w.sees("R. 1:1(0) ack 1");
            w.close();
            w.ports = WE_LISTEN;
            w.use_socket(established);
            w.peer(&format!(
                "P. {}:{}(100) ack {} <ts 2 0>",
                1 + moved,
                101 + moved,
                1 + moved
            ));
            assert_eq!(w.read(1000), Ok(100));
            w.write(100);
            w.sees(&format!("P. {}:{}(100) ack {}", 1 + moved, 101 + moved, 101 + moved));
            moved += 100;
        }
    }
    assert_eq!((connected, moved), (200, 20_000));
    let counters = w.stack.counters();
    assert!(
        counters.syncookies_sent > 99_000 && counters.syncookies_recv >= 199,
        "{counters:?}"
    );
    assert!(w.stack.census().half_open <= 129);
}

/// What a listener counts: `ListenOverflows`, `ListenDrops`, `TCPReqQFullDoCookies`, `TCPReqQFullDrop`.
fn counts(w: &Wire) -> [u64; 4] {
    let counters = w.stack.counters();
    [
        counters.listen_overflows,
        counters.listen_drops,
        counters.request_queue_full_cookies,
        counters.request_queue_full_drops,
    ]
}

/// Twenty SYNs at a queue for nine, and at one for all of them: what Linux counts.
#[test]
fn what_a_full_queue_of_half_open_connections_counts() {
    for (syn_cookies, backlog, counted) in [
        (SynCookies::Never, 8, [0, 11, 0, 11]),
        (SynCookies::WhenFull, 8, [0, 0, 11, 0]),
        (SynCookies::Always, 8, [0, 0, 20, 0]),
        (SynCookies::Never, 300, [0, 0, 0, 0]),
        (SynCookies::WhenFull, 300, [0, 0, 0, 0]),
        (SynCookies::Always, 300, [0, 0, 20, 0]),
    ] {
        let config = Config {
            syn_cookies,
            ..config()
        };
        let mut w = Wire::listening(config, backlog);
        for port in 1..=20 {
            w.ports = Ports(SERVER, port);
            w.peer(&format!("S 0:0(0) {PLAIN}"));
            w.sees("S. 0:0(0) ack 1");
        }
        assert_eq!(counts(&w), counted, "{syn_cookies:?} {backlog}");
    }
}

/// Three SYNs at an accept queue for two, their three ACKs, and a fourth SYN: what Linux counts.
#[test]
fn what_a_full_accept_queue_counts() {
    for (syn_cookies, counted) in [
        (SynCookies::Never, [2, 2, 0, 0]),
        (SynCookies::WhenFull, [2, 2, 0, 0]),
        (SynCookies::Always, [2, 2, 4, 0]),
    ] {
        let config = Config {
            syn_cookies,
            ..config()
        };
        let mut w = Wire::listening(config, 1);
        for port in [1, 2, 3] {
            w.ports = Ports(SERVER, port);
            w.peer(&format!("S 0:0(0) {PLAIN}"));
            w.sees("S. 0:0(0) ack 1");
            if port == 1 {
                w.peer(". 1:1(0) ack 1");
            }
        }
        for port in [2, 3] {
            w.ports = Ports(SERVER, port);
            w.peer(". 1:1(0) ack 1");
        }
        w.ports = Ports(SERVER, 4);
        w.peer(&format!("S 0:0(0) {PLAIN}"));
        assert_eq!(counts(&w), counted, "{syn_cookies:?}");
    }
}

/// A SYN that there is no memory for is a drop of the listener's, and nothing else.
#[test]
fn what_a_want_of_memory_counts() {
    let config = Config {
        memory_limit: 0,
        ..config()
    };
    let mut w = Wire::listening(config, 8);
    w.ports = Ports(SERVER, 1);
    w.peer(&format!("S 0:0(0) {PLAIN}"));
    w.sees("S. 0:0(0) ack 1");
    w.peer("P. 1:11(10) ack 1");
    w.ports = Ports(SERVER, 2);
    w.peer(&format!("S 0:0(0) {PLAIN}"));
    assert_eq!((counts(&w), w.drops(DropReason::Limit)), ([0, 1, 0, 0], 1));
}

/// 4987-4: with the queue of completed connections full a SYN is dropped, and so is an ACK that would complete one: it
/// gets its turn later. `tcp_abort_on_overflow` says so at once instead.
#[test]
fn a_full_accept_queue() {
    for (abort, cookies) in [(false, false), (true, false), (false, true)] {
        let config = Config {
            abort_on_overflow: abort,
            syn_cookies: if cookies {
                SynCookies::Always
            } else {
                SynCookies::WhenFull
            },
            ..config()
        };
        let mut w = Wire::listening(config, 1);
        for port in [1, 2, 3] {
            w.ports = Ports(SERVER, port);
            w.peer(&format!("S 0:0(0) {PLAIN}"));
            w.sees("S. 0:0(0) ack 1");
            if port == 1 {
                w.peer(". 1:1(0) ack 1");
            }
        }
        w.ports = Ports(SERVER, 2);
        w.peer(". 1:1(0) ack 1"); // the queue of two is full
        w.ports = Ports(SERVER, 3);
        w.peer(". 1:1(0) ack 1");
        if abort {
            w.sees("R 1:1(0)");
        }
        w.ports = Ports(SERVER, 4);
        w.peer(&format!("S 0:0(0) {PLAIN}"));
        w.quiet();
        assert_eq!(
            (w.stack.counters().listen_overflows, w.drops(DropReason::Backlog)),
            (2, 2)
        );
        for _ in 0..2 {
            w.stack.accept(w.listener()).expect("one that waits");
        }
        w.ports = Ports(SERVER, 3);
        w.peer("P. 1:11(10) ack 1");
        assert_eq!(w.stack.accept(w.listener()).is_ok(), !abort, "{abort} {cookies}");
    }
}
