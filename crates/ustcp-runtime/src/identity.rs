//! What the host keeps from one process to the next: the keys of initial sequence numbers and timestamps.
//!
//! A peer in TIME-WAIT takes a new connection between the same ends only when its SYN is newer than all it saw. So the
//! next process must count on from where the last one was: with the same keys, by a clock that does not go back.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ustcp_proto::{Identity, Secret};

use crate::settings::SecretFile;
use crate::stderr::complain;
use crate::sys::{credentials, time};

const SECRET: usize = 32;
/// As /proc/sys/kernel/random/boot_id has it.
const BOOT: usize = 36;
const LEN: usize = SECRET + BOOT + 8;

/// The file's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    secret: [u8; SECRET],
    /// Since which start of the machine `ahead` counts.
    boot: [u8; BOOT],
    /// Nanoseconds.
    ahead: u64,
}

/// The identity that `file` keeps, made when there is none. `None`: nothing can be kept here, and this process has keys
/// of its own.
pub(crate) fn of(file: &SecretFile) -> Option<Identity> {
    let path = match file {
        SecretFile::None => return None,
        SecretFile::Path(path) => path.clone(),
        SecretFile::Default => default_path()?,
    };
    match kept(&path) {
        Ok(record) => Some(Identity {
            secret: Secret(record.secret),
            ahead: Duration::from_nanos(record.ahead),
        }),
        Err(error) => {
            if *file != SecretFile::Default || error.kind() == io::ErrorKind::InvalidData {
                complain(&format!(
                    "{}: {error}; this process has keys of its own",
                    path.display()
                ));
            }
            None
        }
    }
}

/// One for the host where we may write there, else one for the user.
fn default_path() -> Option<PathBuf> {
    if credentials::user() == 0 {
        return Some("/var/lib/ustcp/secret".into());
    }
    if credentials::has_borrowed_rights() {
        return None; // the environment is somebody else's
    }
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(state?.join("ustcp/secret"))
}

fn kept(path: &Path) -> io::Result<Record> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => begin(path),
        Ok(record) if record.boot != boot()? => rebase(path, record),
        result => result,
    }
}

/// The file, if nobody but us can have written or read it.
fn read(path: &Path) -> io::Result<Record> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => distrust("it is a symbolic link"),
            _ => error,
        })?;
    let about = file.metadata()?;
    if !about.is_file() || about.uid() != credentials::user() || about.mode() & 0o077 != 0 {
        return Err(distrust("it is not a file that its owner alone can read"));
    }
    let mut bytes = Vec::with_capacity(LEN + 1);
    file.take(LEN as u64 + 1).read_to_end(&mut bytes)?;
    Record::read(&bytes).ok_or_else(|| distrust("it is no secret of ours"))
}

fn distrust(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The first process makes the file. Should two be the first, one of them wins, and both have the winner's.
fn begin(path: &Path) -> io::Result<Record> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut secret = [0; SECRET];
    getrandom::fill(&mut secret).map_err(|error| io::Error::other(error.to_string()))?;
    let record = Record {
        secret,
        boot: boot()?,
        ahead: boot_time(),
    };
    let draft = draft(path, &record)?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        result => result.map(|()| record),
    }
}

/// The machine has started anew, and its clock with it: ours goes on by the wall clock, and never back.
fn rebase(path: &Path, record: Record) -> io::Result<Record> {
    let record = Record {
        boot: boot()?,
        ahead: record.ahead.max(boot_time()),
        ..record
    };
    fs::rename(draft(path, &record)?, path)?;
    Ok(record)
}

/// Writes a record beside `path`, under a name of this process's own.
fn draft(path: &Path, record: &Record) -> io::Result<PathBuf> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(|error| io::Error::other(error.to_string()))?;
    let name = path.with_extension(format!("{:016x}", u64::from_ne_bytes(number)));
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&name)?;
    file.write_all(&record.to_bytes())?;
    Ok(name)
}

fn boot() -> io::Result<[u8; BOOT]> {
    let text = fs::read("/proc/sys/kernel/random/boot_id")?;
    let boot = text.first_chunk().copied();
    boot.ok_or_else(|| distrust("no boot_id"))
}

/// When the machine was started, in nanoseconds since 1970.
fn boot_time() -> u64 {
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let nanos = u64::try_from(since_1970.as_nanos()).unwrap_or(0);
    nanos.saturating_sub(time::monotonic_nanos())
}

impl Record {
    fn read(bytes: &[u8]) -> Option<Record> {
        let (secret, rest) = bytes.split_first_chunk()?;
        let (boot, rest) = rest.split_first_chunk()?;
        Some(Record {
            secret: *secret,
            boot: *boot,
            ahead: u64::from_le_bytes(rest.try_into().ok()?),
        })
    }

    fn to_bytes(self) -> Vec<u8> {
        [&self.secret[..], &self.boot[..], &self.ahead.to_le_bytes()[..]].concat()
    }
}

#[cfg(test)]
mod tests;
