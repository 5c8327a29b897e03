//! A seeded network between stacks under virtual time.
#![forbid(unsafe_code)]

mod link;
mod rng;
mod weather;

pub use link::{Link, LinkCounters};
pub use rng::Rng;
pub use weather::{Direction, PacketKind, ScriptedDrop, Weather};
