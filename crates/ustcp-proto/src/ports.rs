//! Who uses which local port.

use std::collections::HashMap;

use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};

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

/// The connections, TIME-WAIT among them, from one address and port.
#[derive(Debug)]
struct Connections {
    address: IpAddr,
    /// Those that let a SO_REUSEADDR socket bind beside them.
    yielding: usize,
    /// Those that do not.
    unyielding: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Port {
    /// Sockets that were bound to it.
    pub(crate) holders: Vec<SocketId>,
    connections: Vec<Connections>,
}

impl Port {
    /// Whether connections whose address `meets` stand in the way of a bind with or without SO_REUSEADDR.
    pub(crate) fn connections_forbid(&self, reuse: bool, meets: impl Fn(IpAddr) -> bool) -> bool {
        let forbids = |there: &Connections| there.unyielding > 0 || (there.yielding > 0 && !reuse);
        self.connections
            .iter()
            .any(|there| meets(there.address) && forbids(there))
    }

    fn is_unused(&self) -> bool {
        self.holders.is_empty() && self.connections.is_empty()
    }

    fn join(&mut self, address: IpAddr, reuse: bool) {
        if !self.connections.iter().any(|there| there.address == address) {
            self.connections.push(Connections {
                address,
                yielding: 0,
                unyielding: 0,
            });
        }
        self.count(address, reuse, |count| *count += 1);
    }

    fn leave(&mut self, address: IpAddr, reuse: bool) {
        self.count(address, reuse, |count| *count -= 1);
        self.connections.retain(|there| there.yielding + there.unyielding > 0);
    }

    fn count(&mut self, address: IpAddr, reuse: bool, change: impl FnOnce(&mut usize)) {
        if let Some(there) = self.connections.iter_mut().find(|there| there.address == address) {
            change(if reuse {
                &mut there.yielding
            } else {
                &mut there.unyielding
            });
        }
    }
}

pub(crate) struct Ports {
    used: HashMap<u16, Port, TableHash>,
    /// How far the choice of ports has come, for destinations that share a place here.
    strides: [u64; DESTINATIONS],
}

/// RFC 6056 §3.3.4 suggests ten and more.
const DESTINATIONS: usize = 256;

impl Ports {
    pub(crate) fn new(hash: TableHash) -> Ports {
        Ports {
            used: HashMap::with_hasher(hash),
            strides: [0; DESTINATIONS],
        }
    }

    /// Where in the range the next port towards `remote` is to be looked for, RFC 6056 §3.3.4 (double hash): for each
    /// destination from a place that nobody can foretell, and from there on by `stride`, so that a port does not come
    /// again while the peer may remember its last use.
    pub(crate) fn next_towards(&mut self, source: IpAddr, remote: SocketAddr, stride: u64) -> u64 {
        let keys = self.used.hasher();
        let offset = keys.hash_one((source, remote));
        let place = usize::try_from(keys.hash_one((remote, source)) % DESTINATIONS as u64).unwrap_or(0);
        let Some(strides) = self.strides.get_mut(place) else {
            return offset;
        };
        *strides = strides.wrapping_add(stride);
        (offset >> 1).wrapping_add(*strides)
    }

    pub(crate) fn get(&self, number: u16) -> Option<&Port> {
        self.used.get(&number)
    }

    pub(crate) fn hold(&mut self, number: u16, id: SocketId) {
        self.used.entry(number).or_default().holders.push(id);
    }

    pub(crate) fn share(&mut self, local: SocketAddr, reuse: bool) {
        self.used.entry(local.port()).or_default().join(local.ip(), reuse);
    }

    /// Takes back what `claim` says `id` had.
    pub(crate) fn release(&mut self, local: SocketAddr, id: SocketId, claim: Claim) {
        match claim {
            Claim::None => {}
            Claim::Holder => self.change(local.port(), |port| port.holders.retain(|holder| *holder != id)),
            Claim::Shared { reuse } => self.unshare(local, reuse),
        }
    }

    pub(crate) fn unshare(&mut self, local: SocketAddr, reuse: bool) {
        self.change(local.port(), |port| port.leave(local.ip(), reuse));
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
