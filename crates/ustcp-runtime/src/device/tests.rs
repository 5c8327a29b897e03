//! Real TUN devices, each in a network namespace of its own, and the kernel's TCP as the peer.

mod kernel;
mod network;

use std::net::Ipv4Addr;
use std::os::fd::IntoRawFd;
use std::path::Path;

use libc::c_int;
use ustcp_sim::Weather;

use super::open::{Network, explain};
use super::*;
use crate::sys::tun::{self, Interface};
use crate::{Cidr, Errno, Offload, Settings, StartError};
use kernel::{Conversation, converse};
use network::{eventually, in_own_network, ip, skip};

const STACK: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
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

#[test]
fn a_peer_that_is_not_named_is_the_lowest_host() {
    in_own_network("a_peer_that_is_not_named_is_the_lowest_host", || {
        let table = [
            ("10.77.0.2", 24, "10.77.0.1/24"),
            ("10.77.0.1", 24, "10.77.0.2/24"),
            ("10.77.0.1", 31, "10.77.0.0/31"),
        ];
        for (address, prefix, peer) in table {
            let address = address.parse().unwrap();
            let settings = Settings {
                addresses: vec![Cidr { address, prefix }],
                peer: None,
                ..settings(Offload::Auto)
            };
            let _device = opened(&settings);
            let link = ip("-o addr show dev t0 scope global");
            assert!(link.contains(peer), "{peer}: {link}");
        }
    });
}

#[test]
fn an_existing_device_is_opened_as_it_is() {
    in_own_network("an_existing_device_is_opened_as_it_is", || {
        persistent("");
        ip("link set t0 mtu 1400");
        let before = ip("addr show dev t0 scope global");
        let device = opened(&Settings {
            peer: Some("10.77.0.99".parse().unwrap()),
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
            assert!(
                error.message.contains(&format!("by pid {} (", std::process::id())),
                "{error:?}"
            );
            assert!(error.message.contains("USTCP_TUN"), "{error:?}");
            assert_eq!(error.message.lines().count(), 1);
        }
    });
}

#[test]
fn what_cannot_be_opened_is_refused_with_a_reason() {
    in_own_network("what_cannot_be_opened_is_refused_with_a_reason", || {
        persistent("");
        let usual = || settings(Offload::Auto);
        let address = |address: &str, prefix| {
            let address = address.parse().unwrap();
            Settings {
                addresses: vec![Cidr { address, prefix }],
                ..usual()
            }
        };
        let table = [
            (
                Settings {
                    tun: "lo".to_owned(),
                    ..usual()
                },
                libc::EINVAL,
                "not a TUN device",
            ),
            (
                Settings {
                    tun: "tun%d".to_owned(),
                    ..usual()
                },
                libc::EINVAL,
                "no name",
            ),
            (
                Settings {
                    mtu: Some(9000),
                    ..usual()
                },
                libc::EINVAL,
                "carries 1500 bytes",
            ),
            (
                Settings {
                    mtu: Some(67),
                    ..usual()
                },
                libc::EINVAL,
                "68 to 65535",
            ),
            (
                Settings {
                    addresses: vec![],
                    ..usual()
                },
                libc::EINVAL,
                "needs an address",
            ),
            (address("10.77.0.2", 33), libc::EINVAL, "above 32"),
            (address("10.78.0.2", 24), libc::EINVAL, "no other host"),
            (address("10.77.0.1", 24), libc::EINVAL, "no other host"),
            (address("fd00::2", 64), libc::EAFNOSUPPORT, "IPv4 only"),
            (
                Settings {
                    peer: Some("fd00::1".parse().unwrap()),
                    ..usual()
                },
                libc::EAFNOSUPPORT,
                "IPv4 only",
            ),
        ];
        for (settings, errno, reason) in table {
            let error = refused(&settings);
            assert_eq!(error.errno, Errno(errno), "{error:?}");
            assert!(error.message.contains(reason), "{error:?}");
        }
    });
}

#[test]
fn no_permission_comes_with_the_commands_that_give_it() {
    let lines = |errno| {
        let network = Network { prefix: 24, peer: PEER };
        let error = explain(&settings(Offload::Auto), &network, &io::Error::from_raw_os_error(errno));
        (error.errno, error.message)
    };
    let (errno, message) = lines(libc::EPERM);
    assert_eq!(errno, Errno(libc::EPERM));
    let commands: Vec<&str> = message.lines().skip(1).collect();
    assert_eq!(commands.len(), 2);
    assert!(commands[0].starts_with("sudo ip tuntap add dev t0 mode tun user "));
    assert!(commands[1].contains("ip addr add 10.77.0.1/24 dev t0 && ip link set t0 "));
    let (errno, message) = lines(libc::EACCES);
    assert_eq!(errno, Errno(libc::EPERM));
    assert!(message.starts_with("/dev/net/tun is closed to this user: sudo chmod 0666 /dev/net/tun\n"));
    let (errno, message) = lines(libc::ENOENT);
    assert_eq!(errno, Errno(libc::ENODEV));
    assert!(message.contains("modprobe tun"));
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
fn weather_is_drawn_after_super_segments_are_split() {
    in_own_network("weather_is_drawn_after_super_segments_are_split", || {
        let weather: Weather = "delay=1ms,seed=7".parse().unwrap();
        let device = opened(&Settings {
            weather: Some(weather),
            ..settings(Offload::On)
        });
        assert!(device.segmentation_offload() > 60_000, "the stack goes on making them");
        let Conversation {
            largest,
            super_segments,
            ..
        } = converse(device);
        assert!(largest <= MTU, "{largest} bytes at once");
        assert_eq!(super_segments, 0);
    });
}

#[test]
fn weather_around_a_plain_device_lets_the_rest_through() {
    in_own_network("weather_around_a_plain_device_lets_the_rest_through", || {
        let weather: Weather = "duplicate=20%,delay=1ms,seed=7".parse().unwrap();
        converse(opened(&Settings {
            weather: Some(weather),
            ..settings(Offload::Off)
        }));
    });
}

#[test]
fn weather_that_loses_everything_does_not_hold_the_driver() {
    in_own_network("weather_that_loses_everything_does_not_hold_the_driver", || {
        let weather: Weather = "loss=100%".parse().unwrap();
        let mut device = opened(&Settings {
            weather: Some(weather),
            ..settings(Offload::On)
        });
        kernel::send_datagrams(1000);
        let mut buffer = vec![0; 70_000];
        let now = Instant::from_nanos(5);
        let mut turns = 1;
        assert_eq!(device.receive(now, &mut buffer).unwrap(), None);
        while device.poll_timeout() == Some(now) {
            turns += 1;
            assert_eq!(device.receive(now, &mut buffer).unwrap(), None);
        }
        assert_eq!(device.poll_timeout(), None);
        assert!(
            (4..=5).contains(&turns),
            "{turns} turns for 1000 datagrams and the kernel's own"
        );
    });
}

#[test]
fn a_capture_shows_what_crossed_the_device_and_tshark_agrees_with_every_checksum() {
    in_own_network(
        "a_capture_shows_what_crossed_the_device_and_tshark_agrees_with_every_checksum",
        || {
            for (offload, weather) in [
                (Offload::On, None),
                (Offload::Off, None),
                (Offload::On, Some("delay=1ms")),
            ] {
                let path = network::temporary("capture.pcapng");
                let Conversation { received, sent, .. } = converse(opened(&Settings {
                    weather: weather.map(|text| text.parse().unwrap()),
                    pcap: Some((path.clone(), 65_535)),
                    ..settings(offload)
                }));
                let Some(records) = read_by_tshark(&path) else { return };
                let count = |direction: &str| records.iter().filter(|record| record[0] == direction).count();
                if weather.is_none() {
                    assert_eq!((count("1"), count("2")), (received, sent), "every packet both ways");
                }
                let largest = |direction: &str| {
                    let ours = records.iter().filter(|record| record[0] == direction);
                    ours.map(|record| record[1].parse::<usize>().unwrap()).max().unwrap()
                };
                // Inside the weather: super-segments are split on their way out, and come in whole.
                assert_eq!(largest("2") > MTU, offload == Offload::On && weather.is_none());
                assert_eq!(largest("1") > MTU, offload == Offload::On);
                for record in &records {
                    assert!(
                        !record[2..].iter().any(|status| *status == "0"),
                        "a bad checksum: {record:?}"
                    );
                }
            }
        },
    );
}

/// Direction, length, IP checksum status and TCP checksum status of each record.
fn read_by_tshark(path: &Path) -> Option<Vec<Vec<String>>> {
    let mut tshark = std::process::Command::new("tshark");
    tshark.env("HOME", std::env::temp_dir()); // nobody's preferences
    tshark.args([
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
        "-T",
        "fields",
    ]);
    for field in [
        "frame.packet_flags_direction",
        "frame.len",
        "ip.checksum.status",
        "tcp.checksum.status",
    ] {
        tshark.args(["-e", field]);
    }
    let Ok(output) = tshark.arg("-r").arg(path).output() else {
        skip("no tshark");
        return None;
    };
    std::fs::remove_file(path).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).replace(
        "Running as user \"root\" and group \"root\". This could be dangerous.\n",
        "",
    );
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let number = |field: &str| match field.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).unwrap().to_string(),
        None => field.to_owned(),
    };
    Some(
        text.lines()
            .map(|line| line.split('\t').map(number).collect())
            .collect(),
    )
}

#[test]
fn a_capture_that_cannot_be_written_harms_nobody() {
    in_own_network("a_capture_that_cannot_be_written_harms_nobody", || {
        for path in ["/dev/full", "/nowhere/at/all"] {
            let pcap = Some((path.into(), 65_535));
            converse(opened(&Settings {
                pcap,
                ..settings(Offload::On)
            }));
        }
    });
}

#[test]
fn a_snap_length_cuts_the_record_and_keeps_the_checksum_right() {
    in_own_network("a_snap_length_cuts_the_record_and_keeps_the_checksum_right", || {
        let path = network::temporary("snap.pcapng");
        converse(opened(&Settings {
            pcap: Some((path.clone(), 64)),
            ..settings(Offload::On)
        }));
        let len = std::fs::metadata(&path).unwrap().len();
        assert!(len < 20_000, "{len} bytes for a conversation of 150,000");
        let records = read_by_tshark(&path);
        let whole = |records: &Vec<Vec<String>>| records.iter().any(|record| record[1].parse::<usize>().unwrap() > MTU);
        assert!(records.as_ref().is_none_or(whole), "the length on the wire is told");
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
