//! When the engine ends.

use std::time::Duration;

use ustcp_proto::Instant;
use ustcp_runtime::Errno;

use crate::closing::Closing;
use crate::control::Answer;
use crate::engine::Engine;
use crate::greeting::Intake;
use crate::options::Lifetime;

/// How long one that ends when it is idle waits for its first lease.
const GRACE: Duration = Duration::from_secs(10);

/// How the engine has been told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Not at all.
    None,
    /// When its last connection is gone.
    WhenIdle,
    /// At once: it begins to close.
    Now,
    /// It closes.
    Closing(Closing),
}

/// What keeps an engine.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) stop: Stop,
    /// Before this nothing is idle.
    grace: Option<Instant>,

    /// Leases that are open.
    pub(crate) leases: usize,
    last_run: u32,
}

impl Life {
    pub(crate) fn new(lifetime: Lifetime, now: Instant) -> Life {
        Life {
            stop: Stop::None,
            grace: (lifetime == Lifetime::UntilIdle).then_some(now + GRACE),

            leases: 0,
            last_run: 0,
        }
    }

    /// When to look whether it is over, should nothing happen before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.stop {
            Stop::Closing(Closing::Acknowledged(until)) => Some(until),
            _ => self.grace,
        }
    }
}

impl Engine {
    /// A program is about to be started: its number.
    pub(crate) fn lease(&mut self, control: u64) -> Answer {
        let Some(control) = self.controls.get_mut(&control) else {
            return Ok(Vec::new());
        };
        if matches!(self.life.stop, Stop::Now | Stop::Closing(_)) {
            return Err(Errno(libc::ECONNABORTED)); // it comes too late
        }
        if control.lease.is_none() {
            self.life.last_run = self.life.last_run.wrapping_add(1).max(1);
            self.life.leases += 1;
            self.pasts.begin(self.life.last_run);
        }
        self.life.grace = None;
        let run = *control.lease.get_or_insert(self.life.last_run);
        Ok(run.to_ne_bytes().to_vec())
    }

    /// It is to end, and programs that look for an engine find it no longer.
    pub(crate) fn stop(&mut self, how: u32) -> Answer {
        self.life.stop = match how {
            _ if self.is_closing() => self.life.stop,
            0 => Stop::WhenIdle,
            _ => Stop::Now,
        };
        self.site.withdraw();
        Ok(Vec::new())
    }

    /// It is to end, if nobody uses it any more.
    pub(crate) fn make_way(&mut self) -> Answer {
        if !self.is_unused() {
            return Err(Errno(match self.options.lifetime {
                Lifetime::UntilIdle => libc::EBUSY,
                Lifetime::UntilStopped => libc::EINVAL,
            }));
        }
        if !self.is_closing() {
            // Nothing is left to be acknowledged, and whoever asks does not wait for TIME-WAIT.
            self.life.stop = Stop::Closing(Closing::Acknowledged(self.ground.now));
        }
        self.site.withdraw();
        Ok(Vec::new())
    }

    /// Whether its time is over. It looks once more for those who come just then.
    pub(crate) fn is_over(&mut self) -> bool {
        match self.life.stop {
            Stop::Now | Stop::Closing(_) => return self.is_closed(),
            Stop::WhenIdle => return self.has_no_connection(),
            Stop::None => {}
        }
        if !self.is_idle() {
            return false;
        }
        self.site.withdraw();
        self.take_controls(Intake::All);
        self.take_streams(Intake::All);
        let over = self.is_idle();
        // Whoever came late is served; an engine that cannot be found is of use to those who have found it.
        let _ = over || self.site.announce().is_ok();
        over
    }

    fn is_idle(&mut self) -> bool {
        self.is_unused() && self.has_no_connection()
    }

    /// It is to end by itself, and nothing but TIME-WAIT keeps it.
    fn is_unused(&mut self) -> bool {
        if self.life.grace.is_some_and(|until| until <= self.ground.now) {
            self.life.grace = None;
        }
        let may_end = self.options.lifetime == Lifetime::UntilIdle && self.life.grace.is_none();
        may_end && self.life.leases == 0 && self.has_at_most_time_wait()
    }

    /// No socket of a program, and nothing that goes on without one: TIME-WAIT has passed.
    pub(crate) fn has_no_connection(&mut self) -> bool {
        self.has_at_most_time_wait() && self.ground.machine.stack().census().time_wait == 0
    }

    fn has_at_most_time_wait(&mut self) -> bool {
        self.sockets.is_empty() && {
            let census = self.ground.machine.stack().census();
            census.sockets + census.orphans + census.half_open + census.unaccepted == 0
        }
    }
}
