//! Where libustcp_preload.so is, and the environment with which the dynamic linker puts it into a program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ustcp_client::libraries::named;

use crate::Failure;

const NAME: &str = "libustcp_preload.so";
/// Names the library, where it is nowhere that it is looked for.
const VARIABLE: &str = "USTCP_PRELOAD_LIBRARY";

/// The library that belongs to this command.
pub(crate) fn library() -> Result<PathBuf, Failure> {
    let path = match std::env::var_os(VARIABLE) {
        Some(named) => std::path::absolute(&named).unwrap_or_else(|_| named.into()),
        None => installed()?,
    };
    if !path.is_file() {
        return Err(Failure::new(format!("{} is not there ({VARIABLE})", path.display())));
    }
    // ld.so(8) takes either for the end of a name.
    if path
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| matches!(byte, b':' | b' '))
    {
        let message = format!(
            "{}: LD_PRELOAD cannot name a path with a colon or a space",
            path.display()
        );
        return Err(Failure::new(message));
    }
    Ok(path)
}

fn installed() -> Result<PathBuf, Failure> {
    let command = std::env::current_exe()?;
    let beside = command.parent().map(candidates).unwrap_or_default();
    beside.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let looked: Vec<String> = beside.iter().map(|path| path.display().to_string()).collect();
        Failure::new(format!(
            "{NAME} is not there: not {}; {VARIABLE} names it elsewhere",
            looked.join(", not ")
        ))
    })
}

/// Where it may be: of `directory`, in which the command is. In the build tree both are in one.
fn candidates(directory: &Path) -> Vec<PathBuf> {
    let built_for = option_env!("USTCP_LIBDIR").map(|libdir| Path::new(libdir).join("ustcp"));
    let prefix = directory.parent().unwrap_or(directory);
    let places = [
        directory.to_owned(),
        prefix.join("lib/ustcp"),
        prefix.join("lib64/ustcp"),
    ];
    places
        .into_iter()
        .chain(built_for)
        .map(|place| place.join(NAME))
        .collect()
}

/// `LD_PRELOAD` with the library behind what is there: another stands before what it passes on to (a SOCKS client, a limit of
/// rates). Ours is named once, also in a run within a run.
pub(crate) fn variable(library: &Path, before: Option<&OsStr>) -> OsString {
    let before = before.map(OsStr::as_bytes).unwrap_or_default();
    let mut value = OsString::new();
    for other in named(before) {
        if !other.is_empty() && !other.ends_with(NAME.as_bytes()) {
            value.push(OsStr::from_bytes(other));
            value.push(":");
        }
    }
    value.push(library);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_beside_the_command_or_in_the_installation() {
        let paths = candidates(Path::new("/opt/ustcp/bin"));
        for place in ["/opt/ustcp/bin/", "/opt/ustcp/lib/ustcp/"] {
            assert!(paths.contains(&Path::new(place).join(NAME)), "{place}");
        }
    }

    #[test]
    fn what_was_there_stays_before_it() {
        let value = |before: &str| variable(Path::new("/l/x.so"), Some(OsStr::new(before)));
        assert_eq!(variable(Path::new("/l/x.so"), None), "/l/x.so");
        assert_eq!(value(""), "/l/x.so");
        assert_eq!(value("/a.so /b.so"), "/a.so:/b.so:/l/x.so");
        assert_eq!(value("/a.so:/m/libustcp_preload.so:"), "/a.so:/l/x.so");
        assert_eq!(value("/libasan.so.8"), "/libasan.so.8:/l/x.so");
    }
}
