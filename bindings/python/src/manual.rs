//! The class under `ustcp.ManualStack`. Its sockets are numbers here, and objects in the package.

use std::io::{IoSlice, IoSliceMut};

use libc::{c_int, c_ulong};
use parking_lot::{Mutex, MutexGuard};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use ustcp_runtime::manual::{Checksum, Handle, Instant, Kind, Report};
use ustcp_runtime::{Errno, Family, RecvFlags, SendFlags, Shutdown, State};

use crate::address;
use crate::failure::{Failure, system_error};
use crate::payload::{Room, View, gather};
use crate::socket::{family_of, option_bytes, option_value};

/// A stack without device, thread or clock.
#[pyclass(frozen, subclass, module = "ustcp._ustcp")]
pub(crate) struct ManualStack(Mutex<ustcp_runtime::manual::ManualStack>);

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
        Ok(ManualStack(Mutex::new(stack)))
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
        Ok(self.stack().set(name, value).map_err(Failure::from)?)
    }

    fn _knob(&self, name: &str) -> PyResult<String> {
        Ok(self.stack().knob(name).map_err(Failure::from)?)
    }

    fn _socket(&self, family: c_int) -> PyResult<Handle> {
        let family = family_of(family)?;
        Ok(self.stack().socket(family).map_err(Failure::from)?)
    }

    fn _bind(&self, handle: Handle, address: &Bound<'_, PyAny>) -> PyResult<()> {
        let address = address::from_python(self.family(handle)?, address)?;
        Ok(self.stack().bind(handle, address).map_err(Failure::from)?)
    }

    fn _listen(&self, handle: Handle, backlog: c_int) -> PyResult<()> {
        Ok(self.stack().listen(handle, backlog).map_err(Failure::from)?)
    }

    fn _accept(&self, py: Python<'_>, handle: Handle) -> PyResult<(Handle, Py<PyAny>)> {
        let (accepted, peer) = self.stack().accept(handle).map_err(Failure::from)?;
        Ok((accepted, address::to_python(py, peer)?))
    }

    /// The error's number; 0 when connected.
    fn _connect(&self, handle: Handle, address: &Bound<'_, PyAny>) -> PyResult<c_int> {
        let address = address::from_python(self.family(handle)?, address)?;
        match self.stack().connect(handle, address) {
            Ok(()) => Ok(0),
            Err(Errno(number)) => Ok(number),
        }
    }

    fn _send(&self, handle: Handle, data: &Bound<'_, PyAny>, flags: c_int) -> PyResult<usize> {
        let bytes = bytes_of(data)?;
        self.send(handle, bytes.as_bytes(), SendFlags::from_bits(flags))
    }

    fn _open_with(
        &self,
        handle: Handle,
        data: &Bound<'_, PyAny>,
        flags: c_int,
        address: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        let bytes = bytes_of(data)?;
        let mut flags = SendFlags::from_bits(flags);
        flags.towards = Some(address::from_python(self.family(handle)?, address)?);
        self.send(handle, bytes.as_bytes(), flags)
    }

    fn _sendmsg(&self, handle: Handle, buffers: &Bound<'_, PyAny>, flags: c_int) -> PyResult<usize> {
        self.send(handle, &gather(buffers)?, SendFlags::from_bits(flags))
    }

    fn _recv(&self, py: Python<'_>, handle: Handle, bufsize: isize, flags: c_int) -> PyResult<Py<PyBytes>> {
        let most = usize::try_from(bufsize).map_err(|_| PyValueError::new_err("negative buffersize in recv"))?;
        let mut room = Room::new();
        let count = self.recv(handle, room.part(0, self.fitting(handle, most))?, flags)?;
        if flags & libc::MSG_TRUNC != 0 {
            room.part(0, count)?.fill(0); // not what was there from some other call
        }
        Ok(PyBytes::new(py, room.part(0, count)?).unbind())
    }

    fn _recv_into(&self, handle: Handle, buffer: &Bound<'_, PyAny>, most: usize, flags: c_int) -> PyResult<usize> {
        let view = View::writable(buffer)?;
        let mut room = Room::new();
        let most = self.fitting(handle, most.min(view.len()?));
        let count = self.recv(handle, room.part(0, most)?, flags)?;
        if flags & libc::MSG_TRUNC == 0 {
            view.write(room.part(0, count)?)?;
        }
        Ok(count)
    }

    fn _shutdown(&self, handle: Handle, how: c_int) -> PyResult<()> {
        let how = match how {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(system_error(libc::EINVAL)),
        };
        Ok(self.stack().shutdown(handle, how).map_err(Failure::from)?)
    }

    fn _close(&self, handle: Handle) -> PyResult<()> {
        Ok(self.stack().close(handle).map_err(Failure::from)?)
    }

    fn _getsockname(&self, py: Python<'_>, handle: Handle) -> PyResult<Py<PyAny>> {
        let address = self.stack().local_address(handle).map_err(Failure::from)?;
        address::to_python(py, address)
    }

    fn _getpeername(&self, py: Python<'_>, handle: Handle) -> PyResult<Py<PyAny>> {
        let address = self.stack().peer_address(handle).map_err(Failure::from)?;
        address::to_python(py, address)
    }

    fn _setsockopt(&self, handle: Handle, level: c_int, option: c_int, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = option_bytes(value)?;
        let result = self.stack().set_option(handle, level, option, &bytes);
        Ok(result.map_err(Failure::from)?)
    }

    fn _getsockopt(
        &self,
        py: Python<'_>,
        handle: Handle,
        level: c_int,
        option: c_int,
        buflen: isize,
    ) -> PyResult<Py<PyAny>> {
        option_value(py, buflen, || self.stack().option(handle, level, option))
    }

    fn _ioctl(&self, handle: Handle, request: c_ulong) -> PyResult<c_int> {
        Ok(self.stack().ask_number(handle, request).map_err(Failure::from)?)
    }

    fn _poll(&self, handle: Handle, events: i16) -> PyResult<i16> {
        Ok(self.stack().poll(handle, events).map_err(Failure::from)?)
    }

    /// The state's name in RFC 9293.
    fn _state(&self, handle: Handle) -> PyResult<String> {
        Ok(self.stack().state(handle).map_err(Failure::from)?.to_string())
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

    fn family(&self, handle: Handle) -> Result<Family, Failure> {
        Ok(self.stack().family(handle)?)
    }

    /// Room for what is there, where more is asked for; for one byte where nothing is, to be told so.
    fn fitting(&self, handle: Handle, most: usize) -> usize {
        let there = self.stack().ask_number(handle, libc::FIONREAD).unwrap_or(0);
        most.min(usize::try_from(there).unwrap_or(0).max(1))
    }

    fn send(&self, handle: Handle, bytes: &[u8], flags: SendFlags) -> PyResult<usize> {
        let result = self.stack().send(handle, &[IoSlice::new(bytes)], flags);
        Ok(result.map_err(Failure::from)?)
    }

    fn recv(&self, handle: Handle, into: &mut [u8], flags: c_int) -> PyResult<usize> {
        let flags = RecvFlags::from_bits(flags).map_err(Failure::from)?;
        let result = self.stack().recv(handle, &mut [IoSliceMut::new(into)], flags);
        Ok(result.map_err(Failure::from)?)
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
