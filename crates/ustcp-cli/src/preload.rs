//! Where libustcp_preload.so is, and the environment with which the dynamic linker puts it into a program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ustcp_client::libraries::has_a_first;

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

/// `LD_PRELOAD` with the library before what is there, unless that must be first.
pub(crate) fn variable(library: &Path, before: Option<&OsStr>) -> OsString {
    let library = library.as_os_str();
    let Some(before) = before.filter(|before| !before.is_empty()) else {
        return library.to_owned();
    };
    let mut both = [library, before];
    if has_a_first(before.as_bytes()) {
        both.reverse();
    }
    both.join(OsStr::new(":"))
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
    fn what_was_there_stays_behind_it() {
        let library = Path::new("/l/x.so");
        assert_eq!(variable(library, None), "/l/x.so");
        assert_eq!(variable(library, Some(OsStr::new(""))), "/l/x.so");
        assert_eq!(
            variable(library, Some(OsStr::new("/a.so /b.so"))),
            "/l/x.so:/a.so /b.so"
        );
        assert_eq!(
            variable(library, Some(OsStr::new("/libasan.so.8"))),
            "/libasan.so.8:/l/x.so"
        );
    }
}
