//! The peer's state, inferred from the packets that one end saw.
//!
//! Nobody asks the peer. What it did follows from what it sent, what it acknowledged, and what had to be sent again;
//! all of a conversation is looked at, so a packet is judged by what came of it. The arrows are RFC 9293's Figure 5,
//! walked by [`State::on`].

use std::collections::BTreeMap;

use ustcp_proto::{Cause, State};
use ustcp_wire::{Flags, SeqNum};

use crate::segment::Segment;

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

/// Which way a packet went, seen from our end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Out,
    In,
}

/// A state before and after something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) before: State,
    pub(crate) after: State,
}

impl Step {
    pub(crate) fn stay(state: State) -> Step {
        Step {
            before: state,
            after: state,
        }
    }
}

/// What happened at the peer, in its own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It sent this packet, or took it as soon as it was sent.
    Packet { index: usize, step: Step },
    /// It never acknowledged this packet: that one was lost, or its answer was.
    Lost { index: usize, state: State },
    /// This packet of ours was under way while the peer still sent without having it.
    UnderWay { index: usize, state: State },
    /// That packet reached it now.
    Arrival { index: usize, step: Step },
}

/// What the peer did, packet by packet; `None` when it never said anything.
pub(crate) fn infer(packets: &[(Direction, Segment)]) -> Option<Vec<Moment>> {
    let mut peer = Peer::at_first(packets)?;
    let conversation = Conversation::new(packets);
    let mut under_way: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut moments = Vec::with_capacity(packets.len());
    for (index, (direction, segment)) in packets.iter().enumerate() {
        moments.push(match (direction, conversation.fate(index, segment)) {
            (Direction::In, _) => Moment::Packet {
                index,
                step: peer.step(|peer| peer.sends(segment)),
            },
            (Direction::Out, Fate::Taken) => Moment::Packet {
                index,
                step: peer.step(|peer| peer.takes(segment)),
            },
            (Direction::Out, Fate::Lost) => Moment::Lost {
                index,
                state: peer.state,
            },
            (Direction::Out, Fate::TakenAfter(later)) => {
                under_way.entry(later).or_default().push(index);
                Moment::UnderWay {
                    index,
                    state: peer.state,
                }
            }
        });
        for index in under_way.remove(&index).unwrap_or_default() {
            let Some((_, segment)) = packets.get(index) else {
                continue;
            };
            moments.push(Moment::Arrival {
                index,
                step: peer.step(|peer| peer.takes(segment)),
            });
        }
    }
    Some(moments)
}

/// What became of a packet that we sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    /// Only after the peer had sent the packet of this index.
    TakenAfter(usize),
    Lost,
}

/// What is looked up again and again while packets are judged.
struct Conversation<'a> {
    packets: &'a [(Direction, Segment)],
    /// The peer's SYNs and FINs, repeated ones too: where in the conversation, and where they end.
    controls: Vec<(usize, SeqNum)>,
}

impl<'a> Conversation<'a> {
    fn new(packets: &'a [(Direction, Segment)]) -> Conversation<'a> {
        let is_control =
            |(d, s): &(Direction, Segment)| *d == Direction::In && (s.has(Flags::SYN) || s.has(Flags::FIN));
        let controls = packets.iter().enumerate().filter(|(_, packet)| is_control(packet));
        Conversation {
            packets,
            controls: controls.map(|(index, (_, segment))| (index, segment.end())).collect(),
        }
    }

    fn fate(&self, index: usize, segment: &Segment) -> Fate {
        if segment.occupies() {
            self.fate_of_text(index, segment)
        } else if !segment.has(Flags::RST) && self.was_repeated_to(index, segment) {
            Fate::Lost
        } else {
            Fate::Taken
        }
    }

    /// A peer's acknowledgement number is always its RCV.NXT, so what it sends tells what it had taken by then.
    fn fate_of_text(&self, index: usize, segment: &Segment) -> Fate {
        let mut without_it = None;
        for (later, (direction, other)) in self.packets.iter().enumerate().skip(index + 1) {
            match direction {
                // Simultaneous open: a SYN-ACK is sent from SYN-RECEIVED, so before ours was taken.
                Direction::In if segment.has(SYN_ACK) && other.has(SYN_ACK) => without_it = Some(later),
                Direction::In if other.has(Flags::RST) || other.acknowledges(segment.end()) => {
                    return without_it.map_or(Fate::Taken, Fate::TakenAfter);
                }
                Direction::In => without_it = Some(later),
                Direction::Out if is_repeated_by(segment, other) => return Fate::Lost,
                Direction::Out => {}
            }
        }
        Fate::Lost
    }

    /// An acknowledgement is not acknowledged. But a peer that repeats its SYN or FIN did not get ours.
    fn was_repeated_to(&self, index: usize, segment: &Segment) -> bool {
        self.controls
            .iter()
            .any(|(later, end)| *later > index && segment.acknowledges(*end))
    }
}

/// Whether `later` brings again what `segment` brought. The SYN-ACK of a simultaneous open does not repeat the SYN.
fn is_repeated_by(segment: &Segment, later: &Segment) -> bool {
    let overlap = segment.seq.before(later.end()) && later.seq.before(segment.end());
    overlap && segment.has(SYN_ACK) == later.has(SYN_ACK)
}

/// As much of the peer's connection as its states depend on.
struct Peer {
    state: State,
    /// Its RCV.NXT, once it has our SYN.
    rcv_nxt: Option<SeqNum>,
    /// What it holds beyond that, out of order.
    beyond: Vec<(SeqNum, SeqNum)>,
    /// Where our FIN ends, once it holds that.
    our_fin: Option<SeqNum>,
    /// Where its SYN ends, once sent.
    its_syn: Option<SeqNum>,
    /// Where its FIN ends, once sent.
    its_fin: Option<SeqNum>,
}

impl Peer {
    /// Its state before the first packet, which its first answer tells.
    fn at_first(packets: &[(Direction, Segment)]) -> Option<Peer> {
        let (_, answer) = packets.iter().find(|(direction, _)| *direction == Direction::In)?;
        let (first, opening) = packets.first()?;
        let refuses = answer.has(Flags::RST);
        let opens = answer.has(Flags::SYN) && !answer.has(Flags::ACK);
        let state = match first {
            _ if !opening.has(Flags::SYN) => State::Established, // the beginning was not seen
            Direction::Out if refuses || opens => State::Closed,
            Direction::Out => State::Listen,
            Direction::In => State::Closed,
        };
        Some(Peer {
            state,
            rcv_nxt: None,
            beyond: Vec::new(),
            our_fin: None,
            its_syn: None,
            its_fin: None,
        })
    }

    fn step(&mut self, act: impl FnOnce(&mut Peer)) -> Step {
        let before = self.state;
        act(self);
        Step {
            before,
            after: self.state,
        }
    }

    /// Takes an arrow of Figure 5 where there is one.
    fn on(&mut self, cause: Cause) {
        self.state = self.state.on(cause).unwrap_or(self.state);
    }

    /// A segment of ours arrives there: SYN, ACK, text and FIN in the order of RFC 9293 §3.10.7.
    fn takes(&mut self, segment: &Segment) {
        if segment.has(Flags::RST) {
            return self.on(Cause::PeerReset);
        }
        if segment.has(Flags::SYN) {
            self.on(if segment.has(Flags::ACK) {
                Cause::PeerSynAck
            } else {
                Cause::PeerSyn
            });
        }
        if self.its_syn.is_some_and(|end| segment.acknowledges(end)) {
            self.on(Cause::OurSynAcked);
        }
        if self.its_fin.is_some_and(|end| segment.acknowledges(end)) {
            self.on(Cause::OurFinAcked);
        }
        if segment.has(Flags::FIN) {
            self.our_fin = Some(segment.end());
        }
        self.advance(segment);
        self.take_fin();
    }

    /// It sends a segment: what it acknowledges it has, and FIN or RST tell a call of its user.
    fn sends(&mut self, segment: &Segment) {
        if segment.has(Flags::RST) {
            return self.on(Cause::Aborted);
        }
        if segment.has(Flags::SYN) {
            self.its_syn = Some(segment.seq + 1);
            if !segment.has(Flags::ACK) {
                self.on(Cause::ActiveOpen);
            }
        }
        if let Some((ack, next)) = segment.ack.zip(self.rcv_nxt) {
            self.rcv_nxt = Some(next.max(ack));
            self.take_fin();
        }
        if segment.has(Flags::FIN) && self.its_fin.is_none() {
            self.its_fin = Some(segment.end());
            self.on(Cause::UserClosed);
        }
    }

    /// Moves RCV.NXT over `segment` and what had come before its turn.
    fn advance(&mut self, segment: &Segment) {
        let mut next = *self.rcv_nxt.get_or_insert(segment.seq);
        self.beyond.push((segment.seq, segment.end()));
        while let Some(&(_, end)) = self
            .beyond
            .iter()
            .find(|(start, end)| start.at_or_before(next) && end.after(next))
        {
            next = end;
        }
        self.beyond.retain(|(_, end)| end.after(next));
        self.rcv_nxt = Some(next);
    }

    /// RFC 9293 §3.10.7.4, eighth: a FIN counts once everything before it is there.
    fn take_fin(&mut self) {
        let complete = self
            .our_fin
            .zip(self.rcv_nxt)
            .is_some_and(|(end, next)| next.at_or_after(end));
        if complete {
            self.our_fin = None;
            self.on(Cause::PeerFin);
        }
    }
}

#[cfg(test)]
mod tests;
