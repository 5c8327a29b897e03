//! How a socket goes on and how it ends: attempts that succeed or fail, programs that let go, resets.

use rustix::event::epoll::EventFlags;
use rustix::net::sockopt::socket_error;
use ustcp_proto::{Shutdown, State};
use ustcp_runtime::Errno;

use crate::departed::Departed;
use crate::engine::Engine;
use crate::greeting::Intake;
use crate::past::Past;
use crate::socket::{Phase, Socket};
use crate::stream;

/// How a socket and its program part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    /// Its attempt to connect has failed, which connect has told or not.
    Failed { told: bool },
    /// Its connection was broken off.
    Broken,
    /// In peace, or the program went first.
    Ended,
}

impl Engine {
    /// Something has changed at a socket's stream.
    pub(crate) fn hear_stream(&mut self, number: u64, which: u8, flags: EventFlags) {
        if self.sockets.get(number).is_some_and(|socket| socket.spent) {
            self.take_streams(Intake::All); // the program may have brought a fresh one before it let this one go
        }
        let Some(socket) = self.sockets.get_mut(number).filter(|socket| socket.which == which) else {
            return;
        };
        socket.may_have_more = true;
        socket.program_shut |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP);
        socket.program_gone |= flags.contains(EventFlags::HUP);
        if flags.contains(EventFlags::ERR) && socket_error(&socket.stream) != Ok(Ok(())) {
            socket.left_unread = true;
        }
        self.call(number);
    }

    /// Something has changed at a socket's connection of the kernel's.
    pub(crate) fn hear_far(&mut self, number: u64, which: u8) {
        if self.sockets.get(number).is_some_and(|socket| socket.which == which) {
            self.call(number);
        }
    }

    /// Lets a socket go on as far as it goes.
    pub(crate) fn look_at(&mut self, number: u64) {
        let Some(socket) = self.sockets.get(number) else { return };
        if self.is_closing() && !socket.program_gone {
            self.let_go(number);
            return;
        }
        match socket.phase {
            Phase::Idle if socket.program_gone => self.close(number),
            Phase::Idle => {}
            Phase::Connecting { .. } => self.look_at_attempt(number),
            Phase::Connected => self.look_at_connection(number),
            Phase::Offered { .. } => self.look_at_offer(number),
            Phase::Listening(_) if socket.program_gone => self.close(number),
            Phase::Listening(_) => self.offer(number),
        }
    }

    pub(crate) fn look_at_attempt(&mut self, number: u64) {
        let Some(socket) = self.sockets.get(number) else { return };
        let Phase::Connecting { to, .. } = socket.phase else {
            return;
        };
        if socket.program_gone {
            self.close(number);
            return;
        }
        match socket.far().connect(&mut self.ground, to) {
            Ok(()) => self.attempt_succeeded(number),
            Err(Errno(libc::EALREADY)) => {}
            Err(errno) => self.attempt_failed(number, errno),
        }
    }

    fn attempt_succeeded(&mut self, number: u64) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        let Phase::Connecting { waiting, .. } = std::mem::replace(&mut socket.phase, Phase::Connected) else {
            return;
        };
        socket.connect_untold = !waiting.iter().any(|control| self.controls.contains_key(control));
        self.connected(number);
        for control in waiting {
            self.answer(control, Ok(Vec::new()));
        }
    }

    /// The stream is closed with its junk unread: it shows what a socket shows whose attempt has failed.
    pub(crate) fn attempt_failed(&mut self, number: u64, Errno(errno): Errno) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        socket.fault = Some(errno);
        let Phase::Connecting { waiting, .. } = std::mem::replace(&mut socket.phase, Phase::Idle) else {
            return;
        };
        let told = waiting.iter().any(|control| self.controls.contains_key(control));
        self.part(number, Parting::Failed { told });
        for control in waiting {
            self.answer(control, Err(Errno(errno)));
        }
    }

    /// Undoes connect or listen: whoever waits for it hears `errno`.
    pub(crate) fn leave_attempt(&mut self, number: u64, errno: i32) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        socket.spent = true;
        match std::mem::replace(&mut socket.phase, Phase::Idle) {
            Phase::Connecting { waiting, .. } => {
                for control in waiting {
                    self.answer(control, Err(Errno(errno)));
                }
            }
            Phase::Listening(listening) => {
                self.reset_all(listening.returned);
                self.reset_offered(number);
            }
            Phase::Idle | Phase::Connected | Phase::Offered { .. } => {}
        }
    }

    fn look_at_connection(&mut self, number: u64) {
        self.note_error(number);
        if self.is_given_up(number) {
            self.abort(number);
            return;
        }
        let all_taken = self.pump_out_told(number) && self.send_waiting_urgent(number);
        self.pump_in(number);
        if self.is_thrown_away(number) {
            self.abort(number);
            return;
        }
        let Some(socket) = self.sockets.get(number) else { return };
        if socket.fault.is_some() {
            self.end_broken(number);
        } else if all_taken {
            self.conclude(number);
        } else if socket.program_gone {
            socket.far().abandon(&mut self.ground);
        }
    }

    /// The connection is over: the program hears of it once it has been given what came before. Until then it cannot write,
    /// or a write that waits for room would wait for ever.
    fn end_broken(&mut self, number: u64) {
        if !self.has_more_for(number) {
            self.part(number, Parting::Broken);
        } else if let Some(socket) = self.sockets.get(number) {
            stream::take_no_more(&socket.stream);
        }
    }

    /// An error that no call has told yet.
    fn note_error(&mut self, number: u64) {
        let error = self
            .sockets
            .get(number)
            .and_then(|socket| socket.far().take_error(&mut self.ground));
        if let Some(errno) = error {
            self.on_error(number, errno);
        }
    }

    /// The program has let it go and what it left is thrown away: it had bytes unread, or wants no lingering.
    fn is_given_up(&mut self, number: u64) -> bool {
        let Some(socket) = self.sockets.get(number).filter(|socket| socket.program_gone) else {
            return false;
        };
        socket.far().lingers_not(&mut self.ground) || self.is_thrown_away(number)
    }

    /// The program has let it go and has bytes unread, or some have come since. One that has shut both halves may be there
    /// still; as Linux, what had come before that is no reason.
    fn is_thrown_away(&mut self, number: u64) -> bool {
        let Some(socket) = self.sockets.get(number).filter(|socket| socket.program_gone) else {
            return false;
        };
        let unheard = match socket.has_shut_both() {
            true => socket.far().unread(&mut self.ground) > 0,
            false => socket.program_deaf,
        };
        unheard || socket.left_unread
    }

    /// Whether the connection has received what the program can still be given.
    fn has_more_for(&mut self, number: u64) -> bool {
        let Some(socket) = self.sockets.get(number) else {
            return false;
        };
        let deaf = socket.program_deaf || socket.left_unread || socket.program_gone;
        !deaf && socket.far().unread(&mut self.ground) > 0
    }

    /// The program's own end of the stream, once everything before it has been taken; and the end of both.
    fn conclude(&mut self, number: u64) {
        let Some(socket) = self.sockets.get_mut(number) else {
            return;
        };
        if socket.program_shut && !std::mem::replace(&mut socket.shut, true) {
            // It fails where the connection has ended, which shows elsewhere.
            let _ = socket.far().shutdown(&mut self.ground, Shutdown::Write);
        }
        if socket.program_gone || (socket.shut && socket.end_told) {
            self.close(number);
        }
    }

    /// RST to the peer. As Linux, which sends what is written at once, so far as there is room: that has gone before.
    pub(crate) fn abort(&mut self, number: u64) {
        self.pump_out(number);
        self.ground.machine.transmit(self.ground.now);
        if let Some(socket) = self.sockets.get(number) {
            socket.far().abort(&mut self.ground);
        }
        self.close(number);
    }

    /// The connection goes on without its program, or there was none. What is in the stream has been taken.
    fn close(&mut self, number: u64) {
        if let Some(socket) = self
            .sockets
            .get(number)
            .filter(|socket| matches!(socket.phase, Phase::Connected))
        {
            let _ = stream::take(&socket.stream, &mut [0]); // the poison, or the program hears of a reset
        }
        self.part(number, Parting::Ended);
    }

    /// The program is told of a reset, the peer of nothing: its connection goes on to its end.
    pub(crate) fn end(&mut self, number: u64) {
        self.part(number, Parting::Broken);
    }

    /// The stream is closed, and with what is unread in it the program hears of a reset. The stack's socket goes as well.
    fn part(&mut self, number: u64, parting: Parting) {
        let Some(socket) = self.sockets.remove(number) else {
            return;
        };
        let local = socket.far().local(&mut self.ground);
        self.remember(&socket);
        if socket.fault_told {
            stream::take_no_more(&socket.stream);
            stream::empty(&socket.stream, &mut self.chunk); // or the program hears of it twice
        }
        let stack = self.ground.machine.stack();
        if !socket.program_gone
            && let (Ok(local), Ok(options)) = (local, stack.options(socket.id))
        {
            let departed = Departed {
                fault: socket.fault,
                pending: socket
                    .fault
                    .filter(|_| !socket.fault_told && parting != Parting::Failed { told: true }),
                user: socket.client.user,
                family: socket.family,
                local,
                options,
                asked: socket.asked.clone(),
                urgent_inline: socket.urgent_inline,
                bound: socket.bound,
                may_begin: matches!(parting, Parting::Failed { .. }),
            };
            self.departed.enter(number, departed);
        }
        let _ = stack.close(self.ground.now, socket.id); // it fails for none
        match socket.phase {
            // What the program has not taken yet goes with its descriptor, and is reset when that is seen.
            Phase::Listening(listening) => self.reset_all(listening.returned),
            Phase::Connecting { waiting, .. } => {
                for control in waiting {
                    self.answer(control, Err(Errno(libc::ECONNABORTED)));
                }
            }
            Phase::Idle | Phase::Connected | Phase::Offered { .. } => {}
        }
        if let Some((control, _)) = socket.urgent {
            self.answer(control, Err(Errno(socket.fault.unwrap_or(libc::EPIPE))));
        }
        self.relieve(); // there is a descriptor again
    }

    /// For what is said after the program's end. One that neither listened nor went anywhere, nor was to, is not worth a word.
    fn remember(&mut self, socket: &Socket) {
        let is_listener = matches!(socket.phase, Phase::Listening(_));
        if is_listener || socket.peer.is_some() || socket.refusal.is_some() {
            let asked = socket.refusal.and_then(|refusal| refusal.address);
            let local = asked.or_else(|| socket.far().local(&mut self.ground).ok());
            self.pasts.remember(Past {
                run: socket.run,
                place: socket.place(),
                why: socket.why().map(Into::into),
                family: socket.family,
                state: if is_listener { State::Listen } else { State::Closed },
                local: local.filter(|local| local.port() != 0),
                peer: socket.peer,
                errno: socket.fault.or(socket.refusal.map(|refusal| refusal.errno)),
            });
        }
    }
}
