//! Descriptor numbers, in a process of its own: nobody else may take one meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use common::native::mask;
use common::{pair, settings, socket};
use ustcp_runtime::{Errno, Runtime, process};

#[test]
fn a_number_that_was_closed_natively_is_a_new_sockets() {
    let Some(settings) = settings() else { return };
    let runtime = Runtime::start(&settings).unwrap();
    let (ours, theirs) = pair(&runtime);
    let fd = ours.fd();
    process::register(ours);
    drop(common::native::take(fd)); // the program calls close(2) itself
    let lower: Vec<_> = (0..16)
        .map(|_| socket(&runtime))
        .take_while(|socket| socket.fd() != fd)
        .collect();
    assert!(lower.len() < 16, "number {fd} is not given again");
    let again = socket(&runtime);
    assert_eq!(again.fd(), fd);
    process::register(again);
    assert_eq!(process::socket(fd).unwrap().peer_address(), Err(Errno(libc::ENOTCONN)));
    assert_eq!(mask(fd), "O");
    assert_eq!(std::io::Read::read(&mut &theirs, &mut [0; 1]).unwrap(), 0);
    process::close(fd).unwrap();
}
