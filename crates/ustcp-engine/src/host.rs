//! Which addresses are this host's own: those that the kernel's routing tables call local; rtnetlink(7).
//!
//! That a socket can be bound to an address is no answer: to one of multicast it always can, and with `ip_nonlocal_bind` to
//! any.

use std::cell::Cell;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, Result};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// Bytes of a message's head and of a route's: `struct nlmsghdr`, `struct rtmsg`.
const HEAD: usize = 16;
const ROUTE: usize = 12;
/// Where the route's type stands.
const TYPE: usize = HEAD + 7;

/// Asks the kernel. The descriptor is kept, so that this needs none when there are no more.
#[derive(Debug)]
pub(crate) struct Host {
    netlink: OwnedFd,
    asked: Cell<u32>,
}

impl Host {
    pub(crate) fn open() -> Result<Host> {
        // Of what protocol is not said, so it is NETLINK_ROUTE.
        let netlink = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Host {
            netlink,
            asked: Cell::new(0),
        })
    }

    /// Whether the address is this host's.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.route_type(address) == Ok(libc::RTN_LOCAL)
    }

    /// The type of the route to it; the kernel's error where there is none.
    fn route_type(&self, address: IpAddr) -> Result<u8> {
        let serial = self.asked.get().wrapping_add(1);
        self.asked.set(serial);
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.netlink, &question(serial, address), SendFlags::empty(), &kernel)?;
        let mut answer = [0; 1024];
        loop {
            // It has answered within the call before.
            let (_, len) = recv(&self.netlink, &mut answer, RecvFlags::DONTWAIT)?;
            let answer = answer.get(..len.min(1024)).unwrap_or_default();
            if word(answer, 8) == Some(serial) {
                return route_type(answer);
            }
        }
    }
}

/// `RTM_GETROUTE` with the address as its destination.
fn question(serial: u32, address: IpAddr) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    };
    let len = |bytes: usize| u8::try_from(bytes).unwrap_or(0); // all of it are few
    let attribute = 4 + octets.len();
    let mut bytes = Vec::with_capacity(HEAD + ROUTE + attribute);
    bytes.extend(u32::from(len(HEAD + ROUTE + attribute)).to_ne_bytes());
    bytes.extend(libc::RTM_GETROUTE.to_ne_bytes());
    bytes.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    bytes.extend(serial.to_ne_bytes());
    bytes.extend([0; 4]); // from whom: the kernel knows
    bytes.extend([family as u8, len(octets.len() * 8)]);
    bytes.extend([0; ROUTE - 2]);
    bytes.extend(u16::from(len(attribute)).to_ne_bytes());
    bytes.extend(libc::RTA_DST.to_ne_bytes());
    bytes.extend(octets);
    bytes
}

fn route_type(answer: &[u8]) -> Result<u8> {
    let half = |at: usize| Some(u16::from_ne_bytes(*answer.get(at..)?.first_chunk()?));
    if half(4) == Some(libc::RTM_NEWROUTE) {
        return answer.get(TYPE).copied().ok_or(Errno::PROTO);
    }
    // NLMSG_ERROR: what follows is the errno, negative.
    let errno = word(answer, HEAD).map_or(0, |word| word.cast_signed().wrapping_neg());
    Err(match errno {
        1..4096 => Errno::from_raw_os_error(errno),
        _ => Errno::PROTO,
    })
}

fn word(answer: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*answer.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_kernel_tells_what_is_local() {
        let host = Host::open().unwrap();
        assert!(host.has(ip("127.0.0.1")) && host.has(ip("127.9.9.9")));
        for other in ["224.0.0.1", "ff02::1", "255.255.255.255"] {
            assert!(!host.has(ip(other)), "{other}");
        }
    }

    #[test]
    fn an_answer_is_a_route_or_an_error() {
        let message = |kind: u16, rest: &[u8]| [&[0; 4], &kind.to_ne_bytes()[..], &[0; 10], rest].concat();
        let route = [2, 32, 0, 0, 0, 0, 0, libc::RTN_MULTICAST, 0, 0, 0, 0];
        assert_eq!(
            route_type(&message(libc::RTM_NEWROUTE, &route)),
            Ok(libc::RTN_MULTICAST)
        );
        let unreachable = (-libc::ENETUNREACH).to_ne_bytes();
        assert_eq!(route_type(&message(2, &unreachable)), Err(Errno::NETUNREACH));
        for wrong in [&[][..], &message(libc::RTM_NEWROUTE, &route[..7]), &message(2, &[])] {
            assert_eq!(route_type(wrong), Err(Errno::PROTO));
        }
    }
}
