//! Buffers that grow with what the path carries, as Linux's do: the receive buffer by dynamic right-sizing
//! (`tcp_moderate_rcvbuf`), the send buffer with the congestion window. A buffer that the user has sized stays so. And
//! memory that nothing has been in for a while is given back.

use core::time::Duration;

use ustcp_wire::SeqNum;

use super::connection::Connection;
use crate::context::Context;
use crate::{Config, Instant, State};

/// Segments that the initial window of RFC 6928 has: less than these no buffer is made for.
const FIRST_SEGMENTS: usize = 10;

/// How long an empty buffer keeps memory that nothing goes through.
const KEEP: Duration = Duration::from_secs(1);

/// The shortest round trip that right-sizing measures in, Linux's tick of timestamps: within less a fast path carries no
/// more than one read, and the window would stay where it is while the sender waits for it.
const TICK: Duration = Duration::from_millis(1);

/// The largest buffer, either way, for a path whose round trip is shorter, where a tick's worth of text is many windows:
/// 4 Gbit/s at a round trip of 1 ms, 40 at one of 100 µs. What waits in a larger one has left the cache by the time it is
/// copied on: half of the throughput at 1 MiB and more. Linux has `tcp_rcvbuf_low_rtt` for the same.
const NEARBY: usize = 512 * 1024;

/// What a buffer may grow to on a path of that round trip.
fn largest(rtt: Option<Duration>) -> usize {
    match rtt {
        Some(rtt) if rtt < TICK => NEARBY,
        _ => usize::MAX,
    }
}

/// Dynamic right-sizing: the window is to hold twice what the user reads in a round trip, for while it is read the
/// sender doubles its rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RightSizing {
    /// The most that was read in a round trip.
    most: usize,
    /// When the measurement at hand began, and what had been read by then.
    since: Instant,
    read: u64,
    /// The end of the window announced at some moment, and that moment: text beyond it is a round trip away.
    window: Option<(SeqNum, Instant)>,
    /// The shortest such round trip, which is too long where the sender does not fill the window.
    rtt: Option<Duration>,
}

impl RightSizing {
    pub(crate) fn new(now: Instant, mss: usize) -> RightSizing {
        RightSizing {
            most: FIRST_SEGMENTS * mss,
            since: now,
            read: 0,
            window: None,
            rtt: None,
        }
    }

    /// Text has come up to `nxt`, and the window goes on for `window` bytes.
    pub(crate) fn on_text(&mut self, now: Instant, nxt: SeqNum, window: usize) {
        if let Some((end, since)) = self.window {
            if nxt.before(end) {
                return;
            }
            let sample = now.since(since);
            self.rtt = Some(self.rtt.map_or(sample, |rtt| rtt.min(sample)));
        }
        self.window = Some((nxt + window, now));
    }

    /// The user has read `read` bytes so far, and `queued` wait. The size that the window should have, when a round
    /// trip has passed and showed that it should have more. `srtt` is that of our own segments.
    pub(crate) fn on_read(&mut self, now: Instant, read: u64, queued: usize, srtt: Option<Duration>) -> Option<usize> {
        let rtt = self.rtt.into_iter().chain(srtt).min()?;
        if now.since(self.since) < rtt.max(TICK) {
            return None;
        }
        // What still waits was not carried by this round trip's reading alone.
        let copied = usize::try_from(read - self.read)
            .unwrap_or(usize::MAX)
            .saturating_sub(queued);
        (self.since, self.read) = (now, read);
        if copied <= self.most {
            return None;
        }
        let before = core::mem::replace(&mut self.most, copied).max(1);
        let window = copied.saturating_mul(2);
        // The sender is in slow start: as much again by the time that the larger window takes effect.
        let growth = window.saturating_mul(copied - before) / before;
        Some(window.saturating_add(growth.saturating_mul(2)).min(largest(Some(rtt))))
    }
}

impl Connection {
    /// The user has read: perhaps more should fit.
    pub(super) fn size_receive_buffer(&mut self, now: Instant) {
        let queued = self.rcv.ring.len();
        let read = self.rcv.bytes_received - queued as u64;
        let wanted = self.sizing.on_read(now, read, queued, self.rtt.srtt());
        if let Some(window) = wanted.map(|window| window.min(self.limits.receive.1))
            && self.options.receive_buffer.is_none()
            && window > self.rcv.ring.limit()
        {
            self.rcv.ring.set_limit(window);
        }
    }

    /// As Linux: what the user waits for has room, unless the user has said how much room there is.
    pub(super) fn make_room_for_mark(&mut self) {
        let mark = self.options.receive_low.min(self.limits.receive.1);
        if self.options.receive_buffer.is_none() && mark > self.rcv.ring.limit() {
            self.rcv.ring.set_limit(mark);
        }
    }

    /// Something written was acknowledged while `flight` bytes were on their way. Where nothing more was left to send,
    /// and the buffer had been more than half full, it was the buffer that held the sender back: two windows fit from
    /// now on, one to be acknowledged and one to follow.
    pub(super) fn size_send_buffer(&mut self, flight: usize) {
        let short = flight * 2 > self.snd.ring.limit() && self.snd.unsent() < self.snd.mss;
        if short {
            self.grow_send_buffer();
        }
    }

    /// Two congestion windows fit into the send buffer.
    pub(super) fn grow_send_buffer(&mut self) {
        let window = self.congestion.cwnd().max(FIRST_SEGMENTS * self.snd.mss);
        let most = self.limits.send.1.min(largest(self.rtt.min()));
        let wanted = window.saturating_mul(2).min(most);
        if self.options.send_buffer.is_none() && wanted > self.snd.ring.limit() {
            self.snd.ring.set_limit(wanted);
            self.notify = true;
        }
    }

    /// While a buffer has memory, somebody looks now and then whether it is still of use.
    pub(crate) fn watch_memory(&mut self, now: Instant) {
        let lives = !matches!(self.state, State::Closed | State::TimeWait);
        if lives && self.timers.reclaim.is_none() && self.buffer_bytes() > 0 {
            self.timers.reclaim = Some(now + KEEP);
        }
    }

    /// Gives back what was not needed since the last look; of the send buffer only while it is empty. Where nothing is left
    /// that could go, the next look is when something moves.
    pub(super) fn reclaim(&mut self, cx: &Context) {
        let sending = self.snd.ring.reclaim();
        let receiving = self.rcv.ring.reclaim();
        if sending || receiving {
            self.watch_memory(cx.now);
        }
    }
}

/// How small a user may make each buffer, and how large it may become by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    receive: (usize, usize),
    send: (usize, usize),
}

impl Limits {
    pub(crate) fn of(config: &Config) -> Limits {
        Limits {
            receive: (
                config.receive_buffer_min,
                if config.moderate_receive_buffer {
                    config.receive_buffer_max
                } else {
                    0
                },
            ),
            send: (config.send_buffer_min, config.send_buffer_max),
        }
    }

    /// The receive buffer that a user asked for.
    pub(crate) fn receive_buffer(&self, asked: usize) -> usize {
        asked.max(self.receive.0)
    }

    /// The send buffer that a user asked for.
    pub(crate) fn send_buffer(&self, asked: usize) -> usize {
        asked.max(self.send.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: usize = 1000;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// The window that right-sizing wants after each round trip of 10 ms in which so much was read.
    fn windows(reads: &[usize]) -> Vec<Option<usize>> {
        let mut sizing = RightSizing::new(Instant::ZERO, MSS);
        let (mut now, mut read) = (Instant::ZERO, 0);
        reads
            .iter()
            .map(|count| {
                now = now + ms(10);
                read += *count as u64;
                sizing.on_read(now, read, 0, Some(ms(10)))
            })
            .collect()
    }

    #[test]
    fn the_window_follows_what_is_read_in_a_round_trip() {
        assert_eq!(
            windows(&[5000, 10_000, 9000]),
            [None, None, None],
            "no more than the first window"
        );
        // Twice what was read, and twice its growth again while the sender is in slow start.
        assert_eq!(windows(&[20_000]), [Some(120_000)]);
        assert_eq!(windows(&[20_000, 20_000, 40_000]), [Some(120_000), None, Some(240_000)]);
        assert_eq!(windows(&[20_000, 22_000]), [Some(120_000), Some(52_800)]);
    }

    #[test]
    fn it_measures_in_whole_round_trips() {
        let mut sizing = RightSizing::new(Instant::ZERO, MSS);
        assert_eq!(
            sizing.on_read(Instant::ZERO + ms(100), 50_000, 0, None),
            None,
            "no round trip is known"
        );
        assert_eq!(sizing.on_read(Instant::ZERO + ms(9), 50_000, 0, Some(ms(10))), None);
        assert!(
            sizing
                .on_read(Instant::ZERO + ms(10), 50_000, 0, Some(ms(10)))
                .is_some()
        );
    }

    #[test]
    fn a_round_trip_is_not_shorter_than_a_tick() {
        let mut sizing = RightSizing::new(Instant::ZERO, MSS);
        let us = Duration::from_micros(50);
        let mut read = 0;
        let mut now = Instant::ZERO;
        let wanted: Vec<usize> = (0..20)
            .filter_map(|_| {
                now = now + us;
                read += 1000; // less than the first window, many times in a millisecond
                sizing.on_read(now, read, 0, Some(us))
            })
            .collect();
        assert_eq!(
            wanted,
            [120_000],
            "20 kB in a millisecond: twice that, and for its growth from 10 kB"
        );
    }

    #[test]
    fn a_short_path_gets_no_window_that_leaves_the_cache() {
        for (rtt, window) in [(Duration::from_micros(999), NEARBY), (ms(1), 398_000_000)] {
            let mut sizing = RightSizing::new(Instant::ZERO, MSS);
            let wanted = sizing.on_read(Instant::ZERO + ms(1), 1_000_000, 0, Some(rtt));
            assert_eq!(wanted, Some(window));
        }
    }

    #[test]
    fn what_waits_to_be_read_does_not_count() {
        let mut sizing = RightSizing::new(Instant::ZERO, MSS);
        assert_eq!(
            sizing.on_read(Instant::ZERO + ms(10), 50_000, 40_000, Some(ms(10))),
            None
        );
    }

    /// A window's worth of text takes a round trip, and the shortest one counts.
    #[test]
    fn a_receiver_measures_by_the_window() {
        let mut sizing = RightSizing::new(Instant::ZERO, MSS);
        sizing.on_text(Instant::ZERO, SeqNum(0), 10_000);
        sizing.on_text(Instant::ZERO + ms(20), SeqNum(9999), 10_000);
        assert_eq!(sizing.rtt, None);
        sizing.on_text(Instant::ZERO + ms(30), SeqNum(10_000), 10_000);
        sizing.on_text(Instant::ZERO + ms(70), SeqNum(20_000), 10_000);
        assert_eq!(sizing.rtt, Some(ms(30)));
    }
}
