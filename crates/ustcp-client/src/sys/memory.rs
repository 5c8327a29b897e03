//! Memory of the program, which may be anything: the kernel looks at it, and never we.

use libc::{c_long, c_void, iovec};
use rustix::io::Errno;

use super::{Transient, call};

/// Memory that a call reads.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    start: *const u8,
    len: usize,
}

impl Source {
    /// # Safety
    /// `len` bytes from `start` on are the call's to read while it lasts, as far as they can be read at all.
    #[must_use]
    pub unsafe fn new(start: *const c_void, len: usize) -> Source {
        let start = start.cast();
        Source { start, len }
    }

    /// Bytes of our own.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Source {
        let (start, len) = (bytes.as_ptr(), bytes.len());
        Source { start, len }
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the program gave no pointer.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.start.is_null()
    }

    /// The first bytes of it.
    #[must_use]
    pub fn first(self, len: usize) -> Source {
        let len = self.len.min(len);
        Source { len, ..self }
    }

    /// Its last byte, if it has one.
    #[must_use]
    pub fn last(self) -> Source {
        let len = self.len.min(1);
        let start = self.start.wrapping_add(self.len - len);
        Source { start, len }
    }

    /// Copies its first bytes in, as many as both have; how many. `EFAULT`.
    pub fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        let len = self.len.min(into.len());
        copy(
            libc::SYS_process_vm_readv,
            [vector(into.as_ptr(), len)],
            [vector(self.start, len)],
        )?;
        Ok(len)
    }

    pub(super) fn vector(&self) -> iovec {
        vector(self.start, self.len)
    }
}

/// Memory that a call writes, and perhaps reads before.
#[derive(Clone, Copy, Debug)]
pub struct Sink {
    start: *mut u8,
    len: usize,
}

impl Sink {
    /// # Safety
    /// `len` bytes from `start` on are the call's to read and write while it lasts, as far as they can be at all.
    #[must_use]
    pub unsafe fn new(start: *mut c_void, len: usize) -> Sink {
        let start = start.cast();
        Sink { start, len }
    }

    /// Bytes of our own.
    #[must_use]
    pub fn of(bytes: &mut [u8]) -> Sink {
        let (start, len) = (bytes.as_mut_ptr(), bytes.len());
        Sink { start, len }
    }

    /// Whether the program gave no pointer.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.start.is_null()
    }

    /// The same, with fewer bytes of it.
    #[must_use]
    pub fn first(self, len: usize) -> Sink {
        let len = self.len.min(len);
        Sink { len, ..self }
    }

    /// The same, without its first bytes.
    #[must_use]
    pub(crate) fn after(self, len: usize) -> Sink {
        let len = self.len.min(len);
        Sink {
            start: self.start.wrapping_add(len),
            len: self.len - len,
        }
    }

    /// How many bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What stands there.
    #[must_use]
    pub fn source(&self) -> Source {
        let (start, len) = (self.start.cast_const(), self.len);
        Source { start, len }
    }

    /// Copies what stands there in. `EFAULT`.
    pub fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        self.source().read(into)
    }

    pub(super) fn vector(&self) -> iovec {
        vector(self.start, self.len)
    }

    /// Copies bytes out, as many as there is room for; how many. `EFAULT`.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        self.write_from(Source::of(bytes))
    }

    /// The same from memory of ours that may have gaps in it.
    pub(super) fn write_from(&self, from: Source) -> Result<usize, Errno> {
        let len = self.len.min(from.len);
        copy(
            libc::SYS_process_vm_writev,
            [vector(from.start, len)],
            [vector(self.start, len)],
        )?;
        Ok(len)
    }
}

/// Copies bytes out to several places, one after the other, to each as many as it has room for. `EFAULT`.
pub(crate) fn write_each<const N: usize>(pieces: [(Sink, &[u8]); N]) -> Result<(), Errno> {
    let pieces = pieces.map(|(to, bytes)| (to.first(bytes.len()), bytes));
    let ours = pieces.map(|(to, bytes)| vector(bytes.as_ptr(), to.len));
    copy(libc::SYS_process_vm_writev, ours, pieces.map(|(to, _)| to.vector()))
}

fn vector(start: *const u8, len: usize) -> iovec {
    iovec {
        iov_base: start.cast_mut().cast(),
        iov_len: len,
    }
}

/// process_vm_readv(2) or process_vm_writev(2) between `ours` and the program's, each of which is as long as the other.
fn copy<const N: usize>(number: c_long, ours: [iovec; N], theirs: [iovec; N]) -> Result<(), Errno> {
    let len = ours.iter().map(|piece| piece.iov_len).sum::<usize>();
    if len == 0 {
        return Ok(());
    }
    let (ours_at, theirs_at) = (ours.as_ptr() as usize, theirs.as_ptr() as usize);
    // SAFETY: `ours` are ours and so long; the kernel checks `theirs`, which the call may use.
    // By the thread: a process whose main thread has ended has no memory by its own number.
    let copied =
        unsafe { call(libc::SYS_gettid, [0; 6]).and_then(|own| call(number, [own, ours_at, N, theirs_at, N, 0])) };
    match copied {
        Ok(copied) if copied == len => Ok(()),
        Ok(_) | Err(Errno::FAULT) => Err(Errno::FAULT),
        // A sandbox answers what it likes.
        Err(_) => (ours.iter().zip(&theirs)).try_for_each(|(ours, theirs)| copy_through_a_socket(number, ours, theirs)),
    }
}

/// The same where a sandbox forbids that call: through a pair of sockets.
fn copy_through_a_socket(number: c_long, ours: &iovec, theirs: &iovec) -> Result<(), Errno> {
    if ours.iov_len == 0 {
        return Ok(());
    }
    let [one, other] = Transient::pair()?;
    let (from, to) = if number == libc::SYS_process_vm_readv {
        (theirs, ours)
    } else {
        (ours, theirs)
    };
    let flags = libc::MSG_DONTWAIT as usize;
    // SAFETY: one side is ours and long enough, the other the kernel checks.
    let copied = unsafe {
        call(
            libc::SYS_sendto,
            [one.number() as usize, from.iov_base as usize, from.iov_len, flags, 0, 0],
        )
        .and_then(|_| {
            call(
                libc::SYS_recvfrom,
                [other.number() as usize, to.iov_base as usize, to.iov_len, flags, 0, 0],
            )
        })
    };
    copied.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    /// Two pages, the second of which nobody may touch.
    struct Pages(*mut c_void);

    impl Pages {
        fn new() -> Pages {
            // SAFETY: fresh anonymous memory.
            unsafe {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let pages = libc::mmap(core::ptr::null_mut(), 2 * PAGE, libc::PROT_NONE, flags, -1, 0);
                assert_ne!(pages, libc::MAP_FAILED);
                assert_eq!(libc::mprotect(pages, PAGE, libc::PROT_READ | libc::PROT_WRITE), 0);
                Pages(pages)
            }
        }

        fn sink(&self, offset: usize, len: usize) -> Sink {
            // SAFETY: nobody else uses these pages.
            unsafe { Sink::new(self.0.wrapping_byte_add(offset), len) }
        }
    }

    impl Drop for Pages {
        fn drop(&mut self) {
            // SAFETY: mapped by `new` and used by nobody now.
            unsafe { libc::munmap(self.0, 2 * PAGE) };
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let pages = Pages::new();
        assert_eq!(pages.sink(PAGE - 4, 4).write(b"ustcp"), Ok(4));
        let mut read = [0; 8];
        assert_eq!(pages.sink(PAGE - 4, 4).read(&mut read), Ok(4));
        assert_eq!(&read, b"ustc\0\0\0\0");
    }

    #[test]
    fn nowhere_is_efault() {
        let pages = Pages::new();
        assert_eq!(pages.sink(PAGE - 3, 4).write(b"ustc"), Err(Errno::FAULT));
        assert_eq!(pages.sink(PAGE - 3, 4).read(&mut [0; 4]), Err(Errno::FAULT));
        for start in [0, 8, 1 << 60, usize::MAX] {
            // SAFETY: nothing is there.
            let nowhere = unsafe { Source::new(core::ptr::without_provenance(start), 4) };
            assert_eq!(nowhere.read(&mut [0; 4]), Err(Errno::FAULT), "{start:#x}");
            assert_eq!(nowhere.first(0).read(&mut [0; 4]), Ok(0));
        }
    }

    #[test]
    fn several_are_written_by_one_call_each_as_far_as_it_has_room() {
        let pages = Pages::new();
        let (name, length) = (pages.sink(16, 4), pages.sink(PAGE - 2, 2));
        write_each([(name, b"ustcp"), (length, b"12")]).unwrap();
        let (mut read, mut end) = ([0; 6], [0; 2]);
        pages.sink(16, 6).read(&mut read).unwrap();
        length.read(&mut end).unwrap();
        assert_eq!((&read, &end), (b"ustc\0\0", b"12"));
        assert_eq!(write_each([(name.first(0), b"x"), (length, b"34")]), Ok(()));
        assert_eq!(
            write_each([(name, b"x"), (pages.sink(PAGE - 1, 2), b"56")]),
            Err(Errno::FAULT)
        );
        assert_eq!(write_each([(name.first(0), b""), (pages.sink(PAGE, 0), b"")]), Ok(()));
    }

    #[test]
    fn a_sandbox_that_forbids_one_call_leaves_the_other() {
        let (from, mut to) = (*b"ustcp", [0; 5]);
        let number = libc::SYS_process_vm_readv;
        copy_through_a_socket(number, &vector(to.as_mut_ptr(), 5), &vector(from.as_ptr(), 5)).unwrap();
        assert_eq!(to, from);
        let nowhere = vector(core::ptr::null(), 5);
        assert_eq!(
            copy_through_a_socket(number, &vector(to.as_mut_ptr(), 5), &nowhere),
            Err(Errno::FAULT)
        );
        let number = libc::SYS_process_vm_writev;
        assert_eq!(
            copy_through_a_socket(number, &vector(from.as_ptr(), 5), &nowhere),
            Err(Errno::FAULT)
        );
    }
}
