//! Ports that the stack chooses itself, RFC 6056, and pairs of ends that are free again.

use core::net::{IpAddr, SocketAddr};

use ustcp_wire::SeqNum;

use crate::stack::Target;
use crate::{Cause, Error, Flow, Stack, TimeWaitReuse, route};

impl Stack {
    /// A port that nobody uses at all: RFC 6056 §3.3.1, from a random place on.
    pub(crate) fn unused_port(&mut self) -> Result<u16, Error> {
        let place = self.keys.draw();
        self.first_port_from(place, |stack, port| stack.ports.get(port).is_none())
            .ok_or(Error::AddressInUse)
    }

    /// The first port that `fits` from a place in the range on, and round it.
    fn first_port_from(&self, place: u64, fits: impl Fn(&Stack, u16) -> bool) -> Option<u16> {
        let range = &self.cx.config.ephemeral_ports;
        let (low, high) = (u64::from(*range.start()), u64::from(*range.end()));
        let count = high.checked_sub(low)? + 1;
        (0..count)
            .filter_map(|step| u16::try_from(low + (place % count + step) % count).ok())
            .find(|port| fits(self, *port))
    }

    /// A port that nobody was bound to and that makes a pair of ends not in use, TIME-WAIT among the uses: RFC 6056.
    pub(crate) fn port_towards(&mut self, source: IpAddr, remote: SocketAddr) -> Result<u16, Error> {
        let fits = |stack: &Stack, port: u16| {
            let flow = Flow {
                local: SocketAddr::new(source, port),
                remote,
            };
            let bound = stack.ports.get(port).is_some_and(|used| !used.holders.is_empty());
            !bound && (!stack.demux.contains_key(&flow) || stack.may_succeed(&flow).is_some())
        };
        let stride = 1 + self.keys.draw() % 8;
        let first = self.ports.next_towards(source, remote, stride);
        self.first_port_from(first, fits).ok_or(Error::AddressNotAvailable)
    }

    /// Makes sure that nobody uses `flow`. Says the last sequence number of a connection in TIME-WAIT that had to end
    /// for it.
    pub(crate) fn vacate(&mut self, flow: &Flow) -> Result<Option<SeqNum>, Error> {
        if !self.demux.contains_key(flow) {
            return Ok(None);
        }
        let (key, last) = self.may_succeed(flow).ok_or(Error::AddressNotAvailable)?;
        self.end_time_wait(key, Cause::Aborted);
        self.cx.counters.time_waits_reused += 1;
        Ok(Some(last))
    }

    /// The connection in TIME-WAIT that a new one of ours may succeed already, and its last sequence number.
    fn may_succeed(&self, flow: &Flow) -> Option<(usize, SeqNum)> {
        let allowed = match self.cx.config.time_wait_reuse {
            TimeWaitReuse::Never => false,
            TimeWaitReuse::Always => true,
            TimeWaitReuse::Loopback => route::is_local(&self.cx.config, flow.remote.ip()),
        };
        let Some(Target::TimeWait(key)) = self.demux.get(flow).filter(|_| allowed) else {
            return None;
        };
        let last = self.time_wait.get(*key)?.may_be_succeeded(self.cx.now)?;
        Some((*key, last))
    }
}
