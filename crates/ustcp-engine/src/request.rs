//! What is asked of a socket.

use std::net::SocketAddr;

use libc::{c_int, c_ulong};
use ustcp_client::protocol::{Address, Operation, Request};
use ustcp_proto::{Error, Framing, Shutdown, State};
use ustcp_runtime::Errno;

use crate::control::Answer;
use crate::engine::Engine;
use crate::socket::{Listening, Phase};
use crate::stream;

/// Connections that are offered to a program at once, at most.
const OFFERED_MAX: usize = 64;

impl Engine {
    /// `None`: it is answered when the attempt to connect is over.
    pub(crate) fn on_socket_request(&mut self, control: u64, request: &Request, payload: &[u8]) -> Option<Answer> {
        let number = request.socket;
        if self.sockets.get(number).is_none_or(|socket| socket.spent) {
            self.take_greeted(); // its greeting was written before this request
        }
        if !self.sockets.contains(number) {
            return Some(self.ask_departed(control, request));
        }
        self.pump_out(number); // options are ordered with bytes
        let spent = self.sockets.get(number).is_some_and(|socket| socket.spent);
        match request.operation {
            Operation::Bind | Operation::Listen | Operation::Connect if spent => Some(Err(Errno(libc::ESTALE))),
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
            Operation::LocalAddress => self.local_address(number).map(told),
            Operation::PeerAddress => self.peer_address(number).map(told),
            Operation::SetOption => self.set_option(request, payload).map(|()| Vec::new()),
            Operation::GetOption => self.option(request),
            Operation::Shutdown => self.shut_down(number, request.a).map(|()| Vec::new()),
            Operation::Ioctl => {
                let id = self.socket(number)?.id;
                let answer = self.machine.ask_number(id, c_ulong::from(request.a))?;
                Ok(answer.to_ne_bytes().to_vec())
            }

            Operation::Fault => {
                let fault = self.socket(number)?.fault;
                Ok(fault.unwrap_or(0).to_ne_bytes().to_vec())
            }
            Operation::Hello
            | Operation::Connect
            | Operation::SendUrgent
            | Operation::Lease
            | Operation::PassedBy
            | Operation::List
            | Operation::Stop => Err(Errno(libc::EINVAL)),
        }
    }

    pub(crate) fn socket(&self, number: u64) -> Result<&crate::socket::Socket, Errno> {
        self.sockets.get(number).ok_or(Errno(libc::EBADF))
    }

    fn bind(&mut self, number: u64, to: SocketAddr) -> Result<(), Errno> {
        let id = self.socket(number)?.id;
        self.with_free_port(to.port(), |engine| engine.machine.stack().bind(id, to))?;
        let bound = self.machine.stack().local_address(id)?;
        if let Some(socket) = self.sockets.get_mut(number) {
            socket.bound = Some(bound);
        }
        Ok(())
    }

    fn listen(&mut self, number: u64, backlog: u32) -> Result<(), Errno> {
        let backlog = usize::try_from(backlog.cast_signed()).unwrap_or(usize::MAX); // negative: the largest, as in Linux
        let id = self.socket(number)?.id;
        let port = self.machine.stack().local_address(id)?.port();
        self.with_free_port(port, |engine| engine.machine.stack().listen(engine.now, id, backlog))?;
        let limit = backlog.clamp(1, OFFERED_MAX);
        if let Some(socket) = self.sockets.get_mut(number) {
            match &mut socket.phase {
                Phase::Listening(listening) => listening.limit = limit,
                phase => {
                    *phase = Phase::Listening(Listening {
                        limit,
                        ..Listening::default()
                    });
                }
            }
        }
        self.call(number);
        Ok(())
    }

    /// `None`: it is answered when the attempt is over.
    fn connect(&mut self, control: u64, request: &Request, payload: &[u8]) -> Option<Answer> {
        let (number, waits) = (request.socket, request.a == 1);
        let to = match address(payload) {
            Ok(to) => to,
            Err(errno) => return Some(Err(errno)),
        };
        self.hear_closed_listeners(to.port());
        let Some(socket) = self.sockets.get_mut(number) else {
            return Some(Err(Errno(libc::ENOTCONN))); // it was one of them
        };
        if std::mem::take(&mut socket.connect_untold) {
            return Some(Ok(Vec::new())); // as Linux, the first time after success
        }
        match self.machine.stack().connect(self.now, socket.id, to) {
            Ok(()) => {
                self.connected(number);
                Some(Ok(Vec::new()))
            }
            Err(Error::InProgress) => {
                let waiting = if waits { vec![control] } else { Vec::new() };
                socket.phase = Phase::Connecting { to, waiting };
                self.call(number);
                (!waits).then_some(Err(Errno(libc::EINPROGRESS)))
            }
            Err(Error::AlreadyInProgress) if waits => {
                if let Phase::Connecting { waiting, .. } = &mut socket.phase {
                    waiting.push(control);
                }
                None
            }
            Err(error) => Some(Err(error.into())),
        }
    }

    /// connect with AF_UNSPEC. The stream is spent: the program attaches a fresh one.
    fn disconnect(&mut self, number: u64) -> Result<(), Errno> {
        let id = self.socket(number)?.id;
        self.machine.stack().disconnect(self.now, id)?;
        self.leave_attempt(number, libc::ECONNABORTED);
        Ok(())
    }

    fn local_address(&mut self, number: u64) -> Result<SocketAddr, Errno> {
        let id = self.socket(number)?.id;
        Ok(self.machine.stack().local_address(id)?)
    }

    fn peer_address(&mut self, number: u64) -> Result<SocketAddr, Errno> {
        let id = self.socket(number)?.id;
        Ok(self.machine.stack().peer_address(id)?)
    }

    fn set_option(&mut self, request: &Request, value: &[u8]) -> Result<(), Errno> {
        let (level, name) = option_name(request);
        let socket = self.sockets.get_mut(request.socket).ok_or(Errno(libc::EBADF))?;
        if (level, name) == (libc::SOL_SOCKET, libc::SO_OOBINLINE) {
            let number = value.first_chunk().ok_or(Errno(libc::EINVAL))?;
            socket.urgent_inline = c_int::from_ne_bytes(*number) != 0;
            return Ok(());
        }
        self.machine.set_option(self.now, socket.id, level, name, value)
    }

    fn option(&mut self, request: &Request) -> Answer {
        let (level, name) = option_name(request);
        let socket = self.sockets.get_mut(request.socket).ok_or(Errno(libc::EBADF))?;
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_OOBINLINE) => Ok(c_int::from(socket.urgent_inline).to_ne_bytes().to_vec()),
            (libc::SOL_SOCKET, libc::SO_ERROR) if socket.soft_fault.is_some() => {
                Ok(socket.soft_fault.take().unwrap_or(0).to_ne_bytes().to_vec())
            }
            _ => self.machine.option(self.now, socket.id, level, name),
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
        let socket = self.socket(number)?;
        let (id, connected) = (
            socket.id,
            matches!(socket.phase, Phase::Connected | Phase::Offered { .. }),
        );
        match how {
            // The bytes that the program wrote before come first, and its FIN with the stream's own end.
            Shutdown::Write if connected => drop(self.machine.stack().peer_address(id)?),
            Shutdown::Both if connected => self.machine.stack().shutdown(self.now, id, Shutdown::Read)?,
            how => self.machine.stack().shutdown(self.now, id, how)?,
        }
        self.call(number);
        Ok(())
    }

    /// The last byte is urgent, and what the program wrote before goes first. `None`: it is answered by itself.
    fn send_urgent(&mut self, control: u64, request: &Request, payload: &[u8]) -> Option<Answer> {
        let number = request.socket;
        let socket = self.sockets.get_mut(number)?;
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
        let (id, len) = (socket.id, payload.len());
        let before = stream::queued(&socket.stream) > usize::from(socket.head_taken);
        let stack = self.machine.stack();
        let open = matches!(stack.state(id), Ok(State::Established | State::CloseWait));
        if open && (before || stack.room(id).unwrap_or(0) < len) {
            return false;
        }
        let Some((control, payload)) = socket.urgent.take() else {
            return true;
        };
        let framing = Framing {
            urgent: true,
            ..Framing::default()
        };
        let taken = self.machine.stack().send_framed(self.now, id, &payload, framing);
        let answer = taken.map(|taken| u32::try_from(taken).unwrap_or(u32::MAX).to_ne_bytes().to_vec());
        self.answer(control, answer.map_err(Errno::from));
        true
    }

    /// What can still be asked of a socket that has ended.
    fn ask_departed(&mut self, control: u64, request: &Request) -> Answer {
        let Some(departed) = self.departed.get_mut(request.socket) else {
            return Err(self.why_turned_away(control));
        };
        match request.operation {
            Operation::Fault => Ok(departed.fault.unwrap_or(0).to_ne_bytes().to_vec()),
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
            Operation::GetOption if option_name(request) == (libc::SOL_SOCKET, libc::SO_ERROR) => {
                Ok(departed.pending.take().unwrap_or(0).to_ne_bytes().to_vec())
            }
            Operation::GetOption => {
                let (family, options) = (departed.family, departed.options);
                let id = self.machine.stack().socket(family)?;
                let answer = self.ask_unconnected(id, options, option_name(request));
                self.machine.stack().close(self.now, id)?;
                answer
            }
            Operation::SetOption => Ok(Vec::new()),
            Operation::Bind | Operation::Listen => Err(Errno(libc::EINVAL)),
            _ => Err(Errno(libc::ENOTCONN)),
        }
    }

    /// The options of a socket without a connection.
    fn ask_unconnected(
        &mut self,
        id: ustcp_proto::SocketId,
        options: ustcp_proto::Options,
        (level, name): (c_int, c_int),
    ) -> Answer {
        self.machine.stack().set_options(self.now, id, options)?;
        self.machine.option(self.now, id, level, name)
    }
}

fn address(payload: &[u8]) -> Result<SocketAddr, Errno> {
    Address::from_payload(payload)
        .map(|Address(address)| address)
        .ok_or(Errno(libc::EINVAL))
}

fn told(address: SocketAddr) -> Vec<u8> {
    Address(address).to_bytes().to_vec()
}

fn option_name(request: &Request) -> (c_int, c_int) {
    (request.a.cast_signed(), request.b.cast_signed())
}
