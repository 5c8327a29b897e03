//! Bytes both ways between a socket's stream and its connection.
//!
//! The last byte that a program wrote stays in the stream, looked at but not taken: it is the poison that turns the closing
//! of the stream into a reset.

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno as SystemErrno;
use ustcp_proto::Error;

use crate::engine::Engine;
use crate::greeting::STREAM_EVENTS;
use crate::key::Key;
use crate::socket::Phase;
use crate::stream;

/// Chunks that one socket moves in one turn, each way: nobody waits for a long queue of somebody else.
const TURN: usize = 4;

impl Engine {
    /// From the program to the connection, as far as that takes it. `true`: the program has written no more than what was
    /// taken.
    pub(crate) fn pump_out(&mut self, number: u64) -> bool {
        for _ in 0..TURN {
            let Some(socket) = self.sockets.get_mut(number) else {
                return true;
            };
            if !matches!(socket.phase, Phase::Connected) || socket.fault.is_some() {
                return true;
            }
            let skip = usize::from(socket.head_taken);
            let fresh = stream::queued(&socket.stream).saturating_sub(skip);
            if fresh == 0 {
                return true;
            }
            let room = self.machine.stack().room(socket.id).unwrap_or(0);
            let (count, stays) = match room.min(self.chunk.len() - skip) {
                0 => return false,
                room if room < fresh => (room, false),
                _ => (fresh, true),
            };
            let moved = take_out(socket, &mut self.chunk, skip, count, stays);
            let text = self.chunk.get(skip..skip + moved).unwrap_or_default();
            if let Err(error) = self.machine.stack().send(self.now, socket.id, text) {
                self.on_error(number, error);
            }
            if stays {
                return true;
            }
        }
        self.call(number);
        false
    }

    /// From the connection to the program, as far as that has room for it.
    pub(crate) fn pump_in(&mut self, number: u64) {
        for _ in 0..TURN {
            let Some(socket) = self.sockets.get_mut(number) else {
                return;
            };
            if socket.end_told {
                return;
            }
            let found = match self.give_urgent(number) {
                Some(given) => given.then_some(1),
                None => self.give_text(number),
            };
            if found.is_none_or(|count| count == 0) {
                return;
            }
        }
        self.call(number);
    }

    /// The urgent byte, should it stand here: `Some(false)` when there is no room for it.
    fn give_urgent(&mut self, number: u64) -> Option<bool> {
        let socket = self.sockets.get_mut(number)?;
        let stack = self.machine.stack();
        if !stack.at_mark(socket.id).ok()? || !stack.readiness(socket.id).ok()?.urgent {
            return None;
        }
        let byte = stack.recv_urgent(self.now, socket.id, true).ok()??;
        match stream::give_urgent(&socket.stream, byte) {
            Ok(1) => {
                let _ = stack.recv_urgent(self.now, socket.id, false); // it was there a moment ago
                Some(true)
            }
            Ok(_) => {
                self.watch_room(number);
                Some(false)
            }
            Err(_) => {
                socket.program_deaf = true;
                Some(false)
            }
        }
    }

    /// Bytes of the stream: how many were given; `None` when no more can be.
    fn give_text(&mut self, number: u64) -> Option<usize> {
        let socket = self.sockets.get_mut(number)?;
        let len = match self.machine.stack().peek(socket.id, 0, &mut self.chunk) {
            Ok(0) => {
                self.on_end(number);
                return None;
            }
            Ok(len) => len,
            Err(Error::WouldBlock) => return None,
            Err(error) => {
                self.on_error(number, error);
                return None;
            }
        };
        match stream::give(&socket.stream, self.chunk.get(..len).unwrap_or_default()) {
            Ok(given) => {
                if given > 0 {
                    let _ = self.machine.stack().discard(self.now, socket.id, given); // it was there a moment ago
                }
                if given < len {
                    self.watch_room(number);
                    return None;
                }
                self.unwatch_room(number);
                Some(given)
            }
            Err(_) => {
                socket.program_deaf = true;
                None
            }
        }
    }

    /// The peer writes no more, or the connection has ended and everything it received has been given.
    fn on_end(&mut self, number: u64) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        if socket.fault.is_none() {
            stream::end(&socket.stream);
            socket.end_told = true;
        }
    }

    /// An error of the connection: its end, or something that ICMP says of it.
    pub(crate) fn on_error(&mut self, number: u64, error: Error) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        let ustcp_runtime::Errno(errno) = error.into();
        match self.machine.stack().state(socket.id) {
            Ok(ustcp_proto::State::Closed) => socket.fault = socket.fault.or(Some(errno)),
            _ => socket.soft_fault = Some(errno),
        }
        self.call(number);
    }

    /// Has epoll tell when the stream takes more.
    pub(crate) fn watch_room(&mut self, number: u64) {
        self.rewatch(number, true);
    }

    fn unwatch_room(&mut self, number: u64) {
        self.rewatch(number, false);
    }

    fn rewatch(&mut self, number: u64, room: bool) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        if std::mem::replace(&mut socket.watches_room, room) != room {
            let flags = if room {
                STREAM_EVENTS | EventFlags::OUT
            } else {
                STREAM_EVENTS
            };
            let data = EventData::new_u64(Key::Socket(number, socket.which).data());
            // It cannot fail: the stream is watched since it was attached.
            let _ = epoll::modify(&self.epoll, &socket.stream, data, flags | EventFlags::ET);
        }
    }

    /// The connection is there: the junk is taken but for its last byte, which is the poison.
    pub(crate) fn connected(&mut self, number: u64) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        let mut junk = stream::queued(&socket.stream);
        socket.head_taken = junk > 0;
        socket.phase = Phase::Connected;
        while junk > 1 {
            let count = (junk - 1).min(self.chunk.len());
            match stream::take(&socket.stream, self.chunk.get_mut(..count).unwrap_or_default()) {
                Ok(taken) if taken > 0 => junk -= taken,
                Err(SystemErrno::INTR) => {}
                _ => break,
            }
        }
        self.call(number);
    }
}

/// Takes `count` fresh bytes into `chunk`, behind the `skip` that were taken before. When the last of them `stays`, it is
/// looked at only. Returns how many there were.
fn take_out(socket: &mut crate::socket::Socket, chunk: &mut [u8], skip: usize, count: usize, stays: bool) -> usize {
    let whole = skip + count;
    let taken = whole - usize::from(stays);
    if taken > 0 {
        let room = chunk.get_mut(..taken).unwrap_or_default();
        let taken = stream::take(&socket.stream, room).unwrap_or(0);
        if taken > 0 {
            socket.head_taken = false;
        }
        if taken < room.len() {
            return taken.saturating_sub(skip);
        }
    }
    if stays {
        let room = chunk.get_mut(taken..whole).unwrap_or_default();
        if stream::look(&socket.stream, room) != Ok(1) {
            return taken.saturating_sub(skip);
        }
        socket.head_taken = true;
    }
    count
}
