//! The background thread: always armed, seldom at work.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};

use crate::alarm::SLACK;
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
    let (mut at_least, mut at_most) = (None, None);
    while !shared.ended.load(Ordering::SeqCst) {
        let until = shared.alarm.sleep(at_least, at_most);
        let (events, ready) = epoll
            .wait::<2>(until.map(|at| shared.clock.until(at)))
            .unwrap_or_default();
        shared.alarm.wake();
        if events.iter().take(ready).any(|(event, _)| *event == BELL) {
            shared.background_bell.silence();
        }
        let now = shared.clock.now();
        if ready > 0 || shared.alarm.is_due(now) {
            shared.note_missed();
        }
        let held_off = shared.is_unattended() && is_mine(shared) && !shared.attend();
        // Whoever has the lock may be held up with it. And while something goes on this thread looks by itself, and need not
        // be called.
        at_least = held_off.then_some(now + SLACK);
        at_most = (held_off || ready > 0).then_some(now + SLACK);
    }
}

/// Whether what was missed is this thread's to fetch.
fn is_mine(shared: &Shared) -> bool {
    let Some(nap) = shared.nap() else { return true };
    let bell = PollFd {
        fd: shared.background_bell.fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let _ = wait::poll(&mut [bell], Some(nap)); // whatever ends it, the next look says what to do
    shared.is_unattended()
}
