//! fork and exit: what a child must not keep, and what runs at the end.
//!
//! A child has none of our threads, and a lock may have been held in the parent when it was copied. So the handler
//! takes no lock, frees nothing and wakes nobody: it closes the descriptors that only we know and counts one more
//! generation. What belongs to an earlier generation answers `EBADF` and is never dropped.

use std::os::fd::RawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// Descriptors above this are not tracked; a child keeps them open until exec.
const TRACKED: usize = 1 << 20;

static GENERATION: AtomicU32 = AtomicU32::new(0);
static PRIVATE: [AtomicU64; TRACKED / 64] = [const { AtomicU64::new(0) }; TRACKED / 64];
static HIGHEST: AtomicI32 = AtomicI32::new(-1);
static INSTALL: Once = Once::new();

/// How many forks lie between the first process and this one.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Installs the handler, once.
pub(crate) fn install() {
    INSTALL.call_once(|| {
        // SAFETY: `in_child` is async-signal-safe. It fails only without memory; children are then on their own.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// Has `at_end` called when the process exits.
pub(crate) fn at_exit(at_end: extern "C" fn()) {
    // SAFETY: a plain function; the library is never unloaded.
    unsafe { libc::atexit(at_end) };
}

pub(crate) fn mark_private(fd: RawFd) {
    if let Some((word, bit)) = slot(fd) {
        word.fetch_or(bit, Ordering::Relaxed);
        HIGHEST.fetch_max(fd, Ordering::Relaxed);
    }
}

pub(crate) fn unmark_private(fd: RawFd) {
    if let Some((word, bit)) = slot(fd) {
        word.fetch_and(!bit, Ordering::Relaxed);
    }
}

fn slot(fd: RawFd) -> Option<(&'static AtomicU64, u64)> {
    let fd = usize::try_from(fd).ok()?;
    Some((PRIVATE.get(fd / 64)?, 1 << (fd % 64)))
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    let words = usize::try_from(HIGHEST.load(Ordering::Relaxed)).map_or(0, |fd| fd / 64 + 1);
    for (index, word) in PRIVATE.iter().enumerate().take(words) {
        let mut marked = word.swap(0, Ordering::Relaxed);
        while marked != 0 {
            let fd = index * 64 + marked.trailing_zeros() as usize;
            // SAFETY: ours alone, and nothing of an earlier generation uses or closes it again.
            unsafe { libc::close(fd as RawFd) };
            marked &= marked - 1;
        }
    }
}
