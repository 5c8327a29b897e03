//! What ICMP says about a connection, and what its user hears of it: `IP_RECVERR` and its queue.

use std::collections::VecDeque;

use core::net::{IpAddr, SocketAddr};

use crate::{Error, Family};

/// An ICMP error about a segment of a connection attempt, as `MSG_ERRQUEUE` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReport {
    /// What it means.
    pub error: Error,
    /// Of which ICMP the numbers are.
    pub family: Family,
    /// Type of the message.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// What it says besides: where the problem with a parameter is, in bytes; else 0.
    pub info: u32,
    /// Who sent it.
    pub offender: IpAddr,
    /// Where the segment was sent.
    pub destination: SocketAddr,
    /// What is quoted of the segment: its header, and what came along.
    pub quoted: Vec<u8>,
}

/// The reports that nobody has fetched yet: at most [`REPORTS`], and of each at most [`QUOTED`] bytes of the segment.
#[derive(Debug, Default)]
pub(crate) struct Reports(VecDeque<ErrorReport>);

/// One for each retransmission of a SYN, about.
const REPORTS: usize = 8;

/// As much as RFC 792 and RFC 1812 §4.3.2.3 let a router quote of a small segment.
const QUOTED: usize = 576;

impl Reports {
    pub(crate) fn push(&mut self, mut report: ErrorReport) {
        if self.0.len() < REPORTS {
            report.quoted.truncate(QUOTED);
            self.0.push_back(report);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<ErrorReport> {
        self.0.pop_front()
    }

    /// The error of the one that is fetched next.
    pub(crate) fn next_error(&self) -> Option<Error> {
        self.0.front().map(|report| report.error)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How much a connection attempt is to believe an ICMP error. One that stands believes none (RFC 9293 MUST-56).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// RFC 9293 §3.9.2.2 lists it among the soft errors: MUST-56.
    Soft,
    /// It lists it among the hard ones (SHLD-26), or does not list it, and Linux takes it for one.
    Hard,
}

/// What the second word of an ICMP error says, as far as it is for users.
pub(crate) fn detail(family: Family, kind: u8, word: [u8; 4]) -> u32 {
    match (family, kind) {
        (Family::V4, 12) => u32::from_be_bytes(word) >> 24, // RFC 792: the pointer is a byte
        (Family::V6, 4) => u32::from_be_bytes(word),
        (Family::V4 | Family::V6, _) => 0,
    }
}

/// What type and code of an ICMP error mean to a user, as Linux has it, and how much they are to be believed. The types
/// are those of unreachable, time exceeded and parameter problem.
pub(crate) fn meaning(family: Family, kind: u8, code: u8) -> (Error, Severity) {
    use Severity::{Hard, Soft};
    match (family, kind, code) {
        (Family::V4, 3, 0) | (Family::V6, 1, 0) => (Error::NetworkUnreachable, Soft),
        (Family::V4, 3, 1) | (Family::V6, 1, 3) => (Error::HostUnreachable, Soft),
        (Family::V4, 3, 2) => (Error::ProtocolUnreachable, Hard),
        (Family::V4, 3, 3) | (Family::V6, 1, 4) => (Error::ConnectionRefused, Hard),
        (Family::V4, 3, 5) => (Error::SourceRouteFailed, Soft),
        (Family::V4, 3, 6 | 9 | 11) => (Error::NetworkUnreachable, Hard),
        (Family::V4, 3, 7) => (Error::HostDown, Hard),
        (Family::V4, 3, 8) => (Error::HostIsolated, Hard),
        (Family::V6, 1, 1 | 5 | 6) => (Error::Prohibited, Hard),
        (Family::V4, 3, _) | (Family::V6, 1, _) => (Error::HostUnreachable, Hard),
        (Family::V4, 12, _) | (Family::V6, 4, _) => (Error::ProtocolError, Soft),
        (Family::V4 | Family::V6, _, _) => (Error::HostUnreachable, Soft), // time exceeded
    }
}
