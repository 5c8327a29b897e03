//! The engine that a library's calls go to: the one that `USTCP_ENGINE` names, where it names one.

use std::sync::OnceLock;

use crate::engine::Engine;
use crate::place::PlaceError;
use crate::sys;

/// Whether the calls of this process go to an engine. Decided at the first call, and the same ever after.
///
/// The environment of a program that has rights its user has not is somebody else's, and not looked at.
#[must_use]
pub fn is_wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| {
        let name = sys::variable(c"USTCP_ENGINE");
        name.is_some_and(|name| !name.is_empty()) && !sys::has_borrowed_rights()
    })
}

/// The engine; no name, or one that is not to be believed, names none. One that was not there is looked for again by the
/// next call; one that was there stays the engine of this process and of its children by fork.
pub fn engine() -> Result<&'static Engine, PlaceError> {
    static FOUND: OnceLock<Engine> = OnceLock::new();
    match FOUND.get() {
        Some(engine) => Ok(engine),
        None if is_wanted() => {
            let engine = Engine::answering_in_environment()?;
            Ok(FOUND.get_or_init(|| engine))
        }
        None => Err(PlaceError::Name),
    }
}
