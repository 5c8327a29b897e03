//! `ustcp demo`: one page over our own TCP, and what its two ends did, packet by packet.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use ustcp_proto::{Event, Flow};
use ustcp_runtime::namespace::{self, Privilege};
use ustcp_sim::Weather;

use crate::Failure;
use crate::diagram::{self, Look, Row, Titles};
use crate::scratch::Scratch;
use crate::server::{GOODBYE, Server};
use crate::summary::Summary;
use crate::{http, in_memory};

const OUR_ADDRESS: &str = "10.77.0.2";
const PEERS_ADDRESS: &str = "10.77.0.1";
const TUN: &str = "ustcp0";

/// Fetch a page over ustcp from a server on the Linux kernel's TCP, and draw what happened.
///
/// Everything runs in a network namespace of its own: as root, or in a user namespace where this machine allows it.
/// Where no TUN device can be had, the same is shown between two stacks of ustcp over a link in memory.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds that TIME-WAIT lasts; ustcp's own default is 60
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = parse_seconds)]
    time_wait: Duration,

    /// Faults around the device, such as drop=FIN#1 or loss=10%,delay=5ms,seed=7
    #[arg(long, value_name = "SPEC")]
    weather: Option<Weather>,

    /// Write the packets to a pcapng file as well
    #[arg(long, value_name = "FILE", conflicts_with = "in_memory")]
    pcap: Option<PathBuf>,

    /// Use no TUN device: two stacks of ustcp over a link in memory, in virtual time
    #[arg(long)]
    in_memory: bool,

    /// Draw with ASCII characters only
    #[arg(long)]
    ascii: bool,

    /// Program to run instead of the built-in client, linked to libustcp; it should fetch http://10.77.0.1/
    #[arg(last = true, value_name = "PROGRAM", conflicts_with = "in_memory")]
    program: Vec<OsString>,
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

/// Runs the demonstration.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.in_memory {
        return Demo::new(options)?.in_memory();
    }
    match own_network() {
        Ok(privilege) => Demo::new(options)?.on_tun(privilege),
        Err(why) => {
            let mut demo = Demo::new(options)?;
            demo.say(&format!("No TUN device can be had here: {why}."))?;
            demo.say("The same is shown between two stacks of ustcp, over a link in memory.")?;
            if !options.program.is_empty() {
                demo.say("The program is not run: without a device it would have nothing to talk over.")?;
            }
            if options.pcap.is_some() {
                demo.say("No capture is written: there are no packets outside this process.")?;
            }
            demo.say("")?;
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
    look: Look,
    out: io::Stdout,
}

impl Demo<'_> {
    fn new(options: &Options) -> Result<Demo<'_>, Failure> {
        let out = io::stdout();
        let colour = out.is_terminal() && colour_is_wanted();
        Ok(Demo {
            options,
            look: Look {
                colour,
                ascii: options.ascii,
            },
            out,
        })
    }

    fn on_tun(mut self, privilege: Privilege) -> Result<(), Failure> {
        let server = Server::start(80).map_err(|error| Failure::new(format!("the server on port 80: {error}")))?;
        let scratch = Scratch::new()?;
        let log = scratch.path("events");
        let name = self.program_name();
        self.introduce(&[
            ("program", &format!("{name}, on ustcp at {OUR_ADDRESS}")),
            ("server", &format!("HTTP on the Linux kernel's TCP, {PEERS_ADDRESS}:80")),
            (
                "between",
                &format!("TUN device {TUN} in a network of its own{}", right_of(privilege)),
            ),
        ])?;
        self.heading("What the program printed")?;
        let status = self.run_program(&log)?;
        let events = read_events(&log)?;
        let closed = self.draw(&events, |flow| {
            (
                diagram::with_inferred_peer(diagram::one_end(&events, flow)),
                linux_titles(flow),
            )
        })?;
        judge(status, server.pages(), closed)
    }

    fn in_memory(mut self) -> Result<(), Failure> {
        let weather = self.options.weather.clone().unwrap_or_default();
        self.introduce(&[
            ("client", &format!("ustcp at {OUR_ADDRESS}")),
            ("server", &format!("a second ustcp at {PEERS_ADDRESS}:80")),
            ("between", "a link in memory, in virtual time"),
        ])?;
        let talk = in_memory::fetch(PEERS_ADDRESS, &weather, self.options.time_wait);
        self.heading("What the client received")?;
        self.indented(&mut talk.response.as_slice())?;
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
        match talk.failure {
            Some(failure) => Err(Failure::new(failure.to_string())),
            None if !http::is_ok(&talk.response) => Err(Failure::new("the page did not arrive")),
            None => end_of(closed),
        }
    }

    /// What is about to happen, as a small table.
    fn introduce(&mut self, rows: &[(&str, &str)]) -> Result<(), Failure> {
        let weather = self.options.weather.as_ref().map(ToString::to_string);
        let word = if self.is_shortened() { "shortened" } else { "set" };
        let time_wait = format!(
            "{} s, {word} for this demonstration",
            self.options.time_wait.as_secs_f64()
        );
        let goodbye = format!(
            "the server takes {} ms for its part, so that all four steps are seen",
            GOODBYE.as_millis()
        );
        let more = [
            ("weather", weather.as_deref()),
            ("close", Some(&goodbye)),
            ("TIME-WAIT", Some(&time_wait)),
        ];
        let more = more
            .iter()
            .filter_map(|(name, value)| value.map(|value| (*name, value)));
        for (name, value) in rows.iter().copied().chain(more) {
            self.say(&format!("{name:<10} {value}"))?;
        }
        Ok(())
    }

    fn is_shortened(&self) -> bool {
        self.options.time_wait < ustcp_proto::Config::default().time_wait
    }

    fn program_name(&self) -> String {
        if self.options.program.is_empty() {
            return "the built-in client".to_owned();
        }
        let words: Vec<_> = self.options.program.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    /// Runs the program to its end; it ends when TIME-WAIT is over.
    fn run_program(&mut self, log: &Path) -> Result<ExitStatus, Failure> {
        let mut child = self.spawn(log)?;
        if let Some(mut stdout) = child.stdout.take() {
            self.indented(&mut stdout)?;
        }
        Ok(child.wait()?)
    }

    fn spawn(&self, log: &Path) -> Result<Child, Failure> {
        let mut command = match self.options.program.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
            None => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["fetch".to_owned(), format!("http://{PEERS_ADDRESS}/")]);
                command
            }
        };
        self.environment(&mut command, log);
        let program = command.get_program().to_string_lossy().into_owned();
        command
            .spawn()
            .map_err(|error| Failure::new(format!("cannot run {program}: {error}")))
    }

    fn environment(&self, command: &mut Command, log: &Path) {
        command.stdout(Stdio::piped());
        command
            .env("USTCP_TUN", TUN)
            .env("USTCP_ADDRESS", format!("{OUR_ADDRESS}/24"))
            .env("USTCP_PEER", PEERS_ADDRESS);
        command.env("USTCP_TIME_WAIT", self.options.time_wait.as_secs_f64().to_string());
        command.env("USTCP_EXIT_WAIT", "closed").env("USTCP_LOG", log);
        let weather = self
            .options
            .weather
            .as_ref()
            .map(|weather| OsString::from(weather.to_string()));
        let pcap = self.options.pcap.as_ref().map(OsString::from);
        for (name, value) in [("USTCP_WEATHER", weather), ("USTCP_PCAP", pcap)] {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }

    /// Draws every connection of `events`. Whether there was one, and each was seen to CLOSED.
    fn draw(&mut self, events: &[Event], rows_of: impl Fn(Flow) -> (Vec<Row>, Titles)) -> Result<bool, Failure> {
        let flows = diagram::flows(events);
        let mut closed = !flows.is_empty();
        for flow in flows {
            let (rows, titles) = rows_of(flow);
            self.heading("What happened")?;
            self.out
                .write_all(diagram::write(&titles, &rows, self.look).as_bytes())?;
            let summary = Summary::of(&rows);
            self.say("")?;
            self.say(&summary.to_string())?;
            if summary.was_in_time_wait() && self.is_shortened() {
                self.say("It was shortened for this demonstration: unless told otherwise it lasts 60 s.")?;
            }
            closed &= summary.closed;
        }
        Ok(closed)
    }

    fn heading(&mut self, text: &str) -> Result<(), Failure> {
        let line = if self.look.colour {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        };
        self.say("")?;
        self.say(&line)?;
        self.say("")
    }

    fn say(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}")?;
        Ok(self.out.flush()?)
    }

    /// Copies lines as they come, each set in by two columns.
    fn indented(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        let mut buffer = [0; 4096];
        let mut at_start = true;
        loop {
            let count = match from.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            for line in buffer
                .get(..count)
                .unwrap_or(&[])
                .split_inclusive(|byte| *byte == b'\n')
            {
                let blank = matches!(line, b"\n" | b"\r\n");
                self.out.write_all(if at_start && !blank { b"  " } else { b"" })?;
                self.out.write_all(line)?;
                at_start = line.ends_with(b"\n");
            }
            self.out.flush()?;
            if count == 0 {
                return if at_start { Ok(()) } else { self.say("") };
            }
        }
    }
}

/// <https://no-color.org>
fn colour_is_wanted() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb")
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

/// The events that the library wrote down; none where it never started.
fn read_events(log: &Path) -> Result<Vec<Event>, Failure> {
    let text = match std::fs::read_to_string(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    let parse =
        |line: &str| serde_json::from_str(line).map_err(|error| Failure::new(format!("the event log: {error}")));
    text.lines().map(parse).collect()
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
