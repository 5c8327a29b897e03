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

impl Owner {
    fn parties(self) -> [Party; 2] {
        [Party::Process(self.process, self.user), Party::User(self.user)]
    }
}

/// Bytes of buffers by whose they are, and who waits for some to be given back. Who has none takes no room.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    bytes: HashMap<Party, usize>,
    waiting: HashMap<Party, BTreeSet<SocketId>>,
}

impl Holdings {
    fn of(&self, party: Party) -> usize {
        self.bytes.get(&party).copied().unwrap_or(0)
    }

    fn change(&mut self, owner: Owner, before: usize, now: usize) {
        for party in owner.parties() {
            let held = self.bytes.entry(party).or_default();
            *held = held.saturating_sub(before).saturating_add(now);
            if *held == 0 {
                self.bytes.remove(&party);
            }
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
        self.shortest(owner).map_or(usize::MAX, |(_, left)| left)
    }

    /// Whose share is nearest to its end, and how far that is.
    fn shortest(&self, owner: Option<Owner>) -> Option<(Party, usize)> {
        let little = self.config.memory_limit / 8;
        let owner = owner.filter(|_| self.buffered > little)?; // or no share is near its end
        let left = owner.parties().map(|party| (party, self.left_of(party)));
        left.into_iter().min_by_key(|(_, left)| *left)
    }

    fn left_of(&self, party: Party) -> usize {
        let share = match party {
            Party::Process(..) => self.config.memory_limit / 4,
            Party::User(_) => self.config.memory_limit / 2,
        };
        share.saturating_sub(self.holdings.of(party))
    }

    /// Those who waited for memory of `owner` and may have some now.
    fn take_relieved(&mut self, owner: Option<Owner>) -> Vec<SocketId> {
        let mut relieved = Vec::new();
        if self.holdings.waiting.is_empty() {
            return relieved;
        }
        for party in owner.into_iter().flat_map(Owner::parties) {
            if self.left_of(party) > 0 {
                relieved.extend(self.holdings.waiting.remove(&party).into_iter().flatten());
            }
        }
        relieved
    }

    /// Brings the sums up to date: what a socket held, and what it holds now.
    pub(crate) fn change_account(&mut self, before: Account, now: Account) {
        if before == now {
            return; // as after nearly every segment
        }
        self.buffered = self.buffered.saturating_sub(before.bytes).saturating_add(now.bytes);
        match (before.owner, now.owner) {
            (Some(owner), same) if same == Some(owner) => self.holdings.change(owner, before.bytes, now.bytes),
            (left, new) => {
                left.into_iter()
                    .for_each(|owner| self.holdings.change(owner, before.bytes, 0));
                new.into_iter()
                    .for_each(|owner| self.holdings.change(owner, 0, now.bytes));
            }
        }
    }
}

impl Stack {
    /// Brings the sums up to date with what `id` holds now.
    pub(crate) fn account(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let owner = socket.options.owner;
        let mut bytes = 0;
        if let Kind::Connection(connection) = &mut socket.kind {
            if connection.rcv.share_left == 0 || self.cx.under_pressure() {
                connection.rcv.ring.trim();
            }
            bytes = connection.buffer_bytes();
        }
        let now = Account { bytes, owner };
        let before = core::mem::replace(&mut socket.account, now);
        self.cx.change_account(before, now);
        if before.owner != owner {
            self.cx.holdings.forget(before.owner, id);
        }
        if let Kind::Connection(connection) = &mut socket.kind {
            connection.heed_share(&self.cx);
            if let Some((party, 0)) = self.cx.shortest(owner)
                && connection.is_held_back(&self.cx)
            {
                self.cx.holdings.waiting.entry(party).or_default().insert(id);
            }
        }
        if bytes < before.bytes || owner != before.owner {
            self.relieve(before.owner);
        }
    }

    /// The account of a socket that is no more.
    pub(crate) fn close_account(&mut self, id: SocketId, account: Account) {
        self.cx.change_account(account, Account::default());
        self.cx.holdings.forget(account.owner, id);
        self.relieve(account.owner);
    }

    /// `owner` holds less than before: whoever waits for that may go on.
    fn relieve(&mut self, owner: Option<Owner>) {
        for id in self.cx.take_relieved(owner) {
            self.settle(id);
        }
    }
}
