//! Streams of programs on their way in: accepted, and not yet a socket.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventFlags};
use rustix::net::{SocketFlags, accept_with};
use ustcp_client::protocol::{Greeting, Tag};
use ustcp_client::sys::Peer;
use ustcp_proto::{Family, Options, Owner, SocketId};

use crate::engine::Engine;
use crate::key::Key;
use crate::passed::Asked;
use crate::shortage::is_shortage;
use crate::site::{BACKLOG, Site};
use crate::socket::{Kernel, Socket};
use crate::stranger;
use crate::stream;

/// What to hear of a stream while there is nothing to write into it.
pub(crate) const STREAM_EVENTS: EventFlags = EventFlags::IN.union(EventFlags::RDHUP);

/// Streams whose greeting is not complete, with their clients.
#[derive(Debug, Default)]
pub(crate) struct Greetings(HashMap<u64, (OwnedFd, Peer)>);

impl Greetings {
    /// All that wait.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.0.keys().copied().collect()
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.0.remove(&number);
    }
}

impl Engine {
    /// Takes in every stream that waits. More than the backlog have come since.
    pub(crate) fn take_streams(&mut self) {
        for index in 0..self.site.streams.len() {
            for _ in 0..BACKLOG {
                let Some(stream) = self.next_of(|site| site.streams.get(index)) else {
                    break;
                };
                self.take_stream(stream);
            }
        }
    }

    /// The next connection that waits at one of our listeners.
    pub(crate) fn next_of(&mut self, listener: impl Fn(&Site) -> Option<&OwnedFd>) -> Option<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match accept_with(listener(&self.site)?, flags) {
            Ok(stream) => Some(stream),
            Err(errno) => {
                if is_shortage(errno) {
                    self.turn_deaf();
                }
                None
            }
        }
    }

    /// Whom it turns away it closes: the request that comes next is told why.
    fn take_stream(&mut self, stream: OwnedFd) {
        let (number, client) = (self.new_number(), stranger::client(&stream));
        let is_taken = !self.is_closing()
            && !self.descriptors.is_for_requests(&stream)
            && self.strangers.enter(number, client, self.ground.now)
            && self.watch(&stream, Key::Greeting(number), STREAM_EVENTS).is_ok();
        if is_taken {
            self.greetings.0.insert(number, (stream, client));
            self.hear_greeting(number);
        } else {
            self.strangers.leave(number);
        }
    }

    /// Something has come by a stream that is no socket's yet, or its end.
    pub(crate) fn hear_stranger(&mut self, number: u64, flags: EventFlags) {
        self.hear_greeting(number);
        if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR)
            && self.greetings.0.remove(&number).is_some()
        {
            self.strangers.leave(number); // what it has said is no greeting, and no more comes
        }
    }

    /// Something of a greeting has come.
    pub(crate) fn hear_greeting(&mut self, number: u64) {
        let Some((stream, _)) = self.greetings.0.get(&number) else {
            return;
        };
        let mut bytes = [0; Greeting::LEN];
        match stream::look(stream, &mut bytes) {
            Ok(Greeting::LEN) => {}
            Ok(len) if len > 0 => return, // the rest is to come
            Err(rustix::io::Errno::AGAIN) => return,
            _ => {
                self.strangers.leave(number);
                self.greetings.0.remove(&number);
                return;
            }
        }
        self.strangers.leave(number);
        let Some((stream, client)) = self.greetings.0.remove(&number) else {
            return;
        };
        let taken = stream::take(&stream, &mut bytes);
        if taken == Ok(Greeting::LEN)
            && let Some(greeting) = Greeting::from_bytes(&bytes)
            && greeting.token == self.site.whereabouts.token
        {
            self.attach(stream, client, &greeting);
        }
    }

    /// The stream is a socket's from now on; what is in it besides the greeting is junk, which keeps the program from writing.
    fn attach(&mut self, stream: OwnedFd, client: Peer, greeting: &Greeting) {
        let number = greeting.socket & Tag::SOCKET_MASK;
        let which = self.new_number().to_le_bytes()[0];
        let data = epoll::EventData::new_u64(Key::Socket(number, which).data());
        if number == 0 || epoll::modify(&self.epoll, &stream, data, STREAM_EVENTS | EventFlags::ET).is_err() {
            return;
        }
        let family = if greeting.is_v6 { Family::V6 } else { Family::V4 };
        let Some(begun) = self.beginning(number, family, client) else {
            return;
        };
        if let Some(kernel) = &begun.kernel {
            let _ = self.watch_far(number, which, &kernel.descriptor); // it is watched already, as the former's
        }
        let socket = Socket {
            which,
            kernel: begun.kernel,
            bound: begun.bound,
            asked: begun.asked,
            urgent_inline: begun.urgent_inline,
            ..Socket::new(stream, begun.id, family, client, greeting.run)
        };
        let former = self.sockets.remove(number);
        self.sockets.insert(number, socket);
        if former.is_some() {
            drop(former);
            self.relieve(); // there is a descriptor again
        }
    }

    /// Whether a client may have one more socket.
    pub(crate) fn has_room_for(&self, client: Peer) -> bool {
        self.sockets.has_room(client, self.options.quotas.share_of_sockets())
    }

    /// What a new stream begins with: nothing, or what was before under its number. `None` where it may not begin.
    fn beginning(&mut self, number: u64, family: Family, client: Peer) -> Option<Beginning> {
        if let Some(socket) = self.sockets.get_mut(number) {
            return socket.spent.then(|| Beginning {
                id: socket.id,
                kernel: socket.kernel.take(),
                bound: socket.bound,
                asked: socket.asked.clone(),
                urgent_inline: socket.urgent_inline,
            });
        }
        if !self.has_room_for(client) {
            return None;
        }
        let former = self.departed.take_beginner(number);
        let former = former.or_else(|| self.prepared.take_beginner(number));
        let stack = self.ground.machine.stack();
        let id = stack.socket(family).ok()?;
        let mut bound = None;
        if let Some(former) = &former {
            // What has been taken once is taken again; the port may have been given to somebody else meanwhile.
            let _ = stack.set_options(self.ground.now, id, former.options);
            bound = former.bound.filter(|bound| stack.bind(id, *bound).is_ok());
        }
        let options = stack.options(id).ok()?;
        let owner = Some(Owner {
            process: client.process,
            user: client.user,
        });
        stack
            .set_options(self.ground.now, id, Options { owner, ..options })
            .ok()?;
        let (asked, urgent_inline) = former
            .map(|former| (former.asked, former.urgent_inline))
            .unwrap_or_default();
        Some(Beginning {
            id,
            kernel: None,
            bound,
            asked,
            urgent_inline,
        })
    }
}

/// What a new stream begins with.
struct Beginning {
    id: SocketId,
    kernel: Option<Kernel>,
    bound: Option<SocketAddr>,
    asked: Asked,
    urgent_inline: bool,
}
