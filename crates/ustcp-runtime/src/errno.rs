//! The one table from the stack's errors to errno.

use libc::c_int;
use ustcp_proto::Error;

/// An error number of the system, as `errno` holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl From<Error> for Errno {
    fn from(error: Error) -> Errno {
        Errno(match error {
            Error::BadSocket => libc::EBADF,
            Error::WouldBlock => libc::EAGAIN,
            Error::InProgress => libc::EINPROGRESS,
            Error::AlreadyInProgress => libc::EALREADY,
            Error::AlreadyConnected => libc::EISCONN,
            Error::NotConnected => libc::ENOTCONN,
            Error::ConnectionRefused => libc::ECONNREFUSED,
            Error::ConnectionReset => libc::ECONNRESET,
            Error::ConnectionAborted => libc::ECONNABORTED,
            Error::TimedOut => libc::ETIMEDOUT,
            Error::BrokenPipe => libc::EPIPE,
            Error::AddressInUse => libc::EADDRINUSE,
            Error::AddressNotAvailable => libc::EADDRNOTAVAIL,
            Error::AddressFamilyNotSupported => libc::EAFNOSUPPORT,
            Error::NetworkUnreachable => libc::ENETUNREACH,
            Error::HostUnreachable => libc::EHOSTUNREACH,
            Error::ProtocolUnreachable => libc::ENOPROTOOPT,
            Error::ProtocolError => libc::EPROTO,
            Error::HostDown => libc::EHOSTDOWN,
            Error::HostIsolated => libc::ENONET,
            Error::SourceRouteFailed => libc::EOPNOTSUPP,
            Error::Prohibited => libc::EACCES,
            Error::NetworkDown => libc::ENETDOWN,
            Error::InvalidArgument => libc::EINVAL,
            Error::NotSupported => libc::EOPNOTSUPP,
            Error::NoBuffers => libc::ENOBUFS,
        })
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Errno {
        Errno::from(&error)
    }
}

impl From<&std::io::Error> for Errno {
    /// The system's own number; `EIO` for an error that is not the system's.
    fn from(error: &std::io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}
