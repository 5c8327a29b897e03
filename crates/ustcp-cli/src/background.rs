//! Engines in the background: processes of their own, in a session of their own, that hold nothing of who started them.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::fs::fstat;
use rustix::stdio::dup2_stderr;
use ustcp_client::place::{Place, PlaceError};
use ustcp_engine::Lifetime;

use crate::Failure;
use crate::control;
use crate::handshake::{self, NotStarted};
use crate::marks;
use crate::options::EngineOptions;
use crate::sys;

/// Bytes of a log beyond which the next engine begins a new one, and keeps this as `log.old`.
const LOG_MAX: u64 = 256 << 10;

/// Starts an engine, and returns when it is ready or has said why not. What it has to say besides goes to its `log`, and
/// until it is ready to our standard error as well.
pub(crate) fn start(place: &Place, options: &EngineOptions, lifetime: Lifetime) -> Result<(), NotStarted> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", place.directory().display());
    let unusable = |error: &dyn std::fmt::Display| NotStarted {
        errno: 0,
        message: at(error),
    };
    let closed = |error: PlaceError| NotStarted::from(Failure::new(error.to_string())); // it names the directory
    place.create(control::uid()).map_err(closed)?;
    let (log, before) = log(place).map_err(|error| unusable(&error))?;
    let (reader, writer) = io::pipe()?;
    let mut command = command(place, options, lifetime);
    command
        .arg("--away")
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(log.try_clone()?);
    // It is the child of a child: the program that we are about to become would not know what to do with one.
    command.status()?;
    drop(command); // and with it the pipe's end, which would keep it open
    let outcome = handshake::hear(reader);
    if let Ok(said) = said_since(log, before) {
        let _ = io::stderr().write_all(&said); // nobody is there to be told otherwise
    }
    outcome
}

/// What ps(1) and top(1) call it.
const NAME: &str = "ustcp";

/// Gives this process the command's name: it has been started as `/proc/self/exe`, which is there whatever became of the file.
pub(crate) fn take_name() {
    let _ = fs::write("/proc/self/comm", NAME); // else it is called `exe`
}

/// This command as an engine at `place` that reports on its standard output.
pub(crate) fn command(place: &Place, options: &EngineOptions, lifetime: Lifetime) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(NAME)
        .args(["up", "--report", "--engine"])
        .arg(place.directory());
    command.args(options.arguments());
    // Where it is started in a run on another engine, it is no process of that one.
    for name in marks::NAMES {
        command.env_remove(name);
    }
    if lifetime == Lifetime::UntilIdle {
        command.arg("--until-idle");
    }
    command
}

/// Goes on as a process in the background, in the child of this one.
pub(crate) fn go_away(body: impl FnOnce() -> u8) -> io::Result<()> {
    // A jobserver's pipe, a lock that somebody waits for: none of it may live as long as we do.
    sys::close_all_but_standard();
    let in_session = || {
        let _ = rustix::process::setsid(); // fails only for who leads a group, and we have just been born
        body()
    };
    sys::fork(in_session).map(drop)
}

/// Standard error of the engine, and how many bytes those before it have said there: why they died, perhaps.
fn log(place: &Place) -> io::Result<(File, u64)> {
    let path = place.file("log");
    if fs::symlink_metadata(&path).is_ok_and(|log| log.len() > LOG_MAX) {
        fs::rename(&path, place.file("log.old"))?;
    }
    let mut options = File::options();
    options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW);
    let log = options.open(path)?;
    let before = log.metadata()?.len();
    Ok((log, before))
}

/// What this process says from now on goes to the log that is there: one that has just ended may have taken away an empty
/// one, with which we were started.
pub(crate) fn keep_log(place: &Place) -> io::Result<()> {
    if fstat(io::stderr())?.st_nlink == 0 {
        let (log, _) = log(place)?;
        dup2_stderr(&log)?;
    }
    Ok(())
}

/// Of the log itself, which may have been taken away.
fn said_since(mut log: File, before: u64) -> io::Result<Vec<u8>> {
    log.seek(SeekFrom::Start(before))?;
    let mut said = Vec::new();
    log.read_to_end(&mut said)?;
    Ok(said)
}
