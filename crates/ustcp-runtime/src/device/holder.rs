//! Who holds a TUN device.

use std::fs;
use std::path::Path;

/// The process that holds the TUN device `name` of this network namespace, as people read it: `pid 4711 (sshd)`. None
/// when it cannot be seen: another user's, or no /proc.
pub(super) fn holder(name: &str) -> Option<String> {
    let here = fs::read_link("/proc/self/ns/net").ok()?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holder = pids
        .filter(|pid| fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|there| there == here))
        .find(|pid| holds(*pid, name))?;
    let command = fs::read_to_string(format!("/proc/{holder}/comm")).unwrap_or_default();
    Some(format!("pid {holder} ({})", command.trim_end()))
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
