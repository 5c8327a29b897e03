//! The processes of this machine, by proc(5).

use std::fs;

/// Their numbers.
pub(crate) fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What ps(1) calls it, without what a terminal would obey, for it has named itself; `None`: it has ended.
pub(crate) fn name(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
    Some(name.replace(char::is_control, "\u{fffd}"))
}
