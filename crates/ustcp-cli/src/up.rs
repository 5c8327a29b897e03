//! `ustcp up`: an engine that stays until it is told to end.

use ustcp_client::place::Place;
use ustcp_engine::Lifetime;

use crate::Failure;
use crate::control::{self, Control};
use crate::handshake::{self, NotStarted};
use crate::listing::{self, Listing};
use crate::options::{EngineOptions, Named};
use crate::{background, nat, serve};

const EXAMPLES: &str = "\
What no option says of the stack the environment variable of that name says, USTCP_TUN for --tun.

Signals: the first SIGINT, SIGTERM or SIGHUP closes listeners and connections as the end of a process does; the second
does not wait for that. `ustcp down` does the same from elsewhere.

Exit status: 0 when the engine has ended as it was told to (with --detach: is ready), 1 when it cannot be, 2 for wrong usage
and for a file that cannot be written.

Examples:
  ustcp up
          On ustcp0 with 10.77.0.2/24, until Ctrl-C
  ustcp up --detach --engine web --tun web0 --address 10.78.0.2/24
          A second one in the background, for ustcp run --engine web
  ustcp up --weather loss=1%,delay=20ms --pcap /tmp/engine.pcapng
          On a bad line, with a capture";

/// Start the engine: the stack as a process of its own, which programs started by `ustcp run` share.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(flatten)]
    named: Named,

    #[command(flatten)]
    engine: EngineOptions,

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
}

/// Runs the engine, or has it run.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.report {
        background::take_name();
    }
    if options.away {
        return Ok(background::go_away(|| u8::from(serve_reporting(options).is_err()))?);
    }
    if options.report {
        return serve_reporting(options);
    }
    let place = control::place(options.named.engine.as_deref())?;
    refuse_second(&place)?;
    if options.detach {
        options.engine.settings()?;
        return Ok(background::start(&place, &options.engine, Lifetime::UntilStopped)?);
    }
    serve(&place, &options.engine, Lifetime::UntilStopped, |outcome| {
        if outcome.is_ok() {
            eprintln!(
                "ustcp: the engine {} is up; Ctrl-C ends it",
                place.directory().display()
            );
        }
    })
}

/// By itself, or with somebody beside it who forwards.
fn serve(
    place: &Place,
    options: &EngineOptions,
    lifetime: Lifetime,
    ready: impl FnOnce(Result<(), &NotStarted>),
) -> Result<(), Failure> {
    match options.nat {
        true => nat::serve(place, options, lifetime, ready),
        false => serve::serve(place, options, lifetime, ready),
    }
}

fn serve_reporting(options: &Options) -> Result<(), Failure> {
    let lifetime = if options.until_idle {
        Lifetime::UntilIdle
    } else {
        Lifetime::UntilStopped
    };
    let place = control::place(options.named.engine.as_deref());
    let refused = |failure: Failure| {
        let why = NotStarted::from(failure);
        handshake::report(Err(&why));
        Failure::from(why)
    };
    let place = place.map_err(refused)?;
    options.engine.settings().map_err(refused)?;
    serve(&place, &options.engine, lifetime, handshake::report)
}

/// The lock would refuse it too, but without saying who holds it.
fn refuse_second(place: &Place) -> Result<(), Failure> {
    let (directory, option) = (place.directory().display(), place.option());
    if let Ok(control) = Control::open(place) {
        let pid = control.whereabouts.pid.unwrap_or(0);
        let lifetime = Listing::of(&control, u32::MAX).map(|listing| listing.engine.lifetime);
        return Err(Failure::new(match lifetime {
            Ok(listing::Lifetime::Idle) => format!(
                "the engine {directory} (pid {pid}) is one that ustcp run has started, and ends by itself when its programs \
                 and connections are gone and TIME-WAIT has passed; ustcp down{option} --now ends it at once, --engine NAME \
                 starts another"
            ),
            _ => format!(
                "the engine {directory} is up already (pid {pid}); ustcp down{option} ends it, --engine NAME starts another"
            ),
        }));
    }
    if let Ok(control) = Control::open_ending(place) {
        return Err(Failure::new(control.ending(place)));
    }
    Ok(())
}
