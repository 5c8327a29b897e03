//! Real TUN devices, each in a network namespace of its own, and the kernel's TCP as the peer.

mod kernel;
mod network;
mod wrapped;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::IntoRawFd;

use super::network::Network;
use super::trouble::explain;
use super::*;
use crate::sys::tun::{self, Interface};
use crate::{Cidr, Errno, Offload, Settings, StartError};
use kernel::{Conversation, converse, converse_in_ipv6};
use libc::c_int;
use network::{eventually, in_own_network, ip};

const STACK: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const STACK_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
const MTU: usize = 1500;

fn settings(offload: Offload) -> Settings {
    Settings {
        tun: "t0".to_owned(),
        offload,
        ..Settings::default()
    }
}

fn opened(settings: &Settings) -> Box<dyn Device> {
    eventually(|| match open(settings) {
        Ok(device) => Some(device),
        Err(error) if error.errno == Errno(libc::EBUSY) => None,
        Err(error) => panic!("{error:?}"),
    })
}

fn assert_gone(device: Box<dyn Device>) {
    drop(device);
    let interface = Interface::new("t0").unwrap();
    let gone = |error: io::Error| error.raw_os_error() == Some(libc::ENODEV);
    eventually(|| interface.flags().is_err_and(gone).then_some(()));
}

fn refused(settings: &Settings) -> StartError {
    match open(settings) {
        Ok(_) => panic!("{settings:?} opens"),
        Err(error) => error,
    }
}

fn at(address: &str, prefix: u8) -> Settings {
    let address = address.parse().unwrap();
    Settings {
        addresses: vec![Cidr { address, prefix }],
        peers: vec![],
        ..settings(Offload::Auto)
    }
}

/// A persistent device of this network, up, with the kernel's address on it.
fn persistent(options: &str) {
    ip(&format!("tuntap add dev t0 mode tun {options}"));
    ip("addr add 10.77.0.1/24 dev t0");
    ip("link set t0 up");
}

/// A descriptor as someone else would hand it over.
fn handed_over(flags: c_int) -> Settings {
    let tun = tun::open().unwrap();
    eventually(|| tun::attach(&tun, "t0", flags).ok());
    ip("addr add 10.77.0.1/24 dev t0");
    ip("link set t0 up");
    Settings {
        tun: "not looked at".to_owned(),
        tun_fd: Some(tun.into_raw_fd()),
        ..settings(Offload::Auto)
    }
}

fn assert_offloaded(device: Box<dyn Device>) {
    assert_offloaded_in(converse, device);
}

fn assert_offloaded_in(converse: fn(Box<dyn Device>) -> Conversation, device: Box<dyn Device>) {
    assert_eq!(device.checksum(), Checksum::Offloaded);
    assert!(device.segmentation_offload() > 60_000);
    let Conversation {
        largest,
        super_segments,
        ..
    } = converse(device);
    assert!(
        largest > MTU,
        "the kernel sent super-segments, not {largest} bytes at most"
    );
    assert!(super_segments > 0);
}

fn assert_plain(device: Box<dyn Device>) {
    assert_plain_in(converse, device);
}

fn assert_plain_in(converse: fn(Box<dyn Device>) -> Conversation, device: Box<dyn Device>) {
    assert_eq!((device.checksum(), device.segmentation_offload()), (Checksum::Full, 0));
    let Conversation {
        largest,
        super_segments,
        ..
    } = converse(device);
    assert!(largest <= MTU, "{largest} bytes at once");
    assert_eq!(super_segments, 0);
}

#[test]
fn a_device_made_with_offload_carries_super_segments_both_ways() {
    in_own_network("a_device_made_with_offload_carries_super_segments_both_ways", || {
        assert_offloaded(opened(&settings(Offload::On)));
    });
}

#[test]
fn a_device_made_without_offload_carries_packets_within_the_mtu() {
    in_own_network("a_device_made_without_offload_carries_packets_within_the_mtu", || {
        assert_plain(opened(&settings(Offload::Off)));
    });
}

#[test]
fn a_device_made_is_fit_to_use() {
    in_own_network("a_device_made_is_fit_to_use", || {
        for offload in [Offload::Auto, Offload::Off] {
            let device = opened(&Settings {
                mtu: Some(9000),
                ..settings(offload)
            });
            assert_eq!(device.mtu(), 9000);
            let link = ip("-o addr show dev t0 scope global") + &ip("-o link show dev t0");
            for part in ["10.77.0.1/24", "mtu 9000", "qlen 5000", ",UP"] {
                assert!(link.contains(part), "{part}: {link}");
            }
            assert_gone(device);
        }
    });
}

/// Settings with an address in IPv6 alone.
fn in_ipv6(offload: Offload) -> Settings {
    Settings {
        offload,
        ..at("fd77::2", 64)
    }
}

#[test]
fn ipv6_alone_is_carried_in_super_segments_too() {
    in_own_network("ipv6_alone_is_carried_in_super_segments_too", || {
        assert_offloaded_in(converse_in_ipv6, opened(&in_ipv6(Offload::On)));
    });
}

#[test]
fn ipv6_alone_is_carried_without_offload() {
    in_own_network("ipv6_alone_is_carried_without_offload", || {
        assert_plain_in(converse_in_ipv6, opened(&in_ipv6(Offload::Off)));
    });
}

#[test]
fn a_device_of_both_families_has_a_network_of_each() {
    in_own_network("a_device_of_both_families_has_a_network_of_each", || {
        let both = Settings {
            addresses: [at("10.77.0.2", 24).addresses, at("fd77::2", 64).addresses].concat(),
            ..at("10.77.0.2", 24)
        };
        let named = Settings {
            peers: vec!["fd77::9".parse().unwrap(), "10.77.0.9".parse().unwrap()],
            ..both.clone()
        };
        for (settings, peers) in [
            (both, ["10.77.0.1/24", "fd77::1/64"]),
            (named, ["10.77.0.9/24", "fd77::9/64"]),
        ] {
            let device = opened(&settings);
            let link = ip("-o addr show dev t0 scope global");
            assert!(peers.iter().all(|peer| link.contains(peer)), "{link}");
            assert!(!link.contains("tentative"), "usable at once: {link}");
            drop(device);
        }
    });
}

#[test]
fn a_peer_that_is_not_named_is_the_lowest_host() {
    in_own_network("a_peer_that_is_not_named_is_the_lowest_host", || {
        let table = [
            ("10.77.0.2", 24, "10.77.0.1/24"),
            ("10.77.0.1", 24, "10.77.0.2/24"),
            ("10.77.0.1", 31, "10.77.0.0/31"),
            ("fd77::2", 64, "fd77::1/64"),
            ("fd77::1", 64, "fd77::2/64"),
            ("fd77::1", 127, "fd77::/127"),
        ];
        for (address, prefix, peer) in table {
            let device = opened(&at(address, prefix));
            let link = ip("-o addr show dev t0 scope global");
            assert!(link.contains(peer), "{peer}: {link}");
            assert_gone(device);
        }
        let mut several = at("10.77.0.2", 24);
        several.addresses.extend(at("10.77.0.1", 24).addresses);
        let _device = opened(&several);
        let link = ip("-o addr show dev t0 scope global");
        assert!(link.contains("10.77.0.3/24"), "{link}");
    });
}

#[test]
fn an_existing_device_is_opened_as_it_is() {
    in_own_network("an_existing_device_is_opened_as_it_is", || {
        persistent("");
        ip("link set t0 mtu 1400");
        let before = ip("addr show dev t0 scope global");
        let device = opened(&Settings {
            peers: vec!["10.77.0.99".parse().unwrap()],
            ..settings(Offload::Auto)
        });
        assert_eq!(device.mtu(), 1400);
        assert_offloaded(device);
        let without_carrier = |text: String| text.replace("NO-CARRIER,", "").replace(",LOWER_UP", "");
        let states = |text: String| text.replace("state UNKNOWN", "").replace("state DOWN", "");
        let after = states(without_carrier(ip("addr show dev t0 scope global")));
        assert_eq!(after, states(without_carrier(before)));
    });
}

#[test]
fn a_plain_open_is_plain_whoever_held_the_device_before() {
    in_own_network("a_plain_open_is_plain_whoever_held_the_device_before", || {
        persistent("vnet_hdr");
        assert_offloaded(opened(&settings(Offload::On)));
        assert_plain(opened(&settings(Offload::Off)));
        assert_offloaded(opened(&settings(Offload::Auto)));
    });
}

#[test]
fn a_descriptor_handed_over_is_taken_as_it_is() {
    in_own_network("a_descriptor_handed_over_is_taken_as_it_is", || {
        assert_offloaded(opened(&handed_over(tun::TUN | libc::IFF_VNET_HDR)));
        assert_plain(opened(&handed_over(tun::TUN)));
        let with_header_unused = Settings {
            offload: Offload::Off,
            ..handed_over(tun::TUN | libc::IFF_VNET_HDR)
        };
        assert_plain(opened(&with_header_unused));
    });
}

#[test]
fn a_descriptor_is_closed_whatever_is_wrong() {
    let (mut reader, writer) = io::pipe().unwrap();
    let nowhere = Settings {
        addresses: Vec::new(),
        tun_fd: Some(writer.into_raw_fd()),
        ..settings(Offload::Auto)
    };
    assert_eq!(refused(&nowhere).errno, Errno(libc::EINVAL));
    assert_eq!(
        io::Read::read(&mut reader, &mut [0]).unwrap(),
        0,
        "the end: nobody writes any more"
    );
}

#[test]
fn a_descriptor_that_is_no_tun_device_is_refused() {
    in_own_network("a_descriptor_that_is_no_tun_device_is_refused", || {
        let with = |fd| Settings {
            tun_fd: Some(fd),
            ..settings(Offload::Auto)
        };
        assert_eq!(refused(&with(-1)).errno, Errno(libc::EBADF));
        assert_eq!(
            refused(&with(tun::open().unwrap().into_raw_fd())).errno,
            Errno(libc::EBADFD),
            "not attached"
        );
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(refused(&with(file.into_raw_fd())).errno, Errno(libc::ENOTTY));
        let plain = handed_over(tun::TUN);
        assert_eq!(
            refused(&Settings {
                offload: Offload::On,
                ..plain
            })
            .errno,
            Errno(libc::EOPNOTSUPP)
        );
        for flags in [libc::IFF_TUN, libc::IFF_TUN | libc::IFF_VNET_HDR] {
            let error = refused(&handed_over(flags));
            assert_eq!(error.errno, Errno(libc::EINVAL), "packet information: {error:?}");
        }
    });
}

#[test]
fn a_device_in_use_is_busy_and_its_holder_named() {
    in_own_network("a_device_in_use_is_busy_and_its_holder_named", || {
        let _holder = opened(&settings(Offload::Auto));
        for offload in [Offload::Auto, Offload::Off] {
            let error = refused(&settings(offload));
            assert_eq!(error.errno, Errno(libc::EBUSY));
            assert!(error.message.contains("by another stack of this process"), "{error:?}");
            assert!(error.message.contains("USTCP_TUN"), "{error:?}");
            assert_eq!(error.message.lines().count(), 1);
        }
    });
}

#[test]
fn a_network_that_another_device_has_is_not_taken_twice() {
    in_own_network("a_network_that_another_device_has_is_not_taken_twice", || {
        let both = |tun: &str, v4: &str, v6: &str| Settings {
            tun: tun.to_owned(),
            addresses: [(v4, 24), (v6, 64)]
                .map(|(address, prefix)| Cidr {
                    address: address.parse().unwrap(),
                    prefix,
                })
                .into(),
            peers: vec![],
            ..settings(Offload::Auto)
        };
        let first = opened(&both("t0", "10.77.0.2", "fd77::2"));
        for (v4, v6, network) in [
            ("10.77.0.9", "fd78::2", "10.77.0.0/24"),
            ("10.78.0.2", "fd77::9", "fd77::/64"),
        ] {
            let error = refused(&both("t1", v4, v6));
            assert_eq!(error.errno, Errno(libc::EADDRINUSE), "{error:?}");
            assert!(
                error.message.starts_with(&format!("{network} is t0's already")),
                "{error:?}"
            );
            assert!(error.message.contains("USTCP_ADDRESS"), "{error:?}");
            assert_eq!(error.message.lines().count(), 1);
        }
        let beside = opened(&both("t1", "10.78.0.2", "fd78::2"));
        drop(first);
        eventually(|| match open(&both("t2", "10.77.0.2", "fd77::2")) {
            Ok(device) => Some(device),
            Err(error) if error.errno == Errno(libc::EADDRINUSE) => None,
            Err(error) => panic!("{error:?}"),
        });
        drop(beside);
        ip("tuntap add dev t3 mode tun");
        ip("addr add 10.77.0.1/24 dev t3");
        let _prepared = opened(&both("t3", "10.78.0.2", "fd78::2")); // as whoever made it wants it
    });
}

#[test]
fn whether_a_device_outlives_its_holder_is_told() {
    in_own_network("whether_a_device_outlives_its_holder_is_told", || {
        for offload in [Offload::Auto, Offload::Off] {
            let told = || {
                eventually(|| open::attach(&settings(offload)).ok())
                    .is_persistent()
                    .unwrap()
            };
            assert!(!told());
            ip("tuntap add dev t0 mode tun");
            assert!(told());
            ip("tuntap del dev t0 mode tun");
        }
    });
}

#[test]
fn what_cannot_be_opened_is_refused_with_a_reason() {
    in_own_network("what_cannot_be_opened_is_refused_with_a_reason", || {
        ip("tuntap add dev t0 mode tun");
        let found = || settings(Offload::Auto);
        let made = |address: &str, prefix| Settings {
            tun: "t1".to_owned(),
            ..at(address, prefix)
        };
        let peer = |peer: &str| Settings {
            peers: vec![peer.parse().unwrap()],
            ..made("10.77.0.2", 24)
        };
        let table = [
            (
                Settings {
                    tun: "lo".to_owned(),
                    ..found()
                },
                libc::EINVAL,
                "not a TUN device",
            ),
            (
                Settings {
                    tun: "tun%d".to_owned(),
                    ..found()
                },
                libc::EINVAL,
                "no name",
            ),
            (
                Settings {
                    mtu: Some(9000),
                    ..found()
                },
                libc::EINVAL,
                "carries 1500 bytes",
            ),
            (
                Settings {
                    mtu: Some(67),
                    ..found()
                },
                libc::EINVAL,
                "128 to 65535",
            ),
            (
                Settings {
                    addresses: vec![],
                    ..found()
                },
                libc::EINVAL,
                "needs an address",
            ),
            (at("10.77.0.2", 33), libc::EINVAL, "above 32"),
            (at("fd77::2", 129), libc::EINVAL, "above 128"),
            (made("fd77::2", 128), libc::EINVAL, "fd77::2/128 leaves no address"),
            (
                Settings {
                    mtu: Some(1279),
                    ..at("fd77::2", 64)
                },
                libc::EINVAL,
                "needs 1280",
            ),
            (made("10.77.0.2", 32), libc::EINVAL, "for the kernel's end of t1"),
            (peer("10.78.0.1"), libc::EINVAL, "no other host"),
            (peer("10.77.0.2"), libc::EINVAL, "no other host"),
            (peer("fd77::1"), libc::EINVAL, "no address to speak"),
        ];
        for (settings, errno, reason) in table {
            let error = refused(&settings);
            assert_eq!(error.errno, Errno(errno), "{error:?}");
            assert!(error.message.contains(reason), "{error:?}");
        }
        ip("link set t0 mtu 1279");
        let error = refused(&at("fd77::2", 64));
        assert!(error.message.contains("needs 1280"), "{error:?}");
        // The peer of a device that is there is none of our business.
        opened(&at("10.78.0.2", 32));
    });
}

#[test]
fn a_kernel_without_ipv6_is_told_of() {
    in_own_network("a_kernel_without_ipv6_is_told_of", || {
        // In a user namespace proc belongs to the network that it was mounted in, and may not be written.
        let switch = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
        if let Err(error) = std::fs::write(switch, "1") {
            return network::skip(&format!("{switch}: {error}"));
        }
        let error = refused(&in_ipv6(Offload::Auto));
        assert_eq!(error.errno, Errno(libc::EAFNOSUPPORT), "{error:?}");
        assert!(
            error.message.contains("sysctl net.ipv6.conf.default.disable_ipv6=0"),
            "{error:?}"
        );
        std::fs::write(switch, "0").unwrap();
        assert_plain_in(converse_in_ipv6, opened(&in_ipv6(Offload::Off)));
    });
}

#[test]
fn no_permission_comes_with_the_commands_that_give_it() {
    let lines = |errno, networks| {
        let error = explain(&settings(Offload::Auto), networks, &io::Error::from_raw_os_error(errno));
        let lines: Vec<String> = error.message.lines().map(str::to_owned).collect();
        (error.errno, lines)
    };
    let networks = [
        Network {
            prefix: 24,
            peer: PEER.into(),
        },
        Network {
            prefix: 64,
            peer: PEER_V6.into(),
        },
    ];
    let closed = "/dev/net/tun is closed to this user: sudo chmod 0666 /dev/net/tun";
    for (errno, first) in [(libc::EPERM, "no permission to make t0"), (libc::EACCES, closed)] {
        let (errno, lines) = lines(errno, Some(&networks[..]));
        assert_eq!(
            (errno, lines.len()),
            (Errno(libc::EPERM), 3),
            "a reason and two commands"
        );
        assert!(lines[0].starts_with(first), "{lines:?}");
        assert!(
            lines[1].starts_with("sudo ip tuntap add dev t0 mode tun user "),
            "{lines:?}"
        );
        assert!(
            lines[2]
                .contains("ip addr add 10.77.0.1/24 dev t0 && ip addr add fd77::1/64 dev t0 nodad && ip link set t0 "),
            "{lines:?}"
        );
    }
    // A device that is there needs no making.
    assert_eq!(lines(libc::EACCES, None), (Errno(libc::EPERM), vec![closed.to_owned()]));
    let (errno, theirs) = lines(libc::EPERM, None);
    assert_eq!((errno, theirs.len()), (Errno(libc::EPERM), 1));
    assert!(theirs[0].contains("another user"), "{theirs:?}");
    let (errno, missing) = lines(libc::ENOENT, Some(&networks[..]));
    assert_eq!(errno, Errno(libc::ENODEV));
    assert!(missing[0].contains("modprobe tun"), "{missing:?}");
}

#[test]
fn a_device_that_is_down_loses_packets_and_one_deleted_is_gone() {
    in_own_network("a_device_that_is_down_loses_packets_and_one_deleted_is_gone", || {
        for offload in [Offload::On, Offload::Off] {
            ip("tuntap add dev t0 mode tun");
            let mut device = opened(&settings(offload));
            let packet = kernel::echo_request();
            device.transmit_whole(Instant::ZERO, &packet).unwrap();
            let lost = |outgoing| Losses { outgoing, incoming: 0 };
            assert_eq!(device.losses(), lost(1));
            ip("link set t0 up");
            device.transmit_whole(Instant::ZERO, &packet).unwrap();
            assert_eq!(device.losses(), lost(1));
            // The kernel takes a packet by its version: what is none is lost too.
            device.transmit_whole(Instant::ZERO, &[0xff; 40]).unwrap();
            assert_eq!(device.losses(), lost(2));
            ip("link del t0");
            let mut buffer = vec![0; 70_000];
            while matches!(device.receive(Instant::ZERO, &mut buffer), Ok(Some(_))) {}
            assert!(is_gone(&device.receive(Instant::ZERO, &mut buffer).unwrap_err()));
            assert!(is_gone(&device.transmit_whole(Instant::ZERO, &packet).unwrap_err()));
        }
    });
}

#[test]
fn a_descriptor_of_ours_does_not_block_and_does_not_outlive_exec() {
    in_own_network("a_descriptor_of_ours_does_not_block_and_does_not_outlive_exec", || {
        let inherited = handed_over(tun::TUN);
        for settings in [settings(Offload::On), settings(Offload::Off), inherited] {
            let device = opened(&Settings {
                tun: "t1".to_owned(),
                addresses: at("10.78.0.2", 24).addresses,
                peers: vec![],
                ..settings
            });
            let flags = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", device.fd())).unwrap();
            let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let flags = c_int::from_str_radix(flags.trim(), 8).unwrap();
            assert_eq!(flags & libc::O_CLOEXEC, libc::O_CLOEXEC);
            assert_eq!(flags & libc::O_NONBLOCK, libc::O_NONBLOCK);
        }
    });
}

#[test]
fn a_descriptor_handed_over_is_closed_with_its_device() {
    in_own_network("a_descriptor_handed_over_is_closed_with_its_device", || {
        let inherited = handed_over(tun::TUN);
        let device = opened(&inherited);
        assert_eq!(Some(device.fd()), inherited.tun_fd);
        assert_gone(device);
    });
}
