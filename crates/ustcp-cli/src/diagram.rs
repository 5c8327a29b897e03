//! One connection as a sequence diagram of two ends: events in, rows between, text out.
//!
//! [`one_end()`] reads the events of one end. The other end's states are then either [inferred](with_inferred_peer) from
//! the packets, or [known](with_known_peer) because that end has events too. [`text`] writes the rows down.

mod both_ends;
mod fold;
mod form;
mod look;
mod losses;
mod one_end;
mod text;

use std::borrow::Cow;

use ustcp_proto::{Event, Flow, Instant};
use ustcp_wire::SeqNum;

use crate::inferred::{Direction, Moment, Step, infer};
use crate::segment::Segment;

pub(crate) use both_ends::with_known_peer;
pub(crate) use look::{Colour, Look};
pub(crate) use losses::with_inbound_losses;
pub(crate) use one_end::one_end;
pub(crate) use text::{Titles, write};

/// One line of the diagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) at: Instant,
    /// Our end's state before and after.
    pub(crate) ours: Step,
    /// The other end's; `None` where nothing tells it.
    pub(crate) peers: Option<Step>,
    pub(crate) what: What,
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Packet(Packet),
    /// A call, a timer or a drop, at the end it belongs to.
    Note {
        side: Side,
        text: Cow<'static, str>,
    },
}

/// A packet and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) direction: Direction,
    pub(crate) segment: Segment,
    /// It had been sent before.
    pub(crate) again: bool,
    /// It did not come through, or as far as anybody can tell it did not.
    pub(crate) lost: bool,
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Peers,
}

impl Row {
    pub(crate) fn packet(&self) -> Option<&Packet> {
        match &self.what {
            What::Packet(packet) => Some(packet),
            What::Note { .. } => None,
        }
    }
}

/// Whether `segment` brings nothing new to one who knows the peer's numbers up to `known`, and moves that on.
fn has_come_before(known: &mut Option<SeqNum>, segment: &Segment) -> bool {
    let end = segment.end();
    let before = *known.get_or_insert(segment.seq);
    *known = Some(before.max(end));
    segment.occupies() && end.at_or_before(before)
}

/// The connections that events tell of, in the order in which they appear. What listeners do is not among them.
pub(crate) fn flows(events: &[Event]) -> Vec<Flow> {
    let mut flows = Vec::new();
    for flow in events.iter().filter_map(|event| event.flow) {
        if flow.remote.port() != 0 && !flows.contains(&flow) {
            flows.push(flow);
        }
    }
    flows
}

/// Adds the peer's states as its packets tell them.
pub(crate) fn with_inferred_peer(rows: Vec<Row>) -> Vec<Row> {
    let packets: Vec<(Direction, Segment)> = rows
        .iter()
        .filter_map(Row::packet)
        .map(|packet| (packet.direction, packet.segment))
        .collect();
    let Some(moments) = infer(&packets) else {
        return rows.into_iter().map(unanswered).collect();
    };
    let mut moments = moments.into_iter().peekable();
    let mut state = moments.peek().map(state_before);
    let mut out = Vec::with_capacity(rows.len());
    for mut row in rows {
        row.peers = state.map(Step::stay);
        if let What::Packet(packet) = &mut row.what
            && let Some(moment) = moments.next()
        {
            packet.lost |= matches!(moment, Moment::Lost { .. });
            row.peers = Some(step_of(&moment));
        }
        state = row.peers.map(|step| step.after);
        let (at, ours) = (row.at, Step::stay(row.ours.after));
        out.push(row);
        while let Some(Moment::Arrival { index, step }) =
            moments.next_if(|moment| matches!(moment, Moment::Arrival { .. }))
        {
            if step.before != step.after {
                out.extend(packets.get(index).map(|(_, segment)| arrival(at, ours, step, segment)));
            }
            state = Some(step.after);
        }
    }
    out
}

/// A row beside a peer that never said anything: what we sent was lost, or its answer was.
fn unanswered(mut row: Row) -> Row {
    if let What::Packet(packet) = &mut row.what {
        packet.lost = true;
    }
    row
}

/// The row of a packet that reached the other end only now.
fn arrival(at: Instant, ours: Step, peers: Step, segment: &Segment) -> Row {
    let text = Cow::Owned(format!("our {} arrives", segment.flags));
    Row {
        at,
        ours,
        peers: Some(peers),
        what: What::Note {
            side: Side::Peers,
            text,
        },
    }
}

fn state_before(moment: &Moment) -> ustcp_proto::State {
    step_of(moment).before
}

fn step_of(moment: &Moment) -> Step {
    match moment {
        Moment::Packet { step, .. } | Moment::Arrival { step, .. } => *step,
        Moment::Lost { state, .. } | Moment::UnderWay { state, .. } => Step::stay(*state),
    }
}

#[cfg(test)]
mod tests;
