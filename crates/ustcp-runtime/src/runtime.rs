//! One stack on one device, driven by whoever calls. (Signatures; bodies are being written.)
#![allow(clippy::todo, unused_variables, dead_code, reason = "skeleton")]

use std::sync::Arc;

use ustcp_proto::{Census, Counters, Family};

use crate::{Errno, Settings, Socket};

/// Why a runtime did not start: an errno, and one line for people that says what to do.
#[derive(Clone, Debug)]
pub struct StartError {
    /// `EPERM`, `EBUSY`, `EINVAL`, `ENODEV`, ...
    pub errno: Errno,
    /// What to do about it.
    pub message: String,
}

/// One stack on one device.
pub struct Runtime {}

impl Runtime {
    /// Opens or makes the device and starts the stack on it.
    pub fn start(settings: &Settings) -> Result<Arc<Runtime>, StartError> { todo!() }
    /// A new socket with its own file descriptor (close-on-exec; not inherited usefully by fork).
    pub fn socket(self: &Arc<Self>, family: Family) -> Result<Socket, Errno> { todo!() }
    /// Ends the stack: waits as `Settings::exit_wait` says, then every call fails with `ENETDOWN`.
    pub fn stop(&self) { todo!() }
    /// What the stack holds now.
    pub fn census(&self) -> Census { todo!() }
    /// What the stack counted.
    pub fn counters(&self) -> Counters { todo!() }
    /// Plants a panic inside the stack's lock, for the test that the host survives it.
    #[doc(hidden)]
    pub fn plant_panic(&self) { todo!() }
}
