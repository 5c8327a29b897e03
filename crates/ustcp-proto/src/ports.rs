//! Who uses which local port.

use std::collections::HashMap;

use crate::SocketId;
use crate::keys::TableHash;

/// What a socket's use of its port amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It has none.
    None,
    /// bind gave it to the socket.
    Holder,
    /// A connection shares it: an accepted one, or one that connect chose a port for. With its SO_REUSEADDR.
    Shared { reuse: bool },
}

#[derive(Debug, Default)]
pub(crate) struct Port {
    /// Sockets that were bound to it.
    pub(crate) holders: Vec<SocketId>,
    /// Connections, TIME-WAIT among them, that let a SO_REUSEADDR socket bind beside them.
    yielding: usize,
    /// Those that do not.
    unyielding: usize,
}

impl Port {
    /// Whether connections stand in the way of a bind with or without SO_REUSEADDR.
    pub(crate) fn connections_forbid(&self, reuse: bool) -> bool {
        self.unyielding > 0 || (self.yielding > 0 && !reuse)
    }

    fn is_unused(&self) -> bool {
        self.holders.is_empty() && self.yielding == 0 && self.unyielding == 0
    }

    fn count(&mut self, reuse: bool) -> &mut usize {
        if reuse {
            &mut self.yielding
        } else {
            &mut self.unyielding
        }
    }
}

pub(crate) struct Ports {
    used: HashMap<u16, Port, TableHash>,
}

impl Ports {
    pub(crate) fn new(hash: TableHash) -> Ports {
        Ports {
            used: HashMap::with_hasher(hash),
        }
    }

    pub(crate) fn get(&self, number: u16) -> Option<&Port> {
        self.used.get(&number)
    }

    pub(crate) fn hold(&mut self, number: u16, id: SocketId) {
        self.used.entry(number).or_default().holders.push(id);
    }

    pub(crate) fn share(&mut self, number: u16, reuse: bool) {
        *self.used.entry(number).or_default().count(reuse) += 1;
    }

    /// Takes back what `claim` says `id` had.
    pub(crate) fn release(&mut self, number: u16, id: SocketId, claim: Claim) {
        match claim {
            Claim::None => {}
            Claim::Holder => self.change(number, |port| port.holders.retain(|holder| *holder != id)),
            Claim::Shared { reuse } => self.unshare(number, reuse),
        }
    }

    pub(crate) fn unshare(&mut self, number: u16, reuse: bool) {
        self.change(number, |port| *port.count(reuse) -= 1);
    }

    fn change(&mut self, number: u16, change: impl FnOnce(&mut Port)) {
        if let Some(port) = self.used.get_mut(&number) {
            change(port);
            if port.is_unused() {
                self.used.remove(&number);
            }
        }
    }
}

#[cfg(test)]
mod tests;
