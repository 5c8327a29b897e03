//! The system's monotonic clock, as the stack counts it and as the standard library does.

use std::time::{Duration, Instant};

use crate::sys;

/// Nanoseconds since the machine started: the same in every process, so that a log of one can be held against another's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    origin_nanos: u64,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock {
            origin: Instant::now(),
            origin_nanos: sys::time::monotonic_nanos(),
        }
    }

    pub(crate) fn now(&self) -> ustcp_proto::Instant {
        self.convert(Instant::now())
    }

    pub(crate) fn convert(&self, at: Instant) -> ustcp_proto::Instant {
        ustcp_proto::Instant::from_nanos(self.origin_nanos) + at.saturating_duration_since(self.origin)
    }

    /// How long it is until `at`; zero when it has passed.
    pub(crate) fn until(&self, at: ustcp_proto::Instant) -> Duration {
        at.since(self.now())
    }
}
