//! Each fault alone at its worst, and all at once: every byte arrives, both ways, under each congestion control.
//!
//! `USTCP_SIM_MIB=64` sends so many MiB each way in every cell; without it a few.

use core::time::Duration;

use ustcp_proto::{Algorithm, Config};
use ustcp_sim::{Network, Weather};

use crate::streams::{Streams, size};

/// MiB each way where nobody says more.
const MIB: u64 = 4;
/// Three losses in ten each way need more patience than a user has.
const RETRIES: u8 = 60;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// One cell for each algorithm, over either family in turn.
fn cell(weather: &str) {
    for (number, congestion) in Algorithm::ALL.into_iter().enumerate() {
        let host = if number % 2 == 0 {
            Network::host_config
        } else {
            Network::host_config_v6
        };
        let configs = [1, 2].map(|number| Config {
            congestion,
            retries: RETRIES,
            orphan_retries: RETRIES,
            syn_retries: RETRIES,
            syn_ack_retries: RETRIES,
            ..host(number)
        });
        let weathers = [7, 11].map(|seed| Weather {
            delay: Duration::from_millis(5),
            seed,
            ..weather.parse().unwrap()
        });
        let mut streams = Streams::begin(configs, weathers, size(MIB)).unwrap();
        streams.run_out(30 * DAY).unwrap_or_else(|failure| {
            panic!(
                "{weather}, {}: {failure}, {:?} heard",
                congestion.name(),
                streams.heard()
            )
        });
        let time = streams.network.now();
        println!(
            "{weather}, {}: {:.1} s of virtual time",
            congestion.name(),
            time.as_nanos() as f64 / 1e9
        );
        streams.close().unwrap();
    }
}

#[test]
fn no_fault() {
    cell("clear");
}

#[test]
fn little_loss() {
    for weather in ["loss=0.1%", "loss=1%", "loss=3%"] {
        cell(weather);
    }
}

#[test]
fn much_loss() {
    for weather in ["loss=10%", "loss=20%", "loss=30%"] {
        cell(weather);
    }
}

/// Every second segment waits for up to 64 later ones.
#[test]
fn reordering_of_half() {
    cell("reorder=50%");
}

#[test]
fn duplication() {
    cell("duplicate=30%");
}

/// One flipped bit is never taken for text.
#[test]
fn corruption() {
    cell("corrupt=5%");
}

#[test]
fn all_at_once() {
    cell("loss=10%,reorder=10%,duplicate=10%,corrupt=10%,jitter=5ms");
}
