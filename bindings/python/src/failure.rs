//! Why a call failed, and the Python exception of it.

use libc::c_int;
use pyo3::exceptions::{PyOSError, PyTimeoutError};
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
            Failure::TimedOut => PyTimeoutError::new_err("timed out"),
            Failure::Raised(raised) => raised,
        }
    }
}

/// `OSError(number, text)`, which Python turns into the subclass of that number.
pub(crate) fn system_error(number: c_int) -> PyErr {
    let text = std::io::Error::from_raw_os_error(number).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    PyOSError::new_err((number, text.to_owned()))
}
