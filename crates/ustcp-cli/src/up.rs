//! `ustcp up`: an engine that stays until it is told to end.

use std::cell::Cell;
use std::env;
use std::process::ExitCode;

use ustcp_client::place::Place;
use ustcp_engine::Lifetime;

use crate::control::{self, Control};
use crate::handshake::{self, NotStarted};
use crate::keepers::Keepers;
use crate::listing::{self, Listing, Socket};
use crate::options::{EngineOptions, Named, tell_of_misspelt_variables};
use crate::{Failure, background, down, nat, say, serve, way};

const EXAMPLES: &str = "\
What no option says of the stack the environment variable of that name says, USTCP_TUN for --tun.

Signals: the first SIGINT, SIGTERM or SIGHUP closes listeners and connections as the end of a process does; the second
does not wait for that. SIGINT and SIGHUP do nothing where they are ignored from the start, as by nohup. `ustcp down` does
the same from elsewhere.

Exit status: 0 when the engine has ended as it was told to (with --detach: is ready), 1 when it cannot be, 2 for wrong usage
and for a file that cannot be written.

Examples:
  ustcp up
          On ustcp0 with 10.77.0.2/24, until Ctrl-C
  ustcp up --detach --engine web --tun web0 --address 10.78.0.2/24
          A second one in the background, for ustcp run --engine web
  ustcp up --weather loss=1%,delay=20ms --pcap engine.pcapng
          On a bad line, with a capture";

/// Start the engine: the stack as a process of its own, which programs started by `ustcp run` share.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(flatten)]
    named: Named,

    /// Return when the engine is ready and leave it in the background, in a session of its own; what it has to say goes to
    /// the file `log` in its directory
    #[arg(long)]
    detach: bool,

    /// Report on standard output, to the process that has started this one
    #[arg(long, hide = true)]
    report: bool,

    /// Go on in a child, in a session of its own
    #[arg(long, hide = true)]
    away: bool,

    /// End with the last lease and connection
    #[arg(long, hide = true)]
    until_idle: bool,

    // Last, as its heading would be that of all that follows.
    #[command(flatten)]
    engine: EngineOptions,
}

/// Runs the engine, or has it run.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    if options.report {
        background::take_name();
    }
    if options.away {
        background::go_away(|| serve_reporting(options))?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.report {
        return Ok(serve_reporting(options).into());
    }
    tell_of_misspelt_variables();
    options.engine.check()?; // nobody makes way for one that cannot be
    let place = control::place(options.named.engine.as_deref())?;
    way::make(&place)?;
    refuse_second(&place)?;
    nat::take_back_remains(&place);
    if options.detach {
        background::start(&place, &options.engine, Lifetime::UntilStopped)?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = serve(&place, &options.engine, Lifetime::UntilStopped, |outcome| {
        if outcome.is_ok() {
            say(format_args!(
                "the engine {} is up; Ctrl-C ends it",
                place.directory().display()
            ));
        }
    })?;
    Ok(status.into())
}

/// By itself, or with somebody beside it who forwards. The exit status.
fn serve(
    place: &Place,
    options: &EngineOptions,
    lifetime: Lifetime,
    ready: impl FnOnce(Result<(), &NotStarted>),
) -> Result<u8, Failure> {
    match options.nat {
        true => nat::serve(place, options, lifetime, ready),
        false => serve::serve(place, options, lifetime, ready).map(|()| 0),
    }
}

/// For the process that has started this one. What fails before the engine is ready that one is told, and tells; what ends it
/// afterwards stands in the log.
fn serve_reporting(options: &Options) -> u8 {
    let is_reported = Cell::new(false);
    let report = |outcome: Result<(), &NotStarted>| {
        is_reported.set(outcome.is_err());
        if outcome.is_ok() {
            keep_log(options); // the place is ours, and nobody takes it away any more
            let _ = env::set_current_dir("/"); // whose file system may be taken away now that all files are open
        }
        handshake::report(outcome);
    };
    serve_in_background(options, report).unwrap_or_else(|failure| {
        if !is_reported.get() {
            keep_log(options); // with the engine an empty one went
            say(&failure);
        }
        failure.status()
    })
}

fn keep_log(options: &Options) {
    if let Ok(place) = control::place(options.named.engine.as_deref()) {
        let _ = background::keep_log(&place); // where there can be none nobody is to be told
    }
}

fn serve_in_background(options: &Options, report: impl Fn(Result<(), &NotStarted>)) -> Result<u8, Failure> {
    let lifetime = if options.until_idle {
        Lifetime::UntilIdle
    } else {
        Lifetime::UntilStopped
    };
    let refused = |failure: Failure| {
        let why = NotStarted::from(failure);
        report(Err(&why));
        Failure::from(why)
    };
    let place = control::place(options.named.engine.as_deref()).map_err(refused)?;
    options.engine.check().map_err(refused)?;
    serve(&place, &options.engine, lifetime, &report)
}

/// The lock would refuse it too, but without saying who holds it. One that is ending by itself is waited for.
fn refuse_second(place: &Place) -> Result<(), Failure> {
    let (directory, option) = (place.directory().display(), place.option());
    if let Ok(control) = Control::open(place) {
        let pid = control.whereabouts.pid.unwrap_or(0);
        return Err(Failure::new(match Listing::of(&control, 0) {
            Ok(Listing { engine, sockets, .. }) if engine.lifetime == listing::Lifetime::Idle => format!(
                "the engine {directory} (pid {pid}) is one that ustcp run has started, and ends by itself when its programs \
                 and connections are gone{}; ustcp down{option} --now ends it at once, --engine NAME starts another",
                kept_by(&control, &sockets)
            ),
            _ => format!(
                "the engine {directory} is up already (pid {pid}); ustcp down{option} ends it, --engine NAME starts another"
            ),
        }));
    }
    let Ok(control) = Control::open_ending(place) else {
        return Ok(());
    };
    let process = control.process();
    match control.ends_within(way::MOMENT) {
        true => down::see_out(place, &control, process),
        false => Err(Failure::new(control.ending(place))),
    }
}

/// `: sleep (pid 12)`: whose end is waited for; where nobody's is to be seen, what is left.
fn kept_by(control: &Control, sockets: &[Socket]) -> String {
    match Keepers::of(control, sockets) {
        Some(keepers) => format!(": {keepers}"),
        None if sockets.is_empty() => String::new(),
        None => format!(": {}", down::what_is_left(sockets)),
    }
}
