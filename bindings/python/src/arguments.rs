//! What Python hands in, and what it is told, as CPython's own sockets take and tell it.

use libc::c_int;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt};
use ustcp_client::calls::is_told_whole;
use ustcp_runtime::{Errno, Family};

use crate::failure::{Failure, system_error};
use crate::payload::View;

/// Most bytes that getsockopt is asked for, as in CPython.
const OPTION_MAX: usize = 1024;

/// An option's value from an int, or from the bytes of the struct that it takes.
pub(crate) fn option_bytes(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    match value.cast::<PyInt>() {
        Ok(number) => Ok(number.extract::<c_int>()?.to_ne_bytes().to_vec()),
        Err(_) => Ok(View::new(value)?.piece(0)?.as_bytes().to_vec()),
    }
}

/// An option's value: an int, or with `buflen` its bytes, at most so many.
pub(crate) fn option_value(
    py: Python<'_>,
    (level, option): (c_int, c_int),
    buflen: isize,
    ask: impl FnOnce(usize) -> Result<Vec<u8>, Errno>,
) -> PyResult<Py<PyAny>> {
    let most = match usize::try_from(buflen) {
        Ok(most) if most <= OPTION_MAX => most,
        _ => return Err(PyOSError::new_err("getsockopt buflen out of range")),
    };
    let room = if most > 0 { most } else { size_of::<c_int>() };
    let value = ask(room).map_err(Failure::from)?;
    if value.len() > room && is_told_whole(level, option) {
        return Err(system_error(libc::EINVAL));
    }
    if most > 0 {
        let value = PyBytes::new(py, value.get(..most).unwrap_or(&value));
        return Ok(value.into_any().unbind());
    }
    let number = value.first_chunk().copied().map_or(0, c_int::from_ne_bytes);
    Ok(number.into_pyobject(py)?.into_any().unbind())
}

/// How many messages of ancillary data: `(level, type, bytes)` each, and `TypeError` for anything else.
pub(crate) fn count_messages(ancdata: &Bound<'_, PyAny>) -> PyResult<usize> {
    let mut count = 0;
    for message in ancdata.try_iter()? {
        let message = message?;
        if message.len()? != 3 {
            return Err(PyTypeError::new_err(
                "sendmsg() expects ancillary data as (level, type, bytes)",
            ));
        }
        message.get_item(0)?.extract::<c_int>()?;
        message.get_item(1)?.extract::<c_int>()?;
        View::new(&message.get_item(2)?)?;
        count += 1;
    }
    Ok(count)
}

/// A float or an integer and nothing else, as CPython takes a timeout.
pub(crate) fn seconds(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    match value.cast::<PyFloat>() {
        Ok(seconds) => Ok(seconds.value()),
        Err(_) => value.extract::<i64>().map(|seconds| seconds as f64),
    }
}

pub(crate) fn family_of(number: c_int) -> PyResult<Family> {
    match number {
        libc::AF_INET => Ok(Family::V4),
        libc::AF_INET6 => Ok(Family::V6),
        _ => Err(system_error(libc::EAFNOSUPPORT)),
    }
}

/// A descriptor's number, as CPython takes it.
pub(crate) fn descriptor(fileno: &Bound<'_, PyAny>) -> PyResult<c_int> {
    match fileno.extract::<c_int>()? {
        number if number < 0 => Err(PyValueError::new_err("negative file descriptor")),
        number => Ok(number),
    }
}
