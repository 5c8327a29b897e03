//! The event log of `USTCP_LOG`.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use ustcp_proto::{Event, EventKind, Instant, SegmentSummary, State};
use ustcp_wire::Flags;

use crate::sink::Sink;
use crate::stderr::complain;

/// How long a line for people may wait: short to the eye, long to a burst.
const GLANCE: Duration = Duration::from_millis(50);

/// A log that grows with events.
pub(crate) struct Journal {
    sink: Sink,
    form: Form,
}

enum Form {
    /// One JSON object a line, times in nanoseconds of the runtime's clock.
    Json,
    /// One line of text, times in seconds since the first event.
    Text { zero: Option<Instant> },
}

impl Journal {
    /// The log at `path`; `-` is text on standard error. A file that cannot be made is told there, and there is no log.
    pub(crate) fn open(path: &Path) -> Option<Journal> {
        if path == Path::new("-") {
            return Some(Journal {
                sink: Sink::stderr(GLANCE),
                form: Form::Text { zero: None },
            });
        }
        match Sink::create(path) {
            Ok(sink) => Some(Journal { sink, form: Form::Json }),
            Err(error) => {
                complain(&format!("no log: {}: {error}", path.display()));
                None
            }
        }
    }

    /// Writes `event` down.
    pub(crate) fn record(&mut self, event: &Event) {
        let form = &mut self.form;
        self.sink.append(event.at, |out| {
            // Writing into memory cannot fail, and an event has nothing that JSON cannot say.
            let _ = match form {
                Form::Json => serde_json::to_writer(&mut *out, event).map_err(Into::into),
                Form::Text { zero } => text(out, *zero.get_or_insert(event.at), event),
            };
            out.push(b'\n');
        });
    }

    /// When [`on_timeout`](Journal::on_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.sink.poll_timeout()
    }

    /// Time has come to `now`.
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        self.sink.on_timeout(now);
    }
}

fn text(out: &mut Vec<u8>, zero: Instant, event: &Event) -> std::io::Result<()> {
    write!(out, "{:.6} ", event.at.since(zero).as_secs_f64())?;
    if let Some(flow) = event.flow {
        write!(out, "{flow} ")?;
    }
    match event.kind {
        EventKind::Transition { from, to, cause } => write!(out, "{from} -> {to} ({cause:?})"),
        EventKind::Received { segment, before, after } => {
            write!(out, "received {}", Segment(segment))?;
            states(out, before, after)
        }
        EventKind::Sent {
            segment,
            state,
            retransmission,
        } => {
            let verb = if retransmission { "sent again" } else { "sent" };
            write!(out, "{verb} {} in {state}", Segment(segment))
        }
        EventKind::Expired(timer) => write!(out, "timer {timer:?}"),
        EventKind::Dropped(reason) => write!(out, "dropped ({reason:?})"),
    }
}

fn states(out: &mut Vec<u8>, before: State, after: State) -> std::io::Result<()> {
    if before == after {
        write!(out, " in {before}")
    } else {
        write!(out, " in {before}, now {after}")
    }
}

struct Segment(SegmentSummary);

impl std::fmt::Display for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let segment = self.0;
        write!(f, "{} seq {}", Flags(segment.flags), segment.seq)?;
        if Flags(segment.flags).has(Flags::ACK) {
            write!(f, " ack {}", segment.ack)?;
        }
        write!(f, " len {} win {}", segment.len, segment.window)?;
        if let Some((value, echo)) = segment.timestamps {
            write!(f, " ts {value} {echo}")?;
        }
        match segment.segment_size {
            0 => Ok(()),
            size => write!(f, " by {size}"),
        }
    }
}

#[cfg(test)]
mod tests;
