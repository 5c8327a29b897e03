//! A thread blocked in a call: what it waits for and how it is woken.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ustcp_proto::Readiness;

use crate::sys::fd::Bell;
use crate::sys::wait;

const ASLEEP: u32 = 0;
const WOKEN: u32 = 1;

/// A blocked thread.
#[derive(Debug)]
pub(crate) struct Waiter {
    word: AtomicU32,
    /// For a thread that polls descriptors of the program as well; others sleep on the word.
    bell: Option<Bell>,
}

impl Waiter {
    /// One that sleeps on a futex.
    pub(crate) fn new() -> Arc<Waiter> {
        Arc::new(Waiter {
            word: AtomicU32::new(WOKEN),
            bell: None,
        })
    }

    /// One that sleeps in poll, beside other descriptors.
    pub(crate) fn with_bell() -> io::Result<Arc<Waiter>> {
        Ok(Arc::new(Waiter {
            word: AtomicU32::new(WOKEN),
            bell: Some(Bell::new()?),
        }))
    }

    /// From here on a wake counts. Called with the stack's lock held, before each look.
    pub(crate) fn arm(&self) {
        self.word.store(ASLEEP, Ordering::Relaxed);
    }

    /// Whether it has been woken since it was armed.
    pub(crate) fn is_woken(&self) -> bool {
        self.word.load(Ordering::Acquire) == WOKEN
    }

    /// Notes the wake; `true` when it had not been woken yet.
    pub(crate) fn mark(&self) -> bool {
        self.word.swap(WOKEN, Ordering::Release) == ASLEEP
    }

    /// Wakes it from a sleep of its own.
    pub(crate) fn rouse(&self) {
        match &self.bell {
            Some(bell) => bell.ring(),
            None => wait::futex_wake(&self.word),
        }
    }

    /// Sleeps until woken or for `timeout`; `Err` is `EINTR`.
    pub(crate) fn sleep(&self, timeout: Option<Duration>) -> io::Result<()> {
        wait::futex_wait(&self.word, ASLEEP, timeout)
    }

    /// The descriptor that rings, for one that polls.
    pub(crate) fn bell(&self) -> Option<&Bell> {
        self.bell.as_ref()
    }
}

/// What a blocked call waits for on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// recv, accept.
    Read,
    /// send.
    Write,
    /// connect: whoever waits for it natively as well sees it when it is done.
    Connect,
    /// poll.
    Either,
}

impl Interest {
    /// Whether the call would get on.
    pub(crate) fn is_met(self, now: &Readiness) -> bool {
        let reading = now.readable || now.read_closed || now.urgent;
        let ended = now.error || now.hang_up;
        match self {
            Interest::Read => reading || ended,
            Interest::Write | Interest::Connect => now.writable || ended,
            Interest::Either => reading || now.writable || ended,
        }
    }
}
