//! Blocked calls: how they end when not by what they wait for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::native::Epoll;
use common::{asleep, at, listener, pair, recv, send, socket, start};
use ustcp_runtime::{Errno, Shutdown, Socket, Wait};

fn reading(socket: &Socket) -> JoinHandle<Result<usize, Errno>> {
    let socket = socket.clone();
    asleep(move || recv(&socket, &mut [0; 16], Wait::Forever))
}

#[test]
fn time_ends_a_call() {
    let Some(runtime) = start() else { return };
    let (ours, _theirs) = pair(&runtime);
    let (listener, _) = listener(&runtime);
    let limit = Duration::from_millis(30);
    let begun = Instant::now();
    assert_eq!(
        recv(&ours, &mut [0; 1], Wait::Until(begun + limit)),
        Err(Errno(libc::EAGAIN))
    );
    assert!(begun.elapsed() >= limit);
    let begun = Instant::now();
    assert_eq!(
        listener.accept(Wait::Until(begun + limit)).err(),
        Some(Errno(libc::EAGAIN))
    );
    assert!(begun.elapsed() >= limit);
    let begun = Instant::now();
    let silent = socket(&runtime).connect(at("10.77.0.99", 1), Wait::Until(begun + limit));
    assert_eq!(silent, Err(Errno(libc::EINPROGRESS)));
    assert!(begun.elapsed() >= limit);
}

#[test]
fn a_timed_out_send_tells_what_was_taken() {
    let Some(runtime) = start() else { return };
    let (ours, mut theirs) = pair(&runtime);
    let data = vec![0; 64 << 20];
    let mut all = 0;
    // Until the peer, who does not read yet, has nothing left to acknowledge.
    let why = loop {
        match send(&ours, &data, Wait::Until(Instant::now() + Duration::from_millis(100))) {
            Ok(taken) => all += taken,
            Err(why) => break why,
        }
        assert!(0 < all && all < data.len(), "{all}");
    };
    assert_eq!(why, Errno(libc::EAGAIN));
    ours.shutdown(Shutdown::Write).unwrap();
    assert_eq!(std::io::copy(&mut theirs, &mut std::io::sink()).unwrap(), all as u64);
}

#[test]
fn timeouts_of_the_socket_are_those_of_its_calls() {
    let Some(runtime) = start() else { return };
    let (ours, _theirs) = pair(&runtime);
    assert_eq!(ours.receive_wait(), Wait::Forever);
    ours.set_receive_timeout(Some(Duration::from_millis(5)));
    assert_eq!(ours.receive_timeout(), Some(Duration::from_millis(5)));
    assert!(matches!(ours.receive_wait(), Wait::Until(_)));
    assert_eq!(recv(&ours, &mut [0; 1], ours.receive_wait()), Err(Errno(libc::EAGAIN)));
    assert_eq!(ours.send_wait(), Wait::Forever);
    let timeval = |seconds: i64| [seconds.to_ne_bytes(), 0i64.to_ne_bytes()].concat();
    for (seconds, wait) in [(-1, Wait::Never), (0, Wait::Forever)] {
        for name in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
            ours.set_option(libc::SOL_SOCKET, name, &timeval(seconds)).unwrap();
            assert_eq!(
                ours.option(libc::SOL_SOCKET, name, usize::MAX),
                Ok(timeval(0)),
                "as Linux tells both"
            );
        }
        assert_eq!((ours.receive_wait(), ours.send_wait()), (wait, wait), "{seconds} s");
    }
    ours.set_nonblocking(true);
    assert_eq!((ours.receive_wait(), ours.send_wait()), (Wait::Never, Wait::Never));
}

#[test]
fn close_ends_the_calls_of_other_threads() {
    let Some(runtime) = start() else { return };
    let (first, _first_peer) = pair(&runtime);
    let (second, _second_peer) = pair(&runtime);
    let (listener, _) = listener(&runtime);
    // One of them drives, the others follow.
    let readers = [reading(&first), reading(&first), reading(&second)];
    let accepting = listener.clone();
    let accepting = asleep(move || accepting.accept(Wait::Forever).err());
    first.close().unwrap();
    second.close().unwrap();
    listener.close().unwrap();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Err(Errno(libc::EBADF)));
    }
    assert_eq!(accepting.join().unwrap(), Some(Errno(libc::EBADF)));
    assert_eq!(first.close(), Err(Errno(libc::EBADF)));
}

#[test]
fn shutdown_ends_the_reads_of_other_threads() {
    let Some(runtime) = start() else { return };
    let (ours, _theirs) = pair(&runtime);
    let reader = reading(&ours);
    ours.shutdown(Shutdown::Read).unwrap();
    assert_eq!(reader.join().unwrap(), Ok(0));
}

#[test]
fn whoever_drives_wakes_the_others() {
    let Some(runtime) = start() else { return };
    let pairs: Vec<_> = (0..8).map(|_| pair(&runtime)).collect();
    let readers: Vec<_> = pairs.iter().map(|(ours, _)| reading(ours)).collect();
    // From the last to the first: the driver is the first, so it is the last to get anything.
    for (_, theirs) in pairs.iter().rev() {
        std::io::Write::write_all(&mut &*theirs, b"wake").unwrap();
    }
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Ok(4));
    }
}

#[test]
fn the_driver_leaves_and_the_others_are_served() {
    let Some(runtime) = start() else { return };
    let (first, first_peer) = pair(&runtime);
    let (second, second_peer) = pair(&runtime);
    let (driving, following) = (reading(&first), reading(&second));
    std::io::Write::write_all(&mut &first_peer, b"1").unwrap();
    assert_eq!(driving.join().unwrap(), Ok(1));
    std::io::Write::write_all(&mut &second_peer, b"22").unwrap();
    assert_eq!(following.join().unwrap(), Ok(2));
}

#[test]
fn a_sleeping_driver_hears_of_what_happens_inside_the_stack() {
    let Some(runtime) = start() else { return };
    let (listener, port) = listener(&runtime);
    let client = socket(&runtime);
    client.connect(at("127.0.0.1", port), Wait::Forever).unwrap();
    let (accepted, _) = listener.accept(Wait::Forever).unwrap();
    for _ in 0..100 {
        let reader = reading(&accepted); // drives, and nothing comes by the device
        assert_eq!(send(&client, b"x", Wait::Forever), Ok(1));
        assert_eq!(reader.join().unwrap(), Ok(1));
    }
}

#[test]
fn a_lingering_close_waits_for_the_peer() {
    let Some(runtime) = start() else { return };
    let (ours, mut theirs) = pair(&runtime);
    ours.change_options(|options| options.linger = Some(Duration::from_secs(30)))
        .unwrap();
    let data = vec![7; 512 * 1024]; // what a send buffer holds
    assert_eq!(send(&ours, &data, Wait::Forever), Ok(data.len()));
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut theirs, &mut all).unwrap();
        all.len()
    });
    ours.close().unwrap();
    assert_eq!(reader.join().unwrap(), data.len());
}

#[test]
fn a_lingering_close_gives_up_in_time() {
    let Some(runtime) = start() else { return };
    let (ours, _theirs) = pair(&runtime);
    let limit = Duration::from_millis(50);
    ours.change_options(|options| options.linger = Some(limit)).unwrap();
    send(&ours, &vec![0; 64 << 20], Wait::Never).unwrap(); // more than the peer's buffer holds
    let begun = Instant::now();
    ours.close().unwrap();
    assert!(begun.elapsed() >= limit);
}

#[test]
fn nobody_starves_at_the_lock() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let Some(runtime) = start() else { return };
    let _sockets: Vec<_> = (0..1000).map(|_| socket(&runtime)).collect(); // a census takes its time
    let (turns, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut waits: Vec<u64> = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    runtime.census();
                    turns.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while turns.load(Ordering::Relaxed) < 100 {
            thread::yield_now();
        }
        let waits = (0..1000)
            .map(|_| {
                let before = turns.load(Ordering::Relaxed);
                runtime.census();
                turns.load(Ordering::Relaxed) - before
            })
            .collect();
        stop.store(true, Ordering::Relaxed);
        waits
    });
    waits.sort_unstable();
    // Turns that the two greedy threads get while a third one waits for its own.
    let (most_waits, longest) = (waits[900], waits[999]);
    assert!(most_waits <= 8, "nine of ten: {most_waits}, longest: {longest}");
}

/// The background thread waits for no lock; whoever has it fetches what has come meanwhile.
#[test]
fn what_comes_while_the_lock_is_taken_is_shown() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let Some(runtime) = start() else { return };
    let _sockets: Vec<_> = (0..1000).map(|_| socket(&runtime)).collect(); // a census takes its time
    let (ours, mut theirs) = pair(&runtime);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    runtime.census(); // which fetches nothing
                }
            });
        }
        let epoll = Epoll::level_triggered(ours.fd());
        let shown = (0..500)
            .take_while(|_| {
                std::io::Write::write_all(&mut theirs, b"x").unwrap();
                epoll.wait_for("I") == "I" && recv(&ours, &mut [0; 2], Wait::Never) == Ok(1)
            })
            .count();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(shown, 500);
    });
}
