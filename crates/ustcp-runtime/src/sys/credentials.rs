//! Who runs this program.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::c_int;

use super::check;

/// Whether the program has rights its user has not (set-user-ID, set-group-ID, file capabilities): then the user's
/// environment is not to be trusted. getauxval(3), AT_SECURE.
pub(crate) fn has_borrowed_rights() -> bool {
    // SAFETY: takes a number and reads what the kernel left in this process at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The number of the user as whom the program acts.
pub(crate) fn user() -> libc::uid_t {
    // SAFETY: only reads the process's credentials and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether that user may make files in a directory.
pub(crate) fn check_that_files_may_be_made(directory: &Path) -> io::Result<()> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    let (how, flags) = (libc::W_OK | libc::X_OK, libc::AT_EACCESS);
    // SAFETY: `path` ends with a zero and lives across the call.
    check(unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), how, flags) }).map(drop)
}

/// Of <linux/capability.h>.
pub(crate) const CAP_NET_ADMIN: c_int = 12;
pub(crate) const CAP_NET_RAW: c_int = 13;

/// Whether this thread has one of capabilities(7) in force, by its number, below 32. A process that cannot ask has none.
pub(crate) fn has_capability(number: c_int) -> bool {
    /// `struct __user_cap_header_struct` of <linux/capability.h>.
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    /// `struct __user_cap_data_struct`: one for each 32 capabilities.
    #[derive(Clone, Copy, Default)]
    #[repr(C)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let mut header = Header {
        version: 0x2008_0522, // _LINUX_CAPABILITY_VERSION_3
        pid: 0,
    };
    let mut data = [Data::default(); 2];
    // SAFETY: both pointers are to local values of the layout that this version of the call reads and writes.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    result == 0 && data[0].effective >> number & 1 == 1
}
