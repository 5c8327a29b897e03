//! Who listens where.

use core::net::{IpAddr, SocketAddr};

use crate::table::{Kind, Socket};
use crate::{Family, SocketId, Stack, address};

impl Stack {
    /// Who listens there: on the address itself, on all of its family, or on all of both; and where nobody does, who
    /// takes every port.
    pub(crate) fn listener_for(&self, local: SocketAddr) -> Option<SocketId> {
        let on = |address: IpAddr| self.listeners.get(&SocketAddr::new(address, local.port())).copied();
        let family = Family::of(local.ip());
        on(local.ip())
            .or_else(|| on(family.unspecified()))
            .or_else(|| on(Family::V6.unspecified()).filter(|id| self.takes_both_families(*id)))
            .or_else(|| self.transparent_for(local.ip()))
    }

    fn takes_both_families(&self, id: SocketId) -> bool {
        self.sockets.get(id).is_some_and(|socket| !socket.options.v6_only)
    }

    /// The listener for every port of `address`; one for that address alone before one for all.
    fn transparent_for(&self, address: IpAddr) -> Option<SocketId> {
        let place = |id: &SocketId| self.sockets.get(*id).and_then(Socket::place);
        let takes = |id: &&SocketId| place(id).is_some_and(|place| address::overlap(place, (address, false)));
        let for_all = |id: &&SocketId| place(id).is_none_or(|(ip, _)| ip.is_unspecified());
        self.transparent.iter().filter(takes).min_by_key(for_all).copied()
    }

    /// The socket has begun or ceased to listen, or its options have changed: whether it takes every port.
    pub(crate) fn note_transparency(&mut self, id: SocketId) {
        let takes_all = self
            .sockets
            .get(id)
            .is_some_and(|socket| socket.options.transparent && matches!(socket.kind, Kind::Listener(_)));
        if !takes_all {
            self.transparent.retain(|other| *other != id);
        } else if !self.transparent.contains(&id) {
            self.transparent.push(id);
        }
    }
}
