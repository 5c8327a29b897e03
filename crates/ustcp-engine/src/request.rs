//! What is asked of a socket.

use std::net::SocketAddr;

use libc::{c_int, c_ulong};
use ustcp_client::protocol::{Address, Operation, Request, Tag};
use ustcp_proto::{Family, Options, Shutdown, SocketId};
use ustcp_runtime::Errno;

use crate::control::Answer;
use crate::departed::Departed;
use crate::engine::Engine;
use crate::far::Far;
use crate::ground::Ground;
use crate::passed::passes;
use crate::rights::may_have_port;
use crate::route::Way;
use crate::socket::{Listening, Phase, Refusal};
use crate::stream;

/// Connections that are offered to a program at once, at most.
const OFFERED_MAX: usize = 64;

impl Engine {
    /// `None`: it is answered when the attempt to connect is over.
    pub(crate) fn on_socket_request(&mut self, control: u64, request: &Request, payload: &[u8]) -> Option<Answer> {
        let (number, family) = unattached(request.socket);
        let request = &Request {
            socket: number,
            ..*request
        };
        if self.sockets.get(number).is_none_or(|socket| socket.spent) {
            self.take_greeted(control); // its greeting was written before this request
        }
        self.look_at_attempt(number); // one that has just ended is told of first
        if !self.sockets.contains(number) {
            let prepared = family.and_then(|family| self.prepare(control, number, family));
            return Some(self.ask_departed(control, request, payload, prepared));
        }
        self.pump_out(number); // options are ordered with bytes
        let spent = self.sockets.get(number).is_some_and(|socket| socket.spent);
        match request.operation {
            Operation::Bind | Operation::Listen | Operation::Connect if spent => Some(Err(Errno(libc::ESTALE))),
            Operation::Bind if !self.may_bind(control, payload) => {
                let refused = Err(Errno(libc::EACCES));
                self.note_refusal(number, &refused, address(payload).ok());
                Some(refused.map(|()| Vec::new()))
            }
            Operation::Connect => self.connect(control, request, payload),
            Operation::SendUrgent => self.send_urgent(control, request, payload),
            _ => Some(self.carry_out(request, payload)),
        }
    }

    fn carry_out(&mut self, request: &Request, payload: &[u8]) -> Answer {
        let number = request.socket;
        match request.operation {
            Operation::Bind => self.bind(number, address(payload)?).map(|()| Vec::new()),
            Operation::Listen => self.listen(number, request.a).map(|()| Vec::new()),
            Operation::Disconnect => self.disconnect(number).map(|()| Vec::new()),
            Operation::LocalAddress => self.sockets.known(number)?.far().local(&mut self.ground).map(told),
            Operation::PeerAddress => self.sockets.known(number)?.far().peer(&mut self.ground).map(told),
            Operation::SetOption => self.set_option(request, payload).map(|()| Vec::new()),
            Operation::GetOption => self.option(request, room(payload)),
            Operation::Shutdown => self.shut_down(number, request.a).map(|()| Vec::new()),
            Operation::Ioctl => {
                let far = self.sockets.known(number)?.far();
                let answer = far.ask_number(&self.ground, c_ulong::from(request.a))?;
                Ok(answer.to_ne_bytes().to_vec())
            }
            Operation::Fault => {
                let socket = self.sockets.known_mut(number)?;
                let fault = match request.a {
                    Operation::TOLD_BY_WRITE => socket.take_fault(),
                    _ => socket.fault,
                };
                Ok(fault.unwrap_or(0).to_ne_bytes().to_vec())
            }
            Operation::Hello
            | Operation::Connect
            | Operation::SendUrgent
            | Operation::Lease
            | Operation::PassedBy
            | Operation::List
            | Operation::Stop
            | Operation::MakeWay => Err(Errno(libc::EINVAL)),
        }
    }

    /// Whether who asks may have that address. The wildcard may come to be the kernel's by a connect, which is another question.
    fn may_bind(&self, control: u64, payload: &[u8]) -> bool {
        let Ok(to) = address(payload) else {
            return true; // which is another error
        };
        let client = self.controls.get(&control).map(|control| control.client);
        let is_published = self.options.publish && to.ip().is_unspecified();
        let is_kernels = is_published || matches!(self.way_at(to.ip()), Way::Kernel(_));
        !is_kernels || client.is_some_and(|client| may_have_port(client, to.port()))
    }

    fn bind(&mut self, number: u64, to: SocketAddr) -> Result<(), Errno> {
        let bound = self.give_address(number, to);
        self.note_refusal(number, &bound, Some(to));
        bound
    }

    fn give_address(&mut self, number: u64, to: SocketAddr) -> Result<(), Errno> {
        let way = self.way_at(to.ip());
        self.go(number, way, libc::EADDRNOTAVAIL)?;
        self.with_free_port(|engine| engine.sockets.known(number)?.far().bind(&mut engine.ground, to))?;
        let socket = self.sockets.known_mut(number)?;
        socket.bound = Some(socket.far().local(&mut self.ground)?);
        Ok(())
    }

    fn listen(&mut self, number: u64, backlog: u32) -> Result<(), Errno> {
        let listens = self.begin_to_listen(number, backlog);
        self.note_refusal(number, &listens, None);
        listens
    }

    fn begin_to_listen(&mut self, number: u64, backlog: u32) -> Result<(), Errno> {
        let backlog = usize::try_from(backlog.cast_signed()).unwrap_or(usize::MAX); // negative: the largest, as in Linux
        if let Some(bound) = self.sockets.known(number)?.bound {
            self.go(number, self.way_at(bound.ip()), libc::EADDRNOTAVAIL)?;
        }
        self.with_free_port(|engine| engine.sockets.known(number)?.far().listen(&mut engine.ground, backlog))?;
        let socket = self.sockets.known_mut(number)?;
        let limit = backlog.clamp(1, OFFERED_MAX);
        match &mut socket.phase {
            Phase::Listening(listening) => {
                listening.limit = limit;
                if let Some(published) = socket.published() {
                    published.listen(&mut self.ground, backlog)?;
                }
            }
            phase => {
                *phase = Phase::Listening(Listening {
                    limit,
                    ..Listening::default()
                });
                self.publish(number, backlog)?;
            }
        }
        self.call(number);
        Ok(())
    }

    /// For what is said after the program's end. What a socket has already it is not refused.
    fn note_refusal(&mut self, number: u64, outcome: &Result<(), Errno>, address: Option<SocketAddr>) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        let is_new = matches!(socket.phase, Phase::Idle) && (address.is_none() || socket.bound.is_none());
        match *outcome {
            Ok(()) => socket.refusal = None,
            Err(Errno(errno)) if is_new => {
                let why = socket.kernel.as_ref().map(|kernel| kernel.why);
                socket.refusal = Some(Refusal { errno, address, why });
            }
            Err(_) => {}
        }
    }

    /// `None`: it is answered when the attempt is over.
    fn connect(&mut self, control: u64, request: &Request, payload: &[u8]) -> Option<Answer> {
        let number = request.socket;
        let to = match address(payload) {
            Ok(to) => to,
            Err(errno) => return Some(Err(errno)),
        };
        self.hear_closed_listeners(to.port());
        let begun = self.begin(number, to);
        let Some(socket) = self.sockets.get_mut(number) else {
            return Some(Err(Errno(libc::ENOTCONN))); // it was one of them
        };
        let waits = request.a == 1;
        socket.peer = socket.peer.or(Some(to));
        if matches!(begun, Ok(()) | Err(Errno(libc::EINPROGRESS))) {
            socket.refusal = None;
        }
        match begun {
            Ok(()) => Some(Ok(Vec::new())),
            Err(Errno(libc::EINPROGRESS)) => {
                let waiting = if waits { vec![control] } else { Vec::new() };
                socket.phase = Phase::Connecting { to, waiting };
                self.call(number);
                (!waits).then_some(Err(Errno(libc::EINPROGRESS)))
            }
            Err(Errno(libc::EALREADY)) if waits => {
                if let Phase::Connecting { waiting, .. } = &mut socket.phase {
                    waiting.push(control);
                }
                None
            }
            Err(Errno(errno)) => {
                let (address, why) = (None, socket.kernel.as_ref().map(|kernel| kernel.why));
                socket.refusal = Some(Refusal { errno, address, why });
                let is_idle = matches!(socket.phase, Phase::Idle);
                let back = if is_idle { self.come_back(number) } else { Ok(()) };
                Some(Err(back.err().unwrap_or(Errno(errno))))
            }
        }
    }

    /// Begins an attempt, or tells how it stands.
    fn begin(&mut self, number: u64, to: SocketAddr) -> Result<(), Errno> {
        let socket = self.sockets.known_mut(number)?;
        if std::mem::take(&mut socket.connect_untold) {
            return Ok(()); // as Linux, the first time after success
        }
        if matches!(socket.phase, Phase::Idle) {
            let way = self.way_towards(number, to);
            self.go(number, way, libc::ECONNREFUSED)?;
        }
        self.sockets.known(number)?.far().connect(&mut self.ground, to)?;
        self.connected(number);
        Ok(())
    }

    /// connect with AF_UNSPEC. The stream is spent: the program attaches a fresh one.
    fn disconnect(&mut self, number: u64) -> Result<(), Errno> {
        let socket = self.sockets.known_mut(number)?;
        socket.far().disconnect(&mut self.ground)?;
        socket.published = None;
        self.come_back(number)?;
        self.leave_attempt(number, libc::ECONNABORTED);
        Ok(())
    }

    fn set_option(&mut self, request: &Request, value: &[u8]) -> Result<(), Errno> {
        let option = option_name(request);
        let socket = self.sockets.known_mut(request.socket)?;
        if option == URGENT_INLINE {
            socket.urgent_inline = flag(value)?;
            return Ok(());
        }
        let far = socket.far_of_option(option);
        far.set_option(&mut self.ground, option, value)?;
        if let Far::Kernel(_) = far {
            // What is asked of it once it has ended, the stack's tells. It may know less.
            let _ = Far::Stack(socket.id).set_option(&mut self.ground, option, value);
        }
        if let Some(published) = socket.published().filter(|_| passes(option)) {
            let _ = published.set_option(&mut self.ground, option, value); // what the kernel does not take it does without
        }
        if matches!(socket.phase, Phase::Idle | Phase::Connecting { .. }) {
            socket.asked.note(option, value);
        }
        Ok(())
    }

    fn option(&mut self, request: &Request, room: usize) -> Answer {
        let option = option_name(request);
        let socket = self.sockets.known_mut(request.socket)?;
        if option == (libc::SOL_SOCKET, libc::SO_ERROR)
            && let Some(error) = socket.take_error()
        {
            return Ok(error.to_ne_bytes().to_vec());
        }
        match option {
            URGENT_INLINE => Ok(c_int::from(socket.urgent_inline).to_ne_bytes().to_vec()),
            (libc::IPPROTO_TCP, libc::TCP_INFO) => {
                let mut info = socket.far_of_option(option).option(&mut self.ground, option, room)?;
                if let Phase::Listening(listening) = &socket.phase {
                    count_offered(&mut info, listening.offered);
                }
                Ok(info)
            }
            _ => socket.far_of_option(option).option(&mut self.ground, option, room),
        }
    }

    /// What the program does to the descriptor itself shows there; only what does not is done here.
    fn shut_down(&mut self, number: u64, how: u32) -> Result<(), Errno> {
        let how = match c_int::try_from(how) {
            Ok(libc::SHUT_RD) => Shutdown::Read,
            Ok(libc::SHUT_WR) => Shutdown::Write,
            Ok(libc::SHUT_RDWR) => Shutdown::Both,
            _ => return Err(Errno(libc::EINVAL)),
        };
        let socket = self.sockets.known_mut(number)?;
        let connected = matches!(socket.phase, Phase::Connected | Phase::Offered { .. });
        match how {
            // The bytes that the program wrote before come first, and its FIN with the stream's own end.
            Shutdown::Write if connected => drop(socket.far().peer(&mut self.ground)?),
            Shutdown::Both if connected => socket.far().shutdown(&mut self.ground, Shutdown::Read)?,
            how => socket.far().shutdown(&mut self.ground, how)?,
        }
        if how != Shutdown::Write && matches!(socket.phase, Phase::Listening(_)) {
            socket.published = None;
            self.leave_attempt(number, libc::ECONNABORTED); // as Linux: it is undone, and it may listen again
            return Ok(());
        }
        socket.has_shut[0] |= how != Shutdown::Write;
        socket.has_shut[1] |= how != Shutdown::Read;
        if connected && socket.has_shut_both() {
            socket.far().throw_away(&mut self.ground, &mut self.chunk);
        }
        if matches!(socket.phase, Phase::Connecting { .. }) {
            self.attempt_failed(number, Errno(libc::ECONNRESET)); // as Linux: it is undone
            return Ok(());
        }
        self.call(number);
        Ok(())
    }

    /// The last byte is urgent, and what the program wrote before goes first. `None`: it is answered by itself.
    fn send_urgent(&mut self, control: u64, request: &Request, payload: &[u8]) -> Option<Answer> {
        let number = request.socket;
        let socket = self.sockets.get_mut(number)?;
        if socket.program_shut || socket.has_shut[1] {
            return Some(Err(Errno(libc::EPIPE)));
        }
        if socket.urgent.is_some() {
            return Some(Err(Errno(libc::EAGAIN)));
        }
        socket.urgent = Some((control, payload.to_vec()));
        let sent = self.send_waiting_urgent(number);
        if sent || request.a == 1 {
            return None;
        }
        self.sockets.get_mut(number)?.urgent = None;
        Some(Err(Errno(libc::EAGAIN)))
    }

    /// `true`: no urgent byte waits for what the program wrote before, or for room.
    pub(crate) fn send_waiting_urgent(&mut self, number: u64) -> bool {
        let Some(socket) = self.sockets.get_mut(number) else {
            return true;
        };
        let Some((_, payload)) = &socket.urgent else {
            return true;
        };
        let before = stream::queued(&socket.stream) > usize::from(socket.head_taken);
        let open = socket.fault.is_none() && !socket.far().is_closed(&mut self.ground);
        let sent = match open && before {
            true => Err(Errno(libc::EAGAIN)),
            false => socket.far().send(&mut self.ground, payload, true),
        };
        if open && sent == Err(Errno(libc::EAGAIN)) {
            return false;
        }
        let answer = sent.map(|taken| u32::try_from(taken).unwrap_or(u32::MAX).to_ne_bytes().to_vec());
        if let Some((control, _)) = socket.urgent.take() {
            self.answer(control, answer);
        }
        true
    }

    /// Options are asked of a socket whose stream is yet to come. It is kept once one is set.
    fn prepare(&mut self, control: u64, number: u64, family: Family) -> Option<Departed> {
        if self.departed(number).is_some() {
            return None;
        }
        let user = self.controls.get(&control)?.client.user;
        let stack = self.ground.machine.stack();
        let id = stack.socket(family).ok()?;
        let known = stack
            .local_address(id)
            .and_then(|local| Ok((local, stack.options(id)?)));
        let _ = stack.close(self.ground.now, id); // it is there
        let (local, options) = known.ok()?;
        Some(Departed::prepared(user, family, local, options))
    }

    fn departed(&mut self, number: u64) -> Option<&mut Departed> {
        self.departed.get_mut(number).or_else(|| self.prepared.get_mut(number))
    }

    /// What can still be asked of a socket that has ended, or already of one whose stream is yet to come.
    fn ask_departed(
        &mut self,
        control: u64,
        request: &Request,
        payload: &[u8],
        mut prepared: Option<Departed>,
    ) -> Answer {
        if request.operation == Operation::SetOption
            && let Some(prepared) = prepared.take()
        {
            if self.prepared.is_full_for(prepared.user) {
                return Err(Errno(libc::ESTALE)); // with a stream it is kept as long as that is
            }
            self.prepared.enter(request.socket, prepared);
        }
        let Some(departed) = prepared.as_mut().or_else(|| self.departed(request.socket)) else {
            return Err(self.why_turned_away(control));
        };
        match request.operation {
            Operation::Fault => {
                let fault = match request.a {
                    Operation::TOLD_BY_WRITE => departed.pending.take(),
                    Operation::TOLD_BY_READ => {
                        // A read does not say `EPIPE`, for the stream is whole.
                        departed.pending = departed.pending.filter(|pending| *pending == libc::EPIPE);
                        departed.fault
                    }
                    _ => departed.fault,
                };
                Ok(fault.unwrap_or(0).to_ne_bytes().to_vec())
            }
            Operation::LocalAddress => Ok(told(departed.local)),
            Operation::Connect => Err(Errno(match (departed.pending.take(), departed.may_begin) {
                (Some(fault), true) => fault, // as Linux: what has failed is told first
                (None, true) => libc::ESTALE,
                (_, false) => libc::EISCONN,
            })),
            Operation::Bind | Operation::Listen if departed.may_begin => Err(Errno(libc::ESTALE)),
            Operation::Disconnect => {
                (departed.may_begin, departed.pending) = (true, None);
                Ok(Vec::new())
            }
            Operation::SendUrgent => Err(Errno(departed.pending.take().unwrap_or(libc::EPIPE))),
            Operation::Ioctl => Ok(0_i32.to_ne_bytes().to_vec()),
            Operation::GetOption => match option_name(request) {
                (libc::SOL_SOCKET, libc::SO_ERROR) => Ok(departed.pending.take().unwrap_or(0).to_ne_bytes().to_vec()),
                URGENT_INLINE => Ok(c_int::from(departed.urgent_inline).to_ne_bytes().to_vec()),
                option => {
                    let (family, options) = (departed.family, departed.options);
                    self.with_unconnected(family, options, |id, ground| {
                        Far::Stack(id).option(ground, option, room(payload))
                    })
                }
            },
            Operation::SetOption => self.set_option_of_departed(request, payload).map(|()| Vec::new()),
            Operation::Bind | Operation::Listen => Err(Errno(libc::EINVAL)),
            _ => Err(Errno(libc::ENOTCONN)),
        }
    }

    fn set_option_of_departed(&mut self, request: &Request, value: &[u8]) -> Result<(), Errno> {
        let option = option_name(request);
        let departed = self.departed(request.socket).ok_or(Errno(libc::EBADF))?;
        if option == URGENT_INLINE {
            departed.urgent_inline = flag(value)?;
            return Ok(());
        }
        let (family, options) = (departed.family, departed.options);
        let options = self.with_unconnected(family, options, |id, ground| {
            Far::Stack(id).set_option(ground, option, value)?;
            Ok(ground.machine.stack().options(id)?)
        })?;
        let departed = self.departed(request.socket).ok_or(Errno(libc::EBADF))?;
        departed.options = options;
        departed.asked.note(option, value);
        Ok(())
    }

    /// Asks the stack as of a socket without a connection that has these options.
    fn with_unconnected<T>(
        &mut self,
        family: Family,
        options: Options,
        ask: impl FnOnce(SocketId, &mut Ground) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let ground = &mut self.ground;
        let id = ground.machine.stack().socket(family)?;
        let set = ground.machine.stack().set_options(ground.now, id, options);
        let answer = set.map_err(Errno::from).and_then(|()| ask(id, ground));
        ground.machine.stack().close(ground.now, id)?;
        answer
    }
}

/// `SO_OOBINLINE` is the stream's to obey.
const URGENT_INLINE: (c_int, c_int) = (libc::SOL_SOCKET, libc::SO_OOBINLINE);

fn flag(value: &[u8]) -> Result<bool, Errno> {
    let number = value.first_chunk().ok_or(Errno(libc::EINVAL))?;
    Ok(c_int::from_ne_bytes(*number) != 0)
}

/// A socket's number, and of which family it is where its stream is yet to come.
fn unattached(number: u64) -> (u64, Option<Family>) {
    let family = match number & Request::UNATTACHED_V6 {
        Request::UNATTACHED_V6 => Some(Family::V6),
        Request::UNATTACHED => Some(Family::V4),
        _ => None,
    };
    (number & Tag::SOCKET_MASK, family)
}

/// How much of an option's value the program has room for.
fn room(payload: &[u8]) -> usize {
    let told = payload.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    told.and_then(|room| usize::try_from(room).ok()).unwrap_or(usize::MAX)
}

fn address(payload: &[u8]) -> Result<SocketAddr, Errno> {
    Address::from_payload(payload)
        .map(|Address(address)| address)
        .ok_or(Errno(libc::EINVAL))
}

fn told(address: SocketAddr) -> Vec<u8> {
    Address(address).to_bytes().to_vec()
}

const UNACKED: usize = core::mem::offset_of!(libc::tcp_info, tcpi_unacked);

/// A listener's connections that its programs have been offered and not taken wait in accept, as those do that are not.
fn count_offered(info: &mut [u8], offered: usize) {
    if let Some(waiting) = info.get_mut(UNACKED..).and_then(<[u8]>::first_chunk_mut) {
        let sum = usize::try_from(u32::from_ne_bytes(*waiting)).unwrap_or(0) + offered;
        *waiting = u32::try_from(sum).unwrap_or(u32::MAX).to_ne_bytes();
    }
}

fn option_name(request: &Request) -> (c_int, c_int) {
    (request.a.cast_signed(), request.b.cast_signed())
}
