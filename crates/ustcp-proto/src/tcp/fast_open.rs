//! Fast Open, RFC 7413: text in the SYN, for a server that has given us a cookie, and from a client that has ours.

use ustcp_wire::{FastOpenCookie, SeqNum, TcpHeader};

use super::Offer;
use super::connection::{Connection, Opening};
use crate::context::Context;
use crate::{SocketId, State};

/// What a connection has to do with Fast Open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FastOpen {
    #[default]
    Off,
    /// Our SYN asks for a cookie.
    Request,
    /// connect has returned, and the SYN waits for the text that it is to carry (`TCP_FASTOPEN_CONNECT`).
    Deferred(Pass),
    /// Our SYN carries text, and this to let it in.
    Text(Pass),
    /// A listener's, which has let text in before the handshake is done.
    Early {
        listener: SocketId,
        /// The SYN-ACK brings this in place of the client's cookie.
        renewal: Option<FastOpenCookie>,
    },
}

/// What a server gave us once; a request for it where none is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    pub(crate) cookie: FastOpenCookie,
    /// The segment size that it announced then, RFC 7413 §4.1.3.
    pub(crate) mss: u16,
}

/// What an attempt has taught us of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    Cookie(Pass),
    /// A SYN with the option met silence, which may be the option's fault.
    Lost,
}

/// Options of a SYN at most, RFC 7413 §4.1.3.2: its text and they share the segment size.
const MOST_OPTIONS: usize = 40;

impl Connection {
    /// The option of our SYN or SYN-ACK, and how much text goes with it. One that is sent again goes plain, RFC 7413 §4.1.3.
    pub(super) fn fast_open_of_syn(&mut self, again: bool) -> (Option<FastOpenCookie>, usize) {
        match self.fast_open {
            FastOpen::Early { renewal, .. } if !again => (renewal, 0),
            _ if again || self.state != State::SynSent => (None, 0),
            FastOpen::Request => (Some(FastOpenCookie::REQUEST), 0),
            FastOpen::Text(pass) => {
                self.take_peer_mss(pass.mss);
                let room = self.packet_text().saturating_sub(MOST_OPTIONS);
                let cookie = Some(pass.cookie).filter(|cookie| !cookie.is_request());
                (cookie, self.snd.ring.len().min(room))
            }
            FastOpen::Off | FastOpen::Deferred(_) | FastOpen::Early { .. } => (None, 0),
        }
    }

    /// The first text is there: the SYN that waited for it goes.
    pub(super) fn begin_deferred(&mut self) {
        if let FastOpen::Deferred(pass) = self.fast_open {
            self.fast_open = FastOpen::Text(pass);
            self.syn_pending = true;
        }
    }

    /// A SYN was not answered in time.
    pub(super) fn fast_open_timed_out(&mut self) {
        if matches!(self.fast_open, FastOpen::Request | FastOpen::Text(_)) && self.timeouts == 1 {
            self.lesson = Some(Lesson::Lost);
        }
    }

    /// The SYN-ACK has come: it may bring a cookie, and what it leaves unacknowledged of the SYN's text goes again at
    /// once, RFC 7413 §4.2.2. That is no sign of congestion.
    pub(super) fn fast_open_answered(&mut self, cx: &Context, header: &TcpHeader) {
        let asked = matches!(self.fast_open, FastOpen::Request | FastOpen::Text(_));
        if let Some(cookie) = header.options.fast_open.filter(|cookie| asked && !cookie.is_request()) {
            let mss = Offer::from_options(&cx.config, self.family(), &header.options).mss;
            self.lesson = Some(Lesson::Cookie(Pass { cookie, mss }));
        }
        if header.ack.after(self.snd.una) {
            self.bytes_acked += self
                .snd
                .in_flight
                .acknowledge(header.ack, cx.now, None, self.snd.mss)
                .bytes as u64;
            self.snd.advance(header.ack);
            self.syn_text_acked = true;
        }
        if self.snd.in_flight.outstanding() > 0 {
            self.snd.in_flight.mark_all_lost();
            drop(self.snd.in_flight.take_losses());
            self.retransmit_pending = true;
        }
    }

    /// Whether an acknowledgement of our SYN can be: of it alone, or of text that it carried too.
    pub(super) fn acknowledges_syn(&self, ack: SeqNum) -> bool {
        ack.after(self.snd.iss) && ack.at_or_before(self.snd.nxt)
    }

    /// The handshake is not done, and yet the user may read and write.
    pub(crate) fn is_early(&self) -> bool {
        matches!(self.fast_open, FastOpen::Early { .. }) && self.state == State::SynReceived
    }

    /// Nothing may be read or written yet.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self.state, State::SynSent | State::SynReceived) && !self.is_early()
    }

    /// A SYN with a good cookie: the connection is its user's from now on, RFC 7413 §4.2.
    pub(crate) fn begin_early(&mut self, listener: SocketId, renewal: Option<FastOpenCookie>, text: &[u8]) {
        debug_assert_eq!(self.opening, Opening::Passive);
        self.fast_open = FastOpen::Early { listener, renewal };
        self.snd.nxt = self.snd.iss;
        self.syn_pending = true;
        self.syn_text_acked = !text.is_empty();
        // What does not fit is not acknowledged, and comes again.
        let _ = self.rcv.take(self.rcv.nxt, 0, text, false);
        self.arrivals = self.arrivals.wrapping_add(1);
    }
}
