//! The timers of one connection.

use crate::{Instant, Timer};

const NEVER: Instant = Instant::from_nanos(u64::MAX);

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
        let due = self.due()?;
        let (_, timer) = self.all().into_iter().find(|(at, _)| *at == Some(due))?;
        Some((due, timer))
    }

    /// When it does.
    pub(crate) fn due(&self) -> Option<Instant> {
        // Asked several times for each packet, and so without branches: what is not armed goes off at the end of time.
        let first = self
            .all()
            .iter()
            .fold(NEVER, |first, (at, _)| first.min(at.unwrap_or(NEVER)));
        (first != NEVER).then_some(first)
    }

    fn all(&self) -> [(Option<Instant>, Timer); 9] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_goes_off_when_none_is_armed() {
        assert_eq!(Timers::default().next(), None);
        assert_eq!(Timers::default().due(), None);
    }

    #[test]
    fn the_first_is_named_and_of_two_at_once_the_one_that_makes_the_other_needless() {
        let [soon, later] = [5, 9].map(Instant::from_nanos);
        let mut timers = Timers {
            retransmission: Some(soon),
            reordering: Some(soon),
            keepalive: Some(later),
            ..Timers::default()
        };
        assert_eq!(timers.due(), Some(soon));
        assert_eq!(timers.take_due(soon), Some(Timer::Reordering));
        assert_eq!(timers.take_due(soon), Some(Timer::Retransmission));
        assert_eq!(timers.take_due(soon), None);
        assert_eq!(timers.next(), Some((later, Timer::Keepalive)));
    }
}
