//! What no packet may do, whatever the weather: rules of RFC 9293 that can be checked from outside, on the wire.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::rc::Rc;

use ustcp_proto::{Checksum, Family};
use ustcp_wire::{Flags, IpPacket, Protocol, SeqNum, TcpHeader, TcpSegment};

use crate::forger::Standing;
use crate::{Hop, HostId, TracedPacket};

/// Sender, then receiver.
type Ends = (SocketAddr, SocketAddr);

/// Watches both ends of every link.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    ways: HashMap<Ends, Way>,
    streams: Vec<(Ends, Rc<[u8]>)>,
    hosts: Vec<Limits>,
    digest: Digest,
    /// Packets that the hosts sent, super-segments counted as what they are split into.
    pub(crate) packets: u64,
}

/// What a host's configuration allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Largest packet in bytes.
    pub(crate) mtu: usize,
    /// Segments that may go before the first acknowledgement.
    pub(crate) initial_window: u32,
}

/// One direction of a connection, as its sender has shown it.
#[derive(Debug)]
struct Way {
    isn: SeqNum,
    /// The furthest it has sent: SND.NXT.
    next: SeqNum,
    fin: Option<SeqNum>,
    /// The furthest it has acknowledged of the other way.
    acked: Option<SeqNum>,
    /// The furthest right edge it has offered.
    offered: Option<SeqNum>,
    /// The furthest right edge that has reached it: SND.UNA + SND.WND at its widest.
    edge: Option<SeqNum>,
    /// The peer has answered to its first text.
    answered: bool,
    mss: u16,
    scale: Option<u8>,
}

impl Judge {
    pub(crate) fn new(hosts: Vec<Limits>) -> Judge {
        Judge {
            hosts,
            ..Judge::default()
        }
    }

    /// What a connection must carry in one direction.
    pub(crate) fn expect_stream(&mut self, from: SocketAddr, to: SocketAddr, bytes: Rc<[u8]>) {
        self.streams.push(((from, to), bytes));
    }

    /// A number that stands for every packet seen so far, with time and place.
    pub(crate) fn digest(&self) -> u64 {
        self.digest.0
    }

    /// What a forger would love to know of the connection between `peer` and `target`, once text flows both ways.
    pub(crate) fn standing(&self, peer: SocketAddr, target: SocketAddr) -> Option<Standing> {
        let from_peer = self.ways.get(&(peer, target)).filter(|way| way.answered)?;
        let from_target = self.ways.get(&(target, peer)).filter(|way| way.answered)?;
        let (peer_next, target_next) = (from_peer.next, from_target.next);
        Some(Standing {
            peer,
            target,
            peer_next,
            target_next,
        })
    }

    /// One more packet.
    pub(crate) fn see(&mut self, packet: &TracedPacket) -> Result<(), String> {
        self.digest.add(packet);
        let verdict = match packet.hop {
            Hop::Sent { segment_size } => self.sent(packet, segment_size),
            Hop::Delivered => {
                self.delivered(&packet.bytes);
                Ok(())
            }
        };
        verdict.map_err(|what| format!("host {} sent {}: {what}", packet.from.index(), packet))
    }

    fn sent(&mut self, packet: &TracedPacket, segment_size: Option<u16>) -> Result<(), String> {
        let ip = IpPacket::parse(&packet.bytes).map_err(|what| format!("IP: {what:?}"))?;
        if ip.header.protocol != Protocol::Tcp {
            self.packets += 1;
            return Ok(());
        }
        // The checksum of a super-segment is that of no packet.
        let checksum = if segment_size.is_none() {
            Checksum::Full
        } else {
            Checksum::Offloaded
        };
        let segment = TcpSegment::parse(&ip.header, ip.payload, checksum).map_err(|what| format!("TCP: {what:?}"))?;
        let header = &segment.header;
        let here = SocketAddr::new(ip.header.source, header.source_port);
        let there = SocketAddr::new(ip.header.destination, header.destination_port);
        let each = segment_size
            .map_or(segment.payload.len(), usize::from)
            .min(segment.payload.len());
        self.packets += segment.payload.len().div_ceil(each.max(1)).max(1) as u64;

        let whole = packet.bytes.len() - segment.payload.len() + each;
        require(
            self.hosts.get(packet.from.index()).is_none_or(|host| whole <= host.mtu),
            || format!("{whole} bytes exceed the MTU"),
        )?;
        if header.flags.has(Flags::RST) {
            return Ok(());
        }
        if header.flags.has(Flags::SYN) {
            self.syn(here, there, header);
        }
        self.check_acknowledgement(here, there, header)?;
        self.check_sequence(here, there, &segment)?;
        let options = ip.payload.len() - segment.payload.len() - 20;
        self.check_size(here, there, each, options)?;
        self.check_first_flight(packet.from, here, there)?;
        self.check_text(here, there, &segment)
    }

    fn syn(&mut self, here: SocketAddr, there: SocketAddr, header: &TcpHeader) {
        let way = self.ways.get(&(here, there));
        if way.is_none_or(|way| way.isn != header.seq) {
            let way = Way {
                isn: header.seq,
                next: header.seq + 1,
                fin: None,
                acked: None,
                offered: None,
                edge: None,
                answered: false,
                mss: header.options.mss.unwrap_or(Family::of(here.ip()).default_mss()),
                scale: header.options.window_scale,
            };
            self.ways.insert((here, there), way);
        }
    }

    /// Acknowledges nothing that was not sent, takes no acknowledgement back, and shrinks no window.
    fn check_acknowledgement(&mut self, here: SocketAddr, there: SocketAddr, header: &TcpHeader) -> Result<(), String> {
        if !header.flags.has(Flags::ACK) {
            return Ok(());
        }
        let ack = header.ack;
        let Some(peer) = self.ways.get(&(there, here)) else {
            return Err("ACK of a way never seen".into());
        };
        require(ack.at_or_before(peer.next), || {
            format!("ACK of {ack}, but the peer sent only up to {}", peer.next)
        })?;
        let peer_scales = peer.scale.is_some();
        // After the FIN there is nothing that a window could be for, and a SYN can not tell a large one.
        let exempt = peer.fin.is_some_and(|fin| ack.after(fin)) || header.flags.has(Flags::SYN);
        let Some(way) = self.ways.get_mut(&(here, there)) else {
            return Err("a segment before any SYN".into());
        };
        let shift = way.shift(header, peer_scales);
        let offered = ack + (usize::from(header.window) << shift);
        let grain = (1 << shift) - 1;
        if let (Some(acked), Some(before)) = (way.acked, way.offered) {
            require(ack.at_or_after(acked), || format!("ACK of {ack} after one of {acked}"))?;
            // RFC 7323 §2.4: the edge may seem to move left by less than one unit of the scale.
            require(exempt || (offered + grain).at_or_after(before), || {
                format!("window's edge {offered} after {before}")
            })?;
        }
        way.acked = Some(ack);
        way.offered = Some(way.offered.map_or(offered, |before| before.max(offered)));
        Ok(())
    }

    /// Leaves no gap, stays inside the window, and ends where its FIN is.
    fn check_sequence(&mut self, here: SocketAddr, there: SocketAddr, segment: &TcpSegment<'_>) -> Result<(), String> {
        let Some(way) = self.ways.get_mut(&(here, there)) else {
            return Err("a segment before any SYN".into());
        };
        let (header, len) = (&segment.header, segment.payload.len());
        let begin = if header.flags.has(Flags::SYN) {
            header.seq + 1
        } else {
            header.seq
        };
        let end = begin + len;
        require(begin.at_or_before(way.next), || {
            format!("begins at {begin}, but only up to {} is sent", way.next)
        })?;
        let with_fin = header.flags.has(Flags::FIN);
        let last = end + usize::from(with_fin);
        if let Some(edge) = way.edge.filter(|_| last != begin) {
            // A zero-window probe may be one byte beyond.
            let probe = usize::from(len == 1);
            require(last.at_or_before(edge + probe), || {
                format!("ends at {last}, beyond the window's edge {edge}")
            })?;
        }
        let beyond = |fin: SeqNum| (len > 0 && end.after(fin)) || (with_fin && end != fin) || end.after(fin + 1);
        require(!way.fin.is_some_and(beyond), || {
            format!("ends at {end}, and the FIN was at {:?}", way.fin)
        })?;
        let mut next = end;
        if with_fin {
            require(end.at_or_after(way.next) || way.fin.is_some(), || {
                format!("FIN at {end}, before {}", way.next)
            })?;
            way.fin = Some(end);
            next += 1;
        }
        way.next = way.next.max(next);
        Ok(())
    }

    /// RFC 6691: options count against the peer's MSS.
    fn check_size(&self, here: SocketAddr, there: SocketAddr, each: usize, options: usize) -> Result<(), String> {
        let Some(peer) = self.ways.get(&(there, here)).filter(|_| each > 0) else {
            return Ok(());
        };
        require(each + options <= usize::from(peer.mss), || {
            format!(
                "{each} bytes and {options} of options exceed the peer's MSS of {}",
                peer.mss
            )
        })
    }

    /// RFC 6928: no more than the initial window before an acknowledgement has come back, and the segment that asks for
    /// it, RFC 8985 §7.3.
    fn check_first_flight(&self, host: HostId, here: SocketAddr, there: SocketAddr) -> Result<(), String> {
        let (Some(way), Some(peer)) = (self.ways.get(&(here, there)), self.ways.get(&(there, here))) else {
            return Ok(());
        };
        let Some(limits) = self.hosts.get(host.index()).filter(|_| !way.answered) else {
            return Ok(());
        };
        let segments = usize::try_from(limits.initial_window).unwrap_or(usize::MAX);
        let mss = usize::from(peer.mss).min(limits.mtu);
        let sent = way.next.distance_from(way.isn + 1);
        require(sent <= (segments.max(2) + 1) * mss + 1, || {
            format!("{sent} bytes in the first flight of {segments} segments")
        })
    }

    /// The text is the program's, at its place, the first time and every time.
    fn check_text(&self, here: SocketAddr, there: SocketAddr, segment: &TcpSegment<'_>) -> Result<(), String> {
        let Some((_, stream)) = self.streams.iter().find(|(way, _)| *way == (here, there)) else {
            return Ok(());
        };
        let Some(way) = self.ways.get(&(here, there)).filter(|_| !segment.payload.is_empty()) else {
            return Ok(());
        };
        let offset = segment.header.seq - (way.isn + 1);
        let expected = usize::try_from(offset)
            .ok()
            .and_then(|at| stream.get(at..at + segment.payload.len()));
        require(expected == Some(segment.payload), || {
            format!("wrong text at byte {offset} of the stream")
        })
    }

    /// What reaches a host widens what it may send.
    fn delivered(&mut self, bytes: &[u8]) {
        let Ok(ip) = IpPacket::parse(bytes) else { return };
        let Ok(segment) = TcpSegment::parse(&ip.header, ip.payload, Checksum::Full) else {
            return;
        };
        let header = &segment.header;
        if !header.flags.has(Flags::ACK) || header.flags.has(Flags::RST) {
            return;
        }
        let sender = SocketAddr::new(ip.header.source, header.source_port);
        let receiver = SocketAddr::new(ip.header.destination, header.destination_port);
        let Some(shift) = self.ways.get(&(sender, receiver)).map(|way| {
            let other = self.ways.get(&(receiver, sender));
            way.shift(header, other.is_some_and(|other| other.scale.is_some()))
        }) else {
            return;
        };
        if let Some(way) = self.ways.get_mut(&(receiver, sender)) {
            let edge = header.ack + (usize::from(header.window) << shift);
            // A duplicate says that something has left the network: RFC 3042 sends on it.
            let says_so = segment.payload.is_empty() || !header.options.sack.is_empty();
            let duplicate = says_so && way.next.after(way.isn + 1);
            way.answered |= duplicate || header.ack.after(way.isn + 1);
            way.edge = Some(way.edge.map_or(edge, |before| before.max(edge)));
        }
    }
}

impl Way {
    /// How far the window of a segment of this way is shifted (RFC 7323 §2.2: never in a SYN, and only when both ask).
    fn shift(&self, header: &TcpHeader, peer_scales: bool) -> u8 {
        let scale = self.scale.filter(|_| peer_scales && !header.flags.has(Flags::SYN));
        scale.unwrap_or(0).min(14)
    }
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// FNV-1a's shape over words of eight bytes: quick, the same everywhere, and not for adversaries.
#[derive(Clone, Copy, Debug, Default)]
struct Digest(u64);

impl Digest {
    fn add(&mut self, packet: &TracedPacket) {
        let hop = match packet.hop {
            Hop::Delivered => u64::MAX,
            Hop::Sent { segment_size } => u64::from(segment_size.unwrap_or(0)),
        };
        self.word(packet.at.as_nanos());
        self.word((packet.from.index() as u64) << 32 | packet.to.index() as u64);
        self.word(hop);
        self.word(packet.bytes.len() as u64);
        for chunk in packet.bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.word(u64::from_le_bytes(word));
        }
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
    }
}
