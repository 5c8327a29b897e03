//! A connection in SYN-RECEIVED that a listener began: no buffers until its SYN-ACK is acknowledged.

use core::time::Duration;

use ustcp_wire::{FastOpenCookie, Flags, SeqNum, TcpHeader, TcpOptions, TcpSegment};

use super::arrival::CHALLENGE_INTERVAL;
use super::{EcnFeedback, Offer, Timestamps, reset_for};
use crate::context::Context;
use crate::socket::Service;
use crate::{Cause, EventKind, Flow, Instant, SocketId, State};

#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfOpen {
    pub(crate) listener: SocketId,
    /// Its place among the half-open connections of the stack, by age.
    pub(crate) serial: u64,
    pub(crate) flow: Flow,
    pub(crate) iss: SeqNum,
    pub(crate) irs: SeqNum,
    pub(crate) offer: Offer,
    pub(crate) timestamps: Timestamps,
    pub(crate) peer_window: usize,
    /// ECN is agreed on.
    pub(crate) ecn: bool,
    /// What our SYN-ACK said.
    pub(crate) our_mss: u16,
    pub(crate) our_window: u16,
    pub(crate) our_scale: u8,
    pub(crate) service: Service,
    /// When the SYN-ACK was sent first; `None` when nothing but a cookie was kept of it.
    pub(crate) sent_at: Option<Instant>,
    /// The cookie that the SYN-ACK brings, RFC 7413 §4.1.2.
    pub(crate) fast_open: Option<FastOpenCookie>,
    pub(crate) retransmissions: u8,
    /// The SYN-ACK was sent more than once, whoever asked for it.
    pub(crate) resent: bool,
    /// The handshake is done, after so long, and `TCP_DEFER_ACCEPT` waits for text.
    pub(crate) acked_after: Option<Duration>,
    /// When something other than RST was last answered.
    pub(crate) last_answer: Option<Instant>,
    /// When the SYN-ACK goes out again.
    pub(crate) due: Instant,
}

/// What becomes of a half-open connection when its time has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Overdue {
    /// It is forgotten.
    Forget,
    /// The SYN-ACK goes out again.
    Resend,
    /// The peer has it; only its text is missing.
    Wait,
}

/// What a segment means for a half-open connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Completion {
    /// It stays as it is.
    Wait,
    /// Send this and stay.
    Answer(TcpHeader),
    /// It is over.
    Forget,
    /// Our SYN-ACK was acknowledged: make a connection of it and give it the segment.
    Complete,
}

impl HalfOpen {
    /// RFC 9293 §3.10.7.4 for SYN-RECEIVED, as far as it needs no buffers.
    pub(crate) fn on_segment(&self, now: Instant, segment: &TcpSegment<'_>) -> Completion {
        let header = &segment.header;
        let in_window = self.is_acceptable(segment);
        let plain = header.flags.has(Flags::ACK) && !header.flags.has(Flags::SYN) && !header.flags.has(Flags::RST);
        if plain && header.ack != self.iss + 1 {
            // As Linux, wherever the segment stands: it is of another connection, whose end is to hear that.
            return Completion::Answer(reset_for(header, 0));
        }
        if self.is_out_of_time(now, header) {
            return match header.flags.has(Flags::RST) {
                true => Completion::Wait,
                false => Completion::Answer(self.acknowledgement(now)),
            };
        }
        if header.flags.has(Flags::RST) {
            // RFC 5961 §3.2, and back to LISTEN without a word (MUST-11).
            return match header.seq == self.irs + 1 {
                true => Completion::Forget,
                false if in_window => Completion::Answer(self.acknowledgement(now)),
                false => Completion::Wait,
            };
        }
        if header.flags.has(Flags::SYN) {
            let again = header.seq == self.irs && !header.flags.has(Flags::ACK);
            return if again {
                Completion::Answer(self.syn_ack(now))
            } else {
                Completion::Answer(self.acknowledgement(now))
            };
        }
        if !in_window {
            return Completion::Answer(self.acknowledgement(now));
        }
        match plain {
            true => Completion::Complete,
            false => Completion::Wait,
        }
    }

    /// The first step: its first or its last number is in the window of the SYN-ACK.
    fn is_acceptable(&self, segment: &TcpSegment<'_>) -> bool {
        let (seq, next) = (segment.header.seq, self.irs + 1);
        let fin = usize::from(segment.header.flags.has(Flags::FIN));
        let reaches = seq.at_or_after(next) || (seq + segment.payload.len() + fin).after(next);
        reaches && seq.before(next + usize::from(self.our_window).max(1))
    }

    /// RFC 7323 §5.3 R1; and as Linux, a TSecr that our SYN-ACK never carried.
    fn is_out_of_time(&self, now: Instant, header: &TcpHeader) -> bool {
        let old = self.timestamps.is_old(now, &header.options) && !header.flags.has(Flags::RST);
        let foreign = |sent_at| self.timestamps.echo_is_foreign(sent_at, now, &header.options);
        old || self.sent_at.is_some_and(foreign)
    }

    /// Its timer went off. After `retries` times it is forgotten; a peer that has acknowledged is waited for `deferred`
    /// times, and asked once more before the end, so that its acknowledgement completes the handshake (as Linux).
    pub(crate) fn on_timeout(&mut self, retries: u8, deferred: u8) -> Overdue {
        let (acked, times) = (self.acked_after.is_some(), self.retransmissions);
        if times >= retries && (!acked || times >= deferred) {
            return Overdue::Forget;
        }
        self.retransmissions += 1;
        if acked && times + 1 < deferred {
            return Overdue::Wait;
        }
        self.resent = true;
        Overdue::Resend
    }

    /// Whether the segment that completes the handshake is one that `TCP_DEFER_ACCEPT` does not count yet.
    pub(crate) fn defers(&self, deferred: u8, segment: &TcpSegment<'_>) -> bool {
        let bare = segment.payload.is_empty() && !segment.header.flags.has(Flags::FIN);
        bare && self.retransmissions < deferred
    }

    /// Whether `header` may go out as an answer now: as for whole connections, so that two half-open ones that were
    /// talked into each other do not keep each other busy. RSTs end such a talk, text is none, and both are always
    /// answered.
    pub(crate) fn may_answer(&mut self, now: Instant, header: &TcpHeader, to: &TcpSegment<'_>) -> bool {
        let text = !to.payload.is_empty() && !to.header.flags.has(Flags::SYN);
        if header.flags.has(Flags::RST) || text {
            return true;
        }
        let recent = self
            .last_answer
            .is_some_and(|last| now.since(last) < CHALLENGE_INTERVAL);
        if !recent {
            self.last_answer = Some(now);
            self.resent |= header.flags.has(Flags::SYN);
        }
        !recent
    }

    /// The SYN-ACK.
    pub(crate) fn syn_ack(&self, now: Instant) -> TcpHeader {
        TcpHeader {
            seq: self.iss,
            flags: Flags::SYN | Flags::ACK | EcnFeedback::new(self.ecn).answer(),
            window: self.our_window,
            options: TcpOptions {
                mss: Some(self.our_mss),
                window_scale: self.offer.window_scale.map(|_| self.our_scale),
                sack_permitted: self.offer.sack,
                timestamps: self.timestamps.option(now),
                fast_open: self.fast_open,
                ..TcpOptions::default()
            },
            ..self.acknowledgement(now)
        }
    }

    fn acknowledgement(&self, now: Instant) -> TcpHeader {
        TcpHeader {
            source_port: self.flow.local.port(),
            destination_port: self.flow.remote.port(),
            seq: self.iss + 1,
            ack: self.irs + 1,
            flags: Flags::ACK,
            window: self.our_window >> self.shift(), // RFC 7323 §2.2: scaled in all but a SYN
            options: TcpOptions {
                timestamps: self.timestamps.option(now),
                ..TcpOptions::default()
            },
            ..TcpHeader::default()
        }
    }

    /// How far our window is shifted, once both sides are known to do so.
    pub(crate) fn shift(&self) -> u8 {
        self.offer.window_scale.map_or(0, |_| self.our_scale)
    }

    /// The SYN came: LISTEN has let a connection branch off.
    pub(crate) fn record_birth(&self, cx: &mut Context) {
        let (from, to, cause) = (State::Listen, State::SynReceived, Cause::PeerSyn);
        cx.record(Some(self.flow), EventKind::Transition { from, to, cause });
    }

    /// It is over before it was established.
    pub(crate) fn record_death(&self, cx: &mut Context, cause: Cause) {
        let (from, to) = (State::SynReceived, State::Closed);
        cx.record(Some(self.flow), EventKind::Transition { from, to, cause });
        cx.counters.attempt_fails += 1;
    }
}

/// Strangers make us keep them.
const _: () = assert!(size_of::<HalfOpen>() <= 256);

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use ustcp_wire::Ecn;

    use super::*;

    fn half_open(peer_scale: Option<u8>) -> HalfOpen {
        let end = |port| SocketAddr::from(([10, 77, 0, 1], port));
        HalfOpen {
            listener: SocketId {
                index: 0,
                generation: 0,
            },
            serial: 1,
            flow: Flow {
                local: end(80),
                remote: end(1000),
            },
            iss: SeqNum(100),
            irs: SeqNum(900),
            offer: Offer {
                mss: 1460,
                window_scale: peer_scale,
                sack: false,
            },
            timestamps: Timestamps::OFF,
            peer_window: 4000,
            ecn: false,
            our_mss: 1460,
            our_window: u16::MAX,
            our_scale: 2,
            service: Service::default(),
            sent_at: Some(Instant::ZERO),
            fast_open: None,
            retransmissions: 0,
            resent: false,
            acked_after: None,
            last_answer: None,
            due: Instant::ZERO,
        }
    }

    #[test]
    fn only_a_syn_ack_tells_its_window_unscaled() {
        let old = TcpHeader {
            seq: SeqNum(5),
            ack: SeqNum(101),
            flags: Flags::ACK,
            ..TcpHeader::default()
        };
        let old = TcpSegment {
            header: old,
            payload: &[],
            ecn: Ecn::NotCapable,
        };
        let window = |half: HalfOpen| match half.on_segment(Instant::ZERO, &old) {
            Completion::Answer(header) => header.window,
            other => panic!("{other:?}"),
        };
        assert_eq!(half_open(Some(7)).syn_ack(Instant::ZERO).window, u16::MAX);
        assert_eq!(window(half_open(Some(7))), u16::MAX >> 2);
        assert_eq!(window(half_open(None)), u16::MAX);
    }
}
