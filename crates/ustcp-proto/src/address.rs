//! How a socket's user speaks of addresses, and which of them meet: RFC 3493 §3.7, RFC 4291 §2.5.5.2.

use core::net::{IpAddr, SocketAddr};

use crate::table::Socket;
use crate::{Error, Family};

/// The address a user of `socket` means. An IPv6 socket speaks of IPv4 as ::ffff:a.b.c.d, unless it wants nothing of it:
/// then that is `unwanted`.
pub(crate) fn inward(socket: &Socket, address: SocketAddr, unwanted: Error) -> Result<SocketAddr, Error> {
    if Family::of(address.ip()) != socket.family {
        return Err(Error::AddressFamilyNotSupported);
    }
    let meant = SocketAddr::new(address.ip().to_canonical(), address.port());
    let crosses = Family::of(meant.ip()) != socket.family;
    if crosses && socket.options.v6_only {
        Err(unwanted)
    } else {
        Ok(meant)
    }
}

/// The address as a user of a socket of `family` is told it.
pub(crate) fn outward(family: Family, address: SocketAddr) -> SocketAddr {
    match (family, address.ip()) {
        (Family::V6, IpAddr::V4(ip)) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), address.port()),
        _ => address,
    }
}

/// Whether a packet could be for both: two sockets' local addresses, and whether they want nothing of IPv4.
pub(crate) fn overlap(one: (IpAddr, bool), other: (IpAddr, bool)) -> bool {
    let ((a, a_only), (b, b_only)) = (one, other);
    let takes_all = |wildcard: IpAddr, v6_only: bool, family: Family| {
        wildcard.is_unspecified() && (Family::of(wildcard) == family || (family == Family::V4 && !v6_only))
    };
    a == b || takes_all(a, a_only, Family::of(b)) || takes_all(b, b_only, Family::of(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Options, Stack};

    fn socket(family: Family, v6_only: bool) -> Socket {
        let mut stack = Stack::new(Config::default());
        let id = stack.socket(Family::V4).unwrap();
        Socket::new(
            family,
            Options {
                v6_only,
                ..stack.options(id).unwrap()
            },
        )
    }

    #[test]
    fn what_users_mean() {
        let cases = [
            (Family::V4, false, "10.0.0.1:80", Ok("10.0.0.1:80")),
            (
                Family::V4,
                false,
                "[2001:db8::1]:80",
                Err(Error::AddressFamilyNotSupported),
            ),
            (Family::V6, false, "10.0.0.1:80", Err(Error::AddressFamilyNotSupported)),
            (Family::V6, false, "[2001:db8::1]:80", Ok("[2001:db8::1]:80")),
            (Family::V6, false, "[::ffff:10.0.0.1]:80", Ok("10.0.0.1:80")),
            (Family::V6, true, "[::ffff:10.0.0.1]:80", Err(Error::NetworkUnreachable)),
            (Family::V6, true, "[::]:80", Ok("[::]:80")),
        ];
        for (family, v6_only, said, meant) in cases {
            let result = inward(
                &socket(family, v6_only),
                said.parse().unwrap(),
                Error::NetworkUnreachable,
            );
            assert_eq!(
                result,
                meant.map(|address| address.parse().unwrap()),
                "{family:?} {v6_only} {said}"
            );
        }
    }

    #[test]
    fn what_users_are_told() {
        for (family, address, told) in [
            (Family::V4, "10.0.0.1:80", "10.0.0.1:80"),
            (Family::V6, "10.0.0.1:80", "[::ffff:10.0.0.1]:80"),
            (Family::V6, "[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            assert_eq!(outward(family, address.parse().unwrap()), told.parse().unwrap());
        }
    }

    #[test]
    fn which_addresses_meet() {
        let cases = [
            ("10.0.0.1", false, "10.0.0.1", false, true),
            ("10.0.0.1", false, "10.0.0.2", false, false),
            ("0.0.0.0", false, "10.0.0.2", false, true),
            ("0.0.0.0", false, "0.0.0.0", false, true),
            ("::", false, "10.0.0.2", false, true),
            ("::", true, "10.0.0.2", false, false),
            ("::", false, "0.0.0.0", false, true),
            ("::", true, "0.0.0.0", false, false),
            ("::", true, "2001:db8::1", true, true),
            ("0.0.0.0", false, "2001:db8::1", true, false),
            ("2001:db8::1", false, "10.0.0.1", false, false),
        ];
        for (a, a_only, b, b_only, meet) in cases {
            let (one, other) = ((a.parse().unwrap(), a_only), (b.parse().unwrap(), b_only));
            assert_eq!(
                (overlap(one, other), overlap(other, one)),
                (meet, meet),
                "{a} {a_only} {b} {b_only}"
            );
        }
    }
}
