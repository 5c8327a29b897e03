//! Control connections: requests come in, each is answered once.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno as SystemErrno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use ustcp_client::protocol::{Malformed, Operation, PAYLOAD_MAX, Reply, Request};
use ustcp_runtime::Errno;

use crate::engine::Engine;
use crate::greeting::accepted;
use crate::key::Key;

/// What a request is answered with: a payload, or why not.
pub(crate) type Answer = Result<Vec<u8>, Errno>;

/// A connection that requests come by.
#[derive(Debug)]
pub(crate) struct Control {
    stream: OwnedFd,
    /// The run that it keeps the engine for.
    pub(crate) lease: Option<u32>,
    /// Its request is answered later; the next one is not read before.
    pub(crate) waits: bool,
}

/// A request and its answer both fit.
const PACKET: usize = Request::LEN + PAYLOAD_MAX;

impl Engine {
    /// Takes in every control connection that waits.
    pub(crate) fn take_controls(&mut self) {
        for index in 0..self.site.controls.len() {
            while let Some(stream) = self.site.controls.get(index).and_then(accepted) {
                let number = self.new_number();
                let flags = EventFlags::IN | EventFlags::RDHUP;
                if self.watch(&stream, Key::Control(number), flags).is_ok() {
                    let (lease, waits) = (None, false);
                    self.controls.insert(number, Control { stream, lease, waits });
                    self.read_requests(number);
                }
            }
        }
    }

    /// Something has come by a control connection, or it is closed.
    pub(crate) fn hear_control(&mut self, number: u64, flags: EventFlags) {
        self.read_requests(number);
        if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            self.forget_control(number); // what it asked is done, and nobody hears the answer
        }
    }

    /// Carries out what is asked, one request after the other.
    fn read_requests(&mut self, number: u64) {
        while let Some(control) = self.controls.get(&number).filter(|control| !control.waits) {
            let mut packet = [0; PACKET];
            let len = match recv(&control.stream, &mut packet, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Ok((_, len)) => len,
                Err(SystemErrno::AGAIN) => return,
                Err(_) => 0,
            };
            match packet.get(..len) {
                Some(packet) if len > 0 => self.on_packet(number, packet),
                _ => self.forget_control(number), // the end, or longer than any request
            }
        }
    }

    fn on_packet(&mut self, number: u64, packet: &[u8]) {
        match Request::from_bytes(packet) {
            Ok((request, payload)) if request.token == self.site.whereabouts.token => {
                if let Some(control) = self.controls.get_mut(&number) {
                    control.waits = true;
                }
                if let Some(answer) = self.on_request(number, &request, payload) {
                    self.reply(number, answer);
                }
            }
            Ok(_) => self.reply(number, Err(Errno(libc::EACCES))),
            Err(Malformed::Version) => self.reply(number, Err(Errno(libc::EPROTO))),
            Err(Malformed::Alien | Malformed::Operation) => self.forget_control(number),
        }
    }

    /// `None`: it is answered by itself, now or later.
    fn on_request(&mut self, control: u64, request: &Request, payload: &[u8]) -> Option<Answer> {
        match request.operation {
            Operation::Hello => Some(Ok(std::process::id().to_ne_bytes().to_vec())),
            Operation::Stop => Some(self.stop(request.a == 1)),
            Operation::Lease => Some(self.lease(control)),
            Operation::PassedBy | Operation::List => Some(Err(Errno(libc::EOPNOTSUPP))),
            _ => self.on_socket_request(control, request, payload),
        }
    }

    fn forget_control(&mut self, number: u64) {
        let lease = self.controls.remove(&number).and_then(|control| control.lease);
        self.life.leases -= usize::from(lease.is_some());
    }

    /// Answers a request that has waited, and has the connection looked at for what came meanwhile.
    pub(crate) fn answer(&mut self, number: u64, answer: Answer) {
        self.reply(number, answer);
        self.answered.push(number);
    }

    /// Reads on where requests have been answered.
    pub(crate) fn read_on(&mut self) {
        for number in std::mem::take(&mut self.answered) {
            self.read_requests(number);
        }
    }

    /// Answers a control connection; one that does not take its answer is closed.
    fn reply(&mut self, number: u64, answer: Answer) {
        let Some(control) = self.controls.get_mut(&number) else {
            return;
        };
        control.waits = false;
        let (errno, payload) = match answer {
            Ok(payload) => (0, payload),
            Err(Errno(errno)) => (errno, Vec::new()),
        };
        let packet = [&Reply { errno }.to_bytes()[..], &payload].concat();
        if send(&control.stream, &packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_err() {
            self.forget_control(number);
        }
    }
}
