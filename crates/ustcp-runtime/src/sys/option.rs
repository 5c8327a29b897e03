//! Options and numbers of the kernel's own sockets, as bytes: for whoever speaks for a program with the kernel's TCP.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_ulong, socklen_t};

use super::check;
use crate::Errno;

/// No option's value is longer.
const VALUE_MAX: usize = 1024;

/// setsockopt(2).
pub fn set_option(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: &[u8]) -> Result<(), Errno> {
    let len = socklen_t::try_from(value.len()).map_err(|_| Errno(libc::EINVAL))?;
    // SAFETY: `len` bytes are read from `value`, which lives across the call.
    let set = check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) });
    Ok(set.map(drop)?)
}

/// getsockopt(2) of who has so much `room`, in bytes; more than any value has counts for as much. Where the kernel tells how
/// much it takes and no more (`TCP_SAVED_SYN`), a value of that length, which is longer than `room` and says nothing.
pub fn option(fd: BorrowedFd<'_>, level: c_int, name: c_int, room: usize) -> Result<Vec<u8>, Errno> {
    let room = room.min(VALUE_MAX);
    let mut value = vec![0_u8; room];
    let mut len = room as socklen_t;
    let into = value.as_mut_ptr().cast();
    // SAFETY: at most `len` bytes are written to `value`, which has so many; both live across the call.
    let told = check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, into, &raw mut len) });
    let len = len as usize;
    if len <= room {
        told?;
    }
    value.resize(len, 0);
    Ok(value)
}

/// ioctl(2) where the answer is a number: `ENOTTY` for any request but those of a socket's queues and its urgent mark.
pub fn ask_number(fd: BorrowedFd<'_>, request: c_ulong) -> Result<c_int, Errno> {
    if !crate::ioctl::REQUESTS.contains(&request) {
        return Err(Errno(libc::ENOTTY));
    }
    let mut number: c_int = 0;
    // SAFETY: each of these requests writes an int, and `number` lives across the call.
    let asked: io::Result<c_int> = check(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut number) });
    Ok(asked.map(|_| number)?)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn options_go_in_and_out_as_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = listener.as_fd();
        set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &1_i32.to_ne_bytes()).unwrap();
        assert_eq!(
            option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, usize::MAX),
            Ok(1_i32.to_ne_bytes().to_vec())
        );
        assert_eq!(
            set_option(fd, libc::IPPROTO_TCP, 12_345, &[0; 4]),
            Err(Errno(libc::ENOPROTOOPT))
        );
        let unknown = option(fd, libc::IPPROTO_TCP, 12_345, 4);
        assert_eq!(unknown, Err(Errno(libc::ENOPROTOOPT)));
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(ask_number(stream.as_fd(), libc::TIOCOUTQ), Ok(0));
        assert_eq!(ask_number(stream.as_fd(), libc::TIOCGWINSZ), Err(Errno(libc::ENOTTY)));
    }

    #[test]
    fn a_value_that_is_told_whole_says_how_long_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_SAVED_SYN);
        set_option(listener.as_fd(), level, libc::TCP_SAVE_SYN, &1_i32.to_ne_bytes()).unwrap();
        let _stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let asked = |room| option(accepted.as_fd(), level, name, room).unwrap();
        let len = asked(20).len();
        assert!(len >= 40);
        let syn = asked(len);
        assert_eq!((syn.len(), syn[0]), (len, 0x45));
        assert!(asked(len).is_empty());
    }
}
