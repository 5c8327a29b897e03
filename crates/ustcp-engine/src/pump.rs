//! Bytes both ways between a socket's stream and its connection.
//!
//! The last byte that a program wrote stays in the stream, looked at but not taken: it is the poison that turns the closing
//! of the stream into a reset.

use std::ops::Range;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno as SystemErrno;
use ustcp_runtime::Errno;

use crate::engine::Engine;
use crate::greeting::STREAM_EVENTS;
use crate::ground::Ground;
use crate::key::Key;
use crate::socket::{Phase, Socket};
use crate::stream;
use crate::text::Given;

/// Chunks that one socket moves in one turn, each way: nobody waits for a long queue of somebody else.
const TURN: usize = 4;

/// What is at most so long is looked at whole and then taken: two calls, where it takes three to ask first how much there is.
const SHORT: usize = 4096;

impl Engine {
    /// From the program to the connection, as far as that takes it. `true`: the program has written no more than what was
    /// taken.
    pub(crate) fn pump_out(&mut self, number: u64) -> bool {
        let is_open = |socket: &Socket| matches!(socket.phase, Phase::Connected) && socket.fault.is_none();
        if !self.sockets.get(number).is_some_and(is_open) {
            return true;
        }
        let all_taken = self.send_short(number).is_some() || self.send_all(number);
        if let Some(socket) = self.sockets.get_mut(number) {
            socket.may_have_more = !all_taken;
        }
        all_taken
    }

    /// The same, unless epoll has told of nothing since.
    pub(crate) fn pump_out_told(&mut self, number: u64) -> bool {
        match self.sockets.get(number) {
            Some(socket) if socket.may_have_more => self.pump_out(number),
            _ => true,
        }
    }

    /// Sends all that is in the stream, where that is little. Behind the poison a look never comes to the stream's end, nor
    /// takes its error.
    fn send_short(&mut self, number: u64) -> Option<()> {
        let socket = self.sockets.get_mut(number)?;
        let room = self.ground.machine.stack().room(socket.id).unwrap_or(0);
        if socket.kernel.is_some() || !socket.head_taken || room < SHORT {
            return None;
        }
        let seen = stream::look(&socket.stream, self.chunk.get_mut(..=SHORT)?).ok()?;
        let fresh = (1..seen).len();
        if fresh == 0 {
            // A look ends at what is not of this stream: a byte out of band, a descriptor.
            return (stream::queued(&socket.stream) <= 1).then_some(());
        }
        if seen > SHORT {
            return None;
        }
        let taken = stream::take(&socket.stream, self.chunk.get_mut(..fresh)?).ok()?;
        if let Err(errno) = socket.far().send(&mut self.ground, self.chunk.get(1..=taken)?, false) {
            self.on_error(number, errno);
        }
        (taken == fresh).then_some(())
    }

    fn send_all(&mut self, number: u64) -> bool {
        for _ in 0..TURN {
            let Some(socket) = self.sockets.get_mut(number).filter(|socket| socket.fault.is_none()) else {
                return true;
            };
            let skip = usize::from(socket.head_taken);
            let fresh = stream::queued(&socket.stream).saturating_sub(skip);
            if fresh == 0 {
                return true;
            }
            let room = match socket.kernel {
                None => self.ground.machine.stack().room(socket.id).unwrap_or(0),
                Some(_) => usize::MAX,
            };
            let count = room.min(self.chunk.len() - skip).min(fresh);
            if count == 0 {
                return false;
            }
            let sent = match socket.kernel {
                None => send_taken(
                    &mut self.ground,
                    socket,
                    &mut self.chunk,
                    skip..skip + count,
                    count == fresh,
                ),
                Some(_) => send_seen(&mut self.ground, socket, &mut self.chunk, skip..skip + count, fresh),
            };
            match sent {
                Ok(sent) if sent == fresh => return true,
                Ok(sent) if sent == count => {}
                Ok(_) => return false,
                Err(errno) => self.on_error(number, errno),
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
        let byte = socket.far().urgent(&mut self.ground)?;
        match stream::give_urgent(&socket.stream, byte) {
            Ok(1) => {
                socket.far().take_urgent(&mut self.ground);
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
        let far = socket.far();
        match far.give_to(&mut self.ground, &socket.stream, &mut self.chunk) {
            Ok(Given::Some { of: 0, .. }) => self.on_end(number),
            Ok(Given::Some { count, of }) if count == of => {
                self.unwatch_room(number);
                return Some(count);
            }
            Ok(Given::Some { .. }) => self.watch_room(number),
            Ok(Given::Deaf) => socket.program_deaf = true,
            Err(Errno(libc::EAGAIN)) => {}
            Err(errno) => self.on_error(number, errno),
        }
        None
    }

    /// The peer writes no more, or the connection has ended and everything it received has been given.
    fn on_end(&mut self, number: u64) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        if socket.fault.is_none() {
            if !socket.program_gone {
                stream::end(&socket.stream);
            }
            socket.end_told = true;
        }
    }

    /// An error of the connection: its end, or something that ICMP says of it.
    pub(crate) fn on_error(&mut self, number: u64, Errno(errno): Errno) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        match socket.far().is_closed(&mut self.ground) {
            true => socket.fault = socket.fault.or(Some(errno)),
            false => socket.soft_fault = Some(errno),
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

/// Takes the bytes of `range` out of the stream, so many as the connection has room for, and sends them. `all`: they are
/// all that there are, and the last of them stays.
fn send_taken(
    ground: &mut Ground,
    socket: &mut Socket,
    chunk: &mut [u8],
    range: Range<usize>,
    all: bool,
) -> Result<usize, Errno> {
    let taken = take_out(socket, chunk, &range, all);
    let text = chunk.get(range.start..range.start + taken).unwrap_or_default();
    socket.far().send(ground, text, false)
}

/// Sends what is seen in the stream, so much as the kernel takes, and takes that out. `fresh`: how much there is.
fn send_seen(
    ground: &mut Ground,
    socket: &mut Socket,
    chunk: &mut [u8],
    range: Range<usize>,
    fresh: usize,
) -> Result<usize, Errno> {
    let seen = stream::look(&socket.stream, chunk.get_mut(..range.end).unwrap_or_default()).unwrap_or(0);
    let text = chunk.get(range.start..seen).unwrap_or_default();
    let sent = match socket.far().send(ground, text, false) {
        Err(Errno(libc::EAGAIN)) => return Ok(0),
        sent => sent?,
    };
    let range = range.start..range.start + sent;
    Ok(take_out(socket, chunk, &range, sent == fresh))
}

/// Takes what ends at `range.end` out of the stream into `chunk`; what stands before `range` was taken before. When that
/// is `all`, the last byte stays and is looked at only. Returns how many of `range` there were.
fn take_out(socket: &mut Socket, chunk: &mut [u8], range: &Range<usize>, all: bool) -> usize {
    let end = range.end - usize::from(all);
    let room = chunk.get_mut(..end).unwrap_or_default();
    let taken = match room.is_empty() {
        true => 0,
        false => stream::take(&socket.stream, room).unwrap_or(0),
    };
    if taken > 0 {
        socket.head_taken = false;
    }
    let last = chunk.get_mut(end..range.end).unwrap_or_default();
    if taken < end || last.is_empty() || stream::look(&socket.stream, last) != Ok(1) {
        return taken.saturating_sub(range.start);
    }
    socket.head_taken = true;
    range.len()
}
