//! A device as the settings say: handed over, already there, or made.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};

use libc::c_int;
use tun_tap::{Iface, Mode};

use super::Device;
use super::captured::Captured;
use super::network::{self, Network, QUEUE};
use super::offloaded::Offloaded;
use super::plain::{Line, Plain};
use super::trouble::{explain, failed, of};
use super::vnet;
use super::weathered::Weathered;
use crate::settings::is_device_name;
use crate::stderr::complain;
use crate::sys::netlink;
use crate::sys::tun::{self, Interface};
use crate::{Offload, Settings, StartError};

/// What an IP packet may measure: headers and the least segment that any peer sends, and what its length field can say.
const MTU: std::ops::RangeInclusive<usize> = 128..=65_535;
/// The least that a link must carry for IPv6: RFC 8200 §5.
const MTU_V6: usize = 1280;
/// The MTU of a device that we make, or of one handed over that does not tell.
const USUAL_MTU: usize = 1500;
/// Opens the device that `settings` name, with capture and weather around it. The capture stands inside: it shows
/// what came from the device and went onto it, after the weather outwards and before it inwards.
pub(crate) fn open(settings: &Settings) -> Result<Box<dyn Device>, StartError> {
    let given = settings.tun_fd.map(take_over).transpose()?; // ours from here on, whatever else is wrong
    check(settings)?;
    let (mut device, name) = match given {
        Some(tun) => adopt(tun, settings)?,
        None => (by_name(settings)?, settings.tun.clone()),
    };
    check_mtu_for_ipv6(settings, device.mtu())?;
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

/// A plain device without addresses, made when there is none of that name: an end of a line that we are not a host on.
pub(crate) fn open_end(name: &str) -> Result<Box<dyn Device>, StartError> {
    let settings = Settings {
        tun: name.to_owned(),
        offload: Offload::Off,
        ..Settings::default()
    };
    let opened = attach_plain(name).and_then(|iface| Ok((iface, configure(&Interface::new(name)?, &settings)?)));
    let (iface, mtu) = opened.map_err(|error| explain(&settings, None, &error))?;
    Ok(Box::new(Plain::new(Line::Named(iface), mtu)))
}

/// What holds for every device.
fn check(settings: &Settings) -> Result<(), StartError> {
    if settings.addresses.is_empty() {
        let message = "the stack needs an address".to_owned();
        return Err(failed(libc::EINVAL, message));
    }
    settings.addresses.iter().try_for_each(network::check)?;
    match settings.mtu.filter(|mtu| !MTU.contains(mtu)) {
        Some(mtu) => Err(failed(libc::EINVAL, format!("an MTU of {mtu} is outside 128 to 65535"))),
        None => check_mtu_for_ipv6(settings, settings.mtu.unwrap_or(USUAL_MTU)),
    }
}

fn check_mtu_for_ipv6(settings: &Settings, mtu: usize) -> Result<(), StartError> {
    let speaks_ipv6 = settings.addresses.iter().any(|cidr| cidr.address.is_ipv6());
    if !speaks_ipv6 || mtu >= MTU_V6 {
        return Ok(());
    }
    let message = format!("an MTU of {mtu} is too small for IPv6, which needs {MTU_V6}");
    Err(failed(libc::EINVAL, message))
}

fn take_over(fd: RawFd) -> Result<File, StartError> {
    tun::adopt(fd).map_err(|error| of(&error, format!("descriptor {fd} is not open: {error}")))
}

/// A TUN descriptor as it was given: with or without vnet header, whatever its network namespace.
fn adopt(tun: File, settings: &Settings) -> Result<(Box<dyn Device>, String), StartError> {
    let fd = tun.as_raw_fd();
    let refused = |what: &str, error: io::Error| of(&error, format!("descriptor {fd} {what}: {error}"));
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
fn by_name(settings: &Settings) -> Result<Box<dyn Device>, StartError> {
    let name = settings.tun.as_str();
    if !is_device_name(name) {
        let message = format!("{name:?} is no name of a device: 1 to 15 letters, digits, '-', '_' or '.'");
        return Err(failed(libc::EINVAL, message));
    }
    let interface = Interface::new(name).map_err(|error| of(&error, format!("{name}: {error}")))?;
    let is_there = interface.flags().is_ok();
    let networks = Network::all_of(settings);
    let to_make = match &networks {
        _ if is_there => None,
        Ok(networks) => Some(networks.as_slice()),
        Err(error) => return Err(error.clone()),
    };
    let trouble = |error: io::Error| explain(settings, to_make, &error);
    let attached = attach(settings).map_err(trouble)?;
    // What was there a moment ago may have gone with its holder: a device
    // that outlives its holder (`IFF_PERSIST`) was made by others.
    let mtu = if attached.is_persistent().map_err(trouble)? {
        inspect(&interface, settings)?
    } else {
        for network in networks.as_ref().map_err(Clone::clone)? {
            network.check_that_it_is_free()?;
            give_address(settings, network)?;
        }
        configure(&interface, settings).map_err(trouble)?
    };
    match attached {
        Attached::Plain(iface) => {
            refuse_plain(settings, name)?;
            Ok(Box::new(Plain::new(Line::Named(iface), mtu)))
        }
        Attached::WithHeader(tun) => {
            let device = Offloaded::new(tun, mtu, true).map_err(trouble)?;
            if !device.is_granted() {
                refuse_plain(settings, name)?;
            }
            Ok(Box::new(device))
        }
    }
}

pub(super) enum Attached {
    Plain(Iface),
    WithHeader(File),
}

impl Attached {
    pub(super) fn is_persistent(&self) -> io::Result<bool> {
        let (_, flags) = match self {
            Attached::Plain(iface) => tun::attached(iface),
            Attached::WithHeader(tun) => tun::attached(tun),
        }?;
        Ok(flags & libc::IFF_PERSIST != 0)
    }
}

pub(super) fn attach(settings: &Settings) -> io::Result<Attached> {
    let tun = tun::open()?;
    let has_header = tun::features(&tun)? & libc::IFF_VNET_HDR != 0;
    if settings.offload == Offload::Off || !has_header {
        return attach_plain(&settings.tun).map(Attached::Plain);
    }
    tun::attach(&tun, &settings.tun, tun::TUN | libc::IFF_VNET_HDR)?;
    Ok(Attached::WithHeader(tun))
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
            let message = format!("{name} does not grant offload; auto does without");
            Err(failed(libc::EOPNOTSUPP, message))
        }
    }
}

/// A device that was there before us stays as it is. Returns the MTU to use.
fn inspect(interface: &Interface, settings: &Settings) -> Result<usize, StartError> {
    let name = &settings.tun;
    let trouble = |error: io::Error| of(&error, format!("{name}: {error}"));
    let own = interface.mtu().map_err(trouble)?;
    if interface.flags().map_err(trouble)? & libc::IFF_UP == 0 {
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

/// Puts the kernel's address on a new device.
fn give_address(settings: &Settings, network: &Network) -> Result<(), StartError> {
    let (name, Network { peer, prefix }) = (&settings.tun, network);
    netlink::add_address(name, *peer, *prefix).map_err(|error| match error.raw_os_error() {
        // Its answer for a device on which IPv6 is switched off.
        Some(libc::EACCES | libc::EOPNOTSUPP) if peer.is_ipv6() => {
            let message =
                "the kernel has IPv6 switched off: sudo sysctl net.ipv6.conf.default.disable_ipv6=0".to_owned();
            failed(libc::EAFNOSUPPORT, message)
        }
        _ => of(
            &error,
            format!("{name} does not take the address {peer}/{prefix}: {error}"),
        ),
    })
}

/// Makes a new device fit to use. Returns its MTU.
fn configure(interface: &Interface, settings: &Settings) -> io::Result<usize> {
    let mtu = settings.mtu.unwrap_or(USUAL_MTU);
    interface.set_mtu(mtu)?;
    // A short queue costs packets and not the connection.
    let _ = netlink::set_queue_len(&settings.tun, QUEUE);
    interface.bring_up()?;
    Ok(mtu)
}
