//! What every call on a connection stands on.

use ustcp_proto::Instant;
use ustcp_runtime::Machine;

/// The stack with its device, and the time of this turn.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) machine: Machine,
    pub(crate) now: Instant,
}
