//! The class under `ustcp.socket`.

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::time::Duration;

use libc::c_int;
use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyTuple};
use ustcp_runtime::{Errno, Family, RecvFlags, SendFlags, Shutdown, Wait, process};

use crate::address;
use crate::failure::{self, Failure, system_error};
use crate::patience::Patience;
use crate::payload::{PIECE, Room, View, gather};

/// Most bytes that getsockopt is asked for, as in CPython.
const OPTION_MAX: usize = 1024;

/// A TCP socket of this process's stack.
#[pyclass(frozen, subclass, module = "ustcp._ustcp")]
pub(crate) struct Socket {
    /// `None` once closed.
    open: Mutex<Option<ustcp_runtime::Socket>>,
    /// `None`: blocking; zero: non-blocking.
    timeout: Mutex<Option<Duration>>,
    /// The process that made it.
    owner: u32,
}

/// How send is asked for it.
#[derive(Clone, Copy)]
struct Sending {
    flags: SendFlags,
    patience: Patience,
}

/// What recv is asked for.
struct Receive {
    most: usize,
    flags: RecvFlags,
    patience: Patience,
}

#[pymethods]
impl Socket {
    #[new]
    #[pyo3(signature = (family = libc::AF_INET, r#type = libc::SOCK_STREAM, proto = 0, fileno = None))]
    fn new(py: Python<'_>, family: c_int, r#type: c_int, proto: c_int, fileno: Option<c_int>) -> PyResult<Socket> {
        if let Some(fd) = fileno {
            let open = py.detach(|| process::socket(fd)).map_err(Failure::from)?;
            return Ok(Socket {
                open: Mutex::new(Some(open)),
                timeout: Mutex::new(None),
                owner: std::process::id(),
            });
        }
        let family = family_of(family)?;
        if r#type & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != libc::SOCK_STREAM {
            return Err(system_error(libc::ESOCKTNOSUPPORT));
        }
        if !matches!(proto, 0 | libc::IPPROTO_TCP) {
            return Err(system_error(libc::EPROTONOSUPPORT));
        }
        failure::sockets_are_of_this_process();
        let open = py.detach(|| make(family)).map_err(Failure::from)?;
        let timeout = (r#type & libc::SOCK_NONBLOCK != 0).then_some(Duration::ZERO);
        Ok(Socket {
            open: Mutex::new(Some(open)),
            timeout: Mutex::new(timeout),
            owner: std::process::id(),
        })
    }

    /// The file descriptor, good for select, poll and epoll and for nothing else; -1 once closed.
    fn fileno(&self) -> c_int {
        self.open.lock().as_ref().map_or(-1, ustcp_runtime::Socket::fd)
    }

    fn bind(&self, py: Python<'_>, address: &Bound<'_, PyAny>) -> PyResult<()> {
        let socket = self.socket()?;
        let address = address::from_python(socket.family(), address)?;
        Ok(py.detach(|| socket.bind(address)).map_err(Failure::from)?)
    }

    #[pyo3(signature = (backlog = 128))]
    fn listen(&self, py: Python<'_>, backlog: c_int) -> PyResult<()> {
        let socket = self.socket()?;
        Ok(py.detach(|| socket.listen(backlog)).map_err(Failure::from)?)
    }

    /// The descriptor of the oldest waiting connection, and the peer's address.
    fn _accept(&self, py: Python<'_>) -> PyResult<(c_int, Py<PyAny>)> {
        let socket = self.socket()?;
        let patience = Patience::new(*self.timeout.lock(), socket.receive_wait());
        let (fd, peer) = patience.wait(py, |wait| {
            let (connection, peer) = socket.accept(wait)?;
            Ok((process::register(connection), peer))
        })?;
        Ok((fd, address::to_python(py, peer)?))
    }

    fn connect(&self, py: Python<'_>, address: &Bound<'_, PyAny>) -> PyResult<()> {
        Ok(self.attempt_connect(py, address)?)
    }

    /// As connect, with the error's number as its value; 0 when connected.
    fn connect_ex(&self, py: Python<'_>, address: &Bound<'_, PyAny>) -> PyResult<c_int> {
        match self.attempt_connect(py, address) {
            Ok(()) => Ok(0),
            Err(Failure::System(errno)) => Ok(errno.0),
            Err(Failure::TimedOut) => Ok(libc::EAGAIN),
            Err(Failure::Raised(raised)) => Err(raised),
        }
    }

    #[pyo3(signature = (data, flags = 0, /))]
    fn send(&self, py: Python<'_>, data: &Bound<'_, PyAny>, flags: c_int) -> PyResult<usize> {
        let plan = self.send_plan(flags)?;
        let bytes = match data.cast::<PyBytes>() {
            Ok(bytes) => bytes.clone(),
            Err(_) => View::new(data)?.piece(0)?,
        };
        Ok(self.send_some(py, bytes.as_bytes(), plan)?)
    }

    #[pyo3(signature = (data, flags = 0, /))]
    fn sendall(&self, py: Python<'_>, data: &Bound<'_, PyAny>, flags: c_int) -> PyResult<()> {
        let plan = self.send_plan(flags)?;
        if let Ok(bytes) = data.cast::<PyBytes>() {
            return self.send_whole(py, bytes.as_bytes(), plan);
        }
        let view = View::new(data)?;
        for offset in (0..view.len()?).step_by(PIECE) {
            self.send_whole(py, view.piece(offset)?.as_bytes(), plan)?;
        }
        Ok(())
    }

    /// `sendto(data, address)` or `sendto(data, flags, address)`: as send, for a connection has one peer. With
    /// `MSG_FASTOPEN` it is connect and send in one, and the first bytes go with the SYN where the server allows it.
    #[pyo3(signature = (data, *flags_and_address))]
    fn sendto(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        flags_and_address: &Bound<'_, PyTuple>,
    ) -> PyResult<usize> {
        let (flags, address): (c_int, Bound<'_, PyAny>) = match flags_and_address.len() {
            1 => (0, flags_and_address.get_item(0)?),
            2 => (
                flags_and_address.get_item(0)?.extract()?,
                flags_and_address.get_item(1)?,
            ),
            count => {
                let given = count + 1;
                return Err(PyTypeError::new_err(format!(
                    "sendto() takes 2 or 3 arguments ({given} given)"
                )));
            }
        };
        if flags & libc::MSG_FASTOPEN == 0 {
            return self.send(py, data, flags);
        }
        match self.open_with(py, data, flags, &address)? {
            Some(taken) => Ok(taken),
            None => self.send(py, data, flags & !libc::MSG_FASTOPEN),
        }
    }

    /// send of several buffers as one; there is no ancillary data on TCP.
    #[pyo3(signature = (buffers, ancdata = None, flags = 0, /))]
    fn sendmsg(
        &self,
        py: Python<'_>,
        buffers: &Bound<'_, PyAny>,
        ancdata: Option<&Bound<'_, PyAny>>,
        flags: c_int,
    ) -> PyResult<usize> {
        if ancdata.map_or(Ok(false), PyAnyMethods::is_truthy)? {
            return Err(system_error(libc::EOPNOTSUPP));
        }
        let plan = self.send_plan(flags)?;
        Ok(self.send_some(py, &gather(buffers)?, plan)?)
    }

    #[pyo3(signature = (bufsize, flags = 0, /))]
    fn recv<'py>(&self, py: Python<'py>, bufsize: isize, flags: c_int) -> PyResult<Bound<'py, PyBytes>> {
        let most = usize::try_from(bufsize).map_err(|_| PyValueError::new_err("negative buffersize in recv"))?;
        self.receive(py, most, flags, |bytes| Ok(PyBytes::new(py, bytes)))
    }

    #[pyo3(signature = (buffer, nbytes = 0, flags = 0))]
    fn recv_into(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>, nbytes: isize, flags: c_int) -> PyResult<usize> {
        let view = View::writable(buffer)?;
        let most = usize::try_from(nbytes).map_err(|_| PyValueError::new_err("negative buffersize in recv_into"))?;
        let room = view.len()?;
        if most > room {
            return Err(PyValueError::new_err("buffer too small for requested bytes"));
        }
        let most = if most == 0 { room } else { most };
        self.receive(py, most, flags, |bytes| view.write(bytes).map(|()| bytes.len()))
    }

    fn shutdown(&self, py: Python<'_>, how: c_int) -> PyResult<()> {
        let how = match how {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(system_error(libc::EINVAL)),
        };
        let socket = self.socket()?;
        Ok(py.detach(|| socket.shutdown(how)).map_err(Failure::from)?)
    }

    /// Closes it; once more does nothing. After a fork the child only forgets it: the connection is its parent's, and
    /// the number may be that of a socket of its own.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(socket) = self.open.lock().take() else {
            return Ok(());
        };
        if self.owner != std::process::id() {
            return Ok(());
        }
        match py.detach(|| process::close(socket.fd())) {
            Ok(()) | Err(Errno(libc::ECONNRESET)) => Ok(()), // the peer was faster: closed all the same, as in CPython
            Err(errno) => Err(Failure::from(errno).into()),
        }
    }

    fn getsockname(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let socket = self.socket()?;
        address::to_python(py, py.detach(|| socket.local_address()).map_err(Failure::from)?)
    }

    fn getpeername(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let socket = self.socket()?;
        address::to_python(py, py.detach(|| socket.peer_address()).map_err(Failure::from)?)
    }

    /// `None`: blocking; 0: non-blocking; else seconds.
    #[pyo3(signature = (value, /))]
    fn settimeout(&self, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let timeout = match value.map(seconds).transpose()? {
            None => None,
            Some(seconds) if seconds.is_nan() => {
                return Err(PyValueError::new_err("Invalid value NaN (not a number)"));
            }
            Some(seconds) if seconds < 0.0 => return Err(PyValueError::new_err("Timeout value out of range")),
            Some(seconds) => Some(
                Duration::try_from_secs_f64(seconds)
                    .map_err(|_| PyOverflowError::new_err("timeout doesn't fit into C timeval"))?,
            ),
        };
        *self.timeout.lock() = timeout;
        Ok(())
    }

    fn gettimeout(&self) -> Option<f64> {
        self.timeout.lock().map(|timeout| timeout.as_secs_f64())
    }

    #[pyo3(signature = (flag, /))]
    fn setblocking(&self, flag: &Bound<'_, PyAny>) -> PyResult<()> {
        *self.timeout.lock() = if flag.is_truthy()? { None } else { Some(Duration::ZERO) };
        Ok(())
    }

    fn getblocking(&self) -> bool {
        *self.timeout.lock() != Some(Duration::ZERO)
    }

    /// With an int, or the bytes of the struct that the option takes.
    #[pyo3(signature = (level, option, value, /))]
    fn setsockopt(&self, py: Python<'_>, level: c_int, option: c_int, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = option_bytes(value)?;
        let socket = self.socket()?;
        Ok(py
            .detach(|| socket.set_option(level, option, &bytes))
            .map_err(Failure::from)?)
    }

    /// An int, or with `buflen` the bytes of the option's struct, at most so many.
    #[pyo3(signature = (level, option, buflen = 0, /))]
    fn getsockopt(&self, py: Python<'_>, level: c_int, option: c_int, buflen: isize) -> PyResult<Py<PyAny>> {
        let socket = self.socket()?;
        option_value(py, buflen, || py.detach(|| socket.option(level, option)))
    }

    /// `AF_INET` or `AF_INET6`, as a number; -1 once closed.
    #[getter]
    fn _family(&self) -> c_int {
        match self.open.lock().as_ref().map(ustcp_runtime::Socket::family) {
            Some(Family::V4) => libc::AF_INET,
            Some(Family::V6) => libc::AF_INET6,
            None => -1,
        }
    }
}

impl Socket {
    /// The socket, `EBADF` once closed.
    fn socket(&self) -> Result<ustcp_runtime::Socket, Failure> {
        self.open.lock().clone().ok_or(Failure::System(Errno(libc::EBADF)))
    }

    /// `MSG_FASTOPEN`: what was taken to go with the SYN; `None` when nothing could, but there is a connection now.
    fn open_with(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        flags: c_int,
        address: &Bound<'_, PyAny>,
    ) -> Result<Option<usize>, Failure> {
        let socket = self.socket()?;
        let towards = address::from_python(socket.family(), address)?;
        let plan = self.send_plan(flags)?;
        let flags = SendFlags {
            towards: Some(towards),
            ..plan.flags
        };
        let bytes = View::new(data)?.piece(0)?;
        match socket.send(&[IoSlice::new(bytes.as_bytes())], flags, Wait::Never) {
            Ok(taken) => Ok(Some(taken)),
            Err(Errno(libc::EINPROGRESS)) if !flags.dont_wait => {
                self.finish_connect(py, &socket, towards, true)?;
                Ok(None)
            }
            Err(errno) => Err(Failure::System(errno)),
        }
    }

    fn attempt_connect(&self, py: Python<'_>, address: &Bound<'_, PyAny>) -> Result<(), Failure> {
        let socket = self.socket()?;
        let address = address::from_python(socket.family(), address)?;
        self.finish_connect(py, &socket, address, false)
    }

    /// Waits for a connection. `begun`: by this very call.
    fn finish_connect(
        &self,
        py: Python<'_>,
        socket: &ustcp_runtime::Socket,
        address: SocketAddr,
        mut begun: bool,
    ) -> Result<(), Failure> {
        let patience = Patience::new(*self.timeout.lock(), socket.send_wait());
        patience.wait(py, |wait| {
            let outcome = socket.connect(address, wait);
            match outcome {
                // A later slice of the same call: still the attempt that this call began.
                Err(Errno(libc::EALREADY)) if begun => Err(Errno(libc::EINPROGRESS)),
                _ => {
                    begun = true;
                    outcome
                }
            }
        })
    }

    fn send_plan(&self, flags: c_int) -> Result<Sending, Failure> {
        // Python ignores SIGPIPE and raises BrokenPipeError; so it is under programs that embed it and do not.
        let flags = SendFlags::from_bits(flags | libc::MSG_NOSIGNAL);
        let patience = match flags.dont_wait {
            true => Patience::NONE,
            false => Patience::new(*self.timeout.lock(), self.socket()?.send_wait()),
        };
        Ok(Sending { flags, patience })
    }

    fn send_some(&self, py: Python<'_>, bytes: &[u8], sending: Sending) -> Result<usize, Failure> {
        let socket = self.socket()?;
        let Sending { flags, patience } = sending;
        patience.wait(py, |wait| socket.send(&[IoSlice::new(bytes)], flags, wait))
    }

    fn send_whole(&self, py: Python<'_>, mut rest: &[u8], sending: Sending) -> PyResult<()> {
        while !rest.is_empty() {
            let sent = self.send_some(py, rest, sending)?;
            rest = rest.get(sent..).unwrap_or_default();
            py.check_signals()?;
        }
        Ok(())
    }

    /// Receives, and makes the bytes into what the caller wants.
    fn receive<T>(
        &self,
        py: Python<'_>,
        most: usize,
        flags: c_int,
        make: impl FnOnce(&[u8]) -> PyResult<T>,
    ) -> PyResult<T> {
        let socket = self.socket()?;
        let receive = self.plan(&socket, most, flags)?;
        let mut room = Room::new();
        let len = receive.fill(py, &socket, &mut room)?;
        make(room.part(0, len)?)
    }

    fn plan(&self, socket: &ustcp_runtime::Socket, most: usize, flags: c_int) -> Result<Receive, Failure> {
        let flags = RecvFlags::from_bits(flags)?;
        if flags.truncate {
            return Err(Failure::System(Errno(libc::EOPNOTSUPP)));
        }
        let patience = match flags.dont_wait {
            true => Patience::NONE,
            false => Patience::new(*self.timeout.lock(), socket.receive_wait()),
        };
        Ok(Receive {
            most: if flags.wait_all && !flags.peek {
                most
            } else {
                most.min(PIECE)
            },
            flags,
            patience: if flags.wait_all { patience.whole() } else { patience },
        })
    }
}

impl Receive {
    /// Receives by pieces, so that memory is taken as bytes come and not as they are asked for. A piece that is not
    /// full ends it: that is all there is, or all that could be waited for.
    fn fill(&self, py: Python<'_>, socket: &ustcp_runtime::Socket, room: &mut Room) -> PyResult<usize> {
        let mut len = 0;
        loop {
            let end = self.most.min(len + PIECE);
            let into = room.part(len, end)?;
            let received = self
                .patience
                .wait(py, |wait| socket.recv(&mut [IoSliceMut::new(into)], self.flags, wait));
            match received {
                Ok(count) => len += count,
                Err(Failure::System(_) | Failure::TimedOut) if len > 0 => return Ok(len),
                Err(failure) => return Err(failure.into()),
            }
            if len < end || end == self.most {
                return Ok(len);
            }
        }
    }
}

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
    buflen: isize,
    ask: impl FnOnce() -> Result<Vec<u8>, Errno>,
) -> PyResult<Py<PyAny>> {
    let most = match usize::try_from(buflen) {
        Ok(most) if most <= OPTION_MAX => most,
        _ => return Err(PyOSError::new_err("getsockopt buflen out of range")),
    };
    let value = ask().map_err(Failure::from)?;
    if most > 0 {
        let value = PyBytes::new(py, value.get(..most).unwrap_or(&value));
        return Ok(value.into_any().unbind());
    }
    let number = value.first_chunk().copied().map_or(0, c_int::from_ne_bytes);
    Ok(number.into_pyobject(py)?.into_any().unbind())
}

/// A float or an integer and nothing else, as CPython takes a timeout.
fn seconds(value: &Bound<'_, PyAny>) -> PyResult<f64> {
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

/// A socket of the process-wide stack, which starts with the first one, entered under its descriptor.
fn make(family: Family) -> Result<ustcp_runtime::Socket, Errno> {
    let socket = process::runtime()?.socket(family)?;
    process::register(socket.clone());
    Ok(socket)
}
