//! What the buffers of all connections take together, and what gives way when that is too much: of the whole stack, or of
//! one owner of sockets.

use std::collections::{BTreeSet, HashMap};

use crate::context::Context;
use crate::table::Kind;
use crate::{SocketId, Stack};

/// Who has a socket, where a stack serves several: a process, and its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its number; those of one user are told apart by it.
    pub process: u32,
    /// Its user's number.
    pub user: u32,
}

/// Whose buffers are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Party {
    Process(u32, u32),
    User(u32),
}

impl Party {
    /// What it may hold where all may hold `limit`.
    fn share(self, limit: usize) -> usize {
        match self {
            Party::Process(..) => limit / 4,
            Party::User(_) => limit / 2,
        }
    }
}

impl Owner {
    fn parties(self) -> [Party; 2] {
        [Party::Process(self.process, self.user), Party::User(self.user)]
    }
}

/// Bytes of buffers by whose they are, and who is to hear when some can be had again. Who has none takes no room.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    bytes: HashMap<Party, usize>,
    /// Those that are held back while nothing is left: entered in good time, as they hear nothing of what others take.
    waiting: HashMap<Party, BTreeSet<SocketId>>,
    /// Those of them that are held back no longer and have not been told.
    relieved: Vec<SocketId>,
}

impl Holdings {
    fn of(&self, party: Party) -> usize {
        self.bytes.get(&party).copied().unwrap_or(0)
    }

    fn change(&mut self, owner: Owner, before: usize, now: usize, limit: usize) {
        for party in owner.parties() {
            let held = self.bytes.entry(party).or_default();
            let had_its_share = *held >= party.share(limit);
            *held = held.saturating_sub(before).saturating_add(now);
            let relieved = had_its_share && *held < party.share(limit);
            if *held == 0 {
                self.bytes.remove(&party);
            }
            if relieved {
                self.relieved.extend(self.waiting.remove(&party).into_iter().flatten());
            }
        }
    }

    /// The socket is to hear when something can be had again.
    fn enlist(&mut self, owner: Owner, id: SocketId) {
        for party in owner.parties() {
            self.waiting.entry(party).or_default().insert(id);
        }
    }

    /// The socket waits no more.
    fn forget(&mut self, owner: Option<Owner>, id: SocketId) {
        for party in owner.into_iter().flat_map(Owner::parties) {
            if let Some(waiting) = self.waiting.get_mut(&party) {
                waiting.remove(&id);
                if waiting.is_empty() {
                    self.waiting.remove(&party);
                }
            }
        }
    }
}

/// What a socket holds as it is in the sums, and of whose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    bytes: usize,
    owner: Option<Owner>,
    /// It is among those of its owner that hear when something can be had again.
    enlisted: bool,
}

impl Context {
    /// All buffers together are beyond `tcp_mem`: SYNs and text out of order, which costs its sender little, are refused;
    /// text in order, which is what frees memory in the end, goes on.
    pub(crate) fn under_pressure(&self) -> bool {
        self.buffered > self.config.memory_limit
    }

    /// The buffers of this owner have their share: a quarter of `tcp_mem` for a process, half for a user. What they
    /// hold they keep, and more comes only into those that hold less than [`FLOOR`](crate::tcp::FLOOR), up to that: so every
    /// connection goes on that is read and acknowledged, whatever others of its owner hold, and who does neither holds no
    /// more. Linux has `tcp_rmem[0]` and `tcp_wmem[0]` for the same.
    pub(crate) fn has_its_share(&self, owner: Option<Owner>) -> bool {
        self.share_left(owner) == 0
    }

    /// How much more its buffers may hold; no matter how much while all together hold little.
    pub(crate) fn share_left(&self, owner: Option<Owner>) -> usize {
        let limit = self.config.memory_limit;
        let owner = owner.filter(|_| self.buffered > limit / 8); // or no share is near its end
        let left = |party: Party| party.share(limit).saturating_sub(self.holdings.of(party));
        let left = owner.into_iter().flat_map(Owner::parties).map(left);
        left.min().unwrap_or(usize::MAX)
    }

    /// Brings the sums up to date: what a socket held, and what it holds now.
    pub(crate) fn change_account(&mut self, before: Account, now: Account) {
        if before == now {
            return; // as after nearly every segment
        }
        self.buffered = self.buffered.saturating_sub(before.bytes).saturating_add(now.bytes);
        let limit = self.config.memory_limit;
        match (before.owner, now.owner) {
            (Some(owner), same) if same == Some(owner) => {
                self.holdings.change(owner, before.bytes, now.bytes, limit);
            }
            (left, new) => {
                left.into_iter()
                    .for_each(|owner| self.holdings.change(owner, before.bytes, 0, limit));
                new.into_iter()
                    .for_each(|owner| self.holdings.change(owner, 0, now.bytes, limit));
            }
        }
    }
}

impl Stack {
    /// Brings the sums up to date with what `id` holds now.
    pub(crate) fn account(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let owner = socket.options.owner;
        let before = socket.account;
        let enlisted = before.enlisted && before.owner == owner;
        let mut now = Account {
            owner,
            enlisted,
            bytes: 0,
        };
        if let Kind::Connection(connection) = &mut socket.kind {
            if connection.rcv.share_left == 0 || self.cx.under_pressure() {
                connection.rcv.ring.trim();
            }
            now.bytes = connection.buffer_bytes();
            now.enlisted |= owner.is_some() && connection.lives_by_its_share();
        }
        socket.account = now;
        if before.owner != owner {
            self.cx.holdings.forget(before.owner, id);
        }
        if let Some(owner) = owner.filter(|_| now.enlisted && !enlisted) {
            self.cx.holdings.enlist(owner, id);
        }
        self.cx.change_account(before, now);
        if let Kind::Connection(connection) = &mut socket.kind {
            connection.heed_share(&self.cx);
        }
        self.tell_relieved();
    }

    /// The account of a socket that is no more.
    pub(crate) fn close_account(&mut self, id: SocketId, account: Account) {
        self.cx.holdings.forget(account.owner, id);
        self.cx.change_account(account, Account::default());
        self.tell_relieved();
    }

    /// Owners may have their share no longer: who was held back by that goes on.
    fn tell_relieved(&mut self) {
        for id in core::mem::take(&mut self.cx.holdings.relieved) {
            if let Some(socket) = self.sockets.get_mut(id) {
                socket.account.enlisted = false;
                if let Kind::Connection(connection) = &mut socket.kind {
                    connection.relieve(&self.cx);
                }
            }
            self.settle(id);
        }
    }
}
