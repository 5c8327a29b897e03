//! What a network does to packets.

mod text;

use core::fmt;
use core::time::Duration;

use ustcp_wire::{Checksum, Flags, IpPacket, TcpSegment};

use crate::rng::split_mix;

/// Faults of one direction of a link. Probabilities are 0.0 to 1.0 for each packet, drawn after super-segments are
/// split to MSS.
///
/// Written and read as text: `loss=3%,reorder=1%,duplicate=1%,corrupt=0.1%,mark=1%,delay=10ms,jitter=2ms,rate=100mbit,queue=50,
/// drop=FIN#1,seed=7`, in any order, each at most once (`drop` as often as wanted). `clear` is no fault at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weather {
    /// Lost.
    pub loss: f64,
    /// Held back behind 1 to 64 packets that come later, or for 100 ms.
    pub reorder: f64,
    /// Delivered twice.
    pub duplicate: f64,
    /// One bit flipped, anywhere in the packet.
    pub corrupt: f64,
    /// Marked "congestion experienced" (RFC 3168) where its sender takes part in that.
    pub mark: f64,
    /// Time on the way.
    pub delay: Duration,
    /// Up to so much more, for each packet: later packets may overtake.
    pub jitter: Duration,
    /// Bits a second; `None`: no limit.
    pub rate: Option<u64>,
    /// Packets that may wait for the rate, the one under way included; more are lost. `None`: 1000.
    pub queue: Option<usize>,
    /// Packets that are lost by name.
    pub drops: Vec<ScriptedDrop>,
    /// Seed of every draw.
    pub seed: u64,
}

impl Weather {
    /// This weather for packets that leave: the scripted drops of that direction and of both.
    #[must_use]
    pub fn outgoing(&self) -> Weather {
        self.towards(Direction::Out, self.seed)
    }

    /// This weather for packets that arrive, with draws of its own.
    #[must_use]
    pub fn incoming(&self) -> Weather {
        let mut other = !self.seed;
        self.towards(Direction::In, split_mix(&mut other))
    }

    fn towards(&self, direction: Direction, seed: u64) -> Weather {
        let applies = |drop: &ScriptedDrop| drop.direction.is_none_or(|only| only == direction);
        let drops = self.drops.iter().copied().filter(applies).collect();
        Weather {
            drops,
            seed,
            ..self.clone()
        }
    }
}

/// Which way, seen from the host that the weather was given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Arriving.
    In,
    /// Leaving.
    Out,
}

/// "Lose exactly that one": the `nth` packet of a kind, retransmissions counted like any other. As text `FIN#1`, or
/// `out:FIN#1` and `in:FIN#1` where the weather is put around both directions of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScriptedDrop {
    /// Only in this direction; `None`: the nth of each direction.
    pub direction: Option<Direction>,
    /// Of which kind.
    pub kind: PacketKind,
    /// Which one, counted from 1.
    pub nth: u32,
}

impl fmt::Display for ScriptedDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.direction {
            None => "",
            Some(Direction::In) => "in:",
            Some(Direction::Out) => "out:",
        })?;
        write!(f, "{}#{}", self.kind, self.nth)
    }
}

/// The kinds of packet a script can name. One packet may be of several: a FIN with text is `FIN` and `DATA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// SYN without ACK.
    Syn,
    /// SYN with ACK.
    SynAck,
    /// FIN.
    Fin,
    /// RST.
    Rst,
    /// ACK and nothing else: no text, no SYN, FIN or RST.
    Ack,
    /// Text.
    Data,
}

impl PacketKind {
    /// All of them.
    pub const ALL: [PacketKind; 6] = [
        PacketKind::Syn,
        PacketKind::SynAck,
        PacketKind::Fin,
        PacketKind::Rst,
        PacketKind::Ack,
        PacketKind::Data,
    ];

    /// Whether `segment` is of this kind.
    #[must_use]
    pub fn describes(self, segment: &TcpSegment<'_>) -> bool {
        self.names(segment.header.flags, segment.payload.len())
    }

    /// Whether a segment with these control bits and so many bytes of text is of this kind.
    #[must_use]
    pub fn names(self, flags: Flags, text: usize) -> bool {
        let control = Flags(flags.0 & (Flags::SYN | Flags::FIN | Flags::RST).0);
        match self {
            PacketKind::Syn => flags.has(Flags::SYN) && !flags.has(Flags::ACK),
            PacketKind::SynAck => flags.has(Flags::SYN | Flags::ACK),
            PacketKind::Fin => flags.has(Flags::FIN),
            PacketKind::Rst => flags.has(Flags::RST),
            PacketKind::Ack => flags.has(Flags::ACK) && control == Flags::NONE && text == 0,
            PacketKind::Data => text > 0,
        }
    }
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PacketKind::Syn => "SYN",
            PacketKind::SynAck => "SYN-ACK",
            PacketKind::Fin => "FIN",
            PacketKind::Rst => "RST",
            PacketKind::Ack => "ACK",
            PacketKind::Data => "DATA",
        })
    }
}

/// Scripted drops at work: counts the packets of each kind.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    drops: Vec<(ScriptedDrop, u32)>,
}

impl Script {
    pub(crate) fn new(drops: &[ScriptedDrop]) -> Script {
        Script {
            drops: drops.iter().map(|&drop| (drop, 0)).collect(),
        }
    }

    /// Counts `packet` and says whether it is one that shall be lost.
    pub(crate) fn takes(&mut self, packet: &[u8]) -> bool {
        if self.drops.is_empty() {
            return false;
        }
        let Ok(ip) = IpPacket::parse(packet) else { return false };
        let Ok(segment) = TcpSegment::parse(&ip.header, ip.payload, Checksum::Offloaded) else {
            return false;
        };
        let mut taken = false;
        for (drop, seen) in self.drops.iter_mut().filter(|(drop, _)| drop.kind.describes(&segment)) {
            *seen = seen.saturating_add(1);
            taken |= *seen == drop.nth;
        }
        taken
    }
}
