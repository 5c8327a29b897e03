//! Who holds the lease of a program that has taken this process's place.
//!
//! A child of a child, so that the program has no child it does not know; in a session of its own, so that no terminal
//! reaches it; with nothing open but the lease and the program's pidfd. It ends with the program, or with the engine.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::sys;

/// From here on the lease lasts as long as this process, whatever it becomes.
pub(crate) fn hold(lease: OwnedFd) -> io::Result<()> {
    let program = pidfd_open(getpid(), PidfdFlags::empty())?; // through exec it stays the same process
    let between = sys::fork(|| {
        let held = sys::fork(|| {
            wait_for_either(&lease, &program);
            0
        });
        u8::from(held.is_err())
    })?;
    let is_held = sys::wait(between)?.exit_status() == Some(0);
    is_held
        .then_some(())
        .ok_or_else(|| io::Error::other("nobody could be made to hold the lease"))
}

fn wait_for_either(lease: &OwnedFd, program: &OwnedFd) {
    // A shell that waits for the program's output to end must not wait for ours.
    sys::close_all_but([lease, program]);
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/"); // or its directory could not be unmounted
    loop {
        // The engine never says anything here; that it can be read is its end.
        let mut both = [PollFd::new(lease, PollFlags::IN), PollFd::new(program, PollFlags::IN)];
        if !matches!(poll(&mut both, None), Err(Errno::INTR)) {
            return;
        }
    }
}
