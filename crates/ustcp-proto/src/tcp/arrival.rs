//! SEGMENT ARRIVES, RFC 9293 §3.10.7: its steps, in its order, by name.

use core::ops::ControlFlow;
use core::time::Duration;

use ustcp_wire::{Ecn, Flags, SeqNum, TcpHeader, TcpSegment};

use super::connection::{Connection, Opening};
use super::ecn::Urgency;
use super::receive::AckDebt;
use super::{Offer, reset_for};
use crate::context::Context;
use crate::{Cause, DropReason, Error, Instant, State};

/// A segment as it is worked on: trimmed to what is new and inside the window.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) header: TcpHeader,
    /// SEG.SEQ of the first byte of `text`, or of the FIN.
    seq: SeqNum,
    text: &'a [u8],
    fin: bool,
    ecn: Ecn,
    /// It came with text, SYN or FIN, new or not.
    pub(super) occupied: bool,
    /// The number after the last byte of text as it came.
    text_end: SeqNum,
    /// It is as it was to be expected: Linux's header prediction.
    expected: bool,
}

impl Arrival<'_> {
    /// SEG.SEQ of the first byte of text as it came.
    fn text_seq(&self) -> SeqNum {
        self.header.seq + usize::from(self.header.flags.has(Flags::SYN))
    }

    /// The number after its text and FIN as they came.
    fn end(&self) -> SeqNum {
        self.text_end + usize::from(self.header.flags.has(Flags::FIN))
    }

    /// Something of it is new and inside the window.
    fn is_of_use(&self) -> bool {
        !self.text.is_empty() || self.fin
    }

    fn has(&self, flag: Flags) -> bool {
        self.header.flags.has(flag)
    }
}

/// `Break` is the RFC's "and return": with a segment to send back that belongs to no connection's sequence, or not.
type Step<T> = ControlFlow<Option<TcpHeader>, T>;

const RETURN: Step<()> = ControlFlow::Break(None);

/// Acknowledgements of what cannot be accepted, and challenges, are this far apart for one connection, so that two
/// confused ends do not keep each other busy (Linux's `tcp_invalid_ratelimit`; RFC 5961 §10). Nothing is shared
/// between connections: a shared limit can be felt from outside (CVE-2016-5696).
pub(super) const CHALLENGE_INTERVAL: Duration = Duration::from_millis(500);

/// How long after the RST of RFC 9293 Figure 9 the SYN goes again: enough for the one to arrive before the other.
const SYN_AFTER_RESET: Duration = Duration::from_millis(10);

impl Connection {
    /// Takes in a segment addressed to this connection. Returns an RST to answer with, if that is due.
    pub(crate) fn on_segment(&mut self, cx: &mut Context, segment: &TcpSegment<'_>) -> Option<TcpHeader> {
        self.segments_in = self.segments_in.wrapping_add(1);
        let step = match self.state {
            State::Closed | State::Listen | State::TimeWait => RETURN, // the stack keeps these elsewhere
            State::SynSent => self.segment_arrives_in_syn_sent(cx, segment),
            _ => self.segment_arrives(cx, segment),
        };
        self.watch_memory(cx.now);
        step.break_value().flatten()
    }

    /// §3.10.7.3, SYN-SENT.
    fn segment_arrives_in_syn_sent(&mut self, cx: &mut Context, segment: &TcpSegment<'_>) -> Step<()> {
        let header = &segment.header;
        self.check_ack_of_syn(cx.now, header)?; //    first
        self.check_rst_of_syn(cx, header)?; //        second
        let arrival = self.take_syn(cx, segment)?; // fourth
        if self.state == State::SynReceived {
            return RETURN; // text and FIN wait until ESTABLISHED: unacknowledged, they come again
        }
        self.take_text(cx, &arrival)?;
        self.check_fin(cx);
        self.schedule_acknowledgement(cx);
        ControlFlow::Continue(())
    }

    fn check_ack_of_syn(&mut self, now: Instant, header: &TcpHeader) -> Step<()> {
        // As Linux: a TSecr that our SYN did not carry is no better than such a number.
        let foreign = self
            .syn_sent_at
            .is_some_and(|sent_at| self.timestamps.echo_is_foreign(sent_at, now, &header.options));
        let wrong = header.flags.has(Flags::ACK) && (!self.acknowledges_syn(header.ack) || foreign);
        if !wrong {
            return ControlFlow::Continue(());
        }
        if self.timeouts == 0 && header.ack != self.snd.nxt {
            // As Linux: our RST ends what the peer still had of an earlier connection, so the next SYN is welcome.
            self.timers.retransmission = Some(now + SYN_AFTER_RESET);
        }
        ControlFlow::Break((!header.flags.has(Flags::RST)).then(|| reset_for(header, 0)))
    }

    fn check_rst_of_syn(&mut self, cx: &mut Context, header: &TcpHeader) -> Step<()> {
        if !header.flags.has(Flags::RST) {
            return ControlFlow::Continue(());
        }
        if header.flags.has(Flags::ACK) {
            self.fail(cx, Cause::PeerReset, Error::ConnectionRefused);
        }
        RETURN
    }

    fn take_syn<'a>(&mut self, cx: &mut Context, segment: &TcpSegment<'a>) -> Step<Arrival<'a>> {
        let header = segment.header;
        if !header.flags.has(Flags::SYN) {
            cx.dropped(Some(self.flow), DropReason::State);
            return ControlFlow::Break(None);
        }
        self.note_received(cx);
        self.rcv.synchronize(header.seq, self.rcv.initial_window());
        self.timestamps.accept(cx.now, &header.options);
        self.accept_offer(cx, Offer::from_options(&cx.config, self.family(), &header.options));
        self.snd.set_window(header.seq, header.ack, usize::from(header.window)); // RFC 7323 §2.2: not scaled
        self.ecn.take_syn(header.flags);
        if header.flags.has(Flags::ACK) {
            self.syn_acknowledged(cx, &header, Cause::PeerSynAck);
            self.fast_open_answered(cx, &header);
            self.rcv.owe(AckDebt::Now);
        } else {
            self.enter(cx, Cause::PeerSyn); // simultaneous open: answer with SYN-ACK
            self.syn_pending = true;
            self.timeouts = 0; // the silence that the SYN met is over
            self.rtt.reset_backoff();
        }
        ControlFlow::Continue(Arrival {
            header,
            seq: header.seq + 1,
            text: segment.payload,
            fin: header.flags.has(Flags::FIN),
            ecn: segment.ecn,
            occupied: true,
            text_end: header.seq + 1 + segment.payload.len(),
            expected: false,
        })
    }

    /// §3.10.7.4, all states with both sequence numbers known.
    fn segment_arrives(&mut self, cx: &mut Context, segment: &TcpSegment<'_>) -> Step<()> {
        self.check_flags(cx, &segment.header)?;
        self.check_age(cx, segment)?; //                   RFC 7323 R1
        let arrival = self.check_sequence(cx, segment)?; // first
        self.check_rst(cx, &arrival)?; //                  second
        self.check_syn(cx, &arrival)?; //                  fourth
        self.check_ack(cx, &arrival)?; //                  fifth
        self.take_urgent(cx, &arrival); //                 sixth
        self.take_text(cx, &arrival)?; //                  seventh
        self.check_fin(cx); //                             eighth
        // As Linux, which in its fast path does not look at what it owes when only an acknowledgement has come.
        if arrival.occupied || !arrival.expected {
            self.schedule_acknowledgement(cx);
        }
        ControlFlow::Continue(())
    }

    /// What has none of these says nothing, wherever it stands. RFC 9293 looks at the sequence number first and would
    /// answer some of them; Linux none.
    fn check_flags(&self, cx: &mut Context, header: &TcpHeader) -> Step<()> {
        let Flags(flags) = header.flags;
        if flags & (Flags::ACK | Flags::RST | Flags::SYN).0 != 0 {
            return ControlFlow::Continue(());
        }
        cx.dropped(Some(self.flow), DropReason::State);
        RETURN
    }

    /// Protection against wrapped sequence numbers, RFC 7323 §5.3 R1: a segment from before the last one taken is not
    /// for this turn of the sequence space. Not so for RST, which need not have the option.
    fn check_age(&mut self, cx: &mut Context, segment: &TcpSegment<'_>) -> Step<()> {
        let header = &segment.header;
        if !self.timestamps.is_old(cx.now, &header.options) || header.flags.has(Flags::RST) {
            return ControlFlow::Continue(());
        }
        let occupied = !segment.payload.is_empty() || header.flags.has(Flags::SYN) || header.flags.has(Flags::FIN);
        if !occupied && header.flags.has(Flags::ACK) {
            if self.is_overtaken_duplicate(header) {
                return ControlFlow::Continue(());
            }
            if header.seq.before(self.rcv.nxt) {
                // As Linux: an ACK overtaken by text is common, and nobody waits for an answer to it.
                cx.dropped(Some(self.flow), DropReason::OldTimestamp);
                return RETURN;
            }
        }
        cx.dropped(Some(self.flow), DropReason::OldTimestamp);
        self.answer_unacceptable(cx, segment);
        RETURN
    }

    /// As Linux: a duplicate acknowledgement that another overtook on its way still counts for loss recovery.
    fn is_overtaken_duplicate(&self, header: &TcpHeader) -> bool {
        let window_changes = self.scaled_window(header) != self.snd.wnd;
        let ticks = self.timestamps.lag(&header.options).unwrap_or(0);
        let lag = Duration::from_millis(u64::from(ticks.unsigned_abs()));
        header.seq == self.rcv.nxt && header.ack == self.snd.una && !window_changes && lag <= self.rtt.rto()
    }

    /// First: is any of it inside the window? What is outside is cut off.
    fn check_sequence<'a>(&mut self, cx: &mut Context, segment: &TcpSegment<'a>) -> Step<Arrival<'a>> {
        let mut header = segment.header;
        if self.is_syn_ack_of_simultaneous_open(&header) {
            header.flags = header.flags.without(Flags::SYN | Flags::ECE); // which echoes no mark here
            header.seq += 1;
            header.window >>= self.snd.scale; // RFC 7323 §2.2: that of a SYN is not scaled, and from here on it is
            self.rcv.owe(AckDebt::Now); // as Linux: part of it is old, and gets the answer of what is old
        }
        let syn = usize::from(header.flags.has(Flags::SYN));
        let fin = usize::from(header.flags.has(Flags::FIN));
        let len = segment.payload.len() + syn + fin;
        if !self.rcv.is_acceptable(header.seq, len) {
            return self.refuse(cx, segment, &header);
        }
        ControlFlow::Continue(self.trimmed(header, segment))
    }

    /// The other end of a simultaneous open acknowledges our SYN with its own once more: the SYN is old, the rest is
    /// what SYN-RECEIVED waits for (RFC 9293 Figure 8).
    fn is_syn_ack_of_simultaneous_open(&self, header: &TcpHeader) -> bool {
        self.state == State::SynReceived
            && self.opening == Opening::Active
            && header.flags.has(Flags::SYN | Flags::ACK)
            && header.seq == self.rcv.irs
            && header.ack == self.snd.nxt
    }

    fn refuse<'a>(&mut self, cx: &mut Context, segment: &TcpSegment<'a>, header: &TcpHeader) -> Step<Arrival<'a>> {
        cx.dropped(Some(self.flow), DropReason::OutOfWindow);
        if header.flags.has(Flags::RST) {
            return ControlFlow::Break(None);
        }
        if header.flags.has(Flags::SYN) {
            self.answer_syn(cx, header);
        } else {
            self.answer_unacceptable(cx, segment);
        }
        ControlFlow::Break(None)
    }

    /// RFC 9293 §3.10.7.4: what cannot be accepted is acknowledged.
    fn answer_unacceptable(&mut self, cx: &mut Context, segment: &TcpSegment<'_>) {
        let flags = segment.header.flags;
        if !flags.has(Flags::SYN) && (!segment.payload.is_empty() || flags.has(Flags::FIN)) {
            let seq = segment.header.seq;
            if seq.before(self.rcv.nxt) {
                self.tell_again(seq, seq + segment.payload.len() + usize::from(flags.has(Flags::FIN)));
            }
            self.rcv.owe(AckDebt::Now);
        } else {
            self.challenge(cx);
        }
    }

    /// Of `[start, end)` nothing is of use: our acknowledgement was lost, or the window is full. Tells at once.
    fn tell_again(&mut self, start: SeqNum, end: SeqNum) {
        self.rcv.owe_duplicate();
        self.rcv.note_duplicate(start, end.min(self.rcv.nxt));
        self.acks.hurry(usize::MAX);
    }

    fn trimmed<'a>(&self, header: TcpHeader, segment: &TcpSegment<'a>) -> Arrival<'a> {
        let payload = segment.payload;
        let text_seq = header.seq + usize::from(header.flags.has(Flags::SYN));
        let old = self.rcv.nxt.distance_from(text_seq).min(payload.len());
        let seq = text_seq + old;
        let room = (self.rcv.nxt + self.rcv.window()).distance_from(seq);
        let fresh = payload.get(old..).unwrap_or(&[]);
        let text = fresh.get(..room.min(fresh.len())).unwrap_or(&[]);
        let whole = text.len() == fresh.len() && (room > 0 || seq == self.rcv.nxt);
        let text_end = text_seq + payload.len();
        Arrival {
            header,
            seq,
            text,
            fin: header.flags.has(Flags::FIN) && whole && text_end.at_or_after(self.rcv.nxt),
            ecn: segment.ecn,
            occupied: !payload.is_empty() || header.flags.has(Flags::FIN),
            text_end,
            expected: self.expects(&header),
        }
    }

    /// Whether a segment is the next one of a connection where all goes well, in Linux's sense.
    fn expects(&self, header: &TcpHeader) -> bool {
        self.state == State::Established
            && header.seq == self.rcv.nxt
            && self.rcv.holds_nothing_ahead()
            && self.scaled_window(header) == self.snd.wnd
    }

    /// Second: RST, with RFC 5961 §3.2: only the exact sequence number resets.
    fn check_rst(&mut self, cx: &mut Context, arrival: &Arrival<'_>) -> Step<()> {
        if !arrival.has(Flags::RST) {
            return ControlFlow::Continue(());
        }
        if arrival.header.seq != self.rcv.nxt {
            self.challenge(cx);
            return RETURN;
        }
        self.fail(cx, Cause::PeerReset, self.reset_error());
        RETURN
    }

    /// What a reset in this state means to the user.
    fn reset_error(&self) -> Error {
        match self.state {
            State::SynReceived => Error::ConnectionRefused,
            State::CloseWait => Error::BrokenPipe, // as Linux reports it: the peer had said all it had to say
            _ => Error::ConnectionReset,
        }
    }

    /// Fourth: a SYN inside a connection is answered and nothing more, RFC 5961 §4.2.
    fn check_syn(&mut self, cx: &mut Context, arrival: &Arrival<'_>) -> Step<()> {
        if !arrival.has(Flags::SYN) {
            return ControlFlow::Continue(());
        }
        self.answer_syn(cx, &arrival.header);
        RETURN
    }

    fn answer_syn(&mut self, cx: &mut Context, header: &TcpHeader) {
        if self.state == State::SynReceived && header.seq == self.rcv.irs {
            self.syn_pending = true; // our SYN-ACK was lost
        } else {
            self.challenge(cx);
        }
    }

    /// Fifth: the ACK field.
    fn check_ack(&mut self, cx: &mut Context, arrival: &Arrival<'_>) -> Step<()> {
        let header = &arrival.header;
        self.take_age(cx.now, arrival);
        self.check_ack_is_possible(cx, header)?;
        self.note_received(cx);
        if self.state == State::SynReceived {
            if self.opening == Opening::Passive && !self.is_early() {
                self.snd.max_wnd = 0; // as Linux: that of a SYN to a listener is soon forgotten
            }
            self.snd.set_window(
                arrival.header.seq,
                arrival.header.ack,
                self.scaled_window(&arrival.header),
            );
            self.syn_acknowledged(cx, &arrival.header, Cause::OurSynAcked);
        }
        self.acknowledge(cx, arrival);
        self.check_fin_acked(cx, &arrival.header)
    }

    /// RFC 7323 §5.3 R3, which asks only for the sequence number. As Linux, not where the ACK is of what was never sent,
    /// and where it is old only from a segment that is as it was to be expected (its header prediction).
    fn take_age(&mut self, now: Instant, arrival: &Arrival<'_>) {
        let header = &arrival.header;
        let fresh = header.ack.at_or_after(self.snd.una) || arrival.expected;
        if fresh && header.ack.at_or_before(self.snd.nxt) {
            self.timestamps
                .update(now, header.seq, self.rcv.last_ack_sent, &header.options);
        }
    }

    /// RFC 9293 §3.10.7.4 for what was never sent; RFC 5961 §5.2 for what is too old to come from the peer.
    fn check_ack_is_possible(&mut self, cx: &mut Context, header: &TcpHeader) -> Step<()> {
        let ack = header.ack;
        if self.state == State::SynReceived {
            let acks_syn = ack.after(self.snd.una) && ack.at_or_before(self.snd.nxt);
            return if acks_syn {
                ControlFlow::Continue(())
            } else {
                cx.dropped(Some(self.flow), DropReason::BadAck);
                ControlFlow::Break(Some(reset_for(header, 0)))
            };
        }
        // As Linux: before the first byte that was ever acknowledged there is nothing to be late with.
        let acked = usize::try_from(self.bytes_acked).unwrap_or(usize::MAX);
        let oldest = self.snd.una - self.snd.max_wnd.min(acked);
        if ack.after(self.snd.nxt) || ack.before(oldest) {
            cx.dropped(Some(self.flow), DropReason::BadAck);
            self.challenge(cx);
            return RETURN;
        }
        ControlFlow::Continue(())
    }

    /// Our SYN is acknowledged: the connection is established.
    fn syn_acknowledged(&mut self, cx: &mut Context, header: &TcpHeader, cause: Cause) {
        self.snd.una = self.snd.iss + 1;
        self.snd.nxt = self.snd.nxt.max(self.snd.una);
        self.timers.retransmission = None;
        self.timeouts = 0;
        self.bytes_acked += u64::from(self.opening == Opening::Active); // our SYN counts, as in Linux; not our SYN-ACK
        self.tally.on_timeout_answered(cx.now, self.first_timeout.take());
        self.syn_pending = false;
        let measured = self.syn_sent_at.filter(|_| !self.syn_was_lost);
        let rtt = measured
            .map(|sent_at| cx.now.since(sent_at))
            .or_else(|| self.timestamps.round_trip(cx.now, &header.options));
        if let Some(rtt) = rtt {
            self.rtt.sample(rtt, rtt);
        }
        if self.syn_was_lost {
            self.rtt.after_lost_syn();
            // As Linux: an answer to the first SYN says that it was late, not lost.
            let was_late = |sent_at| self.timestamps.answers(sent_at, &header.options);
            if !self.syn_sent_at.is_some_and(was_late) {
                self.congestion.after_lost_syn(self.snd.mss);
            }
        }
        self.grow_send_buffer();
        self.arrivals = self.arrivals.wrapping_add(1);
        self.enter(cx, cause);
    }

    fn check_fin_acked(&mut self, cx: &mut Context, header: &TcpHeader) -> Step<()> {
        let before = self.state;
        if self.snd.fin_acked() {
            self.enter(cx, Cause::OurFinAcked); // FIN-WAIT-1, CLOSING and LAST-ACK wait for it
        }
        let waits = self.state == State::FinWait2 && before != State::FinWait2;
        if waits && self.orphan && self.start_fin_wait_2(cx) {
            return ControlFlow::Break(Some(reset_for(header, 0)));
        }
        if matches!(self.state, State::Closed | State::TimeWait) {
            RETURN
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Sixth: the URG bit. As Linux, even of a peer that has said it is done.
    fn take_urgent(&mut self, cx: &Context, arrival: &Arrival<'_>) {
        let Arrival { header, seq, text, .. } = arrival;
        self.check_urg(&cx.config, header, (*seq, text));
    }

    /// Seventh: the text, in the states that take it. A FIN is the last of it.
    fn take_text(&mut self, cx: &mut Context, arrival: &Arrival<'_>) -> Step<()> {
        if arrival.end() == arrival.text_seq() || !self.takes_text(arrival) {
            return ControlFlow::Continue(());
        }
        if self.is_deaf() && arrival.text_end.after(self.rcv.nxt) {
            // Nobody will read it: RFC 9293 SHLD-3, RFC 2525 §2.17.
            cx.dropped(Some(self.flow), DropReason::State);
            self.fail(cx, Cause::Aborted, self.reset_error());
            return ControlFlow::Break(Some(reset_for(&arrival.header, arrival.text.len())));
        }
        self.rcv.forget_duplicates();
        if arrival.is_of_use() {
            self.receive_text(cx, arrival);
        } else {
            self.tell_again(arrival.text_seq(), arrival.end());
        }
        ControlFlow::Continue(())
    }

    /// Behind its FIN the peer has nothing to say. As Linux, what begins before that is looked at: it may have come again.
    fn takes_text(&self, arrival: &Arrival<'_>) -> bool {
        match self.state {
            State::SynReceived | State::Established | State::FinWait1 | State::FinWait2 => true,
            State::CloseWait | State::Closing | State::LastAck => arrival.text_seq().before(self.rcv.nxt),
            State::Closed | State::Listen | State::SynSent | State::TimeWait => false,
        }
    }

    /// New text has no reader: the user has gone, or has said all and hears no more, or the peer has said all.
    fn is_deaf(&self) -> bool {
        let ending = !matches!(self.state, State::SynReceived | State::Established);
        self.orphan || ending && (self.read_shut || self.rcv.is_finished())
    }

    /// Text and FIN, of which some are new.
    fn receive_text(&mut self, cx: &mut Context, arrival: &Arrival<'_>) {
        let text = !arrival.text.is_empty();
        if text {
            self.last_text_received = cx.now;
            if self.ecn.take_text(arrival.header.flags, arrival.ecn) == Urgency::AtOnce {
                self.acks.hurry(2);
                self.rcv.owe(AckDebt::Now);
            }
            self.tally.on_text_received(arrival.seq.after(self.rcv.nxt));
        }
        let in_order = self.rcv.nxt;
        self.rcv
            .note_segment_size(arrival.text_end.distance_from(arrival.text_seq()));
        let old = arrival.seq.distance_from(arrival.text_seq());
        self.heed_share(cx);
        let (admitted, fin) = self.admitted(cx, arrival);
        if admitted.is_empty() && text {
            self.rcv.owe_duplicate(); // it is answered as ever and not held
            cx.dropped(Some(self.flow), DropReason::Limit);
        } else if let Err(reason) = self.rcv.take(arrival.seq, old, admitted, fin) {
            cx.dropped(Some(self.flow), reason);
        }
        if self.rcv.share_left == 0 && admitted.len() < arrival.text.len() {
            self.notify |= self.rcv.withdraw(); // who waits for more than there is room for is to read what there is
        }
        if self.rcv.nxt != in_order {
            self.sizing.on_text(cx.now, self.rcv.nxt, self.rcv.window());
            self.arrivals = self.arrivals.wrapping_add(1);
            self.notify = true;
        }
        if text && arrival.seq == in_order {
            self.time_acknowledgement(cx, arrival.text.len());
        }
    }

    /// What of a segment there is memory for, and the FIN behind it.
    fn admitted<'a>(&self, cx: &Context, arrival: &Arrival<'a>) -> (&'a [u8], bool) {
        let ahead = arrival.seq.after(self.rcv.nxt);
        let most = match ahead && cx.under_pressure() {
            true => 0,
            false => self.rcv.room_at(arrival.seq),
        };
        match arrival.text.get(..most) {
            Some(text) if text.len() < arrival.text.len() => (text, false),
            _ => (arrival.text, arrival.fin),
        }
    }

    /// Eighth: the FIN, once everything before it has come.
    fn check_fin(&mut self, cx: &mut Context) {
        if self.rcv.fin_is_next() && self.state.on(Cause::PeerFin).is_some() {
            self.rcv.take_fin();
            self.owe_for_fin();
            self.arrivals = self.arrivals.wrapping_add(1);
            self.enter(cx, Cause::PeerFin);
        }
    }

    /// As Linux: who has heard a peer out is given the time of an acknowledgement to close as well, and to say both in one
    /// segment.
    fn owe_for_fin(&mut self) {
        let may_wait = self.state == State::Established && self.acks.on_fin();
        self.rcv.owe(if may_wait { AckDebt::Delayed } else { AckDebt::Now });
    }

    /// An acknowledgement that proves who we are to a peer who has lost track, or shows an attacker nothing.
    pub(crate) fn challenge(&mut self, cx: &mut Context) {
        if self
            .last_challenge
            .is_some_and(|last| cx.now.since(last) < CHALLENGE_INTERVAL)
        {
            return;
        }
        self.last_challenge = Some(cx.now);
        self.rcv.challenge();
        cx.counters.challenge_acks += 1;
    }

    fn note_received(&mut self, cx: &mut Context) {
        self.last_received = cx.now;
        self.soft_error = None; // as Linux: something comes through
        self.cork.on_segment();
        self.probes = 0;
        if self.timers.keepalive.is_some() {
            self.start_keepalive(cx.now);
        }
    }

    pub(super) fn scaled_window(&self, header: &TcpHeader) -> usize {
        usize::from(header.window) << self.snd.scale
    }
}
