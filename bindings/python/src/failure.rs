//! Why a call failed, and the Python exception of it.

use std::sync::atomic::{AtomicU32, Ordering};

use libc::c_int;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use ustcp_runtime::Errno;

/// Why a call failed.
pub(crate) enum Failure {
    /// The system's number for it.
    System(Errno),
    /// The socket's timeout passed.
    TimedOut,
    /// A signal handler, or Python itself, raised.
    Raised(PyErr),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure::System(errno)
    }
}

impl From<PyErr> for Failure {
    fn from(raised: PyErr) -> Failure {
        Failure::Raised(raised)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        match failure {
            Failure::System(Errno(number)) => system_error(number),
            Failure::TimedOut => timed_out(),
            Failure::Raised(raised) => raised,
        }
    }
}

/// `socket.timeout`, which is `TimeoutError` from Python 3.10 on.
fn timed_out() -> PyErr {
    let raised = |py: Python<'_>| -> PyResult<PyErr> {
        let kind = py.import("socket")?.getattr("timeout")?;
        Ok(PyErr::from_value(kind.call1(("timed out",))?))
    };
    Python::attach(|py| raised(py).unwrap_or_else(|error| error))
}

/// The process that made the last socket.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Notes that this process makes sockets: what a fork of it does with them can be told from a mere slip.
pub(crate) fn sockets_are_of_this_process() {
    OWNER.store(std::process::id(), Ordering::Relaxed);
}

/// `OSError(number, text)`, which Python turns into the subclass of that number.
pub(crate) fn system_error(number: c_int) -> PyErr {
    let text = std::io::Error::from_raw_os_error(number).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let owner = OWNER.load(Ordering::Relaxed);
    if number == libc::EBADF && owner != 0 && owner != std::process::id() {
        let text = format!(
            "{text}: sockets made before fork belong to the parent, process {owner}; a server that forks needs USTCP_ENGINE"
        );
        return PyOSError::new_err((number, text));
    }
    PyOSError::new_err((number, text.to_owned()))
}
