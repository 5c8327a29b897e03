//! Timestamps, RFC 7323. The peer's clock is what the scripts say; ours counts from our SYN.

use std::collections::HashSet;

use ustcp_proto::{Config, DropReason, Instant, Shutdown, Stack, State};
use ustcp_wire::{IpPacket, TcpSegment};

use crate::wire::*;

fn stamped() -> Config {
    Config {
        timestamps: true,
        ..config()
    }
}

/// What a peer offers that speaks them: its clock begins at 1000.
const OFFER: &str = "win 65535 <mss 1000,ts 1000 0>";

/// ESTABLISHED by connect.
fn connected() -> Wire {
    let mut w = Wire::connecting(stamped());
    w.peer(&format!("S. 0:0(0) ack 1 {OFFER}"));
    w.sees(". 1:1(0) ack 1 <ts 0 1000>");
    w.quiet();
    w
}

/// ESTABLISHED by accept.
fn accepted() -> Wire {
    let mut w = Wire::listening(stamped(), 8);
    w.peer(&format!("S 0:0(0) {OFFER}"));
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1 <ts 1000 0>");
    w.accept();
    w.quiet();
    w
}

/// 7323-4: both SYNs must have them; then both ends send them and TCP_INFO says so.
#[test]
fn both_ends_must_offer_them() {
    for (ours, peers) in [(true, true), (true, false), (false, true), (false, false)] {
        let config = Config {
            timestamps: ours,
            ..config()
        };
        let offer = if peers { OFFER } else { PLAIN };
        let both = ours && peers;

        let mut w = Wire::new(config.clone(), WE_CONNECT);
        w.connect();
        let syn = w.next().expect("a SYN").1.options.expect("options");
        assert_eq!(syn.timestamps.is_some(), ours);
        w.peer(&format!("S. 0:0(0) ack 1 {offer}"));
        w.sees(if both {
            ". 1:1(0) ack 1 <ts 0 1000>"
        } else {
            ". 1:1(0) ack 1 <>"
        });
        assert_eq!(w.info().timestamps, both);

        let mut w = Wire::listening(config, 1);
        w.peer(&format!("S 0:0(0) {offer}"));
        w.sees(if both {
            "S. 0:0(0) ack 1 <mss 1460,ts 0 1000>"
        } else {
            "S. 0:0(0) ack 1 <mss 1460>"
        });
        w.peer(&format!(". 1:1(0) ack 1{}", if peers { " <ts 1001 0>" } else { "" }));
        w.accept();
        assert_eq!(w.info().timestamps, both);
    }
}

/// 7323-6: a second copy of what we acknowledged last is answered with its own time, as Linux does: the acknowledgement of
/// the first was lost, and its sender shall not measure its own timeout.
#[test]
fn a_second_copy_is_answered_with_its_own_time() {
    let mut w = connected();
    w.peer("P. 1:11(10) ack 1 <ts 1100 0>");
    w.peer("P. 11:21(10) ack 1 <ts 1101 0>");
    let answer = |w: &mut Wire| w.next().expect("an answer").1.options.unwrap().timestamps.unwrap().echo;
    w.elapse(secs(1));
    w.peer("P. 11:21(10) ack 1 <ts 5000 0>");
    assert_eq!(answer(&mut w), 5000);
    w.peer("P. 1:11(10) ack 1 <ts 6000 0>"); // not the last: who knows what it is about
    assert_eq!(answer(&mut w), 5000);
}

/// 7323-4, 7323-7: every segment of the connection has them, RST among them, with TSecr what the peer said last; a SYN
/// without ACK has TSecr 0.
#[test]
fn every_segment_has_them() {
    let mut w = Wire::new(stamped(), WE_CONNECT);
    w.connect();
    w.sees("S 0:0(0) <mss 1460,sackOK,ts 0 0,ws 3>");
    w.after(secs(1));
    w.sees("S 0:0(0) <mss 1460,sackOK,ts 1000 0,ws 3>");
    w.peer("S. 0:0(0) ack 1 win 65535 <mss 1000,ts 70 1000>");
    w.sees(". 1:1(0) ack 1 <ts 1000 70>");
    w.after(ms(7));
    w.write(100);
    w.sees("P. 1:101(100) ack 1 <ts 1007 70>");
    w.after(ms(20));
    w.peer("P. 1:11(10) ack 101 <ts 90 1007>");
    w.after(ms(40));
    w.sees(". 101:101(0) ack 11 <ts 1067 90>"); // a held-back acknowledgement
    w.peer("P. 1:11(10) ack 101 <ts 90 1007>");
    w.sees(". 101:101(0) ack 11 <ts 1067 90>"); // a duplicate's
    w.shutdown(Shutdown::Write);
    w.sees("F. 101:101(0) ack 11 <ts 1067 90>");
    w.abort();
    w.sees("R. 102:102(0) ack 11 <ts 1067 90>");
}

/// 7323-4: a half-open connection's answers have them, and those of TIME-WAIT.
#[test]
fn so_do_the_answers_before_and_after() {
    let mut w = Wire::listening(stamped(), 8);
    w.peer(&format!("S 0:0(0) {OFFER}"));
    w.sees("S. 0:0(0) ack 1 <mss 1460,ts 0 1000>");
    w.after(secs(1));
    w.sees("S. 0:0(0) ack 1 <mss 1460,ts 1000 1000>");
    w.peer("R 5:5(0)"); // in the window, not exact
    w.sees(". 1:1(0) ack 1 <ts 1000 1000>");
    w.peer("F. 1:1(0) ack 1 <ts 2000 1000>");
    w.accept();
    w.sees(". 1:1(0) ack 2 <ts 1000 2000>");
    w.close();
    w.sees("F. 1:1(0) ack 2 <ts 1000 2000>");

    let mut w = accepted();
    w.close();
    w.sees("F. 1:1(0) ack 1 <ts 0 1000>");
    w.peer("F. 1:1(0) ack 2 <ts 1005 0>");
    w.sees(". 2:2(0) ack 2 <ts 0 1005>");
    assert_eq!(w.stack.census().time_wait, 1);
    w.after(ms(600));
    w.peer("F. 1:1(0) ack 2 <ts 1600 0>");
    w.sees(". 2:2(0) ack 2 <ts 600 1005>");
}

/// MUST-16: a packet has so much less text, and less again with SACK blocks, of which three fit beside them.
#[test]
fn they_take_room() {
    let mut w = connected();
    w.write(3000);
    for start in [1, 989, 1977] {
        w.sees(&format!(". {start}:{}(988) ack 1", start + 988));
    }
    assert_eq!(w.info().snd_mss, 988);

    let mut w = Wire::connecting(stamped());
    w.peer("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,ts 1000 0>");
    w.sees(". 1:1(0) ack 1");
    for (start, len) in [(11, 10), (31, 10), (51, 10)] {
        w.peer(&format!("P. {start}:{}({len}) ack 1 <ts 1001 0>", start + len));
        w.next().expect("an acknowledgement");
    }
    w.peer("P. 71:81(10) ack 1 <ts 1001 0>");
    w.sees(". 1:1(0) ack 1 <ts 0 1000,sack 71:81 51:61 31:41>");
    w.write(2000);
    w.sees(". 1:961(960) ack 1 <ts 0 1000,sack 71:81 51:61 31:41>");
}

/// The bytes of a SYN, of an acknowledgement and of one with SACK blocks are laid out as Linux lays them out.
#[test]
fn linux_would_write_the_same_bytes() {
    let mut w = Wire::new(stamped(), WE_CONNECT);
    w.connect();
    let syn = w.next_packet().expect("a SYN");
    assert_eq!(syn[40..50], [2, 4, 0x05, 0xb4, 4, 2, 8, 10, syn[48], syn[49]]);
    assert_eq!(syn[52..], [0, 0, 0, 0, 1, 3, 3, 3]);

    let mut w = Wire::connecting(stamped());
    w.peer("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,ts 1000 0>");
    let ack = w.next_packet().expect("an ACK");
    assert_eq!(
        (ack.len(), &ack[40..44], &ack[48..]),
        (52, &[1, 1, 8, 10][..], &[0, 0, 3, 232][..])
    );
    w.peer("P. 11:21(10) ack 1 <ts 1001 0>");
    let ack = w.next_packet().expect("an ACK");
    assert_eq!(
        (ack.len(), &ack[40..44], &ack[52..56]),
        (64, &[1, 1, 8, 10][..], &[1, 1, 5, 10][..])
    );

    let mut w = Wire::listening(stamped(), 1);
    w.peer("S 0:0(0) <mss 1000,sackOK,ts 1000 0,ws 7>");
    let syn_ack = w.next_packet().expect("a SYN-ACK");
    assert_eq!(syn_ack[40..48], [2, 4, 0x05, 0xb4, 4, 2, 8, 10]);
    assert_eq!(syn_ack[52..], [0, 0, 3, 232, 1, 3, 3, 3]);
}

/// 7323-5: a segment without the option is taken, as in Linux.
#[test]
fn segments_without_them_are_taken() {
    let mut w = connected();
    w.peer("P. 1:11(10) ack 1");
    assert_eq!(w.read(99), Ok(10));
    w.peer("R 11:11(0)");
    assert_eq!(w.state(), State::Closed);
}

/// 7323-6, 7323-7: TSecr is of the oldest segment not yet acknowledged: of the first that a held-back acknowledgement
/// covers, and of the one that fills a hole rather than of those beyond it.
#[test]
fn the_echo_is_of_the_oldest_unacknowledged() {
    let mut w = connected();
    w.peer("P. 1:11(10) ack 1 <ts 1010 0>");
    w.after(ms(10));
    w.peer("P. 11:16(5) ack 1 <ts 1020 0>");
    w.after(ms(30));
    w.sees(". 1:1(0) ack 16 <ts 40 1010>");
    w.peer("P. 26:36(10) ack 1 <ts 1060 0>"); // beyond a hole: not taken
    w.sees(". 1:1(0) ack 16 <ts 40 1010>");
    w.peer("P. 16:26(10) ack 1 <ts 1050 0>"); // an older one fills it
    w.sees(". 1:1(0) ack 36 <ts 40 1050>");
    w.peer("P. 36:46(10) ack 1 <ts 1061 0>");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 46 <ts 80 1061>");
}

/// 7323-8: text from before TS.Recent is acknowledged and dropped, whatever its sequence number; one tick is forgiven.
#[test]
fn text_of_long_ago_is_dropped() {
    let mut w = connected();
    w.peer("P. 1:11(10) ack 1 <ts 999 0>"); // as Linux: one tick is none
    w.after(ms(40));
    w.sees(". 1:1(0) ack 11 <ts 40 1000>");
    for stamp in [998_u32, 500, 1001 + (1 << 31)] {
        w.peer(&format!("P. 11:21(10) ack 1 <ts {stamp} 0>"));
        w.sees(". 1:1(0) ack 11 <ts 40 1000>");
    }
    assert_eq!(
        (w.drops(DropReason::OldTimestamp), w.stack.queued_in(w.id())),
        (3, Ok(10))
    );
    w.peer("P. 11:21(10) ack 1 <ts 1001 0>");
    assert_eq!(w.read(99), Ok(20));
}

/// 7323-8: an old ACK neither moves SND.UNA nor the window. Where it stands at RCV.NXT it is answered, now and then;
/// behind it in silence, as in Linux.
#[test]
fn acknowledgements_of_long_ago_are_dropped() {
    let mut w = connected();
    w.write(500);
    w.sees("P. 1:501(500) ack 1");
    w.peer("P. 1:11(10) ack 1 <ts 2000 0>");
    w.after(ms(40));
    w.sees(". 501:501(0) ack 11 <ts 40 2000>");
    w.peer(". 11:11(0) ack 501 win 4000 <ts 1999 0>");
    assert_eq!(w.info().unacked, 0, "one tick is none");

    let mut w = connected();
    w.write(500);
    w.sees("P. 1:501(500) ack 1");
    w.peer("P. 1:11(10) ack 1 <ts 2000 0>");
    w.after(ms(40));
    w.sees(". 501:501(0) ack 11 <ts 40 2000>");
    w.peer(". 1:1(0) ack 501 win 4000 <ts 1500 0>");
    w.quiet();
    w.peer(". 11:11(0) ack 501 win 4000 <ts 1500 0>");
    w.sees(". 501:501(0) ack 11 <ts 40 2000>");
    w.peer(". 11:11(0) ack 501 win 4000 <ts 1500 0>");
    w.quiet();
    assert_eq!((w.info().unacked, w.info().snd_wnd), (1, 65_535));
    assert_eq!(w.drops(DropReason::OldTimestamp), 3);
}

/// A duplicate acknowledgement that another overtook on its way counts for loss recovery: as Linux, which found that
/// reordered acknowledgements would else be lost to it.
#[test]
fn overtaken_duplicates_count() {
    let mut w = connected();
    w.write(4000);
    assert_eq!(w.drain().len(), 5);
    for stamp in [1050, 1049, 1048] {
        w.peer(&format!(". 1:1(0) ack 1 <ts {stamp} 0>"));
    }
    w.sees(". 1:989(988) ack 1"); // the third: a fast retransmit
    assert_eq!(w.drops(DropReason::OldTimestamp), 0);
}

/// 7323-8: RST is exempt, by its sequence number alone.
#[test]
fn a_reset_of_long_ago_resets() {
    let mut w = connected();
    w.peer("R 1:1(0) <ts 5 0>");
    assert_eq!(w.state(), State::Closed);
}

/// 7323-8: a half-open connection holds them against its peer too, and a TSecr that its SYN-ACK never carried.
#[test]
fn a_half_open_connection_judges_too() {
    for (segment, taken) in [
        ("P. 1:11(10) ack 1 <ts 1000 0>", true),
        ("P. 1:11(10) ack 1", true),
        ("P. 1:11(10) ack 1 <ts 1010 5>", true),
        ("P. 1:11(10) ack 1 <ts 900 5>", false),
        ("P. 1:11(10) ack 1 <ts 1010 12>", false),
        ("P. 1:11(10) ack 1 <ts 1010 4294967295>", false),
    ] {
        let mut w = Wire::listening(stamped(), 8);
        w.peer(&format!("S 0:0(0) {OFFER}"));
        w.sees("S. 0:0(0) ack 1");
        w.after(ms(10));
        w.peer(segment);
        assert_eq!(w.stack.census().half_open, usize::from(!taken), "{segment}");
        if !taken {
            w.sees(". 1:1(0) ack 1 <ts 10 1000>");
        }
    }
}

/// As Linux: a SYN-ACK that echoes what our SYN did not carry is not from whom we asked.
#[test]
fn a_syn_ack_with_a_foreign_echo_is_refused() {
    for (echo, taken) in [(0_u32, true), (1000, true), (1001, false), (u32::MAX, false)] {
        let mut w = Wire::connecting(stamped());
        w.after(secs(1));
        w.sees("S 0:0(0)");
        w.peer(&format!("S. 0:0(0) ack 1 win 65535 <mss 1000,ts 70 {echo}>"));
        w.sees(if taken { ". 1:1(0) ack 1" } else { "R 1:1(0)" });
        assert_eq!(w.state() == State::Established, taken, "{echo}");
    }
}

/// 7323-9: after 24 days of silence TS.Recent says nothing; before it does.
#[test]
fn the_memory_ends_after_24_days() {
    let day = 24 * 3600;
    for (time, taken) in [(24 * day - 10, false), (24 * day + 10, true)] {
        let mut w = connected();
        w.elapse_in_silence(secs(time));
        w.peer("P. 1:11(10) ack 1 <ts 500 0>");
        assert_eq!(w.read(99).is_ok(), taken, "{time} s");
    }
}

/// 7323-10: the clock has ticks of 1 ms, and goes over the end of its 32 bits without harm.
#[test]
fn the_clock() {
    let mut w = connected();
    for (time, stamp) in [
        (1, 1_u64),
        (9, 10),
        (990, 1000),
        (3_600_000, 3_601_000),
        (4_294_000_000, 4_297_601_000),
    ] {
        w.elapse_in_silence(ms(time));
        w.peer("P. 0:1(1) ack 1 <ts 1000 0>");
        w.sees(&format!(". 1:1(0) ack 1 <ts {} 1000>", stamp % (1 << 32)));
    }
}

/// The TSval of the first SYN towards port 80 of `peer`, from our port `port`.
fn first_stamp(secret: u8, now: Instant, port: u16, peer: u8) -> u32 {
    let mut config = stamped();
    config.secret.0[8] = secret;
    let mut stack = Stack::new(config);
    let id = stack.socket(ustcp_proto::Family::V4).expect("a socket");
    stack.bind(id, (OURS, port).into()).expect("bind");
    let _in_progress = stack.connect(now, id, ([10, 0, 0, peer], 80).into());
    let syn = stack.poll_transmit(now).expect("a SYN").to_vec();
    let ip = IpPacket::parse(&syn).expect("a packet");
    let tcp = TcpSegment::parse(&ip.header, ip.payload, ustcp_proto::Checksum::Full).expect("a segment");
    tcp.header.options.timestamps.expect("timestamps").value
}

/// ATTACK-15, 7323-10: where the clock stands is another matter towards every peer, and under every key: it tells neither how long
/// the host is up nor which connections are of one host. Between two addresses it is one clock, whatever the ports.
#[test]
fn the_clock_says_nothing_of_the_host() {
    let now = Instant::from_nanos(77_000_000_000);
    let peers: HashSet<_> = (3..=254).map(|peer| first_stamp(1, now, 1000, peer) >> 8).collect();
    assert!(peers.len() > 250, "{}", peers.len());
    let keys: HashSet<_> = (0..=255).map(|key| first_stamp(key, now, 1000, 3) >> 8).collect();
    assert!(keys.len() > 250, "{}", keys.len());
    for port in 1000..1100 {
        let later = now + ms(u64::from(port));
        assert_eq!(
            first_stamp(1, later, port, 3).wrapping_sub(first_stamp(1, now, 1, 3)),
            u32::from(port)
        );
    }
}

/// 7323-11, MUST-18: the acknowledgement of a retransmission gives a sample by its TSecr, of whichever of the two it
/// answers; one of no new data gives none.
#[test]
fn a_retransmission_gives_a_sample() {
    for (echo, srtt) in [(100, ms(240) / 8), (300, ms(40) / 8)] {
        let mut w = connected();
        w.after(ms(100));
        w.write(100);
        w.sees("P. 1:101(100) ack 1 <ts 100 1000>");
        w.after(ms(200));
        w.sees("P. 1:101(100) ack 1 <ts 300 1000>");
        w.after(ms(40));
        let before = w.info().srtt;
        assert_eq!(before, ms(0), "of the SYN");
        w.peer(&format!(". 1:1(0) ack 101 <ts 1240 {echo}>"));
        assert_eq!(w.info().srtt, srtt);
        let known = w.info().srtt;
        w.after(ms(500));
        w.peer(&format!(". 1:1(0) ack 101 <ts 1740 {echo}>"));
        assert_eq!(w.info().srtt, known);
    }
}

/// 7323-11: nonsense in TSecr measures nothing.
#[test]
fn an_echo_from_the_future_measures_nothing() {
    let mut w = connected();
    w.write(100);
    w.sees("P. 1:101(100) ack 1");
    w.after(ms(200));
    w.sees("P. 1:101(100) ack 1");
    w.peer(". 1:1(0) ack 101 <ts 1240 777777>");
    assert_eq!((w.info().srtt, w.info().unacked), (ms(0), 0));
}

/// 5681-2, 6298-8: an answer to the first of two SYNs shows that none was lost, and measures the round trip; an answer
/// to the second does not, and one segment is the first flight.
#[test]
fn a_late_syn_ack() {
    for (echo, rtt, flight) in [(0, 1200, 10), (1000, 200, 1)] {
        let mut w = Wire::connecting(stamped());
        w.after(secs(1));
        w.sees("S 0:0(0)");
        w.after(ms(200));
        w.peer(&format!("S. 0:0(0) ack 1 win 65535 <mss 1000,ts 70 {echo}>"));
        w.sees(". 1:1(0) ack 1");
        assert_eq!(w.info().srtt, ms(rtt));
        w.write(20_000);
        assert_eq!(w.drain().len(), flight);
    }
}
