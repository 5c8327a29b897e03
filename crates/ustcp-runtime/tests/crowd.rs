//! Many threads at once, doing to the same sockets whatever a program may do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{at, listener, pattern, recv, send, socket, start};
use ustcp_runtime::{Census, Errno, Runtime, Wait};

const CLIENTS: usize = 6;
const ROUNDS: usize = 100;

/// Waits until the stack holds nothing but what `expected` says.
fn until_census_is(runtime: &Arc<Runtime>, expected: Census) {
    let patience = Instant::now() + Duration::from_secs(30);
    while runtime.census() != expected {
        assert!(Instant::now() < patience, "still {:?}", runtime.census());
        thread::yield_now();
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// One test: it counts the descriptors of the whole process.
#[test]
fn many_threads_leave_nothing_behind() {
    let Some(runtime) = start() else { return };
    let before = descriptors();
    short_conversations(&runtime);
    sockets_closed_under_their_users(&runtime);
    until_census_is(&runtime, Census::default());
    // What is left open is for the mirrors of later sockets: at most one pair of sinks for each 64 of them, a breaker.
    assert!(descriptors() <= before + 2 * (2 * CLIENTS + 1).div_ceil(64) + 1);
}

/// Client and server threads, a new connection each round.
fn short_conversations(runtime: &Arc<Runtime>) {
    let (listener, port) = listener(runtime);
    let data = pattern(10_000);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let (accepted, _) = listener.accept(Wait::Forever).unwrap();
                    let got = common::recv_all(&accepted);
                    assert_eq!(send(&accepted, &got, Wait::Forever), Ok(got.len()));
                    accepted.close().unwrap();
                }
            });
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let client = socket(runtime);
                    client.connect(at("127.0.0.1", port), Wait::Forever).unwrap();
                    let part = &data[..1 + round * 97];
                    assert_eq!(send(&client, part, Wait::Forever), Ok(part.len()));
                    client.shutdown(ustcp_runtime::Shutdown::Write).unwrap();
                    assert!(common::recv_all(&client) == part);
                    client.close().unwrap();
                }
            });
        }
    });
}

/// Readers and writers on sockets that somebody else closes at any moment: each call ends, with what may end it.
fn sockets_closed_under_their_users(runtime: &Arc<Runtime>) {
    let (listener, port) = listener(runtime);
    let ended = AtomicUsize::new(0);
    for _ in 0..ROUNDS {
        let client = socket(runtime);
        client.connect(at("127.0.0.1", port), Wait::Forever).unwrap();
        let (accepted, _) = listener.accept(Wait::Forever).unwrap();
        let until_it_ends = |call: &dyn Fn() -> Result<usize, Errno>| {
            let end = loop {
                match call() {
                    Ok(0) => break 0,
                    Ok(_) => {}
                    Err(Errno(errno)) => break errno,
                }
            };
            assert!(
                [0, libc::EBADF, libc::EPIPE, libc::ECONNRESET].contains(&end),
                "errno {end}"
            );
            ended.fetch_add(1, Ordering::Relaxed);
        };
        thread::scope(|scope| {
            for end in [&client, &accepted] {
                scope.spawn(move || until_it_ends(&|| recv(end, &mut [0; 4096], Wait::Forever)));
                scope.spawn(move || until_it_ends(&|| send(end, &[1; 4096], Wait::Forever)));
            }
            scope.spawn(|| client.close().unwrap());
        });
        accepted.close().unwrap();
    }
    assert_eq!(ended.load(Ordering::Relaxed), 4 * ROUNDS);
}
