//! The class under `ustcp.ManualStack`.

use std::collections::HashMap;
use std::sync::Arc;

use libc::c_int;
use parking_lot::{Mutex, MutexGuard};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use ustcp_runtime::manual::{Checksum, Handle, Instant, Kind, Report};
use ustcp_runtime::{Errno, State};

use crate::address;
use crate::failure::Failure;
use crate::payload::View;

/// A stack without device, thread or clock.
#[pyclass(frozen, subclass, module = "ustcp._ustcp")]
pub(crate) struct ManualStack(Arc<Shared>);

/// What the stack and its sockets share.
pub(crate) struct Shared {
    stack: Mutex<ustcp_runtime::manual::ManualStack>,
    waiter: Mutex<Option<Py<PyAny>>>,
    places: Mutex<HashMap<c_int, Handle>>,
}

impl Shared {
    /// Held for one call, which never waits and never asks for the GIL: who waits here, with the GIL or without, soon has it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ustcp_runtime::manual::ManualStack> {
        self.stack.lock()
    }

    /// Who lets time pass; nobody where a call that would wait fails.
    pub(crate) fn waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.waiter.lock().as_ref().map(|waiter| waiter.clone_ref(py))
    }

    /// Whether its sockets need numbers that nothing else in the process has.
    pub(crate) fn keeps_places(&self) -> bool {
        self.waiter.lock().is_some()
    }

    /// Which socket has that number.
    pub(crate) fn places(&self) -> MutexGuard<'_, HashMap<c_int, Handle>> {
        self.places.lock()
    }
}

type Packet = (u64, Py<PyBytes>, u16, u8);
type Segment = (u8, u32, u32, u32, u32, u16);
type Event = (
    u64,
    &'static str,
    Option<Py<PyAny>>,
    Option<Py<PyAny>>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<Segment>,
    bool,
);

#[pymethods]
impl ManualStack {
    #[new]
    #[pyo3(signature = (*, seed = None, **_knobs))]
    fn new(seed: Option<u64>, _knobs: Option<&Bound<'_, PyDict>>) -> PyResult<ManualStack> {
        let stack = ustcp_runtime::manual::ManualStack::new(seed).map_err(Failure::from)?;
        Ok(ManualStack(Arc::new(Shared {
            stack: Mutex::new(stack),
            waiter: Mutex::new(None),
            places: Mutex::new(HashMap::new()),
        })))
    }

    /// A packet has arrived.
    #[pyo3(signature = (packet, now, *, checksum_good = false))]
    fn input(&self, packet: &Bound<'_, PyAny>, now: u64, checksum_good: bool) -> PyResult<()> {
        let bytes = bytes_of(packet)?;
        let checksum = if checksum_good {
            Checksum::Offloaded
        } else {
            Checksum::Full
        };
        let result = self.stack().input(Instant::from_nanos(now), bytes.as_bytes(), checksum);
        Ok(result.map_err(Failure::from)?)
    }

    /// The next packet: time, bytes, segment size, where the checksum to be completed begins.
    fn _output(&self, py: Python<'_>) -> PyResult<Option<Packet>> {
        let mut stack = self.stack();
        let Some(packet) = stack.output().map_err(Failure::from)? else {
            return Ok(None);
        };
        let checksum_start = match packet.checksum {
            Checksum::Full => 0,
            Checksum::Offloaded => packet.tcp_offset(),
        };
        let taken = (
            packet.time.as_nanos(),
            PyBytes::new(py, &packet.bytes).unbind(),
            packet.segment_size.unwrap_or(0),
            checksum_start,
        );
        stack.sent();
        Ok(Some(taken))
    }

    /// When time is to be advanced, in nanoseconds.
    fn deadline(&self) -> PyResult<Option<u64>> {
        let deadline = self.stack().deadline().map_err(Failure::from)?;
        Ok(deadline.map(|(due, _)| due.as_nanos()))
    }

    /// Time has come to `now`.
    fn advance(&self, now: u64) -> PyResult<()> {
        Ok(self.stack().advance(Instant::from_nanos(now)).map_err(Failure::from)?)
    }

    /// The time of the last call that had one.
    #[getter]
    fn now(&self) -> PyResult<u64> {
        Ok(self.stack().now().map_err(Failure::from)?.as_nanos())
    }

    fn _event(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        let event = self.stack().event().map_err(Failure::from)?;
        event.map(|event| flat(py, event.into())).transpose()
    }

    fn _ready(&self) -> PyResult<Option<Handle>> {
        Ok(self.stack().ready().map_err(Failure::from)?)
    }

    fn _set(&self, name: &str, value: &str) -> PyResult<()> {
        self.stack().set(name, value).map_err(|errno| complaint(name, errno))
    }

    fn _knob(&self, name: &str) -> PyResult<String> {
        self.stack().knob(name).map_err(|errno| complaint(name, errno))
    }

    fn _poll(&self, handle: Handle, events: i16) -> PyResult<i16> {
        Ok(self.stack().poll(handle, events).map_err(Failure::from)?)
    }

    /// The same of the socket under a number of the process's own; `None` where there is none.
    fn _poll_place(&self, number: c_int, events: i16) -> PyResult<Option<i16>> {
        let handle = self.0.places().get(&number).copied();
        handle.map(|handle| self._poll(handle, events)).transpose()
    }

    /// Who lets time pass when a blocking call has to wait: `waiter(handle, events, deadline)` returns true when the
    /// call may be tried again, false when the deadline (nanoseconds, or `None`) has passed. Sockets made from now on
    /// have numbers of the process's own, for whoever polls them.
    fn _set_waiter(&self, waiter: Option<Py<PyAny>>) {
        *self.0.waiter.lock() = waiter;
    }

    /// Makes the next call panic inside the stack, for the test that Python survives it.
    fn _plant_panic(&self) -> PyResult<()> {
        Ok(self.stack().plant_panic().map_err(Failure::from)?)
    }
}

impl ManualStack {
    fn stack(&self) -> MutexGuard<'_, ustcp_runtime::manual::ManualStack> {
        self.0.lock()
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }
}

/// Why a knob is not set, or not told: in words where it is its name or the value.
fn complaint(name: &str, errno: Errno) -> PyErr {
    match errno.0 {
        libc::ENOENT | libc::EINVAL => {
            PyOSError::new_err((errno.0, ustcp_runtime::manual::ManualStack::complaint(name)))
        }
        _ => Failure::from(errno).into(),
    }
}

/// The bytes of a buffer; a copy, unless it is `bytes`.
fn bytes_of<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    match data.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.clone()),
        Err(_) => View::new(data)?.piece(0),
    }
}

fn flat(py: Python<'_>, report: Report) -> PyResult<Event> {
    let kind = match report.kind {
        Kind::Transition => "transition",
        Kind::Received => "received",
        Kind::Sent => "sent",
        Kind::Expired => "expired",
        Kind::Dropped => "dropped",
    };
    let address = |address| address::to_python(py, address);
    let name = |state: State| state.to_string();
    Ok((
        report.time,
        kind,
        report.flow.map(|flow| address(flow.local)).transpose()?,
        report.flow.map(|flow| address(flow.remote)).transpose()?,
        report.states.map(|(before, _)| name(before)),
        report.states.map(|(_, after)| name(after)),
        report.why,
        report.segment.map(|segment| {
            let (flags, size) = (segment.flags, segment.segment_size);
            (flags, segment.seq, segment.ack, segment.len, segment.window, size)
        }),
        report.retransmission,
    ))
}
