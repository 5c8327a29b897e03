//! The engine's directory: the lock, the listeners, the file that says where it is.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, chmod, flock, fstat, lstat, openat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use ustcp_client::place::Place;
use ustcp_client::whereabouts::{Listener, Whereabouts};
use ustcp_runtime::StartError;

use crate::stream::refuse_descriptors;

/// Connections that may wait to be taken in, each a program in `connect`.
pub(crate) const BACKLOG: usize = 4096;

/// The listener by its abstract name, of two.
pub(crate) const BY_NAME: usize = 0;

/// Its place among the programs of this host.
#[derive(Debug)]
pub(crate) struct Site {
    place: Place,
    /// Held as long as the engine lives.
    lock: OwnedFd,
    /// Locked as well: those who clean up /tmp pass it by, tmpfiles.d(5).
    _directory: OwnedFd,
    pub(crate) whereabouts: Whereabouts,
    /// [By abstract name](BY_NAME), then by path.
    pub(crate) streams: [OwnedFd; 2],
    pub(crate) controls: [OwnedFd; 2],
}

impl Site {
    /// Takes the place; `EALREADY` where an engine lives there already.
    pub(crate) fn take(place: Place) -> Result<Site, StartError> {
        let uid = rustix::process::geteuid().as_raw();
        let at = |what: &str| format!("{}: {what}", place.directory().display());
        place
            .create(uid)
            .map_err(|error| failed(libc::EACCES, error.to_string()))?;
        let lock = lock(&place)?;
        let opened = Site::open(place, lock);
        opened.map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            failed(errno, at(&error.to_string()))
        })
    }

    fn open(place: Place, lock: OwnedFd) -> io::Result<Site> {
        let whereabouts = Whereabouts {
            id: random()?,
            token: random()?,
            user: rustix::process::geteuid().as_raw(),
            pid: Some(std::process::id()),
        };
        let directory = kept(place.directory())?;
        clear(&place)?; // what one that was killed has left
        let listeners = |which, kind| -> io::Result<[OwnedFd; 2]> {
            let by_name = listener(kind, &whereabouts.address(which)?)?;
            let by_path = listener(kind, &place.address(which)?)?;
            chmod(place.file(which.file()), Mode::RUSR | Mode::WUSR)?;
            Ok([by_name, by_path])
        };
        Ok(Site {
            streams: listeners(Listener::Streams, SocketType::STREAM)?,
            controls: listeners(Listener::Control, SocketType::SEQPACKET)?,
            place,
            lock,
            _directory: directory,
            whereabouts,
        })
    }

    /// Programs find it from now on.
    pub(crate) fn announce(&self) -> Result<(), StartError> {
        if !self.is_ours() {
            let gone = "its files were taken away";
            return Err(failed(
                libc::ENOENT,
                format!("{}: {gone}", self.place.directory().display()),
            ));
        }
        let write = || -> io::Result<()> {
            let new = self.place.file("engine.new");
            write_private(&new, &self.whereabouts.line().to_string())?;
            fs::rename(new, self.place.file("engine"))?;
            remove(&self.place, "ending") // it was about to end, and does not
        };
        write().map_err(|error| {
            let message = format!("{}: {error}", self.place.directory().display());
            failed(error.raw_os_error().unwrap_or(libc::EIO), message)
        })
    }

    /// Programs that look for it find it no longer; those that know it still reach it, and those that ask who is ending.
    pub(crate) fn withdraw(&self) {
        if self.is_ours() {
            // Fails where it was withdrawn before.
            let _ = fs::rename(self.place.file("engine"), self.place.file("ending"));
        }
    }

    /// Whether its files are there still. Who takes them away, as cleaners of /tmp do, leaves the place to whoever comes next.
    fn is_ours(&self) -> bool {
        is_at(&self.lock, &self.place.file("lock")) == Ok(true)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        // Whoever comes next clears what could not be cleared now. The lock goes last, while it is held.
        let _ = clear(&self.place)
            .and_then(|()| remove_empty_log(&self.place))
            .and_then(|()| remove(&self.place, "lock"));
    }
}

fn failed(errno: i32, message: String) -> StartError {
    StartError {
        errno: ustcp_runtime::Errno(errno),
        message,
    }
}

fn lock(place: &Place) -> Result<OwnedFd, StartError> {
    let path = place.file("lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let told = |errno: Errno| {
        let message = match errno {
            Errno::WOULDBLOCK => format!("an engine runs already at {}", place.directory().display()),
            other => format!("{}: {other}", path.display()),
        };
        match errno {
            Errno::WOULDBLOCK => failed(libc::EALREADY, message),
            other => failed(other.raw_os_error(), message),
        }
    };
    loop {
        let lock = openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR).map_err(told)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(told)?;
        // Who held it may have ended meanwhile, and taken the file away.
        if is_at(&lock, &path).map_err(told)? {
            return Ok(lock);
        }
    }
}

/// That directory, with a lock that others may hold too; and without, should one who cleans up be there just now.
fn kept(directory: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory = openat(CWD, directory, flags, Mode::empty())?;
    let _ = flock(&directory, FlockOperation::NonBlockingLockShared);
    Ok(directory)
}

/// Whether that file is the one of this path, still.
fn is_at(file: &OwnedFd, path: &Path) -> Result<bool, Errno> {
    let held = fstat(file)?;
    match lstat(path) {
        Ok(there) => Ok((there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn listener(kind: SocketType, address: &SocketAddrUnix) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, kind, flags, None)?;
    refuse_descriptors(&listener);
    bind(&listener, address)?;
    listen(&listener, BACKLOG as i32)?;
    Ok(listener)
}

fn clear(place: &Place) -> io::Result<()> {
    let files = [
        "engine",
        "engine.new",
        "ending",
        Listener::Streams.file(),
        Listener::Control.file(),
    ];
    files.iter().try_for_each(|name| remove(place, name))
}

/// What was said in it is kept: why an engine died, perhaps.
fn remove_empty_log(place: &Place) -> io::Result<()> {
    let is_empty = |log: fs::Metadata| log.is_file() && log.len() == 0;
    match fs::symlink_metadata(place.file("log")).is_ok_and(is_empty) {
        true => remove(place, "log"),
        false => Ok(()),
    }
}

/// Has no such file there.
fn remove(place: &Place, name: &str) -> io::Result<()> {
    match fs::remove_file(place.file(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(CWD, path, flags, Mode::RUSR | Mode::WUSR)?;
    io::Write::write_all(&mut fs::File::from(file), text.as_bytes())
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}
