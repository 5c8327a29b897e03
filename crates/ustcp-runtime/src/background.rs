//! The background thread: always armed, seldom at work.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};

use crate::drive::Shared;
use crate::sys::signal::Blocked;
use crate::sys::wait::{self, Epoll, PollFd};

const DEVICE: u64 = 0;
const BELL: u64 = 1;

/// Ours need little; a debug build, the C library's and the program's thread-local data need some.
const STACK_BYTES: usize = 512 * 1024;

/// Starts it. No signal is ever delivered to it.
pub(crate) fn start(shared: &Arc<Shared>, device: i32) -> io::Result<JoinHandle<()>> {
    let epoll = Epoll::new()?;
    // Edge-triggered: a packet that a caller is going to fetch wakes it once and not until it is fetched.
    epoll.add(device, libc::EPOLLIN | libc::EPOLLET, DEVICE)?;
    epoll.add(shared.background_bell.fd(), libc::EPOLLIN, BELL)?;
    let shared = Arc::clone(shared);
    let _blocked = Blocked::all();
    Builder::new()
        .name("ustcp".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || run(&shared, &epoll))
}

fn run(shared: &Shared, epoll: &Epoll) {
    let mut until = None;
    while !shared.ended.load(Ordering::SeqCst) {
        let timeout = until.map(|at| shared.clock.until(at));
        let (events, ready) = epoll.wait::<2>(timeout).unwrap_or_default();
        let has = |tag| events.iter().take(ready).any(|(event, _)| *event == tag);
        if has(BELL) {
            shared.background_bell.silence();
        } else if has(DEVICE) && !is_mine(shared) {
            continue;
        }
        let turn = shared.turn(|core, now| {
            core.background_until = None;
            shared.fetch(core, now);
            let has_more = std::mem::take(&mut core.errands.wake_background);
            core.settle(now, None); // a deadline that is now the earliest is this thread's own
            core.errands.wake_background = has_more;
            core.background_until
        });
        until = turn.unwrap_or_default();
    }
}

/// Whether packets on the device are this thread's to fetch.
fn is_mine(shared: &Shared) -> bool {
    let Some(nap) = shared.note_missed() else { return true };
    let bell = PollFd {
        fd: shared.background_bell.fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let _ = wait::poll(&mut [bell], Some(nap)); // whatever ends it, the next look says what to do
    shared.is_unattended()
}
