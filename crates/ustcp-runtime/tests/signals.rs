//! Signals in blocked calls. One test at a time, for handlers are the whole process's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::native::{Epoll, Thread, handle};
use common::{listener, pair, recv, send, start};
use ustcp_runtime::{Errno, PollRequest, SendFlags, Wait, process};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// Runs `call` in a thread and signals it, asleep, until it returns or `enough` handlers have run.
fn signalled<T: Send>(enough: u32, call: impl FnOnce() -> T + Send, then: impl FnOnce()) -> T {
    HANDLED.store(0, Ordering::SeqCst);
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let thread = scope.spawn(move || {
            tell.send(Thread::current()).unwrap();
            call()
        });
        let id = told.recv().unwrap();
        while !thread.is_finished() && HANDLED.load(Ordering::SeqCst) < enough {
            let before = HANDLED.load(Ordering::SeqCst);
            if id.is_asleep() {
                id.signal(libc::SIGUSR1);
                while HANDLED.load(Ordering::SeqCst) == before && !thread.is_finished() {
                    thread::yield_now();
                }
            }
            thread::yield_now();
        }
        then();
        thread.join().unwrap()
    })
}

#[test]
fn eintr_is_as_the_handlers_ask() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(settings) = common::settings() else { return };
    process::init(&settings).unwrap();
    let runtime = process::runtime().unwrap();
    let (ours, mut theirs) = pair(&runtime);
    let (listener, _) = listener(&runtime);
    let late = || Wait::Until(Instant::now() + Duration::from_secs(60));
    let read = |wait| recv(&ours, &mut [0; 8], wait);

    handle(libc::SIGUSR1, count, 0);
    assert_eq!(
        signalled(u32::MAX, || read(Wait::Forever), || ()),
        Err(Errno(libc::EINTR))
    );
    assert_eq!(
        signalled(u32::MAX, || listener.accept(Wait::Forever).err(), || ()),
        Some(Errno(libc::EINTR))
    );
    let partial = signalled(u32::MAX, || send(&ours, &vec![0; 64 << 20], Wait::Forever), || ()).unwrap();
    assert!(partial > 0 && partial < 64 << 20);

    handle(libc::SIGUSR1, count, libc::SA_RESTART);
    let answer = signalled(20, || read(Wait::Forever), || theirs.write_all(b"late").unwrap());
    assert_eq!(answer, Ok(4));
    assert!(HANDLED.load(Ordering::SeqCst) >= 20);
    // signal(7): a call with a timeout never restarts, nor does poll.
    assert_eq!(signalled(u32::MAX, || read(late()), || ()), Err(Errno(libc::EINTR)));
    let fd = process::register(ours.clone());
    let poll = || {
        process::poll(
            &mut [PollRequest {
                fd,
                events: libc::POLLIN,
                revents: 0,
            }],
            None,
        )
    };
    assert_eq!(signalled(u32::MAX, poll, || ()), Err(Errno(libc::EINTR)));
    // A follower as well as a driver.
    thread::scope(|scope| {
        let driver = scope.spawn(|| listener.accept(Wait::Forever).err());
        assert_eq!(signalled(u32::MAX, || read(late()), || ()), Err(Errno(libc::EINTR)));
        listener.close().unwrap();
        assert_eq!(driver.join().unwrap(), Some(Errno(libc::EBADF)));
    });

    handle(libc::SIGPIPE, count, libc::SA_RESTART);
    HANDLED.store(0, Ordering::SeqCst);
    ours.shutdown(ustcp_runtime::Shutdown::Write).unwrap();
    let data = [std::io::IoSlice::new(b"x")];
    assert_eq!(
        ours.send(
            &data,
            SendFlags {
                no_signal: true,
                ..SendFlags::default()
            },
            Wait::Forever
        ),
        Err(Errno(libc::EPIPE))
    );
    assert_eq!(HANDLED.load(Ordering::SeqCst), 0);
    assert_eq!(
        ours.send(&data, SendFlags::default(), Wait::Forever),
        Err(Errno(libc::EPIPE))
    );
    assert_eq!(HANDLED.load(Ordering::SeqCst), 1);
    process::fini();
}

static HELD_UP: AtomicBool = AtomicBool::new(false);
static RELEASED: AtomicBool = AtomicBool::new(false);

extern "C" fn dawdle(_: libc::c_int) {
    HELD_UP.store(true, Ordering::SeqCst);
    while !RELEASED.load(Ordering::SeqCst) {
        thread::yield_now();
    }
}

#[test]
fn a_driver_in_a_long_handler_holds_up_nobody_else() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    handle(libc::SIGUSR1, count, libc::SA_RESTART); // the other test may have left one that does not restart
    handle(libc::SIGPIPE, count, libc::SA_RESTART);
    let Some(runtime) = start() else { return };
    let (first, mut first_peer) = pair(&runtime);
    let (second, mut second_peer) = pair(&runtime);
    handle(libc::SIGUSR2, dawdle, libc::SA_RESTART);
    let (tell, told) = mpsc::channel();
    let driver = thread::spawn(move || {
        tell.send(Thread::current()).unwrap();
        recv(&first, &mut [0; 8], Wait::Forever)
    });
    let id = told.recv().unwrap();
    id.until_asleep();
    id.signal(libc::SIGUSR2);
    while !HELD_UP.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    second_peer.write_all(b"news").unwrap();
    let seen = Epoll::level_triggered(second.fd()).wait_for("I");
    RELEASED.store(true, Ordering::SeqCst);
    assert_eq!(seen, "I");
    first_peer.write_all(b"late").unwrap();
    assert_eq!(driver.join().unwrap(), Ok(4));
}
