//! What an engine is told beside the settings of its stack.

use std::time::Duration;

use ustcp_client::place::Place;
use ustcp_runtime::Cidr;

use crate::count::Share;

/// When an engine ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// Never: it waits to be told.
    #[default]
    UntilStopped,
    /// When it has no lease, no socket and no connection, and TIME-WAIT has passed.
    UntilIdle,
}

/// Where connections to addresses of loopback and of this host go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loopback {
    /// To the kernel: the engine makes them there and relays.
    #[default]
    Relay,
    /// They stay inside the stack, whose own 127.0.0.0/8 and ::1 are.
    Ustcp,
    /// Nowhere: `ECONNREFUSED`, and `EADDRNOTAVAIL` for bind.
    Refuse,
}

impl Loopback {
    /// All of them.
    pub const ALL: [Loopback; 3] = [Loopback::Relay, Loopback::Ustcp, Loopback::Refuse];

    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Loopback::Relay => "relay",
            Loopback::Ustcp => "ustcp",
            Loopback::Refuse => "refuse",
        }
    }
}

/// What a client may have at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Sockets of one process, which attached them or listens for them; one that the kernel carries counts twice. At most half
    /// the descriptors that the engine may have.
    pub sockets: usize,
    /// The same of one user. At most five eighths.
    pub sockets_of_user: usize,
    /// Control connections of one process. At most a sixteenth.
    pub controls: usize,
    /// The same of one user. At most an eighth.
    pub controls_of_user: usize,
    /// Connections without the token, of streams and for control, in all; the oldest go. At most a quarter of the
    /// descriptors.
    pub strangers: usize,
    /// The same of one user; no more are taken in. At most an eighth.
    pub strangers_of_user: usize,
    /// The same of one process.
    pub strangers_of_process: usize,
    /// How long one may be without it.
    pub greeting: Duration,
    /// Sockets that have ended and whose programs may still ask why; and as many that have options and no stream yet.
    pub departed: usize,
}

impl Quotas {
    pub(crate) fn share_of_sockets(&self) -> Share {
        Share {
            of_process: self.sockets,
            of_user: self.sockets_of_user,
        }
    }

    pub(crate) fn share_of_controls(&self) -> Share {
        Share {
            of_process: self.controls,
            of_user: self.controls_of_user,
        }
    }

    pub(crate) fn share_of_strangers(&self) -> Share {
        Share {
            of_process: self.strangers_of_process,
            of_user: self.strangers_of_user,
        }
    }

    /// The same where there may be so many descriptors.
    pub(crate) fn within(self, descriptors: usize) -> Quotas {
        Quotas {
            sockets: self.sockets.min(descriptors / 2),
            sockets_of_user: self.sockets_of_user.min(descriptors / 8 * 5),
            controls: self.controls.min(descriptors / 16),
            controls_of_user: self.controls_of_user.min(descriptors / 8),
            strangers: self.strangers.min(descriptors / 4),
            strangers_of_user: self.strangers_of_user.min(descriptors / 8),
            strangers_of_process: self.strangers_of_process.min(descriptors / 16),
            ..self
        }
    }
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas {
            sockets: 8192,
            sockets_of_user: 16_384,
            controls: 1024,
            controls_of_user: 2048,
            strangers: 4096,
            strangers_of_user: 2048,
            strangers_of_process: 512,
            greeting: Duration::from_secs(10),
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
    /// What is reached through the stack, besides the networks of its addresses. What nothing routes to it goes to the
    /// kernel, relayed.
    pub routes: Vec<Cidr>,
    /// Where connections inside this host go.
    pub loopback: Loopback,
    /// Whether who listens on the wildcard address listens on the kernel's too.
    pub publish: bool,
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
            routes: Vec::new(),
            loopback: Loopback::default(),
            publish: false,
            quotas: Quotas::default(),
        }
    }
}
