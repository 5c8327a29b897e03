//! `ustcp demo`: one page over our own TCP, and what its two ends did, packet by packet.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use ustcp_proto::{Config, Event, EventKind, Flow};
use ustcp_runtime::namespace::{self, Privilege};
use ustcp_runtime::{Sysctls, probe_file};
use ustcp_sim::{Network, Weather};
use ustcp_wire::Flags;

use crate::capture::Record;
use crate::diagram::{self, Row, Titles};
use crate::fetch::PATIENCE;
use crate::inferred::Direction;
use crate::program::Program;
use crate::scratch::Scratch;
use crate::screen::Screen;
use crate::segment::Segment;
use crate::server::{GOODBYE, Server};
use crate::summary::Summary;
use crate::unmet::unmet;
use crate::{Failure, WRONG_USAGE, http, in_memory};

pub(crate) const OUR_ADDRESS: &str = "10.77.0.2";
pub(crate) const PEERS_ADDRESS: &str = "10.77.0.1";
pub(crate) const TUN: &str = "ustcp0";

const NOT_ON_USTCP: &str = "it never started ustcp: a program must be linked to libustcp, or import ustcp";

const EXAMPLES: &str = "\
Examples:
  ustcp demo
          A handshake, a page, a close in four steps, and TIME-WAIT to its end
  ustcp demo --weather drop=out:FIN#1
          Our FIN is lost and sent again
  ustcp demo --weather drop=in:FIN#1
          The peer's FIN is lost, and comes again
  ustcp demo --weather drop=out:ACK#3
          Our last ACK is lost: TIME-WAIT is there to answer the repeated FIN
  ustcp demo --time-wait 60 -- build/examples/http_get http://10.77.0.1/
          A C program, and TIME-WAIT at its full length";

/// Fetch a page over ustcp from a server on the Linux kernel's TCP, and draw what happened.
///
/// Everything runs in a network namespace of its own: as root, or in a user namespace where this machine allows it.
/// Where no TUN device can be had, the same is shown between two stacks of ustcp over a link in memory.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Options {
    /// Seconds that TIME-WAIT lasts; ustcp's own default is 60
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = parse_seconds)]
    pub(crate) time_wait: Duration,

    /// A knob of our stack by the name of Linux's sysctl, such as tcp_sack=0; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) sysctl: Vec<Sysctls>,

    /// Faults around the device, such as drop=FIN#1 or loss=10%,delay=5ms,seed=7
    #[arg(long, value_name = "SPEC")]
    pub(crate) weather: Option<Weather>,

    /// Write the packets to a pcapng file as well
    #[arg(long, value_name = "FILE", conflicts_with = "in_memory")]
    pub(crate) pcap: Option<PathBuf>,

    /// Use no TUN device: two stacks of ustcp over a link in memory, in virtual time
    #[arg(long)]
    in_memory: bool,

    /// Draw with ASCII characters only
    #[arg(long)]
    ascii: bool,

    /// Program to run instead of the built-in client, linked to libustcp; it should fetch http://10.77.0.1/
    #[arg(trailing_var_arg = true, value_name = "PROGRAM", conflicts_with = "in_memory")]
    pub(crate) program: Vec<OsString>,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.001..=3600.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "give seconds from 0.001 to 3600".to_owned())
}

impl Options {
    /// What `USTCP_SYSCTL` is to say, if anything.
    pub(crate) fn sysctls(&self) -> Option<String> {
        let told: Vec<String> = self.sysctl.iter().map(ToString::to_string).collect();
        (!told.is_empty()).then(|| told.join(","))
    }

    /// Our stack's, where no environment tells it.
    fn config(&self) -> Config {
        let mut config = Config {
            time_wait: self.time_wait,
            ..Network::host_config(2)
        };
        self.sysctl.iter().for_each(|sysctl| sysctl.apply(&mut config));
        config
    }
}

/// Runs the demonstration.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.in_memory {
        return Demo::new(options).in_memory();
    }
    match own_network() {
        Ok(privilege) => Demo::new(options).on_tun(privilege),
        Err(why) => {
            let mut demo = Demo::new(options);
            demo.screen.say(&format!("No TUN device can be had here: {why}."))?;
            demo.screen
                .say("The same is shown between two stacks of ustcp, over a link in memory.")?;
            if !options.program.is_empty() {
                demo.screen
                    .say("The program is not run: without a device it would have nothing to talk over.")?;
            }
            if options.pcap.is_some() {
                demo.screen
                    .say("No capture is written: there are no packets outside this process.")?;
            }
            demo.screen.say("")?;
            demo.in_memory()
        }
    }
}

/// A network without a way out, in which a TUN device can be made. Must come before any thread.
fn own_network() -> io::Result<Privilege> {
    let privilege = namespace::unshare_network()?;
    namespace::probe_tun().map_err(|error| io::Error::new(error.kind(), format!("/dev/net/tun: {error}")))?;
    Ok(privilege)
}

struct Demo<'a> {
    options: &'a Options,
    screen: Screen,
}

impl Demo<'_> {
    fn new(options: &Options) -> Demo<'_> {
        Demo {
            options,
            screen: Screen::new(options.ascii),
        }
    }

    fn on_tun(mut self, privilege: Privilege) -> Result<(), Failure> {
        if let Some(path) = &self.options.pcap {
            let refused = |error| Failure::new(format!("--pcap={}: {error}", path.display())).with_status(WRONG_USAGE);
            probe_file(path).map_err(refused)?;
        }
        let server = Server::start(80).map_err(|error| Failure::new(format!("the server on port 80: {error}")))?;
        let scratch = Scratch::new()?;
        let program = Program {
            options: self.options,
            log: scratch.path("events"),
            capture: self.options.pcap.clone().or_else(|| {
                let is_needed = self.options.weather.is_some();
                is_needed.then(|| scratch.path("packets"))
            }),
        };
        self.introduce(&[
            ("program", &format!("{program}, on ustcp at {OUR_ADDRESS}")),
            ("server", &format!("HTTP on the Linux kernel's TCP, {PEERS_ADDRESS}:80")),
            (
                "between",
                &format!("TUN device {TUN} in a network of its own{}", right_of(privilege)),
            ),
        ])?;
        self.screen.heading("What the program printed")?;
        let status = program.run(&mut self.screen)?;
        let told = program.events()?;
        let is_on_ustcp = told.is_some();
        let (events, records) = (told.unwrap_or_default(), program.records());
        let answered = answered(&events);
        let closed = self.draw(&events, |flow| {
            let rows = with_losses(self.options, diagram::one_end(&events, flow), flow, &records);
            (diagram::with_inferred_peer(rows), linux_titles(flow))
        })?;
        let to_us = records.iter().filter(|record| record.direction == Direction::In);
        let theirs: Vec<Segment> = to_us.map(|record| record.segment).collect();
        self.tell_unmet(&sent(&events), &theirs)?;
        answered?;
        judge(status, server.pages(), closed).map_err(|failure| match failure {
            failure if is_on_ustcp => failure,
            failure => Failure::new(format!("{failure}; {NOT_ON_USTCP}")),
        })
    }

    fn in_memory(mut self) -> Result<(), Failure> {
        let weather = self.options.weather.clone().unwrap_or_default();
        self.introduce(&[
            ("client", &format!("ustcp at {OUR_ADDRESS}")),
            ("server", &format!("a second ustcp at {PEERS_ADDRESS}:80")),
            ("between", "a link in memory, in virtual time"),
        ])?;
        let talk = in_memory::fetch(PEERS_ADDRESS, &weather, self.options.config());
        self.screen.heading("What the client received")?;
        self.screen.indented(&mut talk.response.as_slice())?;
        let closed = self.draw(&talk.ours, |flow| {
            let mirrored = Flow {
                local: flow.remote,
                remote: flow.local,
            };
            let peers = diagram::one_end(&talk.peers, mirrored);
            (
                diagram::with_known_peer(&diagram::one_end(&talk.ours, flow), &peers),
                ustcp_titles(flow),
            )
        })?;
        self.tell_unmet(&sent(&talk.ours), &sent(&talk.peers))?;
        answered(&talk.ours)?;
        match talk.failure {
            Some(failure) => Err(Failure::new(failure.to_string())),
            None if !http::is_ok(&talk.response) => Err(Failure::new("the page did not arrive")),
            None => end_of(closed),
        }
    }

    /// Who counts packets wrong would look for a loss that never was.
    fn tell_unmet(&mut self, ours: &[Segment], theirs: &[Segment]) -> Result<(), Failure> {
        let Some(weather) = &self.options.weather else {
            return Ok(());
        };
        for drop in unmet(weather, ours, theirs) {
            self.screen.say(&format!("drop={drop}: there was no such packet."))?;
        }
        Ok(())
    }

    /// What is about to happen, as a small table.
    fn introduce(&mut self, rows: &[(&str, &str)]) -> Result<(), Failure> {
        let weather = self.options.weather.as_ref().map(ToString::to_string);
        let sysctl = self.options.sysctls();
        let word = if self.is_shortened() { "shortened" } else { "set" };
        let time_wait = format!(
            "{} s, {word} for this demonstration",
            self.options.time_wait.as_secs_f64()
        );
        let goodbye = format!(
            "the server takes {} ms for its part, so that all four steps are seen",
            GOODBYE.as_millis()
        );
        let is_ours = self.options.program.is_empty() && !self.options.in_memory;
        let patience = (weather.is_some() && is_ours)
            .then(|| format!("the client gives up after {} s without an answer", PATIENCE.as_secs()));
        let more = [
            ("weather", weather.as_deref()),
            ("patience", patience.as_deref()),
            ("sysctl", sysctl.as_deref()),
            ("close", Some(&goodbye)),
            ("TIME-WAIT", Some(&time_wait)),
        ];
        let more = more
            .iter()
            .filter_map(|(name, value)| value.map(|value| (*name, value)));
        for (name, value) in rows.iter().copied().chain(more) {
            self.screen.say(&format!("{name:<10} {value}"))?;
        }
        Ok(())
    }

    fn is_shortened(&self) -> bool {
        self.options.time_wait < Config::default().time_wait
    }

    /// Draws every connection of `events`. Whether there was one, and each was seen to CLOSED.
    fn draw(&mut self, events: &[Event], rows_of: impl Fn(Flow) -> (Vec<Row>, Titles)) -> Result<bool, Failure> {
        let flows = diagram::flows(events);
        let mut closed = !flows.is_empty();
        for flow in flows {
            let (rows, titles) = rows_of(flow);
            self.screen.heading("What happened")?;
            self.screen.print(&diagram::write(&titles, &rows, self.screen.look))?;
            let summary = Summary::of(&rows);
            self.screen.say("")?;
            self.screen.say(&summary.to_string())?;
            if summary.was_in_time_wait() && self.is_shortened() {
                self.screen
                    .say("It was shortened for this demonstration: unless told otherwise it lasts 60 s.")?;
            }
            closed &= summary.closed;
        }
        Ok(closed)
    }
}

/// In weather, with what it kept from us: the capture has seen that. Where no packet tells
/// how its clock stands to that of the events, there is no place to draw it.
fn with_losses(options: &Options, rows: Vec<Row>, flow: Flow, records: &[Record]) -> Vec<Row> {
    let Some(weather) = &options.weather else { return rows };
    let of_flow = records.iter().filter(|record| record.flow == flow);
    let records: Vec<Record> = of_flow.copied().collect();
    diagram::with_inbound_losses(&rows, &records, weather.delay).unwrap_or(rows)
}

/// What an end sent, whether it arrived or not.
fn sent(events: &[Event]) -> Vec<Segment> {
    let of_event = |event: &Event| match event.kind {
        EventKind::Sent { segment, .. } => Some(segment.into()),
        _ => None,
    };
    events.iter().filter_map(of_event).collect()
}

fn right_of(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::Administrator => "; no packet leaves it",
        Privilege::UserNamespace => " (of a user namespace); no packet leaves it",
    }
}

fn linux_titles(flow: Flow) -> Titles {
    Titles {
        ours: ["our end: ustcp".to_owned(), flow.local.to_string()],
        peers: ["the other end: Linux kernel".to_owned(), flow.remote.to_string()],
        peers_state: "state after, inferred from the packets",
        lost: "lost, or its answer was",
    }
}

fn ustcp_titles(flow: Flow) -> Titles {
    Titles {
        peers: ["the other end: a second ustcp".to_owned(), flow.remote.to_string()],
        peers_state: "state after",
        lost: "lost on the way",
        ..linux_titles(flow)
    }
}

/// Whether anything of the peer's came to us.
fn answered(events: &[Event]) -> Result<(), Failure> {
    let is_syn = |event: &&Event| {
        let EventKind::Sent { segment, .. } = event.kind else {
            return false;
        };
        Flags(segment.flags).has(Flags::SYN)
    };
    let syns = events.iter().filter(is_syn).count();
    let is_received = |event: &Event| matches!(event.kind, EventKind::Received { .. });
    if syns == 0 || events.iter().any(is_received) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "nothing came back: of {syns} SYNs that were sent none was answered"
    )))
}

/// What the demonstration came to.
fn judge(status: ExitStatus, pages: usize, closed: bool) -> Result<(), Failure> {
    if !status.success() {
        return Err(Failure::new(format!(
            "the program failed ({status}); what it said stands above"
        )));
    }
    if pages == 0 {
        return Err(Failure::new(format!(
            "the program did not fetch http://{PEERS_ADDRESS}/"
        )));
    }
    end_of(closed)
}

fn end_of(closed: bool) -> Result<(), Failure> {
    if closed {
        Ok(())
    } else {
        Err(Failure::new("the connection was not seen to CLOSED"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds() {
        assert_eq!(parse_seconds("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0", "-1", "nan", "inf", "1e9", "two"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
