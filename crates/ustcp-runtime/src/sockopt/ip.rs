//! The options at the level of IP. A socket has one of each, by whichever family's name.

use libc::{EINVAL, ENOPROTOOPT, c_int};
use ustcp_proto::{Options, Stack};

use super::{byte_or_int, int_at, within};
use crate::Errno;

/// What Linux takes for a hop limit; −1 takes it back.
const TTL: std::ops::RangeInclusive<c_int> = 1..=255;
const UNICAST_HOPS: std::ops::RangeInclusive<c_int> = 0..=255;
/// What Linux takes for `IPV6_TCLASS`; −1 takes it back.
const TRAFFIC_CLASS: std::ops::RangeInclusive<c_int> = 0..=255;

/// ECN's part of the traffic class, which on a stream is not the user's.
const ECN: u8 = 0b11;

pub(super) fn set_field(options: &mut Options, (level, name): (c_int, c_int), value: &[u8]) -> Result<(), Errno> {
    let limit = |number, range| {
        if number == -1 {
            Ok(None)
        } else {
            within(number, range).map(Some)
        }
    };
    match (level, name) {
        (libc::IPPROTO_IP, libc::IP_TOS) => options.traffic_class = tos(value)? & !ECN,
        (libc::IPPROTO_IP, libc::IP_TTL) if value.is_empty() => return Err(Errno(EINVAL)),
        (libc::IPPROTO_IP, libc::IP_TTL) => options.hop_limit = limit(byte_or_int(value)?, &TTL)?,
        (libc::IPPROTO_IP, libc::IP_RECVERR) => options.error_queue = byte_or_int(value)? != 0,
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => options.error_queue = int_at(value, 0)? != 0,
        (libc::IPPROTO_IP, libc::IP_TRANSPARENT) | (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT) => {
            options.transparent = int_at(value, 0)? != 0;
        }
        (libc::IPPROTO_IP, libc::IP_FREEBIND) => options.free_bind = byte_or_int(value)? != 0,
        (libc::IPPROTO_IPV6, libc::IPV6_FREEBIND) => options.free_bind = int_at(value, 0)? != 0,
        (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT) => options.bind_without_port = byte_or_int(value)? != 0,
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
            let class: Option<u8> = limit(int_at(value, 0)?, &TRAFFIC_CLASS)?;
            options.traffic_class = class.unwrap_or(0) & !ECN;
        }
        (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => options.hop_limit = limit(int_at(value, 0)?, &UNICAST_HOPS)?,
        _ => return Err(Errno(ENOPROTOOPT)),
    }
    Ok(())
}

pub(super) fn field(stack: &Stack, options: &Options, (level, name): (c_int, c_int)) -> Result<c_int, Errno> {
    match (level, name) {
        (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => Ok(options.traffic_class.into()),
        (libc::IPPROTO_IP, libc::IP_TRANSPARENT) | (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT) => {
            Ok(options.transparent.into())
        }
        (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => {
            Ok(options.hop_limit.unwrap_or(stack.config().default_ttl).into())
        }
        (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
            Ok(options.error_queue.into())
        }
        (libc::IPPROTO_IP, libc::IP_FREEBIND) | (libc::IPPROTO_IPV6, libc::IPV6_FREEBIND) => {
            Ok(options.free_bind.into())
        }
        (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT) => Ok(options.bind_without_port.into()),
        _ => Err(Errno(ENOPROTOOPT)),
    }
}

/// As Linux: what does not fit into eight bits is cut off.
fn tos(value: &[u8]) -> Result<u8, Errno> {
    byte_or_int(value).map(|number| number.to_le_bytes()[0])
}

#[cfg(test)]
mod tests {
    use libc::{IP_TOS, IP_TTL, IPPROTO_IP, IPPROTO_IPV6, IPV6_TCLASS, IPV6_UNICAST_HOPS};
    use ustcp_proto::Config;

    use super::*;

    /// MUST-48, MUST-49: the values that Linux takes, and what it tells of them.
    #[test]
    fn traffic_class_and_hop_limit_have_linux_limits() {
        let stack = Stack::new(Config {
            default_ttl: 61,
            ..Config::default()
        });
        let table = [
            (IPPROTO_IP, IP_TOS, 0xb8, Ok(0xb8)),
            (IPPROTO_IP, IP_TOS, 0x1ff, Ok(0xfc)),
            (IPPROTO_IP, IP_TTL, -1, Ok(61)),
            (IPPROTO_IP, IP_TTL, 0, Err(EINVAL)),
            (IPPROTO_IP, IP_TTL, 255, Ok(255)),
            (IPPROTO_IP, IP_TTL, 256, Err(EINVAL)),
            (IPPROTO_IPV6, IPV6_TCLASS, -1, Ok(0)),
            (IPPROTO_IPV6, IPV6_TCLASS, 0xbb, Ok(0xb8)),
            (IPPROTO_IPV6, IPV6_TCLASS, 256, Err(EINVAL)),
            (IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1, Ok(61)),
            (IPPROTO_IPV6, IPV6_UNICAST_HOPS, 0, Ok(0)),
            (IPPROTO_IPV6, IPV6_UNICAST_HOPS, -2, Err(EINVAL)),
            (IPPROTO_IP, libc::IP_OPTIONS, 1, Err(ENOPROTOOPT)),
        ];
        for (level, name, number, told) in table {
            let mut options = Options::default();
            let answer = set_field(&mut options, (level, name), &c_int::to_ne_bytes(number))
                .and_then(|()| field(&stack, &options, (level, name)));
            assert_eq!(answer, told.map_err(Errno), "level {level} name {name} number {number}");
        }
    }

    #[test]
    fn ipv4_takes_a_byte_and_ipv6_does_not() {
        let mut options = Options::default();
        assert_eq!(set_field(&mut options, (IPPROTO_IP, IP_TOS), &[0x20]), Ok(()));
        assert_eq!(set_field(&mut options, (IPPROTO_IP, IP_TTL), &[9]), Ok(()));
        assert_eq!((options.traffic_class, options.hop_limit), (0x20, Some(9)));
        let refused = Err(Errno(EINVAL));
        assert_eq!(set_field(&mut options, (IPPROTO_IP, IP_TTL), &[]), refused);
        assert_eq!(set_field(&mut options, (IPPROTO_IPV6, IPV6_TCLASS), &[1]), refused);
    }
}
