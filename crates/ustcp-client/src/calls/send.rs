//! send(2) and its kin, where a socket of TCP would do otherwise than one of AF_UNIX.

use libc::c_int;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;

use super::address;
use crate::engine::{Engine, Question};
use crate::protocol::Operation;
use crate::sys::message::{self, Message};
use crate::sys::{Socket, Source};

/// Flags that a socket of TCP takes otherwise than one of AF_UNIX.
pub const OTHERWISE: c_int = libc::MSG_OOB | libc::MSG_FASTOPEN;

/// Flags for the stream.
fn native(flags: c_int) -> c_int {
    flags & !OTHERWISE | libc::MSG_NOSIGNAL
}

impl Engine {
    /// sendto(2), without SIGPIPE. An address says nothing to a connection, but with `MSG_FASTOPEN`. A cancellation point.
    pub fn send_to(&self, socket: &Socket, bytes: Source, flags: c_int, to: Source) -> Result<usize, Errno> {
        self.open(socket, flags, to)?;
        match flags & libc::MSG_OOB {
            0 => message::transmit(socket, bytes, native(flags)),
            _ => self.send_urgent(socket, bytes, native(flags)),
        }
    }

    /// sendmsg(2), without SIGPIPE. A cancellation point.
    pub fn send_message(&self, socket: &Socket, header: Source, flags: c_int) -> Result<usize, Errno> {
        let message = Message::read(header)?;
        self.open(socket, flags, message.name())?;
        match flags & libc::MSG_OOB {
            0 => message.send(socket, native(flags)),
            _ => self.send_urgent_message(socket, &message, native(flags)),
        }
    }

    /// `MSG_FASTOPEN` with an address connects first; the bytes go after the handshake, as to a server without a cookie.
    /// Any other address is looked at, and no more.
    fn open(&self, socket: &Socket, flags: c_int, to: Source) -> Result<(), Errno> {
        match flags & libc::MSG_FASTOPEN {
            0 if to.is_null() => socket.must_carry(),
            0 => address::look_at(to).and(socket.must_carry()),
            _ if to.is_null() => Err(Errno::INVAL),
            _ => self.connect(socket, to),
        }
    }

    /// All but the last byte are as any; the last goes by way of the engine, which has taken those before it.
    fn send_urgent(&self, socket: &Socket, bytes: Source, flags: c_int) -> Result<usize, Errno> {
        let Some(before) = bytes.len().checked_sub(1) else {
            return message::transmit(socket, bytes, flags);
        };
        let sent = match before {
            0 => 0,
            _ => message::transmit(socket, bytes.first(before), flags)?,
        };
        if sent < before {
            return Ok(sent);
        }
        match self.send_urgent_byte(socket, bytes.last(), flags) {
            Err(_) if sent > 0 => Ok(sent),
            result => result.map(|()| bytes.len()),
        }
    }

    fn send_urgent_byte(&self, socket: &Socket, byte: Source, flags: c_int) -> Result<(), Errno> {
        let waits = flags & libc::MSG_DONTWAIT == 0 && !fcntl_getfl(socket)?.contains(OFlags::NONBLOCK);
        if !socket.is_attached() {
            return Err(Errno::NOTCONN); // as the native call of one that was never connected
        }
        let question = Question {
            a: u32::from(waits),
            ..Question::of(socket, Operation::SendUrgent)
        };
        let answer = if waits {
            self.ask_and_wait(socket, question, byte)
        } else {
            self.ask_with(question, byte)
        };
        answer.map(drop)
    }

    /// Piece by piece, the last byte of the last one urgent.
    fn send_urgent_message(&self, socket: &Socket, message: &Message, flags: c_int) -> Result<usize, Errno> {
        let mut last = Source::of(&[]);
        let mut sent = 0;
        for index in 0..message.pieces().min(libc::UIO_MAXIOV as usize) {
            let piece = message.piece(index)?;
            if piece.is_empty() {
                continue;
            }
            let taken = message::transmit(socket, last, flags)?;
            sent += taken;
            if taken < last.len() {
                return Ok(sent);
            }
            last = piece;
        }
        match self.send_urgent(socket, last, flags) {
            Err(_) if sent > 0 => Ok(sent),
            result => result.map(|taken| sent + taken),
        }
    }
}
