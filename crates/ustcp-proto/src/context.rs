//! What every part of the stack needs at hand: the time of this turn, the configuration, the books.

use core::net::IpAddr;

use crate::event::EventLog;
use crate::memory::Holdings;
use crate::path_mtus::PathMtus;
use crate::{Config, Counters, DropReason, Event, EventKind, Flow, Instant};

/// Handed down through every call; there is one for a stack.
pub(crate) struct Context {
    pub(crate) now: Instant,
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) events: EventLog,
    /// Bytes of all buffers together.
    pub(crate) buffered: usize,
    /// The same of each owner of sockets.
    pub(crate) holdings: Holdings,
    pub(crate) paths: PathMtus,
}

impl Context {
    pub(crate) fn new(config: Config) -> Context {
        let events = EventLog::new(config.trace);
        Context {
            now: Instant::ZERO,
            config,
            counters: Counters::default(),
            events,
            buffered: 0,
            holdings: Holdings::default(),
            paths: PathMtus::default(),
        }
    }

    /// Bytes of the largest IP packet on the way to `destination`, as far as the device and routers have said.
    pub(crate) fn path_mtu(&self, destination: IpAddr) -> usize {
        let known = self.paths.of(self.now, destination);
        known.map_or(self.config.mtu, |path| path.mtu.min(self.config.mtu))
    }

    /// Records an event at the time of this turn.
    pub(crate) fn record(&mut self, flow: Option<Flow>, kind: EventKind) {
        if !self.events.push(Event {
            at: self.now,
            flow,
            kind,
        }) {
            self.counters.events_lost += 1;
        }
    }

    /// Counts and records a packet that goes no further.
    pub(crate) fn dropped(&mut self, flow: Option<Flow>, reason: DropReason) {
        self.counters.dropped(reason);
        self.record(flow, EventKind::Dropped(reason));
    }
}
