//! Listeners: their connections on the way to the programs that accept them.
//!
//! A connection goes as a record into the listener's stream, with its descriptor beside it. The program that takes it
//! confirms it with one byte, which is the poison. Until then the engine shows what has arrived but does not take it out of
//! the connection: when the descriptor is lost, the connection is offered again.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno as SystemErrno;
use rustix::net::sockopt::set_socket_oobinline;
use ustcp_client::protocol::{Address, Arrival, Tag};
use ustcp_client::sys;
use ustcp_proto::Family;
use ustcp_runtime::Errno;

use crate::descriptors::Descriptors;
use crate::engine::Engine;
use crate::far::Far;
use crate::greeting::STREAM_EVENTS;
use crate::ground::Ground;
use crate::kernel::kernel_accept;
use crate::key::Key;
use crate::route::Why;
use crate::shortage::is_shortage;
use crate::socket::{Arrived, Kernel, Phase, Socket};
use crate::stream;

/// What to hear of a connection of the kernel's.
const FAR_EVENTS: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::PRI)
    .union(EventFlags::ET);

impl Engine {
    /// Offers connections to a listener's programs, as many as may be on their way at once.
    pub(crate) fn offer(&mut self, number: u64) {
        while let Some(arrived) = self.next_arrival(number) {
            if let Err((errno, arrived)) = self.send_arrival(number, arrived) {
                self.take_back(number, arrived);
                match errno {
                    SystemErrno::AGAIN => self.watch_room(number),
                    SystemErrno::DQUOT => self.await_share(number),
                    _ => self.starve(number),
                }
                return;
            }
        }
    }

    /// The connection that is offered next, if one may be.
    fn next_arrival(&mut self, number: u64) -> Option<Arrived> {
        let socket = self.sockets.get_mut(number)?;
        let Phase::Listening(listening) = &mut socket.phase else {
            return None;
        };
        if listening.offered >= listening.limit {
            return None;
        }
        let next = match listening.returned.pop_front() {
            Some(arrived) => arrived,
            None => match accepted(&mut self.ground, self.descriptors, socket) {
                Ok(arrived) => arrived,
                Err(errno) if is_shortage(errno) => {
                    self.starve(number);
                    return None;
                }
                Err(_) => return None,
            },
        };
        if let Phase::Listening(listening) = &mut socket.phase {
            listening.offered += 1;
        }
        Some(next)
    }

    fn send_arrival(&mut self, listener: u64, arrived: Arrived) -> Result<(), (SystemErrno, Arrived)> {
        let number = self.new_socket_number();
        let Some(socket) = self.sockets.get(listener) else {
            return Err((SystemErrno::BADF, arrived));
        };
        if !self.has_room_for(socket.client) {
            return Err((SystemErrno::DQUOT, arrived));
        }
        let made = made_pair(number, socket.family, socket.urgent_inline);
        let (ours, theirs) = match made {
            Ok(pair) => pair,
            Err(errno) => return Err((errno, arrived)),
        };
        if self.descriptors.is_for_requests(&ours) {
            return Err((SystemErrno::NFILE, arrived));
        }
        let mut accepted = Socket::new(ours, arrived.id, socket.family, socket.client, socket.run);
        accepted.kernel = arrived.kernel;
        accepted.urgent_inline = socket.urgent_inline;
        accepted.peer = Some(arrived.peer);
        // Before the program can take it: what has arrived by then is there at its first look.
        let shown = show_from(0, accepted.far(), &mut self.ground, &accepted.stream, &mut self.chunk);
        accepted.phase = Phase::Offered {
            listener,
            peer: arrived.peer,
            shown: shown.unwrap_or(0),
        };
        let local = accepted.far().local(&mut self.ground).unwrap_or(arrived.peer); // a socket has one
        let record = Arrival {
            socket: number,
            local: Address(local),
            peer: Address(arrived.peer),
        };
        let sent = self
            .watch_socket(number, &accepted)
            .and_then(|()| stream::give_descriptor(&socket.stream, &record.to_bytes(), theirs));
        if let Err(errno) = sent {
            let Socket { id, kernel, .. } = accepted;
            let peer = arrived.peer;
            return Err((errno, Arrived { id, kernel, peer }));
        }
        self.sockets.insert(number, accepted);
        self.call(number);
        Ok(())
    }

    /// Has epoll tell of a new socket's stream, and of its kernel's connection.
    pub(crate) fn watch_socket(&self, number: u64, socket: &Socket) -> rustix::io::Result<()> {
        self.watch(&socket.stream, Key::Socket(number, socket.which), STREAM_EVENTS)?;
        match &socket.kernel {
            None => Ok(()),
            Some(kernel) => self.watch_far(number, socket.which, &kernel.descriptor),
        }
    }

    /// Has epoll tell of a connection of the kernel's, under this number if it did under another.
    pub(crate) fn watch_far(&self, number: u64, which: u8, descriptor: &OwnedFd) -> rustix::io::Result<()> {
        let data = EventData::new_u64(Key::Far(number, which).data());
        match epoll::add(&self.epoll, descriptor, data, FAR_EVENTS) {
            Err(SystemErrno::EXIST) => epoll::modify(&self.epoll, descriptor, data, FAR_EVENTS),
            result => result,
        }
    }

    /// A connection that was to be offered, or was and is lost, is to be offered again.
    fn take_back(&mut self, listener: u64, arrived: Arrived) {
        match self.sockets.get_mut(listener).map(|socket| &mut socket.phase) {
            Some(Phase::Listening(listening)) => {
                listening.offered -= 1;
                listening.returned.push_back(arrived);
            }
            _ => self.reset_all(vec![arrived]),
        }
    }

    /// Connections that nobody will have.
    pub(crate) fn reset_all(&mut self, connections: impl IntoIterator<Item = Arrived>) {
        for Arrived { id, kernel, .. } in connections {
            let far = match &kernel {
                None => Far::Stack(id),
                Some(kernel) => Far::Kernel(kernel.descriptor.as_fd()),
            };
            far.abort(&mut self.ground);
            let _ = self.ground.machine.stack().close(self.ground.now, id); // it fails for none
        }
    }

    /// What is still on its way to a listener that is none any more nobody will have, as in Linux.
    pub(crate) fn reset_offered(&mut self, former: u64) {
        for number in self.sockets.numbers() {
            let Some(socket) = self.sockets.get(number) else {
                continue;
            };
            if !matches!(socket.phase, Phase::Offered { listener, .. } if listener == former) {
                continue;
            }
            if stream::queued(&socket.stream) > 0 {
                self.confirmed(number);
            } else {
                self.lost(number);
            }
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
            socket.far().consume(&mut self.ground, shown, &mut self.chunk);
        }
        if let Some(Phase::Listening(listening)) = self.sockets.get_mut(listener).map(|socket| &mut socket.phase) {
            listening.offered -= 1;
        }
        self.call(listener);
        self.call(number);
        self.relieve(); // a descriptor on its way counts, and this one has arrived
    }

    /// The descriptor did not arrive, or the process died before it could confirm.
    fn lost(&mut self, number: u64) {
        let Some(socket) = self.sockets.remove(number) else {
            return;
        };
        if let Phase::Offered { listener, peer, .. } = socket.phase {
            let Socket { id, kernel, .. } = socket;
            self.take_back(listener, Arrived { id, kernel, peer });
            self.call(listener);
        }
        self.relieve(); // there is a descriptor again
    }

    /// Lets the program see what has arrived, for it may wait for it before it takes the connection.
    fn show(&mut self, number: u64) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        let Phase::Offered { shown: before, .. } = socket.phase else {
            return;
        };
        match show_from(before, socket.far(), &mut self.ground, &socket.stream, &mut self.chunk) {
            Ok(more) => {
                if let Phase::Offered { shown, .. } = &mut socket.phase {
                    *shown += more;
                }
            }
            Err(Errno(libc::EAGAIN)) => {}
            Err(errno) => self.on_error(number, errno),
        }
    }
}

/// Gives a program what has arrived of its connection from `offset` on, and leaves it there. How much; what has no room yet is
/// given later.
fn show_from(offset: usize, far: Far<'_>, ground: &mut Ground, to: &OwnedFd, chunk: &mut [u8]) -> Result<usize, Errno> {
    let len = far.peek(ground, offset, chunk)?;
    Ok(stream::give(to, chunk.get(..len).unwrap_or_default()).unwrap_or(0))
}

/// The next connection of a listener, or of the kernel's that stands for it or beside it. One of the kernel's is a
/// descriptor of ours, and is taken only where there is one that is not for requests.
fn accepted(ground: &mut Ground, descriptors: Descriptors, listener: &Socket) -> rustix::io::Result<Arrived> {
    let (beside, why) = match &listener.kernel {
        Some(kernel) => (Some(&kernel.descriptor), kernel.why),
        None => match ground.machine.stack().accept(listener.id) {
            Ok((id, peer)) => {
                let kernel = None;
                return Ok(Arrived { id, kernel, peer });
            }
            Err(_) => (listener.published.as_ref(), Why::Host),
        },
    };
    let beside = beside.ok_or(SystemErrno::AGAIN)?;
    if !descriptors.has_room_for_sockets(beside) {
        return Err(SystemErrno::NFILE);
    }
    let (descriptor, peer) = kernel_accept(beside)?;
    let stack = ground.machine.stack();
    let id = stack.socket(listener.family).map_err(|_| SystemErrno::NOBUFS)?;
    if let Ok(options) = stack.options(listener.id) {
        let _ = stack.set_options(ground.now, id, options); // what the listener has, a socket takes
    }
    let kernel = Some(Kernel { descriptor, why });
    Ok(Arrived { id, kernel, peer })
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
