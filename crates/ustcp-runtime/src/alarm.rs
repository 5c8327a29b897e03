//! The earliest deadline, and when the background thread wakes by itself: told without the stack's lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ustcp_proto::Instant;

const NEVER: u64 = u64::MAX;

/// The background thread is not called for a deadline that it would miss by so little; epoll, which counts in whole
/// milliseconds, may make it twice that. With every segment deadlines come and go, and to ring for each would cost more than
/// the segment.
pub(crate) const SLACK: Duration = Duration::from_millis(1);

/// What is due when, and who needs to hear of it.
#[derive(Debug)]
pub(crate) struct Alarm {
    due: AtomicU64,
    /// When the background thread wakes by itself; 0 while it is awake, for it asks before it sleeps.
    until: AtomicU64,
}

impl Alarm {
    pub(crate) fn new() -> Alarm {
        Alarm {
            due: AtomicU64::new(NEVER),
            until: AtomicU64::new(0),
        }
    }

    /// The earliest deadline is `due` from now on. `true`: the background thread would oversleep it, and is to be called.
    pub(crate) fn set(&self, due: Option<Instant>) -> bool {
        let due = due.map_or(NEVER, Instant::as_nanos);
        self.due.store(due, Ordering::SeqCst);
        let oversleeps = due.saturating_add(SLACK.as_nanos() as u64) < self.until.load(Ordering::SeqCst);
        if oversleeps {
            self.until.store(due, Ordering::SeqCst); // once is enough
        }
        oversleeps
    }

    /// Whether the earliest deadline has come.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.load(Ordering::SeqCst) <= now.as_nanos()
    }

    /// The background thread goes to sleep, until the earliest deadline, but at least and at most until these. Says until
    /// when.
    pub(crate) fn sleep(&self, at_least: Option<Instant>, at_most: Option<Instant>) -> Option<Instant> {
        let at_least = at_least.map_or(0, Instant::as_nanos);
        let at_most = at_most.map_or(NEVER, Instant::as_nanos);
        let end = || self.due.load(Ordering::SeqCst).min(at_most).max(at_least);
        loop {
            let until = end();
            self.until.store(until, Ordering::SeqCst);
            if end() >= until {
                return (until != NEVER).then(|| Instant::from_nanos(until));
            }
        }
    }

    /// The background thread is awake.
    pub(crate) fn wake(&self) {
        self.until.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(count)
    }

    #[test]
    fn who_is_awake_is_not_called() {
        let alarm = Alarm::new();
        assert!(!alarm.set(Some(ms(5))));
        assert_eq!(alarm.sleep(None, None), Some(ms(5)), "it asks by itself");
        alarm.wake();
        assert!(!alarm.set(Some(ms(1))));
    }

    #[test]
    fn only_a_much_earlier_deadline_calls_and_once() {
        let alarm = Alarm::new();
        assert_eq!(alarm.sleep(None, None), None);
        assert!(alarm.set(Some(ms(100))));
        assert!(!alarm.set(Some(ms(100))));
        assert!(!alarm.set(Some(ms(99))), "within the slack");
        assert!(alarm.set(Some(ms(98))));
        assert!(!alarm.set(None));
    }

    #[test]
    fn who_sleeps_no_longer_than_the_slack_is_not_called() {
        let alarm = Alarm::new();
        assert_eq!(alarm.sleep(None, Some(ms(10) + SLACK)), Some(ms(10) + SLACK));
        assert!(!alarm.set(Some(ms(10))));
        assert_eq!(alarm.sleep(None, Some(ms(12))), Some(ms(10)));
    }

    #[test]
    fn due_is_due_until_it_is_set_anew() {
        let alarm = Alarm::new();
        assert!(!alarm.is_due(ms(1_000_000)));
        alarm.set(Some(ms(8)));
        assert!(!alarm.is_due(ms(7)));
        assert!(alarm.is_due(ms(8)));
        alarm.set(Some(ms(9)));
        assert!(!alarm.is_due(ms(8)));
    }

    #[test]
    fn who_could_do_nothing_about_a_deadline_rests() {
        let alarm = Alarm::new();
        alarm.set(Some(ms(5)));
        let rest = Some(ms(7) + SLACK);
        assert_eq!(alarm.sleep(rest, rest), rest);
        assert!(!alarm.set(Some(ms(7))));
    }
}
