//! Streams of programs on their way in: accepted, and not yet a socket.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{SocketFlags, accept_with};
use ustcp_client::protocol::{Greeting, Tag};
use ustcp_client::sys::Peer;
use ustcp_proto::{Family, Options, Owner, SocketId};

use crate::engine::{EVENTS, Engine};
use crate::key::Key;
use crate::passed::Asked;
use crate::shortage::is_shortage;
use crate::site::{BACKLOG, BY_NAME, Site};
use crate::socket::{Kernel, Socket};
use crate::stranger;
use crate::stream;

/// What to hear of a stream while there is nothing to write into it.
pub(crate) const STREAM_EVENTS: EventFlags = EventFlags::IN.union(EventFlags::RDHUP);

/// Streams whose greeting is not complete, with their clients.
#[derive(Debug)]
pub(crate) struct Greetings {
    /// Tells which of them have news, so that nobody looks at the others.
    epoll: OwnedFd,
    by_number: HashMap<u64, (OwnedFd, Peer)>,
}

impl Greetings {
    pub(crate) fn none() -> io::Result<Greetings> {
        Ok(Greetings {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            by_number: HashMap::new(),
        })
    }

    /// Waits for a greeting.
    fn insert(&mut self, number: u64, stream: OwnedFd, client: Peer) -> rustix::io::Result<()> {
        let flags = STREAM_EVENTS | EventFlags::ET;
        epoll::add(&self.epoll, &stream, EventData::new_u64(number), flags)?;
        self.by_number.insert(number, (stream, client));
        Ok(())
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<(OwnedFd, Peer)> {
        let (stream, client) = self.by_number.remove(&number)?;
        let _ = epoll::delete(&self.epoll, &stream); // it cannot fail: it was watched
        Some((stream, client))
    }
}

impl AsFd for Greetings {
    /// Readable while one of them has news.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// How many of those who wait at our listeners are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    /// Of those who came by an abstract name a few: any user of the host may come so, as fast as it likes.
    Turn,
    /// Everyone. More than the backlog have come since.
    All,
}

/// Of those who came by an abstract name.
const STRANGERS_IN_A_TURN: usize = 32;

impl Intake {
    /// How many at that listener.
    pub(crate) fn most(self, listener: usize) -> usize {
        match (self, listener) {
            (Intake::Turn, BY_NAME) => STRANGERS_IN_A_TURN,
            _ => BACKLOG,
        }
    }
}

/// What has come by a stream that is no socket's yet.
enum Heard {
    /// Nothing, or not all.
    Part,
    Greeting(Greeting),
    /// No greeting, or not with our token; or its end.
    Nonsense,
}

impl Engine {
    /// Takes in streams that wait.
    pub(crate) fn take_streams(&mut self, intake: Intake) {
        for index in 0..self.site.streams.len() {
            for _ in 0..intake.most(index) {
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
        if self.is_closing() || self.descriptors.is_for_requests(&stream) {
            return;
        }
        let client = stranger::client(&stream);
        match self.greeting_of(&stream) {
            Heard::Greeting(greeting) => self.attach(stream, client, &greeting),
            Heard::Part => self.await_greeting(stream, client),
            Heard::Nonsense => {}
        }
    }

    fn await_greeting(&mut self, stream: OwnedFd, client: Peer) {
        let number = self.new_number();
        if self.strangers.enter(number, client, self.ground.now)
            && self.greetings.insert(number, stream, client).is_err()
        {
            self.strangers.leave(number);
        }
    }

    /// Hears those whose greeting was not complete and who have said more by now, or gone.
    pub(crate) fn hear_strangers(&mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        // Not until there are none: who has been heard may have news again at once.
        for _ in 0..=self.greetings.by_number.len() / EVENTS {
            events.clear();
            let heard = epoll::wait(&self.greetings, spare_capacity(&mut events), Some(&Timespec::default()));
            for event in &events {
                let (number, flags) = (event.data.u64(), event.flags);
                self.hear_stranger(number, flags);
            }
            if heard.is_err() || events.len() < EVENTS {
                return;
            }
        }
    }

    fn hear_stranger(&mut self, number: u64, flags: EventFlags) {
        let Some((stream, _)) = self.greetings.by_number.get(&number) else {
            return;
        };
        let heard = self.greeting_of(stream);
        let has_ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if matches!(heard, Heard::Part) && !has_ended {
            return; // the rest is to come
        }
        self.strangers.leave(number);
        if let (Some((stream, client)), Heard::Greeting(greeting)) = (self.greetings.remove(number), heard) {
            self.attach(stream, client, &greeting);
        }
    }

    fn greeting_of(&self, stream: &OwnedFd) -> Heard {
        let mut bytes = [0; Greeting::LEN];
        match stream::look(stream, &mut bytes) {
            Ok(Greeting::LEN) => {}
            Ok(1..) | Err(rustix::io::Errno::AGAIN) => return Heard::Part,
            _ => return Heard::Nonsense,
        }
        let taken = stream::take(stream, &mut bytes);
        let greeting = Greeting::from_bytes(&bytes).filter(|greeting| greeting.token == self.site.whereabouts.token);
        match greeting {
            Some(greeting) if taken == Ok(Greeting::LEN) => Heard::Greeting(greeting),
            _ => Heard::Nonsense,
        }
    }

    /// The stream is a socket's from now on; what is in it besides the greeting is junk, which keeps the program from writing.
    fn attach(&mut self, stream: OwnedFd, client: Peer, greeting: &Greeting) {
        let number = greeting.socket & Tag::SOCKET_MASK;
        let which = self.new_number().to_le_bytes()[0];
        if number == 0 || self.watch(&stream, Key::Socket(number, which), STREAM_EVENTS).is_err() {
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
