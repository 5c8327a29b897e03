use super::*;

fn config(addresses: &[(&str, u8)]) -> Config {
    let addresses = addresses
        .iter()
        .map(|(address, prefix)| Cidr {
            address: ip(address),
            prefix: *prefix,
        })
        .collect();
    Config {
        addresses,
        ..Config::default()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// RFC 1122 §3.2.1.3, RFC 3021: who cannot be a single host.
#[test]
fn who_is_no_host() {
    for (own, prefix, other, no_host) in [
        ("10.0.0.2", 24, "10.0.0.255", true),
        ("10.0.0.2", 24, "10.0.1.255", false),
        ("10.0.0.2", 24, "10.0.0.1", false),
        ("10.0.0.2", 16, "10.0.255.255", true),
        ("10.0.0.2", 16, "10.0.0.255", false),
        ("10.0.0.2", 30, "10.0.0.3", true),
        ("10.0.0.2", 31, "10.0.0.3", false),
        ("10.0.0.2", 32, "10.0.0.3", false),
        ("10.0.0.2", 0, "255.255.255.255", true),
        ("10.0.0.2", 24, "255.255.255.255", true),
        ("10.0.0.2", 24, "224.0.0.1", true),
        ("10.0.0.2", 24, "239.255.255.255", true),
        ("10.0.0.2", 24, "0.0.0.0", true),
        ("10.0.0.2", 24, "ff02::1", true),
        ("10.0.0.2", 24, "::", true),
        ("10.0.0.2", 24, "fe80::1", false),
    ] {
        assert_eq!(
            is_no_host(&config(&[(own, prefix)]), ip(other)),
            no_host,
            "{other} beside {own}/{prefix}"
        );
    }
}

/// MUST-44: which of ours speaks to whom.
#[test]
fn who_speaks_to_whom() {
    let config = config(&[
        ("10.0.0.2", 24),
        ("192.168.1.5", 16),
        ("fd00::2", 64),
        ("172.16.0.1", 32),
    ]);
    for (destination, source) in [
        ("10.0.0.9", "10.0.0.2"),
        ("192.168.200.9", "192.168.1.5"),
        ("8.8.8.8", "10.0.0.2"),
        ("172.16.0.2", "10.0.0.2"),
        ("172.16.0.1", "172.16.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.3.4.5", "127.3.4.5"),
        ("fd00::9", "fd00::2"),
        ("2001:db8::1", "fd00::2"),
        ("::1", "::1"),
    ] {
        assert_eq!(source_for(&config, ip(destination)), Ok(ip(source)), "{destination}");
    }
}

/// Without an address of the family there is no way.
#[test]
fn no_way() {
    let only_v4 = config(&[("10.0.0.2", 24)]);
    assert_eq!(source_for(&only_v4, ip("fd00::1")), Err(Error::NetworkUnreachable));
    assert_eq!(source_for(&config(&[]), ip("10.0.0.1")), Err(Error::NetworkUnreachable));
    assert_eq!(source_for(&config(&[]), ip("127.0.0.1")), Ok(ip("127.0.0.1")));
}

/// Ours inside the stack, ours on the wire.
#[test]
fn whose_is_it() {
    let config = config(&[("10.0.0.2", 24)]);
    for (address, local, own) in [
        ("10.0.0.2", true, true),
        ("10.0.0.1", false, false),
        ("127.0.0.1", true, false),
        ("127.255.255.254", true, false),
        ("::1", true, false),
    ] {
        assert_eq!(
            (is_local(&config, ip(address)), is_own(&config, ip(address))),
            (local, own),
            "{address}"
        );
    }
}
