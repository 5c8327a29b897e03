//! Whether a signal was meant for us or for our whole process group, which it does not say: `kill %1` of a shell is for all.
//!
//! A process of the same group takes no signals: what is pending there as well has come to the program too. What nobody has
//! asked about after a while was for that process alone, from somebody who took it for us.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use libc::c_int;
use rustix::process::{Pid, Signal, getpid, kill_process, set_parent_process_death_signal};

use crate::sys::{self, Arrived, Signals};

/// The kernel goes from one of a group to the next within microseconds.
const ROUND: Duration = Duration::from_millis(5);
/// We have asked by then, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(1);
/// What ps(1) and top(1) call it: who ends all that is called `ustcp` means us alone.
const NAME: &str = "witness";

/// The process. While it lives, the calling thread holds the signals that are to be seen.
pub(super) struct Witness {
    process: Pid,
    /// What the one before it had seen and nobody has asked about yet.
    before: Seen,
}

impl Witness {
    /// Of this thread's held signals, and this moment's group.
    pub(super) fn call() -> io::Result<Witness> {
        let ours = getpid();
        let process = sys::fork(|| {
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            sys::close_all();
            let _ = fs::write("/proc/self/comm", NAME); // else it is called as we are
            while let Ok(pending) = sys::await_pending() {
                thread::sleep(PATIENCE);
                for signal in pending {
                    hand_back(ours, Signals::hold([signal]).next());
                }
            }
            loop {
                thread::park(); // for good: what would wake it is held
            }
        })?;
        let before = Seen::default();
        Ok(Witness { process, before })
    }

    /// Whether `signal`, which we have just been sent, went to the group. To be asked about each that did: it is seen once.
    pub(super) fn has_seen(&mut self, signal: c_int) -> io::Result<bool> {
        thread::sleep(ROUND);
        let was_there = self.before.take(signal);
        let is_there = Seen::by(self.process)?.take(signal);
        if is_there {
            let mut next = Witness::call()?; // one that has not seen anything yet
            next.before = self.before.and(Seen::by(self.process)?);
            next.before.take(signal);
            *self = next;
        }
        Ok(was_there || is_there)
    }
}

/// What the kernel sends it sends to the group, and what stops and wakes jobs is no word to one process.
fn hand_back(ours: Pid, Arrived { signal, is_kernels }: Arrived) {
    let is_of_jobs = [libc::SIGCONT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal);
    if !is_kernels && !is_of_jobs {
        sys::send(ours, signal);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = kill_process(self.process, Signal::KILL); // it is ours, and there until it is waited for
        let _ = sys::wait(self.process);
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
    let mut ours = Seen::by(getpid())?;
    let again = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU]
        .into_iter()
        .any(|signal| ours.take(signal));
    Ok(!again && stands()?)
}

/// Signals that are pending for a process, as a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen(u64);

impl Seen {
    fn by(process: Pid) -> io::Result<Seen> {
        Ok(Seen::read(&status(process)?))
    }

    /// proc(5): `ShdPnd` is a mask in hexadecimal digits.
    fn read(status: &str) -> Seen {
        let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Seen(mask.unwrap_or(0))
    }

    fn and(self, other: Seen) -> Seen {
        Seen(self.0 | other.0)
    }

    /// Whether `signal` is among them, from now on without it.
    fn take(&mut self, signal: c_int) -> bool {
        let bit = 1 << (signal - 1);
        let is_there = self.0 & bit != 0;
        self.0 &= !bit;
        is_there
    }
}

fn status(process: Pid) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_signals() {
        let mut seen = Seen::read("Name:\tx\nSigPnd:\tffffffffffffffff\nShdPnd:\t0000000000004001\n");
        assert!(!seen.take(libc::SIGINT) && seen.take(libc::SIGHUP) && !seen.take(libc::SIGHUP));
        assert_eq!(seen, Seen(1 << (libc::SIGTERM - 1)));
        assert_eq!(Seen::read(""), Seen::default());
    }
}
