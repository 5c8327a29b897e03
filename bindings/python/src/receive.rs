//! One recv of a Python socket: how much, how long, and into what.

use pyo3::prelude::*;
use ustcp_runtime::RecvFlags;

use crate::end::End;
use crate::failure::Failure;
use crate::patience::{Interest, Patience};
use crate::payload::Place;

/// What recv is asked for.
pub(crate) struct Receive {
    pub(crate) most: usize,
    pub(crate) flags: RecvFlags,
    pub(crate) patience: Patience,
}

impl Receive {
    /// Receives by pieces, so that memory is taken as bytes come and not as they are asked for. A piece that is not
    /// full ends it: that is all there is, or all that could be waited for.
    pub(crate) fn fill<P: Place>(&self, py: Python<'_>, end: &End, place: &mut P) -> PyResult<usize> {
        let mut len = 0_usize;
        loop {
            let limit = self.most.min(len.saturating_add(P::PIECE));
            let into = place.part(len, limit)?;
            let received = self
                .patience
                .wait(py, end, Interest::Read, |wait| end.recv(into, self.flags, wait));
            let count = match received {
                Ok(count) => count,
                Err(Failure::System(_) | Failure::TimedOut) if len > 0 => return Ok(len),
                Err(failure) => return Err(failure.into()),
            };
            len += count;
            if count == 0 || len == self.most || len < limit && !self.goes_on(end) {
                return Ok(len);
            }
        }
    }

    /// A stack by hand tells what is there; on a device the call itself waits for all of it.
    fn goes_on(&self, end: &End) -> bool {
        matches!(end, End::Manual(_)) && self.flags.wait_all && !self.flags.peek && !self.flags.urgent
    }
}
