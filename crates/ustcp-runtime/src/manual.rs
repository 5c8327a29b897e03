//! The manual port: a stack as a value, without device, thread or clock.
//!
//! Its owner hands in packets and the time, takes packets out, asks for the next deadline, and calls on sockets, none
//! of which ever waits. Every call happens at the time that was handed in last; what it makes the stack send is packed
//! there and then, so packets come out in the order and with the times of the calls that made them. The same seed, calls
//! and packets give the same packets, bit for bit.

mod output;
mod report;
mod sockets;

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;

use libc::{c_int, c_ulong};
pub use ustcp_proto::{Checksum, Instant};
use ustcp_proto::{
    Config, Error, ErrorReport, Event, Family, Readiness, Secret, Shutdown, SocketId, Stack, State, Timer,
};

use crate::transfer::{Outlet, Receiving, Sending};
use crate::{Errno, RecvFlags, SendFlags, ioctl, knobs, panics, poll, sockopt};

use output::Output;
pub use output::Packet;
pub use report::{Kind, Report};
use sockets::{Entry, Sockets};
pub use sockets::{FIRST_HANDLE, Handle};

/// A stack without device, thread or clock. One thread at a time may use it; it may move from thread to thread.
#[derive(Debug)]
pub struct ManualStack(Option<Live>);

/// The stack of one that has not panicked.
struct Live {
    stack: Stack,
    now: Instant,
    output: Output,
    sockets: Sockets,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Outlet for Live {
    fn stack(&mut self) -> &mut Stack {
        &mut self.stack
    }

    fn transmit(&mut self, now: Instant) {
        self.output.fill(&mut self.stack, now);
    }
}

impl ManualStack {
    /// A stack at time 0, without addresses and sockets. `seed`: what initial sequence numbers, ports and all else that
    /// is random come from; `None`: the system's randomness, as it must be where packets come from strangers.
    pub fn new(seed: Option<u64>) -> Result<ManualStack, Errno> {
        panics::install();
        let secret = match seed {
            Some(seed) => expand(seed),
            None => random_secret()?,
        };
        let config = Config {
            secret,
            ..Config::default()
        };
        Ok(ManualStack(Some(Live {
            stack: Stack::new(config),
            now: Instant::ZERO,
            output: Output::default(),
            sockets: Sockets::default(),
        })))
    }

    // Packets and time.

    /// A packet arrived at `now`. Whatever its bytes are: it is processed, or dropped and counted. `EINVAL` for a time
    /// before that of an earlier call.
    pub fn input(&mut self, now: Instant, packet: &[u8], checksum: Checksum) -> Result<(), Errno> {
        self.call(|live| {
            live.come_to(now)?;
            live.stack.on_packet(now, packet, checksum);
            Ok(())
        })
    }

    /// Time has come to `now`: timers that are due go off. Harmless when early. `EINVAL` for a time before that of an
    /// earlier call.
    pub fn advance(&mut self, now: Instant) -> Result<(), Errno> {
        self.call(|live| {
            live.come_to(now)?;
            live.stack.on_timeout(now);
            Ok(())
        })
    }

    /// The packet that is to be sent next; it stays until [`sent`](ManualStack::sent).
    pub fn output(&mut self) -> Result<Option<&Packet>, Errno> {
        self.call(|_| Ok(()))?; // what there was no room for before
        Ok(self.0.as_ref().and_then(|live| live.output.first()))
    }

    /// The packet that [`output`](ManualStack::output) told has been taken.
    pub fn sent(&mut self) {
        if let Some(live) = &mut self.0 {
            live.output.remove_first();
        }
    }

    /// When [`advance`](ManualStack::advance) is due, and for what; `None`: nothing happens by itself.
    pub fn deadline(&mut self) -> Result<Option<(Instant, Timer)>, Errno> {
        self.call(|live| Ok(live.stack.poll_timeout()))
    }

    /// The time of the last call that had one.
    pub fn now(&self) -> Result<Instant, Errno> {
        self.0.as_ref().map(|live| live.now).ok_or(Errno(libc::ENETDOWN))
    }

    /// The oldest event not yet fetched; the knob `trace` has them recorded.
    pub fn event(&mut self) -> Result<Option<Event>, Errno> {
        self.call(|live| Ok(live.stack.poll_event()))
    }

    /// A socket whose readiness has changed since it was last named here; new arrivals are a change.
    pub fn ready(&mut self) -> Result<Option<Handle>, Errno> {
        self.call(|live| {
            while let Some(id) = live.stack.poll_ready() {
                let Ok(readiness) = live.stack.readiness(id) else {
                    continue;
                };
                if let Some(handle) = live.sockets.show(id, readiness) {
                    return Ok(Some(handle));
                }
            }
            Ok(None)
        })
    }

    // Knobs.

    /// Sets a knob, from now on. `ENOENT` for an unknown name, `EINVAL` for a value out of range.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Errno> {
        self.call(|live| {
            let mut config = live.stack.config().clone();
            knobs::set(&mut config, name, value)?;
            config.checksum = match config.segmentation_offload {
                0 => Checksum::Full,
                _ => Checksum::Offloaded, // whoever splits packets sums them
            };
            live.stack.set_config(config);
            Ok(())
        })
    }

    /// Why [`set`](ManualStack::set) refuses, in words: what the knob takes, or which knobs there are.
    pub fn complaint(name: &str) -> String {
        knobs::complaint(name, knobs::names())
    }

    /// Tells a knob. `ENOENT` for an unknown name.
    pub fn knob(&mut self, name: &str) -> Result<String, Errno> {
        self.call(|live| knobs::tell(live.stack.config(), name))
    }

    // Sockets.

    /// socket(2).
    pub fn socket(&mut self, family: Family) -> Result<Handle, Errno> {
        self.call(|live| {
            let id = live.stack.socket(family)?;
            live.sockets.insert(id, family)
        })
    }

    /// The family that a socket was made with.
    pub fn family(&self, handle: Handle) -> Result<Family, Errno> {
        let live = self.0.as_ref().ok_or(Errno(libc::ENETDOWN))?;
        Ok(live.sockets.get(handle)?.family)
    }

    /// bind(2).
    pub fn bind(&mut self, handle: Handle, address: SocketAddr) -> Result<(), Errno> {
        self.on(handle, |stack, _, id| stack.bind(id, address))
    }

    /// listen(2); negative backlogs count as the largest, as in Linux.
    pub fn listen(&mut self, handle: Handle, backlog: c_int) -> Result<(), Errno> {
        let backlog = usize::try_from(backlog).unwrap_or(usize::MAX);
        self.on(handle, |stack, now, id| stack.listen(now, id, backlog))
    }

    /// accept(2). `EAGAIN` when no connection waits.
    pub fn accept(&mut self, handle: Handle) -> Result<(Handle, SocketAddr), Errno> {
        self.call(|live| {
            let Entry { id, family, .. } = *live.sockets.get(handle)?;
            let (accepted, peer) = live.stack.accept(id)?;
            Ok((live.sockets.insert(accepted, family)?, peer))
        })
    }

    /// connect(2). `EINPROGRESS` when the attempt has begun.
    pub fn connect(&mut self, handle: Handle, address: SocketAddr) -> Result<(), Errno> {
        self.on(handle, |stack, now, id| stack.connect(now, id, address))
    }

    /// connect(2) with `AF_UNSPEC`: undoes connect and listen.
    pub fn disconnect(&mut self, handle: Handle) -> Result<(), Errno> {
        self.on(handle, |stack, now, id| stack.disconnect(now, id))
    }

    /// With `TCP_INQ`, what recvmsg tells of the bytes left to read: 1 at the end of the stream.
    pub fn left_to_read(&mut self, handle: Handle) -> Result<Option<i32>, Errno> {
        self.on(handle, |stack, _, id| stack.left_to_read(id))
    }

    /// `MSG_ERRQUEUE`: the oldest ICMP error that is kept, `EAGAIN` when there is none.
    pub fn take_report(&mut self, handle: Handle) -> Result<ErrorReport, Errno> {
        self.on(handle, |stack, _, id| stack.take_report(id))
    }

    /// send(2) of several buffers: takes what there is room for. `EAGAIN` for none. Nothing waits here, nor raises
    /// signals.
    pub fn send(&mut self, handle: Handle, data: &[IoSlice<'_>], flags: SendFlags) -> Result<usize, Errno> {
        self.call(|live| {
            let id = live.sockets.get(handle)?.id;
            let now = live.now;
            let mut sending = Sending::new(data, flags);
            let result = sending.go_on(live, now, id);
            told(result, sending.taken())
        })
    }

    /// recv(2) into several buffers: moves what is there. `EAGAIN` for nothing.
    pub fn recv(&mut self, handle: Handle, into: &mut [IoSliceMut<'_>], flags: RecvFlags) -> Result<usize, Errno> {
        self.call(|live| {
            let id = live.sockets.get(handle)?.id;
            let mut receiving = Receiving::new(into, flags);
            let result = receiving.go_on(&mut live.stack, live.now, id);
            told(result, receiving.taken())
        })
    }

    /// shutdown(2).
    pub fn shutdown(&mut self, handle: Handle, how: Shutdown) -> Result<(), Errno> {
        self.on(handle, |stack, now, id| stack.shutdown(now, id, how))
    }

    /// close(2), at once also with `SO_LINGER`. The handle is gone.
    pub fn close(&mut self, handle: Handle) -> Result<(), Errno> {
        self.call(|live| {
            let id = live.sockets.remove(handle)?;
            Ok(live.stack.close(live.now, id)?)
        })
    }

    /// getsockname(2).
    pub fn local_address(&mut self, handle: Handle) -> Result<SocketAddr, Errno> {
        self.on(handle, |stack, _, id| stack.local_address(id))
    }

    /// getpeername(2).
    pub fn peer_address(&mut self, handle: Handle) -> Result<SocketAddr, Errno> {
        self.on(handle, |stack, _, id| stack.peer_address(id))
    }

    /// setsockopt(2), as [`Socket::set_option`](crate::Socket::set_option).
    pub fn set_option(&mut self, handle: Handle, level: c_int, name: c_int, value: &[u8]) -> Result<(), Errno> {
        self.call(|live| {
            let entry = live.sockets.get_mut(handle)?;
            match (level, name) {
                (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => entry.receive_timeout = sockopt::timeout(value)?,
                (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => entry.send_timeout = sockopt::timeout(value)?,
                _ => sockopt::set(&mut live.stack, live.now, entry.id, (level, name), value)?,
            }
            Ok(())
        })
    }

    /// getsockopt(2), as [`Socket::option`](crate::Socket::option).
    pub fn option(&mut self, handle: Handle, level: c_int, name: c_int, room: usize) -> Result<Vec<u8>, Errno> {
        self.call(|live| {
            let entry = live.sockets.get(handle)?;
            match (level, name) {
                (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => Ok(sockopt::timeval(entry.receive_timeout)),
                (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => Ok(sockopt::timeval(entry.send_timeout)),
                _ => sockopt::tell(&mut live.stack, live.now, entry.id, (level, name), room),
            }
        })
    }

    /// ioctl(2) where the answer is a number, as [`Socket::ask_number`](crate::Socket::ask_number).
    pub fn ask_number(&mut self, handle: Handle, request: c_ulong) -> Result<c_int, Errno> {
        self.call(|live| ioctl::answer(&live.stack, live.sockets.get(handle)?.id, request))
    }

    /// The connection's state; LISTEN for a listener, CLOSED before and after.
    pub fn state(&mut self, handle: Handle) -> Result<State, Errno> {
        self.on(handle, |stack, _, id| stack.state(id))
    }

    /// What poll would say.
    pub fn readiness(&mut self, handle: Handle) -> Result<Readiness, Errno> {
        self.on(handle, |stack, _, id| stack.readiness(id))
    }

    /// poll(2) of one socket, without waiting: the events of `events` that hold, and `POLLERR` and `POLLHUP` unasked;
    /// `POLLNVAL` for no socket.
    pub fn poll(&mut self, handle: Handle, events: i16) -> Result<i16, Errno> {
        match self.readiness(handle) {
            Ok(now) => Ok(poll::events(&now) & poll::wanted(events)),
            Err(Errno(libc::EBADF)) => Ok(libc::POLLNVAL),
            Err(errno) => Err(errno),
        }
    }

    // How.

    /// Does something to one socket.
    fn on<R>(
        &mut self,
        handle: Handle,
        body: impl FnOnce(&mut Stack, Instant, SocketId) -> Result<R, Error>,
    ) -> Result<R, Errno> {
        self.call(|live| {
            let id = live.sockets.get(handle)?.id;
            Ok(body(&mut live.stack, live.now, id)?)
        })
    }

    /// Does something and packs what the stack sends because of it. A panic is our bug: it stops here, and from then on
    /// every call is `ENETDOWN`.
    fn call<R>(&mut self, body: impl FnOnce(&mut Live) -> Result<R, Errno>) -> Result<R, Errno> {
        let live = self.0.as_mut().ok_or(Errno(libc::ENETDOWN))?;
        let outcome = panics::caught(|| {
            let result = body(live);
            live.transmit(live.now);
            result
        });
        outcome.unwrap_or_else(|what| {
            panics::report(&what);
            std::mem::forget(self.0.take()); // nobody knows what is in its memory
            Err(Errno(libc::ENETDOWN))
        })
    }

    /// Panics inside a call, for the tests that its host survives it.
    #[doc(hidden)]
    #[allow(clippy::panic, reason = "this is what it is for")]
    pub fn plant_panic(&mut self) -> Result<(), Errno> {
        self.call(|_| panic!("planted"))
    }
}

impl Live {
    /// `EINVAL` for a time that has passed.
    fn come_to(&mut self, now: Instant) -> Result<(), Errno> {
        if now < self.now {
            return Err(Errno(libc::EINVAL));
        }
        self.now = now;
        Ok(())
    }
}

/// What a call that does not wait tells where one that waits would go on.
fn told(result: Option<Result<usize, Error>>, taken: usize) -> Result<usize, Errno> {
    match result {
        Some(result) => Ok(result?),
        None if taken > 0 => Ok(taken),
        None => Err(Errno(libc::EAGAIN)),
    }
}

/// A secret from a seed: equal seeds, equal stacks. SplitMix64.
fn expand(seed: u64) -> Secret {
    let mut state = seed;
    let mut secret = [0; 32];
    for bytes in secret.as_chunks_mut::<8>().0 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        *bytes = (mixed ^ (mixed >> 31)).to_le_bytes();
    }
    Secret(secret)
}

fn random_secret() -> Result<Secret, Errno> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| Errno(libc::EIO))?;
    Ok(Secret(secret))
}

#[cfg(test)]
mod tests;
