//! A program as a child that is watched to its end, for what is to be said after it.
//!
//! It shares our process group. What a terminal sends it gets itself; what a process sends to us is handed on; when it
//! stops we stop, so that a shell sees that; and when we are killed it is.

mod witness;

use std::io;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpgid, getpgrp, getpid, kill_process, set_parent_process_death_signal, waitpid,
};

use crate::sys::{self, Arrived, Sender, Signals};
use witness::Witness;

/// Runs a program that `become_it` turns the child into. The exit status, as a shell has it.
pub(crate) fn run(become_it: impl FnOnce() -> u8) -> io::Result<u8> {
    // Those of faults are ours to die of; KILL and STOP nobody holds.
    let faults = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGTRAP,
        libc::SIGSYS,
        libc::SIGABRT,
    ];
    let all = (1..=libc::SIGRTMAX()).filter(|signal| !faults.contains(signal));
    let signals = Signals::hold(all);
    let mut witness = Witness::call()?;
    let child = sys::fork(|| {
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        signals.release();
        become_it()
    })?;
    loop {
        let arrived = signals.next();
        if arrived.signal != libc::SIGCHLD {
            hand_on(arrived, child, &mut witness)?;
        } else if let Some(status) = look_at(child)? {
            return Ok(status);
        }
    }
}

/// What the kernel sends it sends to the whole group, and so may a process.
fn hand_on(arrived: Arrived, child: Pid, witness: &mut Witness) -> io::Result<()> {
    let signal = arrived.signal;
    let is_for_us_alone = match signal {
        // Of a witness the next stop would take it away again; but it is there to wake, and that can be seen.
        libc::SIGCONT => witness::is_stopped_still(child)?,
        // Of the kernel's too it is asked, or the next that is for us alone would seem to be the one that it has seen.
        _ => match (arrived.by, witness.has_seen(signal)?) {
            (Sender::Child, is_there) => is_there, // else we have asked since it was shown to us
            (_, is_there) => has_left_us(child) || !is_there && !arrived.is_the_groups(),
        },
    };
    if is_for_us_alone {
        sys::send(child, signal);
    }
    Ok(())
}

/// Whether the program has a process group of its own (setpgid(2), setsid(2)): what is sent to ours does not come to it.
fn has_left_us(child: Pid) -> bool {
    getpgid(Some(child)).is_ok_and(|group| group != getpgrp())
}

/// Its exit status, if it has ended.
fn look_at(child: Pid) -> io::Result<Option<u8>> {
    let status = match waitpid(Some(child), WaitOptions::NOHANG | WaitOptions::UNTRACED) {
        Ok(Some((_, status))) => status,
        Ok(None) | Err(Errno::INTR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if status.stopped() {
        // Here we stand until somebody sends SIGCONT: a shell to the group, anybody else to us, and then it is handed on.
        kill_process(getpid(), Signal::STOP)?;
        return Ok(None);
    }
    Ok(sys::as_a_shell_has_it(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a process of one thread: of a signal to a process any thread may be told.
    fn status_of(become_it: impl FnOnce() -> u8) -> Option<i32> {
        let supervisor = sys::fork(|| run(become_it).unwrap()).unwrap();
        sys::wait(supervisor).unwrap().exit_status()
    }

    #[test]
    fn the_status_is_that_of_a_shell() {
        for code in [0, 3, 255] {
            assert_eq!(status_of(|| code), Some(code.into()));
        }
        let killed = status_of(|| {
            let _ = kill_process(getpid(), Signal::KILL);
            0
        });
        assert_eq!(killed, Some(128 + 9));
    }
}
