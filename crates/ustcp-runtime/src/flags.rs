//! The flags of send and recv: what they ask for, and which are honoured.

use std::net::SocketAddr;

use libc::c_int;

use crate::Errno;

/// Flags of `send`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendFlags {
    /// `MSG_DONTWAIT`.
    pub dont_wait: bool,
    /// `MSG_NOSIGNAL`: no SIGPIPE with `EPIPE`.
    pub no_signal: bool,
    /// `MSG_OOB`: the last byte is urgent.
    pub urgent: bool,
    /// `MSG_MORE`: more follows at once.
    pub more: bool,
    /// `MSG_EOR`: a record ends with the last byte; no segment holds bytes of two.
    pub end_of_record: bool,
    /// `MSG_FASTOPEN`: connects first, and the bytes go with the SYN where the server has allowed that, RFC 7413.
    pub fast_open: bool,
    /// Where to, with `MSG_FASTOPEN`; `EINVAL` without.
    pub towards: Option<SocketAddr>,
}

impl SendFlags {
    /// The flags as a program has them; what is not named here has no effect.
    #[must_use]
    pub fn from_bits(bits: c_int) -> SendFlags {
        let has = |flag: c_int| bits & flag != 0;
        SendFlags {
            dont_wait: has(libc::MSG_DONTWAIT),
            no_signal: has(libc::MSG_NOSIGNAL),
            urgent: has(libc::MSG_OOB),
            more: has(libc::MSG_MORE),
            end_of_record: has(libc::MSG_EOR),
            fast_open: has(libc::MSG_FASTOPEN),
            towards: None,
        }
    }
}

/// Flags of `recv`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecvFlags {
    /// `MSG_DONTWAIT`.
    pub dont_wait: bool,
    /// `MSG_PEEK`.
    pub peek: bool,
    /// `MSG_WAITALL`.
    pub wait_all: bool,
    /// `MSG_TRUNC`: drop the bytes instead of copying them.
    pub truncate: bool,
    /// `MSG_OOB`: the urgent byte and nothing else; never waits. `EINVAL` when there is none.
    pub urgent: bool,
}

impl RecvFlags {
    /// The flags as a program has them: `EAGAIN` for `MSG_ERRQUEUE`, for that queue is
    /// always empty; what is not named here has no effect.
    pub fn from_bits(bits: c_int) -> Result<RecvFlags, Errno> {
        let has = |flag: c_int| bits & flag != 0;
        if has(libc::MSG_ERRQUEUE) {
            return Err(Errno(libc::EAGAIN));
        }
        Ok(RecvFlags {
            dont_wait: has(libc::MSG_DONTWAIT),
            peek: has(libc::MSG_PEEK),
            wait_all: has(libc::MSG_WAITALL),
            truncate: has(libc::MSG_TRUNC),
            urgent: has(libc::MSG_OOB),
        })
    }
}
