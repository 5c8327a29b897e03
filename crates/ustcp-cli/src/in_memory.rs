//! The same page between two stacks of ours, over a link in memory and under virtual time.

use std::time::Duration;

use ustcp_proto::{Config, Event};
use ustcp_sim::{Failure, HostId, Network, Weather};

use crate::http;
use crate::server::GOODBYE;

/// Time on the way, where the weather names none: an arrow of the diagram should take some.
const DELAY: Duration = Duration::from_micros(50);
/// Virtual time after which a conversation that has not ended never will.
const LIMIT: Duration = Duration::from_secs(3600);

/// What came of it.
pub(crate) struct Conversation {
    /// What the client received.
    pub(crate) response: Vec<u8>,
    /// What the client's stack told.
    pub(crate) ours: Vec<Event>,
    /// What the server's stack told.
    pub(crate) peers: Vec<Event>,
    /// Why it ended early, where it did.
    pub(crate) failure: Option<Failure>,
}

/// Fetches the page, closes, and lets TIME-WAIT pass.
pub(crate) fn fetch(host: &str, weather: &Weather, time_wait: Duration) -> Conversation {
    let mut network = Network::new();
    let client = network.add_host(Config {
        time_wait,
        ..Network::host_config(2)
    });
    let server = network.add_host(Network::host_config(1));
    let delay = if weather.delay.is_zero() { DELAY } else { weather.delay };
    network.link(
        client,
        server,
        &Weather {
            delay,
            ..weather.clone()
        },
    );
    let mut response = Vec::new();
    let failure = converse(&mut network, client, server, host, &mut response).err();
    let (ours, peers): (Vec<_>, Vec<_>) = network.take_events().into_iter().partition(|told| told.host == client);
    let events = |told: Vec<ustcp_sim::HostEvent>| told.into_iter().map(|told| told.event).collect();
    Conversation {
        response,
        ours: events(ours),
        peers: events(peers),
        failure,
    }
}

fn converse(
    network: &mut Network,
    client: HostId,
    server: HostId,
    host: &str,
    response: &mut Vec<u8>,
) -> Result<(), Failure> {
    let listener = network.listen(server, 80)?;
    let here = network.connect(client, server, 80)?;
    let there = network.accept(listener)?;
    network.transfer(here, there, http::request(host, "/").as_bytes())?;
    *response = network.transfer(there, here, http::response().as_bytes())?;
    network.close(here)?;
    network.receive_to_end(there)?;
    network.run_for(GOODBYE)?;
    network.close(there)?;
    network.close(listener)?;
    network.run_until_idle(LIMIT)
}
