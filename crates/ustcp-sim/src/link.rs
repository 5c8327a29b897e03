//! One direction of a link: packets in, packets out when their time comes.

use core::mem;
use core::ops::AddAssign;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use ustcp_proto::{Checksum, Instant, Transmit};
use ustcp_wire::{complete_checksum, mark_congestion, segments};

use crate::Rng;
use crate::weather::{Script, Weather};

/// Packets that may wait for the rate when the weather names no number: what Linux's netem has.
const QUEUE: usize = 1000;
/// A packet held back waits for at most so many later ones.
const BEHIND: u64 = 64;
/// And for at most so long, so that the last packet of a conversation is not stuck.
const HOLD: Duration = Duration::from_millis(100);
/// Most bytes on the way at once; more are lost. Bounds memory when a fast sender meets a long delay.
const ON_THE_WAY: usize = 64 << 20;

/// What a link did, in packets (after super-segments are split).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Handed in.
    pub offered: u64,
    /// Handed out, duplicates included.
    pub delivered: u64,
    /// Lost by script.
    pub scripted: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost because the queue was full.
    pub overflowed: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// One bit flipped.
    pub corrupted: u64,
    /// Held back behind later ones.
    pub reordered: u64,
    /// Marked "congestion experienced".
    pub marked: u64,
}

impl AddAssign for LinkCounters {
    fn add_assign(&mut self, other: LinkCounters) {
        self.offered += other.offered;
        self.delivered += other.delivered;
        self.scripted += other.scripted;
        self.lost += other.lost;
        self.overflowed += other.overflowed;
        self.duplicated += other.duplicated;
        self.corrupted += other.corrupted;
        self.reordered += other.reordered;
        self.marked += other.marked;
    }
}

/// One direction of a link under a [`Weather`]. The same packets at the same times come out the same.
#[derive(Debug)]
pub struct Link {
    weather: Weather,
    rng: Rng,
    script: Script,
    line: Line,
    held: Vec<Held>,
    on_the_way: BTreeMap<(Instant, u64), Vec<u8>>,
    bytes: usize,
    sequence: u64,
    counters: LinkCounters,
}

/// A packet that waits for later ones to overtake it.
#[derive(Debug)]
struct Held {
    packet: Vec<u8>,
    behind: u64,
    arrival: Instant,
}

impl Held {
    fn latest(&self) -> Instant {
        self.arrival + HOLD
    }
}

/// What chance says of one packet. Every packet draws all of it, so that changing one fault moves no other.
struct Fate {
    lost: bool,
    duplicated: bool,
    flipped: Option<u64>,
    behind: Option<u64>,
    marked: bool,
    jitter: [Duration; 2],
}

impl Fate {
    const SPARED: Fate = Fate {
        lost: false,
        duplicated: false,
        flipped: None,
        behind: None,
        marked: false,
        jitter: [Duration::ZERO; 2],
    };
}

impl Link {
    /// A link under `weather`. Scripted drops count for it whatever direction they name; see [`Weather::outgoing`].
    #[must_use]
    pub fn new(weather: Weather) -> Link {
        Link {
            rng: Rng::new(weather.seed),
            script: Script::new(&weather.drops),
            line: Line::new(weather.rate, weather.queue.unwrap_or(QUEUE)),
            held: Vec::new(),
            on_the_way: BTreeMap::new(),
            bytes: 0,
            sequence: 0,
            counters: LinkCounters::default(),
            weather,
        }
    }

    /// The weather changes: for packets handed over from now on. What is on the way arrives as it would have.
    pub fn change(&mut self, weather: Weather) {
        let (on_the_way, held) = (mem::take(&mut self.on_the_way), mem::take(&mut self.held));
        *self = Link {
            on_the_way,
            held,
            bytes: self.bytes,
            sequence: self.sequence,
            counters: self.counters,
            ..Link::new(weather)
        };
    }

    /// Hands over what a stack transmits: checksums are completed first, super-segments split.
    pub fn transmit(&mut self, now: Instant, transmit: &Transmit<'_>) {
        self.send(now, whole(transmit), transmit.segment_size);
    }

    /// Hands over a packet with complete checksums, which may be a super-segment of `segment_size`: that one is split
    /// before anything is drawn.
    pub fn send(&mut self, now: Instant, packet: Vec<u8>, segment_size: Option<u16>) {
        match segment_size {
            None => self.send_one(now, packet),
            Some(size) => segments(&packet, usize::from(size)).for_each(|packet| self.send_one(now, packet)),
        }
    }

    /// Hands over one packet that chance spares: rate, queue and delay are the same for it, and nothing is drawn, so
    /// that it moves no fault of another packet.
    pub fn send_spared(&mut self, now: Instant, packet: Vec<u8>) {
        self.carry(now, packet, &Fate::SPARED);
    }

    fn send_one(&mut self, now: Instant, packet: Vec<u8>) {
        let fate = self.draw(packet.len());
        self.carry(now, packet, &fate);
    }

    fn carry(&mut self, now: Instant, mut packet: Vec<u8>, fate: &Fate) {
        self.counters.offered += 1;
        if self.script.takes(&packet) {
            self.counters.scripted += 1;
            return;
        }
        if self.bytes >= ON_THE_WAY {
            self.counters.overflowed += 1;
            return;
        }
        let Some(departure) = self.line.depart(now, packet.len()) else {
            self.counters.overflowed += 1;
            return;
        };
        if fate.lost {
            self.counters.lost += 1;
            return;
        }
        if fate.marked && mark_congestion(&mut packet) {
            self.counters.marked += 1;
        }
        if let Some(bit) = fate.flipped {
            flip(&mut packet, bit);
            self.counters.corrupted += 1;
        }
        let [first, second] = fate.jitter.map(|jitter| departure + self.weather.delay + jitter);
        if fate.duplicated {
            self.counters.duplicated += 1;
            self.fly(second, packet.clone());
        }
        let Some(behind) = fate.behind else {
            self.fly(first, packet);
            return self.overtake(first);
        };
        // One held back counts as later too, or else weather that holds back everything would hold without bound.
        self.overtake(first);
        self.hold(packet, behind, first);
    }

    fn draw(&mut self, len: usize) -> Fate {
        let weather = &self.weather;
        let rng = &mut self.rng;
        let jitter = u64::try_from(weather.jitter.as_nanos()).unwrap_or(u64::MAX);
        let lost = rng.chance(weather.loss);
        let duplicated = rng.chance(weather.duplicate);
        let (flips, bit) = (rng.chance(weather.corrupt), rng.below(len as u64 * 8));
        let (waits, behind) = (rng.chance(weather.reorder), rng.within(1..=BEHIND));
        let marked = rng.chance(weather.mark);
        let jitter = [(); 2].map(|()| Duration::from_nanos(rng.within(0..=jitter)));
        let flipped = (flips && len > 0).then_some(bit);
        Fate {
            lost,
            duplicated,
            flipped,
            behind: waits.then_some(behind),
            marked,
            jitter,
        }
    }

    fn fly(&mut self, arrival: Instant, packet: Vec<u8>) {
        self.bytes += packet.len();
        self.sequence += 1;
        self.on_the_way.insert((arrival, self.sequence), packet);
    }

    fn hold(&mut self, packet: Vec<u8>, behind: u64, arrival: Instant) {
        self.counters.reordered += 1;
        self.bytes += packet.len();
        self.held.push(Held {
            packet,
            behind,
            arrival,
        });
    }

    /// A packet is under way that arrives at `arrival`: one more has overtaken those held back.
    fn overtake(&mut self, arrival: Instant) {
        for held in &mut self.held {
            held.behind -= 1;
        }
        self.let_go(|held| (held.behind == 0).then(|| arrival.max(held.arrival).min(held.latest())));
    }

    /// Sends on their way those held back for which `when` names a time, oldest first.
    fn let_go(&mut self, when: impl Fn(&Held) -> Option<Instant>) {
        let mut at = 0;
        while let Some(held) = self.held.get(at) {
            match when(held) {
                None => at += 1,
                Some(arrival) => {
                    let held = self.held.remove(at);
                    self.bytes -= held.packet.len();
                    self.fly(arrival, held.packet);
                }
            }
        }
    }

    /// The next packet whose time has come.
    pub fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.let_go(|held| Some(held.latest()).filter(|&latest| latest <= now));
        let first = self.on_the_way.first_entry()?;
        let (arrival, _) = *first.key();
        if arrival > now {
            return None;
        }
        let packet = first.remove();
        self.bytes -= packet.len();
        self.counters.delivered += 1;
        Some(packet)
    }

    /// When the next packet is due; `None`: nothing is on the way.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let first = self.on_the_way.first_key_value().map(|((arrival, _), _)| *arrival);
        first.into_iter().chain(self.held.iter().map(Held::latest)).min()
    }

    /// What it did so far.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// The weather it was made with.
    #[must_use]
    pub fn weather(&self) -> &Weather {
        &self.weather
    }
}

/// A packet in one piece, with complete checksums.
pub(crate) fn whole(transmit: &Transmit<'_>) -> Vec<u8> {
    let mut packet = transmit.to_vec();
    if transmit.checksum == Checksum::Offloaded {
        complete_checksum(&mut packet);
    }
    packet
}

fn flip(packet: &mut [u8], bit: u64) {
    let at = usize::try_from(bit / 8).unwrap_or(usize::MAX);
    if let Some(byte) = packet.get_mut(at) {
        *byte ^= 1 << (bit % 8);
    }
}

/// The sender's end of a line with a rate: a finite queue that drops at its tail.
#[derive(Debug)]
struct Line {
    rate: Option<u64>,
    queue: usize,
    departures: VecDeque<Instant>,
    /// What the last division left over, in bits times 10^9: with it the rate is exact in the long run.
    rest: u128,
}

impl Line {
    fn new(rate: Option<u64>, queue: usize) -> Line {
        Line {
            rate: rate.filter(|&rate| rate > 0),
            queue,
            departures: VecDeque::new(),
            rest: 0,
        }
    }

    /// When the last bit of a packet of `len` bytes has left; `None`: no room.
    fn depart(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.rate else { return Some(now) };
        while self.departures.front().is_some_and(|&departed| departed <= now) {
            self.departures.pop_front();
        }
        if self.departures.len() >= self.queue {
            return None;
        }
        let begin = match self.departures.back() {
            Some(&last) => last,
            None => {
                self.rest = 0;
                now
            }
        };
        let work = len as u128 * 8 * 1_000_000_000 + self.rest;
        self.rest = work % u128::from(rate);
        let time = Duration::from_nanos(u64::try_from(work / u128::from(rate)).unwrap_or(u64::MAX));
        let departure = begin + time;
        self.departures.push_back(departure);
        Some(departure)
    }
}

#[cfg(test)]
mod tests;
