//! What the buffers of all connections take together, and what gives way when that is too much.

use crate::context::Context;
use crate::{SocketId, Stack};

impl Context {
    /// All buffers together are beyond `tcp_mem`: SYNs and text out of order, which costs its sender little, are refused;
    /// text in order, which is what frees memory in the end, goes on.
    pub(crate) fn under_pressure(&self) -> bool {
        self.buffered > self.config.memory_limit
    }
}

impl Stack {
    /// Brings the sum up to date with what `id` holds now.
    pub(crate) fn account(&mut self, id: SocketId) {
        let short = self.cx.under_pressure();
        if let Some(connection) = self.sockets.connection_mut(id).filter(|_| short) {
            connection.rcv.ring.trim();
        }
        let now = self
            .sockets
            .connection(id)
            .map_or(0, |connection| connection.buffer_bytes());
        if let Some(socket) = self.sockets.get_mut(id) {
            let before = core::mem::replace(&mut socket.accounted, now);
            self.cx.buffered = self.cx.buffered.saturating_sub(before).saturating_add(now);
        }
    }
}
