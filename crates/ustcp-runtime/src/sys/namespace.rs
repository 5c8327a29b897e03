//! A network of this process's own, for demonstrations: what runs in it neither sees nor touches the machine's network.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{c_int, c_short};
use tun_tap::{Iface, Mode};

use super::check;

/// By which right a namespace was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// The process held `CAP_SYS_ADMIN`.
    Administrator,
    /// In a new user namespace, in which this user is root.
    UserNamespace,
}

/// Moves this process into a network namespace of its own, with loopback up and nothing else. Where the process may
/// not, it first becomes root of a user namespace; that needs a process with one thread. Programs started from here
/// on live in the same network; it ends with the last of them.
pub fn unshare_network() -> io::Result<Privilege> {
    let privilege = match unshare(libc::CLONE_NEWNET) {
        Ok(()) => Privilege::Administrator,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unshare_as_user().map_err(|error| {
                named(
                    "no privilege to make a network namespace, and no user namespace to have it in",
                    &error,
                )
            })?;
            Privilege::UserNamespace
        }
        Err(error) => return Err(named("no network namespace", &error)),
    };
    bring_up_loopback().map_err(|error| named("loopback stays down", &error))?;
    Ok(privilege)
}

/// Whether a TUN device can be had here: makes one and lets it go.
pub fn probe_tun() -> io::Result<()> {
    Iface::without_packet_info("", Mode::Tun).map(drop)
}

fn unshare_as_user() -> io::Result<()> {
    // SAFETY: both only read the process's credentials and cannot fail.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)?;
    map((0, user), (0, group))
}

/// Makes this process `user` and `group` again, after [`unshare_network`] has made it root in a user namespace: in one more,
/// which has no rights over the network. For processes of one thread.
pub fn become_user(user: u32, group: u32) -> io::Result<()> {
    unshare(libc::CLONE_NEWUSER)?;
    map((user, 0), (group, 0))
}

/// Says who this process's user and group are inside its new user namespace, and outside.
fn map((user, user_outside): (u32, u32), (group, group_outside): (u32, u32)) -> io::Result<()> {
    // user_namespaces(7): a group may be mapped without privilege only once setgroups is given up.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user_outside} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group_outside} 1"))
}

fn unshare(namespaces: c_int) -> io::Result<()> {
    // SAFETY: takes a number and no pointer; changes only what the kernel holds for this process.
    check(unsafe { libc::unshare(namespaces) }).map(drop)
}

fn bring_up_loopback() -> io::Result<()> {
    // SAFETY: takes numbers only.
    let fd = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel has just made `fd` for us, so nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: ifreq is plain data; all zero is a valid value of every member of its union.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    // SAFETY: `request` is an ifreq with a terminated name, as both calls want, and outlives them.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &mut request) })?;
    // SAFETY: SIOCGIFFLAGS has just filled this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as c_short;
    // SAFETY: as above.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) }).map(drop)
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
