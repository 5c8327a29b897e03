//! What a program does in order comes by several ways: its streams, their closing, its control connections. epoll tells of
//! them in an order of its own, so before a request is judged by what came earlier, that is asked for.

use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ustcp_proto::Shutdown;
use ustcp_runtime::Errno;

use crate::engine::{EVENTS, Engine};
use crate::greeting::Intake;
use crate::key::Key;

impl Engine {
    /// Takes in every stream whose greeting has been written by now, and that came as the control connection of who asks.
    pub(crate) fn take_greeted(&mut self, control: u64) {
        let by_name = self.controls.get(&control).is_some_and(|control| control.by_name);
        self.take_streams(if by_name { Intake::All } else { Intake::Turn });
        self.hear_strangers();
    }

    /// Does something that needs a port for itself; once more without the sockets that have been closed by now.
    pub(crate) fn with_free_port(
        &mut self,
        mut attempt: impl FnMut(&mut Engine) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        match attempt(self) {
            Err(Errno(libc::EADDRINUSE)) => {
                self.hear_streams();
                attempt(self)
            }
            other => other,
        }
    }

    /// Hears of all that has happened at streams by now. What epoll tells of others meanwhile is kept.
    fn hear_streams(&mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let heard = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&Timespec::default()));
            for event in &events {
                let (flags, data) = (event.flags, event.data);
                match Key::from_data(data.u64()) {
                    Some(key @ (Key::Socket(..) | Key::Far(..))) => self.on_event(key, flags),
                    Some(key @ Key::Control(_)) => self.postponed.push((key, flags)),
                    // epoll tells of them again
                    Some(Key::Device | Key::Streams(_) | Key::Controls(_) | Key::Greetings) | None => {}
                }
            }
            if heard.is_err() || events.len() < EVENTS {
                break;
            }
        }
        self.look_at_all();
    }

    /// Hears of the listeners at this port that have been closed by now, before somebody connects to them.
    pub(crate) fn hear_closed_listeners(&mut self, port: u16) {
        let listeners = self.ground.machine.stack().listeners_at(port).collect::<Vec<_>>();
        for id in listeners {
            let number = self.sockets.number(id);
            let socket = number.and_then(|number| Some((number, self.sockets.get(number)?)));
            if let Some((number, socket)) = socket
                && is_closed(&socket.stream)
            {
                self.hear_stream(number, socket.which, EventFlags::HUP);
                self.look_at(number);
            }
        }
    }

    /// Takes what the device has brought. A SYN finds no listener that had been closed before it came, though epoll has not
    /// told of that yet.
    pub(crate) fn receive(&mut self) {
        let (now, sockets) = (self.ground.now, &self.sockets);
        self.ground.machine.receive_with(now, |stack, packet| {
            for id in stack.listeners_asked_by(packet) {
                let socket = sockets.number(id).and_then(|number| sockets.get(number));
                if socket.is_some_and(|socket| is_closed(&socket.stream)) {
                    let _ = stack.shutdown(now, id, Shutdown::Read); // it listens: the stack has just said so
                }
            }
        });
    }
}

fn is_closed(stream: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok() && polled.iter().any(|polled| polled.revents().contains(PollFlags::HUP))
}
