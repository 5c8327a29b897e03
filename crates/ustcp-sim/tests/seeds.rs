//! Ten thousand conversations over bad networks, each from one number, each judged.
//!
//! `USTCP_SIM_SEEDS=100000` runs more of them; `USTCP_SIM_SEED=7` runs that one alone and prints every packet and
//! every event.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use ustcp_proto::{Cause, State};
use ustcp_sim::{Outcome, Scenario, Sight, Tally};

const SEEDS: u64 = 10_000;

/// api-4: whatever the network does, the stream is an exact prefix, and the FIN comes after all of it.
#[test]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = number("USTCP_SIM_SEED") {
        let scenario = Scenario::new(seed);
        println!("{scenario:#?}");
        let outcome = run(&scenario, &mut print).unwrap_or_else(|what| panic!("{}", report(&scenario, &what)));
        println!("{}digest {:016x}", outcome.tally, outcome.digest);
        return;
    }
    let seeds = number("USTCP_SIM_SEEDS").unwrap_or(SEEDS);
    let tally = run_all(seeds);
    println!("{tally}");
    // Fewer seeds than by default are for finding, not for proving.
    if seeds >= SEEDS {
        assert!((seeds / 3..seeds * 2 / 3).contains(&tally.ipv6), "either family");
        let unseen = unseen(&tally);
        assert!(
            unseen.is_empty(),
            "arrows that no seed followed:\n{}",
            unseen.join("\n")
        );
    }
}

#[test]
fn a_replay_is_identical_to_the_last_bit() {
    let digests = || (0..20).map(|seed| outcome(seed).digest).collect::<Vec<_>>();
    let first = digests();
    assert_eq!(first, digests());
    let mut distinct = first.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(
        distinct.len(),
        first.len(),
        "different seeds are different conversations"
    );
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
    )
}

fn outcome(seed: u64) -> Outcome {
    let scenario = Scenario::new(seed);
    run(&scenario, &mut |_| {}).unwrap_or_else(|what| panic!("{}", report(&scenario, &what)))
}

/// A panic of the stack is a failure like any other, and needs its seed.
fn run(scenario: &Scenario, watch: &mut dyn FnMut(Sight<'_>)) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| scenario.run_watched(watch))).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn print(sight: Sight<'_>) {
    match sight {
        Sight::Packet(packet) => println!("{packet}"),
        Sight::Event(event) => {
            let seconds = event.event.at.since(ustcp_proto::Instant::ZERO).as_secs_f64();
            let flow = event.event.flow.map(|flow| flow.to_string()).unwrap_or_default();
            println!("{seconds:.6} {}     {flow} {:?}", event.host.index(), event.event.kind);
        }
    }
}

fn report(scenario: &Scenario, what: &str) -> String {
    let seed = scenario.seed;
    format!(
        "seed {seed}: {what}\n  weather there: {}\n  weather back:  {}\n  {:?}, endings {:?} and {:?}, {:?}, cut: {}\n\
         replay: USTCP_SIM_SEED={seed} cargo test -p ustcp-sim --test seeds -- --nocapture",
        scenario.weather[0],
        scenario.weather[1],
        scenario.opening,
        scenario.sides[0].ending,
        scenario.sides[1].ending,
        scenario.interludes,
        scenario.cut,
    )
}

/// All seeds below `seeds`, on every processor; stops at the first failures and tells the lowest of them.
fn run_all(seeds: u64) -> Tally {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failures = Mutex::new(BTreeMap::new());
    let sum = Mutex::new(Tally::default());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut tally = Tally::default();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    let scenario = Scenario::new(seed);
                    match run(&scenario, &mut |_| {}) {
                        Ok(outcome) => tally += &outcome.tally,
                        Err(what) => {
                            failures.lock().unwrap().insert(seed, report(&scenario, &what));
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                }
                *sum.lock().unwrap() += &tally;
            });
        }
    });
    if let Some((_, report)) = failures.into_inner().unwrap().pop_first() {
        panic!("{report}");
    }
    sum.into_inner().unwrap()
}

/// The arrows of Figure 5 (and of RST and ABORT) that packets and calls can lead along, and that were not seen.
fn unseen(tally: &Tally) -> Vec<String> {
    let arrows = State::ALL
        .into_iter()
        .flat_map(|state| Cause::ALL.map(|cause| (state, cause)));
    arrows
        .filter(|&(state, cause)| state.on(cause).is_some() && unreachable(state, cause).is_none())
        .filter(|&(state, cause)| tally.transitions(state, cause) == 0)
        .map(|(state, cause)| format!("  {state} on {cause:?}"))
        .collect()
}

/// Why no conversation can follow an arrow that the table has.
fn unreachable(state: State, cause: Cause) -> Option<&'static str> {
    match (state, cause) {
        (State::Listen, Cause::ActiveOpen) => Some("sockets do not connect once they listen"),
        (State::SynReceived, Cause::PeerFin) => Some("the ACK of the FIN's segment comes first: ESTABLISHED"),
        (State::Listen, Cause::Aborted) => Some("only the loss of the device aborts a listener"),
        _ => None,
    }
}
