//! Who runs this program.

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
