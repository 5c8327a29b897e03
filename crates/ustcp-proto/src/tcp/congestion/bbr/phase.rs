//! The phases of BBR, and how fast and how much each sends: the draft's "Summary of Control Behavior".

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

impl Phase {
    /// In percent of the bandwidth.
    pub(super) fn pacing_gain(self) -> u64 {
        match self {
            Phase::Startup => 277,
            Phase::Drain => 35,
            Phase::Down => 90,
            Phase::Cruise | Phase::Refill | Phase::ProbeRtt => 100,
            Phase::Up => 125,
        }
    }

    /// In percent of the bandwidth-delay product.
    pub(super) fn cwnd_gain(self) -> usize {
        match self {
            Phase::Startup | Phase::Drain | Phase::Down | Phase::Cruise | Phase::Refill => 200,
            Phase::Up => 225,
            Phase::ProbeRtt => 50,
        }
    }

    pub(super) fn probes_bandwidth(self) -> bool {
        matches!(self, Phase::Down | Phase::Cruise | Phase::Refill | Phase::Up)
    }

    pub(super) fn accelerates(self) -> bool {
        matches!(self, Phase::Startup | Phase::Refill | Phase::Up)
    }
}
