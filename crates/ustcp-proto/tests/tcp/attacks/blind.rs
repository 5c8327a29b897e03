//! Attackers who see nothing of a connection and guess: RFC 5961, RFC 5927, CVE-2016-5696.

use ustcp_proto::{DropReason, State};

use super::{Dice, figure};
use crate::wire::*;

/// 1,000 forged segments in 1.5 s at a connection that has sent ten bytes. It lives, nothing is delivered, and it says
/// at most four words in answer.
fn forge(label: &str, script: impl Fn(i64) -> String) {
    let mut w = Wire::connected();
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    w.peer(". 1:1(0) ack 11");
    let mut answers = 0;
    for index in 0..1000 {
        w.peer(&script(index));
        answers += w.drain().len();
        w.now = w.now + core::time::Duration::from_micros(1500);
        w.stack.on_timeout(w.now);
    }
    assert!((1..=4).contains(&answers), "{answers}");
    assert_eq!((w.state(), w.stack.queued_in(w.id())), (State::Established, Ok(0)));
    figure(label, format!("{answers} answers, 0 bytes delivered, alive"));
    w.peer("P. 1:11(10) ack 11");
    assert_eq!(w.read(99), Ok(10), "and it goes on");
}

/// ATTACK-1, 5961-1: RSTs inside the window, none of them at RCV.NXT.
#[test]
fn a_thousand_forged_resets() {
    forge("ATTACK-1", |index| {
        format!("R {}:{}(0)", 2 + 65 * index, 2 + 65 * index)
    });
}

/// ATTACK-2, 5961-2: SYNs inside the window and elsewhere.
#[test]
fn a_thousand_forged_syns() {
    forge("ATTACK-2", |index| {
        format!("S {0}:{0}(0) <mss 1000>", 65 * index - 20_000)
    });
}

/// ATTACK-3, 5961-3: text at the right place with an ACK older than the largest window ever offered.
#[test]
fn a_thousand_forged_texts_with_old_acks() {
    forge("ATTACK-3", |index| {
        format!("P. 1:101(100) ack {}", -65_535 - 1000 * index)
    });
}

/// ATTACK-4, 5961-3: text at the right place with an ACK of what was never sent.
#[test]
fn a_thousand_forged_texts_with_acks_of_the_future() {
    forge("ATTACK-4", |index| format!("P. 1:101(100) ack {}", 12 + 1000 * index));
}

/// ATTACK-5, CVE-2016-5696, 5961-4: a hundred challenges provoked at one connection are not felt at another.
#[test]
fn challenges_are_no_side_channel() {
    let mut w = Wire::connected();
    let (victim, own) = (w.ports, Ports(40_001, SERVER));
    w.ports = own;
    w.connect();
    w.sees("S 0:0(0)");
    w.peer("S. 0:0(0) ack 1 <mss 1000>");
    w.sees(". 1:1(0) ack 1");
    let provoke = |w: &mut Wire, ports: Ports| {
        w.ports = ports;
        for _ in 0..100 {
            w.peer("R 5:5(0)");
        }
        core::iter::from_fn(|| w.next()).filter(|(of, _)| *of == own).count()
    };
    let mut felt = [0, 0];
    for trial in 0..500 {
        w.elapse(secs(1));
        if trial % 2 == 1 {
            provoke(&mut w, victim);
        }
        felt[trial % 2] += provoke(&mut w, own);
    }
    assert_eq!(felt, [250, 250]);
    figure("ATTACK-5", "difference 0 in 500 trials");
}

/// ATTACK-8, 5927-1, 5927-2: 10,000 ICMP errors with guessed numbers, hard ones and tiny MTUs, in a second.
#[test]
fn ten_thousand_forged_icmp_errors() {
    for config in [config(), config_v6()] {
        let mut w = Wire::connected_to(config, "win 65535 <mss 1460>");
        let (before, offset) = (w.info().pmtu, if w.ours.is_ipv4() { 20 } else { 40 });
        let mut quoted = w.packet_of_ours();
        let mut dice = Dice(3);
        let kinds: &[(u8, u8, [u8; 4])] = if w.ours.is_ipv4() {
            &[(3, 2, [0; 4]), (3, 3, [0; 4]), (3, 4, [0, 0, 0, 68]), (3, 1, [0; 4])]
        } else {
            &[(1, 4, [0; 4]), (2, 0, [0, 0, 5, 0]), (4, 1, [0; 4]), (1, 0, [0; 4])]
        };
        for index in 0..10_000 {
            let seq = (dice.roll() as u32).to_be_bytes();
            quoted[offset + 4..offset + 8].copy_from_slice(&seq);
            let (kind, code, rest) = kinds[index % 4];
            w.inject(&icmp_packet(w.ours, kind, code, rest, &quoted[..offset + 8]));
        }
        assert_eq!((w.state(), w.info().pmtu), (State::Established, before));
        assert_eq!(w.take_error(), None);
        assert_eq!(w.drops(DropReason::OutOfWindow), 10_000);
        figure("ATTACK-8", "0 of 10,000 believed in either family");
    }
}

impl Wire {
    /// A segment of ours in flight.
    fn packet_of_ours(&mut self) -> Vec<u8> {
        self.write(10);
        self.next_packet().expect("text")
    }
}
