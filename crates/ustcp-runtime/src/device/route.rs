//! To which device the kernel sends what is for a network.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A line of the kernel's table: to this network, by this device, or through a gateway there.
#[derive(Debug, PartialEq, Eq)]
struct Route {
    network: IpAddr,
    prefix: u8,
    device: String,
    /// It leads nowhere: to the host itself, or it says that there is no way.
    is_dead: bool,
    metric: u32,
}

/// What the kernel gives the network of an address that a device is given.
const METRIC_V4: u32 = 0;
const METRIC_V6: u32 = 256;

/// `RTF_REJECT` of <linux/route.h>.
const REJECT: u32 = 0x200;

/// The device that has this very network; `None` where there is none, or the table cannot be seen. A route to a wider one
/// does no harm, as the narrower comes first.
pub(super) fn device_of(network: IpAddr, prefix: u8) -> Option<String> {
    let table = match network {
        IpAddr::V4(_) => "/proc/thread-self/net/route",
        IpAddr::V6(_) => "/proc/thread-self/net/ipv6_route",
    };
    let table = fs::read_to_string(table).ok()?;
    route_in(&table, network, prefix).map(|route| route.device)
}

/// A route that a device with this network would take hosts away from, or that would take them from it. One that leads
/// nowhere loses none where it comes after.
fn route_in(table: &str, network: IpAddr, prefix: u8) -> Option<Route> {
    let (read, metric): (fn(&str) -> Option<Route>, _) = match network {
        IpAddr::V4(_) => (route_v4, METRIC_V4),
        IpAddr::V6(_) => (route_v6, METRIC_V6),
    };
    let of_it = |route: &Route| (route.network, route.prefix) == (network, prefix);
    let mut routes = table.lines().filter_map(read).filter(of_it);
    routes.find(|route| !route.is_dead || route.metric <= metric)
}

/// `ustcp0 00004D0A 00000000 0001 0 0 0 00FFFFFF 0 0 0`: addresses are numbers as this machine writes them.
fn route_v4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let &[device, network, _, flags, _, _, metric, mask, ..] = fields.as_slice() else {
        return None;
    };
    let address = |field| Some(Ipv4Addr::from(u32::from_str_radix(field, 16).ok()?.to_ne_bytes()));
    Some(Route {
        network: address(network)?.into(),
        prefix: u8::try_from(address(mask)?.to_bits().leading_ones()).ok()?,
        device: device.to_owned(),
        is_dead: is_dead(device, u32::from_str_radix(flags, 16).ok()?),
        metric: metric.parse().ok()?,
    })
}

/// `fd770000000000000000000000000000 40 (from) 00 (gateway) 00000100 00000001 00000000 00000001 ustcp0`
fn route_v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let &[network, prefix, _, _, _, metric, _, _, flags, device] = fields.as_slice() else {
        return None;
    };
    let number = |field| u32::from_str_radix(field, 16).ok();
    Some(Route {
        network: Ipv6Addr::from(u128::from_str_radix(network, 16).ok()?).into(),
        prefix: u8::from_str_radix(prefix, 16).ok()?,
        device: device.to_owned(),
        is_dead: is_dead(device, number(flags)?),
        metric: number(metric)?,
    })
}

/// The table of IPv4 calls it `*` where there is no device.
fn is_dead(device: &str, flags: u32) -> bool {
    device == "lo" || device == "*" || flags & REJECT != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn the_very_network_is_looked_for_in_the_table_of_ipv4() {
        let table = [
            HEAD,
            "eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n", // default, by a gateway
            "wg0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n",    // 10.0.0.0/8
            "wlan0\t00004D0A\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0\n", // 10.77.0.0/24
            "wg0\t00004E0A\t0100000A\t0003\t0\t0\t50\t00FFFFFF\t0\t0\t0\n",   // 10.78.0.0/24, by a gateway
            "*\t00004F0A\t00000000\t0201\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",      // 10.79.0.0/24, unreachable
            "*\t0000500A\t00000000\t0201\t0\t0\t9\t00FFFFFF\t0\t0\t0\n",      // 10.80.0.0/24, the same and later
            "lo\t0000510A\t00000000\t0001\t0\t0\t1\t00FFFFFF\t0\t0\t0\n",     // 10.81.0.0/24
        ]
        .concat();
        for (network, prefix, device) in [
            ("10.77.0.0", 24, Some("wlan0")),
            ("10.77.0.0", 16, None),
            ("10.77.0.0", 25, None),
            ("10.78.0.0", 24, Some("wg0")),
            ("10.79.0.0", 24, Some("*")),
            ("10.80.0.0", 24, None),
            ("10.81.0.0", 24, None),
            ("10.82.0.0", 24, None),
        ] {
            let found = route_in(&table, network.parse().unwrap(), prefix);
            assert_eq!(found.map(|route| route.device).as_deref(), device, "{network}/{prefix}");
        }
    }

    #[test]
    fn the_very_network_is_looked_for_in_the_table_of_ipv6() {
        let none = "0".repeat(32);
        let line = |network: &str, prefix: &str, metric: u32, flags: u32, device: &str| {
            format!("{network:0<32} {prefix} {none} 00 {none} {metric:08x} 00000001 00000000 {flags:08x} {device:>8}\n")
        };
        let table = [
            line("", "00", 1024, 3, "eth0"),
            line("fd77", "40", 256, 1, "eth0"),
            line("fd78", "40", 1024, 3, "wg0"),
            line("fd79", "40", 1024, 0x201, "lo"),
            line("fd7a", "40", 1, 0x201, "lo"),
            line("", "00", u32::MAX, 0x0020_0200, "lo"),
        ]
        .concat();
        for (network, device) in [
            ("fd77::", Some("eth0")),
            ("fd78::", Some("wg0")),
            ("fd79::", None),
            ("fd7a::", Some("lo")),
            ("fd7b::", None),
        ] {
            let found = route_in(&table, network.parse().unwrap(), 64);
            assert_eq!(found.map(|route| route.device).as_deref(), device, "{network}");
        }
    }
}
