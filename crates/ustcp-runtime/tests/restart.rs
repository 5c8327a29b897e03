//! A second stack after the first, and sockets of both. One test, for the process-wide stack is the whole process's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::time::Duration;

use common::settings;
use ustcp_runtime::{Family, PollRequest, process};

#[test]
fn poll_takes_sockets_of_an_ended_stack_for_broken() {
    const BROKEN: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLERR | libc::POLLHUP;
    let Some(settings) = settings() else { return };
    let [dead, live] = [true, false].map(|ends| {
        process::init(&settings).unwrap();
        let socket = process::runtime().unwrap().socket(Family::V4).unwrap();
        if ends {
            process::fini();
        } else {
            socket.bind(common::at(common::STACK, 0)).unwrap();
            socket.listen(1).unwrap();
        }
        process::register(socket)
    });
    let poll = |fds: [i32; 2]| {
        let events = libc::POLLIN | libc::POLLOUT;
        let mut entries = fds.map(|fd| PollRequest { fd, events, revents: 0 });
        let count = process::poll(&mut entries, Some(Duration::from_secs(10))).unwrap();
        (count, entries.map(|entry| entry.revents))
    };
    assert_eq!(poll([dead, live]), (1, [BROKEN, 0]));
    assert_eq!(poll([live, dead]), (1, [0, BROKEN]));
    process::fini();
    assert_eq!(poll([live, dead]), (2, [BROKEN; 2]));
}
