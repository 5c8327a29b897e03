use core::time::Duration;

use ustcp_proto::{Cause, EventKind, SegmentSummary, State, Timer};
use ustcp_wire::Flags;

use super::*;
use crate::capture::Record;

/// Events as the stack would tell them, by hand: times in microseconds, numbers relative to each SYN.
struct Script {
    events: Vec<Event>,
    flow: Flow,
    now: Instant,
    bases: [u32; 2],
}

const OUR_ISS: u32 = u32::MAX - 40;
const PEERS_ISS: u32 = 90_000;

impl Script {
    fn new() -> Script {
        let flow = Flow {
            local: "10.77.0.2:40312".parse().unwrap(),
            remote: "10.77.0.1:80".parse().unwrap(),
        };
        Script {
            events: Vec::new(),
            flow,
            now: Instant::from_nanos(5_000_000_000),
            bases: [OUR_ISS, PEERS_ISS],
        }
    }

    /// The same conversation at the other end.
    fn other_end() -> Script {
        let Script { events, flow, now, .. } = Script::new();
        let flow = Flow {
            local: flow.remote,
            remote: flow.local,
        };
        Script {
            events,
            flow,
            now,
            bases: [PEERS_ISS, OUR_ISS],
        }
    }

    fn push(&mut self, kind: EventKind) -> &mut Script {
        self.events.push(Event {
            at: self.now,
            flow: Some(self.flow),
            kind,
        });
        self
    }

    fn at(&mut self, micros: u64) -> &mut Script {
        self.now = Instant::from_nanos(5_000_000_000) + Duration::from_micros(micros);
        self
    }

    fn goes(&mut self, from: State, cause: Cause) -> &mut Script {
        let to = from.on(cause).unwrap();
        self.push(EventKind::Transition { from, to, cause })
    }

    fn expires(&mut self, timer: Timer) -> &mut Script {
        self.push(EventKind::Expired(timer))
    }

    fn sends(&mut self, state: State, segment: &str) -> &mut Script {
        let segment = summary(segment, self.bases);
        self.push(EventKind::Sent {
            segment,
            state,
            retransmission: false,
        })
    }

    fn sends_again(&mut self, state: State, segment: &str) -> &mut Script {
        let segment = summary(segment, self.bases);
        self.push(EventKind::Sent {
            segment,
            state,
            retransmission: true,
        })
    }

    fn takes(&mut self, before: State, after: State, segment: &str) -> &mut Script {
        let [ours, peers] = self.bases;
        let segment = summary(segment, [peers, ours]);
        self.push(EventKind::Received { segment, before, after })
    }

    fn rows(&self) -> Vec<Row> {
        one_end(&self.events, self.flow)
    }
}

/// `SYN,ACK 0 +0 ack 1`
fn summary(text: &str, [seq_base, ack_base]: [u32; 2]) -> SegmentSummary {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let number = |index: usize| {
        fields
            .get(index)
            .map_or(0, |field| field.trim_start_matches('+').parse::<u32>().unwrap())
    };
    let flags = fields[0]
        .split(',')
        .map(flag)
        .fold(Flags::NONE, |one, other| one | other);
    let ack = if flags.has(Flags::ACK) {
        number(4).wrapping_add(ack_base)
    } else {
        0
    };
    let window = if fields.contains(&"closed") { 0 } else { 65_535 };
    SegmentSummary {
        flags: flags.0,
        seq: number(1).wrapping_add(seq_base),
        ack,
        len: number(2),
        window,
        segment_size: if fields.contains(&"split") { 1448 } else { 0 },
        timestamps: None,
    }
}

fn flag(name: &str) -> Flags {
    match name {
        "SYN" => Flags::SYN,
        "FIN" => Flags::FIN,
        "RST" => Flags::RST,
        "PSH" => Flags::PSH,
        "ACK" => Flags::ACK,
        _ => panic!("no flag {name}"),
    }
}

fn titles() -> Titles {
    Titles {
        ours: ["our end: ustcp".to_owned(), "10.77.0.2:40312".to_owned()],
        peers: ["the other end: Linux kernel".to_owned(), "10.77.0.1:80".to_owned()],
        peers_state: "state after, inferred from the packets",
        lost: "lost, or its answer was",
    }
}

fn text(rows: &[Row], look: Look) -> String {
    write(&titles(), rows, look)
}

fn expect(actual: &str, golden: &str) {
    assert!(actual == golden, "--- expected\n{golden}\n--- got\n{actual}");
}

fn handshake(script: &mut Script) -> &mut Script {
    use State::*;
    script
        .goes(Closed, Cause::ActiveOpen)
        .at(12)
        .sends(SynSent, "SYN 0 +0")
        .at(55)
        .goes(SynSent, Cause::PeerSynAck)
        .takes(SynSent, Established, "SYN,ACK 0 +0 ack 1")
        .at(61)
        .sends(Established, "ACK 1 +0 ack 1")
}

fn a_page() -> Script {
    use State::*;
    let mut script = Script::new();
    handshake(&mut script)
        .at(90)
        .sends(Established, "PSH,ACK 1 +38 ack 1")
        .at(131)
        .takes(Established, Established, "ACK 1 +0 ack 39")
        .at(270)
        .takes(Established, Established, "PSH,ACK 1 +1432 ack 39")
        .at(310)
        .goes(Established, Cause::UserClosed)
        .at(322)
        .sends(FinWait1, "FIN,ACK 39 +0 ack 1433")
        .at(364)
        .goes(FinWait1, Cause::OurFinAcked)
        .takes(FinWait1, FinWait2, "ACK 1433 +0 ack 40")
        .at(402)
        .goes(FinWait2, Cause::PeerFin)
        .takes(FinWait2, TimeWait, "FIN,ACK 1433 +0 ack 40")
        .at(411)
        .sends(TimeWait, "ACK 40 +0 ack 1434")
        .at(2_000_402)
        .expires(Timer::TimeWait)
        .goes(TimeWait, Cause::TwoMslPassed);
    script
}

fn inferred(script: &Script) -> String {
    text(&with_inferred_peer(script.rows()), Look::default())
}

#[test]
fn a_page_from_handshake_to_the_end_of_time_wait() {
    expect(&inferred(&a_page()), include_str!("golden/page.txt"));
}

#[test]
fn ascii_has_the_same_shape() {
    let ascii = text(
        &with_inferred_peer(a_page().rows()),
        Look {
            ascii: true,
            colour: false,
        },
    );
    assert!(ascii.is_ascii());
    expect(&ascii, include_str!("golden/page_ascii.txt"));
}

#[test]
fn colour_adds_escape_sequences_and_nothing_else() {
    let coloured = text(
        &with_inferred_peer(lossy().rows()),
        Look {
            ascii: false,
            colour: true,
        },
    );
    let mut plain = String::new();
    let mut parts = coloured.split("\x1b[");
    plain.push_str(parts.next().unwrap());
    for part in parts {
        plain.push_str(part.split_once('m').unwrap().1);
    }
    let plain: String = plain.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    assert_eq!(plain, inferred(&lossy()));
    assert!(coloured.len() > plain.len() + 200);
}

#[test]
fn every_line_fits_in_a_hundred_columns() {
    for script in [a_page(), lossy(), refused(), reset()] {
        for line in inferred(&script).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

/// The SYN, the FIN and our last ACK are lost.
fn lossy() -> Script {
    use State::*;
    let mut script = Script::new();
    script
        .goes(Closed, Cause::ActiveOpen)
        .at(10)
        .sends(SynSent, "SYN 0 +0")
        .at(1_000_010)
        .expires(Timer::Retransmission)
        .at(1_000_020)
        .sends_again(SynSent, "SYN 0 +0")
        .at(1_000_060)
        .goes(SynSent, Cause::PeerSynAck)
        .takes(SynSent, Established, "SYN,ACK 0 +0 ack 1")
        .sends(Established, "ACK 1 +0 ack 1")
        .at(1_000_100)
        .goes(Established, Cause::UserClosed)
        .at(1_000_110)
        .sends(FinWait1, "FIN,ACK 1 +0 ack 1")
        .at(1_200_110)
        .expires(Timer::Retransmission)
        .sends_again(FinWait1, "FIN,ACK 1 +0 ack 1")
        .at(1_200_150)
        .goes(FinWait1, Cause::OurFinAcked)
        .goes(FinWait2, Cause::PeerFin)
        .takes(FinWait1, TimeWait, "FIN,ACK 1 +0 ack 2")
        .at(1_200_160)
        .sends(TimeWait, "ACK 2 +0 ack 2")
        .at(1_400_150)
        .takes(TimeWait, TimeWait, "FIN,ACK 1 +0 ack 2")
        .at(1_400_160)
        .sends(TimeWait, "ACK 2 +0 ack 2")
        .at(3_400_150)
        .expires(Timer::TimeWait)
        .goes(TimeWait, Cause::TwoMslPassed);
    script
}

#[test]
fn lost_packets_are_marked_and_move_nobody() {
    expect(&inferred(&lossy()), include_str!("golden/lossy.txt"));
}

fn refused() -> Script {
    use State::*;
    let mut script = Script::new();
    script
        .goes(Closed, Cause::ActiveOpen)
        .at(10)
        .sends(SynSent, "SYN 0 +0")
        .at(40)
        .goes(SynSent, Cause::PeerReset)
        .push(EventKind::Received {
            segment: SegmentSummary {
                seq: 0,
                ..summary("RST,ACK 0 +0 ack 1", [PEERS_ISS, OUR_ISS])
            },
            before: SynSent,
            after: Closed,
        });
    script
}

#[test]
fn a_refusal() {
    expect(&inferred(&refused()), include_str!("golden/refused.txt"));
}

fn reset() -> Script {
    use State::*;
    let mut script = Script::new();
    handshake(&mut script)
        .at(100)
        .takes(Established, Established, "PSH,ACK 1 +5 ack 1")
        .at(140)
        .sends(Established, "ACK 1 +0 ack 6 closed")
        .at(145)
        .sends(Established, "PSH,ACK 1 +3000 ack 6 split")
        .at(150)
        .push(EventKind::Dropped(ustcp_proto::DropReason::OutOfWindow))
        .at(200)
        .goes(Established, Cause::Aborted)
        .at(210)
        .sends(Closed, "RST,ACK 3001 +0 ack 6");
    script
}

#[test]
fn an_abort_a_drop_and_a_closed_window() {
    expect(&inferred(&reset()), include_str!("golden/reset.txt"));
}

fn simultaneous_close() -> Script {
    use State::*;
    let mut script = Script::new();
    handshake(&mut script)
        .at(10_000)
        .goes(Established, Cause::UserClosed)
        .at(10_010)
        .sends(FinWait1, "FIN,ACK 1 +0 ack 1")
        .at(10_030)
        .goes(FinWait1, Cause::PeerFin)
        .takes(FinWait1, Closing, "FIN,ACK 1 +0 ack 1")
        .at(10_040)
        .sends(Closing, "ACK 2 +0 ack 2")
        .at(10_060)
        .goes(Closing, Cause::OurFinAcked)
        .takes(Closing, TimeWait, "ACK 2 +0 ack 2");
    script
}

#[test]
fn a_simultaneous_close_shows_where_the_fins_cross() {
    expect(
        &inferred(&simultaneous_close()),
        include_str!("golden/simultaneous.txt"),
    );
}

#[test]
fn both_ends_known() {
    use State::*;
    let mut peer = Script::other_end();
    peer.at(32)
        .goes(Listen, Cause::PeerSyn)
        .takes(Listen, SynReceived, "SYN 0 +0")
        .sends(SynReceived, "SYN,ACK 0 +0 ack 1")
        .at(81)
        .goes(SynReceived, Cause::OurSynAcked)
        .takes(SynReceived, Established, "ACK 1 +0 ack 1")
        .at(10_015)
        .goes(Established, Cause::UserClosed)
        .at(10_017)
        .sends(FinWait1, "FIN,ACK 1 +0 ack 1")
        .at(10_029)
        .goes(FinWait1, Cause::PeerFin)
        .takes(FinWait1, Closing, "FIN,ACK 1 +0 ack 1")
        .at(10_030)
        .sends(Closing, "ACK 2 +0 ack 2")
        .at(10_055)
        .goes(Closing, Cause::OurFinAcked)
        .takes(Closing, TimeWait, "ACK 2 +0 ack 2")
        .at(2_010_055)
        .expires(Timer::TimeWait)
        .goes(TimeWait, Cause::TwoMslPassed);
    let rows = with_known_peer(&simultaneous_close().rows(), &peer.rows());
    let titles = Titles {
        peers_state: "state after",
        ..titles()
    };
    expect(
        &write(&titles, &rows, Look::default()),
        include_str!("golden/both_ends.txt"),
    );
}

#[test]
fn a_timer_takes_the_transition_of_its_own_moment_only() {
    use State::*;
    let mut script = Script::new();
    script
        .expires(Timer::Keepalive)
        .at(10)
        .goes(Established, Cause::UserClosed)
        .at(20)
        .expires(Timer::Retransmission)
        .goes(FinWait1, Cause::Aborted);
    let notes: Vec<String> = script.rows().iter().map(|row| format!("{:?}", row.what)).collect();
    let note = |text: &str| {
        format!(
            "{:?}",
            What::Note {
                side: Side::Ours,
                text: text.to_owned().into()
            }
        )
    };
    let expected = [
        "keepalive timer",
        "close() or shutdown()",
        "retransmission timer: given up",
    ];
    assert_eq!(notes, expected.map(note));
}

#[test]
fn no_events_make_no_diagram() {
    assert_eq!(inferred(&Script::new()), "");
}

#[test]
fn a_peer_that_never_answers_has_no_state_and_took_nothing() {
    let mut script = Script::new();
    script
        .goes(State::Closed, Cause::ActiveOpen)
        .sends(State::SynSent, "SYN 0 +0");
    let rows = with_inferred_peer(script.rows());
    assert!(rows.iter().filter_map(Row::packet).all(|packet| packet.lost));
    assert!(
        inferred(&script)
            .lines()
            .any(|line| line.contains("SYN") && line.ends_with("╌✗│ ?"))
    );
}

#[test]
fn connections_are_found_in_the_order_of_their_beginning() {
    let script = a_page();
    let mut second = script.events[0];
    second.flow = Some(Flow {
        local: "10.77.0.2:40313".parse().unwrap(),
        ..script.flow
    });
    let mut listener = second;
    listener.flow = Some(Flow {
        remote: "0.0.0.0:0".parse().unwrap(),
        ..script.flow
    });
    let events = [&[listener], &script.events[..], &[second]].concat();
    assert_eq!(flows(&events), [script.flow, second.flow.unwrap()]);
}

/// A conversation as our end saw it in weather that takes the peer's first FIN, and a capture of it on the device.
fn a_fin_that_does_not_come() -> (Script, Vec<Record>) {
    use State::*;
    let mut script = Script::new();
    handshake(&mut script)
        .at(100)
        .goes(Established, Cause::UserClosed)
        .sends(FinWait1, "FIN,ACK 1 +0 ack 1")
        .at(200)
        .goes(FinWait1, Cause::OurFinAcked)
        .takes(FinWait1, FinWait2, "ACK 1 +0 ack 2")
        .at(250_400)
        .goes(FinWait2, Cause::PeerFin)
        .takes(FinWait2, TimeWait, "FIN,ACK 1 +0 ack 2")
        .sends(TimeWait, "ACK 2 +0 ack 2")
        .at(2_250_400)
        .expires(Timer::TimeWait)
        .goes(TimeWait, Cause::TwoMslPassed);
    let (ours, peers) = ([OUR_ISS, PEERS_ISS], [PEERS_ISS, OUR_ISS]);
    let record = |micros: u64, direction, bases, segment: &str| Record {
        time: 1_800_000_000_000_000_000 + micros * 1000,
        direction,
        flow: script.flow,
        segment: summary(segment, bases).into(),
    };
    let records = vec![
        record(12, Direction::Out, ours, "SYN 0 +0"),
        record(55, Direction::In, peers, "SYN,ACK 0 +0 ack 1"),
        record(61, Direction::Out, ours, "ACK 1 +0 ack 1"),
        record(100, Direction::Out, ours, "FIN,ACK 1 +0 ack 1"),
        record(200, Direction::In, peers, "ACK 1 +0 ack 2"),
        record(40_200, Direction::In, peers, "FIN,ACK 1 +0 ack 2"),
        record(250_400, Direction::In, peers, "FIN,ACK 1 +0 ack 2"),
        record(250_400, Direction::Out, ours, "ACK 2 +0 ack 2"),
        record(2_300_000, Direction::In, peers, "FIN,ACK 1 +0 ack 2"),
    ];
    (script, records)
}

#[test]
fn what_the_weather_kept_from_us_is_drawn_from_the_capture() {
    let (script, records) = a_fin_that_does_not_come();
    let rows = with_inbound_losses(&script.rows(), &records, Duration::ZERO).unwrap();
    expect(
        &text(&with_inferred_peer(rows), Look::default()),
        include_str!("golden/lost_on_the_way_to_us.txt"),
    );
}

#[test]
fn weather_that_delays_moves_nothing_in_time() {
    let (script, mut records) = a_fin_that_does_not_come();
    let delay = Duration::from_millis(10);
    let nanos = u64::try_from(delay.as_nanos()).unwrap();
    for record in &mut records {
        match record.direction {
            Direction::Out => record.time += nanos,
            Direction::In => record.time -= nanos,
        }
    }
    let rows = with_inbound_losses(&script.rows(), &records, delay).unwrap();
    let lost: Vec<&Row> = rows.iter().filter(|row| row.packet().is_some_and(|p| p.lost)).collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(
        lost[0].at,
        Instant::from_nanos(5_030_200_000),
        "when the device gave it"
    );
}

#[test]
fn a_capture_that_tells_nothing_adds_nothing() {
    let (script, records) = a_fin_that_does_not_come();
    assert_eq!(with_inbound_losses(&script.rows(), &[], Duration::ZERO), None);
    let complete: Vec<Record> = [&records[..5], &records[6..8]].concat();
    let rows = with_inbound_losses(&script.rows(), &complete, Duration::ZERO).unwrap();
    assert_eq!(rows, script.rows());
}

/// A download of `count` full segments, each acknowledged at once; one of them is sent again.
fn a_download(count: u64) -> Script {
    use State::*;
    let mut script = Script::new();
    handshake(&mut script);
    for n in 0..count {
        let (from, to) = (1 + n * 1000, 1001 + n * 1000);
        script
            .at(1000 + n * 100)
            .takes(Established, Established, &format!("ACK {from} +1000 ack 1"))
            .at(1010 + n * 100);
        let ack = format!("ACK 1 +0 ack {to}");
        match n {
            150 => script.sends_again(Established, &ack),
            _ => script.sends(Established, &ack),
        };
    }
    let end = 1 + count * 1000;
    script
        .at(2000 + count * 100)
        .goes(Established, Cause::PeerFin)
        .takes(Established, CloseWait, &format!("FIN,ACK {end} +0 ack 1"))
        .sends(CloseWait, &format!("ACK 1 +0 ack {}", end + 1))
        .goes(CloseWait, Cause::UserClosed)
        .sends(LastAck, &format!("FIN,ACK 1 +0 ack {}", end + 1))
        .at(2100 + count * 100)
        .goes(LastAck, Cause::OurFinAcked)
        .takes(LastAck, Closed, &format!("ACK {} +0 ack 2", end + 1));
    script
}

#[test]
fn a_long_transfer_is_folded_in_its_middle_and_nowhere_else() {
    let whole = inferred(&a_download(100));
    assert!(!whole.contains("left out"), "200 rows of data are drawn:\n{whole}");
    let drawn = inferred(&a_download(300));
    let lines: Vec<&str> = drawn.lines().collect();
    let fold = lines.iter().position(|line| line.contains("left out")).unwrap();
    let packets = 2 * 300 - 200;
    assert!(
        lines[fold].contains(&format!(" {packets} packets with 200000 bytes left out")),
        "{}",
        lines[fold]
    );
    assert!(lines[fold + 1].contains("1 of them sent again, 0 lost"));
    assert!(
        drawn.contains("↻ sent again"),
        "the legend still says what the mark means"
    );
    for always in [
        "│ connect()",
        "── SYN ",
        "◀─ SYN,ACK",
        "◀─ FIN,ACK",
        "── FIN,ACK",
        "→ CLOSED",
    ] {
        assert!(drawn.contains(always), "{always} in\n{drawn}");
    }
    let shown = lines.iter().filter(|line| line.contains(" seq ")).count();
    assert_eq!(
        shown + packets,
        a_download(300).rows().iter().filter_map(Row::packet).count()
    );
}
