//! The timestamps of one connection, RFC 7323: they measure round trips, and tell segments of long ago from new ones.

use core::time::Duration;

use ustcp_wire::{SeqNum, TcpOptions};

use crate::Instant;

/// What the option takes of a packet, with the two NOPs before it.
const OPTION: usize = 12;

/// Our clock's tick, in nanoseconds: 1 ms.
const TICK: u64 = 1_000_000;

/// How much older than TS.Recent a timestamp may be: Linux's allowance for a clock that is read in two places.
const TOLERANCE: i32 = 1;

/// RFC 7323 §5.5: after so long TS.Recent says nothing any more, for the peer's clock may have gone half way round.
const LIFETIME: Duration = Duration::from_hours(24 * 24);

/// What a SYN cookie's timestamp has room for, as in Linux.
const CARRIED: u32 = (1 << 6) - 1;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timestamps {
    /// Our SYN offers them, and the peer's has not declined.
    on: bool,
    /// What our clock is ahead of the stack's, lest it tell how long the host is up (RFC 7323 §7.1). The same for all
    /// connections between two addresses, so that the next connection's timestamps are newer than the last one's.
    offset: u32,
    /// TS.Recent, and when it was taken.
    recent: u32,
    recent_at: Instant,
}

impl Timestamps {
    /// Neither sent nor looked at.
    pub(crate) const OFF: Timestamps = Timestamps::new(false, 0);

    /// To be offered, or not.
    pub(crate) const fn new(on: bool, offset: u32) -> Timestamps {
        Timestamps {
            on,
            offset,
            recent: 0,
            recent_at: Instant::ZERO,
        }
    }

    /// The peer's SYN has come, with them or without.
    pub(crate) fn accept(&mut self, now: Instant, syn: &TcpOptions) {
        self.on &= syn.timestamps.is_some();
        if let Some(stamps) = syn.timestamps {
            self.store(now, stamps.value);
        }
    }

    /// Both ends send them.
    pub(crate) fn are_on(&self) -> bool {
        self.on
    }

    /// When TS.Recent was taken.
    pub(crate) fn taken_at(&self) -> Instant {
        self.recent_at
    }

    /// Bytes that they take of every packet.
    pub(crate) fn overhead(&self) -> usize {
        if self.on { OPTION } else { 0 }
    }

    /// The option of a segment that leaves now. TSecr is 0 until the peer's SYN has come.
    pub(crate) fn option(&self, now: Instant) -> Option<ustcp_wire::Timestamps> {
        self.on.then(|| ustcp_wire::Timestamps {
            value: self.value(now),
            echo: self.recent,
        })
    }

    /// RFC 7323 §5.3 R1: whether the segment was sent before one that TS.Recent was taken from. One without the option
    /// is not judged, as in Linux.
    pub(crate) fn is_old(&self, now: Instant, options: &TcpOptions) -> bool {
        self.lag(options).is_some_and(|lag| lag > TOLERANCE) && !self.has_expired(now)
    }

    /// How much older than TS.Recent the segment is, in ticks of the peer's clock.
    pub(crate) fn lag(&self, options: &TcpOptions) -> Option<i32> {
        let stamps = options.timestamps.filter(|_| self.on)?;
        Some(self.recent.wrapping_sub(stamps.value).cast_signed())
    }

    /// RFC 7323 §4.3 (2): TS.Recent from an acceptable segment, unless it begins beyond what we have acknowledged: the
    /// oldest segment that waits for an acknowledgement is the one to measure by.
    pub(crate) fn update(&mut self, now: Instant, seq: SeqNum, last_ack_sent: SeqNum, options: &TcpOptions) {
        let newer = self.lag(options).is_some_and(|lag| lag <= 0) || self.has_expired(now);
        if let Some(stamps) = options.timestamps.filter(|_| self.on && newer)
            && seq.at_or_before(last_ack_sent)
        {
            self.store(now, stamps.value);
        }
    }

    /// The round trip that TSecr tells: good for retransmissions too, as it names the one that was answered.
    pub(crate) fn round_trip(&self, now: Instant, options: &TcpOptions) -> Option<Duration> {
        let ticks = self.value(now).wrapping_sub(self.echo(options)?);
        let measured = u64::from(ticks) <= i32::MAX as u64; // else it echoes what we have yet to send
        measured.then(|| Duration::from_millis(u64::from(ticks).max(1)))
    }

    /// What the segment answers left before this: TSecr as a time of ours.
    pub(crate) fn answers_before(&self, now: Instant, options: &TcpOptions) -> Option<Instant> {
        let age = self.value(now).wrapping_sub(self.echo(options)?);
        let tick = (now.as_nanos() / TICK).checked_sub(u64::from(age))?;
        Some(Instant::from_nanos((tick + 1) * TICK))
    }

    /// Whether TSecr is none of ours: what we sent first left at `first`.
    pub(crate) fn echo_is_foreign(&self, first: Instant, now: Instant, options: &TcpOptions) -> bool {
        let (first, last) = (self.value(first), self.value(now));
        self.echo(options)
            .is_some_and(|echo| echo.wrapping_sub(first) > last.wrapping_sub(first))
    }

    /// Whether TSecr answers what left at `sent_at`, and nothing later (RFC 3522 §3.2).
    pub(crate) fn answers(&self, sent_at: Instant, options: &TcpOptions) -> bool {
        self.echo(options) == Some(self.value(sent_at))
    }

    /// TSval of a SYN-ACK of which nothing is kept: its lowest [`CARRIED`] bits are `bits`, and it is no later than now.
    pub(crate) fn carrying(&self, now: Instant, bits: u32) -> u32 {
        let clock = self.value(now).wrapping_sub(self.offset);
        let carrying = clock & !CARRIED | bits & CARRIED;
        let ahead = carrying > clock;
        self.offset
            .wrapping_add(carrying)
            .wrapping_sub(if ahead { CARRIED + 1 } else { 0 })
    }

    /// What the TSval carried that TSecr echoes.
    pub(crate) fn carried(&self, options: &TcpOptions) -> Option<u32> {
        Some(self.echo(options)?.wrapping_sub(self.offset) & CARRIED)
    }

    /// TSecr, where there is one: a peer that has none to tell says 0.
    fn echo(&self, options: &TcpOptions) -> Option<u32> {
        let stamps = options.timestamps.filter(|_| self.on)?;
        Some(stamps.echo).filter(|echo| *echo != 0)
    }

    /// TSval: a clock of 1 ms. Goes round after 49 days.
    #[allow(clippy::cast_possible_truncation, reason = "timestamps are modulo 2^32")]
    fn value(&self, now: Instant) -> u32 {
        self.offset.wrapping_add((now.as_nanos() / TICK) as u32)
    }

    fn store(&mut self, now: Instant, value: u32) {
        self.recent = value;
        self.recent_at = now;
    }

    /// TS.Recent compares with nothing: too long ago, or 0, which some hosts send in their SYN for want of a clock.
    fn has_expired(&self, now: Instant) -> bool {
        self.recent == 0 || now.since(self.recent_at) > LIFETIME
    }
}
