//! What an engine is told beside the settings of its stack.

use ustcp_client::place::Place;

/// When an engine ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// Never: it waits to be told.
    #[default]
    UntilStopped,
    /// When it has no lease, no socket and no connection, and TIME-WAIT has passed.
    UntilIdle,
}

/// What a client may have at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Sockets of one client, which is a process that attached them.
    pub sockets: usize,
    /// Sockets that have ended and whose programs may still ask why.
    pub departed: usize,
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas {
            sockets: 8192,
            departed: 8192,
        }
    }
}

/// What an engine is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is to be found.
    pub place: Place,
    /// When it ends.
    pub lifetime: Lifetime,
    /// What clients may have.
    pub quotas: Quotas,
}

impl Options {
    /// The defaults, at this place.
    #[must_use]
    pub fn at(place: Place) -> Options {
        Options {
            place,
            lifetime: Lifetime::default(),
            quotas: Quotas::default(),
        }
    }
}
