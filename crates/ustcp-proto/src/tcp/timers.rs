//! The timers of one connection.

use crate::{Instant, Timer};

/// When each goes off, if it is armed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timers {
    pub(crate) reordering: Option<Instant>,
    pub(crate) loss_probe: Option<Instant>,
    pub(crate) retransmission: Option<Instant>,
    pub(crate) persist: Option<Instant>,
    pub(crate) delayed_ack: Option<Instant>,
    pub(crate) keepalive: Option<Instant>,
    pub(crate) fin_wait_2: Option<Instant>,
    pub(crate) pacing: Option<Instant>,
    /// To look whether the buffers' memory is still of use.
    pub(crate) reclaim: Option<Instant>,
}

impl Timers {
    /// The one that goes off first.
    pub(crate) fn next(&self) -> Option<(Instant, Timer)> {
        [
            (self.reordering, Timer::Reordering), // before the retransmission timer, which they make needless
            (self.loss_probe, Timer::LossProbe),
            (self.retransmission, Timer::Retransmission),
            (self.persist, Timer::Persist),
            (self.delayed_ack, Timer::DelayedAck),
            (self.keepalive, Timer::Keepalive),
            (self.fin_wait_2, Timer::FinWait2),
            (self.pacing, Timer::Pacing),
            (self.reclaim, Timer::Reclaim),
        ]
        .into_iter()
        .filter_map(|(at, timer)| Some((at?, timer)))
        .min_by_key(|(at, _)| *at)
    }

    /// Disarms and returns one that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (_, timer) = self.next().filter(|(at, _)| *at <= now)?;
        match timer {
            Timer::Reordering => self.reordering = None,
            Timer::LossProbe => self.loss_probe = None,
            Timer::Retransmission => self.retransmission = None,
            Timer::Persist => self.persist = None,
            Timer::DelayedAck => self.delayed_ack = None,
            Timer::Keepalive => self.keepalive = None,
            Timer::FinWait2 | Timer::TimeWait | Timer::Reassembly => self.fin_wait_2 = None,
            Timer::Pacing => self.pacing = None,
            Timer::Reclaim => self.reclaim = None,
        }
        Some(timer)
    }
}
