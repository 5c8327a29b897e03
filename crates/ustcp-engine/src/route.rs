//! Where a connection goes: by the stack, or by the kernel in the program's stead.

use std::net::IpAddr;

use ustcp_runtime::Cidr;

use crate::options::Loopback;

/// By whose TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The stack's.
    Stack,
    /// The kernel's, which the engine relays.
    Kernel(Why),
    /// Nobody's.
    Refused,
}

/// Why by the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The address is of loopback.
    Loopback,
    /// It is one of this host's.
    Host,
    /// Nothing routes it to the stack.
    NoRoute,
}

impl Why {
    /// As `ustcp ss` shows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Why::Loopback => "loopback",
            Why::Host => "host",
            Why::NoRoute => "no route",
        }
    }
}

/// What decides it.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    /// The stack's addresses, with their networks, which are always its own.
    pub(crate) own: Vec<Cidr>,
    /// What else is reached through it.
    pub(crate) routes: Vec<Cidr>,
    pub(crate) loopback: Loopback,
}

impl Routes {
    /// Where a connection to `address` goes. `is_host`: whether it is the host's, asked only where that decides.
    pub(crate) fn towards(&self, address: IpAddr, is_host: impl FnOnce(IpAddr) -> bool) -> Way {
        let address = address.to_canonical();
        if address.is_loopback() || address.is_unspecified() {
            self.inside(Why::Loopback) // as Linux: the unspecified address is this host
        } else if self.own.iter().any(|network| network.contains(address)) {
            Way::Stack
        } else if is_host(address) {
            self.inside(Why::Host)
        } else if self.routes.iter().any(|route| route.contains(address)) {
            Way::Stack
        } else {
            Way::Kernel(Why::NoRoute)
        }
    }

    /// Where a socket bound to `address` listens and connects from. The wildcard is the stack's.
    pub(crate) fn at(&self, address: IpAddr, is_host: impl FnOnce(IpAddr) -> bool) -> Way {
        let address = address.to_canonical();
        if address.is_unspecified() || self.is_own(address) {
            Way::Stack
        } else if address.is_loopback() {
            self.inside(Why::Loopback)
        } else if is_host(address) {
            match self.loopback {
                Loopback::Relay => Way::Kernel(Why::Host),
                Loopback::Ustcp | Loopback::Refuse => Way::Refused,
            }
        } else {
            Way::Stack // which says what is wrong with it
        }
    }

    /// Whether it is an address of the stack's.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.own.iter().any(|own| own.address == address)
    }

    fn inside(&self, why: Why) -> Way {
        match self.loopback {
            Loopback::Relay => Way::Kernel(why),
            Loopback::Ustcp => Way::Stack,
            Loopback::Refuse => Way::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        let (address, prefix) = text.split_once('/').unwrap();
        Cidr {
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
        }
    }

    fn routes(loopback: Loopback, routes: &[&str]) -> Routes {
        Routes {
            own: vec![cidr("10.77.0.2/24"), cidr("fd77::2/64")],
            routes: routes.iter().map(|text| cidr(text)).collect(),
            loopback,
        }
    }

    /// The host has 10.77.0.1 on the device, and 192.0.2.1 elsewhere.
    fn is_host(address: IpAddr) -> bool {
        ["10.77.0.1", "192.0.2.1", "127.0.0.1", "::1"].contains(&address.to_string().as_str())
    }

    #[test]
    fn where_a_connection_goes() {
        use Loopback::{Refuse, Relay, Ustcp};
        use Way::{Kernel, Refused, Stack};
        use Why::{Host, NoRoute};
        let kernel = Kernel(Why::Loopback);
        let table = [
            // to, with nothing but the device's networks: relay, ustcp, refuse
            ("10.77.0.1", [Stack, Stack, Stack]),
            ("10.77.0.2", [Stack, Stack, Stack]),
            ("10.77.0.200", [Stack, Stack, Stack]),
            ("::ffff:10.77.0.1", [Stack, Stack, Stack]),
            ("fd77::1", [Stack, Stack, Stack]),
            ("127.0.0.1", [kernel, Stack, Refused]),
            ("127.9.9.9", [kernel, Stack, Refused]),
            ("::1", [kernel, Stack, Refused]),
            ("::ffff:127.0.0.1", [kernel, Stack, Refused]),
            ("0.0.0.0", [kernel, Stack, Refused]),
            ("192.0.2.1", [Kernel(Host), Stack, Refused]),
            ("198.51.100.1", [Kernel(NoRoute); 3]),
            ("2001:db8::1", [Kernel(NoRoute); 3]),
            ("fd77:0:0:1::1", [Kernel(NoRoute); 3]),
        ];
        for (to, ways) in table {
            for (loopback, way) in [Relay, Ustcp, Refuse].into_iter().zip(ways) {
                let told = routes(loopback, &[]).towards(to.parse().unwrap(), is_host);
                assert_eq!(told, way, "{to} with {loopback:?}");
            }
        }
    }

    #[test]
    fn routes_take_what_is_not_the_hosts() {
        let table = [
            ("198.51.100.1", Way::Stack),
            ("192.0.2.1", Way::Kernel(Why::Host)),
            ("127.0.0.1", Way::Kernel(Why::Loopback)),
            ("2001:db8::1", Way::Stack),
        ];
        for (to, way) in table {
            let told = routes(Loopback::Relay, &["0.0.0.0/0", "2001:db8::/32"]).towards(to.parse().unwrap(), is_host);
            assert_eq!(told, way, "{to}");
        }
    }

    #[test]
    fn where_a_bound_socket_is() {
        use Loopback::{Refuse, Relay, Ustcp};
        use Way::{Kernel, Refused, Stack};
        let table = [
            ("0.0.0.0", [Stack, Stack, Stack]),
            ("::", [Stack, Stack, Stack]),
            ("10.77.0.2", [Stack, Stack, Stack]),
            ("::ffff:10.77.0.2", [Stack, Stack, Stack]),
            ("127.0.0.1", [Kernel(Why::Loopback), Stack, Refused]),
            ("::1", [Kernel(Why::Loopback), Stack, Refused]),
            ("10.77.0.1", [Kernel(Why::Host), Refused, Refused]),
            ("192.0.2.1", [Kernel(Why::Host), Refused, Refused]),
            ("203.0.113.9", [Stack, Stack, Stack]),
        ];
        for (at, ways) in table {
            for (loopback, way) in [Relay, Ustcp, Refuse].into_iter().zip(ways) {
                assert_eq!(
                    routes(loopback, &[]).at(at.parse().unwrap(), is_host),
                    way,
                    "{at} with {loopback:?}"
                );
            }
        }
    }
}
