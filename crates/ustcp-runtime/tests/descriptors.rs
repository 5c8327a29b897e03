//! A program at its limit of descriptors. One test, for the limit is the whole process's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use common::native::{Epoll, close_early, exhaust_descriptors, linger_zero, mask};
use common::{KERNEL, STACK, at, listener, pair, socket, start};
use ustcp_runtime::{Errno, Family, Wait};

const LIMIT: u64 = 256;
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn readiness_is_shown_without_a_descriptor_to_spare() {
    let Some(runtime) = start() else { return };
    let (reading, mut writer) = pair(&runtime);
    let (broken, breaker) = pair(&runtime);
    let (listener, port) = listener(&runtime);
    let _pending = TcpStream::connect((STACK, port)).unwrap();
    assert_eq!(Epoll::edge_triggered(listener.fd()).wait_for("I"), "I");
    let [reads, breaks] = [&reading, &broken].map(|socket| Epoll::edge_triggered(socket.fd()));
    for epoll in [&reads, &breaks] {
        assert_eq!(epoll.wait_for("O"), "O");
    }
    let held = exhaust_descriptors(LIMIT);
    assert_eq!(runtime.socket(Family::V4).err(), Some(Errno(libc::EMFILE)));
    assert_eq!(listener.accept(Wait::Never).err(), Some(Errno(libc::EMFILE)));
    writer.write_all(b"hello").unwrap();
    assert_eq!(reads.wait_for("IO"), "IO");
    linger_zero(breaker.as_raw_fd());
    close_early(&breaker);
    assert_eq!(breaks.wait_for("IORHE"), "IORHE");
    drop(held);
    listener.accept(Wait::Never).unwrap();

    // A socket that connects again gets another file under its number: that takes a descriptor for a moment.
    let refused = at(KERNEL, 9);
    let again = socket(&runtime);
    assert_eq!(again.connect(refused, Wait::Never), Err(Errno(libc::EINPROGRESS)));
    assert_eq!(Epoll::edge_triggered(again.fd()).wait_for("IORHE"), "IORHE");
    let held = exhaust_descriptors(LIMIT);
    assert_eq!(again.connect(refused, Wait::Never), Err(Errno(libc::ECONNREFUSED)));
    assert_eq!(mask(again.fd()), "IORHE");
    drop(held);
    let begun = Instant::now();
    while mask(again.fd()) != "O" {
        assert!(begun.elapsed() < PATIENCE, "still {}", mask(again.fd()));
        thread::yield_now();
    }
}
