//! The system calls of this command that need `unsafe`: fork, exec, and signals waited for.
#![allow(unsafe_code, reason = "the syscall file: each block says why it is sound")]

pub(crate) mod inherited;

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use libc::c_int;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, getsid, waitpid};

/// A child that does `body` and ends with the status it returns. For processes of one thread: in the child of another,
/// locks may be held by threads that are not there.
pub(crate) fn fork(body: impl FnOnce() -> u8) -> io::Result<Pid> {
    // SAFETY: no pointers. The caller has one thread, so the child finds every lock as it left it.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // An unwinding child would go on as a second parent.
        let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(u8::MAX);
        // SAFETY: ends this process; the parent's exit handlers are not ours to run.
        unsafe { libc::_exit(status.into()) }
    }
    Pid::from_raw(child)
        .filter(|_| child > 0)
        .ok_or_else(io::Error::last_os_error)
}

/// Waits for a child's end.
pub(crate) fn wait(child: Pid) -> io::Result<WaitStatus> {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The exit status of what has ended: 128 and its number for a signal.
pub(crate) fn as_a_shell_has_it(status: WaitStatus) -> Option<u8> {
    let of_signal = |signal: c_int| 128 + signal;
    let code = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(of_signal))?;
    u8::try_from(code & 0xff).ok()
}

/// Becomes `program`, looked for in PATH as a shell looks for it, with the environment given. Returns only where that
/// fails. Signals, and standard descriptors that were closed, are as this process had them when it was started.
pub(crate) fn execute(program: &OsStr, arguments: &[OsString], environment: Vec<(OsString, OsString)>) -> io::Error {
    let words = std::iter::once(program).chain(arguments.iter().map(OsString::as_os_str));
    let entries = environment.into_iter().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        CString::new(name.into_vec())
    });
    let strings = |words: Result<Vec<CString>, _>| words.map_err(|_| io::Error::from_raw_os_error(libc::EINVAL));
    let arguments = strings(words.map(|word| CString::new(word.as_bytes())).collect());
    let (arguments, environment) = match (arguments, strings(entries.collect())) {
        (Ok(arguments), Ok(environment)) => (arguments, environment),
        (Err(error), _) | (_, Err(error)) => return error,
    };
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([ptr::null()])
            .collect()
    };
    let (argv, envp) = (pointers(&arguments), pointers(&environment));
    let Some(file) = arguments.first() else {
        return io::Error::from_raw_os_error(libc::ENOENT);
    };
    let take_back = inherited::put_back();
    // SAFETY: both vectors end with null and live as long as the strings they point to.
    unsafe { libc::execvpe(file.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    let error = io::Error::last_os_error();
    take_back();
    error
}

/// Signals that come to whoever asks for the next one, instead of what they would do.
pub(crate) struct Signals {
    these: libc::sigset_t,
    before: libc::sigset_t,
}

/// One that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) signal: c_int,
    pub(crate) by: Sender,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The kernel: of a terminal, to its whole foreground process group.
    Kernel,
    /// A child of ours, by [`show`].
    Child,
    /// Some process, to this one or to its whole process group.
    Process,
}

impl Arrived {
    /// Whether the whole process group has been sent it, too. Of a terminal that hangs up the leader of its session alone is
    /// told.
    pub(crate) fn is_the_groups(&self) -> bool {
        let is_hangup = self.signal == libc::SIGHUP && getsid(None) == Ok(getpid());
        self.by == Sender::Kernel && !is_hangup
    }
}

impl Signals {
    /// Those of `signals`, from now on, in this thread and those it starts.
    pub(crate) fn hold(signals: impl IntoIterator<Item = c_int>) -> Signals {
        // SAFETY: all-zero is a valid sigset_t, and empty.
        let (mut these, mut before) = unsafe { (mem::zeroed(), mem::zeroed()) };
        for signal in signals {
            // SAFETY: the set lives across the call, which checks the number.
            unsafe { libc::sigaddset(&raw mut these, signal) };
        }
        // SAFETY: both sets live across the call.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const these, &raw mut before) };
        Signals { these, before }
    }

    /// Waits for the next one.
    pub(crate) fn next(&self) -> Arrived {
        loop {
            // SAFETY: all-zero is a valid siginfo_t.
            let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
            // SAFETY: set and information live across the call.
            let signal = unsafe { libc::sigwaitinfo(&raw const self.these, &raw mut info) };
            // EINTR: one that is not held was handled, or the process was stopped and goes on.
            if signal > 0 {
                return Arrived {
                    signal,
                    by: sender(&info),
                };
            }
        }
    }

    /// They do again what they did before.
    pub(crate) fn release(&self) {
        // SAFETY: the set lives across the call; the mask before is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

fn sender(info: &libc::siginfo_t) -> Sender {
    match info.si_code {
        libc::SI_KERNEL => Sender::Kernel,
        // SAFETY: one that was queued has a value.
        libc::SI_QUEUE if unsafe { info.si_value() }.sival_ptr == mark() => Sender::Child,
        _ => Sender::Process,
    }
}

/// What tells a child's signals from those of strangers: an address that it has from us.
fn mark() -> *mut libc::c_void {
    static MARK: u8 = 0;
    (&raw const MARK).cast_mut().cast()
}

/// Sends the process that we are a child of a signal that says so.
pub(crate) fn show(parent: Pid, signal: c_int) {
    let value = libc::sigval { sival_ptr: mark() };
    // SAFETY: takes numbers, and an address that is only compared.
    unsafe { libc::sigqueue(parent.as_raw_nonzero().get(), signal, value) };
}

/// No signal is held by this thread any more, whoever held it.
pub(crate) fn release_all_signals() {
    // SAFETY: all-zero is a valid sigset_t, and empty; it lives across the call.
    unsafe {
        let none: libc::sigset_t = mem::zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Waits until signals that this thread holds, but for these, are pending for this process, and leaves them so: which they are.
pub(crate) fn await_pending(but_for: &[c_int]) -> io::Result<Vec<c_int>> {
    // SAFETY: all-zero is a valid sigset_t, and empty.
    let (mut held, mut pending): (libc::sigset_t, libc::sigset_t) = unsafe { (mem::zeroed(), mem::zeroed()) };
    // SAFETY: the set lives across the calls, which check the numbers; nothing is blocked by none.
    let shows = unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut held);
        for signal in but_for {
            libc::sigdelset(&raw mut held, *signal);
        }
        libc::signalfd(-1, &raw const held, libc::SFD_CLOEXEC)
    };
    if shows == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us alone.
    let shows = unsafe { OwnedFd::from_raw_fd(shows) };
    poll(&mut [PollFd::new(&shows, PollFlags::IN)], None)?;
    // SAFETY: the set lives across the call.
    unsafe { libc::sigpending(&raw mut pending) };
    // SAFETY: the set lives across the calls, which check the number.
    let is_pending = |signal: &c_int| unsafe { libc::sigismember(&raw const pending, *signal) == 1 };
    let looked_for = (1..=libc::SIGRTMAX()).filter(|signal| !but_for.contains(signal));
    Ok(looked_for.filter(is_pending).collect())
}

/// Sends any signal, those of real time too.
pub(crate) fn send(process: Pid, signal: c_int) {
    // SAFETY: takes numbers only. A process that has ended meanwhile has no use for it.
    unsafe { libc::kill(process.as_raw_nonzero().get(), signal) };
}

/// Closes every descriptor but the three that are standard.
pub(crate) fn close_all_but_standard() {
    close_range(3, u32::MAX);
}

/// Closes every descriptor.
pub(crate) fn close_all() {
    close_range(0, u32::MAX);
}

/// Closes every descriptor but these two, the standard ones too.
pub(crate) fn close_all_but(two: [&OwnedFd; 2]) {
    let [one, other] = two.map(|descriptor| descriptor.as_raw_fd().cast_unsigned());
    let (low, high) = (one.min(other), one.max(other));
    for (first, last) in [
        (0, low.checked_sub(1)),
        (low + 1, high.checked_sub(1)),
        (high + 1, Some(u32::MAX)),
    ] {
        if let Some(last) = last.filter(|last| first <= *last) {
            close_range(first, last);
        }
    }
}

fn close_range(first: u32, last: u32) {
    // SAFETY: takes numbers only. Whoever calls it has nothing open that it goes on to use.
    unsafe { libc::close_range(first, last, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_held_is_told_with_its_sender() {
        let signals = Signals::hold([libc::SIGUSR2]);
        // To this thread alone: other tests run in other threads, which do not hold it.
        // SAFETY: this thread is there.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) };
        let arrived = signals.next();
        assert_eq!(
            arrived,
            Arrived {
                signal: libc::SIGUSR2,
                by: Sender::Process
            }
        );
        signals.release();
    }

    #[test]
    fn what_is_pending_is_told_and_stays() {
        let child = fork(|| {
            let signals = Signals::hold([libc::SIGUSR1, libc::SIGUSR2]);
            send(getpid(), libc::SIGUSR1);
            send(getpid(), libc::SIGUSR2);
            let but_for = [libc::SIGUSR1];
            let both = [await_pending(&but_for), await_pending(&but_for)].map(Result::unwrap);
            u8::from(both == [[libc::SIGUSR2]; 2] && signals.next().signal == libc::SIGUSR1)
        });
        assert_eq!(wait(child.unwrap()).unwrap().exit_status(), Some(1));
    }

    #[test]
    fn all_but_two_are_closed() {
        let (reader, writer) = io::pipe().unwrap();
        let child = fork(|| {
            let two = [OwnedFd::from(reader.try_clone().unwrap()), OwnedFd::from(writer)];
            close_all_but([&two[0], &two[1]]);
            let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
            u8::try_from(open).unwrap() // and the one of the directory
        });
        assert_eq!(wait(child.unwrap()).unwrap().exit_status(), Some(3));
    }

    #[test]
    fn what_cannot_be_executed_says_why() {
        let errno = |program: &str| execute(OsStr::new(program), &[], Vec::new()).raw_os_error();
        assert_eq!(errno("/nonexistent/program"), Some(libc::ENOENT));
        assert_eq!(errno("/etc/passwd"), Some(libc::EACCES));
        assert_eq!(errno("with\0zero"), Some(libc::EINVAL));
    }
}
