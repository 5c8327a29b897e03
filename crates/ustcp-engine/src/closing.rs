//! The end that waits for no program: peers are told as at the end of a process, and programs of a reset, for what they have
//! is cut off.

use rustix::net::{Shutdown, shutdown};
use ustcp_proto::Instant;
use ustcp_runtime::{Errno, ExitWait};

use crate::engine::Engine;
use crate::lifetime::Stop;
use crate::socket::Phase;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Acknowledgements, until then.
    Acknowledged(Instant),
    /// The end of every connection, TIME-WAIT included.
    Closed,
}

impl Engine {
    /// Whether it is over; the first time it is asked, it begins.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.life.stop {
            Stop::None | Stop::WhenIdle => false,
            Stop::Now => {
                self.begin_to_close();
                self.is_over()
            }
            Stop::Closing(Closing::Acknowledged(until)) if until <= self.ground.now => {
                self.break_off();
                true
            }
            Stop::Closing(Closing::Acknowledged(_)) => {
                self.sockets.is_empty() && !self.ground.machine.stack().has_unacknowledged()
            }
            Stop::Closing(Closing::Closed) => self.has_no_connection(),
        }
    }

    fn begin_to_close(&mut self) {
        self.life.stop = Stop::Closing(match self.exit_wait {
            ExitWait::Acknowledged(time) => Closing::Acknowledged(self.ground.now + time),
            ExitWait::Closed => Closing::Closed,
        });
        for number in self.sockets.numbers() {
            if let Some(socket) = self.sockets.get(number) {
                // What it has written stays to be taken, and no more comes.
                let _ = shutdown(&socket.stream, Shutdown::Read); // fails where the program has gone
                self.call(number);
            }
        }
        self.settle();
    }

    /// Its device is gone, and relayed connections do without: whose program has written no more than can be taken ends, as at the
    /// end of a process, and no peer of the others takes what it has got for all.
    pub(crate) fn give_up(&mut self) {
        for number in self.sockets.numbers() {
            self.let_go(number);
        }
        self.break_off();
    }

    /// Peers that would wait for what they do not get now are told.
    fn break_off(&mut self) {
        for number in self.sockets.numbers() {
            self.abort(number);
        }
        self.ground.machine.stack().abort_unacknowledged(self.ground.now);
        self.ground.machine.transmit(self.ground.now);
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.life.stop, Stop::Closing(_))
    }

    /// Lets go of a socket whose program may have it still; of a connection, once it has taken all that was written.
    pub(crate) fn let_go(&mut self, number: u64) {
        let Some(socket) = self.sockets.get(number) else { return };
        match socket.phase {
            Phase::Idle | Phase::Listening(_) => self.end(number),
            Phase::Connecting { .. } => self.attempt_failed(number, Errno(libc::ENETDOWN)),
            Phase::Offered { .. } => self.abort(number),
            Phase::Connected => {
                if self.pump_out(number) && self.send_waiting_urgent(number) {
                    self.end(number);
                }
            }
        }
    }
}
