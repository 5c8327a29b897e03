//! What the user says about segments that are not full: hold them back (`TCP_CORK`, `MSG_MORE`), or take no more than the
//! network does (`TCP_NOTSENT_LOWAT`).

use super::connection::Connection;
use crate::{Config, Framing};

/// What the last calls asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cork {
    /// The last send had `MSG_MORE`, and nothing has come from the peer since: as Linux, which looks at what waits with
    /// every segment that arrives.
    more: bool,
    /// `TCP_NODELAY` was set: what waits at that moment goes, corked or not.
    pushed: bool,
}

impl Cork {
    pub(super) fn on_send(&mut self, framing: Framing) {
        *self = Cork {
            more: framing.more,
            pushed: false,
        };
    }

    pub(super) fn on_segment(&mut self) {
        self.more = false;
    }

    pub(super) fn on_no_delay(&mut self) {
        self.pushed = true;
    }
}

impl Connection {
    /// Whether less than a segment is held back for what the user will add. Not for ever (RFC 9293 MUST-60): when nothing
    /// is in flight, the persist timer sends it, as in Linux.
    pub(super) fn is_corked(&self) -> bool {
        (self.options.cork || self.cork.more) && !self.cork.pushed
    }

    /// How many of `wanted` bytes may be written now, the room in the buffer apart.
    pub(super) fn admits(&self, config: &Config, wanted: usize) -> usize {
        let (unsent, low) = (self.snd.unsent(), self.notsent_low(config));
        if unsent < low {
            wanted.min((low - unsent).max(self.snd.mss)) // as Linux: never in pieces of less than a segment
        } else {
            0
        }
    }

    /// What poll says of it. Twice as strict as send, as in Linux, so that a writer who waits is not called for crumbs.
    pub(super) fn is_below_low_water(&self, config: &Config) -> bool {
        self.snd.unsent().saturating_mul(2) < self.notsent_low(config)
    }

    /// Whether what is sent changes what [`admits`](Connection::admits) says.
    pub(super) fn minds_unsent(&self, config: &Config) -> bool {
        self.notsent_low(config) != usize::MAX
    }

    fn notsent_low(&self, config: &Config) -> usize {
        let low = match self.options.notsent_low {
            0 => config.notsent_low,
            low => low,
        };
        if low == u32::MAX {
            return usize::MAX;
        }
        usize::try_from(low).unwrap_or(usize::MAX)
    }
}
