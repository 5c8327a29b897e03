//! A listener whose queue of half-open connections is full, RFC 4987: it keeps nothing of a SYN, and finds what it must
//! know in the ACK.

use ustcp_wire::{Flags, TcpHeader, TcpSegment};

use crate::stack::Control;
use crate::tcp::syn_cookie::{LIFETIME, remembers_ecn};
use crate::tcp::{Connection, EcnFeedback, Offer};
use crate::{Cause, DropReason, EcnPolicy, Family, Flow, Options, SocketId, Stack, State, SynCookies};

impl Stack {
    /// Whether a SYN gets a cookie for an answer. Counted as Linux counts, whatever else becomes of it; without cookies
    /// Linux drops it here, and ours may yet find the other queue full.
    pub(crate) fn wants_cookie(&mut self, queue_is_full: bool) -> bool {
        let counters = &mut self.cx.counters;
        match self.cx.config.syn_cookies {
            SynCookies::Never => {
                counters.request_queue_full_drops += u64::from(queue_is_full);
                false
            }
            SynCookies::WhenFull if !queue_is_full => false,
            SynCookies::WhenFull | SynCookies::Always => {
                counters.request_queue_full_cookies += 1;
                true
            }
        }
    }

    /// Answers a SYN, and keeps nothing but that it has.
    pub(crate) fn answer_with_cookie(&mut self, id: SocketId, flow: Flow, options: &Options, segment: &TcpSegment<'_>) {
        let (now, syn) = (self.cx.now, &segment.header);
        let offer = Offer::from_options(&self.cx.config, Family::of(flow.local.ip()), &syn.options);
        let cookie = self.keys.cookies.make(now, &flow, syn.seq, offer.mss);
        let mut half = self.half_open_from(id, flow, options, syn, cookie);
        if half.timestamps.are_on() {
            half.ecn = EcnFeedback::accepts(self.cx.config.ecn, syn.flags, segment.ecn);
        } else {
            half.offer.forget(); // for nothing in the ACK will tell of it, nor of ECN
        }
        let mut header = half.syn_ack(now);
        if let Some(stamps) = &mut header.options.timestamps {
            stamps.value = half.timestamps.carrying(now, half.offer.to_bits(half.ecn));
        }
        if let Some(listener) = self.sockets.listener_mut(id) {
            listener.last_cookie = Some(now);
        }
        self.cx.counters.syncookies_sent += 1;
        self.answer(Control::new(flow, header, State::Listen).by(options.service()));
    }

    /// Takes an ACK to a listener for a connection, when it answers a cookie of ours. Says whether it does.
    pub(crate) fn redeem_cookie(&mut self, id: SocketId, flow: Flow, segment: &TcpSegment<'_>) -> bool {
        let (now, header) = (self.cx.now, &segment.header);
        let last = self.sockets.listener_mut(id).and_then(|listener| listener.last_cookie);
        if header.flags.has(Flags::SYN) || last.is_none_or(|last| now.since(last) >= LIFETIME) {
            return false; // nobody can guess at a listener that sent none
        }
        let (irs, cookie) = (header.seq - 1, header.ack - 1);
        let Some(mss) = self.keys.cookies.check(now, &flow, irs, cookie) else {
            self.cx.counters.syncookies_failed += 1;
            return false;
        };
        self.cx.counters.syncookies_recv += 1;
        let Some((_, options)) = self.room_to_accept(id) else {
            self.overflow(flow);
            return true;
        };
        let syn = TcpHeader { seq: irs, ..*header };
        let mut half = self.half_open_from(id, flow, &options, &syn, cookie);
        let carried = half.timestamps.carried(&header.options);
        half.offer = Offer::from_cookie(mss, carried);
        half.ecn = remembers_ecn(carried) && self.cx.config.ecn != EcnPolicy::Off;
        half.sent_at = None;
        half.record_birth(&mut self.cx);
        self.cx.counters.passive_opens += 1;
        let connection = Connection::complete(&mut self.cx, &half, options);
        self.establish(&half, options, connection, segment);
        true
    }

    /// The queue of completed connections is full: counted as Linux counts it.
    pub(crate) fn overflow(&mut self, flow: Flow) {
        self.cx.counters.listen_overflows += 1;
        self.drop_of_listener(flow, DropReason::Backlog);
    }

    /// Something that a listener has no room for.
    pub(crate) fn drop_of_listener(&mut self, flow: Flow, reason: DropReason) {
        self.cx.counters.listen_drops += 1;
        self.cx.dropped(Some(flow), reason);
    }

    /// The queue of half-open ones is full, and there are no cookies. RFC 4987 §3.4: whoever completes does so within a
    /// round trip, so recycling the oldest shuts out nobody for long.
    pub(crate) fn recycle_half_open(&mut self, id: SocketId, flow: Flow) {
        let oldest = self.sockets.listener_mut(id).and_then(|listener| {
            let (_, oldest) = listener.half_open.first_key_value()?;
            Some(*oldest)
        });
        if let Some(oldest) = oldest {
            self.drop_of_listener(flow, DropReason::Backlog);
            self.forget_half_open(oldest, Cause::Aborted);
        }
    }
}
