//! When an engine ends, and who finds it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{at, engine, engine_with, settings, uid};
use ustcp_client::protocol::Operation;
use ustcp_engine::{Engine, Lifetime, Options};

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
