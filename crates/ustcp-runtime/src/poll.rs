//! poll(2) over ustcp and foreign descriptors together.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ustcp_proto::Readiness;

use crate::drive::{Blocking, Step, Unmet};
use crate::sys::wait::{self, PollFd};
use crate::waiter::Interest;
use crate::{Errno, Runtime, Socket, Wait};

/// One entry of a poll over ustcp and foreign descriptors.
#[derive(Clone, Copy, Debug)]
pub struct PollRequest {
    /// Any descriptor; negative: ignored.
    pub fd: RawFd,
    /// `POLLIN` and so on.
    pub events: i16,
    /// What came.
    pub revents: i16,
}

/// Which entry is which socket.
pub(crate) struct Ours {
    pub(crate) index: usize,
    pub(crate) socket: Socket,
}

/// Polls `requests`, of which `ours` are sockets of ours; the caller drives the stack of `runtime` meanwhile. Sockets of
/// any other are left over from a stack that has ended.
pub(crate) fn poll(
    runtime: &Arc<Runtime>,
    ours: &[Ours],
    requests: &mut [PollRequest],
    timeout: Option<Duration>,
) -> Result<usize, Errno> {
    let wait = match timeout {
        Some(Duration::ZERO) => Wait::Never,
        Some(timeout) => Instant::now().checked_add(timeout).map_or(Wait::Forever, Wait::Until),
        None => Wait::Forever,
    };
    let mut foreign = foreign_entries(ours, requests);
    let lives = |our: &&Ours| Arc::ptr_eq(our.socket.runtime(), runtime);
    let interests: Vec<_> = ours
        .iter()
        .filter(lives)
        .map(|our| (our.socket.id(), interest(requests, our)))
        .collect();
    if !foreign.is_empty() {
        wait::poll(&mut foreign, Some(Duration::ZERO))?;
    }
    let how = Blocking {
        interests: &interests,
        wait,
        foreign: &mut foreign,
        restarts: false,
        restless: false,
    };
    let shared = runtime.shared();
    let mut looked = false;
    shared.block(how, |core, now, foreign, unmet| {
        if !std::mem::replace(&mut looked, true) {
            shared.fetch(core, now); // a program that only ever asks gets on as well
        }
        for our in ours {
            let live = core.live.as_ref().filter(|_| lives(&our) && !core.stopping);
            let readiness = match live {
                _ if our.socket.is_closed() => None,
                Some(live) => live.stack.readiness(our.socket.id()).ok(),
                None => Some(BROKEN),
            };
            if let Some(request) = requests.get_mut(our.index) {
                request.revents = readiness.map_or(libc::POLLNVAL, |now| events(&now) & wanted(request.events));
            }
        }
        collect(foreign, ours, requests);
        let count = requests.iter().filter(|request| request.revents != 0).count();
        match unmet {
            _ if count > 0 => Step::Done(Ok(count)),
            Some(Unmet::TimedOut) => Step::Done(Ok(0)),
            Some(Unmet::Interrupted) => Step::Done(Err(Errno(libc::EINTR))),
            None => Step::Wait,
        }
    })
}

/// poll(2) where none of the descriptors is ours.
pub(crate) fn poll_foreign(requests: &mut [PollRequest], timeout: Option<Duration>) -> Result<usize, Errno> {
    let mut foreign = foreign_entries(&[], requests);
    let count = wait::poll(&mut foreign, timeout)?;
    collect(&foreign, &[], requests);
    Ok(count)
}

fn is_ours(ours: &[Ours], index: usize) -> bool {
    ours.binary_search_by_key(&index, |our| our.index).is_ok()
}

fn foreign_entries(ours: &[Ours], requests: &[PollRequest]) -> Vec<PollFd> {
    let theirs = requests.iter().enumerate().filter(|(index, _)| !is_ours(ours, *index));
    theirs
        .map(|(_, request)| PollFd {
            fd: request.fd,
            events: request.events,
            revents: 0,
        })
        .collect()
}

/// Brings what came for foreign descriptors back to their entries.
fn collect(foreign: &[PollFd], ours: &[Ours], requests: &mut [PollRequest]) {
    let theirs = requests
        .iter_mut()
        .enumerate()
        .filter(|(index, _)| !is_ours(ours, *index));
    for ((_, request), entry) in theirs.zip(foreign) {
        request.revents = entry.revents;
    }
}

fn interest(requests: &[PollRequest], our: &Ours) -> Interest {
    let events = requests.get(our.index).map_or(0, |request| request.events);
    match (events & READING != 0, events & WRITING != 0) {
        (true, true) => Interest::Either,
        (_, false) => Interest::Read,
        (false, true) => Interest::Write,
    }
}

const READING: i16 = libc::POLLIN | libc::POLLRDNORM | libc::POLLRDHUP | libc::POLLPRI;
const WRITING: i16 = libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND;

/// `POLLERR` and `POLLHUP` are never asked for and always told.
pub(crate) fn wanted(events: i16) -> i16 {
    events | libc::POLLERR | libc::POLLHUP | libc::POLLNVAL
}

pub(crate) fn events(now: &Readiness) -> i16 {
    let mut events = 0;
    for (is, event) in [
        (now.readable, libc::POLLIN | libc::POLLRDNORM),
        (now.writable, WRITING),
        (now.read_closed, libc::POLLRDHUP),
        (now.hang_up, libc::POLLHUP),
        (now.urgent, libc::POLLPRI),
        (now.error, libc::POLLERR),
    ] {
        if is {
            events |= event;
        }
    }
    events
}

/// What is left of a socket whose stack has ended.
const BROKEN: Readiness = Readiness {
    readable: true,
    writable: true,
    read_closed: true,
    hang_up: true,
    error: true,
    urgent: false,
    arrivals: 0,
};

/// The stack has ended: every socket of it is as broken as it gets.
pub(crate) fn all_broken(ours: &[Ours], requests: &mut [PollRequest]) -> usize {
    for our in ours {
        if let Some(request) = requests.get_mut(our.index) {
            request.revents = events(&BROKEN) & wanted(request.events);
        }
    }
    requests.iter().filter(|request| request.revents != 0).count()
}
