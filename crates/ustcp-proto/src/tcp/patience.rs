//! How long a connection waits for a silent peer: R2 of RFC 9293 §3.8.3, and the user timeout of RFC 5482 in its place.

use core::time::Duration;

use super::connection::Connection;
use super::rtt::patience;
use crate::context::Context;
use crate::{Config, Instant, State};

/// A thin stream has fewer segments than this in flight (Linux's `tcp_stream_is_thin`).
const THIN_SEGMENTS: usize = 4;
/// And doubles its timeout after so many (`TCP_THIN_LINEAR_RETRIES`).
const THIN_TIMEOUTS: u8 = 6;

impl Config {
    /// How long a peer may be silent whose connection has no user any more (`orphan_retries`).
    #[must_use]
    pub fn orphan_patience(&self) -> Duration {
        patience(self.orphan_retries, self.rto_min, self.rto_max)
    }
}

impl Connection {
    /// R2 for text, a SYN or a FIN that is sent again and again: in time rather than counts, as Linux has it.
    pub(super) fn has_waited_long_enough(&self, cx: &Context) -> bool {
        let user = self.user_deadline().is_some_and(|deadline| cx.now >= deadline);
        if !self.snd.syn_acked() {
            let retries = self
                .syn_retries(&cx.config)
                .saturating_add(self.linear_timeouts(&cx.config));
            return user || self.timeouts >= retries;
        }
        if let Some(silent_since) = self.silent_since() {
            return user || self.options.user_timeout.is_none() && cx.now.since(silent_since) >= self.r2(&cx.config);
        }
        false
    }

    /// How many timeouts of a SYN are as long as the first, `tcp_syn_linear_timeouts`.
    fn linear_timeouts(&self, config: &Config) -> u8 {
        match self.state {
            State::SynSent => config.syn_linear_timeouts,
            _ => 0,
        }
    }

    /// This timeout is one of those.
    pub(super) fn is_linear(&self, config: &Config) -> bool {
        self.timeouts <= self.linear_timeouts(config)
    }

    fn syn_retries(&self, config: &Config) -> u8 {
        let configured = if self.state == State::SynSent {
            config.syn_retries
        } else {
            config.syn_ack_retries
        };
        self.options.syn_retries.unwrap_or(configured)
    }

    fn r2(&self, config: &Config) -> Duration {
        if self.orphan {
            config.orphan_patience()
        } else {
            patience(config.retries, config.rto_min, config.rto_max)
        }
    }

    /// Since when what was sent again has brought no answer.
    fn silent_since(&self) -> Option<Instant> {
        let answers_closed = self.snd.wnd == 0 && !self.orphan;
        // RFC 9293 SHLD-17: a peer that shrank its window below what is in flight, and says so, is alive.
        self.first_timeout.map(|first| {
            if answers_closed {
                first.max(self.last_received)
            } else {
                first
            }
        })
    }

    /// When `TCP_USER_TIMEOUT` ends the wait for an acknowledgement. As in Linux it counts from the SYN, and else from
    /// the first time that something was sent again.
    fn user_deadline(&self) -> Option<Instant> {
        let begin = if self.snd.syn_acked() {
            self.first_timeout
        } else {
            self.syn_sent_at.filter(|_| self.first_timeout.is_some())
        };
        Some(begin? + self.options.user_timeout?)
    }

    /// The same for probes of a window that is closed or too small: a peer that answers them, but opens it never, is
    /// given no more time (RFC 5482 §2, RFC 6429 §5).
    fn probing_deadline(&self) -> Option<Instant> {
        Some(self.probing_since? + self.options.user_timeout?)
    }

    /// Whether `TCP_THIN_LINEAR_TIMEOUTS` keeps the timeout as it is: RFC 6298 (5.5) wants it doubled, so only for the
    /// first timeouts of a stream that has little in flight, and that for other reasons than slow start (as Linux).
    pub(super) fn is_thin(&self) -> bool {
        let thin = self.snd.in_flight.outstanding() < THIN_SEGMENTS * self.snd.mss;
        let grown = self.congestion.ssthresh() != usize::MAX;
        self.options.thin_linear && thin && grown && self.timeouts <= THIN_TIMEOUTS && self.snd.syn_acked()
    }

    /// No timer goes off later than the user wants to wait.
    pub(super) fn heed_user_timeout(&mut self) {
        if let Some(deadline) = self.user_deadline() {
            self.timers.retransmission = self.timers.retransmission.map(|at| at.min(deadline));
        }
        if let Some(deadline) = self.probing_deadline() {
            self.timers.persist = self.timers.persist.map(|at| at.min(deadline));
        }
    }

    /// A probe is due: whether it is one too many. RFC 9293 MUST-36: not while the peer answers, unless the user has set
    /// a limit, or is gone.
    pub(super) fn has_probed_long_enough(&mut self, cx: &Context) -> bool {
        self.probing_since.get_or_insert(cx.now);
        let config = &cx.config;
        let unanswered = self.probes > 0
            && cx.now.since(self.last_received) >= patience(config.retries, config.rto_min, config.rto_max);
        let orphan_given_up = self.orphan && self.probe_backoff >= config.orphan_retries;
        let user = self.probing_deadline().is_some_and(|deadline| cx.now >= deadline);
        unanswered || orphan_given_up || user
    }

    /// The same for keepalive: by the count, or by the user timeout in its place.
    pub(super) fn has_been_silent_long_enough(&self, cx: &Context) -> bool {
        match self.options.user_timeout {
            Some(limit) => self.probes > 0 && cx.now.since(self.last_received) >= limit,
            None => self.probes >= self.options.keepalive_count,
        }
    }

    /// How long FIN-WAIT-2 lasts for a connection without a user: `None`, not at all. As in Linux, never so short that a
    /// peer could not have answered.
    pub(crate) fn fin_wait(&self, config: &Config) -> Option<Duration> {
        let time = self.options.fin_timeout.unwrap_or(config.fin_timeout);
        (!time.is_zero()).then(|| time.max(self.rtt.rto().saturating_mul(7) / 2))
    }
}
