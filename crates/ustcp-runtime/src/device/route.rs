//! To which device the kernel sends what is for a network.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A line of the kernel's table: to this network, by this device.
struct Route {
    network: IpAddr,
    prefix: u8,
    device: String,
}

/// The device that has this very network; `None` where there is none, or the table cannot be seen.
pub(super) fn device_of(network: IpAddr, prefix: u8) -> Option<String> {
    let (table, read): (_, fn(&str) -> Option<Route>) = match network {
        IpAddr::V4(_) => ("/proc/thread-self/net/route", route_v4),
        IpAddr::V6(_) => ("/proc/thread-self/net/ipv6_route", route_v6),
    };
    let routes = fs::read_to_string(table).ok()?;
    let mut routes = routes.lines().filter_map(read);
    let found = routes.find(|route| (route.network, route.prefix) == (network, prefix))?;
    Some(found.device)
}

/// `ustcp0 00004D0A 00000000 0001 0 0 0 00FFFFFF 0 0 0`: addresses are numbers as this machine writes them.
fn route_v4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let &[device, network, _, _, _, _, _, mask, ..] = fields.as_slice() else {
        return None;
    };
    let address = |field| Some(Ipv4Addr::from(u32::from_str_radix(field, 16).ok()?.to_ne_bytes()));
    Some(Route {
        network: address(network)?.into(),
        prefix: u8::try_from(address(mask)?.to_bits().leading_ones()).ok()?,
        device: device.to_owned(),
    })
}

/// `fd770000000000000000000000000000 40 (from) 00 (gateway) 00000100 00000001 00000000 00000001 ustcp0`
fn route_v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (&[network, prefix, ..], device) = (fields.as_slice(), fields.last()?) else {
        return None;
    };
    Some(Route {
        network: Ipv6Addr::from(u128::from_str_radix(network, 16).ok()?).into(),
        prefix: u8::from_str_radix(prefix, 16).ok()?,
        device: (*device).to_owned(),
    })
}
