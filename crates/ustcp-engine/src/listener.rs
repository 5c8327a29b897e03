//! Listeners: their connections on the way to the programs that accept them.
//!
//! A connection goes as a record into the listener's stream, with its descriptor beside it. The program that takes it
//! confirms it with one byte, which is the poison. Until then the engine shows what has arrived but does not take it out of
//! the connection: when the descriptor is lost, the connection is offered again.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno as SystemErrno;
use rustix::net::sockopt::set_socket_oobinline;
use ustcp_client::protocol::{Address, Arrival, Tag};
use ustcp_client::sys;
use ustcp_proto::{Error, Family, SocketId, Stack};

use crate::engine::Engine;
use crate::greeting::STREAM_EVENTS;
use crate::key::Key;
use crate::socket::{Arrived, Phase, Socket};
use crate::stream;

impl Engine {
    /// Offers connections to a listener's programs, as many as may be on their way at once.
    pub(crate) fn offer(&mut self, number: u64) {
        while let Some(arrived) = self.next_arrival(number) {
            if let Err(errno) = self.send_arrival(number, arrived) {
                self.take_back(number, arrived);
                match errno {
                    SystemErrno::AGAIN => self.watch_room(number),
                    _ if self.starved.contains(&number) => {}
                    _ => self.starved.push(number),
                }
                return;
            }
        }
    }

    /// The connection that is offered next, if one may be.
    fn next_arrival(&mut self, number: u64) -> Option<Arrived> {
        let socket = self.sockets.get_mut(number)?;
        let id = socket.id;
        let Phase::Listening(listening) = &mut socket.phase else {
            return None;
        };
        if listening.offered >= listening.limit {
            return None;
        }
        let next = listening.returned.pop();
        let next = next.or_else(|| {
            let (id, peer) = self.machine.stack().accept(id).ok()?;
            Some(Arrived { id, peer })
        })?;
        listening.offered += 1;
        Some(next)
    }

    fn send_arrival(&mut self, listener: u64, Arrived { id, peer }: Arrived) -> rustix::io::Result<()> {
        let number = self.new_socket_number();
        let local = self.machine.stack().local_address(id);
        let Some(socket) = self.sockets.get(listener) else {
            return Err(SystemErrno::BADF);
        };
        if !self.has_room_for(socket.client) {
            return Err(SystemErrno::MFILE);
        }
        let (ours, theirs) = made_pair(number, socket.family, socket.urgent_inline)?;
        if self.descriptors.is_for_requests(&ours) {
            return Err(SystemErrno::NFILE);
        }
        self.watch(&ours, Key::Socket(number, 0), STREAM_EVENTS)?;
        let arrival = Arrival {
            socket: number,
            local: Address(local.unwrap_or(peer)), // the stack knows it as long as it is held
            peer: Address(peer),
        };
        // Before the program can take it: what has arrived by then is there at its first look.
        let shown = show_from(0, id, self.machine.stack(), &ours, &mut self.chunk).unwrap_or(0);
        stream::give_descriptor(&socket.stream, &arrival.to_bytes(), theirs)?;
        let mut accepted = Socket::new(ours, id, socket.family, socket.client, socket.run);
        accepted.urgent_inline = socket.urgent_inline;
        accepted.phase = Phase::Offered { listener, peer, shown };
        self.sockets.insert(number, accepted);
        self.call(number);
        Ok(())
    }

    /// A connection that was to be offered, or was and is lost, is to be offered again.
    fn take_back(&mut self, listener: u64, arrived: Arrived) {
        match self.sockets.get_mut(listener).map(|socket| &mut socket.phase) {
            Some(Phase::Listening(listening)) => {
                listening.offered -= 1;
                listening.returned.push(arrived);
            }
            _ => self.reset_all(vec![arrived]),
        }
    }

    /// Connections that nobody will have.
    pub(crate) fn reset_all(&mut self, connections: Vec<Arrived>) {
        for Arrived { id, .. } in connections {
            // Both fail where the stack has no such connection any more.
            let _ = self.machine.stack().abort(self.now, id);
            let _ = self.machine.stack().close(self.now, id);
        }
    }

    /// A connection that is offered: confirmed, lost, or still on its way.
    pub(crate) fn look_at_offer(&mut self, number: u64) {
        let Some(socket) = self.sockets.get(number) else { return };
        if stream::queued(&socket.stream) > 0 {
            self.confirmed(number);
        } else if socket.program_gone {
            self.lost(number);
        } else {
            self.show(number);
        }
    }

    fn confirmed(&mut self, number: u64) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        let Phase::Offered { listener, shown, .. } = socket.phase else {
            return;
        };
        (socket.phase, socket.head_taken) = (Phase::Connected, true);
        if shown > 0 {
            let _ = self.machine.stack().discard(self.now, socket.id, shown); // it is there: it was shown
        }
        if let Some(Phase::Listening(listening)) = self.sockets.get_mut(listener).map(|socket| &mut socket.phase) {
            listening.offered -= 1;
        }
        self.call(listener);
        self.call(number);
        self.call_starved(); // a descriptor on its way counts, and this one has arrived
    }

    /// The listeners that could not offer a connection may try again.
    pub(crate) fn call_starved(&mut self) {
        for listener in std::mem::take(&mut self.starved) {
            self.call(listener);
        }
    }

    /// The descriptor did not arrive, or the process died before it could confirm.
    fn lost(&mut self, number: u64) {
        let Some(socket) = self.sockets.remove(number) else {
            return;
        };
        if let Phase::Offered { listener, peer, .. } = socket.phase {
            self.take_back(listener, Arrived { id: socket.id, peer });
            self.call(listener);
        }
    }

    /// Lets the program see what has arrived, for it may wait for it before it takes the connection.
    fn show(&mut self, number: u64) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        let Phase::Offered { shown, .. } = &mut socket.phase else {
            return;
        };
        match show_from(*shown, socket.id, self.machine.stack(), &socket.stream, &mut self.chunk) {
            Ok(more) => *shown += more,
            Err(Error::WouldBlock) => {}
            Err(error) => self.on_error(number, error),
        }
    }
}

/// Gives a program what has arrived of its connection from `offset` on, and leaves it there. How much; what has no room yet is
/// given later.
fn show_from(offset: usize, id: SocketId, stack: &mut Stack, to: &OwnedFd, chunk: &mut [u8]) -> Result<usize, Error> {
    let len = stack.peek(id, offset, chunk)?;
    Ok(stream::give(to, chunk.get(..len).unwrap_or_default()).unwrap_or(0))
}

/// A connection's stream: our end, and the program's with its tag.
fn made_pair(number: u64, family: Family, urgent_inline: bool) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = stream::pair()?;
    let tag = Tag {
        socket: number,
        is_v6: family == Family::V6,
    };
    sys::Socket::tagged(theirs.as_raw_fd(), tag)?;
    if urgent_inline {
        set_socket_oobinline(&theirs, true)?;
    }
    Ok((ours, theirs))
}
