//! How fast each congestion control moves bytes between two whole stacks, in virtual time: 100 Mbit/s, 50 ms there and
//! back, a queue of one bandwidth-delay product.

#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use ustcp_proto::{Algorithm, Config};
use ustcp_sim::{Network, Weather};

const BYTES: usize = 48 << 20;

fn config(number: u8, congestion: Algorithm) -> Config {
    Config {
        congestion,
        send_buffer: 8 << 20,
        receive_buffer: 8 << 20,
        trace: false,
        ..Network::host_config(number)
    }
}

/// Megabits of text a second, with one packet in so many thousands lost on the way.
fn goodput(congestion: Algorithm, lost_in_thousand: u32) -> f64 {
    let mut network = Network::new();
    let client = network.add_host(config(1, congestion));
    let server = network.add_host(config(2, congestion));
    let way = Weather {
        loss: f64::from(lost_in_thousand) / 1000.0,
        ..("rate=100mbit,delay=25ms,queue=430,seed=1").parse().unwrap()
    };
    network.link_one_way(client, server, way);
    network.link_one_way(server, client, "delay=25ms".parse().unwrap());
    let (here, there) = network.open(client, server, 80).unwrap();
    let begin = network.now();
    let sent = vec![7; BYTES];
    assert!(network.transfer(here, there, &sent).unwrap() == sent);
    let took = network.now().since(begin).as_secs_f64();
    let rate = BYTES as f64 * 8.0 / took / 1e6;
    println!(
        "{:<5} {lost_in_thousand:>2} in 1000 lost: {rate:.1} Mbit/s",
        congestion.name()
    );
    rate
}

/// Nothing is lost but what the queue cannot hold: slow start and the probes for more cost little.
#[test]
fn a_clear_path_is_filled() {
    for algorithm in Algorithm::ALL {
        assert!(goodput(algorithm, 0) >= 80.0, "{algorithm:?}");
    }
}

/// What loss of no congestion leaves: MSS / RTT * sqrt(3 / 2p) of Reno (9 and 2.8 Mbit/s here), no less of CUBIC, and
/// most of the path of BBR.
#[test]
fn what_random_loss_leaves() {
    for (lost, reno_floor, bbr_floor) in [(1, 8.0, 70.0), (10, 2.0, 40.0)] {
        let [cubic, reno, bbr] = Algorithm::ALL.map(|algorithm| goodput(algorithm, lost));
        assert!(reno >= reno_floor, "reno");
        assert!(cubic >= reno, "cubic");
        assert!(bbr >= bbr_floor, "bbr");
    }
}
