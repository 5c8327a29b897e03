//! Both ends of a connection told of what they did: their rows become one diagram, and nothing is inferred.

use std::collections::BTreeMap;

use ustcp_proto::{Instant, State};

use super::{Packet, Row, Side, What, arrival};
use crate::inferred::{Direction, Step};
use crate::segment::Segment;

/// Joins the rows of our end with those that [`one_end`](super::one_end()) read at the other.
pub(crate) fn with_known_peer(ours: &[Row], theirs: &[Row]) -> Vec<Row> {
    let merge = Merge {
        reached_them: arrivals(ours, theirs),
        reached_us: arrivals(theirs, ours),
        our_state: ours.first().map_or(State::Closed, |row| row.ours.before),
        their_state: theirs.first().map_or(State::Closed, |row| row.ours.before),
        row_of: BTreeMap::new(),
        rows: Vec::new(),
    };
    merge.run(ours, theirs)
}

/// For each packet that arrived at `to`, by row: the row at `from` that sent it. A packet sent twice and received once
/// was the later one: retransmission waits for longer than any packet is under way here.
fn arrivals(from: &[Row], to: &[Row]) -> BTreeMap<usize, usize> {
    let mut sent_by = BTreeMap::new();
    let mut taken = vec![false; from.len()];
    for (arrived, (at, segment)) in packets(to, Direction::In) {
        let same = |(_, (sent_at, sent)): &(usize, (Instant, Segment))| *sent_at <= at && same_figures(sent, &segment);
        let candidates = packets(from, Direction::Out).filter(same).map(|(index, _)| index);
        if let Some(sent) = candidates.filter(|index| taken.get(*index) == Some(&false)).last() {
            taken.iter_mut().skip(sent).take(1).for_each(|taken| *taken = true);
            sent_by.insert(arrived, sent);
        }
    }
    sent_by
}

fn packets(rows: &[Row], direction: Direction) -> impl Iterator<Item = (usize, (Instant, Segment))> + '_ {
    let of_row = move |(index, row): (usize, &Row)| {
        let packet = row.packet().filter(|packet| packet.direction == direction)?;
        Some((index, (row.at, packet.segment)))
    };
    rows.iter().enumerate().filter_map(of_row)
}

/// The same segment, whatever each end makes of the window field.
fn same_figures(one: &Segment, other: &Segment) -> bool {
    (one.flags, one.seq, one.ack, one.len) == (other.flags, other.seq, other.ack, other.len)
}

struct Merge {
    /// Their rows of arrival to our rows of sending, and the other way round.
    reached_them: BTreeMap<usize, usize>,
    reached_us: BTreeMap<usize, usize>,
    our_state: State,
    their_state: State,
    /// Our rows of sending to rows of the diagram.
    row_of: BTreeMap<usize, usize>,
    rows: Vec<Row>,
}

impl Merge {
    /// In the order of time; at the same moment, what was sent comes before its arrival.
    fn run(mut self, ours: &[Row], theirs: &[Row]) -> Vec<Row> {
        let (mut our_index, mut their_index) = (0, 0);
        loop {
            let (our_row, their_row) = (ours.get(our_index), theirs.get(their_index));
            let waits_for_them = self.reached_us.get(&our_index).is_some_and(|sent| *sent >= their_index);
            let waits_for_us = self
                .reached_them
                .get(&their_index)
                .is_some_and(|sent| *sent >= our_index);
            match (our_row, their_row) {
                (Some(our), Some(their)) if waits_for_us || (!waits_for_them && our.at <= their.at) => {
                    self.take_ours(our_index, our, theirs);
                    our_index += 1;
                }
                (_, Some(their)) => {
                    self.take_theirs(their_index, their);
                    their_index += 1;
                }
                (Some(our), None) => {
                    self.take_ours(our_index, our, theirs);
                    our_index += 1;
                }
                (None, None) => return self.rows,
            }
        }
    }

    fn take_ours(&mut self, index: usize, row: &Row, theirs: &[Row]) {
        self.our_state = row.ours.after;
        let mut row = Row {
            peers: Some(Step::stay(self.their_state)),
            ..row.clone()
        };
        match &mut row.what {
            What::Packet(packet) if packet.direction == Direction::Out => {
                packet.lost = !self.reached_them.values().any(|sent| *sent == index);
                self.row_of.insert(index, self.rows.len());
            }
            What::Packet(packet) => {
                // Who sent it knows best whether it was for the first time.
                let sending = self.reached_us.get(&index).and_then(|sent| theirs.get(*sent));
                packet.again = sending.and_then(Row::packet).map_or(packet.again, |sent| sent.again);
            }
            What::Note { .. } => {}
        }
        self.rows.push(row);
    }

    fn take_theirs(&mut self, index: usize, row: &Row) {
        self.their_state = row.ours.after;
        match &row.what {
            What::Packet(packet) if packet.direction == Direction::In => self.take_arrival(index, row, packet),
            What::Packet(packet) => {
                if !self.reached_us.values().any(|sent| *sent == index) {
                    let packet = Packet {
                        direction: Direction::In,
                        lost: true,
                        ..*packet
                    };
                    self.push_theirs(row, What::Packet(packet));
                }
            }
            What::Note { text, .. } => {
                self.push_theirs(
                    row,
                    What::Note {
                        side: Side::Peers,
                        text: text.clone(),
                    },
                );
            }
        }
    }

    /// Shows an arrival beside its sending, unless the other end did something in between.
    fn take_arrival(&mut self, index: usize, row: &Row, packet: &Packet) {
        let at = self
            .reached_them
            .get(&index)
            .and_then(|sent| self.row_of.get(sent))
            .copied();
        let at_once = at.is_some_and(|at| self.rows.iter().skip(at + 1).all(is_only_our_doing));
        match at.and_then(|at| self.rows.get_mut(at)) {
            Some(sending) if at_once => {
                sending.peers = Some(row.ours);
                let after = at.unwrap_or_default() + 1;
                self.rows
                    .iter_mut()
                    .skip(after)
                    .for_each(|row| row.peers = Some(Step::stay(self.their_state)));
            }
            _ if row.ours.before != row.ours.after => {
                self.rows
                    .push(arrival(row.at, Step::stay(self.our_state), row.ours, &packet.segment));
            }
            _ => {}
        }
    }

    fn push_theirs(&mut self, row: &Row, what: What) {
        self.rows.push(Row {
            at: row.at,
            ours: Step::stay(self.our_state),
            peers: Some(row.ours),
            what,
        });
    }
}

/// Whether the other end had no part in it so far.
fn is_only_our_doing(row: &Row) -> bool {
    let ours = match &row.what {
        What::Packet(packet) => packet.direction == Direction::Out,
        What::Note { side, .. } => *side == Side::Ours,
    };
    ours && row.peers.is_none_or(|step| step.before == step.after)
}
