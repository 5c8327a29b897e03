use std::fs;

use ustcp_proto::{Cause, DropReason, Flow, Timer};

use super::*;

const SEGMENT: SegmentSummary = SegmentSummary {
    flags: 0x12,
    seq: 7,
    ack: 8,
    len: 0,
    window: 65_535,
    segment_size: 0,
    timestamps: None,
};

fn events() -> Vec<Event> {
    let flow = Some(Flow {
        local: "10.77.0.2:40000".parse().unwrap(),
        remote: "10.77.0.1:80".parse().unwrap(),
    });
    let kinds = [
        EventKind::Transition {
            from: State::SynSent,
            to: State::Established,
            cause: Cause::PeerSynAck,
        },
        EventKind::Received {
            segment: SEGMENT,
            before: State::SynSent,
            after: State::Established,
        },
        EventKind::Sent {
            segment: SegmentSummary {
                flags: 0x10,
                len: 5000,
                segment_size: 1448,
                timestamps: Some((90, 40)),
                ..SEGMENT
            },
            state: State::Established,
            retransmission: true,
        },
        EventKind::Sent {
            segment: SegmentSummary { flags: 0x02, ..SEGMENT },
            state: State::SynSent,
            retransmission: false,
        },
        EventKind::Expired(Timer::Retransmission),
    ];
    let at = |micros: u64| Instant::from_nanos(5_000_000_000 + micros * 1000);
    let mut events: Vec<Event> = (0..)
        .zip(kinds)
        .map(|(n, kind)| Event {
            at: at(n * 123),
            flow,
            kind,
        })
        .collect();
    events.push(Event {
        at: at(2_000_000),
        flow: None,
        kind: EventKind::Dropped(DropReason::Malformed),
    });
    events
}

#[test]
fn text_is_one_line_an_event_with_seconds_since_the_first() {
    let events = events();
    let mut out = Vec::new();
    for event in &events {
        text(&mut out, events[0].at, event).unwrap();
        out.push(b'\n');
    }
    let expected = "\
0.000000 10.77.0.2:40000 > 10.77.0.1:80 SYN-SENT -> ESTABLISHED (PeerSynAck)
0.000123 10.77.0.2:40000 > 10.77.0.1:80 received SYN,ACK seq 7 ack 8 len 0 win 65535 in SYN-SENT, now ESTABLISHED
0.000246 10.77.0.2:40000 > 10.77.0.1:80 sent again ACK seq 7 ack 8 len 5000 win 65535 ts 90 40 by 1448 in ESTABLISHED
0.000369 10.77.0.2:40000 > 10.77.0.1:80 sent SYN seq 7 len 0 win 65535 in SYN-SENT
0.000492 10.77.0.2:40000 > 10.77.0.1:80 timer Retransmission
2.000000 dropped (Malformed)
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_file_has_one_json_object_a_line_that_reads_back_as_the_event() {
    let path = std::env::temp_dir().join(format!("ustcp-journal-{}", std::process::id()));
    let mut journal = Journal::open(&path).unwrap();
    events().iter().for_each(|event| journal.record(event));
    assert_eq!(fs::read(&path).unwrap(), b"", "kept back until it is due");
    let due = journal.poll_timeout().unwrap();
    assert_eq!(due, events()[0].at + Duration::from_secs(1));
    journal.on_timeout(due);
    let file = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(journal.poll_timeout(), None);
    let read: Vec<Event> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, events());
}

#[test]
fn a_log_that_cannot_be_made_is_no_log() {
    assert!(Journal::open(Path::new("/nowhere/at/all")).is_none());
}
