//! The drive: whoever calls moves packets.
//!
//! No thread sleeps with the stack's lock. What a thread does under it is a *turn*: fetch packets, make the call, send
//! what came of it, wake and show. Sleeping on the device is a right of its own, the *drive*, and one blocked thread
//! has it: it polls the device without the lock and takes a turn when something is there. The other blocked threads
//! follow: they sleep until their socket is ready or the drive is handed to them.
//!
//! The background thread listens to the device all the time, and notes what comes as `missed`. While somebody drives it
//! fetches what is still there a moment later. It never waits for the lock: whoever has that looks at `missed` before he
//! lets it go, and once more after. So nothing stays unread, whether a program blocks, polls natively, computes or is held up
//! in a signal's handler.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use ustcp_proto::{Instant, SocketId};

use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::core::{Core, Errands, Sleep};
use crate::machine::Machine;
use crate::sys::cancel::Uncancelled;
use crate::sys::fd::Bell;
use crate::sys::wait::PollFd;
use crate::sys::{fork, signal, wait};
use crate::waiter::{Interest, Waiter};
use crate::{Errno, Wait, panics};

/// While somebody drives, and for so long after, the background thread leaves the device alone: who was just here will
/// most likely be back, and every wake of another thread costs more than a packet.
const NAP: Duration = Duration::from_micros(250);

/// What a blocking call made of its turn.
pub(crate) enum Step<T> {
    /// It is done.
    Done(Result<T, Errno>),
    /// It waits for what it has enlisted for.
    Wait,
}

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmet {
    /// Time has passed.
    TimedOut,
    /// A signal came whose handler wants `EINTR`.
    Interrupted,
}

/// A blocking call: where it waits, for how long, and whose descriptors it watches besides.
pub(crate) struct Blocking<'a> {
    pub(crate) interests: &'a [(SocketId, Interest)],
    pub(crate) wait: Wait,
    /// Descriptors of the program; `revents` are filled after each sleep.
    pub(crate) foreign: &'a mut Vec<PollFd>,
    /// Whether `SA_RESTART` counts: it does not for poll.
    pub(crate) restarts: bool,
    /// Whether progress of any kind is worth a look.
    pub(crate) restless: bool,
}

/// The stack behind its lock, and what threads need to know without it.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    core: Mutex<Core>,
    generation: u32,
    driver_bell: Bell,
    pub(crate) background_bell: Bell,
    pub(crate) alarm: Arc<Alarm>,
    /// Somebody has the drive.
    driving: AtomicBool,
    /// The device has something that nobody has fetched yet, or a deadline has come.
    missed: AtomicBool,
    /// When the drive was last given up, in the clock's nanoseconds.
    driven_at: AtomicU64,
    pub(crate) ended: AtomicBool,
}

impl Shared {
    pub(crate) fn new(machine: Machine, mirror_key: u64) -> io::Result<Shared> {
        let clock = machine.clock();
        let alarm = Arc::new(Alarm::new());
        let core = Core::new(machine, mirror_key, Arc::clone(&alarm))?;
        Ok(Shared {
            clock,
            core: Mutex::new(core),
            generation: fork::generation(),
            driver_bell: Bell::new()?,
            background_bell: Bell::new()?,
            alarm,
            driving: AtomicBool::new(false),
            missed: AtomicBool::new(false),
            driven_at: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        })
    }

    /// Whether this process is a child of the one that started the stack: nothing here may be touched then.
    pub(crate) fn is_inherited(&self) -> bool {
        fork::generation() != self.generation
    }

    /// Runs `body` with the lock, whatever state the stack is in.
    pub(crate) fn with_core<R>(&self, body: impl FnOnce(&mut Core) -> R) -> Result<R, Errno> {
        if self.is_inherited() {
            return Err(Errno(libc::EBADF));
        }
        let _uncancelled = Uncancelled::new();
        let result = self.hold(self.core.lock(), body);
        if self.is_unattended() {
            self.attend();
        }
        result
    }

    /// Runs `body`, fetches what was missed meanwhile, and lets the lock go.
    fn hold<R>(&self, mut core: MutexGuard<'_, Core>, body: impl FnOnce(&mut Core) -> R) -> Result<R, Errno> {
        let result = panics::caught(|| {
            let result = body(&mut core);
            if self.missed.load(Ordering::SeqCst) {
                let now = self.clock.now();
                self.fetch(&mut core, now);
                core.settle(now, None);
            }
            result
        });
        let result = result.map_err(|what| self.die(&mut core, &what));
        let errands = std::mem::take(&mut core.errands);
        drop(core);
        self.run(&errands);
        result
    }

    /// Fetches what was missed. `false`: somebody has the lock, and does it before he lets go, or when he has. Nobody waits
    /// for the lock here, and so nobody's calls wait for whoever waited.
    pub(crate) fn attend(&self) -> bool {
        // Nothing else fails here: a panic has ended the stack, and the next call says so.
        self.core.try_lock().map(|core| self.hold(core, |_| ())).is_some()
    }

    /// A turn of a stack that lives: `ENETDOWN` otherwise.
    pub(crate) fn turn<R>(&self, body: impl FnOnce(&mut Core, Instant) -> R) -> Result<R, Errno> {
        self.with_core(|core| {
            if core.live.is_none() {
                return Err(Errno(libc::ENETDOWN));
            }
            Ok(body(core, self.clock.now()))
        })?
    }

    /// A call on one socket that does not wait.
    pub(crate) fn call<R>(&self, id: SocketId, body: impl FnOnce(&mut Core, Instant) -> R) -> Result<R, Errno> {
        self.turn(|core, now| {
            self.catch_up(core, now);
            let result = body(core, now);
            core.settle(now, None);
            core.show(id, None);
            result
        })
    }

    /// A call that waits until `step` says that it is done.
    pub(crate) fn block<T>(
        &self,
        mut how: Blocking<'_>,
        mut step: impl FnMut(&mut Core, Instant, &[PollFd], Option<Unmet>) -> Step<T>,
    ) -> Result<T, Errno> {
        let _uncancelled = Uncancelled::new();
        let mut waiter = None;
        let mut interrupted = false;
        loop {
            let next = self.turn(|core, now| {
                let unmet = self.unmet(how.wait, now, interrupted);
                self.look(core, now, &mut waiter, &mut how, |core, foreign| {
                    step(core, now, foreign, unmet)
                })
            });
            let sleep = match next {
                Ok(Next::Done(result)) => return result,
                Ok(Next::Sleep(sleep)) => sleep,
                Err(errno) => return Err(errno),
            };
            let Some(waiter) = &waiter else { continue };
            if let Err(error) = self.sleep(&sleep, waiter, &mut how) {
                let restarts = how.restarts && how.wait == Wait::Forever && signal::every_handler_restarts();
                interrupted |= error.raw_os_error() == Some(libc::EINTR) && !restarts;
            }
        }
    }

    fn unmet(&self, wait: Wait, now: Instant, interrupted: bool) -> Option<Unmet> {
        match wait {
            _ if interrupted => Some(Unmet::Interrupted),
            Wait::Never => Some(Unmet::TimedOut),
            Wait::Until(at) if self.clock.convert(at) <= now => Some(Unmet::TimedOut),
            Wait::Until(_) | Wait::Forever => None,
        }
    }

    /// One turn of a blocking call.
    fn look<T>(
        &self,
        core: &mut Core,
        now: Instant,
        waiter: &mut Option<Arc<Waiter>>,
        how: &mut Blocking<'_>,
        step: impl FnOnce(&mut Core, &[PollFd]) -> Step<T>,
    ) -> Next<T> {
        if let Some(waiter) = &waiter {
            waiter.arm();
        }
        match &waiter {
            Some(waiter) if core.is_driver(waiter) => self.fetch(core, now),
            _ => self.catch_up(core, now),
        }
        match step(core, how.foreign) {
            Step::Done(result) => {
                self.leave(core, now, waiter.as_ref(), how.interests);
                Next::Done(result)
            }
            Step::Wait => match self.enlist(core, waiter, how) {
                Ok(waiter) => {
                    core.settle(now, Some(waiter));
                    for (id, _) in how.interests {
                        core.reflect(*id); // what was there has not been taken
                    }
                    let may_follow = how.foreign.is_empty() || waiter.bell().is_some();
                    let sleep = core.sleep(waiter, may_follow, how.restless);
                    self.driving.store(core.has_driver(), Ordering::SeqCst);
                    Next::Sleep(sleep)
                }
                Err(errno) => {
                    self.leave(core, now, None, how.interests); // what was fetched may be news to others
                    Next::Done(Err(errno))
                }
            },
        }
    }

    fn enlist<'w>(
        &self,
        core: &mut Core,
        waiter: &'w mut Option<Arc<Waiter>>,
        how: &Blocking<'_>,
    ) -> Result<&'w Arc<Waiter>, Errno> {
        if waiter.is_none() {
            // One that follows needs a bell among the program's descriptors; one that drives has the driver's.
            let polls = !how.foreign.is_empty() && core.has_driver();
            let mine = if polls { Waiter::with_bell()? } else { Waiter::new() };
            core.enlist(&mine, how.interests);
            mine.arm();
            *waiter = Some(mine);
        }
        waiter.as_ref().ok_or(Errno(libc::ENOMEM))
    }

    /// Ends a call. Its drive is nobody's then: the thread will most likely be back at once.
    fn leave(&self, core: &mut Core, now: Instant, waiter: Option<&Arc<Waiter>>, interests: &[(SocketId, Interest)]) {
        let drove = waiter.is_some_and(|waiter| core.dismiss(waiter, interests));
        core.settle(now, None);
        for (id, _) in interests {
            core.show(*id, None);
        }
        if drove {
            self.driven_at.store(now.as_nanos(), Ordering::Relaxed);
            self.driving.store(false, Ordering::SeqCst);
            if self.missed.load(Ordering::SeqCst) {
                self.fetch(core, now);
                core.settle(now, None);
            }
        }
    }

    /// Fetches what the background thread has seen and left to callers, and does what is due.
    fn catch_up(&self, core: &mut Core, now: Instant) {
        if self.missed.load(Ordering::SeqCst) || self.alarm.is_due(now) {
            self.fetch(core, now);
        }
    }

    /// Fetches what the device has, as much as a turn may; the rest is the background thread's.
    pub(crate) fn fetch(&self, core: &mut Core, now: Instant) {
        self.missed.store(false, Ordering::SeqCst);
        core.errands.wake_background |= !core.receive(now);
    }

    fn sleep(&self, sleep: &Sleep, waiter: &Waiter, how: &mut Blocking<'_>) -> io::Result<()> {
        let own = match how.wait {
            Wait::Until(at) => Some(self.clock.convert(at)),
            Wait::Never | Wait::Forever => None,
        };
        match *sleep {
            Sleep::NotAtAll => Ok(()),
            Sleep::Driving { device, until } => {
                let until = own.into_iter().chain(until).min();
                self.poll(&self.driver_bell, device, until, how.foreign)
            }
            Sleep::Following => match waiter.bell() {
                Some(bell) => self.poll(bell, None, own, how.foreign),
                None => waiter.sleep(own.map(|at| self.clock.until(at))),
            },
        }
    }

    /// Sleeps on a bell, perhaps the device, and the program's descriptors.
    fn poll(
        &self,
        bell: &Bell,
        device: Option<i32>,
        until: Option<Instant>,
        foreign: &mut Vec<PollFd>,
    ) -> io::Result<()> {
        let timeout = until.map(|at| self.clock.until(at));
        let input = |fd| PollFd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut ours = [input(bell.fd()), input(device.unwrap_or(-1))];
        let result = if foreign.is_empty() {
            wait::poll(&mut ours, timeout)
        } else {
            foreign.extend(ours);
            let result = wait::poll(foreign, timeout);
            let at = foreign.len() - ours.len();
            ours.iter_mut()
                .zip(foreign.drain(at..))
                .for_each(|(to, from)| *to = from);
            result
        };
        if ours.first().is_some_and(|bell| bell.revents != 0) {
            bell.silence();
        }
        result.map(drop)
    }

    fn run(&self, errands: &Errands) {
        for waiter in &errands.rouse {
            waiter.rouse();
        }
        if errands.wake_driver {
            self.driver_bell.ring();
        }
        if errands.wake_background {
            self.background_bell.ring();
        }
    }

    /// A panic of ours: what the stack holds is not to be trusted, so nobody looks at it again.
    fn die(&self, core: &mut Core, what: &str) -> Errno {
        panics::report(what);
        self.ended.store(true, Ordering::SeqCst);
        core.end(true);
        Errno(libc::ENETDOWN)
    }

    /// Whether something waits to be fetched, or is due.
    pub(crate) fn is_unattended(&self) -> bool {
        fence(Ordering::SeqCst); // who found the lock taken has said so before, and who has let it go asks after
        self.missed.load(Ordering::SeqCst)
    }

    // The background thread's side.

    /// The device has something, or something is due.
    pub(crate) fn note_missed(&self) {
        self.missed.store(true, Ordering::SeqCst);
    }

    /// How long callers may take to fetch what was missed, when one is about to.
    pub(crate) fn nap(&self) -> Option<Duration> {
        let driven = Instant::from_nanos(self.driven_at.load(Ordering::Relaxed));
        let recently = self.clock.now().since(driven) < NAP;
        (recently || self.driving.load(Ordering::SeqCst)).then_some(NAP)
    }
}

enum Next<T> {
    Done(Result<T, Errno>),
    Sleep(Sleep),
}
