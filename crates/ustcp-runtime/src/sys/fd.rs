//! Descriptors of our own: eventfds, and the unnamed half of AF_UNIX that the readiness mirrors need.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use libc::{c_int, c_void, sa_family_t, socklen_t};

use super::wait::{self, PollFd};
use super::{check, signal};

/// `fd`, which `owner` keeps open as long as it lives.
pub(crate) fn of_owner<T: ?Sized>(_owner: &T, fd: RawFd) -> BorrowedFd<'_> {
    // SAFETY: the caller says that the owner, which is borrowed as long as the result, keeps it open.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// An abstract AF_UNIX address of fixed length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) [u8; Name::LEN]);

impl Name {
    /// Bytes of a name, not counting the leading zero that makes it abstract.
    pub(crate) const LEN: usize = 39;

    fn address(&self) -> (libc::sockaddr_un, socklen_t) {
        // SAFETY: all-zero is a valid sockaddr_un.
        let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
        address.sun_family = libc::AF_UNIX as sa_family_t;
        for (to, from) in address.sun_path.iter_mut().skip(1).zip(self.0) {
            *to = from as libc::c_char;
        }
        (address, (mem::size_of::<sa_family_t>() + 1 + Name::LEN) as socklen_t)
    }
}

/// A new AF_UNIX datagram socket, non-blocking and close-on-exec.
pub(crate) fn datagram_socket() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe {
        libc::socket(
            libc::AF_UNIX,
            libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        )
    })?;
    // SAFETY: the kernel has just made it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives a datagram socket its name.
pub(crate) fn bind(fd: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    let (address, len) = name.address();
    // SAFETY: `address` lives across the call and `len` is within it.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
}

/// Connects a datagram socket to the one of that name.
pub(crate) fn connect(fd: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    let (address, len) = name.address();
    // SAFETY: as in `bind`.
    check(unsafe { libc::connect(fd.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
}

/// Takes a datagram socket's peer away.
pub(crate) fn disconnect(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all-zero is a valid sockaddr, and says AF_UNSPEC.
    let address: libc::sockaddr = unsafe { mem::zeroed() };
    // SAFETY: `address` lives across the call.
    check(unsafe {
        libc::connect(
            fd.as_raw_fd(),
            &raw const address,
            mem::size_of::<libc::sockaddr>() as socklen_t,
        )
    })
    .map(drop)
}

/// Sends an empty datagram to the socket of that name.
pub(crate) fn send_empty_to(fd: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    let (address, len) = name.address();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: no bytes are read from the null buffer of length 0; `address` lives across the call.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            std::ptr::null(),
            0,
            flags,
            (&raw const address).cast(),
            len,
        )
    };
    check(sent as c_int).map(drop)
}

/// Takes one datagram away, unread.
pub(crate) fn drop_datagram(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no bytes are written to the null buffer of length 0.
    let got = unsafe { libc::recv(fd.as_raw_fd(), std::ptr::null_mut(), 0, libc::MSG_DONTWAIT) };
    check(got as c_int).map(drop)
}

/// Writes what there is room for now, without a signal; `WouldBlock` when there is none.
pub(crate) fn write_now(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let mut room = [PollFd {
        fd,
        events: libc::POLLOUT,
        revents: 0,
    }];
    if wait::poll(&mut room, Some(Duration::ZERO))? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    signal::writing(|| {
        // SAFETY: `bytes` are readable for as many as said.
        let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    })
}

/// shutdown(2) with one of `SHUT_RD`, `SHUT_WR`, `SHUT_RDWR`.
pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), how) }).map(drop)
}

/// Fetches and clears `SO_ERROR`.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut len = mem::size_of::<c_int>() as socklen_t;
    let into = (&raw mut value).cast::<c_void>();
    // SAFETY: `into` has room for `len` bytes.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, into, &raw mut len) })?;
    Ok(value)
}

/// Puts what `from` refers to under the number of `to`, close-on-exec.
pub(crate) fn replace(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers; the file that `to` referred to is closed by the kernel, its number stays open.
    check(unsafe { libc::dup3(from.as_raw_fd(), to.as_raw_fd(), libc::O_CLOEXEC) }).map(drop)
}

/// A further descriptor of the file, close-on-exec.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let copy = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: the kernel has just made it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// A descriptor that only this library knows: a child made by fork closes it at once (see [`super::fork`]).
#[derive(Debug)]
pub(crate) struct PrivateFd(OwnedFd);

impl PrivateFd {
    /// Marks `fd` as ours alone.
    pub(crate) fn new(fd: OwnedFd) -> PrivateFd {
        super::fork::mark_private(fd.as_raw_fd());
        PrivateFd(fd)
    }

    /// Borrows it.
    pub(crate) fn borrow(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0)
    }
}

impl Drop for PrivateFd {
    fn drop(&mut self) {
        super::fork::unmark_private(self.0.as_raw_fd());
    }
}

/// An eventfd: one thread rings, another sleeps until it rings.
#[derive(Debug)]
pub(crate) struct Bell(PrivateFd);

impl Bell {
    /// A silent one.
    pub(crate) fn new() -> io::Result<Bell> {
        // SAFETY: no pointers.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the kernel has just made it for us alone.
        Ok(Bell(PrivateFd::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Wakes whoever polls it. It rings on until [`silence`](Bell::silence).
    pub(crate) fn ring(&self) {
        let one = 1u64;
        // SAFETY: 8 bytes are read from `one`. The only error, EAGAIN, means that it rings already.
        unsafe { libc::write(self.fd(), (&raw const one).cast(), 8) };
    }

    /// Makes it silent.
    pub(crate) fn silence(&self) {
        let mut count = 0u64;
        // SAFETY: 8 bytes are written to `count`. The only error, EAGAIN, means that it was silent.
        unsafe { libc::read(self.fd(), (&raw mut count).cast(), 8) };
    }

    /// Its number, to poll.
    pub(crate) fn fd(&self) -> RawFd {
        self.0.borrow().as_raw_fd()
    }
}
