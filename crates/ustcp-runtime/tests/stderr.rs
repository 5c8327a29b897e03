//! Standard error that nobody reads, in processes of their own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use common::native::{alarm, default_sigpipe, in_child, stderr_to};
use common::{pair, recv, send, settings};
use ustcp_runtime::{Runtime, Settings, Wait};

/// Some traffic with a log on standard error, the way `end` leaves that; the child's `_exit` comes after all calls.
fn chatter(base: &Settings, end: fn(std::io::PipeReader) -> Option<std::io::PipeReader>) -> u8 {
    let log = Some("-".into());
    in_child(|| {
        default_sigpipe();
        alarm(20);
        let (reader, writer) = std::io::pipe().unwrap();
        stderr_to(&writer);
        drop(writer);
        let _reader = end(reader);
        let runtime = Runtime::start(&Settings { log, ..base.clone() }).unwrap();
        let (ours, theirs) = pair(&runtime);
        let echo = common::echo(theirs);
        for _ in 0..2000 {
            send(&ours, b"chat", Wait::Forever).unwrap();
            recv(&ours, &mut [0; 4], Wait::Forever).unwrap();
        }
        ours.close().unwrap();
        echo.join().unwrap();
        runtime.plant_panic();
        7
    })
}

#[test]
fn a_reader_that_is_gone_or_asleep_harms_nobody() {
    let Some(settings) = settings() else { return };
    assert_eq!(chatter(&settings, |_| None), 7, "gone");
    assert_eq!(chatter(&settings, Some), 7, "asleep");
}
