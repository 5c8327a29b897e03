//! Whether a signal was meant for us or for our whole process group, which it does not say: `kill %1` of a shell is for all.
//!
//! A process of the same group takes no signals: what is pending there as well has come to the program too.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use libc::c_int;
use rustix::process::{Pid, Signal, getpid, kill_process, set_parent_process_death_signal};

use crate::sys;

/// The kernel goes from one of a group to the next within microseconds.
const ROUND: Duration = Duration::from_millis(5);

/// The process. While it lives, the calling thread holds the signals that are to be seen.
pub(super) struct Witness(Pid);

impl Witness {
    /// Of this thread's held signals, and this moment's group.
    pub(super) fn call() -> io::Result<Witness> {
        sys::fork(|| {
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            sys::close_all();
            loop {
                thread::park(); // for good: what would wake it is held
            }
        })
        .map(Witness)
    }

    /// Whether `signal`, which we have just been sent, went to the group.
    pub(super) fn has_seen(&mut self, signal: c_int) -> io::Result<bool> {
        thread::sleep(ROUND);
        let seen = is_pending(&status(self.0)?, signal);
        if seen {
            *self = Witness::call()?; // one that has not seen anything yet
        }
        Ok(seen)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL); // it is ours, and there until it is waited for
        let _ = sys::wait(self.0);
    }
}

/// Whether a process that stood still when SIGCONT came to us still does, and not again since then.
pub(super) fn is_stopped_still(process: Pid) -> io::Result<bool> {
    let stands = || Ok::<_, io::Error>(status(process)?.lines().any(|line| line.starts_with("State:\tT")));
    if !stands()? {
        return Ok(false);
    }
    thread::sleep(ROUND);
    // What would have stopped it again was sent to us as well.
    let ours = status(getpid())?;
    let again = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU]
        .into_iter()
        .any(|signal| is_pending(&ours, signal));
    Ok(!again && stands()?)
}

fn status(process: Pid) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()))
}

/// proc(5): `ShdPnd` is a mask in hexadecimal digits.
fn is_pending(status: &str, signal: c_int) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_signals() {
        let status = "Name:\tx\nSigPnd:\tffffffffffffffff\nShdPnd:\t0000000000004001\n";
        assert!(is_pending(status, libc::SIGTERM) && is_pending(status, libc::SIGHUP));
        assert!(!is_pending(status, libc::SIGINT) && !is_pending("", libc::SIGTERM));
    }
}
