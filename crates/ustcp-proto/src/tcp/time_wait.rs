//! A connection in TIME-WAIT: what is left when only old segments may still come.

use core::time::Duration;

use ustcp_wire::{Flags, SeqNum, TcpHeader, TcpOptions, TcpSegment};

use super::Timestamps;
use super::arrival::CHALLENGE_INTERVAL;
use super::connection::Connection;
use crate::context::Context;
use crate::ports::Reuse;
use crate::socket::Service;
use crate::{Flow, Instant, SocketId};

/// Linux's `tcp_tw_reuse_delay`: beyond any doubt about whose clock ticked when.
const REUSE_DELAY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeWait {
    pub(crate) flow: Flow,
    snd_nxt: SeqNum,
    rcv_nxt: SeqNum,
    timestamps: Timestamps,
    window: u16,
    /// How far the window is shifted.
    pub(crate) scale: u8,
    /// Nothing is answered before, RST's own limit apart.
    quiet_until: Instant,
    pub(crate) service: Service,
    /// When the 2 MSL have passed.
    pub(crate) due: Instant,
    /// Who may bind to the port meanwhile.
    pub(crate) reuse: Reuse,
    /// The socket it was, which may still have something to read.
    pub(crate) socket: SocketId,
}

/// What a segment does to a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aftermath {
    /// Nothing.
    Ignore,
    /// Acknowledge it.
    Answer(TcpHeader),
    /// Acknowledge it, and wait for the whole 2 MSL once more.
    AnswerAndRestart(TcpHeader),
    /// It is over before its time.
    End,
    /// A new connection may take its place, with an initial sequence number beyond this one's.
    MakeWay(SeqNum),
}

impl TimeWait {
    /// What must be remembered of `connection`, until `due`.
    pub(crate) fn new(connection: &Connection, socket: SocketId, due: Instant) -> TimeWait {
        TimeWait {
            flow: connection.flow,
            snd_nxt: connection.snd.nxt,
            rcv_nxt: connection.rcv.nxt,
            timestamps: connection.timestamps,
            window: u16::try_from(connection.rcv.window() >> connection.rcv.scale).unwrap_or(u16::MAX),
            scale: connection.rcv.scale,
            quiet_until: Instant::ZERO,
            service: connection.options.service(),
            due,
            reuse: Reuse::of(&connection.options),
            socket,
        }
    }

    /// RFC 9293 §3.10.7.4, TIME-WAIT. `listens`: there is a listener that could take a new connection.
    pub(crate) fn on_segment(&mut self, cx: &Context, segment: &TcpSegment<'_>, listens: bool) -> Aftermath {
        let (now, header) = (cx.now, &segment.header);
        if header.flags.has(Flags::RST) {
            return self.on_reset(cx, header);
        }
        let controls = Flags(header.flags.0 & (Flags::SYN | Flags::ACK | Flags::FIN).0);
        if controls == Flags::SYN && self.is_surpassed_by(header) {
            return match listens {
                true => Aftermath::MakeWay(self.snd_nxt),
                false => Aftermath::Answer(self.acknowledgement(now)), // as Linux: no old segment, and no war of ACKs
            };
        }
        let fin_again = header.flags.has(Flags::FIN) && header.seq + segment.payload.len() + 1 == self.rcv_nxt;
        if fin_again {
            return Aftermath::AnswerAndRestart(self.acknowledgement(now)); // MUST-13: our last ACK was lost
        }
        let syn = header.flags.has(Flags::SYN);
        let occupied = !segment.payload.is_empty() || header.flags.has(Flags::FIN);
        if occupied && !syn {
            return Aftermath::Answer(self.acknowledgement(now)); // as Linux: text is no part of a war of ACKs
        }
        if header.seq == self.rcv_nxt && !syn {
            self.timestamps.update(now, header.seq, self.rcv_nxt, &header.options);
            return Aftermath::Ignore;
        }
        if now < self.quiet_until {
            return Aftermath::Ignore;
        }
        self.quiet_until = now + CHALLENGE_INTERVAL;
        Aftermath::Answer(self.acknowledgement(now))
    }

    /// RFC 1337 §3 (F1): an RST does not end it, for it may be the answer to an old duplicate of ours. Linux lets it,
    /// unless told otherwise.
    fn on_reset(&self, cx: &Context, header: &TcpHeader) -> Aftermath {
        let exact = header.seq == self.rcv_nxt && !self.timestamps.is_old(cx.now, &header.options);
        match exact && !cx.config.rfc1337 {
            true => Aftermath::End,
            false => Aftermath::Ignore,
        }
    }

    /// Whether a SYN is newer than all that this connection saw: by its timestamp (RFC 6191 §2, RFC 9293 SHLD-4); where
    /// timestamps do not tell, by its sequence number (MAY-2).
    fn is_surpassed_by(&self, syn: &TcpHeader) -> bool {
        match self.timestamps.lag(&syn.options) {
            Some(lag) if lag != 0 => lag < 0,
            _ => syn.seq.after(self.rcv_nxt),
        }
    }

    /// Beyond which sequence number a new connection of ours to the same peer may begin already, as Linux's
    /// `tcp_tw_reuse` has it: its timestamps must be newer than any that the peer has seen.
    pub(crate) fn may_be_succeeded(&self, now: Instant) -> Option<SeqNum> {
        let stamps_have_moved = self.timestamps.are_on() && now.since(self.timestamps.taken_at()) >= REUSE_DELAY;
        stamps_have_moved.then_some(self.snd_nxt)
    }

    /// The ACK that this end repeats.
    pub(crate) fn acknowledgement(&self, now: Instant) -> TcpHeader {
        TcpHeader {
            source_port: self.flow.local.port(),
            destination_port: self.flow.remote.port(),
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags::ACK,
            window: self.window,
            options: TcpOptions {
                timestamps: self.timestamps.option(now),
                ..TcpOptions::default()
            },
            ..TcpHeader::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ATTACK-39: there may be tens of thousands.
    #[test]
    fn it_is_small() {
        assert!(size_of::<TimeWait>() <= 128);
    }
}
