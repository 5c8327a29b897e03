//! Control connections: requests come in, each is answered once.

use std::borrow::Cow;
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno as SystemErrno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use ustcp_client::protocol::{Address, Malformed, Operation, PATH_MAX, PAYLOAD_MAX, PassedBy, Reply, Request, Tag};
use ustcp_client::sys::Peer;
use ustcp_proto::{Family, State};
use ustcp_runtime::Errno;

use crate::engine::Engine;
use crate::greeting::Intake;
use crate::key::Key;
use crate::list::List;
use crate::past::Past;
use crate::rights::is_trusted;
use crate::site::BY_NAME;
use crate::stranger;

/// What a request is answered with: a payload, or why not.
pub(crate) type Answer = Result<Vec<u8>, Errno>;

/// A connection that requests come by.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) stream: OwnedFd,
    pub(crate) client: Peer,
    /// It came by the abstract name.
    pub(crate) by_name: bool,
    /// The run that it keeps the engine for.
    pub(crate) lease: Option<u32>,
    /// Its request is answered later; the next one is not read before.
    pub(crate) waits: bool,
    /// What is being listed to it.
    pub(crate) list: Option<List>,
}

impl Control {
    fn new(stream: OwnedFd, client: Peer, by_name: bool) -> Control {
        Control {
            stream,
            client,
            by_name,
            lease: None,
            waits: false,
            list: None,
        }
    }
}

/// A request and its answer both fit.
const PACKET: usize = Request::LEN + PAYLOAD_MAX;

/// Requests of one connection that are carried out before anybody else is heard.
const REQUESTS_IN_A_TURN: usize = 32;

impl Engine {
    /// Takes in control connections that wait.
    pub(crate) fn take_controls(&mut self, intake: Intake) {
        for index in 0..self.site.controls.len() {
            for _ in 0..intake.most(index) {
                let Some(stream) = self.next_of(|site| site.controls.get(index)) else {
                    break;
                };
                let (number, client) = (self.new_number(), stranger::client(&stream));
                match self.take_control(number, client, &stream) {
                    Ok(()) => {
                        self.controls
                            .insert(number, Control::new(stream, client, index == BY_NAME));
                        self.read_requests(number);
                    }
                    Err(errno) => refuse(&stream, errno),
                }
            }
        }
    }

    fn take_control(&mut self, number: u64, client: Peer, stream: &OwnedFd) -> Result<(), Errno> {
        if self.is_closing() {
            return Err(Errno(libc::ENETDOWN));
        }
        if self.descriptors.is_last(stream) {
            return Err(Errno(libc::ENFILE));
        }
        if !self.strangers.enter(number, client, self.ground.now) {
            return Err(Errno(libc::EMFILE));
        }
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP;
        self.watch(stream, Key::Control(number), flags).map_err(|_| {
            self.strangers.leave(number);
            Errno(libc::ENFILE)
        })
    }

    /// Something has come by a control connection, or it is closed.
    pub(crate) fn hear_control(&mut self, number: u64, flags: EventFlags) {
        if let Some(list) = self.controls.get_mut(&number).and_then(|control| control.list.as_mut()) {
            list.is_full = false;
        }
        self.read_requests(number);
        if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            self.forget_control(number); // what it asked is done, and nobody hears the answer
        }
    }

    /// Carries out what is asked, one request after the other, and then lets others have their turn.
    fn read_requests(&mut self, number: u64) {
        for _ in 0..REQUESTS_IN_A_TURN {
            let Some(control) = self.controls.get(&number).filter(|control| !control.waits) else {
                return;
            };
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
        self.answered.push(number);
    }

    /// Why there is no socket of that number, which its program asks about by this connection.
    pub(crate) fn why_turned_away(&self, number: u64) -> Errno {
        let client = self.controls.get(&number).map(|control| control.client);
        if client.is_some_and(|client| !self.has_room_for(client)) {
            return Errno(libc::EMFILE);
        }
        match self.descriptors.has_room_for_sockets(&self.epoll) {
            true => Errno(libc::ENOTCONN),
            false => Errno(libc::ENFILE),
        }
    }

    fn on_packet(&mut self, number: u64, packet: &[u8]) {
        match Request::from_bytes(packet) {
            Ok((request, payload)) if request.token == self.site.whereabouts.token => {
                if !self.admit(number) {
                    self.turn_away(number, libc::EMFILE);
                    return;
                }
                if let Some(control) = self.controls.get_mut(&number) {
                    control.waits = true;
                }
                if let Some(answer) = self.on_request(number, &request, payload) {
                    self.reply(number, answer);
                }
            }
            Ok(_) => self.turn_away(number, libc::EACCES),
            Err(Malformed::Version) => self.turn_away(number, libc::EPROTO),
            Err(Malformed::Alien | Malformed::Operation) => self.forget_control(number),
        }
    }

    /// It hears why, and is heard no more.
    fn turn_away(&mut self, number: u64, errno: i32) {
        self.reply(number, Err(Errno(errno)));
        self.forget_control(number);
    }

    /// It has shown the token. `false`: its client has too many connections already.
    fn admit(&mut self, number: u64) -> bool {
        let Some(client) = self.controls.get(&number).map(|control| control.client) else {
            return true;
        };
        if !self.strangers.leave(number) {
            return true; // it has shown it before
        }
        let share = self.options.quotas.share_of_controls();
        let has_room = self.controlled.has_room(client, share);
        self.controlled.add(client, 1);
        has_room
    }

    /// `None`: it is answered by itself, now or later.
    fn on_request(&mut self, control: u64, request: &Request, payload: &[u8]) -> Option<Answer> {
        match request.operation {
            Operation::Hello => Some(Ok(std::process::id().to_ne_bytes().to_vec())),
            Operation::Stop | Operation::MakeWay if !self.is_trusted(control) => Some(Err(Errno(libc::EACCES))),
            Operation::Stop => Some(self.stop(request.a)),
            Operation::MakeWay => Some(self.make_way()),
            Operation::Lease => Some(self.lease(control)),
            Operation::PassedBy => Some(self.passed_by(request, payload)),
            Operation::List => {
                self.take_greeted(control); // sockets whose greeting was written before
                self.list(control, request.a).err().map(Err)
            }
            _ => {
                let answer = self.on_socket_request(control, request, payload);
                if self.sockets.recount(request.socket & Tag::SOCKET_MASK) {
                    self.relieve();
                }
                answer
            }
        }
    }

    /// Whether root asks, or the engine's own user.
    fn is_trusted(&self, control: u64) -> bool {
        let control = self.controls.get(&control);
        control.is_some_and(|control| is_trusted(control.client))
    }

    pub(crate) fn forget_control(&mut self, number: u64) {
        let Some(control) = self.controls.remove(&number) else {
            return;
        };
        if !self.strangers.leave(number) {
            self.controlled.remove(control.client, 1);
        }
        self.lists.retain(|other| *other != number);
        if let Some(run) = control.lease {
            self.life.leases -= 1;
            self.pasts.forget(run);
        }
        drop(control.stream);
        self.relieve(); // there is a descriptor again
    }

    /// A program has a TCP socket that is the kernel's.
    fn passed_by(&mut self, request: &Request, payload: &[u8]) -> Answer {
        let (peer, why): (_, Cow<'static, str>) = match request.a {
            why if why == PassedBy::Protocol as u32 => (Address::from_payload(payload), "protocol".into()),
            why if why == PassedBy::Static as u32 => (None, format!("static program {}", printable(payload)).into()),
            why if why == PassedBy::DeepBind as u32 => (None, format!("RTLD_DEEPBIND {}", printable(payload)).into()),
            why if why == PassedBy::Namespace as u32 => (None, format!("dlmopen {}", printable(payload)).into()),
            why if why == PassedBy::Rights as u32 => (None, format!("other rights {}", printable(payload)).into()),
            _ => return Err(Errno(libc::EINVAL)),
        };
        let peer = peer.map(|Address(address)| address);
        let is_file = request.a != PassedBy::Protocol as u32;
        if is_file && self.pasts.of(request.b).any(|past| past.why.as_deref() == Some(&*why)) {
            return Ok(Vec::new()); // told once, however often it is started
        }
        self.pasts.remember(Past {
            run: request.b,
            place: "passed by",
            why: Some(why),
            family: peer.map_or(Family::V4, |peer| Family::of(peer.ip())),
            state: State::Closed,
            local: None,
            peer,
            errno: None,
        });
        Ok(Vec::new())
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

/// A name that a program has given, without what a terminal would obey, and no more of it than is kept.
fn printable(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let shown = name.chars().map(|each| match each.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => each,
    });
    let mut shown: String = shown.collect();
    shown.truncate(shown.floor_char_boundary(PATH_MAX));
    shown.shrink_to_fit();
    shown
}

/// Tells one who is not taken in why, before its connection is closed. What it asks, or has asked, is nobody's.
fn refuse(stream: &OwnedFd, Errno(errno): Errno) {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let _ = send(stream, &Reply { errno }.to_bytes(), flags); // it has gone, or hears of it by the end of the connection
}
