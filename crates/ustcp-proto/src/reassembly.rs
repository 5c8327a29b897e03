//! Fragments become packets again: RFC 791 §3.2, RFC 8200 §4.5, within bounds that no sender can move.

use std::collections::{BTreeMap, BTreeSet};

use core::net::IpAddr;
use core::time::Duration;

use ustcp_wire::{Ecn, Fragment, IpPacket, rejoin};

use crate::Instant;

/// Most memory for all fragments held, overhead among it.
const POOL: usize = 4 << 20;

/// Most of it for the fragments of one source.
const SHARE: usize = POOL / 4;

/// Most fragments of one datagram.
const MOST_FRAGMENTS: usize = 64;

/// Most bytes of one datagram: what an IP packet can be.
const MOST_BYTES: usize = 65_535;

/// What a datagram costs besides its fragments, and a fragment besides its bytes: an upper bound of what the tables
/// and the allocator take, so that fragments of a few bytes do not hold more than is counted.
const DATAGRAM_OVERHEAD: usize = 512;
const FRAGMENT_OVERHEAD: usize = 128;

/// How long the rest of a datagram may take from its first arrival. RFC 1122 §3.3.2 says 60 to 120 s; Linux and we,
/// 30 s.
const TIMEOUT_V4: Duration = Duration::from_secs(30);
/// RFC 8200 §4.5.
const TIMEOUT_V6: Duration = Duration::from_secs(60);

/// Datagrams of which some fragments have arrived.
///
/// The outcome depends on the order and the times of what came in and on nothing else. When memory runs out the
/// datagrams that came first go first: a source that takes more than a quarter of it loses its own.
#[derive(Debug, Default)]
pub struct Reassembler {
    /// By age.
    datagrams: BTreeMap<Serial, Datagram>,
    by_key: BTreeMap<Key, Serial>,
    deadlines: BTreeSet<(Instant, Serial)>,
    shares: BTreeMap<IpAddr, Share>,
    begun: u64,
    held: usize,
    counts: ReassemblyCounts,
}

/// What became of fragments and datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReassemblyCounts {
    /// Fragments that came in (`ReasmReqds`).
    pub fragments: u64,
    /// Packets put together (`ReasmOKs`).
    pub reassembled: u64,
    /// Fragments that no packet can be made of: empty, past the largest packet, of a length between multiples of 8.
    pub malformed: u64,
    /// Fragments that were there already.
    pub duplicates: u64,
    /// Datagrams refused for fragments that overlap or contradict each other, or are too many.
    pub refused: u64,
    /// Datagrams given up to make room for others.
    pub evicted: u64,
    /// Datagrams given up when their time had passed (`ReasmTimeout`).
    pub timed_out: u64,
}

impl ReassemblyCounts {
    /// Fragments that no packet can be made of, and datagrams that none was made of.
    pub(crate) fn lost(&self) -> u64 {
        self.malformed + self.refused + self.evicted + self.timed_out
    }
}

/// The age of a datagram: less is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Serial(u64);

/// What the fragments of one datagram have in common. The protocol counts in IPv4 (RFC 791 §3.2) and not in IPv6, where
/// that of the first fragment alone says something (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
    protocol: Option<u8>,
}

impl Key {
    fn of(ip: &IpPacket<'_>, fragment: &Fragment) -> Key {
        Key {
            source: ip.header.source,
            destination: ip.header.destination,
            identification: fragment.identification,
            protocol: ip.header.source.is_ipv4().then(|| ip.header.protocol.number()),
        }
    }

    fn timeout(&self) -> Duration {
        match self.source {
            IpAddr::V4(_) => TIMEOUT_V4,
            IpAddr::V6(_) => TIMEOUT_V6,
        }
    }
}

/// What one source has.
#[derive(Debug, Default)]
struct Share {
    held: usize,
    datagrams: BTreeSet<Serial>,
}

impl Reassembler {
    /// Takes in the fragment `packet`, which was parsed as `ip`. Returns the whole packet when this was what it lacked;
    /// a packet that is no fragment is none of its business.
    pub fn add(&mut self, now: Instant, packet: &[u8], ip: &IpPacket<'_>) -> Option<Vec<u8>> {
        let fragment = ip.fragment?;
        self.counts.fragments += 1;
        let Some(piece) = Piece::of(packet, ip, &fragment) else {
            self.counts.malformed += 1;
            return None;
        };
        let key = Key::of(ip, &fragment);
        match self.fit(&key, &piece) {
            Fit::Duplicate => self.counts.duplicates += 1,
            Fit::Refused => {}
            Fit::Contradiction => self.refuse(&key),
            Fit::Fits => return self.take(now, key, piece),
        }
        None
    }

    /// When [`on_timeout`](Reassembler::on_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Gives up the datagrams whose time has passed. Returns the first fragments of those that had theirs: what the
    /// sender is to be told about (RFC 1122 §3.3.2, RFC 8200 §4.5).
    pub fn on_timeout(&mut self, now: Instant) -> Vec<Box<[u8]>> {
        let mut first_fragments = Vec::new();
        while let Some(&(deadline, serial)) = self.deadlines.first()
            && deadline <= now
        {
            let Some(datagram) = self.remove(serial) else { break };
            self.counts.timed_out += u64::from(!datagram.refused);
            first_fragments.extend(datagram.into_first());
        }
        first_fragments
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> ReassemblyCounts {
        self.counts
    }

    /// Bytes held, overhead among them: 4 MiB at most.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    fn fit(&self, key: &Key, piece: &Piece) -> Fit {
        let datagram = self.by_key.get(key).and_then(|serial| self.datagrams.get(serial));
        datagram.map_or(Fit::Fits, |datagram| datagram.fit(piece))
    }

    /// A piece that fits.
    fn take(&mut self, now: Instant, key: Key, piece: Piece) -> Option<Vec<u8>> {
        // Room may be made at this datagram's own cost; then the piece begins it anew.
        self.make_room(&key.source, piece.cost() + DATAGRAM_OVERHEAD);
        let serial = match self.by_key.get(&key) {
            Some(&serial) => serial,
            None => self.begin(now, key),
        };
        self.charge(serial, piece.cost());
        let datagram = self.datagrams.get_mut(&serial)?;
        datagram.insert(piece);
        if !datagram.is_complete() {
            return None;
        }
        let whole = self.remove(serial)?.join();
        match whole {
            Some(_) => self.counts.reassembled += 1,
            None => self.counts.refused += 1,
        }
        whole
    }

    fn begin(&mut self, now: Instant, key: Key) -> Serial {
        self.begun += 1;
        let serial = Serial(self.begun);
        let datagram = Datagram::new(key, now + key.timeout());
        self.deadlines.insert((datagram.deadline, serial));
        self.by_key.insert(key, serial);
        self.shares.entry(key.source).or_default().datagrams.insert(serial);
        self.datagrams.insert(serial, datagram);
        self.charge(serial, DATAGRAM_OVERHEAD);
        serial
    }

    /// RFC 5722 §4, in IPv4 as well: all its fragments go, those yet to come among them. So it stays known, without
    /// them, until its time has passed.
    fn refuse(&mut self, key: &Key) {
        let Some(datagram) = self.by_key.get(key).and_then(|serial| self.datagrams.get_mut(serial)) else {
            return;
        };
        let freed = datagram.cost - DATAGRAM_OVERHEAD;
        datagram.refuse();
        self.release(&key.source, freed);
        self.counts.refused += 1;
    }

    /// Lets old datagrams go until `cost` more fits, in the share of `source` and in all.
    fn make_room(&mut self, source: &IpAddr, cost: usize) {
        while let Some(share) = self.shares.get(source)
            && share.held + cost > SHARE
            && let Some(&oldest) = share.datagrams.first()
        {
            self.evict(oldest);
        }
        while self.held + cost > POOL
            && let Some((&oldest, _)) = self.datagrams.first_key_value()
        {
            self.evict(oldest);
        }
    }

    fn evict(&mut self, serial: Serial) {
        if let Some(datagram) = self.remove(serial) {
            self.counts.evicted += u64::from(!datagram.refused);
        }
    }

    fn remove(&mut self, serial: Serial) -> Option<Datagram> {
        let datagram = self.datagrams.remove(&serial)?;
        let key = datagram.key;
        self.by_key.remove(&key);
        self.deadlines.remove(&(datagram.deadline, serial));
        self.release(&key.source, datagram.cost);
        if let Some(share) = self.shares.get_mut(&key.source) {
            share.datagrams.remove(&serial);
            if share.datagrams.is_empty() {
                self.shares.remove(&key.source);
            }
        }
        Some(datagram)
    }

    fn charge(&mut self, serial: Serial, cost: usize) {
        let Some(datagram) = self.datagrams.get_mut(&serial) else {
            return;
        };
        datagram.cost += cost;
        self.held += cost;
        if let Some(share) = self.shares.get_mut(&datagram.key.source) {
            share.held += cost;
        }
    }

    fn release(&mut self, source: &IpAddr, cost: usize) {
        self.held -= cost;
        if let Some(share) = self.shares.get_mut(source) {
            share.held -= cost;
        }
    }
}

/// How a fragment goes with those of its datagram that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Fits,
    /// Byte for byte one that is there.
    Duplicate,
    /// It cannot be part of the same packet, or is one too many.
    Contradiction,
    /// The datagram was refused before.
    Refused,
}

/// The fragments of one datagram that are there.
#[derive(Debug)]
struct Datagram {
    key: Key,
    deadline: Instant,
    /// By offset, apart from each other.
    pieces: Vec<Piece>,
    /// Where the last one ends, once it is there.
    end: Option<usize>,
    /// Bytes of payload in `pieces`.
    payload: usize,
    cost: usize,
    refused: bool,
}

impl Datagram {
    fn new(key: Key, deadline: Instant) -> Datagram {
        Datagram {
            key,
            deadline,
            pieces: Vec::new(),
            end: None,
            payload: 0,
            cost: 0,
            refused: false,
        }
    }

    fn fit(&self, piece: &Piece) -> Fit {
        let at = self.place(piece);
        let before = at.checked_sub(1).and_then(|before| self.pieces.get(before));
        let after = self.pieces.get(at);
        if self.refused {
            Fit::Refused
        } else if after.is_some_and(|held| held.is_the_same(piece)) {
            Fit::Duplicate
        } else if self.pieces.len() == MOST_FRAGMENTS
            || before.is_some_and(|held| held.end() > piece.offset)
            || after.is_some_and(|held| piece.end() > held.offset)
            || !self.ends_with(piece)
        {
            Fit::Contradiction
        } else {
            Fit::Fits
        }
    }

    /// Whether the datagram may end where this piece and those there say: in one place, and nothing behind it.
    fn ends_with(&self, piece: &Piece) -> bool {
        match (self.end, piece.more) {
            (None, true) => true,
            (None, false) => self.pieces.last().is_none_or(|last| last.end() <= piece.offset),
            (Some(end), true) => piece.end() <= end,
            (Some(_), false) => false,
        }
    }

    fn insert(&mut self, piece: Piece) {
        self.payload += piece.payload().len();
        if !piece.more {
            self.end = Some(piece.end());
        }
        self.pieces.insert(self.place(&piece), piece);
    }

    fn place(&self, piece: &Piece) -> usize {
        self.pieces.partition_point(|held| held.offset < piece.offset)
    }

    /// Pieces that are apart and add up to the whole leave no hole.
    fn is_complete(&self) -> bool {
        self.end == Some(self.payload)
    }

    fn refuse(&mut self) {
        self.refused = true;
        self.pieces = Vec::new();
        self.cost = DATAGRAM_OVERHEAD;
    }

    /// The packet, all pieces being there.
    fn join(&self) -> Option<Vec<u8>> {
        let congestion_experienced = self.congestion_experienced()?;
        let payloads: Vec<&[u8]> = self.pieces.iter().map(Piece::payload).collect();
        rejoin(&self.pieces.first()?.bytes, &payloads, congestion_experienced)
    }

    /// RFC 3168 §5.3: whether any piece met congestion. `None` when some pieces are of a transport that knows ECN and
    /// some are not: no sender does that, and the marks are lost.
    fn congestion_experienced(&self) -> Option<bool> {
        let capable = self.pieces.iter().filter(|piece| piece.ecn != Ecn::NotCapable).count();
        let any = self.pieces.iter().any(|piece| piece.ecn == Ecn::Congested);
        (capable == 0 || capable == self.pieces.len()).then_some(any)
    }

    fn into_first(self) -> Option<Box<[u8]>> {
        let first = self.pieces.into_iter().next()?;
        (first.offset == 0).then_some(first.bytes)
    }
}

/// A fragment: the first as it came, of the others only what they carry.
#[derive(Debug)]
struct Piece {
    offset: usize,
    more: bool,
    ecn: Ecn,
    bytes: Box<[u8]>,
    /// Where in `bytes` the payload begins.
    payload_at: usize,
}

impl Piece {
    /// `None` when it can be part of no packet.
    fn of(packet: &[u8], ip: &IpPacket<'_>, fragment: &Fragment) -> Option<Piece> {
        let len = ip.payload.len();
        // RFC 8200 §4.5, and RFC 791 §3.2 by its unit: what more follows ends at a multiple of eight bytes.
        let is_part = len > 0 && (!fragment.more || len.is_multiple_of(8));
        // The "ping of death".
        if !is_part || fragment.offset + len > MOST_BYTES {
            return None;
        }
        let (bytes, payload_at) = match fragment.offset {
            0 => (packet.get(..ip.header_len + len)?, ip.header_len),
            _ => (ip.payload, 0),
        };
        Some(Piece {
            offset: fragment.offset,
            more: fragment.more,
            ecn: Ecn::of(ip.header.traffic_class),
            bytes: bytes.into(),
            payload_at,
        })
    }

    fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload_at..).unwrap_or(&[])
    }

    fn end(&self) -> usize {
        self.offset + self.payload().len()
    }

    fn is_the_same(&self, other: &Piece) -> bool {
        (self.offset, self.more, self.payload()) == (other.offset, other.more, other.payload())
    }

    fn cost(&self) -> usize {
        self.bytes.len() + FRAGMENT_OVERHEAD
    }
}

#[cfg(test)]
mod tests;
