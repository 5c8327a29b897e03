//! A directory of one run's own, gone when the run is.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The directory.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes one that nobody else may look into.
    pub(crate) fn new() -> io::Result<Scratch> {
        Scratch::within(&std::env::temp_dir())
    }

    fn within(parent: &Path) -> io::Result<Scratch> {
        let id = std::process::id();
        // An earlier process of this number may have been killed and left its own.
        for attempt in 0..1000 {
            let path = parent.join(format!("ustcp-{id}-{attempt}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
                Ok(()) => return Ok(Scratch(path)),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{}: too much is left over", parent.display()),
        ))
    }

    /// A path inside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays: there is nobody left to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_are_apart_and_both_go() {
        let (one, other) = (Scratch::new().unwrap(), Scratch::new().unwrap());
        let paths = [one.path("a"), other.path("a")];
        assert_ne!(paths[0], paths[1]);
        fs::write(&paths[0], "x").unwrap();
        assert!(!paths[1].exists());
        drop((one, other));
        assert!(paths.iter().all(|path| !path.parent().unwrap().exists()));
    }

    #[test]
    fn a_missing_parent_is_named() {
        let error = Scratch::within(Path::new("/nowhere")).err().unwrap();
        assert!(error.to_string().contains("/nowhere/ustcp-"));
    }
}
