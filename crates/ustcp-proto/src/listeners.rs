//! Who listens where.

use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};

use ustcp_wire::{Checksum, Flags, IpPacket, Protocol, TcpSegment};

use crate::table::{Kind, Socket};
use crate::{Family, Flow, SocketId, Stack, address, route};

impl Stack {
    /// Who listens at this port, on whatever address, and who takes every port.
    pub fn listeners_at(&self, port: u16) -> impl Iterator<Item = SocketId> {
        let there = self.listeners.iter().filter(move |(place, _)| place.port() == port);
        there.flat_map(|(_, ids)| ids).chain(&self.transparent).copied()
    }

    /// Who might be brought a connection by this packet: [those](Stack::listeners_at) at the port of a SYN.
    pub fn listeners_asked_by(&self, packet: &[u8]) -> Vec<SocketId> {
        if self.listeners.is_empty() && self.transparent.is_empty() {
            return Vec::new();
        }
        port_of_syn(packet).map_or_else(Vec::new, |port| self.listeners_at(port).collect())
    }

    /// Whether a connection to that address would find a listener; the unspecified address is this host.
    #[must_use]
    pub fn is_listened_at(&self, address: SocketAddr) -> bool {
        let ip = match address.ip().to_canonical() {
            ip if ip.is_unspecified() => route::localhost(Family::of(ip)),
            ip => ip,
        };
        let local = SocketAddr::new(ip, address.port());
        self.listener_for(&Flow { local, remote: local }).is_some()
    }

    /// Who listens for such a connection: on the address itself, on all of its family, or on all of both; and where nobody
    /// does, who takes every port.
    pub(crate) fn listener_for(&self, flow: &Flow) -> Option<SocketId> {
        let ip = flow.local.ip();
        let family = Family::of(ip);
        let on = |address: IpAddr| self.one_of(SocketAddr::new(address, flow.local.port()), flow);
        on(ip)
            .or_else(|| on(family.unspecified()))
            .or_else(|| on(Family::V6.unspecified()))
            .or_else(|| self.transparent_for(ip))
    }

    /// Of the listeners there that take this connection's family the one that its ends choose, always the same as long as
    /// they are the same (SO_REUSEPORT).
    fn one_of(&self, place: SocketAddr, flow: &Flow) -> Option<SocketId> {
        let family = Family::of(flow.local.ip());
        let takes = |id: &&SocketId| Family::of(place.ip()) == family || self.takes_both_families(**id);
        let takers = || self.listeners.get(&place).into_iter().flatten().filter(takes);
        let count = u64::try_from(takers().count()).unwrap_or(u64::MAX);
        let chosen = match count {
            0 | 1 => 0,
            count => self.listeners.hasher().hash_one(flow) % count,
        };
        takers().nth(usize::try_from(chosen).unwrap_or(0)).copied()
    }

    fn takes_both_families(&self, id: SocketId) -> bool {
        self.sockets.get(id).is_some_and(|socket| !socket.options.v6_only)
    }

    /// It listens there no more.
    pub(crate) fn leave_listeners(&mut self, local: SocketAddr, id: SocketId) {
        if let Some(there) = self.listeners.get_mut(&local) {
            there.retain(|other| *other != id);
            if there.is_empty() {
                self.listeners.remove(&local);
            }
        }
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

fn port_of_syn(packet: &[u8]) -> Option<u16> {
    let ip = IpPacket::parse(packet).ok()?;
    (ip.header.protocol == Protocol::Tcp && ip.fragment.is_none()).then_some(())?;
    let segment = TcpSegment::parse(&ip.header, ip.payload, Checksum::Offloaded).ok()?;
    let flags = segment.header.flags;
    (flags.has(Flags::SYN) && !flags.has(Flags::ACK)).then_some(segment.header.destination_port)
}
