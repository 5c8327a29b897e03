//! Who uses which local port.

use std::collections::HashMap;

use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};

use crate::keys::TableHash;
use crate::{Options, SocketId};

/// How a socket shares its port with others that ask for it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reuse {
    /// SO_REUSEADDR: with all but listeners.
    pub(crate) address: bool,
    /// SO_REUSEPORT: with all.
    pub(crate) port: bool,
}

impl Reuse {
    pub(crate) fn of(options: &Options) -> Reuse {
        Reuse {
            address: options.reuse_address,
            port: options.reuse_port,
        }
    }

    /// Whether it stays beside `other`, which `listens` or not. Linux's `inet_bind_conflict`; its users are one here.
    pub(crate) fn allows(self, other: Reuse, listens: bool) -> bool {
        (self.address && other.address && !listens) || (self.port && other.port)
    }
}

/// What a socket's use of its port amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It has none.
    None,
    /// bind gave it to the socket.
    Holder,
    /// A connection shares it: an accepted one, or one that connect chose a port for.
    Shared { reuse: Reuse },
}

/// The connections, TIME-WAIT among them, from one address and port that share it alike.
#[derive(Debug)]
struct Connections {
    address: IpAddr,
    reuse: Reuse,
    count: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Port {
    /// Sockets that were bound to it.
    pub(crate) holders: Vec<SocketId>,
    connections: Vec<Connections>,
}

impl Port {
    /// Whether connections whose address `meets` stand in the way of a bind.
    pub(crate) fn connections_forbid(&self, reuse: Reuse, meets: impl Fn(IpAddr) -> bool) -> bool {
        self.connections
            .iter()
            .any(|there| meets(there.address) && !reuse.allows(there.reuse, false))
    }

    fn is_unused(&self) -> bool {
        self.holders.is_empty() && self.connections.is_empty()
    }

    fn join(&mut self, address: IpAddr, reuse: Reuse) {
        match self.alike(address, reuse) {
            Some(there) => there.count += 1,
            None => self.connections.push(Connections {
                address,
                reuse,
                count: 1,
            }),
        }
    }

    fn leave(&mut self, address: IpAddr, reuse: Reuse) {
        if let Some(there) = self.alike(address, reuse) {
            there.count -= 1;
        }
        self.connections.retain(|there| there.count > 0);
    }

    fn alike(&mut self, address: IpAddr, reuse: Reuse) -> Option<&mut Connections> {
        self.connections
            .iter_mut()
            .find(|there| there.address == address && there.reuse == reuse)
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

    pub(crate) fn share(&mut self, local: SocketAddr, reuse: Reuse) {
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

    pub(crate) fn unshare(&mut self, local: SocketAddr, reuse: Reuse) {
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
