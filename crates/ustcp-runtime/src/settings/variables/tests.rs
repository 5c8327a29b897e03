use super::*;

fn read(variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
    let (settings, complaints) =
        Settings::from_variables(variables.iter().map(|&(name, value)| (name.into(), value.into())));
    (settings, complaints.iter().map(ToString::to_string).collect())
}

/// The settings of variables that are all well formed.
fn accepted(variables: &[(&str, &str)]) -> Settings {
    let (settings, complaints) = read(variables);
    assert_eq!(complaints, [""; 0]);
    settings
}

fn cidr_of(address: &str, prefix: u8) -> Cidr {
    Cidr {
        address: address.parse().unwrap(),
        prefix,
    }
}

#[test]
fn without_variables_the_defaults_hold() {
    let settings = accepted(&[("PATH", "/bin"), ("USTCP_OTHER", "someone else's")]);
    assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
    assert_eq!(settings.tun, "ustcp0");
    assert_eq!(settings.addresses, [cidr_of("10.77.0.2", 24)]);
    assert_eq!(settings.peers, ["10.77.0.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(settings.offload, Offload::Auto);
    assert_eq!(settings.time_wait, Duration::from_secs(60));
    assert_eq!(settings.congestion, Algorithm::Cubic);
    assert_eq!(settings.exit_wait, ExitWait::Acknowledged(Duration::from_secs(2)));
}

#[test]
fn every_variable_is_read() {
    let settings = accepted(&[
        ("USTCP_TUN", "my-tun_1.0"),
        ("USTCP_ADDRESS", "10.9.0.2/16, 10.9.0.3/32,fd00::2/64"),
        ("USTCP_PEER", "10.9.0.9, fd00::9"),
        ("USTCP_OFFLOAD", "on"),
        ("USTCP_MTU", "9000"),
        ("USTCP_TIME_WAIT", "1.5"),
        ("USTCP_CONGESTION", "bbr"),
        ("USTCP_SYSCTL", "tcp_sack=0, tcp_ecn=1"),
        ("USTCP_EXIT_WAIT", "closed"),
        ("USTCP_WEATHER", "loss=3%,seed=7"),
        ("USTCP_LOG", "-"),
        ("USTCP_PCAP", "/tmp/a:b.pcapng:96"),
    ]);
    assert_eq!(settings.tun, "my-tun_1.0");
    let addresses = [cidr_of("10.9.0.2", 16), cidr_of("10.9.0.3", 32), cidr_of("fd00::2", 64)];
    assert_eq!(settings.addresses, addresses);
    let peers: [IpAddr; 2] = ["10.9.0.9".parse().unwrap(), "fd00::9".parse().unwrap()];
    assert_eq!(settings.peers, peers);
    assert_eq!(settings.offload, Offload::On);
    assert_eq!(settings.mtu, Some(9000));
    assert_eq!(settings.time_wait, Duration::from_millis(1500));
    assert_eq!(settings.congestion, Algorithm::Bbr);
    assert_eq!(settings.sysctl.to_string(), "tcp_ecn=1,tcp_sack=0");
    assert_eq!(settings.exit_wait, ExitWait::Closed);
    assert_eq!(
        settings.weather.map(|weather| (weather.loss, weather.seed)),
        Some((0.03, 7))
    );
    assert_eq!(settings.log, Some("-".into()));
    assert_eq!(settings.pcap, Some(("/tmp/a:b.pcapng".into(), 96)));
}

#[test]
fn no_fault_is_no_weather() {
    for clear in ["", "clear", "loss=0%"] {
        assert_eq!(accepted(&[("USTCP_WEATHER", clear)]).weather, None, "{clear}");
    }
}

#[test]
fn the_default_peer_goes_with_the_default_address() {
    let peer: IpAddr = "10.77.0.9".parse().unwrap();
    assert_eq!(accepted(&[("USTCP_PEER", "10.77.0.9")]).peers, [peer]);
    assert!(accepted(&[("USTCP_ADDRESS", "10.9.0.2/16")]).peers.is_empty());
    let (settings, complaints) = read(&[("USTCP_ADDRESS", "nonsense")]);
    assert_eq!((settings.peers, complaints.len()), (Settings::default().peers, 1));
}

#[test]
fn a_malformed_value_leaves_the_default_and_one_line_that_says_what_is_allowed() {
    let table = [
        ("USTCP_TUN", "", "1 to 15"),
        ("USTCP_TUN", "sixteen_letters_", "1 to 15"),
        ("USTCP_TUN", "tun%d", "letters"),
        ("USTCP_TUN", "a/b", "letters"),
        ("USTCP_TUN", "..", "letters"),
        ("USTCP_ADDRESS", "", "10.77.0.2/24"),
        ("USTCP_ADDRESS", "10.77.0.2", "prefix"),
        ("USTCP_ADDRESS", "10.77.0.2/33", "prefix"),
        ("USTCP_ADDRESS", "10.77.0.2/+4", "prefix"),
        ("USTCP_ADDRESS", "10.77.0.0/24", "hosts"),
        ("USTCP_ADDRESS", "10.77.0.255/24", "hosts"),
        ("USTCP_ADDRESS", "127.0.0.1/8", "hosts"),
        ("USTCP_ADDRESS", "224.0.0.1/8", "hosts"),
        ("USTCP_ADDRESS", "0.0.0.0/0", "hosts"),
        ("USTCP_ADDRESS", "255.255.255.255/32", "hosts"),
        ("USTCP_ADDRESS", "::1/128", "hosts"),
        ("USTCP_ADDRESS", "10.77.0.2/24,", "commas"),
        ("USTCP_ADDRESS", "::ffff:10.77.0.2/120", "hosts"),
        ("USTCP_PEER", "10.77.0.1/24", "without prefix"),
        ("USTCP_PEER", "", "without prefix"),
        ("USTCP_PEER", "10.77.0.1,10.77.0.3", "each family"),
        ("USTCP_PEER", "10.77.0.1,fd77::1,fd77::3", "each family"),
        ("USTCP_OFFLOAD", "yes", "auto, on or off"),
        ("USTCP_MTU", "127", "128 to 65535"),
        ("USTCP_MTU", "65536", "128 to 65535"),
        ("USTCP_MTU", "99999999999999999999999", "128 to 65535"),
        ("USTCP_MTU", "-1", "128 to 65535"),
        ("USTCP_TIME_WAIT", "3600.1", "0 to 3600"),
        ("USTCP_TIME_WAIT", "-1", "0 to 3600"),
        ("USTCP_TIME_WAIT", "inf", "0 to 3600"),
        ("USTCP_TIME_WAIT", "NaN", "0 to 3600"),
        (
            "USTCP_SYSCTL",
            "tcp_sack=0,tcp_sacks=1",
            "there is no \"tcp_sacks\", but ",
        ),
        ("USTCP_SYSCTL", "tcp_sack=2", "0 or 1"),
        ("USTCP_EXIT_WAIT", "never", "'closed'"),
        ("USTCP_WEATHER", "loss=200%", "loss"),
        ("USTCP_LOG", "", "a path"),
        ("USTCP_PCAP", "", "a path"),
        ("USTCP_PCAP", ":96", "a path"),
        ("USTCP_PCAP", "file:0", "64 to 65535"),
        ("USTCP_PCAP", "file:65536", "64 to 65535"),
    ];
    let default = format!("{:?}", Settings::default());
    for (name, value, allowed) in table {
        let (settings, complaints) = read(&[(name, value)]);
        assert_eq!(format!("{settings:?}"), default, "{name}={value}");
        let [line] = &complaints[..] else {
            panic!("{name}={value}: {complaints:?}")
        };
        assert!(line.starts_with(&format!("{name}={value} is malformed: ")), "{line}");
        assert!(line.contains(allowed), "{line}");
        assert!(!line.contains("weather:"), "what it is of is said already: {line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

#[test]
fn seventeen_addresses_are_one_too_many() {
    let list = |count: usize| vec!["10.77.0.2/24"; count].join(",");
    assert_eq!(accepted(&[("USTCP_ADDRESS", &list(16))]).addresses.len(), 16);
    assert_eq!(read(&[("USTCP_ADDRESS", &list(17))]).1.len(), 1);
}

#[test]
fn a_pcap_path_keeps_colons_that_no_number_follows() {
    let pcap = |value: &str| accepted(&[("USTCP_PCAP", value)]).pcap.unwrap();
    assert_eq!(pcap("a.pcapng"), ("a.pcapng".into(), 65_535));
    assert_eq!(pcap("12:30:x"), ("12:30:x".into(), 65_535));
    assert_eq!(pcap("12:"), ("12:".into(), 65_535));
    assert_eq!(pcap("a:65535"), ("a".into(), 65_535));
}

#[test]
fn a_path_need_not_be_utf_8_and_a_number_must() {
    let bytes = || OsString::from_vec(b"/tmp/\xff".to_vec());
    let (settings, complaints) =
        Settings::from_variables([("USTCP_LOG".into(), bytes()), ("USTCP_MTU".into(), bytes())]);
    assert_eq!(settings.log, Some(bytes().into()));
    assert_eq!(
        complaints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["USTCP_MTU=/tmp/\u{fffd} is malformed: not UTF-8"]
    );
}
