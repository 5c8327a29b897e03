//! Finding the engine that a program is to use: one that is up, or one that is started for it.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use ustcp_client::place::Place;
use ustcp_engine::Lifetime;

use crate::background;
use crate::control::{self, Control, NoControl};
use crate::handshake::NotStarted;
use crate::listing::{Engine, Listing};
use crate::options::EngineOptions;
use crate::{Failure, nat, say, way};

/// How long an engine that is ending may take: it waits for its last connections.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the device of an engine that has just ended may still be in use.
const DEVICE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// After which the user is told what is waited for.
const SILENCE: Duration = Duration::from_secs(1);

/// A place in an engine, held as long as this lives.
pub(crate) struct Joined {
    pub(crate) control: Control,
    pub(crate) run: u32,
}

/// Joins the engine at `place`, or starts one there. Somebody else who starts one at the same time, and one that is just
/// ending, are waited for.
pub(crate) fn join(place: &Place, options: &EngineOptions) -> Result<Joined, NotStarted> {
    let mut patience = Patience::new(Instant::now());
    let mut told = false;
    loop {
        if let Some(joined) = enter(place, options)? {
            return Ok(joined);
        }
        nat::take_back_remains(place);
        let why = match background::start(place, options, Lifetime::UntilIdle) {
            Ok(()) => continue,
            Err(why) => why,
        };
        if !matches!(why.errno, libc::EALREADY | libc::EBUSY) {
            return Err(why);
        }
        let ending = Control::open_ending(place).ok();
        let message = ending.as_ref().map_or(why.message, |control| control.ending(place));
        if patience.is_over(Instant::now(), why.errno) {
            return Err(NotStarted { message, ..why });
        }
        if patience.begun.elapsed() > SILENCE && !std::mem::replace(&mut told, true) {
            say(format_args!("waiting: {message}"));
        }
        match ending {
            Some(control) => _ = control.ends_within(SILENCE),
            None => thread::sleep(PAUSE),
        }
    }
}

/// With what is in the way of an engine.
struct Patience {
    begun: Instant,
    /// Since when the device is in use and no engine is there that ends.
    busy_since: Option<Instant>,
}

impl Patience {
    fn new(begun: Instant) -> Patience {
        Patience {
            begun,
            busy_since: None,
        }
    }

    /// Whether it has been in the way too long, which a start fails of with `errno`: an engine that ends, or its device.
    fn is_over(&mut self, now: Instant, errno: i32) -> bool {
        let is_busy = errno == libc::EBUSY;
        let (since, most) = match is_busy {
            true => (self.busy_since.unwrap_or(now), DEVICE_PATIENCE),
            false => (self.begun, PATIENCE),
        };
        self.busy_since = is_busy.then_some(since);
        now - since > most
    }
}

/// A lease of the engine that is there; `None` where none is, or none any more. One that nobody needs makes way for one with
/// other options.
pub(crate) fn enter(place: &Place, options: &EngineOptions) -> Result<Option<Joined>, NotStarted> {
    let control = match Control::open(place) {
        Ok(control) => control,
        Err(NoControl::NoEngine) => return Ok(None),
        Err(other) => return Err(other.into_failure(place).into()),
    };
    match take_place(place, options, &control) {
        Ok((run, None)) => Ok(Some(Joined { control, run })),
        Ok((_, Some(disagreement))) => {
            drop(control); // and with it the lease
            options.check()?; // nobody makes way for one that cannot be
            match way::make(place)? {
                true => Ok(None),
                false => Err(disagreement.into()),
            }
        }
        Err(error) if control::has_ended(&error) => Ok(None),
        Err(error) => Err(control::unanswered(place, &error).into_failure(place).into()),
    }
}

/// The run's number, and what the engine is that it should not be.
fn take_place(place: &Place, options: &EngineOptions, control: &Control) -> io::Result<(u32, Option<Failure>)> {
    let run = control.lease()?;
    if !options.are_said() {
        return Ok((run, None));
    }
    let engine = Listing::of(control, u32::MAX)?.engine;
    let what = options.disagreement(place, &engine);
    Ok((run, what.map(|what| disagreement(place, &engine, &what))))
}

fn disagreement(place: &Place, engine: &Engine, what: &str) -> Failure {
    let (directory, pid, option) = (place.directory().display(), engine.pid, place.option());
    Failure::new(format!(
        "the engine {directory} (pid {pid}) runs {what}: end it (ustcp down{option}), or name another (--engine NAME)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_its_time_after_the_engine_that_had_it() {
        let begun = Instant::now();
        let mut patience = Patience::new(begun);
        for (seconds, errno, is_over) in [
            (1, libc::EBUSY, false),
            (30, libc::EALREADY, false),
            (60, libc::EBUSY, false),
            (62, libc::EBUSY, false),
            (63, libc::EBUSY, true),
            (64, libc::EALREADY, false),
            (91, libc::EALREADY, true),
        ] {
            let now = begun + Duration::from_secs(seconds);
            assert_eq!(patience.is_over(now, errno), is_over, "after {seconds} s");
        }
    }
}
