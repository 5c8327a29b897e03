//! connect with `AF_UNSPEC`: the socket is as it was before it connected or listened.

use crate::stack::Target;
use crate::table::Kind;
use crate::{Error, Instant, SocketId, Stack, State};

impl Stack {
    /// Undoes connect or listen, as Linux: a connection that its peer still has ends with RST, and the socket, bound as
    /// bind left it, may connect or listen again. `SO_ERROR` then says [`Error::ConnectionReset`].
    pub fn disconnect(&mut self, now: Instant, id: SocketId) -> Result<(), Error> {
        self.cx.now = now;
        match &self.sockets.held(id)?.kind {
            Kind::Fresh => {}
            Kind::Listener(_) => self.stop_listening(id),
            Kind::Connection(_) => {
                let error = self.break_off(id);
                self.forget_attempt(id);
                if let Some(socket) = self.sockets.get_mut(id) {
                    socket.error = error;
                }
            }
        }
        Ok(())
    }

    /// The connection ends and leaves the books. Says what its user hears of that.
    fn break_off(&mut self, id: SocketId) -> Option<Error> {
        let connection = self.sockets.connection_mut(id)?;
        let (flow, state) = (connection.flow, connection.state);
        let broken = connection.may_reset() || state == State::SynSent;
        let pending = connection.error.take();
        if let (State::TimeWait, Some(&Target::TimeWait(key))) = (state, self.demux.get(&flow)) {
            // The 2 MSL go on without the socket.
            if let Some(remains) = self.time_wait.get_mut(key) {
                remains.socket = SocketId::NOBODY;
            }
        } else {
            self.reset(id);
        }
        if broken { Some(Error::ConnectionReset) } else { pending }
    }
}
