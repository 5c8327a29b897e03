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
    /// A write; `quiet`: no SIGPIPE goes with its `EPIPE`.
    Writing {
        /// `MSG_NOSIGNAL`.
        quiet: bool,
    },
}

/// The errno to tell instead of `native`. Looks at the descriptor only where the two may differ, so that a failing call
/// on any other file costs next to nothing.
#[must_use]
pub fn fault(engine: &Engine, fd: libc::c_int, native: Errno, direction: Direction) -> Errno {
    let may_differ = match direction {
        Direction::Reading => matches!(native, Errno::CONNRESET | Errno::INVAL | Errno::AGAIN),
        Direction::Writing { .. } => {
            matches!(native, Errno::CONNRESET | Errno::PIPE | Errno::NOTCONN | Errno::AGAIN)
        }
    };
    if !may_differ {
        return native;
    }
    Socket::of(fd).map_or(native, |socket| engine.fault(&socket, native, direction))
}

impl Engine {
    fn fault(&self, socket: &Socket, native: Errno, direction: Direction) -> Errno {
        match (direction, native) {
            // Not connected, or a listener's.
            (Direction::Reading, Errno::INVAL) if !socket.is_attached() => Errno::NOTCONN,
            (Direction::Reading, Errno::AGAIN) if socket.standing != Standing::Plain => Errno::NOTCONN,
            (Direction::Writing { quiet }, Errno::NOTCONN) => broken_pipe(quiet),
            (Direction::Writing { quiet }, Errno::AGAIN) if socket.standing != Standing::Plain => broken_pipe(quiet),
            (_, Errno::CONNRESET) => self.true_errno(socket),
            // The first write after a reset says so; what the descriptor knows of it is gone then.
            (Direction::Writing { .. }, Errno::PIPE) if native_error(socket) != 0 => self.true_errno(socket),
            _ => native,
        }
    }

    /// Why the connection ended. With its engine it was reset.
    fn true_errno(&self, socket: &Socket) -> Errno {
        let told = Question {
            a: 1,
            ..Question::of(socket, Operation::Fault)
        };
        let asked = self.ask(told, &[]);
        match asked.and_then(|answer| answer.number()) {
            Ok(0) | Err(_) => Errno::CONNRESET,
            Ok(number) => sys::checked(number),
        }
    }
}

fn broken_pipe(quiet: bool) -> Errno {
    if !quiet {
        sys::raise_sigpipe();
    }
    Errno::PIPE
}
