//! Stacks, links between them, and one clock that jumps from event to event.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use ustcp_proto::{Checksum, Config, Error, Event, Instant, Stack};
use ustcp_wire::{IpPacket, TcpSegment};

use crate::link::whole;
use crate::{Link, LinkCounters, Weather};

/// Turns at one instant of virtual time before it is held to be a loop.
const TURNS: u32 = 10_000;
/// Packets that one host may hand out in one turn before it is held to be a loop.
const FLOOD: u32 = 100_000;
/// The shortest way: time moves between a packet and its answer, or a loop could not be told from a fast link.
const SHORTEST: Duration = Duration::from_micros(1);

/// Names a host of one [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub(crate) usize);

impl HostId {
    /// The hosts are numbered from 0 in the order of [`Network::add_host`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// An event and the host whose stack told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostEvent {
    /// Whose.
    pub host: HostId,
    /// What.
    pub event: Event,
}

/// A packet seen at one end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedPacket {
    /// When.
    pub at: Instant,
    /// Who sent it.
    pub from: HostId,
    /// Whom it is for.
    pub to: HostId,
    /// Which end of the link saw it.
    pub hop: Hop,
    /// The packet; its checksums are complete.
    pub bytes: Vec<u8>,
}

/// As captures show it: time, way, flags, sequence and acknowledgement numbers, window, length.
impl fmt::Display for TracedPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.hop {
            Hop::Sent { .. } => ">  ",
            Hop::Delivered => "  >",
        };
        let seconds = self.at.since(Instant::ZERO).as_secs_f64();
        write!(f, "{seconds:.6} {} {way} {} ", self.from.0, self.to.0)?;
        let Ok(ip) = IpPacket::parse(&self.bytes) else {
            return write!(f, "{} bytes, damaged", self.bytes.len());
        };
        match TcpSegment::parse(&ip.header, ip.payload, Checksum::Offloaded) {
            Err(_) => write!(f, "{:?}, {} bytes", ip.header.protocol, self.bytes.len()),
            Ok(TcpSegment { header, payload, .. }) => {
                write!(f, "{}>{} {}", header.source_port, header.destination_port, header.flags)?;
                write!(
                    f,
                    " seq {} ack {} win {} len {}",
                    header.seq,
                    header.ack,
                    header.window,
                    payload.len()
                )
            }
        }
    }
}

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// The sender's, before the weather. A super-segment is still whole.
    Sent {
        /// Bytes of text in each packet once it is split; `None`: it is one packet.
        segment_size: Option<u16>,
    },
    /// The receiver's, after the weather.
    Delivered,
}

/// Why a network could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 10,000 turns passed and time stood still: some stack names a deadline that it does not meet.
    StepLoop {
        /// When.
        at: Instant,
    },
    /// A stack hands out packets without end.
    Flood {
        /// Which.
        host: HostId,
        /// When.
        at: Instant,
    },
    /// The limit of virtual time is reached and the condition does not hold.
    TimeLimit {
        /// When.
        at: Instant,
    },
    /// Nothing is left to happen and the condition does not hold.
    Idle {
        /// When.
        at: Instant,
    },
    /// A socket call failed.
    Call {
        /// On which host.
        host: HostId,
        /// How.
        error: Error,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |at: &Instant| at.since(Instant::ZERO).as_secs_f64();
        match self {
            Failure::StepLoop { at } => write!(f, "{TURNS} turns while time stood still at {:.6} s", seconds(at)),
            Failure::Flood { host, at } => write!(f, "host {} sends without end at {:.6} s", host.0, seconds(at)),
            Failure::TimeLimit { at } => write!(f, "not done at the time limit, {:.6} s", seconds(at)),
            Failure::Idle { at } => write!(f, "nothing left to happen after {:.6} s, and not done", seconds(at)),
            Failure::Call { host, error } => write!(f, "host {}: {error}", host.0),
        }
    }
}

impl core::error::Error for Failure {}

/// Hosts, links and virtual time.
///
/// ```
/// use core::time::Duration;
/// use ustcp_sim::{Network, Weather};
///
/// let mut network = Network::new();
/// let client = network.add_host(Network::host_config(1));
/// let server = network.add_host(Network::host_config(2));
/// network.link(client, server, &"loss=3%,delay=10ms,seed=7".parse()?);
///
/// let (here, there) = network.open(client, server, 80)?;
/// let heard = network.transfer(here, there, b"hello")?;
/// assert_eq!(heard, b"hello");
/// network.close(here)?;
/// network.close(there)?;
/// network.run_until_idle(Duration::from_secs(600))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Network {
    now: Instant,
    turns: u32,
    hosts: Vec<Stack>,
    paths: Vec<Path>,
    unroutable: u64,
    events: Vec<HostEvent>,
    unsplit: bool,
    tracing: bool,
    trace: Vec<TracedPacket>,
}

struct Path {
    from: HostId,
    to: HostId,
    addresses: Vec<IpAddr>,
    link: Link,
    cut: bool,
}

impl Network {
    /// No host, no link, and the clock at zero.
    #[must_use]
    pub fn new() -> Network {
        Network::default()
    }

    /// The configuration of host 10.77.0.`number`/24 with events on; everything else as by default.
    #[must_use]
    pub fn host_config(number: u8) -> Config {
        let address = IpAddr::V4(Ipv4Addr::new(10, 77, 0, number));
        Config {
            addresses: vec![ustcp_proto::Cidr { address, prefix: 24 }],
            secret: ustcp_proto::Secret([number; 32]),
            trace: true,
            ..Config::default()
        }
    }

    /// The same for host fd77::`number`/64.
    #[must_use]
    pub fn host_config_v6(number: u8) -> Config {
        let address = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into()));
        Config {
            addresses: vec![ustcp_proto::Cidr { address, prefix: 64 }],
            ..Network::host_config(number)
        }
    }

    /// One more host.
    pub fn add_host(&mut self, config: Config) -> HostId {
        self.hosts.push(Stack::new(config));
        HostId(self.hosts.len() - 1)
    }

    /// Joins two hosts by a link with the same weather both ways: [`Weather::outgoing`] from `a` to `b`,
    /// [`Weather::incoming`] back. The way takes at least 1 us.
    ///
    /// # Panics
    /// When a host is another network's.
    pub fn link(&mut self, a: HostId, b: HostId, weather: &Weather) {
        self.link_one_way(a, b, weather.outgoing());
        self.link_one_way(b, a, weather.incoming());
    }

    /// Joins two hosts by one direction of a link. The way takes at least 1 us.
    ///
    /// # Panics
    /// When a host is another network's.
    pub fn link_one_way(&mut self, from: HostId, to: HostId, weather: Weather) {
        let addresses = self
            .stack(to)
            .config()
            .addresses
            .iter()
            .map(|cidr| cidr.address)
            .collect();
        self.paths.push(Path {
            from,
            to,
            addresses,
            link: Link::new(with_shortest_way(weather)),
            cut: false,
        });
    }

    /// From now on super-segments arrive whole, as a device with offload hands them over; the weather then takes or
    /// leaves them whole as well.
    pub fn keep_super_segments(&mut self) {
        self.unsplit = true;
    }

    /// Cuts every link between two hosts: packets sent from now on are lost.
    pub fn cut(&mut self, a: HostId, b: HostId) {
        self.set_cut(a, b, true);
    }

    /// Joins what [`cut`](Network::cut) has cut.
    pub fn mend(&mut self, a: HostId, b: HostId) {
        self.set_cut(a, b, false);
    }

    /// The weather from one host to another changes, for packets sent from now on.
    pub fn change_weather(&mut self, from: HostId, to: HostId, weather: &Weather) {
        for path in self.paths.iter_mut().filter(|path| (path.from, path.to) == (from, to)) {
            path.link.change(with_shortest_way(weather.clone()));
        }
    }

    fn set_cut(&mut self, a: HostId, b: HostId, cut: bool) {
        let between = |path: &&mut Path| (path.from, path.to) == (a, b) || (path.from, path.to) == (b, a);
        self.paths.iter_mut().filter(between).for_each(|path| path.cut = cut);
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A host's stack.
    ///
    /// # Panics
    /// When the host is another network's.
    #[must_use]
    pub fn stack(&self, host: HostId) -> &Stack {
        self.hosts.get(host.0).expect("a host of this network")
    }

    /// A host's stack, to make socket calls on.
    ///
    /// # Panics
    /// When the host is another network's.
    pub fn stack_mut(&mut self, host: HostId) -> &mut Stack {
        self.hosts.get_mut(host.0).expect("a host of this network")
    }

    /// What all links from one host to another did.
    #[must_use]
    pub fn link_counters(&self, from: HostId, to: HostId) -> LinkCounters {
        let mut sum = LinkCounters::default();
        for path in self.paths.iter().filter(|path| (path.from, path.to) == (from, to)) {
            sum += path.link.counters();
        }
        sum
    }

    /// Packets for which there was no link to their destination.
    #[must_use]
    pub fn unroutable(&self) -> u64 {
        self.unroutable
    }

    /// The events of all hosts so far, in order, for hosts whose configuration asks for a trace.
    #[must_use]
    pub fn events(&self) -> &[HostEvent] {
        &self.events
    }

    /// The same, and forgets them.
    pub fn take_events(&mut self) -> Vec<HostEvent> {
        core::mem::take(&mut self.events)
    }

    /// Records every packet from now on.
    pub fn trace_packets(&mut self) {
        self.tracing = true;
    }

    /// The packets recorded so far, in order.
    #[must_use]
    pub fn trace(&self) -> &[TracedPacket] {
        &self.trace
    }

    /// The same, and forgets them.
    pub fn take_trace(&mut self) -> Vec<TracedPacket> {
        core::mem::take(&mut self.trace)
    }

    /// Puts on the links what the stacks have to send. Call it after socket calls; [`step`](Network::step) does so
    /// before and after.
    pub fn settle(&mut self) -> Result<(), Failure> {
        for (index, stack) in self.hosts.iter_mut().enumerate() {
            let host = HostId(index);
            let mut packets = 0;
            while let Some(transmit) = stack.poll_transmit(self.now) {
                packets += 1;
                if packets > FLOOD {
                    return Err(Failure::Flood { host, at: self.now });
                }
                let segment_size = transmit.segment_size;
                let packet = whole(&transmit);
                let Some(path) = route(&mut self.paths, host, &packet) else {
                    self.unroutable += 1;
                    continue;
                };
                if self.tracing {
                    let (to, hop, bytes) = (path.to, Hop::Sent { segment_size }, packet.clone());
                    self.trace.push(TracedPacket {
                        at: self.now,
                        from: host,
                        to,
                        hop,
                        bytes,
                    });
                }
                if !path.cut {
                    path.link.send(self.now, packet, segment_size.filter(|_| !self.unsplit));
                }
            }
            self.events
                .extend(core::iter::from_fn(|| stack.poll_event()).map(|event| HostEvent { host, event }));
        }
        Ok(())
    }

    /// When something happens next of its own accord: a packet arrives or a timer goes off.
    pub fn next_instant(&mut self) -> Option<Instant> {
        let links = self.paths.iter().filter_map(|path| path.link.poll_timeout());
        let timers = self
            .hosts
            .iter_mut()
            .filter_map(|stack| stack.poll_timeout().map(|(at, _)| at));
        links.chain(timers).min().map(|at| at.max(self.now))
    }

    /// Moves the clock to `to` (never back), delivers what is due, and runs the timers. What was due earlier happens
    /// late: [`next_instant`](Network::next_instant) tells.
    pub fn advance(&mut self, to: Instant) -> Result<(), Failure> {
        if to > self.now {
            self.now = to;
            self.turns = 0;
        }
        self.turns += 1;
        if self.turns > TURNS {
            return Err(Failure::StepLoop { at: self.now });
        }
        self.deliver();
        for stack in &mut self.hosts {
            if stack.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
                stack.on_timeout(self.now);
            }
        }
        self.settle()
    }

    fn deliver(&mut self) {
        for path in &mut self.paths {
            let Some(stack) = self.hosts.get_mut(path.to.0) else {
                continue;
            };
            while let Some(packet) = path.link.poll(self.now) {
                stack.on_packet(self.now, &packet, Checksum::Full);
                if self.tracing {
                    let (from, to) = (path.from, path.to);
                    self.trace.push(TracedPacket {
                        at: self.now,
                        from,
                        to,
                        hop: Hop::Delivered,
                        bytes: packet,
                    });
                }
            }
        }
    }

    /// Moves to the next instant at which something happens, and lets it happen; `None` when nothing ever will.
    pub fn step(&mut self) -> Result<Option<Instant>, Failure> {
        self.settle()?;
        let Some(next) = self.next_instant() else {
            return Ok(None);
        };
        self.advance(next)?;
        Ok(Some(next))
    }

    /// Steps until `condition` gives a value. Fails after `limit` of virtual time, and when nothing is left to happen.
    pub fn run_until<T>(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&mut Network) -> Option<T>,
    ) -> Result<T, Failure> {
        let end = self.now + limit;
        loop {
            if let Some(value) = condition(self) {
                self.settle()?;
                return Ok(value);
            }
            self.settle()?;
            match self.next_instant() {
                None => return Err(Failure::Idle { at: self.now }),
                Some(next) if next > end => return Err(Failure::TimeLimit { at: self.now }),
                Some(next) => self.advance(next)?,
            }
        }
    }

    /// Steps until nothing is left to happen: no packet on the way, no timer armed.
    pub fn run_until_idle(&mut self, limit: Duration) -> Result<(), Failure> {
        match self.run_until(limit, |_| None::<()>) {
            Err(Failure::Idle { .. }) => Ok(()),
            Err(failure) => Err(failure),
            Ok(()) => Ok(()),
        }
    }

    /// Steps for so long, whatever happens, and leaves the clock there.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Failure> {
        let end = self.now + time;
        self.settle()?;
        while let Some(next) = self.next_instant().filter(|&next| next <= end) {
            self.advance(next)?;
        }
        self.advance(end)
    }
}

fn with_shortest_way(mut weather: Weather) -> Weather {
    weather.delay = weather.delay.max(SHORTEST);
    weather
}

/// The first link from `host` to one that has the packet's destination.
fn route<'p>(paths: &'p mut [Path], host: HostId, packet: &[u8]) -> Option<&'p mut Path> {
    let destination = destination(packet)?;
    paths
        .iter_mut()
        .find(|path| path.from == host && path.addresses.contains(&destination))
}

fn destination(packet: &[u8]) -> Option<IpAddr> {
    let field = |range: core::ops::Range<usize>| packet.get(range);
    match packet.first()? >> 4 {
        4 => <[u8; 4]>::try_from(field(16..20)?).ok().map(IpAddr::from),
        6 => <[u8; 16]>::try_from(field(24..40)?).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
