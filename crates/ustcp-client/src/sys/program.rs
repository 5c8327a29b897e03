//! What an executable file is, as far as it matters to a library that is to be put before it.

use libc::c_char;
use rustix::io::Errno;

use super::{Transient, call};

/// Of `<elf.h>`: where the fields of a file for this machine are.
const IS_64: bool = cfg!(target_pointer_width = "64");
const TABLE: usize = if IS_64 { 32 } else { 28 };
const ENTRY: usize = if IS_64 { 54 } else { 42 };
const COUNT: usize = if IS_64 { 56 } else { 44 };
const CLASS: u8 = if IS_64 { 2 } else { 1 };
const PT_INTERP: u32 = 3;
/// Program headers that are looked at.
const MOST: u16 = 64;

/// Whether the file at a path of the program's may be executed, is for machines like this one, and has no dynamic linker.
/// `false` as well where it cannot be read.
#[must_use]
pub fn is_static(directory: i32, path: *const c_char) -> bool {
    may_execute(directory, path) && open(directory, path).is_ok_and(|file| has_no_interpreter(&file).unwrap_or(false))
}

/// Whether a file at a path of the program's may be executed.
#[must_use]
pub fn may_execute(directory: i32, path: *const c_char) -> bool {
    let arguments = [directory as usize, path as usize, libc::X_OK as usize, 0, 0, 0];
    // SAFETY: the path is the call's to read, and the kernel checks it.
    unsafe { call(libc::SYS_faccessat, arguments) }.is_ok()
}

fn open(directory: i32, path: *const c_char) -> Result<Transient, Errno> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let arguments = [directory as usize, path as usize, flags as usize, 0, 0, 0];
    // SAFETY: the path is the call's to read, and the kernel checks it.
    let fd = unsafe { call(libc::SYS_openat, arguments) }?;
    Ok(Transient(fd as i32))
}

/// `None`: it is no program for machines like this one.
fn has_no_interpreter(file: &Transient) -> Option<bool> {
    let header: [u8; 64] = read(file, 0)?;
    if !header.starts_with(b"\x7fELF") || header.get(4) != Some(&CLASS) {
        return None;
    }
    let table = match IS_64 {
        true => u64::from_ne_bytes(*header.get(TABLE..)?.first_chunk()?),
        false => u32::from_ne_bytes(*header.get(TABLE..)?.first_chunk()?).into(),
    };
    let half = |at: usize| Some(u16::from_ne_bytes(*header.get(at..)?.first_chunk()?));
    let (entry, count) = (half(ENTRY)?, half(COUNT)?);
    for index in 0..count.min(MOST) {
        let kind = read(file, table.checked_add(u64::from(index) * u64::from(entry))?)?;
        if u32::from_ne_bytes(kind) == PT_INTERP {
            return Some(false);
        }
    }
    Some(count > 0)
}

/// Bytes of a file; `None` where it has not so many.
fn read<const N: usize>(file: &Transient, offset: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let arguments = [file.0 as usize, bytes.as_mut_ptr() as usize, N, offset as usize, 0, 0];
    // SAFETY: `bytes` has room for so many.
    let count = unsafe { call(libc::SYS_pread64, arguments) }.ok()?;
    (count == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    fn of(path: &str) -> bool {
        is_static(libc::AT_FDCWD, CString::new(path).unwrap().as_ptr())
    }

    #[test]
    fn programs_and_other_files_are_told_apart() {
        assert!(!of("/proc/self/exe")); // dynamic, as tests are
        assert!(!of("/nowhere") && !of("/dev/null") && !of("/etc/passwd"));
        assert!(!is_static(libc::AT_FDCWD, core::ptr::null()));
        // The dynamic linker needs none.
        let linker = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
        let found = linker.iter().find(|path| std::path::Path::new(path).exists());
        assert!(found.is_none_or(|path| of(path)));
    }
}
