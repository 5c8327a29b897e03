//! What the user of a connection can do: SEND, RECEIVE, CLOSE and ABORT of RFC 9293 §3.10.

use core::time::Duration;

use super::connection::Connection;
use super::receive::AckDebt;
use super::{FLOOR, FastOpen};
use crate::context::Context;
use crate::{Cause, Error, Framing, Instant, Options, Shutdown, State};

impl Connection {
    /// SEND: as much of `data` as there is room for, and what the user says of it.
    pub(crate) fn send(&mut self, cx: &Context, data: &[u8], framing: Framing) -> Result<usize, Error> {
        let taken = self.append(cx, data, framing)?;
        if framing.urgent && taken > 0 {
            self.mark_urgent();
        }
        Ok(taken)
    }

    /// How many bytes SEND would take now.
    pub(crate) fn room(&self, cx: &Context) -> usize {
        let space = self.send_space(cx);
        match self.state {
            _ if self.error.is_some() => 0,
            State::SynSent if matches!(self.fast_open, FastOpen::Deferred(_)) => space,
            _ if self.is_opening() => 0,
            State::SynReceived | State::Established | State::CloseWait if !self.snd.fin_queued => {
                self.admits(&cx.config, space)
            }
            _ => 0,
        }
    }

    /// How many more bytes there may be in the send buffer.
    pub(super) fn send_space(&self, cx: &Context) -> usize {
        match cx.has_its_share(self.options.owner) {
            true => self.granted_space(),
            false => self.snd.ring.space(),
        }
    }

    /// The same where its owner has its share.
    fn granted_space(&self) -> usize {
        let granted = FLOOR.max(self.snd.mss).saturating_sub(self.snd.ring.len());
        self.snd.ring.space().min(granted)
    }

    fn append(&mut self, cx: &Context, data: &[u8], framing: Framing) -> Result<usize, Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let granted = data.get(..self.send_space(cx)).unwrap_or(data);
        match self.state {
            State::SynSent if matches!(self.fast_open, FastOpen::Deferred(_)) => {
                let taken = self.snd.ring.append(granted)?;
                self.begin_deferred();
                Ok(taken)
            }
            _ if self.is_opening() => Err(Error::WouldBlock),
            State::SynReceived | State::Established | State::CloseWait if !self.snd.fin_queued => {
                let admitted = self.admits(&cx.config, granted.len());
                let admitted = granted.get(..admitted).unwrap_or(granted);
                let taken = self.snd.ring.append(admitted)?;
                self.cork.on_send(framing);
                if framing.ends_record && taken == data.len() {
                    self.snd.records.mark(self.snd.text_end());
                }
                self.tally.refused = taken < data.len();
                self.notify |= self.tally.refused; // so that the room to come is a change
                if taken == 0 && !data.is_empty() {
                    Err(Error::WouldBlock)
                } else {
                    Ok(taken)
                }
            }
            _ => Err(Error::BrokenPipe),
        }
    }

    /// RECEIVE: what can be read at `offset`; `Ok(0)` at the end of the stream. An error is told once.
    pub(crate) fn peek(&mut self, offset: usize, into: &mut [u8]) -> Result<usize, Error> {
        let run = self.readable_run(offset);
        let room = into.len().min(run.limit);
        let copied = self
            .rcv
            .ring
            .copy_to(run.skip + offset, into.get_mut(..room).unwrap_or_default());
        if copied > 0 || into.is_empty() {
            return Ok(copied);
        }
        if self.rcv.is_finished() {
            return Ok(0); // as Linux: the stream is whole, whatever became of the connection since
        }
        if let Some(error) = self.error.take() {
            self.notify = true;
            return Err(error);
        }
        let at_end = self.read_shut || self.state == State::Closed;
        if at_end { Ok(0) } else { Err(Error::WouldBlock) }
    }

    /// RECEIVE, for good.
    pub(crate) fn recv(&mut self, cx: &Context, into: &mut [u8]) -> Result<usize, Error> {
        let result = self.peek(0, into);
        if !into.is_empty() && matches!(result, Ok(_) | Err(Error::WouldBlock)) {
            self.consume(cx, result.unwrap_or(0)); // as Linux: looking for text beyond the urgent byte passes that
        }
        result
    }

    /// RECEIVE by somebody who is shown what there is, where it is, and says how much of it he has taken.
    pub(crate) fn recv_in_place(
        &mut self,
        cx: &Context,
        take: impl FnOnce(&mut dyn Iterator<Item = &[u8]>) -> usize,
    ) -> Result<usize, Error> {
        let shown = self.readable();
        if shown == 0 {
            return self.recv(cx, &mut [0]); // the end, an error, or not yet
        }
        let skip = self.readable_run(0).skip;
        let taken = take(&mut self.rcv.ring.pieces(skip, shown)).min(shown);
        if taken > 0 {
            self.consume(cx, taken);
        }
        Ok(taken)
    }

    /// The next `count` bytes of the stream have been read.
    pub(crate) fn consume(&mut self, cx: &Context, count: usize) {
        self.heed_share(cx);
        self.rcv.read(self.readable_run(0).skip + count);
        self.pass_mark();
        self.size_receive_buffer(cx.now);
        self.acknowledge_reading();
        self.watch_memory(cx.now);
        self.update_window();
        if !self.text_may_come() && self.rcv.ring.is_empty() {
            self.rcv.ring.clear();
        }
    }

    fn text_may_come(&self) -> bool {
        matches!(self.state, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// The window may have opened: the peer is told if that is worth it.
    fn update_window(&mut self) {
        if self.text_may_come() && !self.rcv.is_finished() && self.rcv.should_update_window() {
            self.rcv.owe(AckDebt::Now);
        }
    }

    /// Its owner may have come to its share, or have it no longer.
    pub(crate) fn heed_share(&mut self, cx: &Context) {
        let left = cx.share_left(self.options.owner);
        let before = core::mem::replace(&mut self.rcv.share_left, left);
        if before == 0 && left > 0 {
            self.update_window();
        }
    }

    /// Its owner has its share no longer: what it says to its user and its peer has changed, whatever it has heeded since.
    pub(crate) fn relieve(&mut self, cx: &Context) {
        self.rcv.share_left = cx.share_left(self.options.owner);
        self.update_window();
        self.notify = true;
    }

    /// It takes no more, of its user or its peer, if its owner has its share, and otherwise would.
    pub(crate) fn lives_by_its_share(&self) -> bool {
        let space = self.snd.ring.space();
        let sending = self.snd.is_worth_writing(space) && !self.snd.is_worth_writing(self.granted_space());
        sending || self.rcv.lives_by_its_share()
    }

    /// CLOSE of one or both halves, RFC 9293 §3.10.4.
    pub(crate) fn shutdown(&mut self, cx: &mut Context, how: Shutdown) {
        if how != Shutdown::Write {
            self.read_shut = true;
            self.arrivals = self.arrivals.wrapping_add(1);
            self.notify = true;
        }
        if how != Shutdown::Read && !self.snd.fin_queued && self.state != State::Closed {
            self.snd.fin_queued = true;
            self.enter(cx, Cause::UserClosed);
        }
    }

    /// The user gives the connection up. `true`: with an RST, because what the peer sent is thrown away
    /// (RFC 9293 SHLD-3, RFC 2525 §2.17) or the user wants it so.
    pub(crate) fn close(&mut self, cx: &mut Context) -> bool {
        self.orphan = true;
        if let Some(reset) = self.breaks_off() {
            self.enter(cx, Cause::Aborted);
            return reset;
        }
        self.shutdown(cx, Shutdown::Write);
        self.rcv.stop();
        if self.state == State::FinWait2 {
            return self.start_fin_wait_2(cx);
        }
        false
    }

    /// Whether close ends the connection at once, and then whether with an RST.
    fn breaks_off(&self) -> Option<bool> {
        let no_linger = self.options.linger == Some(Duration::ZERO);
        let unread = !self.rcv.ring.is_empty();
        let said_all = matches!(self.state, State::Closing | State::LastAck);
        if unread && (self.may_reset() || said_all) {
            return Some(true);
        }
        // As Linux: the peer of CLOSING and LAST-ACK needs no RST, unless it has not heard all.
        let resets = self.may_reset() || said_all && self.snd.has_unsent();
        (no_linger && (resets || said_all)).then_some(resets)
    }

    /// The peer has a connection that an RST would end, RFC 9293 §3.10.5.
    pub(crate) fn may_reset(&self) -> bool {
        matches!(
            self.state,
            State::SynReceived | State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait
        )
    }

    /// Changed options take effect.
    pub(crate) fn set_options(&mut self, now: Instant, options: Options) {
        let keepalive_changed = self.options.keepalive != options.keepalive
            || self.options.keepalive_idle != options.keepalive_idle
            || self.options.keepalive_interval != options.keepalive_interval;
        if options.no_delay && !self.options.no_delay {
            self.cork.on_no_delay();
        }
        self.options = options;
        if let Some(asked) = options.send_buffer {
            self.snd.ring.set_limit(self.limits.send_buffer(asked));
        }
        if let Some(asked) = options.receive_buffer {
            self.rcv.ring.set_limit(self.limits.receive_buffer(asked));
        }
        self.make_room_for_mark();
        self.rcv.set_clamp(options.window_clamp);
        self.update_mss();
        self.congestion.select(options.congestion, self.snd.mss);
        if keepalive_changed {
            self.start_keepalive(now);
        }
        self.notify = true;
    }

    /// RFC 9293 MUST-26: the clock of keepalive starts when the connection falls silent.
    pub(crate) fn start_keepalive(&mut self, now: Instant) {
        let alive = self.state.is_synchronized() && self.state != State::TimeWait;
        self.timers.keepalive = (self.options.keepalive && alive).then(|| now + self.options.keepalive_idle);
    }
}
