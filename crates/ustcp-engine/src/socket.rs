//! One socket of a program: its stream, its connection, its client, and how far the two are.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use libc::c_int;
use rustix::net::sockopt::{set_socket_linger, socket_linger};
use ustcp_client::sys::Peer;
use ustcp_proto::{Family, SocketId};
use ustcp_runtime::Errno;

use crate::count::{Counted, Share};
use crate::far::Far;
use crate::passed::{Asked, passes};
use crate::route::Why;

/// What a socket is doing.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing: neither connected nor listening.
    Idle,
    /// It connects; the control connections that wait to hear of it.
    Connecting { to: SocketAddr, waiting: Vec<u64> },
    /// It is connected.
    Connected,
    /// Its connection waits in a listener's stream to be confirmed.
    Offered {
        listener: u64,
        peer: SocketAddr,
        /// So many bytes have been shown to whoever confirms it.
        shown: usize,
    },
    /// It listens.
    Listening(Listening),
}

/// A listener's connections on their way to the program.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    /// How many may be offered at once.
    pub(crate) limit: usize,
    /// How many are, and are not confirmed.
    pub(crate) offered: usize,
    /// Those that were offered and whose descriptor was lost.
    pub(crate) returned: VecDeque<Arrived>,
}

/// A connection that a listener has brought forth.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) id: SocketId,
    pub(crate) kernel: Option<Kernel>,
    /// Its peer, which is no longer told once it has ended.
    pub(crate) peer: SocketAddr,
}

/// A socket of the kernel's that stands for one of the stack's.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) descriptor: OwnedFd,
    pub(crate) why: Why,
}

/// What is unsent goes on its way, and nobody waits for that: `SO_LINGER` of some time is the patience of a program, not of the
/// engine.
impl Drop for Kernel {
    fn drop(&mut self) {
        if socket_linger(&self.descriptor).is_ok_and(|linger| linger.is_some_and(|time| !time.is_zero())) {
            let _ = set_socket_linger(&self.descriptor, None); // it has had such an option
        }
    }
}

/// A socket of a program. What it has heard and told only ever goes from `false` to `true`.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) stream: OwnedFd,
    /// Which of the streams that it has had this is.
    pub(crate) which: u8,
    /// It was disconnected: the stream is of no more use, and the program brings a fresh one.
    pub(crate) spent: bool,
    /// The address that bind gave it.
    pub(crate) bound: Option<SocketAddr>,
    /// Where it is, or was, connected to.
    pub(crate) peer: Option<SocketAddr>,
    /// An urgent byte that waits for room, and the control connection that waits to hear of it.
    pub(crate) urgent: Option<(u64, Vec<u8>)>,
    /// The stack's, which has the options in any case.
    pub(crate) id: SocketId,
    /// Where the connection is the kernel's.
    pub(crate) kernel: Option<Kernel>,
    /// A listener of the kernel's beside the stack's.
    pub(crate) published: Option<OwnedFd>,
    /// Options that were set, for a socket of the kernel's that is yet to come.
    pub(crate) asked: Asked,
    pub(crate) family: Family,
    /// Who attached it, or its listener.
    pub(crate) client: Peer,
    /// As how many descriptors it is counted.
    pub(crate) counted: usize,
    pub(crate) run: u32,
    pub(crate) phase: Phase,
    /// A connect that did not wait has succeeded, and the program may ask once more.
    pub(crate) connect_untold: bool,
    /// The first byte in the stream's queue has been taken already: the poison, which stays there so that closing the stream
    /// tells the program of a reset.
    pub(crate) head_taken: bool,
    /// There may be more in the stream than what was taken: it was never found empty, or epoll has told of it since.
    pub(crate) may_have_more: bool,
    /// epoll tells when the stream takes more.
    pub(crate) watches_room: bool,
    /// The program writes no more (RDHUP).
    pub(crate) program_shut: bool,
    /// The program has let it go (HUP).
    pub(crate) program_gone: bool,
    /// It takes no more bytes: it has let it go, or reads no more.
    pub(crate) program_deaf: bool,
    /// It has let it go with bytes unread.
    pub(crate) left_unread: bool,
    /// It has called shutdown for its reading, and for its writing: both together look as if it had let it go.
    pub(crate) has_shut: [bool; 2],
    /// The connection has been told that the program writes no more.
    pub(crate) shut: bool,
    /// The program has been told that the peer writes no more.
    pub(crate) end_told: bool,
    /// `SO_OOBINLINE`, which is the stream's to obey.
    pub(crate) urgent_inline: bool,
    /// Why the connection has ended; what it received before still goes to the program.
    pub(crate) fault: Option<i32>,
    /// A call has told the program so.
    pub(crate) fault_told: bool,
    /// Its last attempt to have an address, to listen or to connect, where it was answered at once with no.
    pub(crate) refusal: Option<Refusal>,
    /// What ICMP said of a connection that goes on.
    pub(crate) soft_fault: Option<i32>,
    /// It is among those to be looked at.
    pub(crate) called: bool,
}

/// What was refused to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) errno: i32,
    /// The address that it was to have.
    pub(crate) address: Option<SocketAddr>,
    /// Why it was the kernel that refused it.
    pub(crate) why: Option<Why>,
}

impl Socket {
    pub(crate) fn new(stream: OwnedFd, id: SocketId, family: Family, client: Peer, run: u32) -> Socket {
        Socket {
            stream,
            which: 0,
            spent: false,
            bound: None,
            peer: None,
            urgent: None,
            id,
            kernel: None,
            published: None,
            asked: Asked::default(),
            family,
            client,
            counted: 0,
            run,
            phase: Phase::Idle,
            connect_untold: false,
            head_taken: false,
            may_have_more: true,
            watches_room: false,
            program_shut: false,
            program_gone: false,
            program_deaf: false,
            left_unread: false,
            has_shut: [false; 2],
            shut: false,
            end_told: false,
            urgent_inline: false,
            fault: None,
            fault_told: false,
            refusal: None,
            soft_fault: None,
            called: false,
        }
    }

    /// Its connection.
    pub(crate) fn far(&self) -> Far<'_> {
        match &self.kernel {
            None => Far::Stack(self.id),
            Some(kernel) => Far::Kernel(kernel.descriptor.as_fd()),
        }
    }

    /// The listener of the kernel's that stands beside it.
    pub(crate) fn published(&self) -> Option<Far<'_>> {
        self.published.as_ref().map(|listener| Far::Kernel(listener.as_fd()))
    }

    /// What a write tells, once.
    pub(crate) fn take_fault(&mut self) -> Option<i32> {
        match self.fault {
            Some(_) if std::mem::replace(&mut self.fault_told, true) => None,
            fault => fault,
        }
    }

    /// What `SO_ERROR` tells, once: the same, and what is said of a connection that goes on.
    pub(crate) fn take_error(&mut self) -> Option<i32> {
        self.take_fault().or_else(|| self.soft_fault.take())
    }

    /// Whether the program has shut both halves.
    pub(crate) fn has_shut_both(&self) -> bool {
        self.has_shut == [true; 2]
    }

    /// The descriptors that it is.
    fn descriptors(&self) -> usize {
        1 + usize::from(self.kernel.is_some()) + usize::from(self.published.is_some())
    }

    /// By whose TCP it is, as `ustcp ss` shows it.
    pub(crate) fn place(&self) -> &'static str {
        match self.why() {
            None => "ustcp",
            Some(_) => "relay",
        }
    }

    /// Why it is the kernel's, or was at its last attempt.
    pub(crate) fn why(&self) -> Option<&'static str> {
        let was = || self.refusal.and_then(|refusal| refusal.why);
        self.kernel
            .as_ref()
            .map(|kernel| kernel.why)
            .or_else(was)
            .map(Why::name)
    }

    /// Who keeps an option: its connection, or the stack in any case.
    pub(crate) fn far_of_option(&self, option: (c_int, c_int)) -> Far<'_> {
        match passes(option) {
            true => self.far(),
            false => Far::Stack(self.id),
        }
    }
}

/// All of them, by number and by the connection's.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    by_number: HashMap<u64, Socket>,
    numbers: HashMap<SocketId, u64>,
    /// Descriptors that each client has by them.
    counted: Counted,
}

impl Sockets {
    pub(crate) fn insert(&mut self, number: u64, socket: Socket) {
        self.numbers.insert(socket.id, number);
        self.by_number.insert(number, socket);
        self.recount(number);
    }

    /// One may have taken a descriptor, or given it back: `true`.
    pub(crate) fn recount(&mut self, number: u64) -> bool {
        let Some(socket) = self.by_number.get_mut(&number) else {
            return false;
        };
        let now = socket.descriptors();
        let before = std::mem::replace(&mut socket.counted, now);
        self.counted.remove(socket.client, before);
        self.counted.add(socket.client, now);
        now < before
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Socket> {
        self.by_number.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Socket> {
        self.by_number.get_mut(&number)
    }

    /// One that there is.
    pub(crate) fn known(&self, number: u64) -> Result<&Socket, Errno> {
        self.get(number).ok_or(Errno(libc::EBADF))
    }

    /// The same, to change it.
    pub(crate) fn known_mut(&mut self, number: u64) -> Result<&mut Socket, Errno> {
        self.get_mut(number).ok_or(Errno(libc::EBADF))
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.by_number.keys().copied().collect()
    }

    pub(crate) fn number(&self, id: SocketId) -> Option<u64> {
        self.numbers.get(&id).copied()
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Socket> {
        let mut socket = self.by_number.remove(&number)?;
        self.numbers.remove(&socket.id);
        self.counted.remove(socket.client, std::mem::take(&mut socket.counted));
        Some(socket)
    }

    /// Whether a client may have one more.
    pub(crate) fn has_room(&self, client: Peer, share: Share) -> bool {
        self.counted.has_room(client, share)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.by_number.contains_key(&number)
    }
}
