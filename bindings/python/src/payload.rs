//! Bytes between Python's objects and the stack.
//!
//! `bytes` never change, so they are sent from where they lie while the GIL is released. Any other buffer may be
//! written to by another thread meanwhile: its bytes are copied, piece by piece, with the GIL held.

use std::cell::Cell;

use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice};

/// Most bytes copied at a time: they stay in the cache between the two copies.
pub(crate) const PIECE: usize = 256 * 1024;

/// A buffer of bytes that is not `bytes`.
pub(crate) struct View<'py>(Bound<'py, PyAny>);

impl<'py> View<'py> {
    /// `TypeError` for what has no buffer.
    pub(crate) fn new(object: &Bound<'py, PyAny>) -> PyResult<View<'py>> {
        let view = PyMemoryView::from(object)?.into_any();
        let is_bytes = view.getattr("format")?.eq("B")? && view.getattr("ndim")?.eq(1)?;
        Ok(View(if is_bytes {
            view
        } else {
            view.call_method1("cast", ("B",))?
        }))
    }

    /// As [`new`](View::new), and `TypeError` for one that cannot be written to.
    pub(crate) fn writable(object: &Bound<'py, PyAny>) -> PyResult<View<'py>> {
        let view = View::new(object)?;
        if view.0.getattr("readonly")?.is_truthy()? {
            let kind = object.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "a read-write bytes-like object is required, not '{kind}'"
            )));
        }
        Ok(view)
    }

    /// How many bytes.
    pub(crate) fn len(&self) -> PyResult<usize> {
        self.0.len()
    }

    /// A copy of at most [`PIECE`] bytes from `offset` on.
    pub(crate) fn piece(&self, offset: usize) -> PyResult<Bound<'py, PyBytes>> {
        let piece = self
            .0
            .get_item(slice(self.0.py(), offset, offset.saturating_add(PIECE))?)?;
        Ok(piece.call_method0("tobytes")?.cast_into::<PyBytes>()?)
    }

    /// Writes `bytes` at its beginning.
    pub(crate) fn write(&self, bytes: &[u8]) -> PyResult<()> {
        let py = self.0.py();
        self.0.set_item(slice(py, 0, bytes.len())?, PyBytes::new(py, bytes))
    }
}

/// A copy of at most [`PIECE`] bytes of several buffers, one after the other.
pub(crate) fn gather(buffers: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let mut bytes = Vec::new();
    for buffer in buffers.try_iter()? {
        bytes.extend_from_slice(View::new(&buffer?)?.piece(0)?.as_bytes());
        if bytes.len() >= PIECE {
            break;
        }
    }
    Ok(bytes)
}

fn slice(py: Python<'_>, from: usize, to: usize) -> PyResult<Bound<'_, PySlice>> {
    Ok(PySlice::new(
        py,
        isize::try_from(from)?,
        isize::try_from(to).unwrap_or(isize::MAX),
        1,
    ))
}

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Room for received bytes, kept by the thread from call to call.
pub(crate) struct Room(Vec<u8>);

impl Room {
    /// What the thread has kept. A signal handler that receives meanwhile finds none, and makes its own.
    pub(crate) fn new() -> Room {
        Room(SPARE.take())
    }

    /// The bytes from `start` to `end`, made where they are not there yet; `MemoryError` where they cannot be.
    pub(crate) fn part(&mut self, start: usize, end: usize) -> PyResult<&mut [u8]> {
        let missing = end.saturating_sub(self.0.len());
        self.0.try_reserve(missing).map_err(|_| PyMemoryError::new_err(()))?;
        self.0.resize(self.0.len() + missing, 0);
        Ok(self.0.get_mut(start..end).unwrap_or_default())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.0.len() <= PIECE {
            SPARE.set(std::mem::take(&mut self.0));
        }
    }
}
