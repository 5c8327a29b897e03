//! The readiness mirror: one kernel descriptor per socket that shows in poll, select and epoll what the stack knows.
//!
//! It is an AF_UNIX datagram socket, because such a socket's mask can be steered from outside:
//!
//! - Alone it is writable. Connected to a socket whose queue is *full* it is not. Connected to an *empty* one it is
//!   again, with an edge for `EPOLLET`. The empty one has its reading half shut down, so nobody can ever fill it.
//! - An empty datagram from its peer makes it readable, each with an edge. Nobody but its peer may send to it.
//! - `shutdown` of its own halves shows `RDHUP` and `HUP`.
//! - When a peer that is connected back lets go of it with a datagram unread, it shows `ERR`.
//!
//! A program that writes to the descriptor itself, past the library, is told so at once (`ENOTCONN`, `EPIPE`,
//! `EAGAIN`, or `ECONNRESET` with `ERR`): its bytes can never be lost in silence. What cannot be shown is `HUP` without `IN`, so a fresh socket
//! is just writable, and `PRI`: who waits for urgent data asks `ustcp_poll`.
//!
//! A socket that is writable with nothing to read costs no call but its making. All descriptors that showing takes are
//! there from the beginning, so that a program at its limit of them still hears of what comes.

use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use ustcp_proto::Readiness;

use crate::sys::fd::{self, Name, PrivateFd};

/// Datagrams that may lie unread in one mirror. More arrivals than that take one away for each one sent.
const MAX_PENDING: u8 = 4;

/// Mirrors that share one pair of sinks. What lies unread in mirrors is charged to the sink that sent it; the smallest
/// default send buffer (208 KiB) carries 278 empty datagrams.
const MIRRORS_PER_SINKS: usize = 64;

/// The most that a mirror can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mask {
    readable: bool,
    writable: bool,
    read_closed: bool,
    hang_up: bool,
    error: bool,
}

impl Mask {
    /// A datagram socket that nobody has touched.
    const BARE: Mask = Mask {
        readable: false,
        writable: true,
        read_closed: false,
        hang_up: false,
        error: false,
    };

    fn showable(truth: &Readiness) -> Mask {
        let hang_up = truth.hang_up && truth.read_closed;
        Mask {
            readable: truth.readable,
            writable: truth.writable || (truth.hang_up && !hang_up),
            read_closed: truth.read_closed,
            hang_up,
            error: truth.error,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Nobody,
    Empty,
    Full,
}

/// One socket's mirror.
#[derive(Debug)]
pub(crate) struct Mirror {
    fd: OwnedFd,
    shown: Mask,
    peer: Peer,
    pair: Arc<Pair>,
    /// From the first time it showed anything but "writable".
    name: Option<Name>,
    pending: u8,
    arrivals: u32,
}

impl Mirror {
    /// A new descriptor, and its place at a pair of sinks.
    pub(crate) fn new(sinks: &mut Sinks) -> io::Result<Mirror> {
        Ok(Mirror {
            fd: fd::datagram_socket()?,
            shown: Mask::BARE,
            peer: Peer::Nobody,
            pair: sinks.pair()?,
            name: None,
            pending: 0,
            arrivals: 0,
        })
    }

    /// Its number.
    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Shows `truth`. What fails for want of memory, or of the descriptor that a second connect takes, is to be tried
    /// again.
    pub(crate) fn show(&mut self, truth: &Readiness, sinks: &mut Sinks) -> io::Result<()> {
        let mask = Mask::showable(truth);
        let arrived = truth.arrivals != self.arrivals;
        if mask == self.shown && !(arrived && mask.readable) {
            self.arrivals = truth.arrivals;
            return Ok(());
        }
        self.begin_anew(mask)?;
        // What has ended is shown before what goes on: a connect that failed must not look like one that succeeded, not
        // even between two of these calls.
        self.show_closed(mask, arrived)?;
        self.show_error(mask, sinks)?;
        self.show_writable(mask.writable, sinks)?;
        if !self.shown.read_closed {
            self.show_readable(mask.readable, arrived, sinks)?;
        }
        self.arrivals = truth.arrivals;
        Ok(())
    }

    /// Shows that the whole stack is gone.
    pub(crate) fn show_broken(&mut self, sinks: &mut Sinks) {
        let truth = Readiness {
            readable: true,
            writable: true,
            read_closed: true,
            hang_up: true,
            error: true,
            urgent: false,
            arrivals: self.arrivals,
        };
        // Best effort: without memory the hang-up alone is shown.
        if self.show(&truth, sinks).is_err() {
            let _ = fd::shutdown(self.fd.as_fd(), libc::SHUT_RDWR);
        }
    }

    /// Takes back what was shown of an end.
    fn begin_anew(&mut self, mask: Mask) -> io::Result<()> {
        let revived = (self.shown.read_closed && !mask.read_closed) || (self.shown.hang_up && !mask.hang_up);
        if revived {
            self.renew()?;
        }
        if self.shown.error && !mask.error {
            fd::take_error(self.fd.as_fd())?;
            self.shown.error = false;
        }
        Ok(())
    }

    fn show_error(&mut self, mask: Mask, sinks: &mut Sinks) -> io::Result<()> {
        if mask.error && !self.shown.error {
            let name = self.named(sinks)?;
            sinks.breaker.break_peer(self.fd.as_fd(), &name)?;
            // Not left with the breaker, which would take what a program writes.
            self.connect(Peer::Empty, sinks)?;
            self.shown.error = true;
        }
        Ok(())
    }

    /// A shutdown cannot be undone: a socket that connects again after a failure gets another file under its number.
    /// Its registrations in epoll end with the old file.
    fn renew(&mut self) -> io::Result<()> {
        let fresh = fd::datagram_socket()?;
        fd::replace(fresh.as_fd(), self.fd.as_fd())?;
        (self.shown, self.peer, self.name, self.pending) = (Mask::BARE, Peer::Nobody, None, 0);
        Ok(())
    }

    fn show_writable(&mut self, writable: bool, sinks: &mut Sinks) -> io::Result<()> {
        if writable == self.shown.writable {
            return Ok(());
        }
        self.connect(if writable { Peer::Empty } else { Peer::Full }, sinks)
    }

    fn show_closed(&mut self, mask: Mask, arrived: bool) -> io::Result<()> {
        if mask.hang_up && !self.shown.hang_up {
            fd::shutdown(self.fd.as_fd(), libc::SHUT_RDWR)?;
        } else if mask.read_closed && (arrived || !self.shown.read_closed) {
            fd::shutdown(self.fd.as_fd(), libc::SHUT_RD)?; // each time an edge
        } else {
            return Ok(());
        }
        (self.shown.read_closed, self.shown.hang_up, self.shown.readable) = (true, mask.hang_up, true);
        Ok(())
    }

    fn show_readable(&mut self, readable: bool, arrived: bool, sinks: &mut Sinks) -> io::Result<()> {
        if !readable {
            self.drain();
        } else if arrived || self.pending == 0 {
            self.announce(sinks)?;
        }
        self.shown.readable = readable;
        Ok(())
    }

    /// One datagram more, or the same number and an edge.
    fn announce(&mut self, sinks: &mut Sinks) -> io::Result<()> {
        if self.peer == Peer::Nobody {
            self.connect(Peer::Empty, sinks)?;
        }
        let name = self.named(sinks)?;
        let sender = match self.peer {
            Peer::Nobody | Peer::Empty => self.pair.empty.borrow(),
            Peer::Full => self.pair.full.borrow(),
        };
        fd::send_empty_to(sender, &name)?;
        self.pending += 1;
        if self.pending > MAX_PENDING {
            let _ = fd::drop_datagram(self.fd.as_fd());
            self.pending -= 1;
        }
        Ok(())
    }

    fn drain(&mut self) {
        for _ in 0..self.pending {
            // EAGAIN: the program has read the descriptor itself.
            let _ = fd::drop_datagram(self.fd.as_fd());
        }
        self.pending = 0;
    }

    fn connect(&mut self, peer: Peer, sinks: &mut Sinks) -> io::Result<()> {
        self.named(sinks)?;
        let sink = if peer == Peer::Full {
            &self.pair.full_name
        } else {
            &self.pair.empty_name
        };
        fd::connect(self.fd.as_fd(), sink)?;
        self.peer = peer;
        // A change of peer drops what lay unread.
        self.pending = 0;
        self.shown.writable = peer != Peer::Full;
        self.shown.readable = self.shown.read_closed;
        Ok(())
    }

    fn named(&mut self, sinks: &mut Sinks) -> io::Result<Name> {
        if let Some(name) = self.name {
            return Ok(name);
        }
        let name = sinks.names.next();
        fd::bind(self.fd.as_fd(), &name)?;
        self.name = Some(name);
        Ok(name)
    }
}

/// What mirrors are connected to.
#[derive(Debug)]
struct Pair {
    empty: PrivateFd,
    empty_name: Name,
    full: PrivateFd,
    full_name: Name,
}

/// Makes a mirror show `ERR`.
#[derive(Debug)]
struct Breaker {
    fd: PrivateFd,
    name: Name,
}

impl Breaker {
    /// Connects both ways and lets go with a datagram unread: the other end gets `ECONNRESET` pending.
    fn break_peer(&self, mirror: std::os::fd::BorrowedFd<'_>, name: &Name) -> io::Result<()> {
        let breaker = self.fd.borrow();
        // Sent by itself, for the mirror's writing half may be shut down. A full queue serves as well.
        if let Err(error) = fd::send_empty_to(breaker, &self.name)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            return Err(error);
        }
        fd::connect(mirror, &self.name)?;
        fd::connect(breaker, name)?;
        fd::disconnect(breaker)
    }
}

/// The sinks of one runtime.
#[derive(Debug)]
pub(crate) struct Sinks {
    names: Names,
    pairs: Vec<Arc<Pair>>,
    breaker: Breaker,
}

impl Sinks {
    /// No pairs yet. `key` tells this runtime's names from everyone else's.
    pub(crate) fn new(key: u64) -> io::Result<Sinks> {
        let mut names = Names { key, given: 0 };
        let (fd, name) = names.socket()?;
        Ok(Sinks {
            names,
            pairs: Vec::new(),
            breaker: Breaker { fd, name },
        })
    }

    /// A pair with room for one more mirror; pairs that nobody uses any more are closed on the way.
    fn pair(&mut self) -> io::Result<Arc<Pair>> {
        let has_room = |pair: &&Arc<Pair>| Arc::strong_count(pair) <= MIRRORS_PER_SINKS;
        if let Some(pair) = self.pairs.iter().rev().find(has_room) {
            return Ok(Arc::clone(pair));
        }
        self.pairs.retain(|pair| Arc::strong_count(pair) > 1);
        let pair = Arc::new(self.new_pair()?);
        self.pairs.push(Arc::clone(&pair));
        Ok(pair)
    }

    /// The end of a mirror; its descriptor is left. A pair that nobody uses then goes, all but one.
    pub(crate) fn release(&mut self, mirror: Mirror) -> OwnedFd {
        let Mirror { fd, pair, .. } = mirror;
        let is_idle = Arc::strong_count(&pair) == 2; // the list's and this one
        if is_idle && self.pairs.len() > 1 {
            self.pairs.retain(|other| !Arc::ptr_eq(other, &pair));
        }
        fd
    }

    fn new_pair(&mut self) -> io::Result<Pair> {
        let (empty, empty_name) = self.names.socket()?;
        fd::shutdown(empty.borrow(), libc::SHUT_RD)?;
        let (full, full_name) = self.names.socket()?;
        let filler = fd::datagram_socket()?; // the sink's own send buffer is for the mirrors
        while fd::send_empty_to(filler.as_fd(), &full_name).is_ok() {}
        Ok(Pair {
            empty,
            empty_name,
            full,
            full_name,
        })
    }
}

/// Names that nobody else gives.
#[derive(Debug)]
struct Names {
    key: u64,
    given: u64,
}

impl Names {
    /// A new socket of that name.
    fn socket(&mut self) -> io::Result<(PrivateFd, Name)> {
        let socket = fd::datagram_socket()?;
        let name = self.next();
        fd::bind(socket.as_fd(), &name)?;
        Ok((PrivateFd::new(socket), name))
    }

    fn next(&mut self) -> Name {
        let mut text = String::with_capacity(Name::LEN);
        // Writing into a String does not fail.
        let _ = write!(text, "ustcp:{:016x}:{:016x}", self.key, self.given);
        self.given += 1;
        let mut name = [0; Name::LEN];
        for (to, from) in name.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Name(name)
    }
}

#[cfg(test)]
mod tests;
