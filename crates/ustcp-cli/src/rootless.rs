//! A network of this user's own, where the machine's is closed to it: a user namespace with a TUN device inside.

use std::io;

use rustix::process::{getegid, geteuid};
use ustcp_client::sys::is_one_user;
use ustcp_runtime::namespace::{self, Privilege};

/// Who we were before we were root in a namespace.
pub(crate) struct Rootless {
    user: u32,
    group: u32,
    privilege: Privilege,
}

impl Rootless {
    /// Moves this process, and all that it starts, into a network namespace of its own, in which it may make devices. There
    /// is no way back. For processes of one thread.
    pub(crate) fn enter() -> io::Result<Rootless> {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        // Asked before, as afterwards there is no way back to tell it in.
        std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .map_err(|error| io::Error::new(error.kind(), format!("/dev/net/tun: {error}")))?;
        let privilege = namespace::unshare_network()?;
        if matches!(privilege, Privilege::UserNamespace) && is_one_user(user) != Ok(true) {
            // No program could tell the engine from an impostor, and none would speak to it.
            let why = format!("in one, user {user} is whoever has no number there");
            return Err(io::Error::other(why));
        }
        Ok(Rootless { user, group, privilege })
    }

    /// This process is the user again, without rights over the network.
    pub(crate) fn leave_root(self) -> io::Result<()> {
        match self.privilege {
            Privilege::Administrator => Ok(()),
            Privilege::UserNamespace => namespace::become_user(self.user, self.group),
        }
    }
}
