//! The command `ustcp`.

mod capture;
mod demo;
mod diagram;
mod fetch;
mod http;
mod in_memory;
mod inferred;
mod program;
mod relay;
mod scratch;
mod screen;
mod segment;
mod server;
mod summary;

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
    #[command(hide = true)]
    Fetch(fetch::Options),
    #[command(hide = true)]
    Relay(relay::Options),
}

/// Why the command did not do what was asked: one line that says what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Told(String),
    /// Nobody reads what we print: there is nobody to tell.
    NoReader,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure::Told(message.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::NoReader,
            _ => Failure::Told(error.to_string()),
        }
    }
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Fetch(options) => fetch::run(&options),
        Command::Relay(options) => relay::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told(message)) => {
            // Where standard error is closed, the exit code must do.
            let _ = writeln!(io::stderr(), "ustcp: {message}");
            ExitCode::FAILURE
        }
        Err(Failure::NoReader) => ExitCode::FAILURE,
    }
}
