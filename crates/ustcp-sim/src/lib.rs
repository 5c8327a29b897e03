//! A seeded network between stacks under virtual time.
//!
//! [`Weather`] is what a network does to packets, [`Link`] one direction of a line that has it, [`Network`] hosts with
//! links between them and one clock. [`Scenario`] makes a whole conversation out of one number and judges it.
#![forbid(unsafe_code)]

mod conversation;
mod forger;
mod interlude;
mod judge;
mod link;
mod network;
mod program;
mod rng;
mod scenario;
mod seed;
mod tally;
mod weather;

pub use conversation::Socket;
pub use link::{Link, LinkCounters};
pub use network::{Failure, Hop, HostEvent, HostId, Network, TracedPacket};
pub use rng::Rng;
pub use scenario::{Ending, Interlude, Later, Opening, Scenario, Side};
pub use seed::{Outcome, Sight};
pub use tally::Tally;
pub use weather::{Direction, PacketKind, ScriptedDrop, Weather};
