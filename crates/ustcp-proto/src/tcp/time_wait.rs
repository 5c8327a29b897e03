//! A connection in TIME-WAIT: what is left when only old segments may still come.

use ustcp_wire::{Flags, SeqNum, TcpHeader, TcpOptions, TcpSegment};

use super::Timestamps;
use super::arrival::CHALLENGE_INTERVAL;
use super::connection::Connection;
use crate::{Flow, Instant, SocketId};

#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeWait {
    pub(crate) flow: Flow,
    snd_nxt: SeqNum,
    rcv_nxt: SeqNum,
    timestamps: Timestamps,
    window: u16,
    /// How far the window is shifted.
    pub(crate) scale: u8,
    last_answer: Option<Instant>,
    /// When the 2 MSL have passed.
    pub(crate) due: Instant,
    /// Whether a socket with SO_REUSEADDR may bind to the port meanwhile.
    pub(crate) reuse: bool,
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
            last_answer: None,
            due,
            reuse: connection.options.reuse_address,
            socket,
        }
    }

    /// RFC 9293 §3.10.7.4, TIME-WAIT. `listens`: there is a listener that could take a new connection.
    pub(crate) fn on_segment(&mut self, now: Instant, segment: &TcpSegment<'_>, listens: bool) -> Aftermath {
        let header = &segment.header;
        if header.flags.has(Flags::RST) {
            return Aftermath::Ignore; // RFC 1337: not to be assassinated
        }
        let controls = Flags(header.flags.0 & (Flags::SYN | Flags::ACK | Flags::FIN).0);
        if controls == Flags::SYN && listens && header.seq.after(self.rcv_nxt) {
            return Aftermath::MakeWay(self.snd_nxt); // RFC 9293 MAY-2
        }
        let fin_again = header.flags.has(Flags::FIN) && header.seq + segment.payload.len() + 1 == self.rcv_nxt;
        if fin_again {
            return Aftermath::AnswerAndRestart(self.acknowledgement(now)); // MUST-13: our last ACK was lost
        }
        let says_nothing = segment.payload.is_empty() && header.seq == self.rcv_nxt && !header.flags.has(Flags::SYN);
        if says_nothing
            || self
                .last_answer
                .is_some_and(|last| now.since(last) < CHALLENGE_INTERVAL)
        {
            return Aftermath::Ignore;
        }
        self.last_answer = Some(now);
        Aftermath::Answer(self.acknowledgement(now))
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
