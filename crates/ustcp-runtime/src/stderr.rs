//! Standard error is the program's: what we say there never waits for its reader, and raises no signal.

use std::io::{self, Write};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::cancel::Uncancelled;
use crate::sys::fd;

/// Bytes that a pipe with any room takes at once. pipe(7), `PIPE_BUF`.
const PIECE: usize = 4096;

/// Lines that found no room, and nobody has been told yet.
static LOST: AtomicU64 = AtomicU64::new(0);

/// One line of ours to the people who run the program. Nobody hears of a failure to write it.
pub(crate) fn complain(line: &str) {
    let _ = write(format!("ustcp: {line}\n").as_bytes());
}

/// Standard error, for whoever writes whole lines.
pub(crate) struct Lines;

impl Write for Lines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        write(lines)?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(lines: &[u8]) -> io::Result<()> {
    write_to(libc::STDERR_FILENO, &LOST, lines)
}

/// Lines for which there is no room are lost, and counted where there is room again.
fn write_to(fd: RawFd, lost: &AtomicU64, lines: &[u8]) -> io::Result<()> {
    let _uncancelled = Uncancelled::new();
    let before = lost.swap(0, Ordering::Relaxed);
    if before > 0 {
        let note = format!("ustcp: {before} lines found no room here\n");
        if !put(fd, note.as_bytes())?.is_empty() {
            lost.fetch_add(before + count(lines), Ordering::Relaxed);
            return Ok(());
        }
    }
    lost.fetch_add(count(put(fd, lines)?), Ordering::Relaxed);
    Ok(())
}

/// Writes what there is room for. Returns the rest.
fn put(fd: RawFd, mut lines: &[u8]) -> io::Result<&[u8]> {
    while !lines.is_empty() {
        match fd::write_now(fd, piece(lines)) {
            Ok(written) => lines = lines.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(lines)
}

/// As many whole lines as a pipe takes at once.
fn piece(lines: &[u8]) -> &[u8] {
    let piece = lines.get(..PIECE).unwrap_or(lines);
    let end = piece.iter().rposition(|&byte| byte == b'\n');
    end.and_then(|end| piece.get(..=end)).unwrap_or(piece)
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().map(|&byte| u64::from(byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_full_pipe_loses_lines_and_says_how_many() {
        let (mut reader, writer) = io::pipe().unwrap();
        let lost = AtomicU64::new(0);
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        let many = line.repeat(10_000); // more than any pipe holds
        write_to(writer.as_raw_fd(), &lost, &many).unwrap();
        write_to(writer.as_raw_fd(), &lost, b"one more\n").unwrap();
        let missing = lost.load(Ordering::Relaxed);
        let held = many.len() - (usize::try_from(missing).unwrap() - 1) * line.len();
        reader.read_exact(&mut vec![0; held]).unwrap();
        write_to(writer.as_raw_fd(), &lost, b"room again\n").unwrap();
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, format!("ustcp: {missing} lines found no room here\nroom again\n"));
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let error = write_to(writer.as_raw_fd(), &AtomicU64::new(0), b"nobody reads\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
