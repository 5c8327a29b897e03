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

/// Fetches the page as a client of that configuration, closes, and lets TIME-WAIT pass.
pub(crate) fn fetch(host: &str, weather: &Weather, client: Config) -> Conversation {
    let mut network = Network::new();
    let client = network.add_host(client);
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

#[cfg(test)]
mod tests {
    use ustcp_proto::{EventKind, Flow, Instant, State};

    use super::*;
    use crate::diagram::{self, Row};

    /// The other end's states in the order in which it came to them.
    fn peers_states(rows: &[Row]) -> Vec<State> {
        let steps = rows
            .iter()
            .filter_map(|row| row.peers)
            .flat_map(|step| [step.before, step.after]);
        let mut states: Vec<State> = steps.collect();
        states.dedup();
        states
    }

    fn rows(ours: &[Event], peers: &[Event]) -> (Vec<Row>, Vec<Row>) {
        let flow = diagram::flows(ours)[0];
        let mirrored = Flow {
            local: flow.remote,
            remote: flow.local,
        };
        let seen = diagram::one_end(ours, flow);
        let known = diagram::with_known_peer(&seen, &diagram::one_end(peers, mirrored));
        (diagram::with_inferred_peer(seen), known)
    }

    fn went_through(events: &[Event], state: State) -> bool {
        let enters = |event: &Event| matches!(event.kind, EventKind::Transition { to, .. } if to == state);
        events.iter().any(enters)
    }

    #[test]
    fn what_is_inferred_in_any_weather_is_what_was() {
        use State::*;
        let mut judged = 0;
        for seed in 0..300_u32 {
            let weather = Weather {
                loss: f64::from(seed % 4) * 0.1,
                reorder: f64::from(seed % 3) * 0.1,
                duplicate: f64::from(seed % 5) * 0.05,
                jitter: Duration::from_millis(u64::from(seed % 7)),
                seed: u64::from(seed),
                ..Weather::default()
            };
            let talk = fetch("10.77.0.1", &weather, Network::host_config(2));
            if talk.failure.is_some() || !went_through(&talk.ours, State::TimeWait) {
                continue; // three of ten packets lost is too much for some handshakes, and some goodbyes
            }
            judged += 1;
            let (inferred, known) = rows(&talk.ours, &talk.peers);
            let states = [Listen, SynReceived, Established, CloseWait, LastAck, Closed];
            assert_eq!(peers_states(&inferred), states, "inferred in {weather}");
            assert_eq!(peers_states(&known), states, "known in {weather}");
        }
        assert!(judged > 280, "{judged} of 300 conversations came to their end");
    }

    /// When the other end came to `state`, by our clock.
    fn entered(rows: &[Row], state: State) -> Option<Instant> {
        let enters = |row: &&Row| {
            row.peers
                .is_some_and(|step| step.before != step.after && step.after == state)
        };
        rows.iter().find(enters).map(|row| row.at)
    }

    /// A lost packet and a lost answer look alike from here, so what is inferred may be late. It is never early, but
    /// for CLOSED: whether the very last ACK arrived nothing tells.
    #[test]
    fn what_is_inferred_is_never_ahead_of_what_was() {
        let (mut late, mut judged) = (0, 0);
        for seed in 0..400_u32 {
            let weather = Weather {
                loss: f64::from(seed % 4) * 0.1,
                seed: u64::from(seed),
                ..Weather::default()
            };
            let talk = fetch("10.77.0.1", &weather, Network::host_config(2));
            if talk.failure.is_some() {
                continue; // as above
            }
            let (inferred, known) = rows(&talk.ours, &talk.peers);
            for state in [State::SynReceived, State::Established, State::CloseWait] {
                let (guess, truth) = (entered(&inferred, state), entered(&known, state));
                assert!(
                    truth.is_some() && guess >= truth,
                    "{state} in {weather}: {guess:?}, {truth:?}"
                );
                assert!(guess == truth || weather.loss > 0.0, "{state} in {weather}");
                late += u32::from(guess > truth);
                judged += 1;
            }
        }
        assert!(
            judged > 1100 && (1..200).contains(&late),
            "{late} of {judged} late: few answers were lost"
        );
    }

    /// Both orders in which the peer closes while we do, or before.
    #[test]
    fn what_is_inferred_of_other_closes_is_what_was() {
        use State::*;
        let close_after = |pause: Duration, we_first: bool| {
            let mut network = Network::new();
            let client = network.add_host(Network::host_config(2));
            let server = network.add_host(Network::host_config(1));
            network.link(
                client,
                server,
                &Weather {
                    delay: DELAY,
                    ..Weather::default()
                },
            );
            let (here, there) = network.open(client, server, 80).unwrap();
            network.transfer(here, there, b"hello").unwrap();
            network.run_for(Duration::from_secs(1)).unwrap();
            let (first, second) = if we_first { (here, there) } else { (there, here) };
            network.close(first).unwrap();
            network.run_for(pause).unwrap();
            network.close(second).unwrap();
            network.run_until_idle(LIMIT).unwrap();
            let (ours, peers): (Vec<_>, Vec<_>) = network.take_events().iter().partition(|told| told.host == client);
            let events = |told: Vec<ustcp_sim::HostEvent>| told.iter().map(|told| told.event).collect::<Vec<_>>();
            let (inferred, known) = rows(&events(ours), &events(peers));
            (peers_states(&inferred), peers_states(&known))
        };
        let opening = [Listen, SynReceived, Established];
        let expect = |(inferred, known): (Vec<State>, Vec<State>), closing: &[State]| {
            assert_eq!(inferred, [&opening[..], closing].concat());
            // Nothing is sent when the peer's TIME-WAIT ends, so nobody can infer it.
            assert_eq!(known, [&opening[..], closing, &[Closed]].concat());
        };
        expect(close_after(DELAY / 2, true), &[FinWait1, Closing, TimeWait]);
        expect(close_after(DELAY / 2, false), &[FinWait1, Closing, TimeWait]);
        expect(close_after(DELAY * 4, false), &[FinWait1, FinWait2, TimeWait]);
    }
}
