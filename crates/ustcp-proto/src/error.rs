//! Why a user call did not do what was asked.

use core::fmt;

/// One closed list; the runtime maps each to an errno. The doc line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Error {
    /// `EBADF`: no such socket (any more).
    BadSocket,
    /// `EAGAIN`: nothing to do now; the socket becomes ready later.
    WouldBlock,
    /// `EINPROGRESS`: the connection attempt has begun.
    InProgress,
    /// `EALREADY`: a connection attempt is under way.
    AlreadyInProgress,
    /// `EISCONN`: connected already.
    AlreadyConnected,
    /// `ENOTCONN`: not connected.
    NotConnected,
    /// `ECONNREFUSED`: the peer answered with RST, or ICMP said that nobody is there.
    ConnectionRefused,
    /// `ECONNRESET`: the peer sent RST.
    ConnectionReset,
    /// `ECONNABORTED`: the connection went away before it was accepted.
    ConnectionAborted,
    /// `ETIMEDOUT`: the peer did not answer in time.
    TimedOut,
    /// `EPIPE`: our half of the connection is closed.
    BrokenPipe,
    /// `EADDRINUSE`: another socket holds that address and port, or no ephemeral port is free for a listener.
    AddressInUse,
    /// `EADDRNOTAVAIL`: not an address of this stack, or no ephemeral port is free for that destination.
    AddressNotAvailable,
    /// `EAFNOSUPPORT`: the address is of another family than the socket.
    AddressFamilyNotSupported,
    /// `ENETUNREACH`: no way to that destination.
    NetworkUnreachable,
    /// `EHOSTUNREACH`: ICMP said that the host cannot be reached.
    HostUnreachable,
    /// `ENOPROTOOPT`: ICMP said that the host does not speak TCP.
    ProtocolUnreachable,
    /// `EPROTO`: ICMP said that something is wrong with a header of ours.
    ProtocolError,
    /// `EHOSTDOWN`: ICMP said that there is no such host.
    HostDown,
    /// `ENONET`: ICMP said that the host is isolated.
    HostIsolated,
    /// `EOPNOTSUPP`: ICMP said that a source route failed.
    SourceRouteFailed,
    /// `EACCES`: ICMP said that a rule forbids it.
    Prohibited,
    /// `ENETDOWN`: the device, or the stack, is gone.
    NetworkDown,
    /// `EINVAL`: the argument, or the call in this state, makes no sense.
    InvalidArgument,
    /// `EOPNOTSUPP`: the configuration does not allow it.
    NotSupported,
    /// `ENOBUFS`: no memory, or a limit of the configuration is reached.
    NoBuffers,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::BadSocket => "no such socket",
            Error::WouldBlock => "would block",
            Error::InProgress => "connection attempt begun",
            Error::AlreadyInProgress => "connection attempt under way",
            Error::AlreadyConnected => "already connected",
            Error::NotConnected => "not connected",
            Error::ConnectionRefused => "connection refused",
            Error::ConnectionReset => "connection reset by peer",
            Error::ConnectionAborted => "connection aborted",
            Error::TimedOut => "timed out",
            Error::BrokenPipe => "broken pipe",
            Error::AddressInUse => "address in use",
            Error::AddressNotAvailable => "address not available",
            Error::AddressFamilyNotSupported => "address family not supported",
            Error::NetworkUnreachable => "network unreachable",
            Error::HostUnreachable => "host unreachable",
            Error::ProtocolUnreachable => "protocol unreachable",
            Error::ProtocolError => "protocol error",
            Error::HostDown => "no such host",
            Error::HostIsolated => "host isolated",
            Error::SourceRouteFailed => "source route failed",
            Error::Prohibited => "forbidden by a rule",
            Error::NetworkDown => "network down",
            Error::InvalidArgument => "invalid argument",
            Error::NotSupported => "not supported by the configuration",
            Error::NoBuffers => "no buffer space",
        })
    }
}

impl core::error::Error for Error {}
