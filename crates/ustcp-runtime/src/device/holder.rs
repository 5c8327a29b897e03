//! Who holds a TUN device.

use std::fs;
use std::path::{Path, PathBuf};

/// The process that holds the TUN device `name` of this network namespace, and what is to be done, as people read it:
/// `pid 4711 (sshd): end that`. None when it cannot be seen: another user's, or no /proc.
pub(super) fn holder(name: &str) -> Option<String> {
    if holds(std::process::id(), name) {
        return Some("another stack of this process: end that".to_owned());
    }
    let here = fs::read_link("/proc/self/ns/net").ok()?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holder = pids
        .filter(|pid| fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|there| there == here))
        .find(|pid| holds(*pid, name))?;
    let command = fs::read_to_string(format!("/proc/{holder}/comm")).unwrap_or_default();
    let command = command.trim_end();
    Some(match engine(holder).filter(|_| command == "ustcp") {
        Some(directory) => {
            let directory = directory.display();
            format!("the engine {directory} (pid {holder}): ustcp down --engine {directory} ends it")
        }
        None => format!("pid {holder} ({command}): end that"),
    })
}

/// The directory of an engine, which has the lock in it open.
fn engine(pid: u32) -> Option<PathBuf> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let mut files = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    let lock = files.find(|file| file.file_name().is_some_and(|name| name == "lock"))?;
    lock.parent().map(Path::to_owned)
}

fn holds(pid: u32, name: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let is_tun =
            fs::read_link(descriptor.path()).is_ok_and(|path| path == Path::new(crate::sys::tun::CLONE_DEVICE));
        let number = descriptor.file_name();
        is_tun && is_attached(&format!("/proc/{pid}/fdinfo/{}", number.display()), name)
    })
}

/// The kernel writes `iff:` and the name of the device into what it tells of a TUN descriptor.
fn is_attached(fdinfo: &str, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(fdinfo) else {
        return false;
    };
    let mut devices = text.lines().filter_map(|line| line.strip_prefix("iff:"));
    devices.any(|device| device.trim() == name)
}
