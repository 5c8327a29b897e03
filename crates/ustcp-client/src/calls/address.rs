//! `struct sockaddr` in and out.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use rustix::io::Errno;

use crate::sys::{Sink, Source, memory};

/// Which call an address is for: bind takes `AF_UNSPEC` with the wildcard address as `AF_INET`, as Linux does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// bind.
    Bind,
    /// connect.
    Connect,
}

/// What connect was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `AF_UNSPEC`: no peer any more.
    Nobody,
    /// An address of the socket's family.
    Somebody(SocketAddr),
}

const FAMILY: usize = size_of::<libc::sa_family_t>();
const V4: usize = size_of::<libc::sockaddr_in>();
const V6: usize = size_of::<libc::sockaddr_in6>();
/// Length of `struct sockaddr_in6` before it had a scope (RFC 2133), which Linux still takes.
const SHORTEST_V6: usize = 24;

/// The address that bind was given. `EINVAL` for a length that no address of the family has, `EFAULT`, `EAFNOSUPPORT`.
pub(crate) fn of_bind(from: Source, is_v6: bool) -> Result<SocketAddr, Errno> {
    let (bytes, family) = copied(from)?;
    read(&bytes, from.len(), family.ok_or(Errno::INVAL)?, is_v6, Purpose::Bind)
}

/// The address that connect was given.
pub(crate) fn of_connect(from: Source, is_v6: bool) -> Result<Named, Errno> {
    match copied(from)? {
        (_, None) => Err(Errno::INVAL),
        (_, Some(libc::AF_UNSPEC)) => Ok(Named::Nobody),
        (bytes, Some(family)) => read(&bytes, from.len(), family, is_v6, Purpose::Connect).map(Named::Somebody),
    }
}

const LONGEST: usize = size_of::<libc::sockaddr_storage>();

/// Looks at an address, as Linux does before it has any use for it: `EFAULT`; `EINVAL` for one longer than `struct
/// sockaddr_storage`.
pub(crate) fn look_at(from: Source) -> Result<[u8; LONGEST], Errno> {
    let mut bytes = [0; LONGEST];
    if from.len() > LONGEST {
        return Err(Errno::INVAL);
    }
    from.read(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of an address, and its family where they are enough to have one.
fn copied(from: Source) -> Result<([u8; V6], Option<i32>), Errno> {
    let bytes = look_at(from)?;
    let family = bytes.first_chunk::<FAMILY>().filter(|_| from.len() >= FAMILY);
    let family = family.map(|family| libc::sa_family_t::from_ne_bytes(*family).into());
    Ok((*bytes.first_chunk().unwrap_or(&[0; V6]), family))
}

fn read(bytes: &[u8; V6], len: usize, family: i32, is_v6: bool, purpose: Purpose) -> Result<SocketAddr, Errno> {
    let [_, _, p0, p1, rest @ ..] = *bytes;
    let port = u16::from_be_bytes([p0, p1]);
    let [a, b, c, d, ..] = rest;
    let v4 = Ipv4Addr::new(a, b, c, d);
    match (is_v6, family) {
        (false, _) if len < V4 => Err(Errno::INVAL),
        (true, _) if len < SHORTEST_V6 => Err(Errno::INVAL),
        (false, libc::AF_INET) => Ok(SocketAddr::new(IpAddr::V4(v4), port)),
        (false, libc::AF_UNSPEC) if v4.is_unspecified() && purpose == Purpose::Bind => {
            Ok(SocketAddr::new(IpAddr::V4(v4), port))
        }
        (true, libc::AF_INET6) => Ok(read_v6(&rest, port)),
        _ => Err(Errno::AFNOSUPPORT),
    }
}

fn read_v6(rest: &[u8; V6 - 4], port: u16) -> SocketAddr {
    let [f0, f1, f2, f3, octets @ .., s0, s1, s2, s3] = *rest;
    let octets: [u8; 16] = octets;
    let flow = u32::from_ne_bytes([f0, f1, f2, f3]);
    let scope = u32::from_ne_bytes([s0, s1, s2, s3]);
    SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(octets), port, flow, scope))
}

/// Where an address goes: a buffer and, in and out, its length.
#[derive(Clone, Copy, Debug)]
pub struct AddressRoom {
    to: Sink,
    length: Sink,
}

impl AddressRoom {
    /// The room that a call was given. `to`: as long as any address; what `length` says is looked at later.
    #[must_use]
    pub fn new(to: Sink, length: Sink) -> AddressRoom {
        AddressRoom { to, length }
    }

    /// How long it is. `EFAULT`; `EINVAL` for a negative length.
    pub(crate) fn room(&self) -> Result<usize, Errno> {
        let mut length = [0; size_of::<i32>()];
        self.length.read(&mut length)?;
        usize::try_from(i32::from_ne_bytes(length)).map_err(|_| Errno::INVAL)
    }

    /// Whether nobody wants the address.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.to.is_null()
    }

    /// Writes as much of `address` as there is room for, and its full length.
    pub(crate) fn write(&self, address: SocketAddr) -> Result<(), Errno> {
        self.write_in(self.room()?, address)
    }

    /// The same where it is known how long the room is.
    pub(crate) fn write_in(&self, room: usize, address: SocketAddr) -> Result<(), Errno> {
        let (bytes, len) = bytes(address);
        let name = (self.to.first(room), bytes.get(..len).unwrap_or_default());
        memory::write_each([name, (self.length, &told(len))])
    }

    /// Says that there is no address.
    pub(crate) fn write_none(&self) -> Result<(), Errno> {
        self.length.write(&told(0)).map(drop)
    }
}

/// A length as the program reads it.
fn told(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes()
}

/// An address as the bytes of a `struct sockaddr_in` or `struct sockaddr_in6`, and how many they are.
fn bytes(address: SocketAddr) -> ([u8; V6], usize) {
    let port = address.port().to_be_bytes();
    let mut bytes = [0; V6];
    let mut put = |fields: [&[u8]; 5]| {
        let from = fields.into_iter().flatten();
        bytes.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    };
    match address {
        SocketAddr::V4(v4) => {
            put([&family(libc::AF_INET), &port, &v4.ip().octets(), &[], &[]]);
            (bytes, V4)
        }
        SocketAddr::V6(v6) => {
            let (flow, scope) = (v6.flowinfo().to_ne_bytes(), v6.scope_id().to_ne_bytes());
            put([&family(libc::AF_INET6), &port, &flow, &v6.ip().octets(), &scope]);
            (bytes, V6)
        }
    }
}

fn family(number: i32) -> [u8; FAMILY] {
    libc::sa_family_t::try_from(number).unwrap_or(0).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockaddr(family: i32, rest: &[u8]) -> Vec<u8> {
        let mut bytes = [&u16::try_from(family).unwrap().to_ne_bytes()[..], rest].concat();
        bytes.resize(200, 0);
        bytes
    }

    #[test]
    fn lengths_and_families_of_ipv4_are_judged_as_linux_does() {
        use libc::{AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC};
        const INVAL: Option<Errno> = Some(Errno::INVAL);
        const AFNOSUPPORT: Option<Errno> = Some(Errno::AFNOSUPPORT);
        let (any, some) = ([0, 80, 0, 0, 0, 0], [0, 80, 10, 77, 0, 1]);
        let table = [
            (AF_INET, some, 16, None, None),
            (AF_INET, some, 128, None, None),
            (AF_INET, some, 0, INVAL, INVAL),
            (AF_INET, some, 1, INVAL, INVAL),
            (AF_INET, some, 15, INVAL, INVAL),
            (AF_INET, some, 129, INVAL, INVAL),
            (AF_INET6, some, 28, AFNOSUPPORT, AFNOSUPPORT),
            (AF_UNIX, some, 16, AFNOSUPPORT, AFNOSUPPORT),
            (AF_UNSPEC, some, 16, AFNOSUPPORT, None),
            (AF_UNSPEC, any, 16, None, None),
            (AF_UNSPEC, any, 2, INVAL, None),
        ];
        for (family, rest, len, bind, connect) in table {
            let bytes = sockaddr(family, &rest);
            let from = Source::of(&bytes[..len]);
            assert_eq!(of_bind(from, false).err(), bind, "bind family {family} length {len}");
            assert_eq!(
                of_connect(from, false).err(),
                connect,
                "connect family {family} length {len}"
            );
        }
    }

    #[test]
    fn lengths_and_families_of_ipv6_are_judged_as_linux_does() {
        use libc::{AF_INET, AF_INET6, AF_UNSPEC};
        let table = [
            (AF_INET6, 28, None, None),
            (AF_INET6, 24, None, None),
            (AF_INET6, 23, Some(Errno::INVAL), Some(Errno::INVAL)),
            (AF_INET, 28, Some(Errno::AFNOSUPPORT), Some(Errno::AFNOSUPPORT)),
            (AF_INET, 16, Some(Errno::INVAL), Some(Errno::INVAL)),
            (AF_UNSPEC, 28, Some(Errno::AFNOSUPPORT), None),
        ];
        for (family, len, bind, connect) in table {
            let bytes = sockaddr(family, &[]);
            let from = Source::of(&bytes[..len]);
            assert_eq!(of_bind(from, true).err(), bind, "bind family {family} length {len}");
            assert_eq!(
                of_connect(from, true).err(),
                connect,
                "connect family {family} length {len}"
            );
        }
    }

    fn written(address: &str, room: i32) -> (Vec<u8>, i32) {
        let mut bytes = [0xaa_u8; 40];
        let mut length = room.to_ne_bytes();
        let room = AddressRoom::new(Sink::of(&mut bytes), Sink::of(&mut length));
        room.write(address.parse().unwrap()).unwrap();
        (bytes.to_vec(), i32::from_ne_bytes(length))
    }

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for (text, length) in [("10.77.0.1:258", 16), ("[fd77::1]:258", 28), ("[fe80::1%7]:1", 28)] {
            let (bytes, told) = written(text, 40);
            assert_eq!(told, length);
            let from = Source::of(&bytes[..usize::try_from(told).unwrap()]);
            assert_eq!(of_bind(from, length == 28), Ok(text.parse().unwrap()));
            assert!(
                bytes
                    .iter()
                    .skip(usize::try_from(told).unwrap())
                    .all(|byte| *byte == 0xaa)
            );
        }
    }

    #[test]
    fn a_short_room_takes_the_beginning_and_learns_the_length() {
        let (bytes, told) = written("10.77.0.1:258", 4);
        assert_eq!((&bytes[2..6], told), (&[1, 2, 0xaa, 0xaa][..], 16));
    }

    #[test]
    fn a_negative_room_is_einval() {
        let mut length = (-1_i32).to_ne_bytes();
        let room = AddressRoom::new(Sink::of(&mut [0; 16]), Sink::of(&mut length));
        assert_eq!(room.write("10.77.0.1:80".parse().unwrap()), Err(Errno::INVAL));
    }
}
