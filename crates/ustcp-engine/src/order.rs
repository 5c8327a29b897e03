//! What a program does in order comes by several ways: its streams, their closing, its control connections. epoll tells of
//! them in an order of its own, so before a request is judged by what came earlier, that is asked for.

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ustcp_proto::{Error, Shutdown};

use crate::engine::Engine;

impl Engine {
    /// Takes in every stream whose greeting has been written by now.
    pub(crate) fn take_greeted(&mut self) {
        self.take_streams();
        for number in self.greetings.numbers() {
            self.hear_greeting(number);
        }
    }

    /// Does something that needs a port for itself; once more without the sockets that have been closed by now.
    pub(crate) fn with_free_port(
        &mut self,
        port: u16,
        mut attempt: impl FnMut(&mut Engine) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match attempt(self) {
            Err(Error::AddressInUse) => {
                self.hear_closed(port);
                attempt(self)
            }
            other => other,
        }
    }

    /// Lets go of the sockets at this port whose programs have let go of them.
    fn hear_closed(&mut self, port: u16) {
        let holders = self.sockets.ids().collect::<Vec<_>>();
        for (number, id) in holders {
            let local = self.machine.stack().local_address(id);
            if local.is_ok_and(|local| local.port() == port) {
                self.hear_whether_closed(number);
            }
        }
    }

    /// The same with the listeners alone, before somebody connects to them.
    pub(crate) fn hear_closed_listeners(&mut self, port: u16) {
        let listeners = self.machine.stack().listeners_at(port).collect::<Vec<_>>();
        for id in listeners {
            if let Some(number) = self.sockets.number(id) {
                self.hear_whether_closed(number);
            }
        }
    }

    /// Takes what the device has brought. A SYN finds no listener that had been closed before it came, though epoll has not
    /// told of that yet.
    pub(crate) fn receive(&mut self) {
        let (now, sockets) = (self.now, &self.sockets);
        self.machine.receive_with(now, |stack, packet| {
            for id in stack.listeners_asked_by(packet) {
                let socket = sockets.number(id).and_then(|number| sockets.get(number));
                if socket.is_some_and(|socket| is_closed(&socket.stream)) {
                    let _ = stack.shutdown(now, id, Shutdown::Read); // it listens: the stack has just said so
                }
            }
        });
    }

    fn hear_whether_closed(&mut self, number: u64) {
        let Some(socket) = self.sockets.get(number) else {
            return;
        };
        if is_closed(&socket.stream) {
            self.hear_stream(number, socket.which, EventFlags::HUP);
            self.look_at(number);
        }
    }
}

fn is_closed(stream: &std::os::fd::OwnedFd) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok() && polled.iter().any(|polled| polled.revents().contains(PollFlags::HUP))
}
