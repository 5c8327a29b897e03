//! A stack on its device, with a clock: what a process needs of it that has one thread and no lock.
//!
//! [`Runtime`](crate::Runtime) is the same behind a lock, with descriptors that mirror its sockets and threads that wait
//! for them.

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use libc::{c_int, c_ulong};
use ustcp_proto::{Config, Instant, Secret, SocketId, Stack};

use crate::clock::Clock;
use crate::device::{self, Device};
use crate::identity;
use crate::journal::Journal;
use crate::sys::{self, fork};
use crate::transfer::Outlet;
use crate::{Errno, Settings, StartError, ioctl, panics, sockopt};

/// Buffers a socket begins with where the device takes super-segments: enough for what arrives while the reader sleeps.
/// More is slower, for bytes then leave the cache between the two copies (1 MiB: half the throughput).
const OFFLOADED_BUFFER: usize = 512 * 1024;

/// The same on a plain device: what is in flight stays below a TUN queue of 500 packets.
const PLAIN_BUFFER: usize = 256 * 1024;

/// Packets taken from the device before the lock is let go: the last of a burst is then less than about 2 ms old.
const BURST: usize = 256;

/// Room for the largest packet and what a device puts before it.
const PACKET_ROOM: usize = 65_536 + 64;

/// A device whose descriptor a child made by fork closes.
pub(crate) struct Held(Box<dyn Device>);

impl Held {
    fn new(device: Box<dyn Device>) -> Held {
        fork::mark_private(device.fd());
        Held(device)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        fork::unmark_private(self.0.fd()); // before the number is someone else's
    }
}

/// The stack, its device and a clock.
pub struct Machine {
    pub(crate) stack: Stack,
    /// `None` once it is gone.
    device: Option<Held>,
    journal: Option<Journal>,
    packet: Box<[u8]>,
    /// A device that has gone, and nobody has been told yet.
    departed: Option<Held>,
    clock: Clock,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("device", &self.device_fd())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// Opens or makes the device, and puts a stack on it.
    pub fn open(settings: &Settings) -> Result<Machine, StartError> {
        panics::install();
        let device = device::open(settings)?;
        let journal = settings.log.as_deref().and_then(Journal::open);
        let config = config(device.as_ref(), settings, journal.is_some())
            .map_err(|error| StartError::new("the stack does not start", &error))?;
        Ok(Machine {
            stack: Stack::new(config),
            device: Some(Held::new(device)),
            journal,
            packet: vec![0; PACKET_ROOM].into_boxed_slice(),
            departed: None,
            clock: Clock::new(),
        })
    }

    /// The stack.
    pub fn stack(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// The time that its calls want.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// How long it is until `at`; zero when it has passed.
    pub fn until(&self, at: Instant) -> Duration {
        self.clock.until(at)
    }

    /// The device's descriptor, readable when there is something to [`receive`](Machine::receive); `None` once the
    /// device is gone.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.device
            .as_ref()
            .map(|Held(device)| sys::fd::of_owner(device.as_ref(), device.fd()))
    }

    /// setsockopt(2), as [`Socket::set_option`](crate::Socket::set_option), but for the times that calls wait.
    pub fn set_option(
        &mut self,
        now: Instant,
        id: SocketId,
        level: c_int,
        name: c_int,
        value: &[u8],
    ) -> Result<(), Errno> {
        sockopt::set(&mut self.stack, now, id, (level, name), value)
    }

    /// getsockopt(2), as [`Socket::option`](crate::Socket::option), but for the times that calls wait.
    pub fn option(
        &mut self,
        now: Instant,
        id: SocketId,
        (level, name): (c_int, c_int),
        room: usize,
    ) -> Result<Vec<u8>, Errno> {
        sockopt::tell(&mut self.stack, now, id, (level, name), room)
    }

    /// ioctl(2) where the answer is a number, as [`Socket::ask_number`](crate::Socket::ask_number).
    pub fn ask_number(&self, id: SocketId, request: c_ulong) -> Result<c_int, Errno> {
        ioctl::answer(&self.stack, id, request)
    }

    pub(crate) fn device_fd(&self) -> Option<RawFd> {
        self.device.as_ref().map(|Held(device)| device.fd())
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// A device that went since this was last asked. Closing it takes the kernel 20 ms.
    pub(crate) fn take_departed(&mut self) -> Option<Held> {
        self.departed.take()
    }

    /// Parts with the stack without looking at it, as after a panic nobody knows what is in its memory. What is left is
    /// the device.
    pub(crate) fn into_device(self, panicked: bool) -> Option<Held> {
        if panicked {
            std::mem::forget(self.stack);
        }
        self.device
    }

    /// Takes what time and the device have brought, some hundred packets at most. `false`: the device has more.
    pub fn receive(&mut self, now: Instant) -> bool {
        self.receive_with(now, |_, _| ())
    }

    /// The same, with something that is done `before` each packet.
    pub fn receive_with(&mut self, now: Instant, before: impl FnMut(&mut Stack, &[u8])) -> bool {
        let all = self.fetch(now, before);
        // After the packets: an acknowledgement that has lain there stops the timer that waits for it.
        if self.stack.poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.stack.on_timeout(now);
        }
        if let Some(journal) = &mut self.journal
            && journal.poll_timeout().is_some_and(|due| due <= now)
        {
            journal.on_timeout(now);
        }
        all
    }

    /// Takes packets, not more than a turn may. `false`: the device has more.
    fn fetch(&mut self, now: Instant, mut before: impl FnMut(&mut Stack, &[u8])) -> bool {
        let Some(Held(device)) = &mut self.device else {
            return true;
        };
        if device.poll_timeout().is_some_and(|due| due <= now) && device.on_timeout(now).is_err() {
            self.device_is_gone(now);
            return true;
        }
        for _ in 0..BURST {
            let Some(Held(device)) = &mut self.device else {
                return true;
            };
            match device.receive(now, &mut self.packet) {
                Ok(Some(received)) => {
                    before(&mut self.stack, received.packet);
                    self.stack.on_packet(now, received.packet, received.checksum);
                }
                Ok(None) => return true,
                Err(_) => self.device_is_gone(now),
            }
        }
        false
    }

    fn device_is_gone(&mut self, now: Instant) {
        self.departed = self.device.take();
        self.stack.on_network_down(now);
    }

    /// When [`receive`](Machine::receive) is due, whether or not the device has something.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let device = self.device.as_ref().and_then(|Held(device)| device.poll_timeout());
        let journal = self.journal.as_ref().and_then(Journal::poll_timeout);
        let stack = self.stack.poll_timeout().map(|(due, _)| due);
        [device, journal, stack].into_iter().flatten().min()
    }

    /// Sends what the stack has to send, and writes down what happened.
    pub fn transmit(&mut self, now: Instant) {
        let mut gone = false;
        while let Some(packet) = self.stack.poll_transmit(now) {
            gone |= self
                .device
                .as_mut()
                .is_some_and(|Held(device)| device.transmit(now, &packet).is_err());
        }
        if gone {
            self.device_is_gone(now);
        }
        if let Some(journal) = &mut self.journal {
            while let Some(event) = self.stack.poll_event() {
                journal.record(&event);
            }
        }
    }
}

impl Outlet for Machine {
    fn stack(&mut self) -> &mut Stack {
        &mut self.stack
    }

    fn transmit(&mut self, now: Instant) {
        Machine::transmit(self, now);
    }
}

fn config(device: &dyn Device, settings: &Settings, trace: bool) -> io::Result<Config> {
    let mut secret = [0; 32];
    fill_random(&mut secret)?;
    let segmentation_offload = device.segmentation_offload();
    let buffer = if segmentation_offload > 0 {
        OFFLOADED_BUFFER
    } else {
        PLAIN_BUFFER
    };
    let mut config = Config {
        addresses: settings.addresses.clone(),
        mtu: device.mtu(),
        segmentation_offload,
        checksum: device.checksum(),
        secret: Secret(secret),
        identity: identity::of(&settings.secret),
        time_wait: settings.time_wait,
        receive_buffer: buffer,
        send_buffer: buffer,
        congestion: settings.congestion,
        trace,
        ..Config::default()
    };
    settings.sysctl.apply(&mut config);
    Ok(config)
}

fn fill_random(into: &mut [u8]) -> io::Result<()> {
    getrandom::fill(into).map_err(|error| io::Error::other(error.to_string()))
}
