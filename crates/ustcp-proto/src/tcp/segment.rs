//! The segments a connection makes: their headers, and which bytes of the send buffer go with them.

use ustcp_wire::{Ecn, Flags, SeqNum, TcpHeader, TcpOptions};

use super::connection::Connection;
use super::receive::AckDebt;
use crate::context::Context;
use crate::{Instant, State};

/// The most that a TCP header has room for.
const MAX_OPTIONS: usize = 40;

/// One segment to leave: its header, and which bytes of the send buffer go with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) header: TcpHeader,
    /// Offset and length in the send ring.
    pub(crate) text: (usize, usize),
    /// Bytes of text in each packet, when the device is to split it.
    pub(crate) segment_size: Option<u16>,
    pub(crate) retransmission: bool,
    /// Routers that are congested may mark it, RFC 3168.
    pub(crate) ecn: Ecn,
    /// Routers may cut it; this tells its pieces from others'.
    pub(crate) identification: Option<u16>,
}

impl Outgoing {
    /// A header without text.
    pub(crate) fn bare(header: TcpHeader, retransmission: bool) -> Outgoing {
        Outgoing {
            header,
            text: (0, 0),
            segment_size: None,
            retransmission,
            ecn: Ecn::NotCapable,
            identification: None,
        }
    }
}

/// The RST that answers a segment, RFC 9293 §3.10.7.1. `text_len` counts with SYN and FIN when it had no ACK.
pub(crate) fn reset_for(header: &TcpHeader, text_len: usize) -> TcpHeader {
    let reply = TcpHeader {
        source_port: header.destination_port,
        destination_port: header.source_port,
        ..TcpHeader::default()
    };
    if header.flags.has(Flags::ACK) {
        return TcpHeader {
            seq: header.ack,
            flags: Flags::RST,
            ..reply
        };
    }
    let controls = usize::from(header.flags.has(Flags::SYN)) + usize::from(header.flags.has(Flags::FIN));
    TcpHeader {
        ack: header.seq + text_len + controls,
        flags: Flags::RST | Flags::ACK,
        ..reply
    }
}

impl Connection {
    pub(super) fn transmit_syn(&mut self, cx: &mut Context) -> Outgoing {
        let answers = self.state != State::SynSent; // FIN-WAIT-1 too, when the user closed in SYN-RECEIVED
        let again = self.snd.nxt.after(self.snd.iss);
        let (fast_open, text) = self.fast_open_of_syn(again);
        let again = self.snd.nxt.after(self.snd.iss);
        let header = TcpHeader {
            seq: self.snd.iss,
            ack: if answers { self.rcv.nxt } else { SeqNum(0) },
            flags: if answers {
                Flags::SYN | Flags::ACK | self.ecn.answer()
            } else {
                Flags::SYN | self.ecn.ask(cx.config.ecn, again, cx.config.ecn_fallback)
            },
            window: self.rcv.initial_window(),
            options: TcpOptions {
                mss: Some(self.announced_mss()),
                window_scale: self.window_scaling.then_some(self.rcv.scale),
                sack_permitted: self.rcv.sack,
                timestamps: self.timestamps.option(cx.now),
                fast_open,
                ..TcpOptions::default()
            },
            ..self.header()
        };
        if !again {
            self.syn_sent_at = Some(cx.now);
            self.snd.nxt = self.snd.iss + 1 + text;
        }
        if text > 0 {
            self.snd.in_flight.sent(self.snd.iss + 1, self.snd.nxt, cx.now);
            self.bytes_sent += text as u64;
            self.last_text_sent = cx.now;
        }
        self.timers.retransmission = Some(cx.now + self.rtt.rto());
        Outgoing {
            text: (0, text),
            ..Outgoing::bare(header, again)
        }
    }

    pub(super) fn bare_ack(&mut self, now: Instant) -> Outgoing {
        Outgoing::bare(self.acknowledging_header(now, self.snd.nxt), false)
    }

    /// The segment that carries `[start, end)` of what there is to send.
    pub(super) fn segment(&mut self, cx: &Context, start: SeqNum, end: SeqNum, retransmission: bool) -> Outgoing {
        let text_end = self.snd.text_end();
        let len = end.min(text_end).distance_from(start);
        let each = self.packet_text();
        let fin = end.after(text_end);
        let mut header = self.acknowledging_header(cx.now, start);
        if len > 0 && (end.at_or_after(text_end) || self.snd.records.left(start) == len) {
            header.flags |= Flags::PSH; // RFC 9293 MUST-61
        }
        if fin {
            header.flags |= Flags::FIN;
        }
        // RFC 3168 §6.1.4, §6.1.5: acknowledgements and what is sent again are not marked.
        let markable = len > 0 && !retransmission && self.ecn.is_agreed();
        if markable {
            header.flags |= self.slowed_down();
        }
        self.bytes_sent += len as u64;
        self.tally.on_text_sent(len.div_ceil(each));
        self.last_text_sent = cx.now;
        if len > 0 {
            self.acks.on_text_sent(cx.now);
        }
        Outgoing {
            header,
            text: (self.snd.offset_of(start), len),
            segment_size: (len > each).then(|| u16::try_from(each).unwrap_or(u16::MAX)),
            retransmission,
            ecn: if markable { Ecn::Capable0 } else { Ecn::NotCapable },
            identification: self.next_identification(len),
        }
    }

    /// ACK, window, urgent pointer, timestamps and SACK blocks as of now; what was owed is paid.
    pub(super) fn acknowledging_header(&mut self, now: Instant, seq: SeqNum) -> TcpHeader {
        let window = self.rcv.announce();
        let sack = self.rcv.take_sack_blocks(self.sack_room());
        self.acks.on_ack_sent(self.rcv.debt != AckDebt::None);
        self.rcv.acknowledged();
        self.timers.delayed_ack = None;
        let (urg, urgent) = self.urgent_pointer(seq);
        TcpHeader {
            seq,
            ack: self.rcv.nxt,
            flags: Flags::ACK | urg | self.ecn.echo(),
            window,
            urgent,
            options: TcpOptions {
                sack,
                timestamps: self.timestamps.option(now),
                ..TcpOptions::default()
            },
            ..self.header()
        }
    }

    /// Text that one packet carries: the MSS, which timestamps are taken off already, less the SACK option of RFC 6691.
    pub(super) fn packet_text(&self) -> usize {
        let blocks = self.rcv.sack_block_count().min(self.sack_room());
        let options = if blocks > 0 { 4 + 8 * blocks } else { 0 };
        // As Linux, RFC 9293 §3.8.6.2.1: no more than half of what the peer's window ever was, or each would fill it.
        let half = match self.snd.max_wnd {
            0 => usize::MAX,
            small if small <= usize::from(self.family().default_mss()) => small,
            large => large / 2,
        };
        self.snd.mss.min(half).saturating_sub(options).max(1)
    }

    /// SACK blocks that take at most half of a packet, however small that is, and that have room beside timestamps.
    fn sack_room(&self) -> usize {
        let beside_timestamps = (MAX_OPTIONS - self.timestamps.overhead()).saturating_sub(4) / 8;
        beside_timestamps.min((self.snd.mss / 2).saturating_sub(4) / 8)
    }

    /// The RST that ends this connection from our side, RFC 9293 §3.10.5.
    pub(crate) fn reset(&self, now: Instant) -> TcpHeader {
        TcpHeader {
            seq: self.snd.nxt,
            ack: self.rcv.nxt,
            flags: Flags::RST | Flags::ACK,
            window: self.rcv.window_as_known(), // of no use to anybody, but Linux's have it, and SACK blocks
            options: TcpOptions {
                sack: self.rcv.sack_blocks(self.sack_room()),
                timestamps: self.timestamps.option(now),
                ..TcpOptions::default()
            },
            ..self.header()
        }
    }

    fn header(&self) -> TcpHeader {
        TcpHeader {
            source_port: self.flow.local.port(),
            destination_port: self.flow.remote.port(),
            ..TcpHeader::default()
        }
    }
}
