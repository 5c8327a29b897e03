//! What the lock protects: the stack, its device, its sockets' mirrors and the threads that wait for them.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use ustcp_proto::{Instant, Readiness, SocketId};

use crate::Errno;
use crate::alarm::Alarm;
use crate::entries::Entries;
use crate::machine::{Held, Machine};
use crate::mirror::{Mirror, Sinks};
use crate::waiter::{Interest, Waiter};

/// A mirror that stayed behind tries again after this long, should no turn come before.
const RETRY: Duration = Duration::from_millis(50);

/// A socket as the runtime knows it.
struct Entry {
    mirror: Mirror,
    waiters: Vec<(Arc<Waiter>, Interest)>,
}

/// How a thread is to sleep.
pub(crate) enum Sleep {
    /// With the drive: in poll on the device.
    Driving {
        /// The device's descriptor, while there is one.
        device: Option<RawFd>,
        /// The stack's next deadline.
        until: Option<Instant>,
    },
    /// Without: until it is woken.
    Following,
    /// Not at all: it has been woken already.
    NotAtAll,
}

/// What a turn leaves to be done without the lock: a thread that is woken wants it.
#[derive(Default)]
pub(crate) struct Errands {
    /// Threads to be woken out of a sleep of their own.
    pub(crate) rouse: Vec<Arc<Waiter>>,
    /// The driver is to be woken out of its poll.
    pub(crate) wake_driver: bool,
    /// The background thread is to look again: an earlier deadline, or packets that nobody else will fetch.
    pub(crate) wake_background: bool,
    /// A device to be closed: that takes the kernel 20 ms, and whoever comes meanwhile must not wait for it.
    close: Option<Held>,
}

/// Everything behind the lock.
pub(crate) struct Core {
    /// `None` once the stack has stopped or died.
    pub(crate) live: Option<Machine>,
    /// No new calls: the stack is being stopped.
    pub(crate) stopping: bool,
    pub(crate) errands: Errands,
    alarm: Arc<Alarm>,
    entries: Entries<Entry>,
    /// Sockets whose mirrors could not show the truth for want of memory or descriptors.
    behind: Vec<SocketId>,
    sinks: Sinks,
    driver: Option<Arc<Waiter>>,
    /// Everyone who is in a blocking call.
    waiters: Vec<Arc<Waiter>>,
    /// Those who wait for progress of any kind.
    restless: Vec<Arc<Waiter>>,
}

impl Core {
    pub(crate) fn new(live: Machine, mirror_key: u64, alarm: Arc<Alarm>) -> io::Result<Core> {
        Ok(Core {
            live: Some(live),
            stopping: false,
            errands: Errands::default(),
            alarm,
            entries: Entries::new(),
            behind: Vec::new(),
            sinks: Sinks::new(mirror_key)?,
            driver: None,
            waiters: Vec::new(),
            restless: Vec::new(),
        })
    }

    // Sockets.

    /// The descriptor of a socket that is to come.
    pub(crate) fn new_mirror(&mut self) -> io::Result<Mirror> {
        Mirror::new(&mut self.sinks)
    }

    pub(crate) fn enter_socket(&mut self, id: SocketId, mirror: Mirror) {
        self.entries.insert(
            id,
            Entry {
                mirror,
                waiters: Vec::new(),
            },
        );
    }

    /// The stack, for a call on a socket: `EBADF` once the socket is closed, `ENETDOWN` once the stack is being stopped.
    pub(crate) fn stack_for(&mut self, id: SocketId) -> Result<&mut Machine, Errno> {
        if self.entries.get(id).is_none() {
            return Err(Errno(libc::EBADF));
        }
        let live = self.live.as_mut().filter(|_| !self.stopping);
        live.ok_or(Errno(libc::ENETDOWN))
    }

    /// Takes a socket out, wakes whoever waits on it, and hands out its descriptor.
    pub(crate) fn remove_socket(&mut self, id: SocketId) -> Option<OwnedFd> {
        let entry = self.entries.remove(id)?;
        for (waiter, _) in &entry.waiters {
            self.wake(waiter, None);
        }
        Some(self.sinks.release(entry.mirror))
    }

    /// Closes every connection as the end of a process does, and lets no new one begin. The descriptors stay their
    /// holders'.
    pub(crate) fn close_all(&mut self, now: Instant) {
        self.stopping = true;
        if let Some(live) = &mut self.live {
            for (id, _) in self.entries.iter_mut() {
                let _ = live.stack.close(now, id); // there is nobody left to tell
            }
        }
        self.wake_all();
        self.break_mirrors();
    }

    // A turn.

    /// Takes what the device has and what is due. `false`: the device has more.
    pub(crate) fn receive(&mut self, now: Instant) -> bool {
        self.live.as_mut().is_none_or(|live| live.receive(now))
    }

    /// The end of every turn: sends, wakes, settles mirrors, and sees to the next deadline.
    pub(crate) fn settle(&mut self, now: Instant, me: Option<&Arc<Waiter>>) {
        if let Some(live) = &mut self.live {
            live.transmit(now);
        }
        while let Some(id) = self.live.as_mut().and_then(|live| live.stack.poll_ready()) {
            self.show(id, me);
        }
        if let Some(departed) = self.live.as_mut().and_then(|live| live.take_departed()) {
            self.errands.close = Some(departed);
            self.wake_all();
            self.break_mirrors();
        }
        for waiter in std::mem::take(&mut self.restless) {
            if !me.is_some_and(|me| Arc::ptr_eq(me, &waiter)) {
                self.wake(&waiter, me);
            }
        }
        for id in std::mem::take(&mut self.behind) {
            self.reflect(id);
        }
        let retry = (!self.behind.is_empty()).then_some(now + RETRY);
        let next = self
            .live
            .as_mut()
            .and_then(Machine::poll_timeout)
            .into_iter()
            .chain(retry)
            .min();
        self.errands.wake_background |= self.alarm.set(next);
    }

    /// Wakes those who waited for what this socket can do now, and shows it.
    pub(crate) fn show(&mut self, id: SocketId, me: Option<&Arc<Waiter>>) {
        let Some(readiness) = self.readiness(id) else { return };
        let Some(entry) = self.entries.get(id) else { return };
        for (waiter, interest) in &entry.waiters {
            let met = interest.is_met(&readiness);
            if met && waiter.mark() && me.is_none_or(|me| !Arc::ptr_eq(me, waiter)) {
                rouse(waiter, self.driver.as_ref(), &mut self.errands);
            }
        }
        self.mirror(id, &readiness);
    }

    /// The mirror shows what this socket can do now.
    pub(crate) fn reflect(&mut self, id: SocketId) {
        if let Some(readiness) = self.readiness(id) {
            self.mirror(id, &readiness);
        }
    }

    /// The mirror shows this, unless a waiter that was woken has yet to look: it may take what is there, and settles the
    /// mirror when it leaves or goes back to sleep.
    fn mirror(&mut self, id: SocketId, readiness: &Readiness) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let awaited = entry.waiters.iter().any(|(waiter, interest)| {
            *interest == Interest::Connect || (waiter.is_woken() && interest.is_met(readiness))
        });
        if !awaited {
            let shown = entry.mirror.show(readiness, &mut self.sinks);
            if shown.is_err() && !self.behind.contains(&id) {
                self.behind.push(id);
            }
        }
    }

    fn readiness(&self, id: SocketId) -> Option<Readiness> {
        let live = self.live.as_ref().filter(|live| live.device_fd().is_some())?;
        live.stack.readiness(id).ok()
    }

    fn wake(&mut self, waiter: &Arc<Waiter>, me: Option<&Arc<Waiter>>) {
        if waiter.mark() && me.is_none_or(|me| !Arc::ptr_eq(me, waiter)) {
            rouse(waiter, self.driver.as_ref(), &mut self.errands);
        }
    }

    // Waiting.

    pub(crate) fn is_driver(&self, waiter: &Arc<Waiter>) -> bool {
        self.driver.as_ref().is_some_and(|driver| Arc::ptr_eq(driver, waiter))
    }

    pub(crate) fn has_driver(&self) -> bool {
        self.driver.is_some()
    }

    /// Enlists a waiter for `interests`.
    pub(crate) fn enlist(&mut self, waiter: &Arc<Waiter>, interests: &[(SocketId, Interest)]) {
        for (id, interest) in interests {
            if let Some(entry) = self.entries.get_mut(*id) {
                entry.waiters.push((Arc::clone(waiter), *interest));
            }
        }
        self.waiters.push(Arc::clone(waiter));
    }

    /// Ends what `enlist` began; the drive, if it had it, is nobody's then. `true`: it had.
    pub(crate) fn dismiss(&mut self, waiter: &Arc<Waiter>, interests: &[(SocketId, Interest)]) -> bool {
        for (id, _) in interests {
            if let Some(entry) = self.entries.get_mut(*id) {
                entry.waiters.retain(|(other, _)| !Arc::ptr_eq(other, waiter));
            }
        }
        self.restless.retain(|other| !Arc::ptr_eq(other, waiter));
        self.waiters.retain(|other| !Arc::ptr_eq(other, waiter));
        let drove = self.is_driver(waiter);
        if drove {
            self.driver = None;
        }
        drove
    }

    /// The waiter is about to sleep. The drive goes to a thread that this turn has woken, for it is the one that will
    /// be back first; without such a one the waiter keeps it, or takes it when nobody has it.
    pub(crate) fn sleep(&mut self, waiter: &Arc<Waiter>, may_follow: bool, restless: bool) -> Sleep {
        if restless && !self.restless.iter().any(|other| Arc::ptr_eq(other, waiter)) {
            self.restless.push(Arc::clone(waiter));
        }
        if waiter.is_woken() {
            return Sleep::NotAtAll;
        }
        if may_follow
            && self.is_driver(waiter)
            && let Some(next) = self.errands.rouse.first()
        {
            self.driver = Some(Arc::clone(next));
        }
        if self.driver.is_none() {
            self.driver = Some(Arc::clone(waiter));
        }
        if !self.is_driver(waiter) {
            return Sleep::Following;
        }
        let device = self.live.as_ref().and_then(Machine::device_fd);
        let until = self.live.as_mut().and_then(Machine::poll_timeout);
        Sleep::Driving { device, until }
    }

    // The end.

    /// No stack any more. After a panic its memory is left as it is, for nobody knows what is in it.
    pub(crate) fn end(&mut self, panicked: bool) {
        self.errands.close = self.live.take().and_then(|live| live.into_device(panicked));
        self.wake_all();
        self.break_mirrors();
    }

    /// Everyone who waits is woken.
    pub(crate) fn wake_all(&mut self) {
        self.errands.wake_driver = true;
        self.errands.wake_background = true;
        for waiter in &self.waiters {
            waiter.mark();
            self.errands.rouse.push(Arc::clone(waiter));
        }
    }

    /// Every mirror shows a broken connection.
    pub(crate) fn break_mirrors(&mut self) {
        for (_, entry) in self.entries.iter_mut() {
            entry.mirror.show_broken(&mut self.sinks);
        }
    }
}

fn rouse(waiter: &Arc<Waiter>, driver: Option<&Arc<Waiter>>, errands: &mut Errands) {
    if driver.is_some_and(|driver| Arc::ptr_eq(driver, waiter)) {
        errands.wake_driver = true;
    } else {
        errands.rouse.push(Arc::clone(waiter));
    }
}
