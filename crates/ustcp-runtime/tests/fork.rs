//! fork, in a process of its own: descriptors are counted.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::native::in_child;
use common::{at, listener, pair, recv, send, settings, socket};
use ustcp_runtime::{Cidr, Errno, Family, Settings, Socket, Wait, process};

/// A child must not touch what its parent had, whatever the parent's threads were doing at that moment.
#[test]
fn children_get_ebadf_and_may_start_their_own() {
    const CHILDREN: usize = 200;
    let Some(settings) = settings() else { return };
    process::init(&settings).unwrap();
    let runtime = process::runtime().unwrap();
    let (ours, theirs) = pair(&runtime);
    let fd = process::register(ours.clone());
    let echo = common::echo(theirs);
    let stop = Arc::new(AtomicBool::new(false));
    let busy = thread::spawn({
        let (ours, stop) = (ours.clone(), Arc::clone(&stop));
        move || {
            let mut byte = [0];
            while !stop.load(Ordering::Relaxed) {
                send(&ours, &byte, Wait::Forever).unwrap();
                recv(&ours, &mut byte, Wait::Forever).unwrap();
            }
        }
    });
    for _ in 0..CHILDREN {
        assert_eq!(in_child(|| inherited(fd, &ours)), 0);
    }
    let own = Settings {
        tun: "ustcp1".into(),
        addresses: vec![Cidr {
            address: "10.78.0.2".parse().unwrap(),
            prefix: 24,
        }],
        peers: Vec::new(),
        ..settings
    };
    assert_eq!(in_child(|| starts_its_own(&own)), 0);
    stop.store(true, Ordering::Relaxed);
    busy.join().unwrap();
    process::close(fd).unwrap();
    drop(ours);
    echo.join().unwrap();
    process::fini();
}

/// 0: as it should be; otherwise which step was not.
fn inherited(fd: i32, ours: &Socket) -> u8 {
    const BAD: Errno = Errno(libc::EBADF);
    let steps = [
        process::socket(fd).err() == Some(BAD),
        process::close(fd) == Err(BAD),
        recv(ours, &mut [0; 1], Wait::Forever) == Err(BAD),
        send(ours, &[0], Wait::Forever) == Err(BAD),
        ours.readiness().err() == Some(BAD),
        ours.close() == Err(BAD),
        ours.runtime().socket(Family::V4).err() == Some(BAD),
        !std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .any(|entry| std::fs::read_link(entry.unwrap().path()).is_ok_and(|target| target.ends_with("net/tun"))),
    ];
    steps
        .iter()
        .position(|step| !step)
        .map_or(0, |step| u8::try_from(step).unwrap() + 1)
}

fn starts_its_own(settings: &Settings) -> u8 {
    if process::init(settings).is_err() {
        return 1;
    }
    let runtime = process::runtime().unwrap();
    let (listener, port) = listener(&runtime);
    let client = socket(&runtime);
    client.connect(at("127.0.0.1", port), Wait::Forever).unwrap();
    let (accepted, _) = listener.accept(Wait::Forever).unwrap();
    send(&client, b"child", Wait::Forever).unwrap();
    let mut buffer = [0; 8];
    if recv(&accepted, &mut buffer, Wait::Forever) != Ok(5) {
        return 2;
    }
    drop((client, accepted, listener, runtime));
    process::fini();
    0
}
