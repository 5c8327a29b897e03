//! How long a call waits: without the GIL, and in slices, so that the main thread sees Ctrl-C wherever the signal
//! was delivered.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use ustcp_runtime::{Errno, Wait};

use crate::failure::Failure;

/// Longest time that the main thread waits without looking for signals.
const SLICE: Duration = Duration::from_millis(50);

thread_local! {
    static IS_MAIN: Cell<Option<bool>> = const { Cell::new(None) };
}

/// How long a call may wait, and what its end means.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    limit: Wait,
    /// The limit is that of `settimeout`: its end is `TimeoutError`, not `EAGAIN`.
    of_timeout: bool,
    /// Waits in one piece, because the call must not be cut into several.
    whole: bool,
}

impl Patience {
    /// `MSG_DONTWAIT`.
    pub(crate) const NONE: Patience = Patience {
        limit: Wait::Never,
        of_timeout: false,
        whole: false,
    };

    /// Of a socket with this timeout; when it has none, its calls wait as `blocking` says.
    pub(crate) fn new(timeout: Option<Duration>, blocking: Wait) -> Patience {
        match timeout {
            None => Patience {
                limit: blocking,
                of_timeout: false,
                whole: false,
            },
            Some(Duration::ZERO) => Patience::NONE,
            Some(timeout) => {
                let limit = Instant::now().checked_add(timeout).map_or(Wait::Forever, Wait::Until);
                Patience {
                    limit,
                    of_timeout: true,
                    whole: false,
                }
            }
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
        mut attempt: impl FnMut(Wait) -> Result<T, Errno> + Send,
    ) -> Result<T, Failure> {
        let sliced = !self.whole && is_main_thread(py)?;
        loop {
            match py.detach(|| attempt(self.next(sliced))) {
                Ok(value) => return Ok(value),
                Err(errno) if self.is_worth_another(errno) => py.check_signals()?,
                Err(errno) if self.of_timeout && is_not_yet(errno) => return Err(Failure::TimedOut),
                Err(errno) => return Err(Failure::System(errno)),
            }
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
