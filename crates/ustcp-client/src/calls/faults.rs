//! The errno of a read or a write that has failed: the stream's own is not always what TCP would say.

use rustix::io::Errno;

use super::options::native_error;
use crate::engine::{Engine, Question};
use crate::protocol::{Operation, Standing};
use crate::sys::{self, Socket};

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A read.
    Reading,
    /// The same of an urgent byte (`MSG_OOB`).
    ReadingUrgent,
    /// write(2) and its kin: where the kernel says `EPIPE`, it has raised SIGPIPE.
    Writing,
    /// send(2) and its kin, which the kernel was asked to do without SIGPIPE.
    Sending {
        /// `MSG_NOSIGNAL` was the program's wish, too.
        quiet: bool,
    },
}

/// What to tell instead of `native`: an errno, or the end of the stream. Looks at the descriptor only where the two may
/// differ, so that a failing call on any other file costs next to nothing.
pub fn fault(engine: &Engine, fd: libc::c_int, native: Errno, direction: Direction) -> Result<(), Errno> {
    let may_differ = match direction {
        Direction::Reading => matches!(native, Errno::CONNRESET | Errno::INVAL | Errno::AGAIN),
        Direction::ReadingUrgent => native == Errno::INVAL,
        Direction::Writing | Direction::Sending { .. } => {
            matches!(native, Errno::CONNRESET | Errno::PIPE | Errno::NOTCONN | Errno::AGAIN)
        }
    };
    if !may_differ {
        return Err(native);
    }
    match Socket::of(fd) {
        Some(socket) => engine.fault(&socket, native, direction),
        None if native == Errno::PIPE => Err(direction.broken_pipe(false)),
        None => Err(native),
    }
}

impl Engine {
    /// The same of a socket of ours.
    pub(super) fn fault(&self, socket: &Socket, native: Errno, direction: Direction) -> Result<(), Errno> {
        Err(match (direction, native) {
            (Direction::ReadingUrgent, Errno::INVAL) if socket.listens() => Errno::NOTCONN,
            (Direction::ReadingUrgent, _) => native,
            // Not connected, or a listener's.
            (Direction::Reading, Errno::INVAL) if !socket.is_attached() => Errno::NOTCONN,
            (Direction::Reading, Errno::AGAIN) if socket.standing != Standing::Plain => Errno::NOTCONN,
            (Direction::Reading, Errno::CONNRESET) => match self.error_of_read(socket) {
                Errno::PIPE => return Ok(()), // the peer's FIN came first, and what it wrote is whole
                errno => errno,
            },
            (Direction::Reading, _) => native,
            (_, Errno::NOTCONN) => direction.broken_pipe(true),
            (_, Errno::AGAIN) if socket.standing != Standing::Plain => direction.broken_pipe(true),
            (_, Errno::CONNRESET | Errno::PIPE) => match self.error_of_write(socket) {
                None | Some(Errno::PIPE) => direction.broken_pipe(false),
                Some(errno) => errno,
            },
            _ => native,
        })
    }

    /// The first write after a reset says so; what the descriptor knows of it is gone then. It knows of none while there are
    /// bytes on their way to it that came before.
    fn error_of_write(&self, socket: &Socket) -> Option<Errno> {
        let native = native_error(socket);
        let number = self.why(socket, Operation::TOLD_BY_WRITE).unwrap_or(native);
        (number != 0).then(|| sys::checked(number))
    }

    /// What a read tells of the end.
    fn error_of_read(&self, socket: &Socket) -> Errno {
        match self.why(socket, Operation::TOLD_BY_READ) {
            Ok(0) | Err(_) => Errno::CONNRESET,
            Ok(number) => sys::checked(number),
        }
    }

    /// Why the connection ended. Where the engine cannot say it, what the descriptor says is true: with its engine it was
    /// reset.
    fn why(&self, socket: &Socket, told: u32) -> Result<i32, Errno> {
        let told = Question {
            a: told,
            ..Question::of(socket, Operation::Fault)
        };
        self.ask(told, &[])?.number()
    }
}

impl Direction {
    /// recv(2) and its kin with these flags.
    #[must_use]
    pub fn receiving(flags: libc::c_int) -> Direction {
        match flags & libc::MSG_OOB {
            0 => Direction::Reading,
            _ => Direction::ReadingUrgent,
        }
    }

    /// `EPIPE`, and SIGPIPE where that is still to be raised. `translated`: the kernel said something else, and raised none.
    fn broken_pipe(self, translated: bool) -> Errno {
        match self {
            Direction::Sending { quiet: false } => sys::raise_sigpipe(),
            Direction::Writing if translated => sys::raise_sigpipe(),
            _ => {}
        }
        Errno::PIPE
    }
}
