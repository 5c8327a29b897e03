//! setsockopt(2) and getsockopt(2). The engine keeps the options; a few are the descriptor's own, or both's.

use libc::{c_int, socklen_t};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_oobinline, socket_error};

use crate::engine::{Engine, Question};
use crate::protocol::{Operation, Request, Standing};
use crate::sys::{self, Sink, Socket, Source};

/// No option's value is longer than this; of a longer one the beginning is looked at, as in Linux.
const LONGEST_VALUE: usize = 256;

/// `SO_RCVTIMEO_NEW`, `SO_SNDTIMEO_NEW`: the two for a 64-bit time where `time_t` has 32 bits.
const TIMES: [c_int; 4] = [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO, 66, 67];

/// Whether an option is the descriptor's own, and the native call right: how long reading and writing wait.
#[must_use]
pub fn is_native(level: c_int, name: c_int) -> bool {
    level == libc::SOL_SOCKET && TIMES.contains(&name)
}

/// Whether an option's value is told whole or not at all. As Linux: who has no room for it hears `EINVAL`, and its length.
#[must_use]
pub fn is_told_whole(level: c_int, name: c_int) -> bool {
    (level, name) == (libc::IPPROTO_TCP, libc::TCP_SAVED_SYN)
}

impl Engine {
    /// setsockopt(2) of an option that is not native.
    pub fn set_option(
        &self,
        socket: &Socket,
        (level, name): (c_int, c_int),
        value: Source,
        length: socklen_t,
    ) -> Result<(), Errno> {
        // Linux reads the length as an int.
        let length = usize::try_from(length.cast_signed()).map_err(|_| Errno::INVAL)?;
        let ask = || {
            let question = question(socket, Operation::SetOption, level, name);
            self.ask_with(question, value.first(length.min(LONGEST_VALUE)))
        };
        match ask() {
            Err(Errno::STALE) => {
                // Too many have options and no stream.
                if self.attach(socket)? {
                    socket.mark(Standing::Idle)?;
                }
                ask()?;
            }
            result => drop(result?),
        }
        follow(socket, (level, name), value)
    }

    /// getsockopt(2) of an option that is not native.
    pub fn option(
        &self,
        socket: &Socket,
        (level, name): (c_int, c_int),
        value: Sink,
        length: Sink,
    ) -> Result<(), Errno> {
        let room = room(length)?;
        match own(socket, level, name) {
            Some(number) => tell(&number.to_ne_bytes(), room, value, length),
            None if (level, name) == (libc::SOL_SOCKET, libc::SO_ERROR) => {
                tell(&self.take_error(socket).to_ne_bytes(), room, value, length)
            }
            None => {
                let told = u32::try_from(room).unwrap_or(u32::MAX).to_ne_bytes();
                let answer = self.ask(question(socket, Operation::GetOption, level, name), &told)?;
                let told = answer.payload();
                if told.len() > room && is_told_whole(level, name) {
                    tell_length(told.len(), length)?;
                    return Err(Errno::INVAL);
                }
                tell(told, room, value, length)
            }
        }
    }

    /// `SO_ERROR`: the engine's word where it has one; the descriptor's is taken too, so that its mask changes with it.
    pub(super) fn take_error(&self, socket: &Socket) -> i32 {
        self.translated(socket, native_error(socket))
    }

    /// Fails with the error that the descriptor has, which is told by that.
    pub fn check_error(&self, socket: &Socket) -> Result<(), Errno> {
        match native_error(socket) {
            0 => Ok(()),
            native => match self.translated(socket, native) {
                0 => Ok(()),
                number => Err(sys::checked(number)),
            },
        }
    }

    fn translated(&self, socket: &Socket, native: i32) -> i32 {
        if !socket.is_attached() {
            return native;
        }
        let asked = self.ask(
            question(socket, Operation::GetOption, libc::SOL_SOCKET, libc::SO_ERROR),
            &[],
        );
        asked.and_then(|answer| answer.number()).unwrap_or(native)
    }
}

/// The error that the descriptor itself has; it has it no more.
pub(super) fn native_error(socket: &Socket) -> i32 {
    match socket_error(socket) {
        Ok(Err(errno)) => errno.raw_os_error(),
        Ok(Ok(())) | Err(_) => 0,
    }
}

/// Options ask for no stream: a socket that has none stays as it is, and the engine keeps them.
fn question(socket: &Socket, operation: Operation, level: c_int, name: c_int) -> Question {
    let beside = match (socket.is_attached(), socket.tag.is_v6) {
        (true, _) => 0,
        (false, false) => Request::UNATTACHED,
        (false, true) => Request::UNATTACHED_V6,
    };
    Question {
        socket: socket.tag.socket | beside,
        operation,
        a: level.cast_unsigned(),
        b: name.cast_unsigned(),
    }
}

/// What the tag itself says.
fn own(socket: &Socket, level: c_int, name: c_int) -> Option<c_int> {
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_TYPE) => Some(libc::SOCK_STREAM),
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => Some(libc::IPPROTO_TCP),
        (libc::SOL_SOCKET, libc::SO_DOMAIN) if socket.tag.is_v6 => Some(libc::AF_INET6),
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => Some(libc::AF_INET),
        (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => Some(c_int::from(socket.listens())),
        _ => None,
    }
}

/// What the engine has taken and the descriptor has a part in: whether the urgent byte stays in the stream, and how much
/// a read waits for.
fn follow(socket: &Socket, option: (c_int, c_int), value: Source) -> Result<(), Errno> {
    let mut bytes = [0; size_of::<c_int>()];
    match option {
        (libc::SOL_SOCKET, libc::SO_OOBINLINE) => {
            value.read(&mut bytes)?;
            set_socket_oobinline(socket, c_int::from_ne_bytes(bytes) != 0)
        }
        (libc::SOL_SOCKET, libc::SO_RCVLOWAT) => {
            value.read(&mut bytes)?;
            socket.set_low(c_int::from_ne_bytes(bytes))
        }
        _ => Ok(()),
    }
}

fn room(length: Sink) -> Result<usize, Errno> {
    let mut bytes = [0; size_of::<c_int>()];
    length.read(&mut bytes)?;
    usize::try_from(c_int::from_ne_bytes(bytes)).map_err(|_| Errno::INVAL)
}

/// Writes what was told, as far as there is room.
fn tell(told: &[u8], room: usize, value: Sink, length: Sink) -> Result<(), Errno> {
    tell_length(value.first(room).write(told)?, length)
}

fn tell_length(count: usize, length: Sink) -> Result<(), Errno> {
    let count = c_int::try_from(count).unwrap_or(c_int::MAX);
    length.write(&count.to_ne_bytes()).map(drop)
}
