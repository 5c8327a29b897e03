//! A socket: calls that block, time out and set errno as the system's do.

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ustcp_proto::{Error, ErrorReport, Family, Info, Options, Readiness, Shutdown, SocketId, Stack, State};

use crate::core::Core;
use crate::drive::{Blocking, Shared, Step, Unmet};
use crate::machine::Machine;
use crate::mirror::Mirror;
use crate::sys::cancel::Uncancelled;
use crate::sys::signal;
use crate::transfer::{Receiving, Sending};
use crate::waiter::Interest;
use crate::{Errno, RecvFlags, Runtime, SendFlags};

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: `EAGAIN`.
    Never,
    /// Until then: `EAGAIN` after.
    Until(Instant),
    /// As long as it takes.
    Forever,
}

/// No timeout.
const FOREVER: u64 = u64::MAX;

/// A socket of a [`Runtime`]. Cloning makes another handle on the same socket; every method may be called from any
/// thread at any time. When the last handle goes, the socket is closed.
#[derive(Clone, Debug)]
pub struct Socket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Arc<Runtime>,
    id: SocketId,
    fd: RawFd,
    family: Family,
    nonblocking: AtomicBool,
    /// Nanoseconds, or [`FOREVER`].
    receive_timeout: AtomicU64,
    send_timeout: AtomicU64,
    /// Descriptors besides the first that the program has of it.
    copies: AtomicUsize,
    closed: AtomicBool,
}

impl Socket {
    pub(crate) fn new(runtime: &Arc<Runtime>, id: SocketId, fd: RawFd, family: Family) -> Socket {
        Socket(Arc::new(Inner {
            runtime: Arc::clone(runtime),
            id,
            fd,
            family,
            nonblocking: AtomicBool::new(false),
            receive_timeout: AtomicU64::new(FOREVER),
            send_timeout: AtomicU64::new(FOREVER),
            copies: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }))
    }

    /// The file descriptor: good for poll, select, epoll and fstat; for nothing else.
    pub fn fd(&self) -> RawFd {
        self.0.fd
    }

    /// One more descriptor of it is about.
    pub(crate) fn share(&self) {
        self.0.copies.fetch_add(1, Ordering::SeqCst);
    }

    /// One descriptor of it is gone: whether it was the last.
    pub(crate) fn unshare(&self) -> bool {
        let fewer = |copies: usize| copies.checked_sub(1);
        let before = self.0.copies.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer);
        before.is_err()
    }

    /// The runtime it belongs to.
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.0.runtime
    }

    /// Address family it was made with.
    pub fn family(&self) -> Family {
        self.0.family
    }

    /// `O_NONBLOCK` as last set.
    pub fn nonblocking(&self) -> bool {
        self.0.nonblocking.load(Ordering::Relaxed)
    }

    /// Sets `O_NONBLOCK`.
    pub fn set_nonblocking(&self, on: bool) {
        self.0.nonblocking.store(on, Ordering::Relaxed);
    }

    /// `SO_RCVTIMEO`; `None`: forever; zero: a call does not wait.
    pub fn receive_timeout(&self) -> Option<Duration> {
        duration(&self.0.receive_timeout)
    }

    /// Sets `SO_RCVTIMEO`.
    pub fn set_receive_timeout(&self, timeout: Option<Duration>) {
        set_duration(&self.0.receive_timeout, timeout);
    }

    /// `SO_SNDTIMEO`.
    pub fn send_timeout(&self) -> Option<Duration> {
        duration(&self.0.send_timeout)
    }

    /// Sets `SO_SNDTIMEO`.
    pub fn set_send_timeout(&self, timeout: Option<Duration>) {
        set_duration(&self.0.send_timeout, timeout);
    }

    /// How long a reading call (recv, accept) waits by `O_NONBLOCK` and `SO_RCVTIMEO`.
    pub fn receive_wait(&self) -> Wait {
        self.wait(&self.0.receive_timeout)
    }

    /// How long a writing call (send, connect) waits by `O_NONBLOCK` and `SO_SNDTIMEO`.
    pub fn send_wait(&self) -> Wait {
        self.wait(&self.0.send_timeout)
    }

    fn wait(&self, timeout: &AtomicU64) -> Wait {
        if self.nonblocking() {
            return Wait::Never;
        }
        match duration(timeout) {
            Some(Duration::ZERO) => Wait::Never,
            Some(timeout) => Instant::now().checked_add(timeout).map_or(Wait::Forever, Wait::Until),
            None => Wait::Forever,
        }
    }

    // Calls.

    /// bind(2).
    pub fn bind(&self, address: SocketAddr) -> Result<(), Errno> {
        self.call(|stack, _, id| stack.bind(id, address))
    }

    /// listen(2); negative backlogs count as the largest, as in Linux.
    pub fn listen(&self, backlog: i32) -> Result<(), Errno> {
        let backlog = usize::try_from(backlog).unwrap_or(usize::MAX);
        self.call(|stack, now, id| stack.listen(now, id, backlog))
    }

    /// accept(2).
    pub fn accept(&self, wait: Wait) -> Result<(Socket, SocketAddr), Errno> {
        let mut mirror = None;
        let (id, fd, peer) = self.block_on_core(Interest::Read, wait, |core, _, unmet| {
            match accept_one(core, self.0.id, &mut mirror) {
                Err(errno) if errno == Error::WouldBlock.into() => wait_or(unmet, libc::EAGAIN),
                result => Step::Done(result),
            }
        })?;
        Ok((Socket::new(&self.0.runtime, id, fd, self.0.family), peer))
    }

    /// connect(2). `EINPROGRESS` when `wait` ends first.
    pub fn connect(&self, address: SocketAddr, wait: Wait) -> Result<(), Errno> {
        let mut begun = false;
        self.block(Interest::Connect, wait, |live, now, unmet| {
            let told = match begun {
                false => live.stack.connect(now, self.0.id, address),
                true => live.stack.connected(self.0.id),
            };
            match told {
                Err(Error::InProgress) => {
                    begun = true;
                    wait_or(unmet, libc::EINPROGRESS)
                }
                Err(Error::AlreadyInProgress) => wait_or(unmet, if begun { libc::EINPROGRESS } else { libc::EALREADY }),
                result => Step::Done(result.map_err(Errno::from)),
            }
        })
    }

    /// connect(2) with `AF_UNSPEC`: undoes connect and listen.
    pub fn disconnect(&self) -> Result<(), Errno> {
        self.call(|stack, now, id| stack.disconnect(now, id))
    }

    /// send(2) and writev(2): blocks until all of it is taken, as Linux does; a partial count when interrupted or timed
    /// out after some. Raises SIGPIPE with `EPIPE` unless told not to.
    pub fn send(&self, data: &[IoSlice<'_>], flags: SendFlags, wait: Wait) -> Result<usize, Errno> {
        let mut sending = Sending::new(data, flags);
        let result = self.block(Interest::Write, wait, |live, now, unmet| {
            match sending.go_on(live, now, self.0.id) {
                Some(result) => Step::Done(result.map_err(Errno::from)),
                None if unmet.is_some() && sending.taken() > 0 => Step::Done(Ok(sending.taken())),
                None => wait_or(unmet, libc::EAGAIN),
            }
        });
        match (result, flags.towards) {
            (Err(Errno(libc::EPIPE)), _) if !flags.no_signal => signal::raise_sigpipe(),
            (Err(Errno(libc::EINPROGRESS)), Some(address)) if wait != Wait::Never => {
                // `MSG_FASTOPEN` to a server that has given us no cookie yet: after the handshake, as ever.
                self.connect(address, wait)?;
                let fast_open = false;
                return self.send(data, SendFlags { fast_open, ..flags }, wait);
            }
            _ => {}
        }
        result
    }

    /// recv(2) and readv(2).
    pub fn recv(&self, into: &mut [IoSliceMut<'_>], flags: RecvFlags, wait: Wait) -> Result<usize, Errno> {
        let mut receiving = Receiving::new(into, flags);
        self.block(Interest::Read, wait, |live, now, unmet| {
            match receiving.go_on(&mut live.stack, now, self.0.id) {
                Some(result) => Step::Done(result.map_err(Errno::from)),
                None if unmet.is_some() && receiving.taken() > 0 => Step::Done(Ok(receiving.taken())),
                None => wait_or(unmet, libc::EAGAIN),
            }
        })
    }

    /// shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        self.call(|stack, now, id| stack.shutdown(now, id, how))
    }

    /// close(2): the descriptor is closed at once, waiting calls end with `EBADF`, the connection finishes by itself.
    /// Waits as `SO_LINGER` says.
    pub fn close(&self) -> Result<(), Errno> {
        self.0.close(drop, true)
    }

    /// As [`close`](Socket::close), for a socket whose descriptor somebody has closed behind the library's back: its
    /// number may be someone else's now, so it is not closed again.
    pub(crate) fn close_without_descriptor(&self) {
        let _ = self.0.close(|fd| _ = fd.into_raw_fd(), false);
    }

    // Getters.

    /// getsockname(2).
    pub fn local_address(&self) -> Result<SocketAddr, Errno> {
        self.ask(|stack, _, id| stack.local_address(id))
    }

    /// getpeername(2).
    pub fn peer_address(&self) -> Result<SocketAddr, Errno> {
        self.ask(|stack, _, id| stack.peer_address(id))
    }

    /// The stack's options of this socket.
    pub fn options(&self) -> Result<Options, Errno> {
        self.ask(|stack, _, id| stack.options(id))
    }

    /// Reads, changes and writes the options under one lock.
    pub fn change_options(&self, change: impl FnOnce(&mut Options)) -> Result<(), Errno> {
        self.call(|stack, now, id| {
            let mut options = stack.options(id)?;
            change(&mut options);
            stack.set_options(now, id, options)
        })
    }

    /// `SO_ERROR`: the pending error's errno, cleared by this; 0 when none.
    pub fn take_error(&self) -> Result<i32, Errno> {
        match self.call(|stack, _, id| stack.take_error(id)) {
            Ok(error) => Ok(error.map_or(0, |error| Errno::from(error).0)),
            Err(Errno(libc::ENETDOWN)) => Ok(libc::ENETDOWN),
            Err(errno) => Err(errno),
        }
    }

    /// `TCP_INFO`.
    pub fn info(&self) -> Result<Info, Errno> {
        self.ask(|stack, now, id| stack.info(now, id))
    }

    /// The connection's state; LISTEN for a listener, CLOSED before and after.
    pub fn state(&self) -> Result<State, Errno> {
        self.ask(|stack, _, id| stack.state(id))
    }

    /// What poll would say.
    pub fn readiness(&self) -> Result<Readiness, Errno> {
        self.call(|stack, _, id| stack.readiness(id))
    }

    /// `FIONREAD`.
    pub fn queued_in(&self) -> Result<usize, Errno> {
        self.call(|stack, _, id| stack.queued_in(id))
    }

    /// `SIOCOUTQ`.
    pub fn queued_out(&self) -> Result<usize, Errno> {
        self.call(|stack, _, id| stack.queued_out(id))
    }

    /// With `TCP_INQ`, what recvmsg tells of the bytes left to read: 1 at the end of the stream.
    pub fn left_to_read(&self) -> Result<Option<i32>, Errno> {
        self.ask(|stack, _, id| stack.left_to_read(id))
    }

    /// `MSG_ERRQUEUE`: the oldest ICMP error that is kept, `EAGAIN` when there is none.
    pub fn take_report(&self) -> Result<ErrorReport, Errno> {
        self.call(|stack, _, id| stack.take_report(id))
    }

    // How.

    pub(crate) fn id(&self) -> SocketId {
        self.0.id
    }

    /// Whether close has begun.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }

    fn shared(&self) -> &Shared {
        self.0.runtime.shared()
    }

    pub(crate) fn call<R, E: Into<Errno>>(
        &self,
        body: impl FnOnce(&mut Stack, ustcp_proto::Instant, SocketId) -> Result<R, E>,
    ) -> Result<R, Errno> {
        let id = self.0.id;
        self.shared().call(id, |core, now| {
            body(&mut core.stack_for(id)?.stack, now, id).map_err(E::into)
        })?
    }

    /// A call that changes nothing.
    pub(crate) fn ask<R, E: Into<Errno>>(
        &self,
        body: impl FnOnce(&Stack, ustcp_proto::Instant, SocketId) -> Result<R, E>,
    ) -> Result<R, Errno> {
        let id = self.0.id;
        self.shared()
            .turn(|core, now| body(&core.stack_for(id)?.stack, now, id).map_err(E::into))?
    }

    fn block<T>(
        &self,
        interest: Interest,
        wait: Wait,
        mut step: impl FnMut(&mut Machine, ustcp_proto::Instant, Option<Unmet>) -> Step<T>,
    ) -> Result<T, Errno> {
        self.block_on_core(interest, wait, |core, now, unmet| match core.stack_for(self.0.id) {
            Ok(live) => step(live, now, unmet),
            Err(errno) => Step::Done(Err(errno)),
        })
    }

    fn block_on_core<T>(
        &self,
        interest: Interest,
        wait: Wait,
        mut step: impl FnMut(&mut Core, ustcp_proto::Instant, Option<Unmet>) -> Step<T>,
    ) -> Result<T, Errno> {
        let interests = [(self.0.id, interest)];
        let how = Blocking {
            interests: &interests,
            wait,
            foreign: &mut Vec::new(),
            restarts: true,
            restless: false,
        };
        self.shared().block(how, |core, now, _, unmet| {
            // close wakes the waiters it finds, and takes a second turn to tell the stack: nobody joins in between.
            if self.is_closed() {
                Step::Done(Err(Errno(libc::EBADF)))
            } else {
                step(core, now, unmet)
            }
        })
    }
}

impl Inner {
    fn close(&self, end: fn(OwnedFd), may_linger: bool) -> Result<(), Errno> {
        let shared = self.runtime.shared();
        if shared.is_inherited() || self.closed.swap(true, Ordering::SeqCst) {
            return Err(Errno(libc::EBADF));
        }
        let _uncancelled = Uncancelled::new();
        let (descriptor, lingers) = shared.with_core(|core| {
            let descriptor = core.remove_socket(self.id);
            let lingers = core
                .live
                .as_ref()
                .filter(|_| may_linger)
                .and_then(|live| linger_time(live, self.id));
            (descriptor, lingers)
        })?;
        descriptor.into_iter().for_each(end);
        let result = match lingers {
            Some(time) => self.linger(time),
            None => Ok(()),
        };
        // The connection goes on by itself; a stack that has ended has none.
        let _ = shared.call(self.id, |core, now| {
            core.live.as_mut().map(|live| live.stack.close(now, self.id))
        });
        result
    }

    /// Waits, at most for `time`, until the peer has acknowledged everything and our FIN.
    fn linger(&self, time: Duration) -> Result<(), Errno> {
        let shared = self.runtime.shared();
        let wait = Instant::now().checked_add(time).map_or(Wait::Forever, Wait::Until);
        let shut = shared.call(self.id, |core, now| {
            core.live
                .as_mut()
                .map(|live| live.stack.shutdown(now, self.id, Shutdown::Write))
        });
        if !matches!(shut, Ok(Some(Ok(())))) {
            return Ok(()); // no connection to wait for
        }
        let how = Blocking {
            interests: &[],
            wait,
            foreign: &mut Vec::new(),
            restarts: true,
            restless: true,
        };
        shared.block(how, |core, _, _, unmet| {
            let pending = core.live.as_ref().and_then(|live| live.stack.queued_out(self.id).ok());
            match unmet {
                _ if pending.unwrap_or(0) == 0 => Step::Done(Ok(())),
                Some(Unmet::TimedOut) => Step::Done(Ok(())),
                Some(Unmet::Interrupted) => Step::Done(Err(Errno(libc::EINTR))),
                None => Step::Wait,
            }
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.close(drop, false); // closed already, or now
    }
}

/// `None`: close does not wait. Unread data makes it an abort, which has nothing to wait for.
fn linger_time(live: &Machine, id: SocketId) -> Option<Duration> {
    let time = live.stack.options(id).ok()?.linger?;
    let unread = live.stack.queued_in(id).unwrap_or(0);
    (!time.is_zero() && unread == 0).then_some(time)
}

/// Takes one connection; its descriptor is made first, so that without one the connection stays in the queue.
fn accept_one(
    core: &mut Core,
    id: SocketId,
    mirror: &mut Option<Mirror>,
) -> Result<(SocketId, RawFd, SocketAddr), Errno> {
    if mirror.is_none() && core.stack_for(id)?.stack.readiness(id)?.readable {
        *mirror = Some(core.new_mirror()?);
    }
    let (accepted, peer) = core.stack_for(id)?.stack.accept(id)?;
    let mirror = match mirror.take() {
        Some(mirror) => mirror,
        None => core.new_mirror()?,
    };
    let fd = mirror.fd();
    core.enter_socket(accepted, mirror);
    core.show(accepted, None);
    Ok((accepted, fd, peer))
}

fn wait_or<T>(unmet: Option<Unmet>, timed_out: i32) -> Step<T> {
    match unmet {
        None => Step::Wait,
        Some(Unmet::TimedOut) => Step::Done(Err(Errno(timed_out))),
        Some(Unmet::Interrupted) => Step::Done(Err(Errno(libc::EINTR))),
    }
}

fn duration(nanos: &AtomicU64) -> Option<Duration> {
    let nanos = nanos.load(Ordering::Relaxed);
    (nanos != FOREVER).then(|| Duration::from_nanos(nanos))
}

fn set_duration(nanos: &AtomicU64, duration: Option<Duration>) {
    let value = duration.map_or(FOREVER, |duration| {
        u64::try_from(duration.as_nanos()).unwrap_or(FOREVER)
    });
    nanos.store(value, Ordering::Relaxed);
}
