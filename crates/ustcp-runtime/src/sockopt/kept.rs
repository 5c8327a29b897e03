//! Options that mean nothing to this stack and are kept: told back, and handed on to accepted sockets. Some do nothing on a
//! stream in Linux either; others speak to queues, filters and processors that a stack in a process has not.

use libc::{EACCES, EINVAL, EOPNOTSUPP, EPERM, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET, c_int};
use ustcp_proto::Kept;

use super::{byte_or_int, int_at, within};
use crate::Errno;
use crate::sys::credentials::{CAP_NET_ADMIN, CAP_NET_RAW, has_capability};

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Any number; what is not 0 is 1.
    Number,
    /// 0 and 1.
    Flag,
    /// Any number, and 1 only of who administers the network; else this errno.
    Privileged(c_int),
}

/// An option that is on or off: level, number, what it takes, and what it is at first.
type Flag = (c_int, c_int, Takes, bool);

/// Each is the bit of its place in [`Kept::flags`]. The numbers without a name here are those of <asm-generic/socket.h> and
/// <linux/in6.h>, for which libc has none.
const FLAGS: [Flag; 47] = {
    use Takes::{Flag, Number, Privileged};
    [
        (SOL_SOCKET, libc::SO_DEBUG, Privileged(EACCES), false),
        (SOL_SOCKET, libc::SO_DONTROUTE, Number, false),
        (SOL_SOCKET, libc::SO_BROADCAST, Number, false),
        (SOL_SOCKET, libc::SO_NO_CHECK, Number, false),
        (SOL_SOCKET, libc::SO_TIMESTAMP, Number, false),
        (SOL_SOCKET, libc::SO_TIMESTAMPNS, Number, false),
        (SOL_SOCKET, libc::SO_RXQ_OVFL, Number, false),
        (SOL_SOCKET, libc::SO_WIFI_STATUS, Number, false),
        (SOL_SOCKET, libc::SO_NOFCS, Number, false),
        (SOL_SOCKET, libc::SO_LOCK_FILTER, Number, false),
        (SOL_SOCKET, libc::SO_SELECT_ERR_QUEUE, Number, false),
        (SOL_SOCKET, 63, Number, false), // SO_TIMESTAMP_NEW
        (SOL_SOCKET, 64, Number, false), // SO_TIMESTAMPNS_NEW
        (SOL_SOCKET, libc::SO_PREFER_BUSY_POLL, Privileged(EPERM), false),
        (SOL_SOCKET, 74, Flag, true),    // SO_TXREHASH
        (SOL_SOCKET, 75, Number, false), // SO_RCVMARK
        (SOL_SOCKET, 82, Number, false), // SO_RCVPRIORITY
        (IPPROTO_IP, libc::IP_RECVOPTS, Number, false),
        (IPPROTO_IP, libc::IP_RETOPTS, Number, false),
        (IPPROTO_IP, libc::IP_PKTINFO, Number, false),
        (IPPROTO_IP, libc::IP_RECVTTL, Number, false),
        (IPPROTO_IP, libc::IP_RECVTOS, Number, false),
        (IPPROTO_IP, libc::IP_PASSSEC, Number, false),
        (IPPROTO_IP, libc::IP_ORIGDSTADDR, Number, false),
        (IPPROTO_IP, libc::IP_CHECKSUM, Number, false),
        (IPPROTO_IP, libc::IP_RECVFRAGSIZE, Number, false),
        (IPPROTO_IPV6, 2, Number, false), // IPV6_2292PKTINFO, and so on
        (IPPROTO_IPV6, 3, Number, false),
        (IPPROTO_IPV6, 4, Number, false),
        (IPPROTO_IPV6, 5, Number, false),
        (IPPROTO_IPV6, 8, Number, false),
        (IPPROTO_IPV6, libc::IPV6_FLOWINFO, Number, false),
        (IPPROTO_IPV6, libc::IPV6_MULTICAST_ALL, Number, true),
        (IPPROTO_IPV6, libc::IPV6_ROUTER_ALERT_ISOLATE, Number, false),
        (IPPROTO_IPV6, libc::IPV6_FLOWINFO_SEND, Number, false),
        (IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, Number, false),
        (IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, Number, false),
        (IPPROTO_IPV6, libc::IPV6_RECVHOPOPTS, Number, false),
        (IPPROTO_IPV6, libc::IPV6_RECVRTHDR, Number, false),
        (IPPROTO_IPV6, libc::IPV6_RECVDSTOPTS, Number, false),
        (IPPROTO_IPV6, libc::IPV6_RECVPATHMTU, Number, false),
        (IPPROTO_IPV6, libc::IPV6_DONTFRAG, Number, false),
        (IPPROTO_IPV6, libc::IPV6_RECVTCLASS, Number, false),
        (IPPROTO_IPV6, libc::IPV6_AUTOFLOWLABEL, Number, true),
        (IPPROTO_IPV6, libc::IPV6_ORIGDSTADDR, Number, false),
        (IPPROTO_IPV6, libc::IPV6_RECVFRAGSIZE, Number, false),
        (IPPROTO_IPV6, 31, Flag, false), // IPV6_RECVERR_RFC4884
    ]
};

/// What everybody may ask for with `SO_PRIORITY`.
const PRIORITIES: std::ops::RangeInclusive<c_int> = 0..=6;
/// What Linux takes for `IP_MTU_DISCOVER`.
const DISCOVERY: std::ops::RangeInclusive<c_int> = 0..=5;

/// Sets what is kept. `None`: it is none of these.
pub(super) fn set(kept: &mut Kept, (level, name): (c_int, c_int), value: &[u8]) -> Option<Result<(), Errno>> {
    if let Some((bit, flag)) = flag_at(level, name) {
        return Some(set_flag(kept, bit, flag, value));
    }
    let number = || number_in(level, value);
    let outcome = match (level, name) {
        (SOL_SOCKET, libc::SO_PRIORITY) => number().and_then(|number| {
            let may = PRIORITIES.contains(&number) || has_capability(CAP_NET_RAW) || has_capability(CAP_NET_ADMIN);
            kept.priority = may.then_some(number).ok_or(Errno(EPERM))?;
            Ok(())
        }),
        (SOL_SOCKET, libc::SO_MARK) => number().and_then(|number| {
            let may = has_capability(CAP_NET_RAW) || has_capability(CAP_NET_ADMIN);
            kept.mark = may.then_some(number).ok_or(Errno(EPERM))?;
            Ok(())
        }),
        (SOL_SOCKET, libc::SO_BUSY_POLL) => number().and_then(|number| {
            kept.busy_poll = within(number, &(0..=c_int::MAX))?;
            Ok(())
        }),
        (SOL_SOCKET, libc::SO_INCOMING_CPU) => number().map(|number| kept.incoming_cpu = number),
        (IPPROTO_IP, libc::IP_MTU_DISCOVER) | (IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER) => number().and_then(|number| {
            kept.mtu_discovery = within(number, &DISCOVERY)?;
            Ok(())
        }),
        // One device, which nobody need name; no options of IPv4; and what Linux has where it is not allowed or not built in.
        (SOL_SOCKET, libc::SO_BINDTODEVICE) if value.first().is_none_or(|first| *first == 0) => Ok(()),
        (SOL_SOCKET, libc::SO_BINDTODEVICE) => Err(Errno(libc::ENODEV)),
        (SOL_SOCKET, libc::SO_BSDCOMPAT) => number().map(drop),
        (SOL_SOCKET, libc::SO_PASSCRED | libc::SO_PASSSEC) => Err(Errno(EOPNOTSUPP)),
        (IPPROTO_IP, libc::IP_OPTIONS) if value.is_empty() => Ok(()),
        (IPPROTO_TCP, libc::TCP_ULP) => Err(Errno(libc::ENOENT)),
        (IPPROTO_TCP, libc::TCP_REPAIR | libc::TCP_REPAIR_QUEUE) => Err(Errno(EPERM)),
        _ => return None,
    };
    Some(outcome)
}

/// Tells what is kept, and what never changes.
pub(super) fn get(kept: &Kept, (level, name): (c_int, c_int)) -> Option<Result<Vec<u8>, Errno>> {
    if let Some((bit, (.., initially))) = flag_at(level, name) {
        let on = (kept.flags & bit != 0) != initially;
        return Some(Ok(c_int::from(on).to_ne_bytes().to_vec()));
    }
    let number = match (level, name) {
        (SOL_SOCKET, libc::SO_PRIORITY) => kept.priority,
        (SOL_SOCKET, libc::SO_MARK) => kept.mark,
        (SOL_SOCKET, libc::SO_BUSY_POLL) => kept.busy_poll,
        (SOL_SOCKET, libc::SO_INCOMING_CPU) => kept.incoming_cpu,
        (SOL_SOCKET, libc::SO_BSDCOMPAT) => 0,
        (IPPROTO_IP, libc::IP_MTU_DISCOVER) | (IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER) => {
            c_int::from(kept.mtu_discovery)
        }
        (SOL_SOCKET, libc::SO_BINDTODEVICE) | (IPPROTO_IP, libc::IP_OPTIONS) | (IPPROTO_TCP, libc::TCP_ULP) => {
            return Some(Ok(Vec::new()));
        }
        (SOL_SOCKET, libc::SO_PASSCRED | libc::SO_PASSSEC) => return Some(Err(Errno(EOPNOTSUPP))),
        _ => return None,
    };
    Some(Ok(number.to_ne_bytes().to_vec()))
}

fn flag_at(level: c_int, name: c_int) -> Option<(u64, Flag)> {
    let place = FLAGS.iter().position(|flag| (flag.0, flag.1) == (level, name))?;
    FLAGS.get(place).map(|flag| (1 << place, *flag))
}

/// As Linux: an option of IPv4 may be a byte.
fn number_in(level: c_int, value: &[u8]) -> Result<c_int, Errno> {
    match level {
        IPPROTO_IP => byte_or_int(value),
        _ => int_at(value, 0),
    }
}

fn set_flag(kept: &mut Kept, bit: u64, (level, _, takes, initially): Flag, value: &[u8]) -> Result<(), Errno> {
    let number = number_in(level, value)?;
    match takes {
        Takes::Number => {}
        Takes::Flag if !(0..=1).contains(&number) => return Err(Errno(EINVAL)),
        Takes::Privileged(errno) if number != 0 && !has_capability(CAP_NET_ADMIN) => return Err(Errno(errno)),
        Takes::Flag | Takes::Privileged(_) => {}
    }
    // A bit says that the flag is not as it was at first.
    let moved = (number != 0) != initially;
    kept.flags = if moved { kept.flags | bit } else { kept.flags & !bit };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every flag has its own bit, is at first what it is in Linux, and can be turned and turned back.
    #[test]
    fn flags_do_not_disturb_each_other() {
        let mut kept = Kept::default();
        let told = |kept: &Kept, flag: &Flag| get(kept, (flag.0, flag.1)).unwrap().unwrap();
        for (place, flag) in FLAGS.iter().enumerate() {
            assert_eq!(
                FLAGS.iter().position(|other| (other.0, other.1) == (flag.0, flag.1)),
                Some(place)
            );
            assert_eq!(told(&kept, flag), c_int::from(flag.3).to_ne_bytes());
        }
        for flag in FLAGS.iter().filter(|flag| !matches!(flag.2, Takes::Privileged(_))) {
            let turned = c_int::from(!flag.3).to_ne_bytes();
            assert_eq!(set(&mut kept, (flag.0, flag.1), &turned), Some(Ok(())));
            assert_eq!((told(&kept, flag), kept.flags.count_ones()), (turned.to_vec(), 1));
            assert_eq!(
                set(&mut kept, (flag.0, flag.1), &c_int::from(flag.3).to_ne_bytes()),
                Some(Ok(()))
            );
            assert_eq!(kept, Kept::default());
        }
    }
}
