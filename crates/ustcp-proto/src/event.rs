//! What happened inside, as data: one source for logs, diagrams, captures and counters.

use core::fmt;
use core::net::SocketAddr;

use crate::{Cause, Instant, State};

/// A connection's two ends, ours first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Flow {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}", self.local, self.remote)
    }
}

/// The timers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Retransmission, RFC 6298.
    Retransmission,
    /// Overtaken segments that have had their time to arrive, RFC 8985 §6.3.
    Reordering,
    /// Tail loss probe, RFC 8985 §7.
    LossProbe,
    /// Zero-window probe, RFC 9293 §3.8.6.1, and the sender's silly-window override, §3.8.6.2.1.
    Persist,
    /// Held-back acknowledgement, RFC 9293 §3.8.6.3.
    DelayedAck,
    /// Keepalive, RFC 9293 §3.8.4.
    Keepalive,
    /// The 2 MSL of TIME-WAIT.
    TimeWait,
    /// A closed user's FIN-WAIT-2.
    FinWait2,
    /// Fragments whose rest has not come. Of the stack, not of a connection.
    Reassembly,
    /// The next segment's time of departure, where the congestion control paces.
    Pacing,
    /// Memory that buffers no longer need.
    Reclaim,
}

impl Timer {
    /// All of them, in the order of their declaration.
    pub const ALL: [Timer; 10] = [
        Timer::Retransmission,
        Timer::Reordering,
        Timer::LossProbe,
        Timer::Persist,
        Timer::DelayedAck,
        Timer::Keepalive,
        Timer::TimeWait,
        Timer::FinWait2,
        Timer::Reassembly,
        Timer::Pacing,
    ];
}

/// Why a packet was not processed further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DropReason {
    /// Not a packet: truncated, contradictory lengths, unknown version.
    Malformed,
    /// A checksum that does not match.
    Checksum,
    /// A source or destination that cannot be (RFC 1122 §3.2.1.3): multicast, broadcast, loopback on the wire, LAND.
    Martian,
    /// Not to an address of ours.
    NotOurs,
    /// A fragment of which no packet can be made, or that no packet was made of in time.
    Fragment,
    /// A protocol we do not speak.
    Protocol,
    /// No connection and no listener.
    NoSocket,
    /// The listener's queue of half-open connections, or of completed ones, is full.
    Backlog,
    /// Outside the receive window.
    OutOfWindow,
    /// An ACK for what was never sent, or far too old.
    BadAck,
    /// Sent before what the peer's timestamps have reached, RFC 7323 §5.
    OldTimestamp,
    /// A segment that the state has no use for.
    State,
    /// The reassembly's limit of ranges is reached.
    Reassembly,
    /// More memory, events, loops or packets than a limit allows.
    Limit,
}

impl DropReason {
    /// How many there are.
    pub const COUNT: usize = 14;
}

/// A segment in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SegmentSummary {
    /// Control bits as on the wire.
    pub flags: u8,
    /// Sequence number as on the wire.
    pub seq: u32,
    /// Acknowledgement number as on the wire.
    pub ack: u32,
    /// Bytes of text.
    pub len: u32,
    /// The window in bytes, scaled.
    pub window: u32,
    /// Bytes of text in each packet when the device splits this one; 0 when it is one packet.
    pub segment_size: u16,
    /// TSval and TSecr, RFC 7323.
    pub timestamps: Option<(u32, u32)>,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Event {
    /// When.
    pub at: Instant,
    /// On which connection; `None` where there is none.
    pub flow: Option<Flow>,
    /// What.
    pub kind: EventKind,
}

/// The kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum EventKind {
    /// The state changed.
    Transition {
        /// From.
        from: State,
        /// To.
        to: State,
        /// Why.
        cause: Cause,
    },
    /// A segment arrived and was processed; its transitions came just before.
    Received {
        /// The segment.
        segment: SegmentSummary,
        /// State before it.
        before: State,
        /// State after it.
        after: State,
    },
    /// A segment left.
    Sent {
        /// The segment.
        segment: SegmentSummary,
        /// State when it left.
        state: State,
        /// It had been sent before.
        retransmission: bool,
    },
    /// A timer went off.
    Expired(Timer),
    /// A packet was dropped.
    Dropped(DropReason),
}

/// Events not yet fetched. Bounded: what nobody fetches is counted as lost.
#[derive(Debug)]
pub(crate) struct EventLog {
    enabled: bool,
    queue: std::collections::VecDeque<Event>,
}

impl EventLog {
    const LIMIT: usize = 65_536;

    pub(crate) fn new(enabled: bool) -> EventLog {
        EventLog {
            enabled,
            queue: std::collections::VecDeque::new(),
        }
    }

    /// Records from now on, or no longer.
    pub(crate) fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    pub(crate) fn enabled(&self) -> bool {
        self.enabled
    }

    /// Records an event; `false` when it had to be dropped.
    pub(crate) fn push(&mut self, event: Event) -> bool {
        if !self.enabled {
            return true;
        }
        let room = self.queue.len() < EventLog::LIMIT;
        if room {
            self.queue.push_back(event);
        }
        room
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }
}
