//! The bytes of a connection: what has arrived, on its way to the program, and what the program sends.

use std::os::fd::{BorrowedFd, OwnedFd};

use libc::c_ulong;
use rustix::net::{RecvFlags, SendFlags};
use ustcp_proto::{Framing, SocketId};
use ustcp_runtime::{Errno, kernel};

use crate::far::Far;
use crate::ground::Ground;
use crate::kernel::system;
use crate::stream;

/// `SIOCATMARK` of <asm-generic/sockios.h>.
const SIOCATMARK: c_ulong = 0x8905;

impl Far<'_> {
    /// What has arrived, behind the first `offset` bytes of it; it stays. 0 at the end of the stream.
    pub(crate) fn peek(self, on: &mut Ground, offset: usize, into: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Far::Stack(id) => Ok(on.machine.stack().peek(id, offset, into)?),
            Far::Kernel(fd) => match system(stream::look(fd, into))? {
                0 => Ok(0),
                len if len > offset => {
                    into.copy_within(offset..len, 0);
                    Ok(len - offset)
                }
                _ => Err(Errno(libc::EAGAIN)),
            },
        }
    }

    /// Takes what was looked at.
    pub(crate) fn consume(self, on: &mut Ground, count: usize, spare: &mut [u8]) {
        // Neither fails: it was there a moment ago.
        match self {
            Far::Stack(id) => drop(on.machine.stack().discard(on.now, id, count)),
            Far::Kernel(fd) => {
                let room = spare.get_mut(..count).unwrap_or_default();
                let _ = rustix::net::recv(fd, room, RecvFlags::DONTWAIT | RecvFlags::TRUNC);
            }
        }
    }

    /// Takes what has arrived, for nobody.
    pub(crate) fn throw_away(self, on: &mut Ground, spare: &mut [u8]) {
        let mut before = usize::MAX;
        loop {
            let unread = self.unread(on);
            if unread == 0 || unread >= before {
                return;
            }
            self.consume(on, unread.min(spare.len()), spare);
            before = unread;
        }
    }

    /// Gives a program what has arrived, as far as it has room.
    pub(crate) fn give_to(self, on: &mut Ground, stream: &OwnedFd, chunk: &mut [u8]) -> Result<Given, Errno> {
        match self {
            Far::Stack(id) => give_in_place(on, id, stream),
            Far::Kernel(_) => self.give_copied(on, stream, chunk),
        }
    }

    fn give_copied(self, on: &mut Ground, stream: &OwnedFd, chunk: &mut [u8]) -> Result<Given, Errno> {
        let of = self.peek(on, 0, chunk)?;
        if of == 0 {
            return Ok(Given::Some { count: 0, of }); // who reads no more has the end, too
        }
        let Ok(count) = stream::give(stream, chunk.get(..of).unwrap_or_default()) else {
            return Ok(Given::Deaf);
        };
        if count > 0 {
            self.consume(on, count, chunk);
        }
        Ok(Given::Some { count, of })
    }

    /// The urgent byte, where it stands here and has come.
    pub(crate) fn urgent(self, on: &mut Ground) -> Option<u8> {
        match self {
            Far::Stack(id) => {
                let stack = on.machine.stack();
                let here = stack.at_mark(id).ok()? && stack.readiness(id).ok()?.urgent;
                here.then(|| stack.recv_urgent(on.now, id, true).ok()?)?
            }
            Far::Kernel(fd) => {
                let here = kernel::ask_number(fd, SIOCATMARK) == Ok(1);
                here.then(|| urgent(fd, RecvFlags::PEEK))?
            }
        }
    }

    /// Takes it.
    pub(crate) fn take_urgent(self, on: &mut Ground) {
        match self {
            Far::Stack(id) => drop(on.machine.stack().recv_urgent(on.now, id, false)),
            Far::Kernel(fd) => drop(urgent(fd, RecvFlags::empty())),
        }
    }

    /// Bytes that have arrived.
    pub(crate) fn unread(self, on: &mut Ground) -> usize {
        match self {
            Far::Stack(id) => on.machine.stack().queued_in(id).unwrap_or(0),
            Far::Kernel(fd) => stream::queued(fd),
        }
    }

    /// send(2): how much was taken.
    pub(crate) fn send(self, on: &mut Ground, bytes: &[u8], urgent: bool) -> Result<usize, Errno> {
        let framing = Framing {
            urgent,
            ..Framing::default()
        };
        match self {
            Far::Stack(id) => Ok(on.machine.stack().send_framed(on.now, id, bytes, framing)?),
            Far::Kernel(fd) => {
                let oob = if urgent { SendFlags::OOB } else { SendFlags::empty() };
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | oob;
                Ok(system(rustix::net::send(fd, bytes, flags))?)
            }
        }
    }
}

/// What was given to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// So many bytes, of so many that there were; none: the end of the stream.
    Some {
        /// How many it had room for.
        count: usize,
        /// How many were offered.
        of: usize,
    },
    /// It reads no more.
    Deaf,
}

/// From the connection's own memory: no copy between.
fn give_in_place(on: &mut Ground, id: SocketId, stream: &OwnedFd) -> Result<Given, Errno> {
    let mut outcome = Given::Some { count: 0, of: 0 };
    let give = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let given = stream::give_pieces(stream, pieces);
        outcome = given.map_or(Given::Deaf, |(count, of)| Given::Some { count, of });
        given.map_or(0, |(count, _)| count)
    };
    on.machine.stack().recv_in_place(on.now, id, give)?;
    Ok(outcome)
}

fn urgent(fd: BorrowedFd<'_>, flags: RecvFlags) -> Option<u8> {
    let mut byte = [0];
    let (_, len) = rustix::net::recv(fd, &mut byte, RecvFlags::OOB | RecvFlags::DONTWAIT | flags).ok()?;
    (len == 1).then_some(byte[0])
}
