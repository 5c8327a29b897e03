//! Counts over many seeds: what was visited.

use core::fmt;
use core::ops::AddAssign;
use core::time::Duration;

use ustcp_proto::{Cause, DropReason, State, Timer};

use crate::LinkCounters;

const DROPS: [DropReason; DropReason::COUNT] = [
    DropReason::Malformed,
    DropReason::Checksum,
    DropReason::Martian,
    DropReason::NotOurs,
    DropReason::Fragment,
    DropReason::Protocol,
    DropReason::NoSocket,
    DropReason::Backlog,
    DropReason::OutOfWindow,
    DropReason::BadAck,
    DropReason::OldTimestamp,
    DropReason::State,
    DropReason::Reassembly,
    DropReason::Limit,
];

/// What happened, over one seed or many. Sums do not depend on the order of adding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Seeds.
    pub seeds: u64,
    /// Of these, in IPv6.
    pub ipv6: u64,
    /// Bytes of text that the programs read.
    pub bytes: u64,
    /// Packets that the stacks sent, after super-segments are split.
    pub packets: u64,
    /// Virtual time, summed.
    pub time: Duration,
    /// The longest virtual time of one seed.
    pub longest: Duration,
    /// Segments that carried bytes sent before.
    pub retransmissions: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Fast retransmits.
    pub fast_retransmits: u64,
    /// Segments that a blind attacker sent.
    pub forged: u64,
    /// What the links did.
    pub links: LinkCounters,
    transitions: [[u64; Cause::ALL.len()]; State::ALL.len()],
    timers: [u64; Timer::ALL.len()],
    drops: [u64; DropReason::COUNT],
}

impl Tally {
    /// How often `cause` moved a connection out of `state`.
    #[must_use]
    pub fn transitions(&self, state: State, cause: Cause) -> u64 {
        self.transitions
            .get(state as usize)
            .and_then(|row| row.get(cause as usize))
            .copied()
            .unwrap_or(0)
    }

    pub(crate) fn transition(&mut self, state: State, cause: Cause) {
        if let Some(count) = self
            .transitions
            .get_mut(state as usize)
            .and_then(|row| row.get_mut(cause as usize))
        {
            *count += 1;
        }
    }

    pub(crate) fn expired(&mut self, timer: Timer) {
        if let Some(count) = self.timers.get_mut(timer as usize) {
            *count += 1;
        }
    }

    pub(crate) fn dropped(&mut self, reason: DropReason) {
        if let Some(count) = self.drops.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        self.seeds += other.seeds;
        self.ipv6 += other.ipv6;
        self.bytes += other.bytes;
        self.packets += other.packets;
        self.time += other.time;
        self.longest = self.longest.max(other.longest);
        self.retransmissions += other.retransmissions;
        self.timeouts += other.timeouts;
        self.fast_retransmits += other.fast_retransmits;
        self.forged += other.forged;
        self.links += other.links;
        add(self.transitions.as_flattened_mut(), other.transitions.as_flattened());
        add(&mut self.timers, &other.timers);
        add(&mut self.drops, &other.drops);
    }
}

fn add(counts: &mut [u64], others: &[u64]) {
    for (count, other) in counts.iter_mut().zip(others) {
        *count += other;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds, {} of them in IPv6, {} bytes, {} packets, {:?} of virtual time",
            self.seeds, self.ipv6, self.bytes, self.packets, self.time
        )?;
        writeln!(f, "longest seed {:?} of virtual time", self.longest)?;
        let LinkCounters {
            offered,
            delivered,
            scripted,
            lost,
            overflowed,
            duplicated,
            corrupted,
            reordered,
            marked,
        } = self.links;
        writeln!(f, "links: {offered} packets in, {delivered} out")?;
        writeln!(
            f,
            "faults: {lost} lost, {scripted} by script, {overflowed} in full queues, {duplicated} duplicated, \
             {corrupted} corrupted, {reordered} held back, {marked} marked, {} forged",
            self.forged
        )?;
        writeln!(
            f,
            "repair: {} segments again, {} timeouts, {} fast retransmits",
            self.retransmissions, self.timeouts, self.fast_retransmits
        )?;
        let timers = Timer::ALL
            .iter()
            .zip(self.timers)
            .map(|(timer, count)| format!("{timer:?} {count}"));
        writeln!(f, "timers: {}", timers.collect::<Vec<_>>().join(", "))?;
        let drops = DROPS.iter().zip(self.drops).filter(|(_, count)| *count > 0);
        let drops = drops.map(|(reason, count)| format!("{reason:?} {count}"));
        writeln!(f, "drops: {}", drops.collect::<Vec<_>>().join(", "))?;
        writeln!(f, "transitions:")?;
        for state in State::ALL {
            for cause in Cause::ALL {
                let count = self.transitions(state, cause);
                if let Some(to) = state.on(cause).filter(|_| count > 0) {
                    writeln!(f, "  {state:<12} {:<12} {to:<12} {count}", format!("{cause:?}"))?;
                }
            }
        }
        Ok(())
    }
}
