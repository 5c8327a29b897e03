//! What it took to open a device is more than an engine needs afterwards; and what is left it does not lend out.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};
use ustcp_client::sys::{Peer, is_one_user};
use ustcp_runtime::StartError;

/// What is left, where it was there: the kernel's ports below 1024, for listeners that are published.
const KEPT: CapabilitySet = CapabilitySet::NET_BIND_SERVICE;

/// Ports below this are root's in the kernel.
const PRIVILEGED_END: u16 = 1024;

/// Whether it is root, or the engine's own user: whoever has the token may be another.
pub(crate) fn is_trusted(client: Peer) -> bool {
    let trusted = [0, rustix::process::geteuid().as_raw()];
    trusted.contains(&client.user) && is_one_user(client.user) == Ok(true)
}

/// Whether a client may have that port of the kernel's.
pub(crate) fn may_have_port(client: Peer, port: u16) -> bool {
    !(1..PRIVILEGED_END).contains(&port) || is_trusted(client)
}

/// Gives up the capabilities of this thread and of those that it starts from now on, for good: capabilities(7),
/// `PR_SET_NO_NEW_PRIVS`. Files stay those of its user, so an engine of root's still takes its directory away.
pub fn give_up_rights() -> Result<(), StartError> {
    all_given_up().map_err(|errno| StartError {
        errno: ustcp_runtime::Errno(errno.raw_os_error()),
        message: format!("the engine cannot give up its rights: {errno}"),
    })
}

fn all_given_up() -> Result<(), Errno> {
    set_no_new_privs(true)?;
    for capability in CapabilitySet::all().difference(KEPT).iter() {
        // Refused to who has none, and where the kernel knows no such capability; exec gives none back either way.
        let _ = remove_capability_from_bounding_set(capability);
    }
    clear_ambient_capability_set()?;
    let held = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: held.effective & KEPT,
            permitted: held.permitted & KEPT,
            inheritable: CapabilitySet::empty(),
        },
    )
}
