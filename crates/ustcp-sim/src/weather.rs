//! What a network does to packets, by seed. (Signatures; bodies are being written.)
#![allow(clippy::todo, unused_variables, dead_code, reason = "skeleton")]

use core::str::FromStr;
use core::time::Duration;

use ustcp_proto::Instant;

/// Faults of one direction of a link. Probabilities are 0.0 to 1.0 for each packet, drawn after super-segments are
/// split to MSS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weather {
    /// Lost.
    pub loss: f64,
    /// Held back behind packets that come later.
    pub reorder: f64,
    /// Delivered twice.
    pub duplicate: f64,
    /// One bit flipped.
    pub corrupt: f64,
    /// Time on the way.
    pub delay: Duration,
    /// Up to so much more, for each packet.
    pub jitter: Duration,
    /// Bits a second; `None`: no limit.
    pub rate: Option<u64>,
    /// Seed of every draw.
    pub seed: u64,
}

/// `loss=3%,reorder=1%,duplicate=1%,corrupt=0.1%,delay=10ms,jitter=2ms,rate=100mbit,seed=7`, in any order, each at
/// most once.
impl FromStr for Weather {
    type Err = String;
    fn from_str(text: &str) -> Result<Weather, String> { todo!() }
}

/// One direction of a link: packets in, packets out when their time comes.
pub struct Link {}

impl Link {
    /// A link under `weather`.
    pub fn new(weather: Weather) -> Link { todo!() }
    /// Hands a packet to the link.
    pub fn send(&mut self, now: Instant, packet: Vec<u8>) { todo!() }
    /// The next packet whose time has come.
    pub fn poll(&mut self, now: Instant) -> Option<Vec<u8>> { todo!() }
    /// When the next packet is due.
    pub fn poll_timeout(&self) -> Option<Instant> { todo!() }
}
