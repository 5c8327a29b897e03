//! Events in the flat form that other languages take.

use ustcp_proto::{Event, EventKind, Flow, SegmentSummary, State};

/// The kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The state changed.
    Transition,
    /// A segment arrived and was processed; its transitions came just before.
    Received,
    /// A segment left.
    Sent,
    /// A timer went off.
    Expired,
    /// A packet was dropped.
    Dropped,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// When, in nanoseconds.
    pub time: u64,
    /// What.
    pub kind: Kind,
    /// On which connection.
    pub flow: Option<Flow>,
    /// The states before and after; the same for a segment that left.
    pub states: Option<(State, State)>,
    /// The cause of a transition, the timer that went off, or the reason of a drop, by its name in the event log.
    pub why: Option<String>,
    /// The segment.
    pub segment: Option<SegmentSummary>,
    /// It had been sent before.
    pub retransmission: bool,
}

impl From<Event> for Report {
    fn from(event: Event) -> Report {
        let bare = Report {
            time: event.at.as_nanos(),
            kind: Kind::Transition,
            flow: event.flow,
            states: None,
            why: None,
            segment: None,
            retransmission: false,
        };
        match event.kind {
            EventKind::Transition { from, to, cause } => Report {
                states: Some((from, to)),
                why: Some(format!("{cause:?}")),
                ..bare
            },
            EventKind::Received { segment, before, after } => Report {
                kind: Kind::Received,
                states: Some((before, after)),
                segment: Some(segment),
                ..bare
            },
            EventKind::Sent {
                segment,
                state,
                retransmission,
            } => Report {
                kind: Kind::Sent,
                states: Some((state, state)),
                segment: Some(segment),
                retransmission,
                ..bare
            },
            EventKind::Expired(timer) => Report {
                kind: Kind::Expired,
                why: Some(format!("{timer:?}")),
                ..bare
            },
            EventKind::Dropped(reason) => Report {
                kind: Kind::Dropped,
                why: Some(format!("{reason:?}")),
                ..bare
            },
        }
    }
}
