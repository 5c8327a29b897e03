//! Weather and captures around real devices.

use std::path::Path;

use ustcp_proto::Instant;
use ustcp_sim::Weather;

use super::kernel::{Conversation, converse, send_datagrams};
use super::network::{in_own_network, skip, temporary};
use super::{MTU, opened, settings};
use crate::{Offload, Settings};

#[test]
fn weather_is_drawn_after_super_segments_are_split() {
    in_own_network("wrapped::weather_is_drawn_after_super_segments_are_split", || {
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
    in_own_network("wrapped::weather_around_a_plain_device_lets_the_rest_through", || {
        let weather: Weather = "duplicate=20%,delay=1ms,seed=7".parse().unwrap();
        converse(opened(&Settings {
            weather: Some(weather),
            ..settings(Offload::Off)
        }));
    });
}

#[test]
fn weather_that_loses_everything_does_not_hold_the_driver() {
    in_own_network(
        "wrapped::weather_that_loses_everything_does_not_hold_the_driver",
        || {
            let weather: Weather = "loss=100%".parse().unwrap();
            let mut device = opened(&Settings {
                weather: Some(weather),
                ..settings(Offload::On)
            });
            send_datagrams(1000);
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
        },
    );
}

#[test]
fn a_capture_shows_what_crossed_the_device_and_tshark_agrees_with_every_checksum() {
    in_own_network(
        "wrapped::a_capture_shows_what_crossed_the_device_and_tshark_agrees_with_every_checksum",
        || {
            for (offload, weather) in [
                (Offload::On, None),
                (Offload::Off, None),
                (Offload::On, Some("delay=1ms")),
            ] {
                let path = temporary("capture.pcapng");
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
    in_own_network("wrapped::a_capture_that_cannot_be_written_harms_nobody", || {
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
    in_own_network(
        "wrapped::a_snap_length_cuts_the_record_and_keeps_the_checksum_right",
        || {
            let path = temporary("snap.pcapng");
            converse(opened(&Settings {
                pcap: Some((path.clone(), 64)),
                ..settings(Offload::On)
            }));
            let len = std::fs::metadata(&path).unwrap().len();
            assert!(len < 20_000, "{len} bytes for a conversation of 150,000");
            let records = read_by_tshark(&path);
            let whole =
                |records: &Vec<Vec<String>>| records.iter().any(|record| record[1].parse::<usize>().unwrap() > MTU);
            assert!(records.as_ref().is_none_or(whole), "the length on the wire is told");
        },
    );
}
