//! rtnetlink(7), for what its ioctls refuse in a user namespace.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{FromRawFd, OwnedFd};

use super::check;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const IFLA_IFNAME: u16 = 3;
const IFLA_TXQLEN: u16 = 13;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// The address can be used at once: nobody else on a TUN device could have it already.
const IFA_F_NODAD: u8 = 2;

/// How many packets the kernel queues towards the interface `name` before it drops. The ioctl for this asks for
/// CAP_NET_ADMIN over the whole machine; this one, over the interface's own network namespace.
pub(crate) fn set_queue_len(name: &str, packets: u32) -> io::Result<()> {
    let mut body = vec![0; 16]; // ifinfomsg: an interface of any kind, found by its name
    attribute(&mut body, IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
    attribute(&mut body, IFLA_TXQLEN, &packets.to_ne_bytes());
    request(RTM_NEWLINK, &body)
}

/// Gives the interface `name` an address and the network of `prefix` bits around it.
pub(crate) fn add_address(name: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    // ifaddrmsg: family, prefix, flags, scope, interface.
    let mut body = vec![family as u8, prefix, IFA_F_NODAD, 0];
    body.extend(index_of(name)?.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &octets);
    attribute(&mut body, IFA_ADDRESS, &octets);
    request(RTM_NEWADDR, &body)
}

fn index_of(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: `name` ends with a zero and lives across the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Sends one request and waits for the kernel's word on it, which is there as soon as the request is sent.
fn request(kind: u16, body: &[u8]) -> io::Result<()> {
    let mut socket = File::from(socket()?);
    let mut message = Vec::new();
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend([0; 8]); // sequence number and sender: one request, and the kernel knows us
    message.extend(body);
    socket.write_all(&message)?;
    let mut answer = [0; 20];
    socket.read_exact(&mut answer)?;
    let [_, _, _, _, k0, k1, .., e0, e1, e2, e3] = answer;
    if u16::from_ne_bytes([k0, k1]) != NLMSG_ERROR {
        return Err(io::ErrorKind::InvalidData.into());
    }
    match i32::from_ne_bytes([e0, e1, e2, e3]) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend((4 + value.len() as u16).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.extend(std::iter::repeat_n(0, value.len().wrapping_neg() % 4));
}

fn socket() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = check(unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        )
    })?;
    // SAFETY: the kernel has just made `fd` for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
