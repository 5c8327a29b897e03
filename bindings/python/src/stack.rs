//! Stacks on devices: the process-wide one, its beginning and its end, and further ones.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;

use libc::c_int;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use ustcp_runtime::{Runtime, Settings, StartError, process};

/// Starts the stack of this process as `variables` (`USTCP_TUN` and so on) say; where they say nothing, as the
/// environment does.
#[pyfunction]
pub(crate) fn init(py: Python<'_>, variables: HashMap<OsString, OsString>) -> PyResult<()> {
    let given = Vec::from_iter(variables);
    let started = py.detach(|| process::init(&Settings::over_environment(&given, keyword)?));
    started.map_err(raised)
}

/// Ends the stack of this process.
#[pyfunction]
pub(crate) fn fini(py: Python<'_>) {
    py.detach(process::fini);
}

/// Whether a descriptor is a socket of ours.
#[pyfunction]
#[pyo3(signature = (fd, /))]
pub(crate) fn knows(fd: c_int) -> bool {
    process::socket(fd).is_ok()
}

/// A further stack, on a device of its own.
#[pyclass(frozen, module = "ustcp._ustcp")]
pub(crate) struct Stack(Arc<Runtime>);

#[pymethods]
impl Stack {
    #[new]
    #[pyo3(signature = (variables, /))]
    fn new(py: Python<'_>, variables: HashMap<OsString, OsString>) -> PyResult<Stack> {
        let given = Vec::from_iter(variables);
        let started = py.detach(|| Runtime::start(&Settings::over_environment(&given, keyword)?));
        Ok(Stack(started.map_err(raised)?))
    }

    /// Ends it, after the time that its exit wait allows.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }
}

impl Stack {
    pub(crate) fn runtime(&self) -> Arc<Runtime> {
        Arc::clone(&self.0)
    }
}

/// The keyword that a variable stands for.
fn keyword(variable: &str) -> String {
    variable.trim_start_matches("USTCP_").to_lowercase()
}

pub(crate) fn raised(StartError { errno, message }: StartError) -> PyErr {
    PyOSError::new_err((errno.0, message))
}
