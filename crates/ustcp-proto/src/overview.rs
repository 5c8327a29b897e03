//! Everything that a stack has, for whoever shows it: `ss` and the like.

use core::net::SocketAddr;
use core::time::Duration;

use crate::stack::Target;
use crate::table::{Kind, Listener, Socket};
use crate::tcp::{Connection, HalfOpen, TimeWait};
use crate::{Family, Info, Instant, SocketId, Stack, State, Timer, address};

/// A socket, or a connection without one.
#[derive(Clone, Debug)]
pub struct Overview {
    /// `None` for a half-open connection, and for what is left of one in TIME-WAIT.
    pub socket: Option<SocketId>,
    /// Of the socket; of a connection without one, of its packets.
    pub family: Family,
    /// LISTEN for a listener, CLOSED before and after.
    pub state: State,
    /// Our end; unspecified and port 0 before bind.
    pub local: SocketAddr,
    /// The peer's; `None` where there is none.
    pub remote: Option<SocketAddr>,
    /// Bytes that can be read, and bytes that are not acknowledged, a FIN counted as one; of a listener the connections
    /// that wait in accept, and its backlog.
    pub queues: (usize, usize),
    /// What is waited for.
    pub timer: Option<Waiting>,
    /// `TCP_INFO` of a connection that has buffers.
    pub info: Option<Box<Info>>,
}

/// A timer as `ss -o` has it: that of retransmission (for its relatives too), of zero-window probes, of keepalive, or of
/// what is left of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub timer: Timer,
    /// How long until it goes off.
    pub left: Duration,
    /// How often it has.
    pub count: u8,
}

impl Stack {
    /// All of them: sockets, connections that their users have closed, half-open ones, and those in TIME-WAIT.
    #[must_use]
    pub fn overview(&self, now: Instant) -> Vec<Overview> {
        let sockets = self.sockets.ids().into_iter();
        let sockets = sockets.filter_map(|id| self.overview_of(now, id));
        let half_open = self.half_open.iter().map(|(_, half)| of_half(now, half));
        // Where the socket is still there, it has been told with it.
        let remains = self.time_wait.iter().map(|(_, remains)| remains);
        let remains = remains.filter(|remains| self.sockets.get(remains.socket).is_none());
        let remains = remains.map(|remains| of_remains(now, remains));
        sockets.chain(half_open).chain(remains).collect()
    }

    /// One socket.
    #[must_use]
    pub fn overview_of(&self, now: Instant, id: SocketId) -> Option<Overview> {
        Some(self.of_socket(now, id, self.sockets.get(id)?))
    }

    fn of_socket(&self, now: Instant, id: SocketId, socket: &Socket) -> Overview {
        let family = socket.family;
        let local = socket.local.unwrap_or(SocketAddr::new(family.unspecified(), 0));
        let plain = Overview {
            socket: Some(id),
            family,
            state: State::Closed,
            local: address::outward(family, local),
            remote: None,
            queues: (0, 0),
            timer: None,
            info: None,
        };
        match &socket.kind {
            Kind::Fresh => plain,
            Kind::Listener(Listener { completed, backlog, .. }) => Overview {
                state: State::Listen,
                queues: (completed.len(), *backlog),
                ..plain
            },
            Kind::Connection(connection) => Overview {
                state: connection.state,
                remote: Some(address::outward(family, connection.flow.remote)),
                queues: (connection.queued_in(), connection.queued_out()),
                timer: waiting(now, connection).or_else(|| self.in_time_wait(now, connection)),
                info: Some(Box::new(connection.info(&self.cx.config, now))),
                ..plain
            },
        }
    }

    /// The 2 MSL of a connection whose socket is still there.
    fn in_time_wait(&self, now: Instant, connection: &Connection) -> Option<Waiting> {
        let Some(Target::TimeWait(key)) = self.demux.get(&connection.flow) else {
            return None;
        };
        self.time_wait.get(*key).map(|remains| two_msl(now, remains))
    }
}

fn of_half(now: Instant, half: &HalfOpen) -> Overview {
    Overview {
        socket: None,
        family: Family::of(half.flow.local.ip()),
        state: State::SynReceived,
        local: half.flow.local,
        remote: Some(half.flow.remote),
        queues: (0, 0),
        timer: Some(Waiting {
            timer: Timer::Retransmission,
            left: half.due.since(now),
            count: half.retransmissions,
        }),
        info: None,
    }
}

fn of_remains(now: Instant, remains: &TimeWait) -> Overview {
    Overview {
        socket: None,
        family: Family::of(remains.flow.local.ip()),
        state: State::TimeWait,
        local: remains.flow.local,
        remote: Some(remains.flow.remote),
        queues: (0, 0),
        timer: Some(two_msl(now, remains)),
        info: None,
    }
}

fn two_msl(now: Instant, remains: &TimeWait) -> Waiting {
    Waiting {
        timer: Timer::TimeWait,
        left: remains.due.since(now),
        count: 0,
    }
}

/// The one that Linux tells where several run.
fn waiting(now: Instant, connection: &Connection) -> Option<Waiting> {
    let timers = &connection.timers;
    let resent = timers
        .retransmission
        .into_iter()
        .chain(timers.reordering)
        .chain(timers.loss_probe)
        .min();
    let all = [
        (resent, Timer::Retransmission, connection.timeouts),
        (timers.persist, Timer::Persist, connection.probes),
        (timers.fin_wait_2, Timer::FinWait2, 0),
        (timers.keepalive, Timer::Keepalive, connection.probes),
    ];
    let mut armed = all
        .into_iter()
        .filter_map(|(at, timer, count)| Some((at?, timer, count)));
    armed.next().map(|(at, timer, count)| Waiting {
        timer,
        left: at.since(now),
        count,
    })
}
