//! Files that a log or a capture grows in: buffered, flushed once a second, and never a reason to fail.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use ustcp_proto::Instant;

use crate::stderr::{Lines, complain};
use crate::sys::{credentials, signal};

/// Bytes that are kept back at most.
const BUFFER: usize = 64 * 1024;
/// And for how long.
const HOLD: Duration = Duration::from_secs(1);

/// Where bytes go.
pub(crate) struct Sink {
    target: Option<Box<dyn Write + Send>>,
    name: String,
    buffer: Vec<u8>,
    due: Option<Instant>,
    hold: Duration,
    process: u32,
}

impl Sink {
    /// A file, emptied first; a new one is readable by its owner alone, for it holds what was said on the network. Pipes
    /// and sockets are refused, for a slow reader would hold up the stack.
    pub(crate) fn create(path: &Path) -> io::Result<Sink> {
        refuse_pipe(path)?;
        let file = to_write().create(true).truncate(true).open(path)?;
        Ok(Sink::new(Box::new(file), path.display().to_string(), HOLD))
    }

    /// Standard error, for people who watch: nothing is held for longer than `hold`.
    pub(crate) fn stderr(hold: Duration) -> Sink {
        Sink::new(Box::new(Lines), "standard error".to_owned(), hold)
    }

    fn new(target: Box<dyn Write + Send>, name: String, hold: Duration) -> Sink {
        Sink {
            target: Some(target),
            name,
            buffer: Vec::new(),
            due: None,
            hold,
            process: std::process::id(),
        }
    }

    /// Whether there is still somebody to write for.
    pub(crate) fn is_open(&self) -> bool {
        self.target.is_some()
    }

    /// Lets `fill` append to the file.
    pub(crate) fn append(&mut self, now: Instant, fill: impl FnOnce(&mut Vec<u8>)) {
        if !self.is_open() {
            return;
        }
        fill(&mut self.buffer);
        if self.buffer.len() >= BUFFER {
            return self.flush();
        }
        self.due.get_or_insert(now + self.hold);
    }

    /// When [`on_timeout`](Sink::on_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Time has come to `now`.
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.flush();
        }
    }

    /// Writes what is kept back. The first failure is told, and ends the file.
    pub(crate) fn flush(&mut self) {
        self.due = None;
        let bytes = std::mem::take(&mut self.buffer);
        // The child of a fork holds a copy of what its parent is going to write.
        if self.process != std::process::id() {
            self.target = None;
        }
        let Some(target) = &mut self.target else { return };
        if let Err(error) = signal::writing(|| target.write_all(&bytes)) {
            self.target = None;
            complain(&format!("{} ends here: {error}", self.name));
            return;
        }
        self.buffer = bytes;
        self.buffer.clear();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Whether a log or a capture can be written at `path`. Whatever is there stays as it is, and nothing is made to find out:
/// somebody else could have begun to write it by the time that it is taken away again.
pub fn probe_file(path: &Path) -> io::Result<()> {
    refuse_pipe(path)?;
    match to_write().open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(target) => probe_file(&directory_of(path).join(target)),
            Err(_) => credentials::check_that_files_may_be_made(directory_of(path)),
        },
        opened => opened.map(drop),
    }
}

fn directory_of(path: &Path) -> &Path {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    directory.unwrap_or(Path::new("."))
}

fn to_write() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

fn refuse_pipe(path: &Path) -> io::Result<()> {
    let kind = path.metadata().map(|file| file.file_type());
    match kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket()) {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a pipe or socket is no file",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("ustcp-sink-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_full_buffer_is_written_at_once_and_the_rest_at_the_end() {
        let path = path("full");
        let mut sink = Sink::create(&path).unwrap();
        sink.append(Instant::ZERO, |out| out.resize(BUFFER - 1, b'a'));
        assert_eq!(fs::read(&path).unwrap().len(), 0);
        sink.append(Instant::ZERO, |out| out.push(b'b'));
        assert_eq!(fs::read(&path).unwrap().len(), BUFFER);
        assert_eq!(sink.poll_timeout(), None);
        sink.append(Instant::ZERO, |out| out.push(b'c'));
        drop(sink);
        assert_eq!(fs::read(&path).unwrap().len(), BUFFER + 1);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_full_disk_ends_the_file_and_nothing_else() {
        let mut sink = Sink::create(Path::new("/dev/full")).unwrap();
        sink.append(Instant::ZERO, |out| out.push(b'a'));
        sink.on_timeout(Instant::ZERO + HOLD);
        assert!(!sink.is_open());
        sink.append(Instant::ZERO, |_| panic!("nobody to write for"));
        assert_eq!(sink.poll_timeout(), None);
    }

    #[test]
    fn a_child_of_fork_does_not_write_what_its_parent_will() {
        let path = path("child");
        let mut sink = Sink::create(&path).unwrap();
        sink.append(Instant::ZERO, |out| out.push(b'a'));
        sink.process += 1;
        drop(sink);
        assert_eq!(fs::read(&path).unwrap(), b"");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_socket_is_refused() {
        let path = path("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(Sink::create(&path).is_err());
        assert!(probe_file(&path).is_err());
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_question_leaves_nothing_and_takes_nothing() {
        let path = path("probed");
        probe_file(&path).unwrap();
        assert!(!path.exists());
        fs::write(&path, "kept").unwrap();
        probe_file(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"kept");
        let below = probe_file(&path.join("x")).unwrap_err();
        assert_eq!(below.raw_os_error(), Some(libc::ENOTDIR));
        fs::remove_file(&path).unwrap();
        assert_eq!(
            probe_file(&std::env::temp_dir()).unwrap_err().raw_os_error(),
            Some(libc::EISDIR)
        );
    }

    #[test]
    fn of_a_link_to_nothing_the_question_leaves_nothing_too() {
        let (link, target) = (path("link"), path("link-target"));
        std::os::unix::fs::symlink(target.file_name().unwrap(), &link).unwrap();
        probe_file(&link).unwrap();
        assert!(!target.exists());
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("/nonexistent/x", &link).unwrap();
        assert_eq!(probe_file(&link).unwrap_err().raw_os_error(), Some(libc::ENOENT));
        fs::remove_file(&link).unwrap();
    }

    #[test]
    fn others_may_not_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let path = path("mode");
        drop(Sink::create(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
    }
}
