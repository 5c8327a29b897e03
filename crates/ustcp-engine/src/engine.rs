//! The engine: one thread that waits for the device, for programs and for time, and takes turns.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use ustcp_client::protocol::Tag;
use ustcp_runtime::{ExitWait, Machine, Settings, StartError};

use crate::control::Control;
use crate::count::Counted;
use crate::departed::Departure;
use crate::descriptors::Descriptors;
use crate::greeting::{Greetings, Intake};
use crate::ground::Ground;
use crate::host::Host;
use crate::key::Key;
use crate::lifetime::Life;
use crate::list;
use crate::options::Options;
use crate::past::Pasts;
use crate::route::Routes;
use crate::shortage::Shortage;
use crate::site::Site;
use crate::socket::Sockets;
use crate::stranger::Strangers;

/// Bytes that are moved between a stream and a connection in one go.
pub(crate) const CHUNK: usize = 256 * 1024;

/// Events taken from the system at once.
pub(crate) const EVENTS: usize = 256;

/// How often in one turn what became ready because of others is looked at: connections inside the stack answer each other.
const ROUNDS: usize = 16;

/// The stack, its device, and everybody's sockets.
pub struct Engine {
    pub(crate) options: Options,
    pub(crate) ground: Ground,
    pub(crate) routes: Routes,
    pub(crate) host: Host,
    pub(crate) epoll: OwnedFd,
    pub(crate) sockets: Sockets,
    pub(crate) departed: Departure,
    pub(crate) prepared: Departure,
    pub(crate) greetings: Greetings,
    pub(crate) strangers: Strangers,
    pub(crate) controls: HashMap<u64, Control>,
    /// How many of them each client has.
    pub(crate) controlled: Counted,
    /// Those that something is being listed to, in the order in which they asked.
    pub(crate) lists: Vec<u64>,
    pub(crate) descriptors: Descriptors,
    /// Control connections whose request was answered after a while.
    pub(crate) answered: Vec<u64>,
    /// What was heard while a request was carried out, of those that it has nothing to do with.
    pub(crate) postponed: Vec<(Key, EventFlags)>,
    /// Sockets to be looked at.
    pub(crate) called: Vec<u64>,
    pub(crate) shortage: Shortage,
    /// Where bytes are between a stream and a connection.
    pub(crate) chunk: Box<[u8]>,
    /// The last number that was given to a greeting or a control connection.
    pub(crate) last_number: u64,
    /// Makes the numbers of sockets that listeners bring forth.
    pub(crate) numbers: RandomState,
    pub(crate) life: Life,
    pub(crate) exit_wait: ExitWait,
    pub(crate) pasts: Pasts,
    /// What it was told, for whoever asks.
    pub(crate) variables: serde_json::Value,
    /// It goes last, and its lock with it: whoever has waited for that may have the device.
    pub(crate) site: Site,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Takes its place, opens or makes the device, and is ready for programs, which wait until it [runs](Engine::run).
    /// `EALREADY` where an engine lives at that place, `EBUSY` where somebody else has the device.
    pub fn start(settings: &Settings, options: &Options) -> Result<Engine, StartError> {
        let site = Site::take(options.place)?;
        let machine = Machine::open(settings)?;
        let engine = Engine::on(site, machine, settings, options).map_err(|error| StartError {
            errno: ustcp_runtime::Errno::from(&error),
            message: format!("the engine does not start: {error}"),
        })?;
        engine.site.announce()?;
        Ok(engine)
    }

    fn on(site: Site, machine: Machine, settings: &Settings, options: &Options) -> io::Result<Engine> {
        let descriptors = Descriptors::raised();
        let quotas = options.quotas.within(descriptors.limit());
        let options = Options {
            quotas,
            ..options.clone()
        };
        let engine = Engine {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            sockets: Sockets::default(),
            departed: Departure::new(quotas.departed),
            prepared: Departure::new(quotas.departed),
            greetings: Greetings::none()?,
            strangers: Strangers::new(quotas),
            controls: HashMap::new(),
            controlled: Counted::default(),
            lists: Vec::new(),
            descriptors,
            answered: Vec::new(),
            postponed: Vec::new(),
            called: Vec::new(),
            shortage: Shortage::default(),
            host: Host::open()?,
            chunk: vec![0; CHUNK].into_boxed_slice(),
            last_number: 0,
            numbers: RandomState::new(),
            life: Life::new(options.lifetime, machine.now()),
            exit_wait: settings.exit_wait,
            pasts: Pasts::default(),
            variables: list::variables(settings),
            routes: Routes {
                own: settings.addresses.clone(),
                routes: options.routes.clone(),
                loopback: options.loopback,
            },
            options,
            site,
            ground: Ground {
                now: machine.now(),
                machine,
            },
        };
        engine.watch_all()?;
        Ok(engine)
    }

    fn watch_all(&self) -> io::Result<()> {
        let watch = |descriptor: &dyn AsFd, key: Key| {
            let data = EventData::new_u64(key.data());
            epoll::add(&self.epoll, descriptor.as_fd(), data, EventFlags::IN)
        };
        if let Some(device) = self.ground.machine.fd() {
            watch(&device, Key::Device)?;
        }
        for (index, (streams, controls)) in (0..).zip(self.site.streams.iter().zip(&self.site.controls)) {
            watch(streams, Key::Streams(index))?;
            watch(controls, Key::Controls(index))?;
        }
        watch(&self.greetings, Key::Greetings)?;
        Ok(())
    }

    /// Serves programs until its time is over. `ENETDOWN`: its device is gone, and all connections are broken.
    pub fn run(mut self) -> io::Result<()> {
        while self.step()? {}
        Ok(())
    }

    /// Waits for what comes next, and carries that out. `false`: its time is over.
    pub fn step(&mut self) -> io::Result<bool> {
        if self.is_over() {
            return Ok(false);
        }
        let mut room = [const { MaybeUninit::uninit() }; EVENTS];
        let events = self.sleep(&mut room)?;
        self.turn(events);
        match self.ground.machine.fd() {
            Some(_) => Ok(true),
            None => {
                self.give_up();
                Err(io::Error::new(io::ErrorKind::NetworkDown, "its device is gone"))
            }
        }
    }

    /// What epoll tells, once there is something to do.
    fn sleep<'a>(&mut self, room: &'a mut [MaybeUninit<Event>]) -> io::Result<&'a [Event]> {
        let due = [
            self.ground.machine.poll_timeout(),
            self.life.poll_timeout(),
            self.strangers.poll_timeout(),
            self.shortage.poll_timeout(),
        ];
        let until = match self.is_calm() && !self.has_lines() {
            true => due.into_iter().flatten().min().map(|at| self.ground.machine.until(at)),
            false => Some(Duration::ZERO),
        };
        let timeout = until.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        match epoll::wait(&self.epoll, room, timeout.as_ref()) {
            Ok((events, _)) => Ok(events),
            Err(Errno::INTR) => Ok(&[]),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what the device and programs have brought, and lets everything go on as far as it goes.
    fn turn(&mut self, events: &[Event]) {
        self.ground.now = self.ground.machine.now();
        let brought = events.iter().any(|event| event.data.u64() == Key::Device.data());
        if brought
            || self
                .ground
                .machine
                .poll_timeout()
                .is_some_and(|at| at <= self.ground.now)
        {
            self.receive();
        }
        // What has happened at streams comes first: requests are judged by it.
        let told = |event: &Event| Some((Key::from_data(event.data.u64())?, event.flags));
        let is_stream = |key: &Key| matches!(key, Key::Socket(..) | Key::Far(..));
        for streams in [true, false] {
            let now = events
                .iter()
                .filter_map(told)
                .filter(|(key, _)| is_stream(key) == streams);
            now.for_each(|(key, flags)| self.on_event(key, flags));
        }
        self.dismiss_overdue();
        self.relieve_in_time();
        self.settle();
        self.go_on_listing();
    }

    pub(crate) fn on_event(&mut self, key: Key, flags: EventFlags) {
        match key {
            Key::Streams(_) => self.take_streams(Intake::Turn),
            Key::Controls(_) => self.take_controls(Intake::Turn),
            Key::Greetings => self.hear_strangers(),
            Key::Control(number) => self.hear_control(number, flags),
            Key::Socket(number, which) => self.hear_stream(number, which, flags),
            Key::Far(number, which) => self.hear_far(number, which),
            Key::Device => {}
        }
    }

    /// Looks at everyone who was called, and sends what comes of it, until nobody calls or this has gone on for long.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS {
            for (key, flags) in std::mem::take(&mut self.postponed) {
                self.on_event(key, flags);
            }
            self.read_on();
            self.call_ready();
            self.look_at_all();
            self.ground.machine.transmit(self.ground.now);
            self.call_ready();
            if self.is_calm() {
                return;
            }
        }
    }

    fn is_calm(&self) -> bool {
        self.called.is_empty() && self.answered.is_empty() && self.postponed.is_empty()
    }

    /// Looks at everyone who was called so far.
    pub(crate) fn look_at_all(&mut self) {
        for number in std::mem::take(&mut self.called) {
            if let Some(socket) = self.sockets.get_mut(number) {
                socket.called = false;
                self.look_at(number);
            }
        }
    }

    /// Those whose connections can do something that they could not before.
    fn call_ready(&mut self) {
        while let Some(id) = self.ground.machine.stack().poll_ready() {
            if let Some(number) = self.sockets.number(id) {
                self.call(number);
            }
        }
    }

    /// The socket is to be looked at in this turn.
    pub(crate) fn call(&mut self, number: u64) {
        if let Some(socket) = self.sockets.get_mut(number)
            && !std::mem::replace(&mut socket.called, true)
        {
            self.called.push(number);
        }
    }

    /// A number for a socket that no program has chosen.
    pub(crate) fn new_socket_number(&mut self) -> u64 {
        loop {
            let serial = self.new_number();
            let number = self.numbers.hash_one(serial) & Tag::SOCKET_MASK;
            if number != 0 && !self.sockets.contains(number) {
                return number;
            }
        }
    }

    pub(crate) fn new_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Has epoll tell of a descriptor, of changes only.
    pub(crate) fn watch(&self, descriptor: impl AsFd, key: Key, flags: EventFlags) -> rustix::io::Result<()> {
        epoll::add(
            &self.epoll,
            descriptor,
            EventData::new_u64(key.data()),
            flags | EventFlags::ET,
        )
    }
}
