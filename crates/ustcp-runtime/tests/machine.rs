//! A stack on its device without a lock, at times of the test's own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::io::Read;
use std::os::fd::AsRawFd;

use common::native::Epoll;
use common::{kernel_listener, settings};
use ustcp_proto::Error;
use ustcp_runtime::{Family, Machine, Settings};

/// Waits until the device has something.
fn wait(machine: &Machine) {
    let device = Epoll::level_triggered(machine.fd().unwrap().as_raw_fd());
    assert!(device.wait_for("I").contains('I'), "nothing comes");
}

/// Who is kept from running for longer than a retransmission timeout sends nothing again that has been acknowledged.
#[test]
fn an_acknowledgement_that_has_come_stops_the_timer_that_has_run_out() {
    let Some(settings) = settings() else { return };
    let sysctl = "tcp_early_retrans=0".parse().unwrap(); // no tail loss probe comes before the timeout
    let mut machine = Machine::open(&Settings { sysctl, ..settings }).unwrap();
    let (listener, address) = kernel_listener();
    let id = machine.stack().socket(Family::V4).unwrap();
    let now = machine.now();
    assert_eq!(machine.stack().connect(now, id, address), Err(Error::InProgress));
    machine.transmit(now);
    while !machine.stack().readiness(id).unwrap().writable {
        wait(&machine);
        machine.receive(now);
        machine.transmit(now);
    }
    assert_eq!(machine.stack().send(now, id, b"text"), Ok(4));
    machine.transmit(now);
    let mut text = [0; 4];
    listener.accept().unwrap().0.read_exact(&mut text).unwrap(); // and the connection is closed
    wait(&machine);
    let due = machine.poll_timeout().unwrap();
    machine.receive(due);
    machine.transmit(due);
    let counters = machine.stack().counters();
    assert_eq!((counters.timeouts, counters.retrans_segs), (0, 0));
}
