//! When an engine ends, and who finds it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use common::{Running, at, engine, engine_with, place, settings, uid};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use ustcp_client::protocol::Operation;
use ustcp_engine::{Engine, Lifetime, Options};
use ustcp_runtime::{ExitWait, Settings};

#[test]
fn it_ends_with_its_last_lease_and_connection_and_its_file_goes_before() {
    let Some(mut engine) = engine_with(|_, options| options.lifetime = Lifetime::UntilIdle) else {
        return;
    };
    let (first, second) = (engine.control(), engine.control());
    let run = |answer: Vec<u8>| u32::from_ne_bytes(answer.try_into().unwrap());
    let one = run(first.ask(Operation::Lease, 0, 0, 0, &[]).unwrap());
    let two = run(second.ask(Operation::Lease, 0, 0, 0, &[]).unwrap());
    assert_ne!(one, two);
    let (listener, port) = engine.listener(1);
    let client = engine.socket();
    client.connect(at("127.0.0.1", port)).unwrap();
    let (server, _) = listener.accept();
    drop((first, second, client, server, listener));
    engine.ended(); // TIME-WAIT has passed
    assert!(!engine.directory.join("engine").exists());
    assert!(!engine.directory.join("control").exists());
}

/// systemd-tmpfiles takes such a lock of a directory before it looks into it, and passes by where it gets none.
#[test]
fn its_directory_is_locked_against_those_who_clean_up() {
    let Some(mut engine) = engine() else { return };
    let directory = fs::File::open(&engine.directory).unwrap();
    let locked = flock(&directory, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(locked, Err(Errno::WOULDBLOCK));
    engine.stop();
    flock(&directory, FlockOperation::LockExclusive).unwrap();
}

/// Cleaners of /tmp take what is old, a logout the whole directory; and the place is free for another engine.
#[test]
fn one_whose_place_is_another_s_leaves_it_alone() {
    for is_whole in [true, false] {
        let Some(mut first) = engine() else { return };
        for file in fs::read_dir(&first.directory).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        if is_whole {
            fs::remove_dir(&first.directory).unwrap();
        }
        let (here, control) = (place(&first.directory), first.control());
        let second = engine_with(|_, options| options.place = here).unwrap(); // in another network
        control.ask(Operation::Stop, 0, 1, 0, &[]).unwrap();
        first.ended();
        let found = here.whereabouts(uid()).map(|whereabouts| whereabouts.id);
        assert_eq!(
            found.ok(),
            Some(second.whereabouts.id),
            "the whole directory: {is_whole}"
        );
        for (file, holds) in [("lock", true), ("streams", true), ("control", true), ("ending", false)] {
            assert_eq!(first.directory.join(file).exists(), holds, "{file}");
        }
        drop(second);
        fs::create_dir(&first.directory).unwrap(); // which it takes away itself
    }
}

#[test]
fn it_ends_when_told_and_not_before_its_connections_if_told_so() {
    let Some(mut engine) = engine() else { return };
    let (listener, port) = engine.listener(1);
    engine.ask(Operation::Stop, 0, 0, 0, &[]).unwrap();
    assert!(!engine.directory.join("engine").exists());
    let client = engine.socket();
    client.connect(at("127.0.0.1", port)).unwrap();
    let (server, _) = listener.accept();
    server.write(b"still here");
    assert_eq!(client.read_exact(10), b"still here");
    drop((client, server, listener));
    engine.ended();
}

/// The kernel's peer answers each probe of its closed window, and would do so for ever.
#[test]
fn what_is_relayed_for_a_program_that_has_gone_holds_it_as_long_as_the_stacks_own() {
    let Some(mut engine) = engine_with(|settings, _| settings.sysctl = "tcp_orphan_retries=1".parse().unwrap()) else {
        return;
    };
    let (program, _peer) = engine.stalled("127.0.0.1");
    engine.ask(Operation::Stop, 0, 0, 0, &[]).unwrap();
    drop(program);
    engine.ended();
}

#[test]
fn one_that_stays_for_time_wait_alone_makes_way_and_no_other_does() {
    let make_way = |engine: &Running| engine.ask(Operation::MakeWay, 0, 0, 0, &[]).map(drop);
    let Some(engine) = engine() else { return };
    assert_eq!(make_way(&engine), Err(libc::EINVAL), "it stays until it is told to end");
    drop(engine); // the next one's network is another

    let change = |settings: &mut Settings, options: &mut Options| {
        settings.time_wait = Duration::from_secs(3600);
        settings.exit_wait = ExitWait::Closed;
        options.lifetime = Lifetime::UntilIdle;
    };
    let Some(mut engine) = engine_with(change) else { return };
    assert_eq!(make_way(&engine), Err(libc::EBUSY), "its first program is yet to come");
    let lease = engine.control();
    lease.ask(Operation::Lease, 0, 0, 0, &[]).unwrap();
    assert_eq!(make_way(&engine), Err(libc::EBUSY), "a program runs");
    let (program, mut peer) = engine.connected_to_kernel();
    drop(lease);
    assert_eq!(make_way(&engine), Err(libc::EBUSY), "a program has a connection");
    drop(program);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    assert_eq!(make_way(&engine), Err(libc::EBUSY), "a connection is not closed");
    drop(peer);
    let begun = Instant::now();
    let mut answer = make_way(&engine);
    while answer == Err(libc::EBUSY) && begun.elapsed() < Duration::from_secs(20) {
        answer = make_way(&engine);
    }
    assert_eq!(answer, Ok(()), "TIME-WAIT is left");
    engine.ended();
}

#[test]
fn one_that_is_told_to_end_now_takes_no_program() {
    let change = |settings: &mut Settings, _: &mut Options| settings.exit_wait = ExitWait::Closed;
    let Some(mut engine) = engine_with(change) else { return };
    let (program, mut peer) = engine.connected_to_kernel();
    drop(program);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0); // it is waited for until it closes as well
    let late = engine.control();
    late.ask(Operation::Hello, 0, 0, 0, &[]).unwrap();
    engine.ask(Operation::Stop, 0, 1, 0, &[]).unwrap();
    assert_eq!(late.ask(Operation::Lease, 0, 0, 0, &[]), Err(libc::ECONNABORTED));
    drop(peer);
    engine.ended();
}

/// Whoever has waited for the lock may have the device.
#[test]
fn its_device_goes_before_its_lock() {
    let Some(mut engine) = engine() else { return };
    let lock = fs::File::open(engine.directory.join("lock")).unwrap();
    let devices = std::thread::spawn(move || {
        flock(&lock, FlockOperation::LockShared).unwrap();
        fs::read_to_string("/proc/thread-self/net/dev").unwrap()
    });
    engine.stop();
    let devices = devices.join().unwrap();
    assert!(!devices.contains(&settings().tun), "{devices}");
}

#[test]
fn it_leaves_no_file() {
    let Some(mut engine) = engine() else { return };
    engine.stop();
    assert_eq!(fs::read_dir(&engine.directory).unwrap().count(), 0);
}

#[test]
fn two_engines_do_not_share_a_place() {
    let Some(engine) = engine() else { return };
    let options = Options::at(common::place(&engine.directory));
    let error = Engine::start(&settings(), &options).unwrap_err();
    assert_eq!(error.errno.0, libc::EALREADY, "{}", error.message);
    assert_eq!(options.place.whereabouts(uid()), Ok(engine.whereabouts));
}

#[test]
fn its_files_are_its_users_alone() {
    let Some(engine) = engine() else { return };
    for (name, mode) in [
        ("", 0o700),
        ("lock", 0o600),
        ("engine", 0o600),
        ("streams", 0o600),
        ("control", 0o600),
    ] {
        let found = fs::metadata(engine.directory.join(name)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{name:?}");
    }
}
