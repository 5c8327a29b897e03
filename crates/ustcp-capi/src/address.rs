//! `struct sockaddr` in and out, field by field and of any alignment.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::{c_int, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};
use ustcp_runtime::{Errno, Family, SendFlags};

use crate::memory;

/// Which call an address is for: bind takes `AF_UNSPEC` with the wildcard address as `AF_INET`, as Linux does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// bind.
    Bind,
    /// connect.
    Connect,
}

/// Length of `struct sockaddr_in6` before it had a scope (RFC 2133), which Linux still takes.
const SHORTEST_V6: usize = 24;

/// The address at `from` for a socket of `family`. `EINVAL` for a length that no address of the family has, `EFAULT`,
/// `EAFNOSUPPORT`.
pub(crate) fn read(
    from: *const sockaddr,
    length: socklen_t,
    family: Family,
    purpose: Purpose,
) -> Result<SocketAddr, Errno> {
    check_length(length)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    match family {
        Family::V4 => read_v4(from, length, purpose),
        Family::V6 => read_v6(from, length),
    }
}

fn read_v4(from: *const sockaddr, length: usize, purpose: Purpose) -> Result<SocketAddr, Errno> {
    let address: sockaddr_in = memory::read_prefix(from.cast(), length)?;
    if length < size_of::<libc::sa_family_t>() {
        return Err(Errno(libc::EINVAL));
    }
    let wildcard = address.sin_addr.s_addr == libc::INADDR_ANY;
    match c_int::from(address.sin_family) {
        _ if length < size_of::<sockaddr_in>() => return Err(Errno(libc::EINVAL)),
        libc::AF_INET => {}
        libc::AF_UNSPEC if wildcard && purpose == Purpose::Bind => {}
        _ => return Err(Errno(libc::EAFNOSUPPORT)),
    }
    let host = Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr));
    Ok(SocketAddr::V4(SocketAddrV4::new(host, u16::from_be(address.sin_port))))
}

/// Flow information and scope are not looked at: the stack labels its flows itself, and has one device.
fn read_v6(from: *const sockaddr, length: usize) -> Result<SocketAddr, Errno> {
    let address: sockaddr_in6 = memory::read_prefix(from.cast(), length)?;
    if length < size_of::<libc::sa_family_t>() {
        return Err(Errno(libc::EINVAL));
    }
    match c_int::from(address.sin6_family) {
        _ if length < SHORTEST_V6 => Err(Errno(libc::EINVAL)),
        libc::AF_INET6 => {
            let host = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            Ok(SocketAddr::V6(SocketAddrV6::new(host, port, 0, 0)))
        }
        _ => Err(Errno(libc::EAFNOSUPPORT)),
    }
}

/// Whether the address that connect was given is `AF_UNSPEC`, of which nothing but that is looked at.
pub(crate) fn is_unspecified(from: *const sockaddr, length: socklen_t) -> Result<bool, Errno> {
    check_length(length)?;
    let whole = usize::try_from(length).is_ok_and(|length| length >= size_of::<libc::sa_family_t>());
    Ok(whole && c_int::from(memory::read(from.cast::<libc::sa_family_t>())?) == libc::AF_UNSPEC)
}

/// An address as the bytes of a `struct sockaddr_in` or `struct sockaddr_in6`.
pub(crate) fn bytes(address: SocketAddr) -> Vec<u8> {
    let (family, port) = match address {
        SocketAddr::V4(_) => (libc::AF_INET, address.port()),
        SocketAddr::V6(_) => (libc::AF_INET6, address.port()),
    };
    let family = libc::sa_family_t::try_from(family).unwrap_or_default();
    let mut bytes = [family.to_ne_bytes(), port.to_be_bytes()].concat();
    match address {
        SocketAddr::V4(address) => {
            bytes.extend(address.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(address) => {
            bytes.extend([0; 4]);
            bytes.extend(address.ip().octets());
            bytes.extend([0; 4]);
        }
    }
    bytes
}

/// Looks at an address that the call has no use for, as Linux does: `EINVAL`, `EFAULT`.
fn look_at(from: *const sockaddr, length: socklen_t) -> Result<(), Errno> {
    check_length(length)?;
    memory::read_array(from.cast::<u8>(), usize::try_from(length).unwrap_or(usize::MAX)).map(drop)
}

/// The flags of a sendto: with `MSG_FASTOPEN` the address says where to, otherwise it is only looked at.
pub(crate) fn send_flags(
    bits: c_int,
    to: *const sockaddr,
    length: socklen_t,
    family: Family,
) -> Result<SendFlags, Errno> {
    let mut flags = SendFlags::from_bits(bits);
    if flags.fast_open && !to.is_null() {
        flags.towards = Some(read(to, length, family, Purpose::Connect)?);
    } else if !to.is_null() {
        look_at(to, length)?;
    }
    Ok(flags)
}

/// No address is longer than `struct sockaddr_storage`.
fn check_length(length: socklen_t) -> Result<(), Errno> {
    match usize::try_from(length) {
        Ok(length) if length <= size_of::<libc::sockaddr_storage>() => Ok(()),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Where an address goes: a buffer and, in and out, its length. Checked before the call does what cannot be undone.
pub(crate) struct Room {
    to: *mut sockaddr,
    length: *mut socklen_t,
    bytes: usize,
}

impl Room {
    /// The room that a call was given. `EFAULT`; `EINVAL` for a negative length.
    pub(crate) fn new(to: *mut sockaddr, length: *mut socklen_t) -> Result<Room, Errno> {
        let bytes = memory::read(length)?.cast_signed();
        let bytes = usize::try_from(bytes).map_err(|_| Errno(libc::EINVAL))?;
        Ok(Room { to, length, bytes })
    }

    /// The same where a null buffer means that nobody wants the address.
    pub(crate) fn optional(to: *mut sockaddr, length: *mut socklen_t) -> Result<Option<Room>, Errno> {
        if to.is_null() {
            Ok(None)
        } else {
            Room::new(to, length).map(Some)
        }
    }

    /// Writes as much of `address` as there is room for, and its full length.
    pub(crate) fn write(&self, address: SocketAddr) -> Result<(), Errno> {
        match address {
            SocketAddr::V4(address) => self.write_value(&v4(address)),
            SocketAddr::V6(address) => self.write_value(&v6(address)),
        }
    }

    /// Says that there is no address: length 0.
    pub(crate) fn write_none(&self) -> Result<(), Errno> {
        memory::write(self.length, &0)
    }

    fn write_value<T: Copy>(&self, value: &T) -> Result<(), Errno> {
        memory::write_prefix(self.to.cast(), value, self.bytes)?;
        let full = socklen_t::try_from(size_of::<T>()).unwrap_or(socklen_t::MAX);
        memory::write(self.length, &full)
    }
}

/// The address with room for those of any family.
pub(crate) fn storage(address: SocketAddr) -> sockaddr_storage {
    match address {
        SocketAddr::V4(address) => memory::widened(&v4(address)),
        SocketAddr::V6(address) => memory::widened(&v6(address)),
    }
}

fn v4(address: SocketAddrV4) -> sockaddr_in {
    sockaddr_in {
        sin_family: family(libc::AF_INET),
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: address.ip().to_bits().to_be(),
        },
        sin_zero: [0; 8],
    }
}

fn v6(address: SocketAddrV6) -> sockaddr_in6 {
    sockaddr_in6 {
        sin6_family: family(libc::AF_INET6),
        sin6_port: address.port().to_be(),
        sin6_flowinfo: address.flowinfo(),
        sin6_addr: libc::in6_addr {
            s6_addr: address.ip().octets(),
        },
        sin6_scope_id: address.scope_id(),
    }
}

fn family(number: c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in4(family: c_int, host: [u8; 4], port: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(u16::try_from(family).unwrap().to_ne_bytes());
        bytes.extend(port.to_be_bytes());
        bytes.extend(host);
        bytes.extend([0; 8]);
        bytes
    }

    fn read_bytes(bytes: &[u8], length: u32, purpose: Purpose) -> Result<SocketAddr, Errno> {
        // One byte in, so that nothing is aligned.
        let mut shifted = vec![0];
        shifted.extend(bytes);
        shifted.resize(200, 0);
        read(shifted.as_ptr().wrapping_add(1).cast(), length, Family::V4, purpose)
    }

    #[test]
    fn an_address_is_read_at_any_alignment() {
        let bytes = in4(libc::AF_INET, [10, 77, 0, 1], 80);
        for length in [16, 17, 128] {
            let address = read_bytes(&bytes, length, Purpose::Connect);
            assert_eq!(address, Ok("10.77.0.1:80".parse().unwrap()), "length {length}");
        }
    }

    #[test]
    fn lengths_and_families_are_judged_as_linux_does() {
        use libc::{AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC, EAFNOSUPPORT, EINVAL};
        let any = [0; 4];
        let some = [10, 77, 0, 1];
        let table = [
            (AF_INET, some, 0, EINVAL, EINVAL),
            (AF_INET, some, 1, EINVAL, EINVAL),
            (AF_INET, some, 15, EINVAL, EINVAL),
            (AF_INET, some, 129, EINVAL, EINVAL),
            (AF_INET, some, u32::MAX, EINVAL, EINVAL),
            (AF_INET6, some, 16, EAFNOSUPPORT, EAFNOSUPPORT),
            (AF_INET6, some, 28, EAFNOSUPPORT, EAFNOSUPPORT),
            (AF_UNIX, some, 16, EAFNOSUPPORT, EAFNOSUPPORT),
            (AF_UNSPEC, some, 16, EAFNOSUPPORT, EAFNOSUPPORT),
            (AF_UNSPEC, any, 16, 0, EAFNOSUPPORT),
            (AF_UNSPEC, any, 2, EINVAL, EINVAL),
        ];
        for (family, host, length, bind, connect) in table {
            for (purpose, errno) in [(Purpose::Bind, bind), (Purpose::Connect, connect)] {
                let errno_seen = read_bytes(&in4(family, host, 0), length, purpose)
                    .err()
                    .map_or(0, |errno| errno.0);
                assert_eq!(errno_seen, errno, "family {family} length {length}");
            }
        }
    }

    fn in6(family: c_int, host: &str, port: u16) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u16::try_from(family).unwrap().to_ne_bytes());
        bytes.extend(port.to_be_bytes());
        bytes.extend([1, 2, 3, 4]); // flow information
        bytes.extend(host.parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend([5, 6, 7, 8]); // scope
        bytes.resize(200, 0);
        bytes
    }

    fn read_v6_bytes(bytes: &[u8], length: u32, purpose: Purpose) -> Result<SocketAddr, Errno> {
        read(bytes.as_ptr().wrapping_add(1).cast(), length, Family::V6, purpose)
    }

    #[test]
    fn an_ipv6_address_is_read_at_any_alignment_without_flow_and_scope() {
        for length in [24, 28, 128] {
            let bytes = in6(libc::AF_INET6, "fd77::1", 80);
            let address = read_v6_bytes(&bytes, length, Purpose::Connect);
            assert_eq!(address, Ok("[fd77::1]:80".parse().unwrap()), "length {length}");
        }
    }

    #[test]
    fn lengths_and_families_of_ipv6_are_judged_as_linux_does() {
        use libc::{AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC, EAFNOSUPPORT, EINVAL};
        let table = [
            (AF_INET6, 28, 0, 0),
            (AF_INET6, 24, 0, 0),
            (AF_INET6, 23, EINVAL, EINVAL),
            (AF_INET6, 1, EINVAL, EINVAL),
            (AF_INET6, 0, EINVAL, EINVAL),
            (AF_INET6, 129, EINVAL, EINVAL),
            (AF_INET6, u32::MAX, EINVAL, EINVAL),
            (AF_INET, 28, EAFNOSUPPORT, EAFNOSUPPORT),
            (AF_INET, 16, EINVAL, EINVAL),
            (AF_UNIX, 28, EAFNOSUPPORT, EAFNOSUPPORT),
            (AF_UNSPEC, 28, EAFNOSUPPORT, EAFNOSUPPORT),
            (AF_UNSPEC, 16, EINVAL, EINVAL),
        ];
        for (family, length, bind, connect) in table {
            for (purpose, errno) in [(Purpose::Bind, bind), (Purpose::Connect, connect)] {
                let seen = read_v6_bytes(&in6(family, "::", 0), length, purpose);
                assert_eq!(
                    seen.err().map_or(0, |errno| errno.0),
                    errno,
                    "family {family} length {length}"
                );
            }
        }
    }

    #[test]
    fn an_ipv6_address_is_28_bytes_with_flow_and_scope_0() {
        let mut bytes = [0xaa_u8; 32];
        let mut length: socklen_t = 32;
        let room = Room::new(bytes.as_mut_ptr().cast(), &raw mut length).unwrap();
        room.write("[fd77::1]:258".parse().unwrap()).unwrap();
        let mut expected = in6(libc::AF_INET6, "fd77::1", 258)[1..29].to_vec();
        expected[4..8].fill(0);
        expected[24..28].fill(0);
        assert_eq!(
            (length, &bytes[..28], &bytes[28..]),
            (28, &expected[..], &[0xaa; 4][..])
        );
    }

    #[test]
    fn a_short_room_takes_the_beginning_and_learns_the_length() {
        let mut bytes = [0xaa_u8; 16];
        let mut length: socklen_t = 4;
        let room = Room::new(bytes.as_mut_ptr().cast(), &raw mut length).unwrap();
        room.write("10.77.0.1:258".parse().unwrap()).unwrap();
        assert_eq!(&bytes[2..6], [1, 2, 0xaa, 0xaa]);
        assert_eq!(length, 16);
    }

    #[test]
    fn a_negative_room_is_einval() {
        let mut bytes = [0_u8; 16];
        let mut length: socklen_t = u32::MAX;
        let room = Room::new(bytes.as_mut_ptr().cast(), &raw mut length);
        assert_eq!(room.err(), Some(Errno(libc::EINVAL)));
    }
}
