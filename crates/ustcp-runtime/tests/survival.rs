//! What the program survives: a panic of ours, a device that goes away.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::thread::JoinHandle;
use std::time::Duration;

use common::native::{Epoll, mask};
use common::{asleep, at, listener, pair, recv, send, settings, socket};
use ustcp_runtime::{Errno, ExitWait, Family, PollRequest, Runtime, Settings, Socket, Wait, process};

const DOWN: Errno = Errno(libc::ENETDOWN);

struct Blocked(Vec<JoinHandle<Errno>>);

impl Blocked {
    /// Threads in every kind of call, one driving and the others following.
    fn on(ours: &Socket, listener: &Socket) -> Blocked {
        let silent = socket(ours.runtime());
        let (reading, again, writing, accepting) = (ours.clone(), ours.clone(), ours.clone(), listener.clone());
        let calls: [Box<dyn FnOnce() -> Result<(), Errno> + Send>; 5] = [
            Box::new(move || recv(&reading, &mut [0; 1], Wait::Forever).map(drop)),
            Box::new(move || recv(&again, &mut [0; 1], Wait::Forever).map(drop)),
            Box::new(move || {
                let data = vec![0; 64 << 20];
                send(&writing, &data, Wait::Forever)?;
                send(&writing, &data, Wait::Forever).map(drop) // the first one may have told a part
            }),
            Box::new(move || accepting.accept(Wait::Forever).map(drop)),
            Box::new(move || silent.connect(at("10.77.0.99", 1), Wait::Forever)),
        ];
        Blocked(
            calls
                .into_iter()
                .map(|call| asleep(move || call().unwrap_err()))
                .collect(),
        )
    }

    fn all_end_with(self, errno: Errno) {
        for thread in self.0 {
            assert_eq!(thread.join().unwrap(), errno);
        }
    }
}

#[test]
fn a_panic_inside_ends_every_call_and_nothing_else() {
    let Some(settings) = settings() else { return };
    let runtime = Runtime::start(&settings).unwrap();
    let (ours, _theirs) = pair(&runtime);
    let (listener, _) = listener(&runtime);
    let blocked = Blocked::on(&ours, &listener);
    let epoll = Epoll::edge_triggered(ours.fd());
    runtime.plant_panic();
    blocked.all_end_with(DOWN);
    assert_eq!(epoll.wait_for("IORHE"), "IORHE");
    assert_eq!(mask(ours.fd()), "IORHE");
    assert_eq!(recv(&ours, &mut [0; 1], Wait::Forever), Err(DOWN));
    assert_eq!(ours.local_address(), Err(DOWN));
    assert_eq!(ours.take_error(), Ok(libc::ENETDOWN));
    assert_eq!(runtime.socket(Family::V4).err(), Some(DOWN));
    assert_eq!(ours.close(), Ok(()));
    // The device is free again.
    let (ours, _theirs) = pair(&Runtime::start(&settings).unwrap());
    assert_eq!(send(&ours, b"alive", Wait::Forever), Ok(5));
}

#[test]
fn a_device_that_goes_away_ends_every_call() {
    let Some(settings) = settings() else { return };
    let runtime = Runtime::start(&settings).unwrap();
    let (ours, _theirs) = pair(&runtime);
    let (listener, _) = listener(&runtime);
    let blocked = Blocked::on(&ours, &listener);
    let gone = std::process::Command::new("ip")
        .args(["link", "delete", "ustcp0"])
        .status()
        .unwrap();
    assert!(gone.success());
    blocked.all_end_with(DOWN);
    assert_eq!(recv(&ours, &mut [0; 1], Wait::Forever).err(), Some(DOWN));
    assert_eq!(runtime.socket(Family::V4).err(), Some(DOWN));
    assert_eq!(mask(listener.fd()), "IORHE");
}

#[test]
fn stop_ends_every_call_and_frees_the_device() {
    let Some(settings) = settings() else { return };
    for _ in 0..3 {
        let runtime = Runtime::start(&settings).unwrap();
        let (ours, _theirs) = pair(&runtime);
        runtime.stop();
        assert_eq!(recv(&ours, &mut [0; 1], Wait::Forever), Err(DOWN));
        assert_eq!(mask(ours.fd()), "IORHE");
        assert_eq!(ours.close(), Ok(()));
    }
}

/// The peer takes no more, so the end waits as long as it may; those who are woken look while it does.
#[test]
fn stop_tells_those_who_wait_that_the_stack_is_down() {
    let Some(settings) = settings() else { return };
    let exit_wait = ExitWait::Acknowledged(Duration::from_millis(500));
    let runtime = Runtime::start(&Settings { exit_wait, ..settings }).unwrap();
    let (ours, _theirs) = pair(&runtime);
    let (listener, _) = listener(&runtime);
    let blocked = Blocked::on(&ours, &listener);
    let fd = process::register(listener);
    let polling = asleep(move || {
        let mut entries = [PollRequest {
            fd,
            events: 0,
            revents: 0,
        }];
        (process::poll(&mut entries, None), entries[0].revents)
    });
    runtime.stop();
    blocked.all_end_with(DOWN);
    assert_eq!(polling.join().unwrap(), (Ok(1), libc::POLLERR | libc::POLLHUP));
    assert_eq!(mask(fd), "IORHE", "the descriptor is its holder's still");
    process::close(fd).unwrap();
}

#[test]
fn poll_mixes_ours_with_others() {
    let Some(settings) = settings() else { return };
    let runtime = Runtime::start(&settings).unwrap();
    let (ours, theirs) = pair(&runtime);
    let fd = process::register(ours);
    let (reader, writer) = std::io::pipe().unwrap();
    let pipe = std::os::fd::AsRawFd::as_raw_fd(&reader);
    let entry = |fd| PollRequest {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let poll = move |timeout| {
        let mut entries = [entry(pipe), entry(-1), entry(fd)];
        let count = process::poll(&mut entries, timeout).unwrap();
        (count, entries.map(|entry| entry.revents))
    };
    assert_eq!(poll(Some(std::time::Duration::ZERO)), (0, [0, 0, 0]));
    assert_eq!(poll(Some(std::time::Duration::from_millis(5))), (0, [0, 0, 0]));
    let polling = asleep(move || poll(None));
    std::io::Write::write_all(&mut &theirs, b"x").unwrap();
    assert_eq!(polling.join().unwrap(), (1, [0, 0, libc::POLLIN]));
    recv(&process::socket(fd).unwrap(), &mut [0; 1], Wait::Never).unwrap();
    // Once with the drive, once behind another driver.
    let other = socket(&runtime);
    for followed in [false, true] {
        let other = other.clone();
        let driver = followed.then(|| asleep(move || other.connect(at("10.77.0.99", 1), Wait::Forever)));
        let polling = asleep(move || poll(None));
        std::io::Write::write_all(&mut &writer, b"x").unwrap();
        assert_eq!(polling.join().unwrap(), (1, [libc::POLLIN, 0, 0]));
        std::io::Read::read_exact(&mut &reader, &mut [0; 1]).unwrap();
        let polling = asleep(move || poll(None));
        std::io::Write::write_all(&mut &theirs, b"x").unwrap();
        assert_eq!(polling.join().unwrap(), (1, [0, 0, libc::POLLIN]));
        recv(&process::socket(fd).unwrap(), &mut [0; 1], Wait::Never).unwrap();
        if let Some(driver) = driver {
            runtime.stop();
            assert!(driver.join().unwrap().is_err());
        }
    }
    assert_eq!(poll(None), (1, [0, 0, libc::POLLIN | libc::POLLERR | libc::POLLHUP]));
    process::close(fd).unwrap();
}
