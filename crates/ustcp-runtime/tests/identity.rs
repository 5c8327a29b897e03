//! A second process after the first, seen by a peer that remembers the first one's connection: the kernel in TIME-WAIT.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use common::{STACK, at, kernel_listener, recv_all, settings, socket};
use ustcp_runtime::{Runtime, SecretFile, Settings, Wait};

/// 6191-1, SHLD-4: with the keys that the host keeps, each process connects from the ends that the last one used, while
/// the kernel holds them in TIME-WAIT. Nothing is refused and nothing sent twice, as it would be for half of all others.
#[test]
fn the_next_process_is_newer_than_the_last() {
    let Some(settings) = settings() else { return };
    let file = std::env::temp_dir().join(format!("ustcp-restart-{}", std::process::id()));
    let settings = Settings {
        secret: SecretFile::Path(file.clone()),
        ..settings
    };
    let mut kernel = None;
    for round in 0..20 {
        let runtime = Runtime::start(&settings).unwrap_or_else(|error| panic!("{}", error.message));
        let (listener, address) = &*kernel.get_or_insert_with(kernel_listener);
        let ours = socket(&runtime);
        ours.bind(at(STACK, 4000)).unwrap();
        ours.connect(*address, Wait::Forever).unwrap();
        drop(listener.accept().unwrap()); // the kernel closes first
        assert_eq!(recv_all(&ours), b"");
        let counters = runtime.counters();
        assert_eq!(counters.active_opens, 1);
        assert_eq!((counters.out_rsts, counters.timeouts), (0, 0), "round {round}");
        ours.close().unwrap();
        runtime.stop();
    }
    std::fs::remove_file(file).unwrap();
}
