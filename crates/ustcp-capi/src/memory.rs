//! The caller's memory.
//!
//! Every pointer that C hands in is followed here and nowhere else. The entry points that take pointers are
//! `unsafe extern "C"` and pass them on unchanged, so what the blocks below rely on is the promise of that caller, as
//! the header words it.
//!
//! Control structures (addresses, lengths, option values, iovecs, pollfds) are looked at by the kernel first: a pointer
//! to nowhere is `EFAULT` and not a signal. Data buffers are used in place; only addresses that can never be mapped are
//! refused. docs/c-api.md has the figures behind that.

use std::alloc::Layout;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;

use libc::{c_int, c_void, iovec, size_t};
use ustcp_runtime::Errno;

/// Most bytes that one call moves, as in Linux (`MAX_RW_COUNT`): the largest `int` rounded down to a page.
pub(crate) const MOST_BYTES: usize = 0x7fff_f000;

/// Linux maps nothing below this (`vm.mmap_min_addr`).
const LOWEST_ADDRESS: usize = 64 * 1024;

/// Linux maps nothing from here on unless a program asks for it by address.
const USUAL_END: usize = if cfg!(target_arch = "x86_64") { 1 << 47 } else { 1 << 48 };

/// The smallest page there is: memory is mapped or not by at least so much.
const PAGE: usize = 4096;

/// A C type that any bytes are a value of, and that has no padding which anyone would look at.
///
/// # Safety
/// Every bit pattern is a valid value.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: integers.
unsafe impl Plain for u8 {}
// SAFETY: integers.
unsafe impl Plain for c_int {}
// SAFETY: an integer.
unsafe impl Plain for u16 {}
// SAFETY: integers.
unsafe impl Plain for u32 {}
// SAFETY: integers.
unsafe impl Plain for u64 {}
// SAFETY: integers.
unsafe impl Plain for usize {}
// SAFETY: integers and arrays of them.
unsafe impl Plain for libc::sockaddr_storage {}
// SAFETY: integers, arrays of them, and structures of integers.
unsafe impl Plain for crate::ustcp_event {}
// SAFETY: integers only.
unsafe impl Plain for libc::sockaddr_in {}
// SAFETY: integers only.
unsafe impl Plain for libc::sockaddr_in6 {}
// SAFETY: integers only.
unsafe impl Plain for libc::pollfd {}
// SAFETY: a raw pointer and an integer; any bits are a pointer as long as nobody follows it.
unsafe impl Plain for iovec {}
// SAFETY: raw pointers and integers.
unsafe impl Plain for libc::msghdr {}
// SAFETY: raw pointers and integers.
unsafe impl Plain for crate::ustcp_config {}

/// A value of zeros: numbers that are 0, pointers that are null.
pub(crate) fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` makes any bytes a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// A value, with zeros behind it up to the size of a larger type.
pub(crate) fn widened<T: Plain, U: Plain>(value: &T) -> U {
    let mut wide: U = zeroed();
    let bytes = size_of::<T>().min(size_of::<U>());
    // SAFETY: both are ours, at least so long, and `Plain`.
    unsafe { std::ptr::copy_nonoverlapping((&raw const *value).cast::<u8>(), (&raw mut wide).cast::<u8>(), bytes) };
    wide
}

/// Copies a value in; `EFAULT` where the address is not readable memory. No alignment is asked for.
pub(crate) fn read<T: Plain>(from: *const T) -> Result<T, Errno> {
    read_prefix(from.cast(), size_of::<T>())
}

/// Copies as much of a value in as `length` bytes hold; the rest is zero.
pub(crate) fn read_prefix<T: Plain>(from: *const c_void, length: usize) -> Result<T, Errno> {
    let mut value: T = zeroed();
    copy_in(from, (&raw mut value).cast(), length.min(size_of::<T>()))?;
    Ok(value)
}

/// Copies an array in. `ENOMEM` when there is no memory for it.
pub(crate) fn read_array<T: Plain>(from: *const T, count: usize) -> Result<Vec<T>, Errno> {
    let bytes = count.checked_mul(size_of::<T>()).ok_or(Errno(libc::EINVAL))?;
    check_readable(from.addr(), bytes)?; // before memory is asked for
    let mut values: Vec<T> = Vec::new();
    values.try_reserve_exact(count).map_err(|_| Errno(libc::ENOMEM))?;
    copy_in(from.cast(), values.as_mut_ptr().cast(), bytes)?;
    // SAFETY: `count` values are reserved, and all their bytes were just written; any bytes are a value.
    unsafe { values.set_len(count) };
    Ok(values)
}

/// A string of at most `limit` bytes, without its NUL; `EINVAL` when it is longer.
pub(crate) fn read_string(from: *const libc::c_char, limit: usize) -> Result<Vec<u8>, Errno> {
    const CHUNK: usize = 64;
    let mut text = Vec::new();
    while text.len() <= limit {
        let start = from.cast::<u8>().wrapping_add(text.len());
        // Never across a page's end: the byte behind the NUL may be nobody's.
        let chunk = CHUNK - start.addr() % CHUNK;
        let bytes = read_array(start, chunk)?;
        match bytes.iter().position(|&byte| byte == 0) {
            Some(end) => {
                text.extend(bytes.into_iter().take(end));
                return if text.len() <= limit {
                    Ok(text)
                } else {
                    Err(Errno(libc::EINVAL))
                };
            }
            None => text.extend(bytes),
        }
    }
    Err(Errno(libc::EINVAL))
}

/// Copies a value out; `EFAULT` where the address is not writable memory.
pub(crate) fn write<T: Plain>(to: *mut T, value: &T) -> Result<(), Errno> {
    copy_out((&raw const *value).cast(), to.cast(), size_of::<T>())
}

/// Copies an array out.
pub(crate) fn write_array<T: Plain>(to: *mut T, values: &[T]) -> Result<(), Errno> {
    copy_out(values.as_ptr().cast(), to.cast(), size_of_val(values))
}

/// The size that a structure of the caller's begins with, up to which it may be written. `EINVAL` for one too small for
/// that and one member more.
pub(crate) fn struct_size(from: *const size_t) -> Result<size_t, Errno> {
    let size = read(from)?;
    if size < 2 * size_of::<size_t>() {
        return Err(Errno(libc::EINVAL));
    }
    Ok(size)
}

/// Copies the first `length` bytes of a value out, or all of them when it has fewer; the count copied.
pub(crate) fn write_prefix<T: Copy>(to: *mut c_void, value: &T, length: usize) -> Result<usize, Errno> {
    let count = length.min(size_of::<T>());
    copy_out((&raw const *value).cast(), to, count)?;
    Ok(count)
}

/// A data buffer to read from, used in place. `EINVAL` for a length that no object has.
pub(crate) fn data<'a>(start: *const c_void, length: size_t) -> Result<IoSlice<'a>, Errno> {
    let length = usable(start.addr(), length)?;
    if length == 0 {
        return Ok(IoSlice::new(&[]));
    }
    // SAFETY: the C caller promises `length` readable bytes for as long as its call lasts.
    Ok(IoSlice::new(unsafe {
        std::slice::from_raw_parts(start.cast::<u8>(), length)
    }))
}

/// A data buffer to write to, used in place. `EINVAL` for a length that no object has.
pub(crate) fn room<'a>(start: *mut c_void, length: size_t) -> Result<IoSliceMut<'a>, Errno> {
    let length = usable(start.addr(), length)?;
    if length == 0 {
        return Ok(IoSliceMut::new(&mut []));
    }
    // SAFETY: the C caller promises `length` writable bytes, nobody else's, for as long as its call lasts.
    Ok(IoSliceMut::new(unsafe {
        std::slice::from_raw_parts_mut(start.cast::<u8>(), length)
    }))
}

/// Room that is never written to, and so costs address space only. `ENOMEM` when there is none.
pub(crate) fn untouched(length: size_t) -> Result<Vec<u8>, Errno> {
    if isize::try_from(length).is_err() {
        return Err(Errno(libc::EINVAL));
    }
    let length = length.min(MOST_BYTES);
    let layout = Layout::array::<u8>(length).map_err(|_| Errno(libc::EINVAL))?;
    if length == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: `layout` is not empty.
    let start = unsafe { std::alloc::alloc_zeroed(layout) };
    if start.is_null() {
        return Err(Errno(libc::ENOMEM));
    }
    // SAFETY: just allocated by the global allocator with this very layout, and zeroed.
    Ok(unsafe { Vec::from_raw_parts(start, length, length) })
}

/// The length to use, at most [`MOST_BYTES`]; `EFAULT` for a start where nothing can be mapped.
fn usable(start: usize, length: size_t) -> Result<usize, Errno> {
    if isize::try_from(length).is_err() {
        return Err(Errno(libc::EINVAL));
    }
    let length = length.min(MOST_BYTES);
    if length > 0 && start < LOWEST_ADDRESS {
        return Err(Errno(libc::EFAULT));
    }
    if length > 0 && start.checked_add(length).is_none_or(|end| end > USUAL_END) {
        check_readable(start, length)?;
    }
    Ok(length)
}

fn copy_in(from: *const c_void, to: *mut c_void, length: usize) -> Result<(), Errno> {
    check_readable(from.addr(), length)?;
    // SAFETY: the kernel just read from each page of `from`, and C promises to leave it there during the call; `to` is
    // ours and has room for `length` bytes (every caller above).
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), length) };
    Ok(())
}

/// `EFAULT` unless each page from `start` on can be read.
fn check_readable(start: usize, length: usize) -> Result<(), Errno> {
    let Some(last) = length.checked_sub(1) else {
        return Ok(());
    };
    let last = start.checked_add(last).ok_or(Errno(libc::EFAULT))?;
    let pages = start / PAGE..=last / PAGE;
    let readable = start >= LOWEST_ADDRESS && pages.into_iter().all(|page| kernel_reads((page * PAGE).max(start)));
    if readable { Ok(()) } else { Err(Errno(libc::EFAULT)) }
}

/// Whether the kernel can read at `address`. rt_sigprocmask reads its set before it looks at what it shall do with it,
/// and refuses: 0.1 us, a tenth of what process_vm_readv takes to the same end.
fn kernel_reads(address: usize) -> bool {
    const NOTHING_TO_DO: c_int = -1;
    const SET_BYTES: usize = 8;
    let set = (address / SET_BYTES * SET_BYTES) as *const c_void; // inside one page
    // SAFETY: the kernel checks `set` itself, and changes nothing for a `how` that does not exist.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            NOTHING_TO_DO,
            set,
            std::ptr::null_mut::<c_void>(),
            SET_BYTES,
        )
    };
    result == 0 || last_error() != libc::EFAULT
}

fn copy_out(from: *const c_void, to: *mut c_void, length: usize) -> Result<(), Errno> {
    if length == 0 {
        return Ok(());
    }
    let local = iovec {
        iov_base: from.cast_mut(),
        iov_len: length,
    };
    let remote = iovec {
        iov_base: to,
        iov_len: length,
    };
    // SAFETY: `from` is ours and `length` bytes long (every caller above); the kernel checks `to`.
    let copied = unsafe { libc::process_vm_writev(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    match usize::try_from(copied) {
        Ok(copied) if copied == length => Ok(()),
        Err(_) if to.addr() >= LOWEST_ADDRESS && matches!(last_error(), libc::EPERM | libc::ENOSYS) => {
            // A sandbox forbids the call.
            // SAFETY: the C caller promises that its pointer is writable for the structure's size.
            unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), length) };
            Ok(())
        }
        _ => Err(Errno(libc::EFAULT)),
    }
}

fn last_error() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFAULT: Errno = Errno(libc::EFAULT);

    /// Two pages, the second of which nobody may touch, and the first as `protection` says.
    struct Pages(*mut c_void);

    impl Pages {
        fn new(protection: c_int) -> Pages {
            // SAFETY: fresh anonymous memory.
            let pages = unsafe {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let pages = libc::mmap(std::ptr::null_mut(), 2 * PAGE, libc::PROT_NONE, flags, -1, 0);
                assert_ne!(pages, libc::MAP_FAILED);
                assert_eq!(libc::mprotect(pages, PAGE, protection), 0);
                pages
            };
            Pages(pages)
        }

        fn at(&self, offset: usize) -> *mut u8 {
            self.0.cast::<u8>().wrapping_add(offset)
        }
    }

    impl Drop for Pages {
        fn drop(&mut self) {
            // SAFETY: mapped by `new` and used by nobody now.
            unsafe { libc::munmap(self.0, 2 * PAGE) };
        }
    }

    #[test]
    fn nowhere_is_efault_both_ways() {
        let none = Pages::new(libc::PROT_NONE);
        for address in [0, 1, 4095, none.at(0).addr(), 1 << 60, usize::MAX - 1, usize::MAX] {
            assert_eq!(read(address as *const c_int), Err(EFAULT), "{address:#x}");
            assert_eq!(write(address as *mut c_int, &1), Err(EFAULT), "{address:#x}");
        }
    }

    #[test]
    fn a_structure_that_runs_off_its_page_is_efault() {
        let pages = Pages::new(libc::PROT_READ | libc::PROT_WRITE);
        let last_int = pages.at(PAGE - 4).cast::<c_int>();
        assert_eq!(write(last_int, &7), Ok(()));
        assert_eq!(read(last_int), Ok(7));
        let over = pages.at(PAGE - 3).cast::<c_int>();
        assert_eq!(read(over), Err(EFAULT));
        assert_eq!(write(over, &7), Err(EFAULT));
        assert_eq!(read_array(pages.at(0), PAGE + 1), Err(EFAULT));
    }

    #[test]
    fn read_only_memory_is_efault_for_a_result() {
        let pages = Pages::new(libc::PROT_READ);
        assert_eq!(read(pages.at(0).cast::<c_int>()), Ok(0));
        assert_eq!(write(pages.at(0).cast::<c_int>(), &7), Err(EFAULT));
    }

    #[test]
    fn a_string_ends_at_its_nul_or_is_refused() {
        let pages = Pages::new(libc::PROT_READ | libc::PROT_WRITE);
        write_array(pages.at(PAGE - 8), b"ustcp0\0x").unwrap();
        let text = |offset: usize, limit| read_string(pages.at(PAGE - offset).cast(), limit);
        assert_eq!(text(8, 6), Ok(b"ustcp0".to_vec()));
        assert_eq!(text(8, 5), Err(Errno(libc::EINVAL)));
        assert_eq!(text(1, 100), Err(EFAULT), "no NUL before the page ends");
        assert_eq!(read_string(std::ptr::null(), 100), Err(EFAULT));
    }

    #[test]
    fn lengths_of_data_are_checked() {
        let byte = &raw const b"x"[0];
        assert_eq!(data(byte.cast(), usize::MAX).err(), Some(Errno(libc::EINVAL)));
        assert_eq!(data(byte.cast(), 1).unwrap().len(), 1);
        assert_eq!(data(std::ptr::null(), 0).unwrap().len(), 0);
        for nowhere in [0, 8, 1 << 60, usize::MAX] {
            assert_eq!(data(nowhere as *const c_void, 1).err(), Some(EFAULT), "{nowhere:#x}");
            assert_eq!(room(nowhere as *mut c_void, 1).err(), Some(EFAULT), "{nowhere:#x}");
        }
    }
}
