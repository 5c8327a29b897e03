//! The ioctls of tun(4) and netdevice(7).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use libc::{Ioctl, c_char, c_int, c_short, c_uint};

use super::check;

/// The clone device: every open makes a TUN descriptor that is not attached to a device yet.
pub(crate) const CLONE_DEVICE: &str = "/dev/net/tun";
/// A TUN device without packet information, as every device of ours is.
pub(crate) const TUN: c_int = libc::IFF_TUN | libc::IFF_NO_PI;

/// Opens the clone device, non-blocking and close-on-exec.
pub(crate) fn open() -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(CLONE_DEVICE)
}

/// Takes over a descriptor that someone else opened, and makes it non-blocking and close-on-exec. `EBADF` when it is
/// not open.
pub(crate) fn adopt(fd: RawFd) -> io::Result<File> {
    // SAFETY: takes numbers only; a descriptor that is not open is an error.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, as the calls above have shown, and whoever put it into the settings gave it away.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// What kinds of device the kernel makes: `IFF_` flags.
pub(crate) fn features(tun: &impl AsRawFd) -> io::Result<c_int> {
    let mut features: c_uint = 0;
    // SAFETY: TUNGETFEATURES writes one unsigned int, and `features` is one.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNGETFEATURES, &raw mut features) })?;
    Ok(features.cast_signed())
}

/// Attaches the descriptor to the device `name`, which is made when there is none.
pub(crate) fn attach(tun: &impl AsRawFd, name: &str, flags: c_int) -> io::Result<()> {
    let mut request = named(name)?;
    request.ifr_ifru.ifru_flags = flags as c_short;
    call(tun, libc::TUNSETIFF, &mut request)
}

/// The device a descriptor is attached to: its name and `IFF_` flags, among which 0x1000 is IFF_NOFILTER and tells
/// nothing of IFF_NO_PI.
pub(crate) fn attached(tun: &impl AsRawFd) -> io::Result<(String, c_int)> {
    let mut request = named("")?;
    call(tun, libc::TUNGETIFF, &mut request)?;
    let name = request.ifr_name.iter().map(|byte| byte.cast_unsigned());
    let name = name.take_while(|&byte| byte != 0).collect();
    // SAFETY: TUNGETIFF has just filled this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok((
        String::from_utf8(name).map_err(io::Error::other)?,
        c_int::from(flags.cast_unsigned()),
    ))
}

/// What the kernel may leave undone in packets it hands over: `TUN_F_` bits.
pub(crate) fn set_offload(tun: &impl AsRawFd, bits: c_uint) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes a number in place of a pointer.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(bits)) }).map(drop)
}

/// How many bytes of virtio_net_hdr stand before each packet.
pub(crate) fn header_len(tun: &impl AsRawFd) -> io::Result<usize> {
    let mut len: c_int = 0;
    // SAFETY: TUNGETVNETHDRSZ writes one int, and `len` is one.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNGETVNETHDRSZ, &raw mut len) })?;
    usize::try_from(len).map_err(io::Error::other)
}

/// Sets it.
pub(crate) fn set_header_len(tun: &impl AsRawFd, len: usize) -> io::Result<()> {
    let len = c_int::try_from(len).map_err(io::Error::other)?;
    // SAFETY: TUNSETVNETHDRSZ reads one int, and `len` is one.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) }).map(drop)
}

/// A network interface of this network namespace, by name.
pub(crate) struct Interface {
    socket: OwnedFd,
    name: String,
}

impl Interface {
    /// The interface `name`, which need not exist.
    pub(crate) fn new(name: &str) -> io::Result<Interface> {
        // SAFETY: takes numbers only.
        let fd = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: the kernel has just made `fd` for us, so nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Interface {
            socket,
            name: name.to_owned(),
        })
    }

    /// Its `IFF_` flags; `ENODEV` when it does not exist.
    pub(crate) fn flags(&self) -> io::Result<c_int> {
        let request = self.call(libc::SIOCGIFFLAGS, |_| ())?;
        // SAFETY: SIOCGIFFLAGS has just filled this member of the union.
        Ok(c_int::from(unsafe { request.ifr_ifru.ifru_flags }.cast_unsigned()))
    }

    /// Brings it up.
    pub(crate) fn bring_up(&self) -> io::Result<()> {
        let flags = self.flags()? | libc::IFF_UP;
        self.call(libc::SIOCSIFFLAGS, |request| {
            request.ifr_ifru.ifru_flags = flags as c_short;
        })
        .map(drop)
    }

    /// Its MTU in bytes.
    pub(crate) fn mtu(&self) -> io::Result<usize> {
        let request = self.call(libc::SIOCGIFMTU, |_| ())?;
        // SAFETY: SIOCGIFMTU has just filled this member of the union.
        usize::try_from(unsafe { request.ifr_ifru.ifru_mtu }).map_err(io::Error::other)
    }

    /// Sets its MTU.
    pub(crate) fn set_mtu(&self, mtu: usize) -> io::Result<()> {
        let mtu = c_int::try_from(mtu).map_err(io::Error::other)?;
        self.call(libc::SIOCSIFMTU, |request| request.ifr_ifru.ifru_mtu = mtu)
            .map(drop)
    }

    fn call(&self, ioctl: Ioctl, fill: impl FnOnce(&mut libc::ifreq)) -> io::Result<libc::ifreq> {
        let mut request = named(&self.name)?;
        fill(&mut request);
        call(&self.socket, ioctl, &mut request)?;
        Ok(request)
    }
}

/// A request about the interface `name`, all else zero. `EINVAL` for a name that does not fit.
fn named(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: ifreq is plain data; all zero is a valid value of every member of its union.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = c_char::from_ne_bytes([from]);
    }
    Ok(request)
}

fn call(fd: &impl AsRawFd, ioctl: Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: every ioctl that this file passes reads and writes one ifreq with a terminated name, and `request` is one.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), ioctl, request as *mut libc::ifreq) }).map(drop)
}
