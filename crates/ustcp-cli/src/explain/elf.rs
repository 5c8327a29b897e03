//! What an executable file is, as far as it matters to a library that is put before it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;
const WRITABLE: u32 = 2;
/// Program headers that are looked at, and bytes of a segment: bounds for files that are no programs.
const HEADERS: usize = 64;
const SEGMENT: u64 = 1 << 20;
/// What the Go linker begins its build information with, at a multiple of 16 bytes of a writable segment.
const GO_BUILD_INFO: &[u8] = b"\xff Go buildinf:";
/// A note's name, and its length before it.
const GO_NOTE: &[u8] = b"Go\0\0";

/// An ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elf {
    /// Bits of an address, and the number of the machine.
    kind: (u8, u16),
    /// The dynamic linker; none of what is linked statically.
    interpreter: Option<String>,
    is_go: bool,
}

impl Elf {
    pub(super) fn read(path: &Path) -> io::Result<Elf> {
        let file = Bytes {
            file: File::open(path)?,
        };
        let ident = file.at(0, 20)?;
        if !ident.starts_with(b"\x7fELF") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no ELF file"));
        }
        let kind = (if ident.get(4) == Some(&2) { 64 } else { 32 }, half(&ident, 18));
        if kind != Elf::ours() {
            return Ok(Elf {
                kind,
                interpreter: None,
                is_go: false,
            });
        }
        let mut elf = Elf {
            kind,
            interpreter: None,
            is_go: false,
        };
        for segment in file.segments()? {
            match segment.kind {
                PT_INTERP => {
                    let name = file.at(segment.offset, segment.len.min(4096))?;
                    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                    elf.interpreter = Some(String::from_utf8_lossy(name).into_owned());
                }
                PT_NOTE => elf.is_go |= file.at(segment.offset, segment.len.min(SEGMENT))?.get(12..16) == Some(GO_NOTE),
                PT_LOAD if segment.flags & WRITABLE != 0 => {
                    let bytes = file.at(segment.offset, segment.len.min(SEGMENT))?;
                    elf.is_go |= bytes.chunks(16).any(|line| line.starts_with(GO_BUILD_INFO));
                }
                _ => {}
            }
        }
        Ok(elf)
    }

    /// What this command is, and so the library.
    fn ours() -> (u8, u16) {
        let machine = match std::env::consts::ARCH {
            "x86_64" => 62,
            "aarch64" => 183,
            "riscv64" => 243,
            "x86" => 3,
            _ => 0,
        };
        (if cfg!(target_pointer_width = "64") { 64 } else { 32 }, machine)
    }

    /// Why it cannot be captured.
    pub(super) fn obstacle(&self) -> Option<String> {
        let (bits, machine) = self.kind;
        if self.kind != Elf::ours() {
            return Some(format!(
                "it is for another architecture ({bits} bits, ELF machine {machine}) than the library is"
            ));
        }
        if self.is_go {
            return Some("it is a Go program, and Go calls the kernel without the C library".to_owned());
        }
        let Some(interpreter) = &self.interpreter else {
            return Some("it is statically linked, so no library can be put before it".to_owned());
        };
        let is_musl = interpreter.contains("musl");
        is_musl.then(|| format!("its C library is musl ({interpreter}), and the library is for glibc"))
    }
}

struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    len: u64,
}

struct Bytes {
    file: File,
}

impl Bytes {
    fn at(&self, offset: u64, len: u64) -> io::Result<Vec<u8>> {
        // Where no file reaches, nothing is.
        let len = if i64::try_from(offset).is_ok() { len } else { 0 };
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let mut used = 0;
        while let Some(rest) = bytes.get_mut(used..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + used as u64)? {
                0 => break,
                more => used += more,
            }
        }
        bytes.truncate(used);
        Ok(bytes)
    }

    /// The program headers of a file of this machine's kind.
    fn segments(&self) -> io::Result<Vec<Segment>> {
        let is_64 = cfg!(target_pointer_width = "64");
        let header = self.at(0, 64)?;
        let (table, size, count) = match is_64 {
            true => (long(&header, 32), half(&header, 54), half(&header, 56)),
            false => (word(&header, 28).into(), half(&header, 42), half(&header, 44)),
        };
        let size = usize::from(size).max(1);
        let count = usize::from(count).min(HEADERS);
        let table = self.at(table, (size * count) as u64)?;
        Ok(table.chunks(size).map(|entry| segment(entry, is_64)).collect())
    }
}

fn segment(entry: &[u8], is_64: bool) -> Segment {
    match is_64 {
        true => Segment {
            kind: word(entry, 0),
            flags: word(entry, 4),
            offset: long(entry, 8),
            len: long(entry, 32),
        },
        false => Segment {
            kind: word(entry, 0),
            flags: word(entry, 24),
            offset: word(entry, 4).into(),
            len: word(entry, 16).into(),
        },
    }
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    /// A file of this machine's kind with these segments: type, flags, bytes.
    fn file(segments: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..5].copy_from_slice(b"\x7fELF\x02");
        file[18..20].copy_from_slice(&Elf::ours().1.to_ne_bytes());
        file[32] = 64;
        file[54] = 56;
        file[56] = u8::try_from(segments.len()).unwrap();
        let mut offset = 64 + 56 * segments.len();
        for (kind, flags, bytes) in segments {
            let mut entry = [0; 56];
            entry[..4].copy_from_slice(&kind.to_ne_bytes());
            entry[4..8].copy_from_slice(&flags.to_ne_bytes());
            entry[8..16].copy_from_slice(&offset.to_ne_bytes());
            entry[32..40].copy_from_slice(&bytes.len().to_ne_bytes());
            file.extend(entry);
            offset += bytes.len();
        }
        segments.iter().for_each(|(_, _, bytes)| file.extend(*bytes));
        file
    }

    fn obstacle(bytes: &[u8]) -> Option<String> {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path("program");
        fs::write(&path, bytes).unwrap();
        Elf::read(&path).unwrap().obstacle()
    }

    #[test]
    fn each_obstacle_is_told() {
        let glibc = (PT_INTERP, 4, &b"/lib64/ld-linux-x86-64.so.2\0"[..]);
        assert_eq!(obstacle(&file(&[glibc])), None);
        let musl = (PT_INTERP, 4, &b"/lib/ld-musl-x86_64.so.1\0"[..]);
        assert!(
            obstacle(&file(&[musl]))
                .unwrap()
                .contains("musl (/lib/ld-musl-x86_64.so.1)")
        );
        assert!(obstacle(&file(&[])).unwrap().contains("statically"));
        let note = (PT_NOTE, 4, &b"\x04\0\0\0\x10\0\0\0\x04\0\0\0Go\0\0build-id........"[..]);
        assert!(obstacle(&file(&[glibc, note])).unwrap().contains("Go program"));
        let info = (PT_LOAD, 6, &b"................\xff Go buildinf:\x08\x02"[..]);
        assert!(obstacle(&file(&[info])).unwrap().contains("Go program"));
        let other = file(&[]);
        let other = [&other[..18], &[21, 0], &other[20..]].concat();
        assert!(
            obstacle(&other)
                .unwrap()
                .contains("another architecture (64 bits, ELF machine 21)")
        );
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_no_panic() {
        let whole = file(&[(PT_INTERP, 4, b"/lib64/ld-linux-x86-64.so.2\0"), (PT_NOTE, 4, &[0; 20])]);
        let scratch = Scratch::new().unwrap();
        let path = scratch.path("program");
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            assert_eq!(Elf::read(&path).is_err(), len < 4, "{len}");
        }
        fs::write(&path, [0xff; 64]).unwrap();
        assert!(Elf::read(&path).is_err());
        let mut hostile = whole;
        hostile[32..64].fill(0xff);
        fs::write(&path, hostile).unwrap();
        assert!(Elf::read(&path).is_ok());
    }

    #[test]
    fn this_test_itself_is_dynamic() {
        let elf = Elf::read(&std::env::current_exe().unwrap()).unwrap();
        assert_eq!(elf.kind, Elf::ours());
        assert!(elf.interpreter.is_some() && !elf.is_go);
    }
}
