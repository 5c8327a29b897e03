//! Bytes and values: what TCP/IP packets look like, and nothing of what they mean.
//!
//! Every parse is total: for any input it returns a value or [`Malformed`], and never panics, loops or reads out of
//! bounds. There is no I/O here.
#![forbid(unsafe_code)]

mod checksum;
mod ecn;
mod icmp;
mod ip;
mod options;
mod rejoin;
mod seq;
mod split;
mod tcp;
#[cfg(test)]
mod testing;
mod writer;

pub use checksum::{Sum, pseudo_header_sum};
pub use ecn::{Ecn, mark_congestion};
pub use icmp::error::IcmpError;
pub use icmp::{IcmpMessage, Quoted};
pub use ip::ipv6::{ParameterProblem, ProblemCode};
pub use ip::{Fragment, IpHeader, IpPacket, Protocol};
pub use options::{FastOpenCookie, SackBlock, SackBlocks, TcpOptions, Timestamps};
pub use rejoin::rejoin;
pub use seq::SeqNum;
pub use split::{complete_checksum, segments};
pub use tcp::{Checksum, Flags, Headers, TcpHeader, TcpSegment};

/// Why bytes are not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer bytes than a header, or a length field, says.
    Truncated,
    /// A length field that contradicts itself (header length below the minimum, total length below the header's).
    BadLength,
    /// A version, type or protocol this stack does not speak.
    Unsupported,
    /// The checksum does not match.
    BadChecksum,
    /// Part of an IPv6 header that this stack cannot act on, and whose sender is to be told
    /// ([`IcmpError::ParameterProblem`]).
    Problem(ParameterProblem),
}
