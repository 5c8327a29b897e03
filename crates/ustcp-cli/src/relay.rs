//! `ustcp relay`: two TUN devices joined by a line in weather, for the bench.

use std::io::{self, Write};

use serde_json::{Value, json};
use ustcp_runtime::relay::{Relay, WayReport};
use ustcp_sim::Weather;

use crate::Failure;

/// Join two TUN devices by a line in weather, until standard input ends.
///
/// Prints "up" when the devices are there, and at the end what each direction did, as JSON.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Device at the near end
    near: String,

    /// Device at the far end; it may be moved to another network namespace afterwards
    far: String,

    /// Weather from the near end to the far one; chance spares what carries no text
    #[arg(long, value_name = "SPEC", default_value = "clear")]
    there: Weather,

    /// Weather back
    #[arg(long, value_name = "SPEC", default_value = "clear")]
    back: Weather,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let (there, back) = (options.there.clone(), options.back.clone());
    let mut relay =
        Relay::open(&options.near, &options.far, there, back).map_err(|error| Failure::new(error.message))?;
    // Waking on time matters more than sleeping long; where this is not to be had, the report tells how late it was.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
    writeln!(io::stdout(), "up")?;
    relay.run(&io::stdin())?;
    let [there, back] = relay.reports().map(|report| in_json(&report));
    writeln!(io::stdout(), "{}", json!({"there": there, "back": back}))?;
    Ok(())
}

fn in_json(report: &WayReport) -> Value {
    let counters = &report.counters;
    json!({
        "offered": counters.offered,
        "delivered": counters.delivered,
        "lost": counters.lost,
        "overflowed": counters.overflowed,
        "reordered": counters.reordered,
        "late_us": u64::try_from(report.lateness.as_micros()).unwrap_or(u64::MAX),
    })
}
