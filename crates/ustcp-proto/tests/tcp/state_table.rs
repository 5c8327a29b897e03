//! RFC 9293 §3.10 as tables: every event in every state, each cell on a real connection that was driven there.
//!
//! A cell says what goes out and where the state goes: `ack > CLOSE-WAIT`; `-` is neither.

use ustcp_proto::{Shutdown, State};

use crate::wire::*;

/// A connection in a state: the peer's next number, ours, and the lowest of ours that may be acknowledged.
pub(crate) struct Driven {
    pub(crate) w: Wire,
    pub(crate) peers_next: i64,
    pub(crate) ours_next: i64,
    una: i64,
}

pub(crate) const STATES: [&str; 12] = [
    "CLOSED",
    "LISTEN",
    "SYN-SENT",
    "SYN-RECEIVED passive",
    "SYN-RECEIVED active",
    "ESTABLISHED",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "CLOSE-WAIT",
    "CLOSING",
    "LAST-ACK",
    "TIME-WAIT",
];

pub(crate) fn drive(state: &str) -> Driven {
    let (mut w, peers_next, ours_next, una) = match state {
        "CLOSED" => {
            let mut w = Wire::new(config(), WE_CONNECT);
            let id = w.fresh();
            w.use_socket(id);
            (w, 1, 1, 1)
        }
        "LISTEN" => {
            let mut w = Wire::listening(config(), 8);
            let listener = w.listener();
            w.use_socket(listener);
            (w, 1, 1, 1)
        }
        "SYN-SENT" => (Wire::connecting(config()), 0, 1, 0),
        "SYN-RECEIVED passive" => (Wire::half_open(config()), 1, 1, 1),
        "SYN-RECEIVED active" => {
            let mut w = Wire::connecting(config());
            w.peer(&format!("S 0:0(0) {PLAIN}"));
            (w, 1, 1, 1)
        }
        "ESTABLISHED" => (Wire::connected(), 1, 1, 1),
        _ => drive_to_close(state),
    };
    w.drain();
    w.events();
    Driven {
        w,
        peers_next,
        ours_next,
        una,
    }
}

fn drive_to_close(state: &str) -> (Wire, i64, i64, i64) {
    let mut w = Wire::connected();
    let we_close = |w: &mut Wire| {
        w.shutdown(Shutdown::Write);
        w.sees_any();
    };
    let numbers = match state {
        "FIN-WAIT-1" => {
            we_close(&mut w);
            (1, 2, 1)
        }
        "FIN-WAIT-2" => {
            we_close(&mut w);
            w.peer(". 1:1(0) ack 2");
            (1, 2, 2)
        }
        "CLOSE-WAIT" => {
            w.peer("F. 1:1(0) ack 1");
            (2, 1, 1)
        }
        "CLOSING" => {
            we_close(&mut w);
            w.peer("F. 1:1(0) ack 1");
            (2, 2, 1)
        }
        "LAST-ACK" => {
            w.peer("F. 1:1(0) ack 1");
            we_close(&mut w);
            (2, 2, 1)
        }
        "TIME-WAIT" => {
            we_close(&mut w);
            w.peer("F. 1:1(0) ack 2");
            (2, 2, 2)
        }
        other => panic!("{other} is no state"),
    };
    assert_eq!(w.state().to_string(), state);
    (w, numbers.0, numbers.1, numbers.2)
}

impl Wire {
    fn sees_any(&mut self) {
        assert!(self.next().is_some());
    }

    /// What went out since, in a word for each segment, and the state if it changed.
    fn cell(&mut self, result: Option<String>) -> String {
        let sent = self.elapse(ms(40));
        let answers = sent.iter().map(|(_, segment)| {
            let (flags, len) = (segment.flags, segment.len);
            let has = |flag| flags.has(flag);
            use ustcp_wire::Flags;
            match () {
                () if has(Flags::RST) => "rst",
                () if has(Flags::SYN | Flags::ACK) => "syn-ack",
                () if has(Flags::SYN) => "syn",
                () if has(Flags::FIN) => "fin",
                () if len > 0 => "text",
                () => "ack",
            }
            .to_string()
        });
        let mut words: Vec<_> = result.into_iter().chain(answers).collect();
        if let Some((_, _, to)) = self.arrows().last() {
            words.push(format!("> {to}"));
        }
        if words.is_empty() {
            "-".to_string()
        } else {
            words.join(" ")
        }
    }
}

/// Compares a table of text with what `measure` finds for each of its cells; all that differ are told at once.
fn check(table: &str, measure: impl Fn(&str, &str) -> String) {
    let mut lines = table.lines().filter(|line| !line.trim().is_empty());
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_string()).collect::<Vec<_>>();
    let events = cells(lines.next().expect("a heading"));
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in lines {
        let row = cells(line);
        assert_eq!(row.len(), events.len(), "{line}");
        for (event, expected) in events
            .iter()
            .zip(&row)
            .skip(1)
            .filter(|(_, expected)| !expected.is_empty())
        {
            count += 1;
            let seen = measure(&row[0], event);
            if seen != *expected {
                wrong.push(format!("{} in {}: {seen} instead of {expected}", event, row[0]));
            }
        }
    }
    assert!(count > 60, "a table of {count} cells");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// RFC 9293 §3.10.7 with RFC 5961 (SYN and inexact RST are challenged) and RFC 1337 (TIME-WAIT and RST).
/// ACK acknowledges all that we sent, TEXT and FIN nothing new, BAD ACK what we never sent; OLD FIN stands one before
/// RCV.NXT.
const SEGMENTS: &str = "
state                | SYN                    | SYN-ACK             | ACK              | TEXT              | FIN                | FIN-ACK            | OLD FIN | RST      | RST NEAR | RST FAR | BAD ACK
CLOSED               | rst                    | rst                 | rst              | rst               | rst                | rst                | rst     | -        | -        | -       | rst
LISTEN               | syn-ack > SYN-RECEIVED | rst                 | rst              | rst               | rst                | rst                | rst     | -        | -        | -       | rst
SYN-SENT             | syn-ack > SYN-RECEIVED | ack > ESTABLISHED   | -                | rst syn           | rst syn            | -                  | rst syn | > CLOSED | -        | syn     | rst syn
SYN-RECEIVED passive | ack                    | ack                 | > ESTABLISHED    | ack > ESTABLISHED | ack > CLOSE-WAIT   | ack > CLOSE-WAIT   | ack     | > CLOSED | ack      | -       | rst
SYN-RECEIVED active  | ack                    | ack                 | > ESTABLISHED    | ack > ESTABLISHED | ack > CLOSE-WAIT   | ack > CLOSE-WAIT   | ack > ESTABLISHED | > CLOSED | ack      | -       | rst
ESTABLISHED          | ack                    | ack                 | -                | ack               | ack > CLOSE-WAIT   | ack > CLOSE-WAIT   | ack     | > CLOSED | ack      | -       | ack
FIN-WAIT-1           | ack                    | ack                 | > FIN-WAIT-2     | ack               | ack > CLOSING      | ack > TIME-WAIT    | ack     | > CLOSED | ack      | -       | ack
FIN-WAIT-2           | ack                    | ack                 | -                | ack               | ack > TIME-WAIT    | ack > TIME-WAIT    | ack     | > CLOSED | ack      | -       | ack
CLOSE-WAIT           | ack                    | ack                 | -                | -                 | -                  | -                  | ack     | > CLOSED | ack      | -       | ack
CLOSING              | ack                    | ack                 | > TIME-WAIT      | -                 | -                  | > TIME-WAIT        | ack     | > CLOSED | ack      | -       | ack
LAST-ACK             | ack                    | ack                 | > CLOSED         | -                 | -                  | > CLOSED           | ack     | > CLOSED | ack      | -       | ack
TIME-WAIT            | ack                    | ack                 | -                | ack               | ack                | ack                | ack     | -        | -        | -       | -
";

/// FSM-1, FSM-2, FSM-3, FSM-4, FSM-5, FSM-6, FSM-7: segments in every state.
#[test]
fn every_segment_in_every_state() {
    check(SEGMENTS, |state, event| {
        let Driven {
            mut w,
            peers_next: next,
            ours_next: ours,
            una,
        } = drive(state);
        let (near, far, bad) = (next + 1, next + 100_000, ours + 1);
        let in_syn_sent = state == "SYN-SENT";
        w.peer(&match event {
            "SYN" => format!("S {next}:{next}(0) {PLAIN}"),
            "SYN-ACK" => format!("S. {next}:{next}(0) ack {ours} {PLAIN}"),
            "ACK" => format!(". {next}:{next}(0) ack {ours}"),
            "TEXT" => format!("P. {next}:{}(5) ack {una}", next + 5),
            "FIN" => format!("F. {next}:{next}(0) ack {una}"),
            "FIN-ACK" => format!("F. {next}:{next}(0) ack {ours}"),
            "OLD FIN" => format!("F. {}:{}(0) ack {una}", next - 1, next - 1),
            // In SYN-SENT it is the ACK that an RST is known by.
            "RST" if in_syn_sent => format!("R. {next}:{next}(0) ack {ours}"),
            "RST FAR" if in_syn_sent => format!("R. {next}:{next}(0) ack {bad}"),
            "RST" => format!("R {next}:{next}(0)"),
            "RST NEAR" => format!("R {near}:{near}(0)"),
            "RST FAR" => format!("R {far}:{far}(0)"),
            "BAD ACK" => format!(". {next}:{next}(0) ack {bad}"),
            other => panic!("{other} is no event"),
        });
        w.cell(None)
    });
}

/// RFC 9293 §3.10.1 to §3.10.6, in the terms of sockets; STATUS is how the state is known. In SYN-RECEIVED behind a
/// listener nobody has a socket yet.
const CALLS: &str = "
state               | OPEN                      | SEND              | RECEIVE            | CLOSE                  | ABORT             | TIME
CLOSED              | InProgress syn > SYN-SENT | BrokenPipe        | NotConnected       | ok                     | ok                | -
LISTEN              | AlreadyConnected          | BrokenPipe        | NotConnected       |                        | ok                | -
SYN-SENT            | AlreadyInProgress         | WouldBlock        | WouldBlock         | ok > CLOSED            | ok > CLOSED       | CLOSED
SYN-RECEIVED active | AlreadyInProgress         | WouldBlock        | WouldBlock         | ok fin > FIN-WAIT-1    | ok rst > CLOSED   | CLOSED
ESTABLISHED         | ok                        | ok text           | WouldBlock         | ok fin > FIN-WAIT-1    | ok rst > CLOSED   | -
FIN-WAIT-1          | ok                        | BrokenPipe        | WouldBlock         | ok                     | ok rst > CLOSED   | CLOSED
FIN-WAIT-2          | ok                        | BrokenPipe        | WouldBlock         | ok                     | ok rst > CLOSED   | -
CLOSE-WAIT          | ok                        | ok text           | end                | ok fin > LAST-ACK      | ok rst > CLOSED   | -
CLOSING             | ok                        | BrokenPipe        | end                | ok                     | ok > CLOSED       | CLOSED
LAST-ACK            | ok                        | BrokenPipe        | end                | ok                     | ok > CLOSED       | CLOSED
TIME-WAIT           | ok                        | BrokenPipe        | end                | ok                     | ok                | CLOSED
";

/// FSM-5: user calls and time in every state.
#[test]
fn every_call_in_every_state() {
    check(CALLS, |state, event| {
        let mut w = drive(state).w;
        let (now, id) = (w.now, w.id());
        let remote = core::net::SocketAddr::new(PEERS, SERVER);
        let told = |result: Result<(), ustcp_proto::Error>| match result {
            Ok(()) => "ok".to_string(),
            Err(error) => format!("{error:?}"),
        };
        let result = match event {
            "OPEN" => {
                let result = w.stack.connect(now, id, remote);
                if state == "CLOSED" {
                    w.ports = Ports(w.stack.local_address(id).expect("bound").port(), SERVER);
                }
                told(result)
            }
            "SEND" => told(w.try_write(1).map(|_| ())),
            "RECEIVE" => match w.read(1) {
                Ok(0) => "end".to_string(),
                other => told(other.map(|_| ())),
            },
            "CLOSE" => told(w.stack.close(now, id)),
            "ABORT" => told(w.stack.abort(now, id)),
            "TIME" => {
                w.elapse(secs(7000));
                let (after, before) = (w.state(), state.split(' ').next().expect("a name"));
                let changed = after.to_string() != before;
                return if changed { after.to_string() } else { "-".to_string() };
            }
            other => panic!("{other} is no event"),
        };
        w.cell(Some(result))
    });
}

/// The names of the states are the RFC's.
#[test]
fn names() {
    let names: Vec<_> = State::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(
        names.join(" "),
        "LISTEN SYN-SENT SYN-RECEIVED ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSE-WAIT CLOSING LAST-ACK TIME-WAIT CLOSED"
    );
}
