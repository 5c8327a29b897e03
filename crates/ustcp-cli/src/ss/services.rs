//! Ports by their names in /etc/services, as ss(8) writes them without `-n`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::columns::Ends;

/// Names of ports. Without any, ports are in figures.
#[derive(Default)]
pub(super) struct Services(HashMap<u16, String>);

impl Services {
    /// Those of this machine; none where it has no such file.
    pub(super) fn read() -> Services {
        Services::parse(&std::fs::read_to_string("/etc/services").unwrap_or_default())
    }

    fn parse(text: &str) -> Services {
        let mut names = HashMap::new();
        for (port, name) in text.lines().filter_map(service) {
            names.entry(port).or_insert_with(|| name.to_owned());
        }
        Services(names)
    }

    /// An end of a socket, or what stands for one that it has not.
    pub(super) fn ends(&self, end: Option<SocketAddr>, family: u8) -> Ends {
        let nowhere = if family == 4 { "0.0.0.0" } else { "[::]" };
        let Some(end) = end else {
            return [nowhere, "*"].map(str::to_owned);
        };
        let address = match end.ip() {
            IpAddr::V4(address) => address.to_string(),
            // One socket for both families.
            IpAddr::V6(address) if address.is_unspecified() => "[::]".to_owned(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        [address, self.port(end.port())]
    }

    fn port(&self, port: u16) -> String {
        match port {
            0 => "*".to_owned(),
            port => self.0.get(&port).cloned().unwrap_or_else(|| port.to_string()),
        }
    }
}

/// `http 80/tcp www # WorldWideWeb HTTP`
fn service(line: &str) -> Option<(u16, &str)> {
    let mut words = line.split('#').next()?.split_ascii_whitespace();
    let name = words.next()?;
    let port = words.next()?.strip_suffix("/tcp")?;
    Some((port.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_names_where_they_have_them() {
        let services =
            Services::parse("# tcp\nhttp\t80/tcp\twww # web\ndomain 53/udp\nhttp2 80/tcp\nbroken 99999/tcp\n");
        let ends = |end: &str| services.ends(Some(end.parse().unwrap()), 4);
        assert_eq!(ends("10.77.0.2:80"), ["10.77.0.2", "http"]);
        assert_eq!(ends("10.77.0.2:53"), ["10.77.0.2", "53"]);
        assert_eq!(ends("[fd77::2]:8080"), ["[fd77::2]", "8080"]);
        assert_eq!(
            Services::default().ends(Some("10.0.0.1:80".parse().unwrap()), 4),
            ["10.0.0.1", "80"]
        );
    }

    #[test]
    fn where_there_is_no_end_stands_anything() {
        let services = Services::default();
        assert_eq!(services.ends(None, 4), ["0.0.0.0", "*"]);
        assert_eq!(services.ends(None, 6), ["[::]", "*"]);
        assert_eq!(services.ends(Some("[::]:80".parse().unwrap()), 6), ["[::]", "80"]);
        assert_eq!(services.ends(Some("10.0.0.1:0".parse().unwrap()), 4), ["10.0.0.1", "*"]);
    }
}
