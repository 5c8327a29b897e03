//! Runs a [`Scenario`] and judges it.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::rc::Rc;

use ustcp_proto::{Census, Checksum, Error, EventKind, Family, Flow, Instant, State};

use crate::forger::forge;
use crate::interlude::Running;
use crate::judge::{Judge, Limits};
use crate::program::{Program, Promise, Script};
use crate::scenario::{LEAST, Opening, Scenario, Side};
use crate::{HostEvent, HostId, Network, Rng, Tally, TracedPacket};

/// Nothing lasts longer: sixty retransmissions two minutes apart are two hours, which end one attempt and not a conversation.
/// The slowest loses a quarter of all packets either way and has no SACK: each timeout is of minutes, the segments at last of
/// 36 bytes, and it takes a day.
const LONGEST: Duration = Duration::from_secs(48 * 3600);
/// Turns of the programs at one instant before it is held to be a loop.
const TURNS: usize = 1000;
const PORTS: [u16; 2] = [1000, 2000];
const INTERLUDE_PORT: u16 = 3000;

/// What came of a seed that kept every promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Counts.
    pub tally: Tally,
    /// A number that stands for every packet sent and delivered, with time and place: equal for equal runs.
    pub digest: u64,
}

/// Something to look at while a scenario runs.
#[derive(Clone, Copy, Debug)]
pub enum Sight<'a> {
    /// A packet at one end of a link.
    Packet(&'a TracedPacket),
    /// An event inside a stack.
    Event(&'a HostEvent),
}

impl Scenario {
    /// Runs to the end: every connection CLOSED, every buffer freed, no timer armed. The error says which promise was
    /// broken.
    pub fn run(&self) -> Result<Outcome, String> {
        self.run_watched(&mut |_| {})
    }

    /// The same, and shows every packet and every event to `watch`.
    pub fn run_watched(&self, watch: &mut dyn FnMut(Sight<'_>)) -> Result<Outcome, String> {
        let mut run = Run::new(self).map_err(|what| format!("at the beginning: {what}"))?;
        run.run_out(watch).map_err(|what| run.describe(&what))?;
        run.check_end().map_err(|what| run.describe(&what))?;
        Ok(run.outcome())
    }
}

struct Run<'s> {
    scenario: &'s Scenario,
    network: Network,
    hosts: [HostId; 2],
    programs: [Program; 2],
    interludes: Vec<Running>,
    judge: Judge,
    states: [HashMap<Flow, State>; 2],
    tally: Tally,
    uncut: bool,
    forger: Rng,
}

impl<'s> Run<'s> {
    fn new(scenario: &'s Scenario) -> Result<Run<'s>, String> {
        let mut network = Network::new();
        network.trace_packets();
        let hosts = [0, 1].map(|side: usize| {
            let config = scenario.sides.get(side).map(|side| side.config.clone());
            network.add_host(config.unwrap_or_default())
        });
        let [a, b] = hosts;
        let [there, back] = scenario.weather.clone();
        network.link_one_way(a, b, there);
        network.link_one_way(b, a, back);
        if scenario.unsplit {
            network.keep_super_segments();
        }

        let limits = scenario.sides.each_ref().map(|side| Limits {
            mtu: side.config.mtu,
            initial_window: side.config.initial_window,
        });
        let mut judge = Judge::new(limits.to_vec());
        let programs = begin(scenario, &mut network, hosts, &mut judge).map_err(|error| error.to_string())?;
        network.settle().map_err(|failure| failure.to_string())?;
        let mut interludes = Vec::new();
        for (&kind, port) in scenario.interludes.iter().zip(INTERLUDE_PORT..) {
            let interlude = Running::begin(kind, &mut network, hosts, port);
            interludes.push(interlude.map_err(|error| format!("{kind:?}: {error}"))?);
        }
        Ok(Run {
            scenario,
            network,
            hosts,
            programs,
            interludes,
            judge,
            states: Default::default(),
            tally: Tally::default(),
            uncut: scenario.cut,
            forger: Rng::new(scenario.seed.rotate_left(32)),
        })
    }

    fn run_out(&mut self, watch: &mut dyn FnMut(Sight<'_>)) -> Result<(), String> {
        loop {
            self.network.settle().map_err(|failure| failure.to_string())?;
            self.turn_programs()?;
            self.turn_interludes().map_err(|error| format!("interlude: {error}"))?;
            self.network.settle().map_err(|failure| failure.to_string())?;
            self.watch(watch)?;
            if self.uncut && self.programs.iter().all(|program| program.received() >= LEAST) {
                let [a, b] = self.hosts;
                self.network.cut(a, b);
                self.uncut = false;
            }
            self.forge();
            let wake = self.programs.iter().filter_map(Program::wake).min();
            let Some(next) = self.network.next_instant().into_iter().chain(wake).min() else {
                return Ok(());
            };
            if next > Instant::ZERO + LONGEST {
                return Err(format!("not over after {LONGEST:?}"));
            }
            self.network.advance(next).map_err(|failure| failure.to_string())?;
        }
    }

    /// Now and then hands one host a segment that the other never sent.
    fn forge(&mut self) {
        if self.scenario.forged == 0.0 || !self.forger.chance(self.scenario.forged) {
            return;
        }
        let ends = self.hosts.map(|host| (host, main_end(&self.network, host)));
        let [peer, target] = if self.forger.chance(0.5) {
            ends
        } else {
            [ends[1], ends[0]]
        };
        if let Some(standing) = self.judge.standing(peer.1, target.1) {
            let packet = forge(&mut self.forger, &standing);
            let now = self.network.now();
            self.network.stack_mut(target.0).on_packet(now, &packet, Checksum::Full);
            self.tally.forged += 1;
        }
    }

    /// Lets the programs act until both wait for something.
    fn turn_programs(&mut self) -> Result<(), String> {
        for _ in 0..TURNS {
            self.notify();
            let now = self.network.now();
            for (program, host) in self.programs.iter_mut().zip(self.hosts) {
                let stack = self.network.stack_mut(host);
                program
                    .turn(now, stack)
                    .map_err(|what| format!("program {}: {what}", host.index()))?;
            }
            if self.programs.iter().all(Program::is_done) {
                self.programs.iter_mut().for_each(Program::peer_is_done);
            }
            self.notify();
            if !self.programs.iter().any(Program::is_woken) {
                return Ok(());
            }
        }
        Err("readiness changes without end".into())
    }

    /// Hands on what the stacks announce.
    fn notify(&mut self) {
        for (program, host) in self.programs.iter_mut().zip(self.hosts) {
            while let Some(id) = self.network.stack_mut(host).poll_ready() {
                if id == program.socket() && !program.is_over() {
                    program.notify(self.network.stack(host));
                }
            }
        }
    }

    fn turn_interludes(&mut self) -> Result<(), Error> {
        let end = self.programs.iter().all(Program::is_over);
        for interlude in &mut self.interludes {
            if end {
                interlude.end(&mut self.network)?;
            } else {
                interlude.turn(&mut self.network)?;
            }
        }
        self.interludes.retain(|interlude| !interlude.is_over());
        Ok(())
    }

    /// Judges what the network has seen since the last time.
    fn watch(&mut self, watch: &mut dyn FnMut(Sight<'_>)) -> Result<(), String> {
        let packets = self.network.take_trace();
        let events = self.network.take_events();
        packets.iter().for_each(|packet| watch(Sight::Packet(packet)));
        events.iter().for_each(|event| watch(Sight::Event(event)));
        for packet in &packets {
            self.judge.see(packet)?;
        }
        for event in &events {
            self.record(event)?;
        }
        Ok(())
    }

    fn record(&mut self, event: &HostEvent) -> Result<(), String> {
        match event.event.kind {
            EventKind::Transition { from, to, cause } => {
                self.tally.transition(from, cause);
                if from.on(cause) != Some(to) {
                    return Err(format!(
                        "host {}: {from} to {to} by {cause:?} is no arrow",
                        event.host.index()
                    ));
                }
                self.follow(event, from, to)
            }
            EventKind::Expired(timer) => {
                self.tally.expired(timer);
                Ok(())
            }
            EventKind::Dropped(reason) => {
                self.tally.dropped(reason);
                Ok(())
            }
            EventKind::Received { .. } | EventKind::Sent { .. } => Ok(()),
        }
    }

    /// Each transition of a connection begins where the last one ended.
    fn follow(&mut self, event: &HostEvent, from: State, to: State) -> Result<(), String> {
        let Some(flow) = event.event.flow else { return Ok(()) };
        let Some(states) = self.states.get_mut(event.host.index()) else {
            return Ok(());
        };
        let before = states.remove(&flow);
        if to != State::Closed {
            states.insert(flow, to);
        }
        let follows = before.map_or(matches!(from, State::Closed | State::Listen), |before| before == from);
        if follows {
            Ok(())
        } else {
            Err(format!(
                "host {}: {flow} leaves {from}, but was in {before:?}",
                event.host.index()
            ))
        }
    }

    fn check_end(&mut self) -> Result<(), String> {
        for program in &self.programs {
            if !program.is_over() {
                return Err("nothing is left to happen, and a program still waits".into());
            }
            if !self.scenario.is_abrupt() && !program.is_done() {
                return Err("over, but not everything was carried".into());
            }
        }
        for (host, states) in self.hosts.into_iter().zip(&self.states) {
            let stack = self.network.stack_mut(host);
            let census = stack.census();
            if census != Census::default() {
                return Err(format!("host {} still holds {census:?}", host.index()));
            }
            if stack.counters().events_lost > 0 {
                return Err(format!("host {} lost events", host.index()));
            }
            if let Some((flow, state)) = states.iter().next() {
                return Err(format!("host {}: {flow} ends in {state}", host.index()));
            }
        }
        self.check_packets()
    }

    /// A stack may not send without measure, whatever the network does to its packets.
    fn check_packets(&self) -> Result<(), String> {
        let limit: u64 = self.scenario.sides.iter().map(|side| self.reasonable(side)).sum();
        if self.judge.packets <= limit {
            return Ok(());
        }
        Err(format!(
            "{} packets were sent, where {limit} are plenty",
            self.judge.packets
        ))
    }

    fn reasonable(&self, side: &Side) -> u64 {
        let mtu = self
            .scenario
            .sides
            .iter()
            .map(|side| side.config.mtu)
            .min()
            .unwrap_or(68);
        let headers = self.scenario.family.headers();
        // Timestamps are 12 bytes.
        let mss = side
            .max_segment
            .map_or(mtu, |mss| mtu.min(usize::from(mss) + headers))
            .saturating_sub(headers + 12)
            .max(8);
        let segments = side.amount.div_ceil(mss.min(side.write.div_ceil(2)));
        20 * segments as u64 + 5000
    }

    fn outcome(mut self) -> Outcome {
        let time = self.network.now().since(Instant::ZERO);
        let [a, b] = self.hosts;
        self.tally.seeds = 1;
        self.tally.ipv6 = u64::from(self.scenario.family == Family::V6);
        self.tally.bytes = self.programs.iter().map(|program| program.received() as u64).sum();
        self.tally.packets = self.judge.packets;
        self.tally.time = time;
        self.tally.longest = time;
        for host in self.hosts {
            let counters = self.network.stack(host).counters();
            self.tally.retransmissions += counters.retrans_segs;
            self.tally.timeouts += counters.timeouts;
            self.tally.fast_retransmits += counters.fast_retransmits;
        }
        self.tally.links += self.network.link_counters(a, b);
        self.tally.links += self.network.link_counters(b, a);
        Outcome {
            digest: self.judge.digest(),
            tally: self.tally,
        }
    }

    fn describe(&self, what: &str) -> String {
        let seconds = self.network.now().since(Instant::ZERO).as_secs_f64();
        let mut text = format!("{what} (at {seconds:.6} s)");
        for (program, host) in self.programs.iter().zip(self.hosts) {
            let stack = self.network.stack(host);
            let state = stack.state(program.socket());
            let readiness = stack.readiness(program.socket());
            text += &format!(
                "\n  program {}: {}; {state:?}, {readiness:?}",
                host.index(),
                program.standing()
            );
            text += &format!("\n    {:?}", stack.census());
        }
        text
    }
}

/// The end of the main connection on a host.
fn main_end(network: &Network, host: HostId) -> SocketAddr {
    let port = PORTS.get(host.index()).copied().unwrap_or(0);
    SocketAddr::new(network.address(host), port)
}

/// Sets both programs up on their hosts.
fn begin(
    scenario: &Scenario,
    network: &mut Network,
    hosts: [HostId; 2],
    judge: &mut Judge,
) -> Result<[Program; 2], Error> {
    let promise = if scenario.is_abrupt() {
        Promise::Prefix
    } else {
        Promise::Everything
    };
    let mut rng = Rng::new(!scenario.seed);
    let [first, second] = scenario.sides.each_ref().map(|side| {
        let mut bytes = vec![0; side.amount];
        rng.fill(&mut bytes);
        Rc::<[u8]>::from(bytes)
    });
    let [a, b] = hosts;
    let [at_a, at_b] = hosts.map(|host| main_end(network, host));
    judge.expect_stream(at_a, at_b, first.clone());
    judge.expect_stream(at_b, at_a, second.clone());

    let [side_a, side_b] = scenario.sides.clone();
    let (outgoing, incoming) = (first.clone(), second.clone());
    let script_a = Script {
        side: side_a,
        promise,
        seed: rng.bits(),
        outgoing,
        incoming,
    };
    let script_b = Script {
        side: side_b,
        promise,
        seed: rng.bits(),
        outgoing: second,
        incoming: first,
    };
    let now = network.now();
    let program_a = match scenario.opening {
        Opening::Second => Program::listening(now, network.stack_mut(a), at_a, script_a)?,
        Opening::First | Opening::Simultaneous => Program::connecting(now, network.stack_mut(a), at_a, at_b, script_a)?,
    };
    let program_b = match scenario.opening {
        Opening::First => Program::listening(now, network.stack_mut(b), at_b, script_b)?,
        Opening::Second | Opening::Simultaneous => {
            Program::connecting(now, network.stack_mut(b), at_b, at_a, script_b)?
        }
    };
    Ok([program_a, program_b])
}
