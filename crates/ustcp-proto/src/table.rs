//! The sockets of a stack, by id.

use std::collections::{BTreeMap, VecDeque};

use core::net::{IpAddr, SocketAddr};

use slab::Slab;

use crate::fast_open::EarlyCount;
use crate::memory::Account;
use crate::ports::Claim;
use crate::tcp::Connection;
use crate::{Error, Family, Instant, Options, SocketId, State};

/// What a socket is at the moment.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Neither listens nor connects.
    Fresh,
    /// LISTEN.
    Listener(Listener),
    /// Everything else.
    Connection(Box<Connection>),
}

/// The two queues of a listener. The half-open connections themselves are the stack's.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    pub(crate) backlog: usize,
    /// Keys of the half-open ones, the oldest first.
    pub(crate) half_open: BTreeMap<u64, usize>,
    pub(crate) completed: VecDeque<SocketId>,
    /// When a SYN was last answered with a cookie.
    pub(crate) last_cookie: Option<Instant>,
    pub(crate) arrivals: u32,
    pub(crate) early: EarlyCount,
}

#[derive(Debug)]
pub(crate) struct Socket {
    generation: u32,
    pub(crate) family: Family,
    pub(crate) options: Options,
    /// Local address as bind, listen or connect set it.
    pub(crate) local: Option<SocketAddr>,
    /// The same as bind alone set it: where it is again without its connection.
    pub(crate) bound: Option<SocketAddr>,
    pub(crate) claim: Claim,
    pub(crate) kind: Kind,
    /// What SO_ERROR will say of a socket that is none of both, for what it was.
    pub(crate) error: Option<Error>,
    /// A user has it: not an orphan, not waiting for accept.
    pub(crate) held: bool,
    /// What its buffers hold, as it is in the sums.
    pub(crate) account: Account,
    /// When the schedule has it.
    pub(crate) scheduled: Option<Instant>,
    /// It is in the queue of those that may have something to send.
    pub(crate) in_output: bool,
    /// It is in the queue of those whose readiness may have changed.
    pub(crate) in_ready: bool,
}

impl Socket {
    /// Its local address, and whether it wants nothing of IPv4: what decides which other sockets it meets.
    pub(crate) fn place(&self) -> Option<(IpAddr, bool)> {
        Some((self.local?.ip(), self.options.v6_only))
    }

    /// bind gives it an address: when it has none, or, as in Linux, when that was its connection's and this is over.
    pub(crate) fn may_be_bound(&self) -> bool {
        match &self.kind {
            Kind::Fresh => self.local.is_none_or(|local| local.port() == 0),
            Kind::Listener(_) => false,
            Kind::Connection(connection) => {
                self.bound.is_none() && matches!(connection.state, State::Closed | State::TimeWait)
            }
        }
    }

    /// It is bound. As Linux: at an IPv6 address it wants nothing of IPv4 any more.
    pub(crate) fn bind_to(&mut self, local: SocketAddr) {
        (self.local, self.bound) = (Some(local), Some(local));
        self.options.v6_only |= matches!(local.ip(), IpAddr::V6(ip) if !ip.is_unspecified());
    }

    pub(crate) fn new(family: Family, options: Options) -> Socket {
        Socket {
            generation: 0,
            family,
            options,
            local: None,
            bound: None,
            claim: Claim::None,
            kind: Kind::Fresh,
            error: None,
            held: true,
            account: Account::default(),
            scheduled: None,
            in_output: false,
            in_ready: false,
        }
    }
}

#[derive(Default)]
pub(crate) struct Table {
    slots: Slab<Socket>,
    generation: u32,
}

impl Table {
    pub(crate) fn insert(&mut self, socket: Socket) -> SocketId {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let index = self.slots.insert(Socket { generation, ..socket });
        SocketId {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            generation,
        }
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<&Socket> {
        self.slots
            .get(id.index as usize)
            .filter(|socket| socket.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.slots
            .get_mut(id.index as usize)
            .filter(|socket| socket.generation == id.generation)
    }

    pub(crate) fn connection(&self, id: SocketId) -> Option<&Connection> {
        match &self.get(id)?.kind {
            Kind::Connection(connection) => Some(connection),
            Kind::Fresh | Kind::Listener(_) => None,
        }
    }

    pub(crate) fn connection_mut(&mut self, id: SocketId) -> Option<&mut Connection> {
        match &mut self.get_mut(id)?.kind {
            Kind::Connection(connection) => Some(connection),
            Kind::Fresh | Kind::Listener(_) => None,
        }
    }

    pub(crate) fn listener_mut(&mut self, id: SocketId) -> Option<&mut Listener> {
        match &mut self.get_mut(id)?.kind {
            Kind::Listener(listener) => Some(listener),
            Kind::Fresh | Kind::Connection(_) => None,
        }
    }

    /// A socket that a user may call on.
    pub(crate) fn held(&self, id: SocketId) -> Result<&Socket, Error> {
        self.get(id).filter(|socket| socket.held).ok_or(Error::BadSocket)
    }

    /// The same, to change it.
    pub(crate) fn held_mut(&mut self, id: SocketId) -> Result<&mut Socket, Error> {
        self.get_mut(id).filter(|socket| socket.held).ok_or(Error::BadSocket)
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<Socket> {
        self.get(id)?;
        self.slots.try_remove(id.index as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Socket> {
        self.slots.iter().map(|(_, socket)| socket)
    }

    pub(crate) fn ids(&self) -> Vec<SocketId> {
        self.slots
            .iter()
            .map(|(index, socket)| SocketId {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                generation: socket.generation,
            })
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}
