//! The books of a stack: which connection is under which ends, who waits for which time, who has something to send, who
//! has something to tell.

use crate::ports::Claim;
use crate::schedule::Owner;
use crate::stack::{ANSWER_LIMIT, Control, Target};
use crate::table::{Kind, Socket};
use crate::tcp::{Connection, Disposal, HalfOpen, TimeWait};
use crate::{Cause, DropReason, EventKind, SocketId, Stack, State};

impl Stack {
    /// Sends `control` with the next output.
    pub(crate) fn answer(&mut self, control: Control) {
        if self.control.len() < ANSWER_LIMIT && !self.down {
            self.control.push_back(control);
        } else {
            self.cx.dropped(Some(control.flow), DropReason::Limit);
        }
    }

    /// Sends a whole packet with the next output.
    pub(crate) fn reply(&mut self, packet: Vec<u8>) {
        if self.replies.len() < ANSWER_LIMIT {
            self.replies.push_back(packet);
        } else {
            self.cx.dropped(None, DropReason::Limit);
        }
    }

    /// After anything that a connection was told: tells pollers, arms timers, lets it send, and lets it go when it is
    /// over.
    pub(crate) fn settle(&mut self, id: SocketId) {
        self.account(id);
        self.settle_fast_open(id);
        let Some(connection) = self.sockets.connection_mut(id) else {
            return;
        };
        if core::mem::take(&mut connection.notify) {
            self.notify(id);
        }
        let Some(connection) = self.sockets.connection(id) else {
            return;
        };
        match connection.disposal() {
            Disposal::Keep => {
                self.queue_output(id);
                self.reschedule(id);
            }
            Disposal::TimeWait => self.begin_time_wait(id),
            Disposal::Closed => self.detach(id),
        }
    }

    /// Pollers shall look at the socket again.
    pub(crate) fn notify(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get_mut(id)
            && socket.held
            && !core::mem::replace(&mut socket.in_ready, true)
        {
            self.ready.push_back(id);
        }
    }

    fn queue_output(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get_mut(id)
            && !core::mem::replace(&mut socket.in_output, true)
        {
            self.output.push_back(id);
        }
    }

    /// Sees to it that the schedule has the connection no later than its first timer.
    pub(crate) fn reschedule(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let Kind::Connection(connection) = &socket.kind else {
            return;
        };
        let Some(due) = connection.timers.due() else {
            return;
        };
        if socket.scheduled.is_some_and(|at| at <= due) {
            return; // early is harmless, and cheaper than moving the entry with every acknowledgement
        }
        if let Some(at) = socket.scheduled.replace(due) {
            self.schedule.remove(at, Owner::Socket(id));
        }
        self.schedule.insert(due, Owner::Socket(id));
    }

    pub(crate) fn unschedule(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get_mut(id)
            && let Some(at) = socket.scheduled.take()
        {
            self.schedule.remove(at, Owner::Socket(id));
        }
    }

    /// The connection is over: it leaves every book but its user's.
    fn detach(&mut self, id: SocketId) {
        self.unschedule(id);
        self.release_shared_port(id);
        let Some(socket) = self.sockets.get(id) else { return };
        let Kind::Connection(connection) = &socket.kind else {
            return;
        };
        let flow = connection.flow;
        if self.demux.get(&flow) == Some(&Target::Connection(id)) {
            self.demux.remove(&flow);
        }
        if !socket.held && connection.orphan {
            self.remove(id);
        }
    }

    /// Takes a socket out of the table and gives its port back.
    pub(crate) fn remove(&mut self, id: SocketId) {
        self.unschedule(id);
        if let Some(socket) = self.sockets.remove(id) {
            self.close_account(id, socket.account);
            self.release_port(&socket, id);
        }
    }

    pub(crate) fn release_port(&mut self, socket: &Socket, id: SocketId) {
        if let Some(local) = socket.local {
            self.ports.release(local, id, socket.claim);
        }
    }

    /// A port that bind did not give the socket is its connection's, and not kept longer.
    pub(crate) fn release_shared_port(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if let (Claim::Shared { .. }, Some(local)) = (socket.claim, socket.local) {
            let claim = core::mem::replace(&mut socket.claim, Claim::None);
            self.ports.release(local, id, claim);
        }
    }

    /// The 2 MSL begin. The socket keeps what may still be read; everything else is a [`TimeWait`].
    fn begin_time_wait(&mut self, id: SocketId) {
        let Some(connection) = self.sockets.connection(id) else {
            return;
        };
        let flow = connection.flow;
        if self.demux.get(&flow) != Some(&Target::Connection(id)) {
            return;
        }
        let remains = TimeWait::new(connection, id, self.cx.now + self.cx.config.time_wait);
        let owes_ack = connection.rcv.owes_ack();
        self.cx.counters.time_waits += 1;
        if self.time_wait.len() < self.cx.config.time_wait_limit {
            self.ports.share(flow.local, remains.reuse);
            let key = self.time_wait.insert(remains);
            self.demux.insert(flow, Target::TimeWait(key));
            self.schedule.insert(remains.due, Owner::TimeWait(key));
        } else {
            self.demux.remove(&flow); // as Linux: better no TIME-WAIT than no memory
            if let Some(connection) = self.sockets.connection_mut(id) {
                connection.enter(&mut self.cx, Cause::Aborted);
            }
        }
        if owes_ack {
            self.answer(Control::of_remains(&remains, remains.acknowledgement(self.cx.now)));
        }
        self.unschedule(id);
        self.release_shared_port(id);
        if self.sockets.get(id).is_some_and(|socket| !socket.held) && self.is_orphan(id) {
            self.remove(id);
        }
    }

    fn is_orphan(&self, id: SocketId) -> bool {
        self.sockets.connection(id).is_some_and(|connection| connection.orphan)
    }

    /// Its last ACK was lost: the 2 MSL begin again.
    pub(crate) fn restart_time_wait(&mut self, key: usize) {
        let Some(remains) = self.time_wait.get_mut(key) else {
            return;
        };
        let before = core::mem::replace(&mut remains.due, self.cx.now + self.cx.config.time_wait);
        let due = remains.due;
        self.schedule.remove(before, Owner::TimeWait(key));
        self.schedule.insert(due, Owner::TimeWait(key));
    }

    /// TIME-WAIT is over, and the pair of ends free.
    pub(crate) fn end_time_wait(&mut self, key: usize, cause: Cause) {
        let Some(remains) = self.time_wait.try_remove(key) else {
            return;
        };
        self.schedule.remove(remains.due, Owner::TimeWait(key));
        self.demux.remove(&remains.flow);
        self.ports.unshare(remains.flow.local, remains.reuse);
        match self.sockets.connection_mut(remains.socket) {
            Some(connection) if connection.state == State::TimeWait => connection.enter(&mut self.cx, cause),
            _ => {
                let (from, to) = (State::TimeWait, State::Closed);
                self.cx
                    .record(Some(remains.flow), EventKind::Transition { from, to, cause });
            }
        }
        self.settle(remains.socket);
    }

    /// Enters a half-open connection and sends its SYN-ACK.
    pub(crate) fn insert_half_open(&mut self, half: HalfOpen, saved_syn: Option<Box<[u8]>>) {
        half.record_birth(&mut self.cx);
        let key = self.half_open.insert(half);
        if let Some(headers) = saved_syn {
            self.saved_syns.insert(key, headers);
        }
        if let Some(listener) = self.sockets.listener_mut(half.listener) {
            listener.half_open.insert(half.serial, key);
        }
        self.demux.insert(half.flow, Target::HalfOpen(key));
        self.schedule.insert(half.due, Owner::HalfOpen(key));
        self.answer(Control::of_half(&half, half.syn_ack(self.cx.now)));
    }

    /// Takes a half-open connection out of the books.
    pub(crate) fn take_half_open(&mut self, key: usize) -> Option<HalfOpen> {
        let half = self.half_open.try_remove(key)?;
        self.saved_syns.remove(&key);
        self.schedule.remove(half.due, Owner::HalfOpen(key));
        self.demux.remove(&half.flow);
        if let Some(listener) = self.sockets.listener_mut(half.listener) {
            listener.half_open.remove(&half.serial);
        }
        Some(half)
    }

    /// A half-open connection comes to nothing.
    pub(crate) fn forget_half_open(&mut self, key: usize, cause: Cause) {
        if let Some(half) = self.take_half_open(key) {
            half.record_death(&mut self.cx, cause);
        }
    }

    /// Enters a connection under its two ends.
    pub(crate) fn register(&mut self, id: SocketId, connection: Connection) {
        self.demux.insert(connection.flow, Target::Connection(id));
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.kind = Kind::Connection(Box::new(connection));
        }
    }
}
