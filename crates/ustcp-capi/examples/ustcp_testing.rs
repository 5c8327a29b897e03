//! libustcp with one symbol more, for tests/c/panic.c. The release library has no way to be broken on purpose.
#![allow(unsafe_code, reason = "an exported name")]

use std::os::raw::c_int;

pub use ustcp::*;

/// Plants a panic inside the stack, where its lock is held. Returns 0, or -1 when there is no stack.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_test_plant_panic() -> c_int {
    match ustcp_runtime::process::runtime() {
        Ok(runtime) => {
            runtime.plant_panic();
            0
        }
        Err(_) => -1,
    }
}
