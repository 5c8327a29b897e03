//! What one side of a [`Scenario`](crate::Scenario) does with its socket.
//!
//! A program acts only when its stack says that something changed, or when it has rested: a readiness that is not
//! announced makes it hang, and so shows.

use core::net::SocketAddr;
use core::time::Duration;
use std::rc::Rc;

use ustcp_proto::{Error, Family, Framing, Instant, Options, Readiness, Shutdown, SocketId, Stack};

use crate::Rng;
use crate::scenario::{Ending, LEAST, Side};

/// Where a program stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting { peer: SocketAddr },
    Listening,
    Talking,
    Over,
}

/// Whether bytes may be lost in this scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Everything arrives and no call fails.
    Everything,
    /// What arrives is a prefix, and the connection may end with an error.
    Prefix,
}

pub(crate) struct Program {
    side: Side,
    promise: Promise,
    phase: Phase,
    socket: SocketId,
    rng: Rng,
    buffer: Vec<u8>,
    outgoing: Rc<[u8]>,
    incoming: Rc<[u8]>,
    sent: usize,
    received: usize,
    shut: bool,
    until: Option<Instant>,
    ended: bool,
    peer_done: bool,
    woken: bool,
    seen: Option<Readiness>,
    wake: Option<Instant>,
    error: Option<Error>,
}

impl Program {
    /// A program that connects to `peer` from `local`.
    pub(crate) fn connecting(
        now: Instant,
        stack: &mut Stack,
        local: SocketAddr,
        peer: SocketAddr,
        script: Script,
    ) -> Result<Program, Error> {
        let mut program = Program::new(stack, local, Phase::Connecting { peer }, script)?;
        program.set_options(now, stack)?;
        match stack.connect(now, program.socket, peer) {
            Ok(()) | Err(Error::InProgress) => Ok(program),
            Err(error) => Err(error),
        }
    }

    /// A program that listens on `local` for one connection.
    pub(crate) fn listening(
        now: Instant,
        stack: &mut Stack,
        local: SocketAddr,
        script: Script,
    ) -> Result<Program, Error> {
        let mut program = Program::new(stack, local, Phase::Listening, script)?;
        program.set_options(now, stack)?;
        stack.listen(now, program.socket, 1)?;
        Ok(program)
    }

    fn new(stack: &mut Stack, local: SocketAddr, phase: Phase, script: Script) -> Result<Program, Error> {
        let socket = stack.socket(Family::of(local.ip()))?;
        stack.bind(socket, local)?;
        let Script {
            side,
            promise,
            seed,
            outgoing,
            incoming,
        } = script;
        Ok(Program {
            rng: Rng::new(seed),
            buffer: vec![0; side.read],
            side,
            promise,
            phase,
            socket,
            outgoing,
            incoming,
            sent: 0,
            received: 0,
            shut: false,
            until: None,
            ended: false,
            peer_done: false,
            woken: true,
            seen: None,
            wake: None,
            error: None,
        })
    }

    fn set_options(&mut self, now: Instant, stack: &mut Stack) -> Result<(), Error> {
        let options = Options {
            no_delay: self.side.no_delay,
            max_segment: self.side.max_segment,
            urgent_inline: true,
            // Where the line may be cut, someone has to notice.
            keepalive: self.promise == Promise::Prefix,
            keepalive_idle: Duration::from_secs(100),
            keepalive_interval: Duration::from_secs(10),
            keepalive_count: 5,
            ..stack.options(self.socket)?
        };
        stack.set_options(now, self.socket, options)
    }

    pub(crate) fn socket(&self) -> SocketId {
        self.socket
    }

    /// The stack says that the socket's readiness may have changed: acts if it has.
    pub(crate) fn notify(&mut self, stack: &Stack) {
        self.woken |= stack.readiness(self.socket).ok() != self.seen;
    }

    /// When it has rested.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.wake
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// All is written, and all that the peer has to say is read.
    pub(crate) fn is_done(&self) -> bool {
        self.sent == self.outgoing.len() && self.received == self.incoming.len()
    }

    /// It has been told of something and has not looked yet.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken && self.wake.is_none() && !self.is_over()
    }

    /// The peer has nothing more to say.
    fn is_read(&self) -> bool {
        self.ended || self.received == self.incoming.len()
    }

    pub(crate) fn received(&self) -> usize {
        self.received
    }

    /// Both programs are done: those that close together do so at this instant.
    pub(crate) fn peer_is_done(&mut self) {
        if !self.peer_done {
            self.peer_done = true;
            if self.side.ending == Ending::Together {
                self.woken = true;
                self.wake = None;
            }
        }
    }

    /// Does what there is to do; an error is a broken promise.
    pub(crate) fn turn(&mut self, now: Instant, stack: &mut Stack) -> Result<(), String> {
        match self.wake {
            Some(wake) if now < wake => return Ok(()),
            Some(_) => self.wake = None,
            None if !self.woken => return Ok(()),
            None => {}
        }
        self.woken = false;
        match self.act(now, stack) {
            Ok(()) => {}
            Err(Stop::Wrong(what)) => return Err(what),
            Err(Stop::Call(error)) => self.fail(now, stack, error)?,
        }
        self.seen = stack.readiness(self.socket).ok();
        Ok(())
    }

    fn fail(&mut self, now: Instant, stack: &mut Stack, error: Error) -> Result<(), String> {
        let phase = self.phase;
        self.error = Some(error);
        self.over(now, stack)?;
        // Who reads the end late, or never, may find the peer gone: its FIN-WAIT-2 or TIME-WAIT is over, and CLOSED
        // answers with RST. Nothing is lost by it.
        let too_late = self.is_done();
        if too_late || self.promise == Promise::Prefix {
            return Ok(());
        }
        Err(format!("{error} while {phase:?}: {}", self.standing()))
    }

    fn act(&mut self, now: Instant, stack: &mut Stack) -> Result<(), Stop> {
        match self.phase {
            Phase::Connecting { peer } => match stack.connect(now, self.socket, peer) {
                Ok(()) => self.phase = Phase::Talking,
                Err(Error::InProgress | Error::AlreadyInProgress) => return Ok(()),
                Err(error) => return Err(error.into()),
            },
            Phase::Listening => match stack.accept(self.socket) {
                Ok((id, _)) => {
                    stack.close(now, self.socket)?;
                    self.socket = id;
                    self.phase = Phase::Talking;
                }
                Err(Error::WouldBlock) => return Ok(()),
                Err(error) => return Err(error.into()),
            },
            Phase::Talking => {}
            Phase::Over => return Ok(()),
        }
        self.talk(now, stack)
    }

    fn talk(&mut self, now: Instant, stack: &mut Stack) -> Result<(), Stop> {
        loop {
            let read = self.read(now, stack)?;
            let written = self.write(now, stack)?;
            self.end(now, stack)?;
            if self.phase == Phase::Over || self.wake.is_some() {
                return Ok(());
            }
            if !read && !written {
                return Ok(());
            }
            let (often, longest) = self.side.rest;
            if self.rng.chance(often) {
                let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
                self.wake = Some(now + Duration::from_nanos(self.rng.within(1..=nanos.max(1))));
                return Ok(());
            }
        }
    }

    /// Reads once; whether anything came.
    fn read(&mut self, now: Instant, stack: &mut Stack) -> Result<bool, Stop> {
        if self.ended {
            return Ok(false);
        }
        let size = self.rng.size_within(1..=self.side.read);
        let Some(into) = self.buffer.get_mut(..size) else {
            return Ok(false);
        };
        let count = match stack.recv(now, self.socket, into) {
            Ok(0) => {
                self.ended = true;
                return self.check_end().map(|()| true);
            }
            Ok(count) => count,
            Err(Error::WouldBlock) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let expected = self.incoming.get(self.received..self.received + count);
        let equal = into.get(..count) == expected;
        if !equal {
            return Err(Stop::Wrong(format!(
                "{count} wrong bytes at {}: {}",
                self.received,
                self.standing()
            )));
        }
        self.received += count;
        Ok(true)
    }

    fn check_end(&self) -> Result<(), Stop> {
        if self.promise == Promise::Everything && self.received < self.incoming.len() {
            return Err(Stop::Wrong(format!("the stream ended early: {}", self.standing())));
        }
        Ok(())
    }

    /// Writes once; whether anything was taken.
    fn write(&mut self, now: Instant, stack: &mut Stack) -> Result<bool, Stop> {
        if self.shut {
            return Ok(false);
        }
        let size = self.rng.size_within(1..=self.side.write);
        let left = self.outgoing.get(self.sent..).unwrap_or(&[]);
        let Some(piece) = left.get(..size.min(left.len())).filter(|piece| !piece.is_empty()) else {
            return Ok(false);
        };
        let framing = Framing {
            urgent: self.rng.chance(self.side.urgent),
            ..Framing::default()
        };
        match stack.send_framed(now, self.socket, piece, framing) {
            Ok(count) if (1..=piece.len()).contains(&count) => {
                self.sent += count;
                self.change_options(now, stack)?;
                Ok(true)
            }
            Ok(count) => Err(Stop::Wrong(format!("send took {count} of {} bytes", piece.len()))),
            Err(Error::WouldBlock) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Once, when half is written.
    fn change_options(&mut self, now: Instant, stack: &mut Stack) -> Result<(), Error> {
        let half = self.outgoing.len() / 2;
        let Some(later) = self.side.later.take_if(|_| self.sent >= half) else {
            return Ok(());
        };
        let options = Options {
            congestion: later.congestion,
            send_buffer: Some(later.send_buffer),
            receive_buffer: Some(later.receive_buffer),
            ..stack.options(self.socket)?
        };
        stack.set_options(now, self.socket, options)
    }

    fn end(&mut self, now: Instant, stack: &mut Stack) -> Result<(), Stop> {
        let written = self.sent == self.outgoing.len();
        let plenty = self.received >= LEAST && self.sent >= LEAST;
        match self.side.ending {
            Ending::HalfClose => {
                if written {
                    self.shut_down(now, stack)?;
                }
                if written && self.ended {
                    self.over(now, stack)?;
                }
            }
            Ending::AfterPeer if written && self.ended => self.over(now, stack)?,
            Ending::LateAfterPeer(later) if written && self.ended => {
                if self.has_passed(now, later) {
                    self.over(now, stack)?;
                }
            }
            Ending::WhenDone if written && self.is_read() => self.over(now, stack)?,
            Ending::Together if self.peer_done => {
                self.shut_down(now, stack)?;
                if self.ended {
                    self.over(now, stack)?;
                }
            }
            Ending::Linger0 if written && plenty => {
                let options = Options {
                    linger: Some(Duration::ZERO),
                    ..stack.options(self.socket)?
                };
                stack.set_options(now, self.socket, options)?;
                self.over(now, stack)?;
            }
            Ending::Abort if plenty => self.abort(now, stack)?,
            Ending::Unread if plenty && (self.is_read() || stack.queued_in(self.socket)? > 0) => {
                self.over(now, stack)?
            }
            Ending::HalfCloseThenAbort(later) if written && plenty => {
                self.shut_down(now, stack)?;
                if self.has_passed(now, later) {
                    self.abort(now, stack)?;
                }
            }
            Ending::AbortAfterPeer if self.ended => self.abort(now, stack)?,
            Ending::AfterPeer
            | Ending::LateAfterPeer(_)
            | Ending::WhenDone
            | Ending::Together
            | Ending::Linger0
            | Ending::Abort
            | Ending::Unread
            | Ending::HalfCloseThenAbort(_)
            | Ending::AbortAfterPeer => {}
        }
        Ok(())
    }

    fn shut_down(&mut self, now: Instant, stack: &mut Stack) -> Result<(), Stop> {
        if !self.shut {
            stack.shutdown(now, self.socket, Shutdown::Write)?;
            self.shut = true;
        }
        Ok(())
    }

    /// Whether so long has passed since this was first asked; if not, rests until then.
    fn has_passed(&mut self, now: Instant, time: Duration) -> bool {
        let until = *self.until.get_or_insert(now + time);
        if now < until {
            self.wake = Some(until);
        }
        now >= until
    }

    fn abort(&mut self, now: Instant, stack: &mut Stack) -> Result<(), Stop> {
        stack.abort(now, self.socket)?;
        self.over(now, stack)?;
        Ok(())
    }

    /// Gives the socket up.
    fn over(&mut self, now: Instant, stack: &mut Stack) -> Result<(), String> {
        self.phase = Phase::Over;
        self.wake = None;
        stack
            .close(now, self.socket)
            .map_err(|error| format!("close: {error}: {}", self.standing()))
    }

    /// In one line, for a failure.
    pub(crate) fn standing(&self) -> String {
        format!(
            "{:?}, sent {} of {}, received {} of {}, sending half {}, stream {}, error {:?}",
            self.phase,
            self.sent,
            self.outgoing.len(),
            self.received,
            self.incoming.len(),
            if self.shut { "shut" } else { "open" },
            if self.ended { "ended" } else { "open" },
            self.error,
        )
    }
}

/// What a program is given to do.
pub(crate) struct Script {
    pub(crate) side: Side,
    pub(crate) promise: Promise,
    pub(crate) seed: u64,
    pub(crate) outgoing: Rc<[u8]>,
    pub(crate) incoming: Rc<[u8]>,
}

enum Stop {
    /// A call failed.
    Call(Error),
    /// A promise is broken.
    Wrong(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Call(error)
    }
}

impl From<String> for Stop {
    fn from(what: String) -> Stop {
        Stop::Wrong(what)
    }
}
