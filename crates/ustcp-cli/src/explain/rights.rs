//! Programs with rights that their user has not: the dynamic linker takes no library from the environment into them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, getxattr, statvfs};
use rustix::process::{getgid, getuid};

/// Where such rights are kept as capabilities: xattr(7), capabilities(7).
const CAPABILITIES: &str = "security.capability";

/// Why a program would be one of them, started by this user.
pub(super) fn borrowed(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    let nosuid = statvfs(path).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOSUID));
    if nosuid {
        return None;
    }
    let mode = metadata.mode();
    let what = if mode & 0o4000 != 0 && metadata.uid() != getuid().as_raw() {
        format!("it is set-user-ID (user {})", metadata.uid())
    } else if mode & 0o2010 == 0o2010 && metadata.gid() != getgid().as_raw() {
        format!("it is set-group-ID (group {})", metadata.gid())
    } else if !getuid().is_root() && has_capabilities(path) {
        "its file has capabilities".to_owned()
    } else {
        return None;
    };
    Some(format!("{what}, and the dynamic linker ignores LD_PRELOAD there"))
}

fn has_capabilities(path: &Path) -> bool {
    getxattr(path, CAPABILITIES, &mut [0_u8; 64][..]).is_ok_and(|len| len > 0)
}
