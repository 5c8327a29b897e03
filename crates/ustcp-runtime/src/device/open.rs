//! A device as the settings say: handed over, already there, or made.

use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::RawFd;

use libc::c_int;
use tun_tap::{Iface, Mode};

use super::Device;
use super::captured::Captured;
use super::holder::holder;
use super::offloaded::Offloaded;
use super::plain::{Line, Plain};
use super::vnet;
use super::weathered::Weathered;
use crate::settings::is_device_name;
use crate::sink::complain;
use crate::sys::tun::{self, Interface};
use crate::sys::{credentials, netlink};
use crate::{Cidr, Errno, Offload, Settings, StartError};

/// What an IP packet may measure: RFC 791 §3.2's least, and what its length field can say.
const MTU: std::ops::RangeInclusive<usize> = 68..=65_535;
/// The MTU of a device that we make, or of one handed over that does not tell.
const USUAL_MTU: usize = 1500;
/// Packets that the kernel queues towards a device that we make. Its own 500 are for the whole stack, and overflow as
/// soon as two fast senders meet.
const QUEUE: u32 = 5000;

/// Opens the device that `settings` name, with capture and weather around it. The capture stands inside: it shows
/// what came from the device and went onto it, after the weather outwards and before it inwards.
pub(crate) fn open(settings: &Settings) -> Result<Box<dyn Device>, StartError> {
    let network = Network::check(settings)?;
    let (mut device, name) = match settings.tun_fd {
        Some(fd) => adopt(fd, settings)?,
        None => (by_name(settings, &network)?, settings.tun.clone()),
    };
    if let Some((path, snaplen)) = &settings.pcap {
        device = match Captured::create(device, &name, path, *snaplen) {
            Ok(captured) => Box::new(captured),
            Err((device, error)) => {
                complain(&format!("no capture: {}: {error}", path.display()));
                device
            }
        };
    }
    if let Some(weather) = &settings.weather {
        device = Box::new(Weathered::new(device, weather));
    }
    Ok(device)
}

/// The IPv4 network between the stack and the kernel.
pub(super) struct Network {
    pub(super) prefix: u8,
    /// The kernel's end.
    pub(super) peer: Ipv4Addr,
}

impl Network {
    /// The network of the first address; the others are the business of whoever routes them here.
    fn check(settings: &Settings) -> Result<Network, StartError> {
        let mut ours = Vec::new();
        for cidr in &settings.addresses {
            ours.push(ipv4(cidr)?);
        }
        let (Some(cidr), Some(&address)) = (settings.addresses.first(), ours.first()) else {
            return Err(failed(
                libc::EINVAL,
                "the stack needs an address (USTCP_ADDRESS)".into(),
            ));
        };
        if let Some(mtu) = settings.mtu.filter(|mtu| !MTU.contains(mtu)) {
            return Err(failed(libc::EINVAL, format!("an MTU of {mtu} is outside 68 to 65535")));
        }
        let mask = mask(cidr.prefix);
        let peer = match settings.peer {
            Some(IpAddr::V4(peer)) => peer,
            Some(IpAddr::V6(peer)) => return Err(only_ipv4(&peer)),
            None => first_host(address, mask),
        };
        if peer.to_bits() & mask != address.to_bits() & mask || ours.contains(&peer) {
            let message = format!(
                "the peer {peer} (USTCP_PEER) is no other host of {address}/{}",
                cidr.prefix
            );
            return Err(failed(libc::EINVAL, message));
        }
        Ok(Network {
            prefix: cidr.prefix,
            peer,
        })
    }
}

fn ipv4(cidr: &Cidr) -> Result<Ipv4Addr, StartError> {
    match cidr.address {
        IpAddr::V4(address) if cidr.prefix <= 32 => Ok(address),
        IpAddr::V4(address) => {
            let message = format!("{address}/{} has a prefix above 32", cidr.prefix);
            Err(failed(libc::EINVAL, message))
        }
        IpAddr::V6(address) => Err(only_ipv4(&address)),
    }
}

fn only_ipv4(address: &std::net::Ipv6Addr) -> StartError {
    let message = format!("{address}: this release carries IPv4 only");
    failed(libc::EAFNOSUPPORT, message)
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// The lowest host of the network around `address` that is not `address` itself.
fn first_host(address: Ipv4Addr, mask: u32) -> Ipv4Addr {
    let network = address.to_bits() & mask;
    // RFC 3021: a network of two addresses has no network address.
    let lowest = if mask.count_zeros() > 1 { network + 1 } else { network };
    if lowest == address.to_bits() {
        Ipv4Addr::from_bits(lowest.saturating_add(1))
    } else {
        Ipv4Addr::from_bits(lowest)
    }
}

/// Takes over a TUN descriptor as it is: with or without vnet header, whatever its network namespace.
fn adopt(fd: RawFd, settings: &Settings) -> Result<(Box<dyn Device>, String), StartError> {
    let refused = |what: &str, error: io::Error| of(&error, format!("descriptor {fd} {what}: {error}"));
    let tun = tun::adopt(fd).map_err(|error| refused("is not open", error))?;
    let (name, flags) = tun::attached(&tun).map_err(|error| refused("is not an attached TUN device", error))?;
    if flags & libc::IFF_TUN == 0 || has_packet_information(&tun, flags) {
        let message = format!("descriptor {fd} ({name}) is not IFF_TUN with IFF_NO_PI");
        return Err(failed(libc::EINVAL, message));
    }
    // The device may live in a network namespace that is not ours, where its name says nothing.
    let own_mtu = Interface::new(&name).and_then(|interface| interface.mtu());
    let mtu = settings.mtu.or(own_mtu.ok()).unwrap_or(USUAL_MTU);
    if flags & libc::IFF_VNET_HDR == 0 {
        refuse_plain(settings, &name)?;
        tun::set_offload(&tun, 0).map_err(|error| refused("refuses to be plain", error))?;
        return Ok((Box::new(Plain::new(Line::Adopted(tun), mtu)), name));
    }
    let wanted = settings.offload != Offload::Off;
    let device = Offloaded::new(tun, mtu, wanted).map_err(|error| refused("refuses its header", error))?;
    if !device.is_granted() {
        refuse_plain(settings, &name)?;
    }
    Ok((Box::new(device), name))
}

/// Whether four bytes of packet information stand before each packet. TUNGETIFF does not say: what looks like
/// IFF_NO_PI there is IFF_NOFILTER, which has the same value. So the device is handed zeros: without packet
/// information that is a packet of IP version 0, EINVAL; with it, an empty packet of no protocol, which nobody gets.
fn has_packet_information(tun: &File, flags: c_int) -> bool {
    const PACKET_INFORMATION: usize = 4;
    let header = match flags & libc::IFF_VNET_HDR {
        0 => 0,
        _ => tun::header_len(tun).unwrap_or(vnet::LEN),
    };
    let written = (&*tun).write(&vec![0; header + PACKET_INFORMATION]);
    !written.is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL))
}

/// Opens the device of that name as it is, or makes it.
fn by_name(settings: &Settings, network: &Network) -> Result<Box<dyn Device>, StartError> {
    let name = settings.tun.as_str();
    let trouble = |error: io::Error| explain(settings, network, &error);
    if !is_device_name(name) {
        let message = format!("{name:?} is no name of a device (USTCP_TUN): 1 to 15 letters, digits, '-', '_' or '.'");
        return Err(failed(libc::EINVAL, message));
    }
    let interface = Interface::new(name).map_err(trouble)?;
    let exists = match interface.flags() {
        Ok(flags) => Some(flags),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => None,
        Err(error) => return Err(trouble(error)),
    };
    let tun = tun::open().map_err(trouble)?;
    let has_header = tun::features(&tun).is_ok_and(|features| features & libc::IFF_VNET_HDR != 0);
    let attached = if settings.offload == Offload::Off || !has_header {
        refuse_plain(settings, name)?;
        drop(tun);
        Attached::Plain(attach_plain(name).map_err(trouble)?)
    } else {
        tun::attach(&tun, name, tun::TUN | libc::IFF_VNET_HDR).map_err(trouble)?;
        Attached::WithHeader(tun)
    };
    let mtu = match exists {
        Some(flags) => inspect(&interface, flags, settings)?,
        None => configure(&interface, settings, network).map_err(trouble)?,
    };
    match attached {
        Attached::Plain(iface) => Ok(Box::new(Plain::new(Line::Named(iface), mtu))),
        Attached::WithHeader(tun) => {
            let device = Offloaded::new(tun, mtu, true).map_err(trouble)?;
            if !device.is_granted() {
                refuse_plain(settings, name)?;
            }
            Ok(Box::new(device))
        }
    }
}

enum Attached {
    Plain(Iface),
    WithHeader(File),
}

fn attach_plain(name: &str) -> io::Result<Iface> {
    let iface = Iface::without_packet_info(name, Mode::Tun)?;
    iface.set_non_blocking()?;
    // A persistent device keeps the offloads of whoever held it before, and would hand us super-segments.
    tun::set_offload(&iface, 0)?;
    Ok(iface)
}

fn refuse_plain(settings: &Settings, name: &str) -> Result<(), StartError> {
    match settings.offload {
        Offload::Auto | Offload::Off => Ok(()),
        Offload::On => {
            let message = format!("{name} does not grant offload; USTCP_OFFLOAD=auto does without");
            Err(failed(libc::EOPNOTSUPP, message))
        }
    }
}

/// A device that was there before us stays as it is. Returns the MTU to use.
fn inspect(interface: &Interface, flags: c_int, settings: &Settings) -> Result<usize, StartError> {
    let name = &settings.tun;
    let own = interface
        .mtu()
        .map_err(|error| of(&error, format!("{name}: {error}")))?;
    if flags & libc::IFF_UP == 0 {
        complain(&format!(
            "{name} is down and carries nothing: sudo ip link set {name} up"
        ));
    }
    match settings.mtu {
        Some(mtu) if mtu > own => {
            let message = format!("{name} carries {own} bytes, not {mtu}: sudo ip link set {name} mtu {mtu}");
            Err(failed(libc::EINVAL, message))
        }
        told => Ok(told.unwrap_or(own)),
    }
}

/// Makes a new device fit to use. Returns its MTU.
fn configure(interface: &Interface, settings: &Settings, network: &Network) -> io::Result<usize> {
    let mtu = settings.mtu.unwrap_or(USUAL_MTU);
    interface.set_address(network.peer, network.prefix)?;
    interface.set_mtu(mtu)?;
    // A short queue costs packets and not the connection.
    let _ = netlink::set_queue_len(&settings.tun, QUEUE);
    interface.bring_up()?;
    Ok(mtu)
}

/// Why a device could not be had by name, and what to do.
pub(super) fn explain(settings: &Settings, network: &Network, error: &io::Error) -> StartError {
    let name = &settings.tun;
    match error.raw_os_error() {
        Some(libc::EBUSY) => {
            let by = holder(name).map(|holder| format!(" by {holder}")).unwrap_or_default();
            failed(
                libc::EBUSY,
                format!("{name} is in use{by}: end that, or name another device by USTCP_TUN"),
            )
        }
        Some(libc::EPERM) => failed(libc::EPERM, no_permission(settings, network)),
        Some(libc::EACCES) => {
            let open = format!("{} is closed to this user: sudo chmod 0666 {0}", tun::CLONE_DEVICE);
            failed(libc::EPERM, format!("{open}\n{}", no_permission(settings, network)))
        }
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            let message = format!(
                "no {}: sudo modprobe tun (a container is given it by --device {0})",
                tun::CLONE_DEVICE
            );
            failed(libc::ENODEV, message)
        }
        Some(libc::EINVAL) => failed(
            libc::EINVAL,
            format!("{name} is not a TUN device with one queue: name another by USTCP_TUN"),
        ),
        _ => of(error, format!("{name}: {error}")),
    }
}

/// Both commands work once for all: the device stays, and is this user's.
fn no_permission(settings: &Settings, network: &Network) -> String {
    let (name, user) = (&settings.tun, credentials::user());
    let mtu = settings.mtu.map(|mtu| format!("mtu {mtu} ")).unwrap_or_default();
    format!(
        "no permission to use {name}; prepare it for this user once:\n\
         sudo ip tuntap add dev {name} mode tun user {user} vnet_hdr\n\
         sudo sh -c 'ip addr add {}/{} dev {name} && ip link set {name} {mtu}txqueuelen {QUEUE} up'",
        network.peer, network.prefix
    )
}

fn failed(errno: c_int, message: String) -> StartError {
    StartError {
        errno: Errno(errno),
        message,
    }
}

fn of(error: &io::Error, message: String) -> StartError {
    failed(error.raw_os_error().unwrap_or(libc::EIO), message)
}
