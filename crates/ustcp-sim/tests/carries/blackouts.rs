//! A line that is gone for a while, and one that is hardly there: text goes on in time, or the user is told in time.

use core::time::Duration;

use ustcp_proto::{Algorithm, Config, Error};
use ustcp_sim::{Failure, Network, Weather};

use crate::streams::Streams;

const MINUTE: Duration = Duration::from_secs(60);
/// How long Linux waits for an answer to text: tcp_retries2 of 15, beginning at 200 ms.
const PATIENCE: Duration = Duration::from_millis(924_600);

fn configs() -> [Config; 2] {
    [1, 2].map(Network::host_config)
}

fn weathers(seed: u64, loss: f64) -> [Weather; 2] {
    [seed, !seed].map(|seed| Weather {
        loss,
        delay: Duration::from_millis(10),
        seed,
        ..Weather::default()
    })
}

/// RFC 6298 (5.5): the timeout doubles up to RTO_max, so text goes on at most so long after the line is back.
#[test]
fn text_goes_on_within_rto_max_of_the_end_of_a_blackout() {
    for (seed, dark) in (1..).zip([100, 1000, 5000, 30_000, 60_000, 120_000, 300_000, 600_000]) {
        let dark = Duration::from_millis(dark);
        for congestion in Algorithm::ALL {
            let configs = configs().map(|config| Config { congestion, ..config });
            let rto_max = configs[0].rto_max;
            let mut streams = Streams::begin(configs, weathers(seed, 0.0), 4 << 20).unwrap();
            streams.run_on(1 << 20, MINUTE).unwrap();
            let [a, b] = streams.hosts;
            streams.network.cut(a, b);
            streams.run_for(dark).unwrap();
            streams.network.mend(a, b);
            streams
                .run_on(1, rto_max + Duration::from_secs(1))
                .unwrap_or_else(|failure| panic!("{} after {dark:?} of darkness: {failure}", congestion.name()));
            streams.run_out(10 * MINUTE).unwrap();
            streams.close().unwrap();
        }
    }
}

/// MUST-20, MUST-21: the user is told after R2, in Linux's time, and the other end is told or sees for itself.
#[test]
fn a_line_that_is_gone_for_good_is_etimedout_in_linux_s_time() {
    for seed in 1..=8 {
        let mut streams = Streams::begin(configs(), weathers(seed, 0.0), 4 << 20).unwrap();
        streams.run_on(1 << 20, MINUTE).unwrap();
        let [a, b] = streams.hosts;
        streams.network.cut(a, b);
        let dark = streams.network.now();
        let failure = streams.run_out(PATIENCE * 2).unwrap_err();
        assert!(is_timeout(&failure), "{failure}");
        let told = streams.network.now().since(dark);
        let longest = PATIENCE + configs()[0].rto_max + Duration::from_secs(1);
        assert!((PATIENCE..longest).contains(&told), "told after {told:?}");
        streams.close().unwrap();
    }
}

/// More is lost than arrives: exact bytes, or ETIMEDOUT; never wrong bytes, never a hang.
#[test]
fn beyond_half_lost_it_ends_exactly_or_the_user_is_told() {
    let (mut whole, mut told) = (0, 0);
    for seed in 0..8 {
        for loss in [0.5, 0.6, 0.7, 0.8, 0.9, 1.0] {
            match hardly_there(seed, loss) {
                Ok(()) => whole += 1,
                Err(failure) => {
                    assert!(is_timeout(&failure), "seed {seed}, loss {loss}: {failure}");
                    told += 1;
                }
            }
        }
    }
    println!("{whole} whole, {told} told");
    assert!(whole > 0 && told > 0, "both ends of it");
}

fn hardly_there(seed: u64, loss: f64) -> Result<(), Failure> {
    let mut streams = Streams::begin(configs(), weathers(seed, 0.0), 64 << 10)?;
    let ([a, b], [there, back]) = (streams.hosts, weathers(seed, loss));
    streams.network.change_weather(a, b, &there);
    streams.network.change_weather(b, a, &back);
    // An acknowledgement at the last moment begins the time anew once or twice. Silence for longer is a hang.
    let outcome = loop {
        match streams.run_on_either(PATIENCE * 3) {
            Ok(false) => {}
            Ok(true) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    streams.close()?;
    outcome
}

fn is_timeout(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Call {
            error: Error::TimedOut,
            ..
        }
    )
}
