//! An engine as Python is its client: what a socket of it cannot ask the kernel for, on the socket's descriptor.

use std::net::SocketAddr;

use libc::{c_int, c_ulong};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use ustcp_client::calls::{self, Direction};
use ustcp_client::engine::Engine as Client;
use ustcp_client::named;
use ustcp_client::sys::{self, Sink, Socket, Source};
use ustcp_runtime::{Errno, Family, Uncancelled};

use crate::address;
use crate::arguments::{count_messages, option_bytes, option_value};
use crate::failure::{Failure, system_error};
use crate::payload::View;

/// Whether sockets of this process are an engine's, `USTCP_ENGINE`'s. Decided once.
#[pyfunction]
pub(crate) fn is_engine_wanted() -> bool {
    named::is_wanted()
}

/// The tagged socket under a descriptor, wherever it is from: its family; `None` for anything else.
#[pyfunction]
#[pyo3(signature = (fd, /))]
pub(crate) fn family_at_engine(fd: c_int) -> Option<c_int> {
    Socket::of(fd).map(|socket| match socket.tag.is_v6 {
        true => libc::AF_INET6,
        false => libc::AF_INET,
    })
}

/// An engine that serves this process.
#[pyclass(frozen, module = "ustcp._ustcp")]
pub(crate) struct Engine(Client);

#[pymethods]
impl Engine {
    /// The engine of that name or directory; without one that of `USTCP_ENGINE`.
    #[new]
    #[pyo3(signature = (name = None, /))]
    fn new(py: Python<'_>, name: Option<Vec<u8>>) -> PyResult<Engine> {
        let found = py.detach(|| match &name {
            Some(name) => Client::called(name),
            None => named::engine().copied(),
        });
        found.map(Engine).map_err(|error| {
            let (told_by, asked) = match &name {
                Some(name) => ("engine", Some(name.as_slice())),
                None => ("USTCP_ENGINE", sys::variable(c"USTCP_ENGINE")),
            };
            let asked = String::from_utf8_lossy(asked.unwrap_or_default());
            let number = error.errno().raw_os_error();
            PyOSError::new_err((number, format!("{told_by}={asked}: {error}")))
        })
    }

    /// A descriptor that is close-on-exec; `flags`: `SOCK_NONBLOCK`.
    fn socket(&self, family: c_int, flags: c_int) -> PyResult<c_int> {
        told(self.0.socket(family == libc::AF_INET6, flags | libc::SOCK_CLOEXEC))
    }

    fn bind(&self, py: Python<'_>, fd: c_int, address: &Bound<'_, PyAny>) -> PyResult<()> {
        let socket = of(fd)?;
        let address = address::from_python(family(&socket), address)?;
        told(py.detach(|| self.0.bind_to(&socket, address)))
    }

    fn listen(&self, py: Python<'_>, fd: c_int, backlog: c_int) -> PyResult<()> {
        let socket = of(fd)?;
        told(py.detach(|| self.0.listen(&socket, backlog)))
    }

    /// The next connection's descriptor, close-on-exec, and its peer.
    fn accept(&self, py: Python<'_>, fd: c_int) -> PyResult<(c_int, Py<PyAny>)> {
        let socket = of(fd)?;
        let (connection, peer) = told(waiting(py, || self.0.next(&socket, libc::SOCK_CLOEXEC)))?;
        let peer = address::to_python(py, peer)?;
        Ok((connection.keep(), peer))
    }

    /// Whether its stream carries bytes: it has been more than bound, and does not listen.
    fn carries(&self, fd: c_int) -> PyResult<bool> {
        Ok(of(fd)?.must_carry().is_ok())
    }

    /// What is of no use with a message on a connection, but must be what it is called: how many messages of ancillary data,
    /// and an address.
    fn look_at(&self, fd: c_int, ancdata: &Bound<'_, PyAny>, to: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        let socket = of(fd)?;
        to.map(|to| address::from_python(family(&socket), to)).transpose()?;
        count_messages(ancdata)
    }

    /// connect(2): 0, or the error's number.
    fn connect(&self, py: Python<'_>, fd: c_int, address: &Bound<'_, PyAny>) -> PyResult<c_int> {
        let socket = of(fd)?;
        let address: SocketAddr = address::from_python(family(&socket), address)?;
        let connected = waiting(py, || self.0.connect_to(&socket, address));
        Ok(connected.map_or_else(|errno| errno.raw_os_error(), |()| 0))
    }

    fn shutdown(&self, py: Python<'_>, fd: c_int, how: c_int) -> PyResult<()> {
        let socket = of(fd)?;
        told(py.detach(|| self.0.shutdown(&socket, how)))
    }

    fn local(&self, py: Python<'_>, fd: c_int) -> PyResult<Py<PyAny>> {
        let socket = of(fd)?;
        address::to_python(py, told(py.detach(|| self.0.local(&socket)))?)
    }

    fn peer(&self, py: Python<'_>, fd: c_int) -> PyResult<Py<PyAny>> {
        let socket = of(fd)?;
        address::to_python(py, told(py.detach(|| self.0.peer(&socket)))?)
    }

    /// Whether the option is not the descriptor's own, and is set.
    fn set_option(
        &self,
        py: Python<'_>,
        fd: c_int,
        level: c_int,
        option: c_int,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        if calls::is_native(level, option) {
            return Ok(false);
        }
        let (bytes, socket) = (option_bytes(value)?, of(fd)?);
        let len = u32::try_from(bytes.len()).map_err(|_| system_error(libc::EINVAL))?;
        told(py.detach(|| self.0.set_option(&socket, (level, option), Source::of(&bytes), len)))?;
        Ok(true)
    }

    /// An option's value, `None` where it is the descriptor's own.
    fn option(
        &self,
        py: Python<'_>,
        fd: c_int,
        level: c_int,
        option: c_int,
        buflen: isize,
    ) -> PyResult<Option<Py<PyAny>>> {
        if calls::is_native(level, option) {
            return Ok(None);
        }
        let socket = of(fd)?;
        let value = option_value(py, (level, option), buflen, |room| {
            let asked = py.detach(|| self.value(&socket, (level, option), room));
            asked.map_err(|errno| Errno(errno.raw_os_error()))
        });
        value.map(Some)
    }

    /// The number that ioctl(2) writes where the kernel's would be a stream's of AF_UNIX; `None` where it would not.
    fn number(&self, py: Python<'_>, fd: c_int, request: c_ulong) -> PyResult<Option<c_int>> {
        let socket = of(fd)?;
        if !calls::is_asked(request) || !self.0.is_number_asked(&socket, request) {
            return Ok(None);
        }
        let mut bytes = [0; size_of::<c_int>()];
        told(py.detach(|| self.0.number(&socket, request, Sink::of(&mut bytes))))?;
        Ok(Some(c_int::from_ne_bytes(bytes)))
    }

    /// send(2) with `MSG_OOB`, once and as the descriptor waits.
    fn send_urgent(&self, py: Python<'_>, fd: c_int, data: &Bound<'_, PyAny>, flags: c_int) -> PyResult<usize> {
        let (socket, piece) = (of(fd)?, View::new(data)?.piece(0)?);
        let (bytes, flags) = (piece.as_bytes(), flags | libc::MSG_OOB | libc::MSG_NOSIGNAL);
        let send = || self.0.send_to(&socket, Source::of(bytes), flags, Source::of(&[]));
        told(waiting(py, send))
    }

    /// recv(2) with `MSG_TRUNC`, once and as the descriptor waits: how many bytes were dropped.
    #[allow(unsafe_code, reason = "room that nobody writes to")]
    fn discard(&self, py: Python<'_>, fd: c_int, most: usize, flags: c_int) -> PyResult<usize> {
        let (socket, flags) = (of(fd)?, flags | libc::MSG_TRUNC);
        let receive = || {
            // SAFETY: with MSG_TRUNC nothing is written there.
            let nowhere = unsafe { Sink::new(std::ptr::null_mut(), most) };
            calls::receive(&socket, nowhere, flags, None)
        };
        told(waiting(py, receive))
    }

    /// The errno to tell of a read or write that failed, instead of the descriptor's own; 0: it is the end of the stream.
    fn fault(&self, py: Python<'_>, fd: c_int, errno: c_int, writes: bool) -> c_int {
        let direction = match writes {
            true => Direction::Sending { quiet: true },
            false => Direction::Reading,
        };
        let native = sys::checked(errno);
        let told = py.detach(|| calls::fault(&self.0, fd, native, direction));
        told.map_or_else(rustix::io::Errno::raw_os_error, |()| 0)
    }
}

impl Engine {
    fn value(&self, socket: &Socket, option: (c_int, c_int), room: usize) -> Result<Vec<u8>, rustix::io::Errno> {
        let mut value = vec![0; room];
        let mut length = c_int::try_from(room).unwrap_or(c_int::MAX).to_ne_bytes();
        self.0
            .option(socket, option, Sink::of(&mut value), Sink::of(&mut length))?;
        value.truncate(usize::try_from(c_int::from_ne_bytes(length)).unwrap_or(0));
        Ok(value)
    }
}

/// `EBADF` for a descriptor that is no engine's.
fn of(fd: c_int) -> PyResult<Socket> {
    Socket::of(fd).ok_or_else(|| system_error(libc::EBADF))
}

fn family(socket: &Socket) -> Family {
    if socket.tag.is_v6 { Family::V6 } else { Family::V4 }
}

/// Runs a call that may wait in the kernel, which must not be cancelled there with our frames on the stack.
fn waiting<T: Send>(py: Python<'_>, call: impl FnOnce() -> T + Send) -> T {
    py.detach(|| {
        let _uncancelled = Uncancelled::new();
        call()
    })
}

fn told<T>(result: Result<T, rustix::io::Errno>) -> PyResult<T> {
    result.map_err(|errno| Failure::System(Errno(errno.raw_os_error())).into())
}
