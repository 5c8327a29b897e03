//! The engine in this process, until it ends or a signal ends it.

use std::io;
use std::thread;

use ustcp_client::place::Place;
use ustcp_client::protocol::Operation;
use ustcp_engine::{Engine, Lifetime};
use ustcp_runtime::{Settings, StartError};

use crate::Failure;
use crate::control::Control;
use crate::handshake::NotStarted;
use crate::options::{EngineOptions, by_options};
use crate::sys::{Signals, inherited};

/// What ends an engine in order: SIGTERM, and of the others those that whoever started us does not have ignored.
pub(crate) fn ending() -> impl Iterator<Item = libc::c_int> {
    let all = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
    all.into_iter().filter(|signal| !inherited::is_ignored(*signal))
}

/// Is an engine at `place`. `ready` is called once programs find it.
pub(crate) fn serve(
    place: &Place,
    options: &EngineOptions,
    lifetime: Lifetime,
    ready: impl FnOnce(Result<(), &NotStarted>),
) -> Result<(), Failure> {
    // Before there is a second thread, so that no thread takes one for itself.
    let signals = Signals::hold(ending());
    let settings = options.settings()?;
    let engine = match started(&settings, &options.engine(place, lifetime)) {
        Ok(engine) => engine,
        Err(error) => {
            let why = NotStarted::from(StartError {
                message: by_options(&error.message),
                ..error
            });
            ready(Err(&why));
            return Err(why.into());
        }
    };
    let stopper = Control::open(place).map_err(|none| none.into_failure(place))?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || stop(&stopper, &signals))?;
    ready(Ok(()));
    engine
        .run()
        .map_err(|error: io::Error| Failure::new(format!("the engine: {error}")))
}

/// With its device open, and without the rights that took.
fn started(settings: &Settings, options: &ustcp_engine::Options) -> Result<Engine, StartError> {
    let engine = Engine::start(settings, options)?;
    ustcp_engine::give_up_rights()?;
    Ok(engine)
}

/// The first signal has the engine close everything as the end of a process does; the second does not wait for that.
fn stop(control: &Control, signals: &Signals) {
    // One that never shows the token would be sent away.
    let _ = control.ask(Operation::Hello, 0);
    signals.next();
    // Where it does not answer it is ending already.
    let _ = control.ask(Operation::Stop, 1);
    let second = signals.next();
    std::process::exit(128 + second.signal);
}
