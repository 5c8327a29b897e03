//! The process-wide stack: its beginning and its end.

use std::collections::HashMap;
use std::ffi::OsString;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use ustcp_runtime::{Settings, StartError, process};

/// Starts the stack of this process as `variables` (`USTCP_TUN` and so on) say; where they say nothing, as the
/// environment does.
#[pyfunction]
pub(crate) fn init(py: Python<'_>, variables: HashMap<OsString, OsString>) -> PyResult<()> {
    let given = Vec::from_iter(variables);
    let started = py.detach(|| process::init(&Settings::over_environment(&given)?));
    started.map_err(|StartError { errno, message }| PyOSError::new_err((errno.0, message)))
}

/// Ends the stack of this process.
#[pyfunction]
pub(crate) fn fini(py: Python<'_>) {
    py.detach(process::fini);
}
