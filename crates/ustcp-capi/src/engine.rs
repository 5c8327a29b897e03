//! With `USTCP_ENGINE` the stack is a process of its own: the calls become those of an engine's client, and a descriptor is
//! the kernel's own, of a stream to that process.
//!
//! Whether a call goes there or to the stack of this process is decided here alone. The other files say what it is on the
//! stack of this process; [`There`] is what it is at an engine.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{
    c_int, c_long, c_ulong, c_void, iovec, msghdr, nfds_t, pollfd, size_t, sockaddr, sockaddr_storage, socklen_t,
    ssize_t,
};
use ustcp_client::calls::{self, AddressRoom, Direction};
use ustcp_client::engine::Engine;
use ustcp_client::named;
use ustcp_client::place::PlaceError;
use ustcp_client::sys::message::Message;
use ustcp_client::sys::{self, Sink, Socket, Source};
use ustcp_runtime::{Errno, Family, StartError, process};

use crate::transfer::count;

/// A call that begins or ends something: `there` where the calls go to an engine, `here` on the stack of this process.
pub(crate) fn choose<T>(there: impl FnOnce() -> T, here: impl FnOnce() -> T) -> T {
    if named::is_wanted() { there() } else { here() }
}

/// A call on a descriptor. `EBADF` for one that is nothing of the kind.
pub(crate) fn on<T>(
    fd: c_int,
    there: impl FnOnce(There) -> Result<T, Errno>,
    here: impl FnOnce(ustcp_runtime::Socket) -> Result<T, Errno>,
) -> Result<T, Errno> {
    choose(|| there(There::of(fd)?), || here(process::socket(fd)?))
}

/// Whether `ustcp_init` or `ustcp_socket` has found the engine, and no `ustcp_fini` came after.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// `ustcp_init`. The engine has its settings already: `own` of the program's are `EOPNOTSUPP`.
pub(crate) fn init(own: usize) -> Result<(), Errno> {
    if own > 0 {
        let error = StartError {
            errno: Errno(libc::EOPNOTSUPP),
            message: "a configuration is of no use to an engine (USTCP_ENGINE), which has its own: see ustcp up"
                .to_owned(),
        };
        error.tell();
        return Err(error.errno);
    }
    find().map_err(|error| {
        error.tell();
        error.errno
    })?;
    match BEGUN.swap(true, Ordering::Relaxed) {
        true => Err(Errno(libc::EALREADY)),
        false => Ok(()),
    }
}

/// `ustcp_fini`. What this process has at the engine stays there.
pub(crate) fn fini() {
    BEGUN.store(false, Ordering::Relaxed);
}

/// `ustcp_socket`. The line on standard error that says why there is no engine comes once.
pub(crate) fn socket(family: Family, flags: c_int) -> Result<c_int, Errno> {
    let engine = find().map_err(|error| {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| error.tell());
        error.errno
    })?;
    BEGUN.store(true, Ordering::Relaxed);
    engine.socket(family == Family::V6, flags).map_err(number)
}

/// `ustcp_poll`: all descriptors are the kernel's.
pub(crate) fn poll(entries: *mut pollfd, count: nfds_t, timeout: c_int) -> Result<c_int, Errno> {
    // SAFETY: the caller's promise; where `entries` is nowhere, the kernel says so.
    match unsafe { libc::poll(entries, count, timeout) } {
        -1 => Err(number(sys::errno())),
        ready => Ok(ready),
    }
}

fn find() -> Result<&'static Engine, StartError> {
    named::engine().map_err(missing)
}

fn missing(error: PlaceError) -> StartError {
    let name = sys::variable(c"USTCP_ENGINE").unwrap_or_default();
    StartError {
        errno: number(error.errno()),
        message: format!("USTCP_ENGINE={}: {error}", String::from_utf8_lossy(name)),
    }
}

/// A socket that an engine carries. Pointers go to the kernel as they are, which checks them: one to nowhere is `EFAULT`.
pub(crate) struct There {
    engine: &'static Engine,
    socket: Socket,
}

impl There {
    fn of(fd: c_int) -> Result<There, Errno> {
        let socket = Socket::of(fd).ok_or(Errno(libc::EBADF))?;
        let engine = find().map_err(|error| error.errno)?;
        Ok(There { engine, socket })
    }

    pub(crate) fn bind(&self, name: *const sockaddr, len: socklen_t) -> Result<c_int, Errno> {
        done(self.engine.bind(&self.socket, address(name, len)))
    }

    pub(crate) fn listen(&self, backlog: c_int) -> Result<c_int, Errno> {
        done(self.engine.listen(&self.socket, backlog))
    }

    pub(crate) fn accept(&self, name: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> Result<c_int, Errno> {
        let room = address_room(name, len);
        self.engine.accept(&self.socket, room, flags).map_err(number)
    }

    pub(crate) fn connect(&self, name: *const sockaddr, len: socklen_t) -> Result<c_int, Errno> {
        done(self.engine.connect(&self.socket, address(name, len)))
    }

    pub(crate) fn shutdown(&self, how: c_int) -> Result<c_int, Errno> {
        done(self.engine.shutdown(&self.socket, how))
    }

    pub(crate) fn close(&self) -> Result<c_int, Errno> {
        done(self.native(libc::SYS_close, [0; 4]))
    }

    pub(crate) fn local_address(&self, name: *mut sockaddr, len: *mut socklen_t) -> Result<c_int, Errno> {
        done(self.engine.local_address(&self.socket, address_room(name, len)))
    }

    pub(crate) fn peer_address(&self, name: *mut sockaddr, len: *mut socklen_t) -> Result<c_int, Errno> {
        done(self.engine.peer_address(&self.socket, address_room(name, len)))
    }

    pub(crate) fn set_option(
        &self,
        (level, name): (c_int, c_int),
        value: *const c_void,
        len: socklen_t,
    ) -> Result<c_int, Errno> {
        if calls::is_native(level, name) {
            let arguments = [level as usize, name as usize, value as usize, len as usize];
            return done(self.native(libc::SYS_setsockopt, arguments));
        }
        let value = source(value, len as usize);
        done(self.engine.set_option(&self.socket, (level, name), value, len))
    }

    pub(crate) fn option(
        &self,
        (level, name): (c_int, c_int),
        value: *mut c_void,
        len: *mut socklen_t,
    ) -> Result<c_int, Errno> {
        if calls::is_native(level, name) {
            let arguments = [level as usize, name as usize, value as usize, len as usize];
            return done(self.native(libc::SYS_getsockopt, arguments));
        }
        let (value, len) = (sink(value, usize::MAX), sink(len.cast(), size_of::<socklen_t>()));
        done(self.engine.option(&self.socket, (level, name), value, len))
    }

    /// Whatever the command is: the descriptor is a whole one.
    pub(crate) fn fcntl(&self, command: c_int, argument: c_long) -> Result<c_int, Errno> {
        let result = self.native(libc::SYS_fcntl, [command as usize, argument as usize, 0, 0]);
        result.map(|value| value as c_int).map_err(number)
    }

    pub(crate) fn ioctl(&self, request: c_ulong, argument: *mut c_void) -> Result<c_int, Errno> {
        if calls::is_asked(request) && self.engine.is_number_asked(&self.socket, request) {
            let to = sink(argument, size_of::<c_int>());
            return done(self.engine.number(&self.socket, request, to));
        }
        if calls::is_of_host(request) {
            return calls::ask_host(&self.socket, request, sink(argument, usize::MAX)).map_err(number);
        }
        done(self.native(libc::SYS_ioctl, [request as usize, argument as usize, 0, 0]))
    }

    pub(crate) fn send(
        &self,
        (buffer, len): (*const c_void, size_t),
        flags: c_int,
        (name, name_len): (*const sockaddr, socklen_t),
    ) -> Result<ssize_t, Errno> {
        let (bytes, name) = (source(buffer, length(len)?), address(name, name_len));
        let sent = self.engine.send_to(&self.socket, bytes, flags, name);
        self.moved(sent, sending(flags))
    }

    pub(crate) fn send_pieces(&self, pieces: *const iovec, count: c_int) -> Result<ssize_t, Errno> {
        let write = |()| match Message::of_pieces(pieces, count) {
            Some(message) => message.send(&self.socket, libc::MSG_NOSIGNAL),
            None => self.native(libc::SYS_writev, [pieces as usize, count as usize, 0, 0]), // there is nothing to write
        };
        let sent = self.socket.must_carry().and_then(write);
        self.moved(sent, sending(0))
    }

    pub(crate) fn send_message(&self, message: *const msghdr, flags: c_int) -> Result<ssize_t, Errno> {
        let header = source(message.cast(), size_of::<msghdr>());
        let sent = self.engine.send_message(&self.socket, header, flags);
        self.moved(sent, sending(flags))
    }

    pub(crate) fn receive(
        &self,
        (buffer, len): (*mut c_void, size_t),
        flags: c_int,
        room: Option<(*mut sockaddr, *mut socklen_t)>,
    ) -> Result<ssize_t, Errno> {
        let room = room.filter(|(name, _)| !name.is_null());
        let room = room.map(|(name, len)| address_room(name, len));
        let received = calls::receive(&self.socket, sink(buffer, length(len)?), flags, room);
        self.moved(received, Direction::receiving(flags))
    }

    pub(crate) fn receive_pieces(&self, pieces: *const iovec, count: c_int) -> Result<ssize_t, Errno> {
        let read = |()| self.native(libc::SYS_readv, [pieces as usize, count as usize, 0, 0]);
        let received = self.socket.must_carry().and_then(read);
        self.moved(received, Direction::Reading)
    }

    pub(crate) fn receive_message(&self, message: *mut msghdr, flags: c_int) -> Result<ssize_t, Errno> {
        let header = sink(message.cast(), size_of::<msghdr>());
        count(
            self.engine
                .receive_message(&self.socket, header, flags)
                .map_err(number)?,
        )
    }

    /// The system call itself.
    fn native(&self, number: c_long, [b, c, d, e]: [usize; 4]) -> Result<usize, rustix::io::Errno> {
        let fd = self.socket.number() as usize;
        // SAFETY: the descriptor and the pointers are the caller's, whose call this is; the kernel checks them.
        unsafe { sys::call(number, [fd, b, c, d, e, 0]) }
    }

    /// The error of a stream of AF_UNIX is not always what TCP would say; it may be the end of the stream.
    fn moved(&self, bytes: Result<usize, rustix::io::Errno>, direction: Direction) -> Result<ssize_t, Errno> {
        match bytes {
            Ok(bytes) => count(bytes),
            Err(native) => {
                let told = calls::fault(self.engine, self.socket.number(), native, direction);
                told.map(|()| 0).map_err(number)
            }
        }
    }
}

fn number(errno: rustix::io::Errno) -> Errno {
    Errno(errno.raw_os_error())
}

fn done<T>(result: Result<T, rustix::io::Errno>) -> Result<c_int, Errno> {
    result.map(|_| 0).map_err(number)
}

/// `EINVAL` for a length that no object has.
fn length(given: size_t) -> Result<usize, Errno> {
    isize::try_from(given).map(|_| given).map_err(|_| Errno(libc::EINVAL))
}

/// SIGPIPE is raised here: after a reset the stream would raise it, and TCP does not.
fn sending(flags: c_int) -> Direction {
    let quiet = flags & libc::MSG_NOSIGNAL != 0;
    Direction::Sending { quiet }
}

fn address(start: *const sockaddr, len: socklen_t) -> Source {
    source(start.cast(), len as usize)
}

fn address_room(to: *mut sockaddr, length: *mut socklen_t) -> AddressRoom {
    let to = sink(to.cast(), size_of::<sockaddr_storage>());
    AddressRoom::new(to, sink(length.cast(), size_of::<socklen_t>()))
}

fn source(start: *const c_void, len: usize) -> Source {
    // SAFETY: the C caller lets the call read it; where it cannot be read, the kernel says so.
    unsafe { Source::new(start, len) }
}

fn sink(start: *mut c_void, len: usize) -> Sink {
    // SAFETY: the C caller lets the call write it; where it cannot be written, the kernel says so.
    unsafe { Sink::new(start, len) }
}
