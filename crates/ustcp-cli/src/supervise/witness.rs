//! Whether a signal was meant for us or for our whole process group, which it does not say: `kill %1` of a shell is for all.
//!
//! A process of the same group takes no signals: what is pending there as well has come to the program too. What nobody has
//! asked about after a while it shows us: was it for that process alone, from somebody who took it for us, it still is there
//! when we ask.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use libc::c_int;
use rustix::process::{Pid, Signal, getpid, kill_process, set_parent_process_death_signal};

use crate::sys;

/// The kernel goes from one of a group to the next within microseconds.
const ROUND: Duration = Duration::from_millis(5);
/// We have mostly asked by then.
const PATIENCE: Duration = Duration::from_secs(1);
/// What ps(1) and top(1) call it: who ends all that is called `ustcp` means us alone.
const NAME: &str = "witness";
/// What stops and wakes jobs is no word to one process.
const OF_JOBS: [c_int; 4] = [libc::SIGCONT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// The process. While it lives, the calling thread holds the signals that are to be seen.
pub(super) struct Witness(Pid);

impl Witness {
    /// Of this thread's held signals, and this moment's group.
    pub(super) fn call() -> io::Result<Witness> {
        let ours = getpid();
        let process = sys::fork(|| {
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            sys::close_all();
            let _ = fs::write("/proc/self/comm", NAME); // else it is called as we are
            let mut shown = OF_JOBS.to_vec();
            while let Ok(pending) = sys::await_pending(&shown) {
                thread::sleep(PATIENCE);
                for signal in pending {
                    sys::show(ours, signal);
                    shown.push(signal);
                }
            }
            loop {
                thread::park(); // for good: what would wake it is held
            }
        })?;
        Ok(Witness(process))
    }

    /// Whether `signal`, which we have just been sent, is there as well. To be asked about each that may be: it is seen once.
    pub(super) fn has_seen(&mut self, signal: c_int) -> io::Result<bool> {
        thread::sleep(ROUND);
        let is_there = Seen::by(self.0)?.has(signal);
        if is_there {
            let next = Witness::call()?; // one that has not seen anything yet
            for other in Seen::by(self.0)?.all().filter(|other| *other != signal) {
                sys::send(next.0, other); // nobody has asked about it yet
            }
            *self = next;
        }
        Ok(is_there)
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
    let ours = Seen::by(getpid())?;
    let again = OF_JOBS
        .iter()
        .any(|signal| *signal != libc::SIGCONT && ours.has(*signal));
    Ok(!again && stands()?)
}

/// Signals that are pending for a process, as a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    fn has(self, signal: c_int) -> bool {
        self.0 & 1 << (signal - 1) != 0
    }

    fn all(self) -> impl Iterator<Item = c_int> {
        (1..=libc::SIGRTMAX()).filter(move |signal| self.has(*signal))
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
        let seen = Seen::read("Name:\tx\nSigPnd:\tffffffffffffffff\nShdPnd:\t0000000000004001\n");
        assert!(seen.all().eq([libc::SIGHUP, libc::SIGTERM]));
        assert!(seen.has(libc::SIGHUP) && !seen.has(libc::SIGINT));
        assert_eq!(Seen::read(""), Seen(0));
    }
}
