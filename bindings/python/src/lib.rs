//! The native module `_ustcp`: sockets of this process's stack as Python objects. The package `ustcp` is the thin,
//! typed face over it.

mod address;
mod arguments;
mod end;
mod engine;
mod failure;
mod link;
mod manual;
mod patience;
mod payload;
mod receive;
mod socket;
mod stack;

use pyo3::prelude::*;

/// The private native module of the package ustcp.
#[pymodule]
mod _ustcp {
    #[pymodule_export]
    use crate::engine::{Engine, family_at_engine, is_engine_wanted};
    #[pymodule_export]
    use crate::link::{Link, describe, destination};
    #[pymodule_export]
    use crate::manual::ManualStack;
    #[pymodule_export]
    use crate::socket::Socket;
    #[pymodule_export]
    use crate::stack::{Stack, fini, init, knows};
    #[pymodule_export]
    const FIRST_HANDLE: ustcp_runtime::manual::Handle = ustcp_runtime::manual::FIRST_HANDLE;
}
