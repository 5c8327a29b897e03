//! Control data of a received message: `TCP_CM_INQ`, and the reports of the error queue.

use std::io::IoSliceMut;
use std::net::SocketAddr;

use libc::{c_int, msghdr, ssize_t};
use ustcp_runtime::{Errno, ErrorReport, Family, Socket};

use crate::address;
use crate::memory;
use crate::transfer::{self, count};

/// Length of Linux's `struct cmsghdr`, which is also what everything in control data is aligned by, twice.
const HEADER: usize = size_of::<libc::cmsghdr>();
const ALIGNMENT: usize = size_of::<usize>();

/// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6` of <linux/errqueue.h>.
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// Where a message comes from: a socket of the process's stack, or one of a stack by hand.
pub(crate) trait Source {
    fn family(&mut self) -> Result<Family, Errno>;
    fn recv(&mut self, into: &mut [IoSliceMut<'_>], flags: c_int) -> Result<usize, Errno>;
    /// With `TCP_INQ`, what is left to read.
    fn left_to_read(&mut self) -> Result<Option<c_int>, Errno>;
    fn take_report(&mut self) -> Result<ErrorReport, Errno>;
}

impl Source for &Socket {
    fn family(&mut self) -> Result<Family, Errno> {
        Ok(Socket::family(self))
    }

    fn recv(&mut self, into: &mut [IoSliceMut<'_>], flags: c_int) -> Result<usize, Errno> {
        transfer::recv(self, into, flags)
    }

    fn left_to_read(&mut self) -> Result<Option<c_int>, Errno> {
        Socket::left_to_read(self)
    }

    fn take_report(&mut self) -> Result<ErrorReport, Errno> {
        Socket::take_report(self)
    }
}

/// The control data of one message, as far as the caller has room for it.
pub(crate) struct Control {
    bytes: Vec<u8>,
    room: usize,
    /// Something did not fit: `MSG_CTRUNC`.
    truncated: bool,
}

impl Control {
    /// Room as `header` says.
    pub(crate) fn new(header: &msghdr) -> Control {
        Control {
            bytes: Vec::new(),
            room: if header.msg_control.is_null() {
                0
            } else {
                header.msg_controllen
            },
            truncated: false,
        }
    }

    /// Adds a piece of data, cut as Linux's `put_cmsg` cuts it.
    pub(crate) fn put(&mut self, level: c_int, kind: c_int, data: &[u8]) {
        let left = self.room.saturating_sub(self.bytes.len());
        if left < HEADER {
            self.truncated = true;
            return;
        }
        let fits = data.get(..data.len().min(left - HEADER)).unwrap_or_default();
        self.truncated |= fits.len() < data.len();
        self.bytes.extend((HEADER + fits.len()).to_ne_bytes());
        self.bytes.extend(level.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(fits);
        let padded = self.bytes.len().next_multiple_of(ALIGNMENT).min(self.room);
        self.bytes.resize(padded, 0);
    }

    /// Writes it where `header` says, and its length and `MSG_CTRUNC` into `header`.
    pub(crate) fn write(&self, header: &mut msghdr) -> Result<(), Errno> {
        memory::write_array(header.msg_control.cast::<u8>(), &self.bytes)?;
        header.msg_controllen = self.bytes.len();
        if self.truncated {
            header.msg_flags |= libc::MSG_CTRUNC;
        }
        Ok(())
    }
}

/// `MSG_ERRQUEUE`: the oldest report into `into`, its address and its `struct sock_extended_err` into `header`.
pub(crate) fn take_report(
    source: &mut impl Source,
    header: &mut msghdr,
    into: impl FnOnce(&[u8]) -> Result<usize, Errno>,
) -> Result<ssize_t, Errno> {
    let mut control = Control::new(header);
    let report = source.take_report()?;
    let copied = into(&report.quoted)?;
    let (level, kind) = match source.family()? {
        Family::V4 => (libc::IPPROTO_IP, libc::IP_RECVERR),
        Family::V6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    control.put(level, kind, &extended_error(&report));
    header.msg_flags = libc::MSG_ERRQUEUE;
    if copied < report.quoted.len() {
        header.msg_flags |= libc::MSG_TRUNC;
    }
    control.write(header)?;
    if !header.msg_name.is_null() {
        let name = address::bytes(report.destination);
        let fits = name
            .len()
            .min(usize::try_from(header.msg_namelen).unwrap_or(usize::MAX));
        memory::write_array(header.msg_name.cast::<u8>(), name.get(..fits).unwrap_or_default())?;
        header.msg_namelen = libc::socklen_t::try_from(name.len()).unwrap_or(0);
    }
    count(copied)
}

/// `struct sock_extended_err`, and the address of who sent the message behind it.
fn extended_error(report: &ErrorReport) -> Vec<u8> {
    let origin = match report.family {
        Family::V4 => ORIGIN_ICMP,
        Family::V6 => ORIGIN_ICMP6,
    };
    let errno = Errno::from(report.error).0.cast_unsigned();
    let offender = address::bytes(SocketAddr::new(report.offender, 0));
    let mut bytes = errno.to_ne_bytes().to_vec();
    bytes.extend([origin, report.kind, report.code, 0]);
    bytes.extend(report.info.to_ne_bytes());
    bytes.extend([0; 4]); // ee_data
    bytes.extend(offender);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(room: usize) -> Control {
        Control {
            bytes: Vec::new(),
            room,
            truncated: false,
        }
    }

    #[test]
    fn pieces_are_aligned_and_cut_where_the_room_ends() {
        for (room, length, truncated) in [
            (100, 24, false),
            (24, 24, false),
            (20, 20, false),
            (19, 19, true),
            (15, 0, true),
        ] {
            let mut control = control(room);
            control.put(6, 36, &[1, 2, 3, 4]);
            assert_eq!(
                (control.bytes.len(), control.truncated),
                (length, truncated),
                "room {room}"
            );
        }
        let mut two = control(100);
        two.put(6, 36, &[1, 2, 3, 4]);
        two.put(6, 36, &[5]);
        assert_eq!((two.bytes.len(), two.bytes[40]), (48, 5));
    }
}
