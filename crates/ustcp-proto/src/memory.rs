//! What the buffers of all connections take together, and what gives way when that is too much: of the whole stack, or of
//! one owner of sockets.

use std::collections::HashMap;

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

/// Bytes of buffers by whose they are. Who has none takes no room.
#[derive(Debug, Default)]
pub(crate) struct Holdings(HashMap<Party, usize>);

impl Holdings {
    fn of(&self, party: Party) -> usize {
        self.0.get(&party).copied().unwrap_or(0)
    }

    fn change(&mut self, owner: Owner, before: usize, now: usize) {
        for party in owner.parties() {
            let held = self.0.entry(party).or_default();
            *held = held.saturating_sub(before).saturating_add(now);
            if *held == 0 {
                self.0.remove(&party);
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

    /// The buffers of this owner have more than their share: a quarter of `tcp_mem` for a process, half for a user. What they
    /// hold they keep, and more comes only into a buffer that is empty, a segment at a time: so every connection goes on
    /// that is read and acknowledged, and who does neither holds no more.
    pub(crate) fn has_its_share(&self, owner: Option<Owner>) -> bool {
        owner.is_some_and(|owner| {
            let [process, user] = owner.parties().map(|party| self.holdings.of(party));
            process > self.config.memory_limit / 4 || user > self.config.memory_limit / 2
        })
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
            if connection.rcv.full || self.cx.under_pressure() {
                connection.rcv.ring.trim();
            }
            bytes = connection.buffer_bytes();
        }
        let now = Account { bytes, owner };
        self.cx
            .change_account(core::mem::replace(&mut socket.account, now), now);
        let full = self.cx.has_its_share(owner);
        if let Kind::Connection(connection) = &mut socket.kind {
            connection.rcv.full = full;
        }
    }
}
