//! Buffers by default: large where the path is long, nothing where nobody speaks.

#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use core::time::Duration;

use ustcp_proto::Config;
use ustcp_sim::{Network, Weather};

const BYTES: usize = 64 << 20;

/// Megabits of text a second over 100 Mbit/s and 200 ms there and back, a queue of one bandwidth-delay product.
fn goodput(change: impl Fn(Config) -> Config) -> f64 {
    let mut network = Network::new();
    let [client, server] = [1, 2].map(|number| {
        network.add_host(change(Config {
            trace: false,
            ..Network::host_config(number)
        }))
    });
    let way: Weather = "rate=100mbit,delay=100ms,queue=1720".parse().unwrap();
    network.link_one_way(client, server, way);
    network.link_one_way(server, client, "delay=100ms".parse().unwrap());
    let (here, there) = network.open(client, server, 80).unwrap();
    let begin = network.now();
    let sent = vec![7; BYTES];
    assert!(network.transfer(here, there, &sent).unwrap() == sent);
    let rate = BYTES as f64 * 8.0 / network.now().since(begin).as_secs_f64() / 1e6;
    println!("{rate:.1} Mbit/s");
    rate
}

/// What begins with 16 and 64 KiB is as fast as what has 32 MiB from the start.
#[test]
fn a_long_fat_path_is_not_limited_by_buffers() {
    let grown = goodput(|config| config);
    let ample = goodput(|config| Config {
        receive_buffer: 32 << 20,
        send_buffer: 32 << 20,
        ..config
    });
    assert!(grown >= 0.95 * ample, "{grown:.1} against {ample:.1}");
    assert!(grown >= 60.0);
}

#[test]
fn a_thousand_idle_connections_hold_no_buffers() {
    let mut network = Network::new();
    let [client, server] = [1, 2].map(|number| network.add_host(Network::host_config(number)));
    network.link(client, server, &"delay=1ms".parse().unwrap());
    let mut held = Vec::new();
    for port in 1000..2000 {
        let (here, there) = network.open(client, server, port).unwrap();
        assert_eq!(network.transfer(here, there, &[1; 30_000]).unwrap(), [1; 30_000]);
        held.push((here, there));
    }
    network.run_for(Duration::from_secs(3)).unwrap();
    for host in [client, server] {
        let census = network.stack(host).census();
        assert_eq!((census.sockets, census.timers), (1000, 0), "{census:?}");
        assert_eq!(census.buffer_bytes, 0, "{census:?}");
    }
}
