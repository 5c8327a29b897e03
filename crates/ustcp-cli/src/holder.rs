//! Who holds the lease of a program that has taken this process's place, and of what a program leaves behind.
//!
//! A child of a child, so that the program has no child it does not know; in a session of its own, so that no terminal
//! reaches it; with nothing open but the lease and a process's pidfd. It ends with the last process of the run, or with the
//! engine.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::marks::Marks;
use crate::sys;

/// From here on the lease lasts as long as this process, whatever it becomes, and what it leaves behind.
pub(crate) fn hold(lease: &OwnedFd, marks: &Marks) -> io::Result<()> {
    let program = pidfd_open(getpid(), PidfdFlags::empty())?; // through exec it stays the same process
    hold_for(lease, program, marks)
}

/// The same, where the program has ended.
pub(crate) fn hold_on(lease: &OwnedFd, marks: &Marks) -> io::Result<()> {
    match marks.anybody() {
        Some(left_behind) => hold_for(lease, left_behind, marks),
        None => Ok(()),
    }
}

fn hold_for(lease: &OwnedFd, first: OwnedFd, marks: &Marks) -> io::Result<()> {
    let between = sys::fork(|| {
        let held = sys::fork(|| {
            wait_for_all(lease, first, marks);
            0
        });
        u8::from(held.is_err())
    })?;
    let is_held = sys::wait(between)?.exit_status() == Some(0);
    is_held
        .then_some(())
        .ok_or_else(|| io::Error::other("nobody could be made to hold the lease"))
}

fn wait_for_all(lease: &OwnedFd, first: OwnedFd, marks: &Marks) {
    // A shell that waits for the program's output to end must not wait for ours.
    sys::close_all_but([lease, &first]);
    let _ = rustix::process::setsid();
    sys::release_all_signals(); // whoever has watched the program held them
    let _ = rustix::process::chdir("/"); // or its directory could not be unmounted
    let mut next = Some(first);
    while let Some(process) = next {
        if is_outlived(lease, &process) {
            return;
        }
        next = marks.anybody();
    }
}

/// Whether the engine ends before the process.
fn is_outlived(lease: &OwnedFd, process: &OwnedFd) -> bool {
    loop {
        // The engine never says anything here; that it can be read is its end.
        let mut both = [PollFd::new(lease, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
        if !matches!(poll(&mut both, None), Err(Errno::INTR)) {
            let [lease, _] = &both;
            return !lease.revents().is_empty();
        }
    }
}
