//! The command `ustcp`.

mod background;
mod capture;
mod control;
mod demo;
mod diagram;
mod down;
mod explain;
mod fetch;
mod handshake;
mod holder;
mod http;
mod in_memory;
mod inferred;
mod join;
mod keepers;
mod listing;
mod marks;
mod nat;
mod options;
mod preload;
mod processes;
mod program;
mod relay;
mod rootless;
mod run;
mod scratch;
mod screen;
mod segment;
mod serve;
mod server;
mod ss;
mod summary;
mod supervise;
mod sys;
mod unmet;
mod up;
mod users;
mod way;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// TCP as a library: see it work.
#[derive(Parser)]
#[command(name = "ustcp", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Options),
    Run(run::Options),
    Up(up::Options),
    Down(down::Options),
    Ss(ss::Options),
    #[command(hide = true)]
    Fetch(fetch::Options),
    #[command(hide = true)]
    Relay(relay::Options),
}

/// Why the command did not do what was asked: one line that says what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Told {
        message: String,
        /// Of the process.
        status: u8,
    },
    /// Nobody reads what we print: there is nobody to tell.
    NoReader,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure::Told {
            message: message.into(),
            status: FAILED,
        }
    }

    /// Of the process.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Failure::Told { status, .. } => *status,
            Failure::NoReader => FAILED,
        }
    }

    /// With an exit status of its own, where it has none yet.
    pub(crate) fn with_status(self, status: u8) -> Failure {
        match self {
            Failure::Told {
                message,
                status: FAILED,
            } => Failure::Told { message, status },
            other => other,
        }
    }
}

/// The exit status of what has no other.
const FAILED: u8 = 1;
/// As clap has it.
const WRONG_USAGE: u8 = 2;

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::NoReader,
            _ => Failure::new(error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Told { message, .. } => f.write_str(message),
            Failure::NoReader => f.write_str("nobody reads what is printed"),
        }
    }
}

/// On standard error. Where that is closed or full nobody is told, and the exit status must do.
pub(crate) fn say(what: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "ustcp: {what}");
}

fn main() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let outcome = match Cli::parse().command {
        Command::Demo(options) => demo::run(&options).map(done),
        Command::Run(options) => run::run(&options),
        Command::Up(options) => up::run(&options),
        Command::Down(options) => down::run(&options).map(done),
        Command::Ss(options) => ss::run(&options).map(done),
        Command::Fetch(options) => fetch::run(&options).map(done),
        Command::Relay(options) => relay::run(&options).map(done),
    };
    match outcome {
        Ok(status) => status,
        Err(failure) => {
            if let Failure::Told { message, .. } = &failure {
                say(message);
            }
            ExitCode::from(failure.status())
        }
    }
}
