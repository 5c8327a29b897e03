//! The events of one end of one connection as rows: a packet takes the transitions it caused, the rest are notes.

use std::borrow::Cow;

use ustcp_proto::{Cause, DropReason, Event, EventKind, Flow, Instant, State, Timer};
use ustcp_wire::SeqNum;

use super::{Packet, Row, Side, What};
use crate::inferred::{Direction, Step};
use crate::segment::Segment;

/// The rows of `flow`; the other end's states are left open.
pub(crate) fn one_end(events: &[Event], flow: Flow) -> Vec<Row> {
    let mut reader = Reader {
        rows: Vec::new(),
        state: State::Closed,
        waiting: Vec::new(),
        expired: None,
        dropped: None,
        received: None,
    };
    for event in events.iter().filter(|event| event.flow == Some(flow)) {
        reader.read(event.at, event.kind);
    }
    reader.flush();
    reader.rows
}

/// A transition whose reason is not known yet: the packet that caused it is told of after it.
#[derive(Clone, Copy)]
struct Transition {
    at: Instant,
    step: Step,
    cause: Cause,
}

struct Reader {
    rows: Vec<Row>,
    state: State,
    waiting: Vec<Transition>,
    /// A timer that went off: what it did is told of after it.
    expired: Option<(Instant, Timer)>,
    /// Why the packet that is told of next, or no packet, was dropped.
    dropped: Option<(Instant, DropReason)>,
    /// Where what arrived so far ends.
    received: Option<SeqNum>,
}

impl Reader {
    fn read(&mut self, at: Instant, kind: EventKind) {
        match kind {
            EventKind::Transition { from, to, cause } => {
                if self.holds_something_before(at) {
                    self.flush();
                }
                self.waiting.push(Transition {
                    at,
                    step: Step {
                        before: from,
                        after: to,
                    },
                    cause,
                });
            }
            EventKind::Received { segment, before, after } => self.received(at, segment.into(), Step { before, after }),
            EventKind::Sent {
                segment,
                state,
                retransmission: again,
            } => {
                self.flush();
                let direction = Direction::Out;
                let packet = Packet {
                    direction,
                    segment: segment.into(),
                    again,
                    lost: false,
                };
                self.push(at, Step::stay(state), What::Packet(packet));
            }
            EventKind::Expired(timer) => {
                self.flush();
                self.expired = Some((at, timer));
            }
            EventKind::Dropped(reason) => {
                self.flush();
                self.dropped = Some((at, reason));
            }
        }
    }

    fn received(&mut self, at: Instant, segment: Segment, step: Step) {
        let dropped = self.dropped.take_if(|(when, _)| *when == at);
        self.take_transitions_of(step);
        self.flush();
        let again = super::has_come_before(&mut self.received, &segment);
        self.push(
            at,
            step,
            What::Packet(Packet {
                direction: Direction::In,
                segment,
                again,
                lost: false,
            }),
        );
        self.dropped = dropped;
        self.flush();
    }

    /// Whether a timer or a drop waits that has nothing to do with what happens at `at`.
    fn holds_something_before(&self, at: Instant) -> bool {
        let expired = self.expired.map(|(when, _)| when);
        let dropped = self.dropped.map(|(when, _)| when);
        expired.into_iter().chain(dropped).any(|when| when != at)
    }

    /// Forgets the last transitions where they lead along `step`: the packet's row shows them.
    fn take_transitions_of(&mut self, step: Step) {
        let mut state = step.after;
        while state != step.before {
            match self.waiting.last() {
                Some(last) if last.step.after == state => state = last.step.before,
                _ => break,
            }
            self.waiting.pop();
        }
    }

    /// What still waits was caused by no packet: a call or a timer.
    fn flush(&mut self) {
        for Transition { at, step, cause } in std::mem::take(&mut self.waiting) {
            let text = match self.expired.take_if(|(when, _)| *when == at) {
                Some((_, timer)) => Cow::Owned(format!("{}: {}", timer_text(timer), outcome_text(cause))),
                None => Cow::Borrowed(call_text(cause)),
            };
            self.note(at, step, text);
        }
        if let Some((at, timer)) = self.expired.take() {
            self.note(at, Step::stay(self.state), Cow::Borrowed(timer_text(timer)));
        }
        if let Some((at, reason)) = self.dropped.take() {
            let text = format!("dropped: {}", drop_text(reason));
            self.note(at, Step::stay(self.state), Cow::Owned(text));
        }
    }

    fn note(&mut self, at: Instant, step: Step, text: Cow<'static, str>) {
        self.push(at, step, What::Note { side: Side::Ours, text });
    }

    fn push(&mut self, at: Instant, ours: Step, what: What) {
        self.state = ours.after;
        self.rows.push(Row {
            at,
            ours,
            peers: None,
            what,
        });
    }
}

fn call_text(cause: Cause) -> &'static str {
    match cause {
        Cause::PassiveOpen => "listen()",
        Cause::ActiveOpen => "connect()",
        Cause::UserClosed => "close() or shutdown()",
        Cause::Aborted => "aborted",
        Cause::TwoMslPassed => "2 MSL timer: port and buffers are free",
        Cause::PeerSyn => "SYN arrived",
        Cause::PeerSynAck => "SYN,ACK arrived",
        Cause::OurSynAcked => "our SYN is acknowledged",
        Cause::PeerFin => "FIN arrived",
        Cause::OurFinAcked => "our FIN is acknowledged",
        Cause::PeerReset => "RST arrived",
    }
}

/// What a timer came to.
fn outcome_text(cause: Cause) -> &'static str {
    match cause {
        Cause::TwoMslPassed => "port and buffers are free",
        Cause::Aborted => "given up",
        other => call_text(other),
    }
}

fn timer_text(timer: Timer) -> &'static str {
    match timer {
        Timer::Retransmission => "retransmission timer",
        Timer::Reordering => "reordering timer",
        Timer::LossProbe => "loss probe timer",
        Timer::Persist => "zero-window probe timer",
        Timer::DelayedAck => "delayed-ACK timer",
        Timer::Keepalive => "keepalive timer",
        Timer::TimeWait => "2 MSL timer",
        Timer::FinWait2 => "FIN-WAIT-2 timer",
        Timer::Reassembly => "reassembly timer",
        Timer::Pacing => "pacing timer",
        Timer::Reclaim => "memory timer",
    }
}

fn drop_text(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Malformed => "malformed",
        DropReason::Checksum => "wrong checksum",
        DropReason::Martian => "impossible address",
        DropReason::NotOurs => "not to us",
        DropReason::Fragment => "a fragment",
        DropReason::Protocol => "unknown protocol",
        DropReason::NoSocket => "no socket",
        DropReason::Backlog => "backlog full",
        DropReason::OutOfWindow => "outside the window",
        DropReason::BadAck => "impossible ACK",
        DropReason::OldTimestamp => "old timestamp",
        DropReason::State => "no use in this state",
        DropReason::Reassembly => "too many holes",
        DropReason::Limit => "over a limit",
    }
}
