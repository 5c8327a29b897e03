//! What an executable file is, as far as it matters to a library that is to be put before it.

use libc::c_char;
use rustix::io::Errno;

use super::{Transient, call};

/// Of `<elf.h>`: where the fields of a file of our word size are.
const IS_64: bool = cfg!(target_pointer_width = "64");
const KIND: usize = 16;
const TABLE: usize = if IS_64 { 32 } else { 28 };
const ENTRY: usize = if IS_64 { 54 } else { 42 };
const COUNT: usize = if IS_64 { 56 } else { 44 };
const CLASS: u8 = if IS_64 { 2 } else { 1 };
const ET_EXEC: u16 = 2;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
/// Where `p_offset` is in a program header.
const OFFSET: u64 = if IS_64 { 8 } else { 4 };
const WORD: u64 = size_of::<usize>() as u64;
const DT_NULL: usize = 0;
const DT_FLAGS_1: usize = 0x6fff_fffb;
const DF_1_PIE: usize = 0x0800_0000;
/// Program headers that are looked at, and entries of the dynamic section.
const MOST: u16 = 64;

/// Whether the file at a path of the program's may be executed, is of our word size, and runs without a dynamic linker and is
/// none. Of which machine it is does not matter: one that an emulator runs cannot have a library of ours either. `false` as
/// well where it cannot be read.
#[must_use]
pub fn is_static(directory: i32, path: *const c_char) -> bool {
    may_execute(directory, path) && open(directory, path).is_ok_and(|file| has_no_linker(&file).unwrap_or(false))
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

/// `None`: it is no program of our word size.
fn has_no_linker(file: &Transient) -> Option<bool> {
    let header: [u8; 64] = read(file, 0)?;
    if !header.starts_with(b"\x7fELF") || header.get(4) != Some(&CLASS) {
        return None;
    }
    let table = word(file, TABLE as u64)? as u64;
    let half = |at: usize| Some(u16::from_ne_bytes(*header.get(at..)?.first_chunk()?));
    let (entry, count) = (half(ENTRY)?, half(COUNT)?);
    let mut dynamic = None;
    for index in 0..count.min(MOST) {
        let at = table.checked_add(u64::from(index) * u64::from(entry))?;
        match u32::from_ne_bytes(read(file, at)?) {
            PT_INTERP => return Some(false),
            PT_DYNAMIC => dynamic = Some(word(file, at.checked_add(OFFSET)?)? as u64),
            _ => {}
        }
    }
    // The dynamic linker itself may be started, with a program as its argument: it has no interpreter and heeds LD_PRELOAD.
    let is_program = half(KIND)? == ET_EXEC || dynamic.is_none_or(|section| is_linked_as_program(file, section));
    Some(count > 0 && is_program)
}

/// Whether a dynamic section is that of a program, and not of a library.
fn is_linked_as_program(file: &Transient, section: u64) -> bool {
    let entry = |index: u64| {
        let at = section.checked_add(index * 2 * WORD)?;
        Some((word(file, at)?, word(file, at.checked_add(WORD)?)?))
    };
    (0..u64::from(MOST))
        .map_while(entry)
        .take_while(|(tag, _)| *tag != DT_NULL)
        .any(|(tag, value)| tag == DT_FLAGS_1 && value & DF_1_PIE != 0)
}

fn word(file: &Transient, offset: u64) -> Option<usize> {
    read(file, offset).map(usize::from_ne_bytes)
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
        // The dynamic linker needs none, and is asked for a program.
        let linker = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
        let found = linker.iter().find(|path| std::path::Path::new(path).exists());
        assert!(found.is_none_or(|path| !of(path)));
    }

    /// The smallest file that says so: a header, and a dynamic section of one entry.
    fn with_flags(kind: u16, flags: usize) -> Vec<u8> {
        let mut file = vec![0; 256];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF");
        put(4, &[CLASS]);
        put(KIND, &kind.to_ne_bytes());
        put(TABLE, &64_usize.to_ne_bytes());
        put(ENTRY, &56_u16.to_ne_bytes());
        put(COUNT, &1_u16.to_ne_bytes());
        put(64, &PT_DYNAMIC.to_ne_bytes());
        put(64 + OFFSET as usize, &128_usize.to_ne_bytes());
        put(128, &DT_FLAGS_1.to_ne_bytes());
        put(128 + WORD as usize, &flags.to_ne_bytes());
        file
    }

    #[test]
    fn a_program_without_interpreter_is_static_at_any_address() {
        const ET_DYN: u16 = 3;
        let path = std::env::temp_dir().join(format!("ustcp-program-{}", std::process::id()));
        let is = |kind, flags| {
            std::fs::write(&path, with_flags(kind, flags)).unwrap();
            let name = CString::new(path.to_str().unwrap()).unwrap();
            has_no_linker(&open(libc::AT_FDCWD, name.as_ptr()).unwrap())
        };
        let told = [is(ET_EXEC, 0), is(ET_DYN, DF_1_PIE | 1), is(ET_DYN, 1)];
        std::fs::remove_file(&path).unwrap();
        assert_eq!(told, [Some(true), Some(true), Some(false)]);
    }
}
