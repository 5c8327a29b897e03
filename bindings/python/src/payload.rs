//! Bytes between Python's objects and the stack.
//!
//! `bytes` never change, so they are sent from where they lie while the GIL is released. Any other buffer may be
//! written to by another thread meanwhile: its bytes are copied, piece by piece, with the GIL held. Where much is received
//! into a buffer it goes there at once, for copies are what bulk costs.

use std::cell::Cell;

use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
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

    /// Its memory, held in place; `None` where that cannot be had.
    pub(crate) fn pinned(&self) -> PyResult<Option<Pinned<'py>>> {
        if !self.0.getattr("c_contiguous")?.is_truthy()? {
            return Ok(None);
        }
        let Some((hold, tell)) = address_tools(self.0.py()) else {
            return Ok(None);
        };
        let held = hold.call1((&self.0,))?;
        Ok(Some(Pinned {
            address: tell.call1((&held,))?.extract()?,
            len: self.len()?,
            _held: held,
        }))
    }

    /// Writes `bytes` at its beginning.
    pub(crate) fn write(&self, bytes: &[u8]) -> PyResult<()> {
        let py = self.0.py();
        self.0.set_item(slice(py, 0, bytes.len())?, PyBytes::new(py, bytes))
    }
}

/// Memory of a Python object that stays where it is as long as this does.
///
/// The stable ABI of Python 3.9 has no calls for buffers; ctypes has, and its object keeps the buffer exported.
pub(crate) struct Pinned<'py> {
    address: usize,
    len: usize,
    _held: Bound<'py, PyAny>,
}

#[allow(unsafe_code, reason = "memory of another language")]
impl Place for Pinned<'_> {
    const PIECE: usize = usize::MAX;

    fn part(&mut self, start: usize, end: usize) -> PyResult<&mut [u8]> {
        // SAFETY: the exported buffer has `len` writable bytes there, and cannot move or shrink while `_held` lives. Other
        // threads of Python may look at them meanwhile and see old bytes or new ones, as with any recv_into.
        let all = unsafe { std::slice::from_raw_parts_mut(self.address as *mut u8, self.len) };
        Ok(all.get_mut(start..end).unwrap_or_default())
    }
}

/// `c_char.from_buffer` and `addressof` of ctypes, where Python has them.
fn address_tools(py: Python<'_>) -> Option<(&Bound<'_, PyAny>, &Bound<'_, PyAny>)> {
    static TOOLS: PyOnceLock<Option<(Py<PyAny>, Py<PyAny>)>> = PyOnceLock::new();
    let found = TOOLS.get_or_init(py, || {
        let ctypes = py.import("ctypes").ok()?;
        let hold = ctypes.getattr("c_char").ok()?.getattr("from_buffer").ok()?;
        let tell = ctypes.getattr("addressof").ok()?;
        Some((hold.unbind(), tell.unbind()))
    });
    found.as_ref().map(|(hold, tell)| (hold.bind(py), tell.bind(py)))
}

/// Where received bytes go.
pub(crate) trait Place {
    /// Most bytes to receive at a time.
    const PIECE: usize;

    /// The bytes from `start` to `end`.
    fn part(&mut self, start: usize, end: usize) -> PyResult<&mut [u8]>;
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
}

impl Place for Room {
    const PIECE: usize = PIECE;

    /// Made where they are not there yet; `MemoryError` where they cannot be.
    fn part(&mut self, start: usize, end: usize) -> PyResult<&mut [u8]> {
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
