//! One stack on one device, driven by whoever calls.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ustcp_proto::{Census, Counters, Family, Stack};

use crate::background;
use crate::drive::{Blocking, Shared, Step};
use crate::machine::Machine;
use crate::stderr::complain;
use crate::sys::cancel::Uncancelled;
use crate::sys::fork;
use crate::{Errno, ExitWait, Settings, Socket, Wait};

/// Why a runtime did not start: an errno, and one line for people that says what to do.
#[derive(Clone, Debug)]
pub struct StartError {
    /// `EPERM`, `EBUSY`, `EINVAL`, `ENODEV`, ...
    pub errno: Errno,
    /// What to do about it.
    pub message: String,
}

impl StartError {
    pub(crate) fn new(what: &str, error: &io::Error) -> StartError {
        StartError {
            errno: Errno::from(error),
            message: format!("{what}: {error}"),
        }
    }

    /// Says it on standard error, in one line.
    pub fn tell(&self) {
        complain(&self.message);
    }
}

/// One stack on one device.
pub struct Runtime {
    shared: Arc<Shared>,
    background: Mutex<Option<JoinHandle<()>>>,
    exit_wait: ExitWait,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("exit_wait", &self.exit_wait)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Opens or makes the device and starts the stack on it.
    pub fn start(settings: &Settings) -> Result<Arc<Runtime>, StartError> {
        let _uncancelled = Uncancelled::new();
        fork::install();
        let machine = Machine::open(settings)?;
        Runtime::start_on(machine, settings.exit_wait)
            .map_err(|error| StartError::new("the stack does not start", &error))
    }

    fn start_on(machine: Machine, exit_wait: ExitWait) -> io::Result<Arc<Runtime>> {
        let descriptor = machine.device_fd().unwrap_or(-1); // it is there: nothing was received yet
        let shared = Arc::new(Shared::new(machine, random_number()?)?);
        let background = background::start(&shared, descriptor)?;
        Ok(Arc::new(Runtime {
            shared,
            background: Mutex::new(Some(background)),
            exit_wait,
        }))
    }

    /// A new socket with its own file descriptor (close-on-exec; not inherited usefully by fork).
    pub fn socket(self: &Arc<Self>, family: Family) -> Result<Socket, Errno> {
        let (id, fd) = self.shared.turn(|core, _| {
            let mirror = core.new_mirror()?;
            let fd = mirror.fd();
            let Some(live) = core.live.as_mut().filter(|_| !core.stopping) else {
                return Err(Errno(libc::ENETDOWN));
            };
            let id = live.stack.socket(family)?;
            core.enter_socket(id, mirror);
            Ok((id, fd))
        })??;
        Ok(Socket::new(self, id, fd, family))
    }

    /// Ends the stack: waits as `Settings::exit_wait` says, then every call fails with `ENETDOWN`.
    pub fn stop(&self) {
        if self.shared.is_inherited() {
            return;
        }
        let _uncancelled = Uncancelled::new();
        if self.shared.turn(|core, now| core.close_all(now)).is_ok() {
            self.wait_for_the_end();
        }
        // Nothing is left to be told of an error here: the stack is gone in any case.
        let _ = self.shared.with_core(|core| {
            self.shared.ended.store(true, Ordering::SeqCst);
            core.end(false);
        });
        if let Some(background) = self.background.lock().take() {
            let _ = background.join();
        }
    }

    /// Drives until the peers have acknowledged what they must, or the time for that is over.
    fn wait_for_the_end(&self) {
        let wait = match self.exit_wait {
            ExitWait::Acknowledged(time) => Wait::Until(Instant::now() + time.min(Duration::from_secs(3600))),
            ExitWait::Closed => Wait::Forever,
        };
        let how = Blocking {
            interests: &[],
            wait,
            foreign: &mut Vec::new(),
            restarts: false,
            restless: true,
        };
        let _ = self.shared.block(how, |core, _, _, unmet| {
            let pending = core.live.as_ref().is_some_and(|live| match self.exit_wait {
                ExitWait::Acknowledged(_) => live.stack.has_unacknowledged(),
                ExitWait::Closed => {
                    let census = live.stack.census();
                    census.orphans + census.time_wait + census.half_open > 0
                }
            });
            if pending && unmet.is_none() {
                Step::Wait
            } else {
                Step::Done(Ok(()))
            }
        });
    }

    /// What the stack holds now.
    pub fn census(&self) -> Census {
        self.ask(|stack| stack.census())
    }

    /// What the stack counted.
    pub fn counters(&self) -> Counters {
        self.ask(|stack| *stack.counters())
    }

    fn ask<R: Default>(&self, question: impl FnOnce(&Stack) -> R) -> R {
        let answer = self
            .shared
            .turn(|core, _| core.live.as_ref().map(|live| question(&live.stack)));
        answer.ok().flatten().unwrap_or_default()
    }

    /// Plants a panic inside the stack's lock, for the test that the host survives it.
    #[doc(hidden)]
    #[allow(clippy::panic, reason = "this is what it is for")]
    pub fn plant_panic(&self) {
        let _ = self.shared.turn(|_, _| panic!("planted"));
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.shared.is_inherited() {
            // Its descriptors are closed, its lock may be held for ever, its thread does not exist here.
            std::mem::forget(Arc::clone(&self.shared));
            std::mem::forget(self.background.get_mut().take());
            return;
        }
        self.stop();
    }
}

fn random_number() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(u64::from_ne_bytes(bytes))
}
