//! Sockets of the kernel's own TCP.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno as SystemErrno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType};
use ustcp_proto::Family;
use ustcp_runtime::Errno;

/// A socket of the kernel's.
pub(crate) fn kernel_socket(family: Family) -> Result<OwnedFd, Errno> {
    let family = match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    system(rustix::net::socket_with(family, SocketType::STREAM, flags, None))
}

/// The next connection of a kernel's listener, and its peer.
pub(crate) fn kernel_accept(listener: impl AsFd) -> rustix::io::Result<(OwnedFd, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    loop {
        match rustix::net::acceptfrom_with(&listener, flags) {
            // accept(2): that one has gone while it waited.
            Err(SystemErrno::CONNABORTED) => {}
            Ok((connection, Some(peer))) => {
                let peer = SocketAddr::try_from(peer).map_err(|_| SystemErrno::IO)?;
                return Ok((connection, peer));
            }
            Ok((_, None)) => return Err(SystemErrno::IO),
            Err(errno) => return Err(errno),
        }
    }
}

/// As an address of IPv4 or IPv6, which it is of such a socket.
pub(crate) fn address(any: SocketAddrAny) -> Result<SocketAddr, Errno> {
    SocketAddr::try_from(any).map_err(|_| Errno(libc::EIO))
}

/// The kernel's answer, as errno has it.
pub(crate) fn system<T>(result: rustix::io::Result<T>) -> Result<T, Errno> {
    result.map_err(|errno: SystemErrno| Errno(errno.raw_os_error()))
}
