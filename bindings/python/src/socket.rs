//! The class under `ustcp.socket`.

mod opening;
mod transfer;

use std::time::Duration;

use libc::{c_int, c_ulong};
use parking_lot::Mutex;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use ustcp_runtime::{Errno, Family, Shutdown, process};

use crate::address;
use crate::arguments::{count_messages, descriptor, family_of, option_bytes, option_value, seconds};
use crate::end::{End, Origin};
use crate::failure::{self, Failure, system_error};
use crate::manual::ManualStack;
use crate::patience::{Interest, Patience};
use crate::payload::{PIECE, View, gather};
use crate::stack::{self, Stack};

/// From so many bytes on they are received into the caller's buffer itself. Below, a copy costs less than to hold it.
const DIRECT: usize = 8 * 1024;

/// A TCP socket of one of this process's stacks. Every method may be called from any thread, and releases the GIL while it
/// works or waits; `close` ends the waits of the others with EBADF. `OSError` of any of them: EBADF once it is closed and in
/// a child of fork, ENETDOWN once the stack has ended.
#[pyclass(frozen, subclass, module = "ustcp._ustcp")]
pub(crate) struct Socket {
    /// `None` until it is opened and once it is closed.
    open: Mutex<Option<End>>,
    birth: Mutex<Birth>,
    /// `None`: blocking; zero: non-blocking.
    timeout: Mutex<Option<Duration>>,
}

/// What a socket is from its beginning on.
#[derive(Clone, Copy)]
struct Birth {
    family: Family,
    proto: c_int,
    /// The process that made it.
    owner: u32,
}

impl Birth {
    /// In this process.
    fn here(family: Family, proto: c_int) -> Birth {
        let owner = std::process::id();
        Birth { family, proto, owner }
    }
}

#[pymethods]
impl Socket {
    /// Not open: that is the constructor's, so that a class derived from it may have one with arguments of its own.
    #[new]
    #[pyo3(signature = (*_arguments, **_options))]
    fn new(_arguments: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Socket {
        Socket {
            open: Mutex::new(None),
            birth: Mutex::new(Birth::here(Family::V4, 0)),
            timeout: Mutex::new(None),
        }
    }

    /// Becomes what the other is, which is closed from then on.
    #[pyo3(signature = (other, /))]
    fn _take_over(&self, other: &Bound<'_, Socket>) -> PyResult<()> {
        Ok(self.become_one(other.get().given_up()?)?)
    }

    /// Becomes the socket under a number that another object gave up.
    #[pyo3(signature = (fileno, proto, stack, /))]
    fn _adopt(
        &self,
        py: Python<'_>,
        fileno: &Bound<'_, PyAny>,
        proto: c_int,
        stack: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let origin = stack.map(origin_of).transpose()?;
        let number = descriptor(fileno)?;
        let end = py.detach(|| End::adopt(origin.as_ref(), number));
        let end = end.map_err(Failure::from)?;
        let proto = if proto == -1 { libc::IPPROTO_TCP } else { proto };
        Ok(self.become_one(Socket::around(end, proto, None))?)
    }

    /// Becomes a new socket.
    #[pyo3(signature = (family, r#type, proto, stack, /))]
    fn _open(
        &self,
        py: Python<'_>,
        family: c_int,
        r#type: c_int,
        proto: c_int,
        stack: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let origin = stack.map(origin_of).transpose()?;
        let family = if family == -1 { Family::V4 } else { family_of(family)? };
        let r#type = if r#type == -1 { libc::SOCK_STREAM } else { r#type };
        if r#type & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != libc::SOCK_STREAM {
            return Err(system_error(libc::ESOCKTNOSUPPORT));
        }
        let proto = proto.max(0);
        if !matches!(proto, 0 | libc::IPPROTO_TCP) {
            return Err(system_error(libc::EPROTONOSUPPORT));
        }
        failure::sockets_are_of_this_process();
        let end = py.detach(|| make(origin, family))?;
        let timeout = (r#type & libc::SOCK_NONBLOCK != 0).then_some(Duration::ZERO);
        Ok(self.become_one(Socket::around(end, proto, timeout))?)
    }

    /// The file descriptor, good for select, poll and epoll and for nothing else; of a stack by hand a number; -1 once
    /// closed.
    fn fileno(&self) -> c_int {
        self.open.lock().as_ref().map_or(-1, End::number)
    }

    /// Gives the number up: the socket lives on under it, for another object to be made of.
    fn detach(&self) -> c_int {
        self.open.lock().take().map_or(-1, |end| end.given_up())
    }

    /// The same socket once more, under another number.
    fn _dup(&self, py: Python<'_>) -> PyResult<Socket> {
        let end = self.end()?;
        let copy = py.detach(|| end.duplicate()).map_err(Failure::from)?;
        Ok(Socket::around(copy, self.birth.lock().proto, *self.timeout.lock()))
    }

    /// Gives it a local address, as of bind(2): an address of the stack, of 127.0.0.0/8 or `::1` (inside the stack only), or
    /// `""` for all; port 0 to 65535, 0 has a free one chosen (RFC 6056).
    ///
    /// `OSError`: EADDRINUSE: another socket holds address and port, or without `SO_REUSEADDR` a connection in TIME-WAIT;
    /// EADDRNOTAVAIL: not an address of this stack; EINVAL: bound already, or `::ffff:a.b.c.d` with `IPV6_V6ONLY`.
    /// `OverflowError`: no such port. `TypeError`: no tuple of that form. `socket.gaierror`: a name that is not known, or a number
    /// of the other family.
    fn bind(&self, py: Python<'_>, address: &Bound<'_, PyAny>) -> PyResult<()> {
        let end = self.end()?;
        let address = address::from_python(end.family(), address)?;
        Ok(py.detach(|| end.bind(address)).map_err(Failure::from)?)
    }

    /// Takes connections from now on: passive OPEN, RFC 9293 §3.9.1.1. `backlog`: most established connections that wait for
    /// accept; negative is the largest. May be called again for another. One that is not bound gets a free port.
    ///
    /// `OSError`: EADDRINUSE: another socket listens there, or no port is free; EINVAL: connected, or connecting.
    #[pyo3(signature = (backlog = 128))]
    fn listen(&self, py: Python<'_>, backlog: c_int) -> PyResult<()> {
        let end = self.end()?;
        Ok(py.detach(|| end.listen(backlog)).map_err(Failure::from)?)
    }

    /// The oldest waiting connection, and the peer's address.
    fn _accept(&self, py: Python<'_>) -> PyResult<(Socket, Py<PyAny>)> {
        let end = self.end()?;
        let patience = Patience::new(*self.timeout.lock(), end.receive_wait());
        let (accepted, peer) = patience.wait(py, &end, Interest::Read, |wait| end.accept(wait))?;
        let accepted = Socket::around(accepted, self.birth.lock().proto, None);
        Ok((accepted, address::to_python(py, peer)?))
    }

    /// Opens a connection: active OPEN, RFC 9293 §3.9.1.1. Waits until it is established, at most as long as the timeout;
    /// without one a silent host is waited for 247 s.
    ///
    /// `OSError`: ECONNREFUSED: the peer answered with RST; ETIMEDOUT: it did not answer; EHOSTUNREACH, ENETUNREACH: no way
    /// there, or ICMP said so; EADDRNOTAVAIL: no port is free for that peer; EISCONN: connected, or listening; EINPROGRESS:
    /// non-blocking, it is begun; EALREADY: non-blocking, and begun before; ECONNABORTED: a former attempt failed and was not
    /// asked about. `socket.timeout`; the attempt goes on. Of the address as `bind`.
    fn connect(&self, py: Python<'_>, address: &Bound<'_, PyAny>) -> PyResult<()> {
        Ok(self.attempt_connect(py, address)?)
    }

    /// As connect, with the error's number as its value; 0 when connected, EAGAIN after the timeout. What is wrong with the
    /// address is raised.
    fn connect_ex(&self, py: Python<'_>, address: &Bound<'_, PyAny>) -> PyResult<c_int> {
        match self.attempt_connect(py, address) {
            Ok(()) => Ok(0),
            Err(Failure::System(errno)) => Ok(errno.0),
            Err(Failure::TimedOut) => Ok(libc::EAGAIN),
            Err(Failure::Raised(raised)) => Err(raised),
        }
    }

    /// Sends the buffer, RFC 9293 §3.9.1.2: how many bytes were taken, which is not that the peer has them. Waits until all of
    /// them are, or with a timeout of 0 takes what there is room for, 1 at least; and at most 256 KiB at a time of a buffer that
    /// is not `bytes`. A wait that is cut short tells what was taken until then.
    ///
    /// `flags`: `MSG_DONTWAIT`, `MSG_OOB` (the last byte is urgent), `MSG_MORE`, `MSG_EOR`; others are taken without effect.
    ///
    /// `OSError`: EAGAIN: no room, and it must not wait; EPIPE: not connected, or our side was shut down; ECONNRESET: the peer
    /// sent RST; ETIMEDOUT: it no longer answers; EHOSTUNREACH, ENETUNREACH: nor can it be reached. `socket.timeout`: nothing
    /// was taken.
    #[pyo3(signature = (data, flags = 0, /))]
    fn send(&self, py: Python<'_>, data: &Bound<'_, PyAny>, flags: c_int) -> PyResult<usize> {
        let plan = self.send_plan(flags)?;
        let bytes = match data.cast::<PyBytes>() {
            Ok(bytes) => bytes.clone(),
            Err(_) => View::new(data)?.piece(0)?,
        };
        Ok(self.send_some(py, bytes.as_bytes(), plan)?)
    }

    /// Sends the whole buffer, by send until nothing is left; `None`. The timeout is one of the whole. After an error nobody
    /// knows how much was taken. `OSError` and `socket.timeout` as send.
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
    /// `MSG_FASTOPEN` it is connect and send in one, and the first bytes go with the SYN where the server allows it
    /// (RFC 7413). `OSError` as send, then as connect too, and EOPNOTSUPP: the knob `tcp_fastopen` has no bit 1.
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
        self.sendto_with(py, data, flags, &address)
    }

    /// send of several buffers as one, copied together; there is no ancillary data on TCP, and the address is of no use
    /// without `MSG_FASTOPEN`. `OSError` as sendto, and EOPNOTSUPP: there is ancillary data.
    #[pyo3(signature = (buffers, ancdata = None, flags = 0, address = None, /))]
    fn sendmsg(
        &self,
        py: Python<'_>,
        buffers: &Bound<'_, PyAny>,
        ancdata: Option<&Bound<'_, PyAny>>,
        flags: c_int,
        address: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let bytes = gather(buffers)?;
        if ancdata.map_or(Ok(0), count_messages)? > 0 {
            return Err(system_error(libc::EOPNOTSUPP));
        }
        if let Some(address) = address {
            address::from_python(self.birth.lock().family, address)?;
            if flags & libc::MSG_FASTOPEN != 0 {
                return self.sendto_with(py, PyBytes::new(py, &bytes).as_any(), flags, address);
            }
        }
        let plan = self.send_plan(flags)?;
        Ok(self.send_some(py, &bytes, plan)?)
    }

    /// Receives at most `bufsize` bytes, 0 or more, and at most 256 KiB of them at a time (more with `MSG_WAITALL`): what is
    /// there, for which it waits; `b""` once the peer has sent FIN and all before it was read, or our side was shut down.
    /// RFC 9293 §3.9.1.3. `flags`: `MSG_DONTWAIT`, `MSG_PEEK`, `MSG_WAITALL`, `MSG_TRUNC` (zeros in place of the bytes, which
    /// are dropped), `MSG_OOB`; others are taken without effect.
    ///
    /// `OSError`: EAGAIN: nothing is there, and it must not wait; ENOTCONN; ECONNRESET: the peer sent RST; ECONNREFUSED,
    /// ETIMEDOUT, EHOSTUNREACH, ENETUNREACH: why the connection failed, told once, and the end of the stream after that;
    /// EINVAL: with `MSG_OOB` there is no urgent byte. `socket.timeout`. `ValueError`: `bufsize` is negative.
    #[pyo3(signature = (bufsize, flags = 0, /))]
    fn recv<'py>(&self, py: Python<'py>, bufsize: isize, flags: c_int) -> PyResult<Bound<'py, PyBytes>> {
        let most = usize::try_from(bufsize).map_err(|_| PyValueError::new_err("negative buffersize in recv"))?;
        self.receive(py, most, flags, |bytes| Ok(PyBytes::new(py, bytes)))
    }

    /// As recv, into the buffer: how many bytes; 0 at the end of the stream. At most `nbytes` of them, 0 for as many as there
    /// is room for; from 8 KiB on straight into the buffer, which is held until then. `ValueError`: `nbytes` is negative or
    /// more than there is room for. `TypeError`, `BufferError`: nothing that can be written to.
    #[pyo3(signature = (buffer, nbytes = 0, flags = 0))]
    fn recv_into(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>, nbytes: isize, flags: c_int) -> PyResult<usize> {
        let view = View::writable(buffer)?;
        let most = usize::try_from(nbytes).map_err(|_| PyValueError::new_err("negative buffersize in recv_into"))?;
        let room = view.len()?;
        if most > room {
            return Err(PyValueError::new_err("buffer too small for requested bytes"));
        }
        let most = if most == 0 { room } else { most };
        if most >= DIRECT
            && flags & libc::MSG_TRUNC == 0
            && let Some(mut place) = view.pinned()?
        {
            return self.receive_into(py, most, flags, &mut place);
        }
        self.receive(py, most, flags, |bytes| view.write(bytes).map(|()| bytes.len()))
    }

    /// Ends one direction or both, RFC 9293 §3.6. `SHUT_WR` sends FIN after all that was written, and the peer may go on
    /// sending; after `SHUT_RD` what is not there yet reads as the end, and the peer is not told; `SHUT_RDWR` is both. The last
    /// two end listening. Waits of other threads for what was ended return.
    ///
    /// `OSError`: ENOTCONN; EINVAL: another `how`.
    fn shutdown(&self, py: Python<'_>, how: c_int) -> PyResult<()> {
        let how = match how {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(system_error(libc::EINVAL)),
        };
        let end = self.end()?;
        Ok(py.detach(|| end.shutdown(how)).map_err(Failure::from)?)
    }

    /// Closes it; once more does nothing. After a fork the child only forgets it: the connection is its parent's, and
    /// the number may be that of a socket of its own.
    fn _real_close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(end) = self.open.lock().take() else {
            return Ok(());
        };
        if self.birth.lock().owner != std::process::id() {
            return Ok(());
        }
        match py.detach(|| end.close()) {
            Ok(()) | Err(Errno(libc::ECONNRESET)) => Ok(()), // the peer was faster: closed all the same, as in CPython
            Err(errno) => Err(Failure::from(errno).into()),
        }
    }

    /// The local address, `(host, port)`, of `AF_INET6` `(host, port, 0, 0)`; zeros before it has one.
    fn getsockname(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let end = self.end()?;
        address::to_python(py, py.detach(|| end.local_address()).map_err(Failure::from)?)
    }

    /// The peer's address, in the form of getsockname. `OSError` ENOTCONN where there is none.
    fn getpeername(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let end = self.end()?;
        address::to_python(py, py.detach(|| end.peer_address()).map_err(Failure::from)?)
    }

    /// How long calls may wait: seconds, a float or an int; `None` is for ever, 0 not at all (`BlockingIOError`). Passed, it
    /// is `socket.timeout`. Waits that have begun keep theirs. `ValueError`: negative, or no number; `OverflowError`: too large.
    #[pyo3(signature = (value, /))]
    fn settimeout(&self, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let timeout = match value.map(seconds).transpose()? {
            None => None,
            Some(seconds) if seconds.is_nan() => {
                return Err(PyValueError::new_err("Invalid value NaN (not a number)"));
            }
            Some(seconds) if seconds < 0.0 => return Err(PyValueError::new_err("Timeout value out of range")),
            Some(seconds) => {
                let timeout = Duration::try_from_secs_f64(seconds)
                    .map_err(|_| PyOverflowError::new_err("timeout doesn't fit into C timeval"))?;
                // Rounded up: what is no zero does not make it non-blocking.
                Some(timeout.max(Duration::from_nanos(u64::from(seconds > 0.0))))
            }
        };
        self.set_timeout(timeout)
    }

    /// What settimeout set, in seconds; `None` is for ever.
    fn gettimeout(&self) -> Option<f64> {
        self.timeout.lock().map(|timeout| timeout.as_secs_f64())
    }

    /// True is `settimeout(None)`, false `settimeout(0)`.
    #[pyo3(signature = (flag, /))]
    fn setblocking(&self, flag: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_timeout(if flag.is_truthy()? { None } else { Some(Duration::ZERO) })
    }

    /// Whether calls may wait: whether the timeout is not 0.
    fn getblocking(&self) -> bool {
        *self.timeout.lock() != Some(Duration::ZERO)
    }

    /// Sets an option, by an int of 32 bits or the bytes of the struct that it takes; docs/c-api.md has them all.
    ///
    /// `OSError`: ENOPROTOOPT: no such option; EINVAL: not with this value, or not now; EDOM, EPERM and others as the option
    /// says.
    #[pyo3(signature = (level, option, value, /))]
    fn setsockopt(&self, py: Python<'_>, level: c_int, option: c_int, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = option_bytes(value)?;
        let end = self.end()?;
        Ok(py
            .detach(|| end.set_option(level, option, &bytes))
            .map_err(Failure::from)?)
    }

    /// An int, or with `buflen`, 1 to 1024, the bytes of the option's struct, at most so many. `OSError`: ENOPROTOOPT: no such
    /// option; without a number: `buflen` is out of range.
    #[pyo3(signature = (level, option, buflen = 0, /))]
    fn getsockopt(&self, py: Python<'_>, level: c_int, option: c_int, buflen: isize) -> PyResult<Py<PyAny>> {
        let end = self.end()?;
        option_value(py, (level, option), buflen, |room| {
            py.detach(|| end.option(level, option, room))
        })
    }

    /// The number that ioctl(2) would write: of `termios.FIONREAD` the bytes that can be read, of `termios.TIOCOUTQ`
    /// those written and not acknowledged, of 0x8905 (`SIOCATMARK`) whether the next one is urgent. `OSError`: ENOTTY: another
    /// request; EINVAL: it listens.
    #[pyo3(signature = (request, /))]
    fn ioctl(&self, request: c_ulong) -> PyResult<c_int> {
        Ok(self.end()?.ask_number(request).map_err(Failure::from)?)
    }

    /// What poll(2) of this socket would answer now: those of `events` that hold, and unasked POLLERR, POLLHUP and, once
    /// closed, POLLNVAL.
    #[pyo3(signature = (events, /))]
    fn poll(&self, py: Python<'_>, events: i16) -> PyResult<i16> {
        match self.end() {
            Ok(end) => Ok(py.detach(|| end.poll(events)).map_err(Failure::from)?),
            Err(_) => Ok(libc::POLLNVAL),
        }
    }

    /// With `TCP_INQ`, how much is left to read, and 1 at the end of the stream.
    fn _left_to_read(&self) -> PyResult<Option<i32>> {
        Ok(self.end()?.left_to_read().map_err(Failure::from)?)
    }

    /// The connection's state, by its name in RFC 9293; "LISTEN" of a listener, "CLOSED" before and after.
    #[getter]
    fn state(&self) -> PyResult<String> {
        match self.end() {
            Ok(end) => Ok(end.state().map_err(Failure::from)?.to_string()),
            Err(_) => Ok("CLOSED".to_owned()),
        }
    }

    #[getter]
    fn _family(&self) -> c_int {
        match self.birth.lock().family {
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        }
    }

    /// 0 or `IPPROTO_TCP`, as it was made.
    #[getter]
    fn proto(&self) -> c_int {
        self.birth.lock().proto
    }
}

impl Socket {
    fn around(end: End, proto: c_int, timeout: Option<Duration>) -> Socket {
        Socket {
            birth: Mutex::new(Birth::here(end.family(), proto)),
            open: Mutex::new(Some(end)),
            timeout: Mutex::new(timeout),
        }
    }

    /// Takes over all that another one is. What was open before is closed.
    fn become_one(&self, other: Socket) -> Result<(), Failure> {
        *self.birth.lock() = other.birth.into_inner();
        *self.timeout.lock() = other.timeout.into_inner();
        let before = std::mem::replace(&mut *self.open.lock(), other.open.into_inner());
        Ok(before.map_or(Ok(()), |end| end.close())?)
    }

    /// `EBADF` once closed, as where the timeout is a flag of the descriptor.
    fn set_timeout(&self, timeout: Option<Duration>) -> PyResult<()> {
        self.end()?.check().map_err(Failure::from)?;
        *self.timeout.lock() = timeout;
        Ok(())
    }

    /// Its successor: this object is closed from then on.
    fn given_up(&self) -> Result<Socket, Failure> {
        let end = self.open.lock().take().ok_or(Failure::System(Errno(libc::EBADF)))?;
        Ok(Socket::around(end, self.birth.lock().proto, *self.timeout.lock()))
    }

    /// What it holds, `EBADF` once closed.
    fn end(&self) -> Result<End, Failure> {
        self.open.lock().clone().ok_or(Failure::System(Errno(libc::EBADF)))
    }
}

/// A new socket; without a stack of its own one of the process-wide stack, which starts with the first: the error says why
/// it does not.
fn make(origin: Option<Origin>, family: Family) -> PyResult<End> {
    let origin = match origin {
        Some(origin) => origin,
        None => Origin::Device(process::runtime_or_reason().map_err(stack::raised)?),
    };
    Ok(End::new(&origin, family).map_err(Failure::from)?)
}

fn origin_of(stack: &Bound<'_, PyAny>) -> PyResult<Origin> {
    if let Ok(stack) = stack.cast::<Stack>() {
        return Ok(Origin::Device(stack.get().runtime()));
    }
    if let Ok(stack) = stack.cast::<ManualStack>() {
        return Ok(Origin::Manual(stack.get().shared()));
    }
    let kind = stack.get_type().name()?;
    Err(PyTypeError::new_err(format!(
        "a socket is made on a Stack or a ManualStack, not on {kind}"
    )))
}
