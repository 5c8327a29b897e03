//! How long a call waits: without the GIL, and in slices, so that the main thread sees Ctrl-C wherever the signal
//! was delivered. A socket of a stack by hand waits as its owner's clock has it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use ustcp_runtime::{Errno, Wait};

use crate::end::{End, Manual};
use crate::failure::Failure;

/// Longest time that the main thread waits without looking for signals.
const SLICE: Duration = Duration::from_millis(50);

thread_local! {
    static IS_MAIN: Cell<Option<bool>> = const { Cell::new(None) };
}

/// What a call waits for, in the bits of poll(2).
#[derive(Clone, Copy)]
#[repr(i16)]
pub(crate) enum Interest {
    Read = libc::POLLIN | libc::POLLRDHUP,
    Write = libc::POLLOUT,
}

/// How long a call may wait, and what its end means.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    limit: Wait,
    /// What `settimeout` said: its end is `TimeoutError`, not `EAGAIN`.
    timeout: Option<Duration>,
    /// Waits in one piece, because the call must not be cut into several.
    whole: bool,
}

impl Patience {
    /// `MSG_DONTWAIT`.
    pub(crate) const NONE: Patience = Patience {
        limit: Wait::Never,
        timeout: None,
        whole: false,
    };

    /// Of a socket with this timeout; when it has none, its calls wait as `blocking` says.
    pub(crate) fn new(timeout: Option<Duration>, blocking: Wait) -> Patience {
        let limit = match timeout {
            None => blocking,
            Some(Duration::ZERO) => return Patience::NONE,
            Some(timeout) => Instant::now().checked_add(timeout).map_or(Wait::Forever, Wait::Until),
        };
        Patience {
            limit,
            timeout,
            whole: false,
        }
    }

    /// The same, in one piece: then only a signal to this very thread is seen.
    pub(crate) fn whole(self) -> Patience {
        Patience { whole: true, ..self }
    }

    /// Repeats `attempt` until it ends otherwise than by a slice or by a signal whose handler did not raise (PEP 475).
    pub(crate) fn wait<T: Send>(
        self,
        py: Python<'_>,
        end: &End,
        interest: Interest,
        mut attempt: impl FnMut(Wait) -> Result<T, Errno> + Send,
    ) -> Result<T, Failure> {
        if let End::Manual(manual) = end {
            return self.wait_by_hand(py, manual, interest, attempt);
        }
        let sliced = !self.whole && is_main_thread(py)?;
        loop {
            match py.detach(|| attempt(self.next(sliced))) {
                Ok(value) => return Ok(value),
                Err(errno) if self.is_worth_another(errno) => py.check_signals()?,
                Err(errno) => return Err(self.over(errno)),
            }
        }
    }

    /// The owner of the stack lets time pass until the socket is ready, where it does that at all.
    fn wait_by_hand<T>(
        self,
        py: Python<'_>,
        manual: &Manual,
        interest: Interest,
        mut attempt: impl FnMut(Wait) -> Result<T, Errno>,
    ) -> Result<T, Failure> {
        let mut deadline = None;
        loop {
            let errno = match attempt(Wait::Never) {
                Ok(value) => return Ok(value),
                Err(errno) => errno,
            };
            let waiter = manual
                .stack()
                .waiter(py)
                .filter(|_| self.limit != Wait::Never && is_not_yet(errno));
            let Some(waiter) = waiter else {
                return Err(self.over(errno));
            };
            if deadline.is_none()
                && let Some(timeout) = self.timeout
            {
                deadline = Some((manual.stack().lock().now()? + timeout).as_nanos());
            }
            if !waiter
                .call1(py, (manual.handle(), interest as i16, deadline))?
                .is_truthy(py)?
            {
                return Err(self.over(errno));
            }
        }
    }

    fn over(self, errno: Errno) -> Failure {
        match self.timeout {
            Some(_) if is_not_yet(errno) => Failure::TimedOut,
            _ => Failure::System(errno),
        }
    }

    fn next(self, sliced: bool) -> Wait {
        match self.limit {
            Wait::Forever if sliced => Wait::Until(Instant::now() + SLICE),
            Wait::Until(limit) if sliced => Wait::Until(limit.min(Instant::now() + SLICE)),
            limit => limit,
        }
    }

    fn is_worth_another(self, errno: Errno) -> bool {
        let over = match self.limit {
            Wait::Never => true,
            Wait::Until(limit) => Instant::now() >= limit,
            Wait::Forever => false,
        };
        errno.0 == libc::EINTR || !over && is_not_yet(errno)
    }
}

/// The errors that say no more than that the wait was over first.
fn is_not_yet(errno: Errno) -> bool {
    matches!(errno.0, libc::EAGAIN | libc::EINPROGRESS | libc::EALREADY)
}

/// Python runs signal handlers in its main thread only; any other may sleep as long as it likes.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    if let Some(known) = IS_MAIN.get() {
        return Ok(known);
    }
    let threading = py.import("threading")?;
    let is_main = threading
        .call_method0("current_thread")?
        .is(&threading.call_method0("main_thread")?);
    IS_MAIN.set(Some(is_main));
    Ok(is_main)
}
