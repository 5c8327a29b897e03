//! Why there is no device, and what to do about it.

use std::io;

use libc::c_int;

use super::holder::holder;
use super::network::{Network, QUEUE};
use crate::sys::credentials;
use crate::sys::tun::CLONE_DEVICE;
use crate::{Errno, Settings, StartError};

/// Why the device that `settings` name could not be had. `networks`: it was to be made, with them.
pub(super) fn explain(settings: &Settings, networks: Option<&[Network]>, error: &io::Error) -> StartError {
    let name = &settings.tun;
    match error.raw_os_error() {
        Some(libc::EBUSY) => {
            let by = holder(name).map_or_else(|| ": end that".to_owned(), |holder| format!(" by {holder}"));
            let message = format!("{name} is in use{by}, or name another device by USTCP_TUN");
            failed(libc::EBUSY, message)
        }
        Some(libc::EPERM) => failed(libc::EPERM, no_permission(settings, networks)),
        Some(libc::EACCES) => {
            let closed = format!("{CLONE_DEVICE} is closed to this user: sudo chmod 0666 {CLONE_DEVICE}");
            let then = networks.map(|networks| format!("\n{}", commands(settings, networks)));
            failed(libc::EPERM, closed + &then.unwrap_or_default())
        }
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            let message = format!("no {CLONE_DEVICE}: sudo modprobe tun (a container is given it by --device)");
            failed(libc::ENODEV, message)
        }
        Some(libc::EINVAL) => {
            let message = format!("{name} is not a TUN device with one queue: name another by USTCP_TUN");
            failed(libc::EINVAL, message)
        }
        _ => of(error, format!("{name}: {error}")),
    }
}

fn no_permission(settings: &Settings, networks: Option<&[Network]>) -> String {
    let name = &settings.tun;
    match networks {
        None => format!("{name} belongs to another user: name another device by USTCP_TUN"),
        Some(networks) => format!(
            "no permission to make {name}; prepare it for this user once:\n{}",
            commands(settings, networks)
        ),
    }
}

/// What makes a device that stays and is this user's, as we would make it.
fn commands(settings: &Settings, networks: &[Network]) -> String {
    let (name, user) = (&settings.tun, credentials::user());
    let mtu = settings.mtu.map(|mtu| format!("mtu {mtu} ")).unwrap_or_default();
    let addresses: String = networks
        .iter()
        .map(|Network { prefix, peer }| {
            let at_once = if peer.is_ipv6() { " nodad" } else { "" };
            format!("ip addr add {peer}/{prefix} dev {name}{at_once} && ")
        })
        .collect();
    format!(
        "sudo ip tuntap add dev {name} mode tun user {user} vnet_hdr\n\
         sudo sh -c '{addresses}ip link set {name} {mtu}txqueuelen {QUEUE} up'"
    )
}

pub(super) fn failed(errno: c_int, message: String) -> StartError {
    StartError {
        errno: Errno(errno),
        message,
    }
}

/// `message` under the number of `error`.
pub(super) fn of(error: &io::Error, message: String) -> StartError {
    failed(error.raw_os_error().unwrap_or(libc::EIO), message)
}
