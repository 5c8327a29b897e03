//! Streams of programs on their way in: accepted, and not yet a socket.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventFlags};
use rustix::net::{SocketFlags, accept_with, sockopt};
use ustcp_client::protocol::{Greeting, Tag};
use ustcp_proto::Family;

use crate::engine::Engine;
use crate::key::Key;
use crate::socket::Socket;
use crate::stream;

/// What to hear of a stream while there is nothing to write into it.
pub(crate) const STREAM_EVENTS: EventFlags = EventFlags::IN.union(EventFlags::RDHUP);

/// Streams whose greeting is not complete, with their clients.
#[derive(Debug, Default)]
pub(crate) struct Greetings(HashMap<u64, (OwnedFd, u32)>);

impl Engine {
    /// Takes in every stream that waits.
    pub(crate) fn take_streams(&mut self) {
        for index in 0..self.site.streams.len() {
            while let Some(stream) = self.site.streams.get(index).and_then(accepted) {
                let number = self.new_number();
                let client = client(&stream);
                if self.watch(&stream, Key::Greeting(number), STREAM_EVENTS).is_ok() {
                    self.greetings.0.insert(number, (stream, client));
                    self.hear_greeting(number);
                }
            }
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
                self.greetings.0.remove(&number);
                return;
            }
        }
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
    fn attach(&mut self, stream: OwnedFd, client: u32, greeting: &Greeting) {
        let number = greeting.socket & Tag::SOCKET_MASK;
        if number == 0 || self.sockets.contains(number) || self.sockets.of_client(client) >= self.options.quotas.sockets
        {
            return;
        }
        let family = if greeting.is_v6 { Family::V6 } else { Family::V4 };
        let data = epoll::EventData::new_u64(Key::Socket(number).data());
        if epoll::modify(&self.epoll, &stream, data, STREAM_EVENTS | EventFlags::ET).is_err() {
            return;
        }
        if let Ok(id) = self.machine.stack().socket(family) {
            self.sockets
                .insert(number, Socket::new(stream, id, family, client, greeting.run));
        }
    }
}

/// The next connection that waits at a listener.
pub(crate) fn accepted(listener: &OwnedFd) -> Option<OwnedFd> {
    accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok()
}

/// The process at the other end.
pub(crate) fn client(stream: &OwnedFd) -> u32 {
    let credentials = sockopt::socket_peercred(stream);
    credentials.map_or(0, |credentials| credentials.pid.as_raw_nonzero().get().unsigned_abs())
}
