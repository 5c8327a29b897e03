//! What the processes of a run are known by: the variables that they were given, and have still.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::join::Joined;
use crate::processes;

/// The names of the variables.
pub(crate) const NAMES: [&str; 2] = ["USTCP_TOKEN", "USTCP_RUN"];

/// How often processes are looked through before there is none: one that moves by fork(2) may be behind a look each time.
const LOOKS: usize = 3;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// The same of one process without an environment.
const LOOKS_AT_EXEC: usize = 10;
const PAUSE_AT_EXEC: Duration = Duration::from_millis(2);

/// Those of one run.
pub(crate) struct Marks([(&'static str, OsString); 2]);

impl Marks {
    pub(crate) fn of(joined: &Joined) -> Result<Marks, Errno> {
        let values = [joined.control.variable()?, joined.run.to_string()];
        let [token, run] = values.map(OsString::from);
        let [name_of_token, name_of_run] = NAMES;
        Ok(Marks([(name_of_token, token), (name_of_run, run)]))
    }

    /// Those of the run that this process belongs to, where it is one on the same engine.
    pub(crate) fn around(&self) -> Option<Marks> {
        let [(name_of_token, token), (name_of_run, _)] = &self.0;
        let run = env::var_os(name_of_run)?;
        let is_same = env::var_os(name_of_token)? == *token;
        is_same.then(|| Marks([(name_of_token, token.clone()), (name_of_run, run)]))
    }

    /// For a program's environment.
    pub(crate) fn variables(&self) -> [(&'static str, OsString); 2] {
        self.0.clone()
    }

    /// Any process of the run that lives, as a pidfd. One that may not be looked at is none.
    pub(crate) fn anybody(&self) -> Option<OwnedFd> {
        (0..LOOKS).find_map(|look| {
            if look > 0 {
                thread::sleep(PAUSE);
            }
            self.anybody_at_a_look()
        })
    }

    fn anybody_at_a_look(&self) -> Option<OwnedFd> {
        processes::all().filter(|pid| self.are_on(*pid)).find_map(|pid| {
            let process = pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok()?;
            // The number may have become another's before it was held.
            self.are_on(pid).then_some(process)
        })
    }

    fn are_on(&self, pid: u32) -> bool {
        self.are_in(&environment(pid))
    }

    fn are_in(&self, environment: &[u8]) -> bool {
        self.0.iter().all(|(name, value)| is_in(environment, name, value))
    }
}

/// The processes of all runs on the engine of this token.
pub(crate) fn processes_with(token: OsString) -> impl Iterator<Item = u32> {
    let [name_of_token, _] = NAMES;
    processes::all().filter(move |pid| is_in(&environment(*pid), name_of_token, &token))
}

fn is_in(environment: &[u8], name: &str, value: &OsStr) -> bool {
    let mut entries = environment.split(|byte| *byte == 0);
    entries.any(|entry| {
        let found = entry
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="));
        found == Some(value.as_bytes())
    })
}

/// Empty for a zombie; in exec(2) it is so for a moment, which is waited for.
fn environment(pid: u32) -> Vec<u8> {
    let file = |name| format!("/proc/{pid}/{name}");
    for _ in 0..LOOKS_AT_EXEC {
        let found = fs::read(file("environ")).unwrap_or_default();
        // A zombie and a thread of the kernel have no file that they execute.
        let may_be_in_exec = found.is_empty() && fs::read_link(file("exe")).is_ok();
        if !may_be_in_exec {
            return found;
        }
        thread::sleep(PAUSE_AT_EXEC);
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn marks(test: &str) -> Marks {
        let token = format!("token of {test} in {}", std::process::id());
        Marks([("USTCP_TOKEN", token.into()), ("USTCP_RUN", "7".into())])
    }

    #[test]
    fn both_variables_make_a_process_of_the_run() {
        let marks = Marks([("USTCP_TOKEN", "a:b:0".into()), ("USTCP_RUN", "7".into())]);
        assert!(marks.are_in(b"HOME=/\0USTCP_TOKEN=a:b:0\0X=\0USTCP_RUN=7\0"));
        for other in [
            &b""[..],
            b"USTCP_RUN=7\0",
            b"USTCP_TOKEN=a:b:0\0USTCP_RUN=77\0",
            b"USTCP_TOKEN=a:b:00\0USTCP_RUN=7\0",
            b"XUSTCP_TOKEN=a:b:0\0USTCP_RUN=7\0",
        ] {
            assert!(!marks.are_in(other), "{other:?}");
        }
    }

    #[test]
    fn a_process_is_found_and_its_end_is_seen() {
        let marks = marks("the end");
        assert!(marks.anybody().is_none());
        let mut command = Command::new("cat");
        command.envs(marks.variables()).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let found = marks.anybody().unwrap();
        drop(child.stdin.take());
        let patience = Timespec::try_from(Duration::from_secs(20)).unwrap();
        let ended = poll(&mut [PollFd::new(&found, PollFlags::IN)], Some(&patience));
        assert_eq!(ended, Ok(1));
        assert!(marks.anybody().is_none()); // though nobody has waited for it yet
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_executes_again_and_again_is_not_missed() {
        let marks = marks("exec");
        let mut command = Command::new("sh");
        command
            .envs(marks.variables())
            .args(["-c", "exec sh -c \"$0\" \"$0\"", "exec sh -c \"$0\" \"$0\""]);
        let mut child = command.spawn().unwrap();
        let missed = (0..100).filter(|_| marks.anybody().is_none()).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(missed, 0);
    }
}
