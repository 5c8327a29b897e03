//! Who takes it back: a process beside the engine, which gives up its rights once its device is open.

use std::fs::File;
use std::io;
use std::process::Stdio;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};
use ustcp_client::place::Place;
use ustcp_engine::Lifetime;

use crate::Failure;
use crate::background;
use crate::handshake::{self, NotStarted};
use crate::options::EngineOptions;
use crate::serve::ending;
use crate::sys::{self, Signals};

/// Has an engine as a child, and forwards for it until it ends. The engine's exit status: why it ended it has told itself.
pub(crate) fn serve(
    place: &Place,
    options: &EngineOptions,
    lifetime: Lifetime,
    ready: impl FnOnce(Result<(), &NotStarted>),
) -> Result<u8, Failure> {
    let signals = Signals::hold(ending().chain([libc::SIGCHLD]));
    let (engine, started) = match start(place, options, lifetime, &signals) {
        Ok(started) => started,
        Err(why) => {
            ready(Err(&why));
            return Err(why.into());
        }
    };
    match &started {
        Ok(_) => ready(Ok(())),
        Err(why) => {
            ready(Err(why));
            sys::send(engine, libc::SIGTERM);
        }
    }
    let status = watch(engine, &signals)?;
    // What failed has taken its own back, and the place may be another's by now.
    if let Ok(note) = &started {
        super::take_back(place, note)?;
    }
    started?;
    Ok(status)
}

/// The engine, and the note of the forwarding that there is for it.
fn start(
    place: &Place,
    options: &EngineOptions,
    lifetime: Lifetime,
    signals: &Signals,
) -> Result<(Pid, Result<File, NotStarted>), NotStarted> {
    let settings = options.settings()?;
    let (reader, writer) = io::pipe()?;
    let mut command = background::command(place, &options.forwarded(super::everything(&settings)), lifetime);
    command.stdin(Stdio::null()).stdout(writer);
    let child = command.spawn()?; // with no signal held: the child of Rust's spawn holds none
    drop(command);
    let engine = Pid::from_child(&child);
    if let Err(why) = handshake::hear(reader) {
        watch(engine, signals)?;
        return Err(why);
    }
    // The place is ours now, and so is what an engine before us may have left there. Whoever takes that back just now is
    // waited for.
    let set_up = super::ensure_taken_back(place).and_then(|_| super::set_up(place, &settings));
    Ok((engine, set_up.map_err(NotStarted::from)))
}

/// Hands signals on until the engine has ended. Its exit status.
fn watch(engine: Pid, signals: &Signals) -> io::Result<u8> {
    loop {
        match waitpid(Some(engine), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => {
                if let Some(status) = sys::as_a_shell_has_it(status) {
                    return Ok(status);
                }
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let arrived = signals.next();
        // What a terminal sends the engine gets itself.
        if arrived.signal != libc::SIGCHLD && !arrived.is_the_groups() {
            sys::send(engine, arrived.signal);
        }
    }
}
