//! ICMP for IPv4, RFC 792: echo, and the errors that concern TCP.

use core::net::SocketAddr;

use crate::{Malformed, SeqNum};

/// The TCP segment that an ICMP error quotes: its first eight bytes are all that is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Who sent the quoted segment: us.
    pub source: SocketAddr,
    /// Where it went.
    pub destination: SocketAddr,
    /// Its sequence number.
    pub seq: SeqNum,
}

/// A parsed ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpMessage<'a> {
    /// Echo request with identifier, sequence number and data.
    EchoRequest {
        /// Identifier.
        identifier: u16,
        /// Sequence number.
        sequence: u16,
        /// Data, to be returned as it is.
        data: &'a [u8],
    },
    /// Destination unreachable other than code 4.
    Unreachable {
        /// The code.
        code: u8,
        /// The segment it is about.
        quoted: Quoted,
    },
    /// Fragmentation needed (destination unreachable, code 4), RFC 1191.
    FragmentationNeeded {
        /// Next-hop MTU in bytes; 0 from routers older than RFC 1191.
        mtu: u16,
        /// The segment it is about.
        quoted: Quoted,
    },
    /// Time exceeded.
    TimeExceeded {
        /// The segment it is about.
        quoted: Quoted,
    },
    /// Parameter problem.
    ParameterProblem {
        /// The segment it is about.
        quoted: Quoted,
    },
    /// Anything else, source quench (RFC 6633) among it: to be ignored.
    Ignored,
}

impl<'a> IcmpMessage<'a> {
    /// Parses an ICMP message and verifies its checksum. An error that does not quote TCP is `Ignored`.
    pub fn parse(message: &'a [u8]) -> Result<IcmpMessage<'a>, Malformed> {
        let _ = message;
        todo!()
    }

    /// The whole IPv4 packet of an echo reply (RFC 1122 §3.2.2.6).
    #[must_use]
    pub fn echo_reply(ip: &crate::IpHeader, identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
        let _ = (ip, identifier, sequence, data);
        todo!()
    }
}
