//! Where a descriptor is registered with epoll, so that another file can take its place there too.

use core::ffi::CStr;

use libc::{c_int, c_long};
use rustix::io::Errno;

use super::{Transient, call};

/// Registrations of one descriptor that are kept, at most: each is in another epoll of the process.
const MOST: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Registration {
    epoll: c_int,
    events: u32,
    data: u64,
}

/// Those of a descriptor, as /proc tells them: none where there is no /proc. No other process's are known. By this thread's
/// part of it: /proc/self is the main thread's, which has no descriptors once it has ended.
#[derive(Debug, Default)]
pub(crate) struct Registrations([Option<Registration>; MOST]);

impl Registrations {
    /// Takes the descriptor's file out of every epoll of this process, as long as it still is the descriptor's.
    pub(crate) fn take(fd: c_int) -> Registrations {
        let mut taken = Registrations::default();
        let mut free = taken.0.iter_mut();
        let Ok(directory) = open(c"/proc/thread-self/fd", libc::O_DIRECTORY) else {
            return taken;
        };
        each_number(&directory, |epoll| {
            if is_epoll(epoll)
                && let Some((events, data)) = registered(epoll, fd)
                && let Some(place) = free.next()
                && control(epoll, libc::EPOLL_CTL_DEL, fd, 0, 0).is_ok()
            {
                *place = Some(Registration { epoll, events, data });
            }
        });
        taken
    }

    /// Puts what is behind the descriptor now where its former file was.
    pub(crate) fn put(&self, fd: c_int) {
        for Registration { epoll, events, data } in self.0.iter().flatten().copied() {
            // It fails where the program has closed that epoll meanwhile.
            let _ = control(epoll, libc::EPOLL_CTL_ADD, fd, events, data);
        }
    }
}

/// epoll_ctl(2).
pub(super) fn control(epoll: c_int, operation: c_int, fd: c_int, events: u32, data: u64) -> Result<(), Errno> {
    let event = libc::epoll_event { events, u64: data };
    let event = &raw const event as usize;
    // SAFETY: `event` lives across the call.
    unsafe {
        call(
            libc::SYS_epoll_ctl,
            [epoll as usize, operation as usize, fd as usize, event, 0, 0],
        )
    }
    .map(drop)
}

fn open(path: &CStr, flags: c_int) -> Result<Transient, Errno> {
    let flags = (flags | libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    // SAFETY: the path ends with a zero.
    let fd = unsafe {
        call(
            libc::SYS_openat,
            [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, 0, 0, 0],
        )
    }?;
    Ok(Transient(fd as c_int))
}

/// A system call that fills `into`: how many bytes it has written.
fn fill(number: c_long, fd: usize, path: usize, into: &mut [u8]) -> usize {
    let (to, len) = (into.as_mut_ptr() as usize, into.len());
    let arguments = match path {
        0 => [fd, to, len, 0, 0, 0],
        path => [fd, path, to, len, 0, 0],
    };
    // SAFETY: `into` is ours and has room for `len` bytes; a path ends with a zero.
    unsafe { call(number, arguments) }.map_or(0, |filled| filled.min(len))
}

/// The names of a directory that are numbers.
fn each_number(directory: &Transient, mut visit: impl FnMut(c_int)) {
    /// Where `d_reclen` and `d_name` are in `struct linux_dirent64`.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut buffer = [0; 256];
    loop {
        let filled = fill(libc::SYS_getdents64, directory.0 as usize, 0, &mut buffer);
        let mut rest = buffer.get(..filled).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        while let Some(length) = rest.get(LENGTH..).and_then(<[u8]>::first_chunk) {
            let length = usize::from(u16::from_ne_bytes(*length)).max(1);
            let name = rest.get(NAME..length).unwrap_or_default();
            if let Some(number) = number(name.split(|byte| *byte == 0).next().unwrap_or_default(), 10) {
                visit(number as c_int);
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

fn is_epoll(fd: c_int) -> bool {
    let mut link = [0; 32];
    let path = Path::of(b"/proc/thread-self/fd/", fd);
    let len = fill(
        libc::SYS_readlinkat,
        libc::AT_FDCWD as usize,
        path.text().as_ptr() as usize,
        &mut link,
    );
    link.get(..len) == Some(b"anon_inode:[eventpoll]")
}

/// What an epoll has been told of a descriptor: the line `tfd: FD events: HEX data: HEX pos:.. ino:HEX sdev:HEX` of its
/// fdinfo, for the file that is behind the descriptor now.
fn registered(epoll: c_int, fd: c_int) -> Option<(u32, u64)> {
    let path = Path::of(b"/proc/thread-self/fdinfo/", epoll);
    let file = open(path.text(), 0).ok()?;
    let inode = inode(fd)?;
    let mut buffer = [0; 256]; // more than a line
    let mut kept = 0;
    loop {
        let filled = fill(libc::SYS_read, file.0 as usize, 0, buffer.get_mut(kept..)?);
        let mut rest = buffer.get(..kept + filled)?;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            if let Some(told) = told_in(line, fd, inode) {
                return Some(told);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        if filled == 0 {
            return None;
        }
        let (start, len) = (kept + filled - rest.len(), rest.len());
        buffer.copy_within(start..start + len, 0);
        kept = len;
    }
}

fn told_in(line: &[u8], fd: c_int, inode: u64) -> Option<(u32, u64)> {
    let field = |name: &[u8]| {
        let at = line.windows(name.len()).position(|window| window == name)? + name.len();
        let value = line.get(at..)?.trim_ascii_start();
        value.split(|byte| *byte == b' ').next()
    };
    let is_it = number(field(b"tfd:")?, 10)? == u64::try_from(fd).ok()? && number(field(b"ino:")?, 16)? == inode;
    let events = u32::try_from(number(field(b"events:")?, 16)?).ok()?;
    is_it.then_some((events, number(field(b"data:")?, 16)?))
}

fn inode(fd: c_int) -> Option<u64> {
    // SAFETY: all-zero is a status of nothing.
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: `status` has room for what the call writes.
    unsafe { call(libc::SYS_fstat, [fd as usize, &raw mut status as usize, 0, 0, 0, 0]) }.ok()?;
    Some(status.st_ino)
}

fn number(text: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(core::str::from_utf8(text).ok()?, radix).ok()
}

/// A path in /proc that ends with a number.
struct Path([u8; 40]);

impl Path {
    fn of(start: &[u8], number: c_int) -> Path {
        let mut digits = [0; 10];
        let mut rest = number.cast_unsigned();
        let mut count = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        let digits = digits.iter().skip(10 - count);
        let mut path = [0; 40];
        path.iter_mut()
            .zip(start.iter().chain(digits))
            .for_each(|(to, from)| *to = *from);
        Path(path)
    }

    fn text(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::mem::MaybeUninit;
    use std::os::fd::{AsRawFd, OwnedFd};

    use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

    use super::*;

    #[test]
    fn what_every_epoll_was_told_is_kept_for_the_file_that_takes_the_place() {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let (fresh, peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let fd = one.as_raw_fd();
        let epolls = [0, 1].map(|_| epoll::create(CreateFlags::CLOEXEC).unwrap());
        let flags = [EventFlags::IN | EventFlags::ET, EventFlags::IN | EventFlags::RDHUP];
        let mut noises = Vec::new();
        for ((epoll, flags), data) in epolls.iter().zip(flags).zip([u64::MAX, 7]) {
            epoll::add(epoll, &one, EventData::new_u64(data), flags).unwrap();
            for noise in 100..140 {
                let dup = one.try_clone().unwrap(); // lines enough for several reads
                epoll::add(epoll, &dup, EventData::new_u64(noise), flags).unwrap();
                noises.push(dup);
            }
        }
        let taken = Registrations::take(fd);
        let mut place = OwnedFd::from(one);
        rustix::io::dup2(&fresh, &mut place).unwrap();
        taken.put(fd);
        drop(other); // nobody hears of the former file
        (&peer).write_all(b"x").unwrap();
        for (epoll, data) in epolls.iter().zip([u64::MAX, 7]) {
            let mut events = [MaybeUninit::uninit(); 64];
            let (events, _) = epoll::wait(epoll, &mut events, None).unwrap();
            let told = events.iter().filter(|event| event.data.u64() == data);
            assert_eq!(told.map(|event| event.flags).collect::<Vec<_>>(), [EventFlags::IN]);
        }
    }

    #[test]
    fn a_line_of_fdinfo_is_read() {
        let line = b"tfd:       12 events: 80002019 data: ffffffffffffffff  pos:0 ino:8f3a sdev:8";
        assert_eq!(told_in(line, 12, 0x8f3a), Some((0x8000_2019, u64::MAX)));
        assert_eq!(told_in(line, 1, 0x8f3a), None);
        assert_eq!(told_in(line, 12, 0x8f3b), None);
        assert_eq!(told_in(b"flags:\t02000002", 12, 0), None);
    }
}
