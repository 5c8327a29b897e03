//! Urgent data, RFC 9293 §3.8.5, as Linux and every other sockets interface has it (RFC 6093 §3.1): one byte, the last
//! before the pointer, beside the stream or in it.

use ustcp_wire::{Flags, SeqNum, TcpHeader};

use super::connection::Connection;
use crate::{Config, Error, State};

/// The peer's urgent byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Urgent {
    /// There is none, or reading has gone past it.
    #[default]
    None,
    /// It is to come.
    Announced(SeqNum),
    /// It has come and waits for its reader.
    Held(SeqNum, u8),
    /// It has been read as urgent data, but the stream not up to it.
    Taken(SeqNum),
}

impl Urgent {
    /// Where the byte stands: the mark of `SIOCATMARK`.
    pub(crate) fn mark(self) -> Option<SeqNum> {
        match self {
            Urgent::None => None,
            Urgent::Announced(mark) | Urgent::Held(mark, _) | Urgent::Taken(mark) => Some(mark),
        }
    }

    /// The byte at `mark` is urgent. Says whether that is news: marks only move forward.
    fn announce(&mut self, mark: SeqNum) -> bool {
        let news = self.mark().is_none_or(|known| mark.after(known));
        if news {
            *self = Urgent::Announced(mark);
        }
        news
    }

    /// Takes the byte out of `text`, should it be there. Says whether it was.
    fn collect(&mut self, seq: SeqNum, text: &[u8]) -> bool {
        let Urgent::Announced(mark) = *self else { return false };
        let offset = mark.at_or_after(seq).then(|| mark.distance_from(seq));
        let Some(byte) = offset.and_then(|offset| text.get(offset)) else {
            return false;
        };
        *self = Urgent::Held(mark, *byte);
        true
    }
}

/// Where reading goes on: past the urgent byte if that stands at the head and is not of the stream, and no further than
/// to the mark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Bytes to pass over first.
    pub(crate) skip: usize,
    /// Bytes that may be read after them.
    pub(crate) limit: usize,
}

/// Where the urgent byte stands. RFC 9293 MUST-62: the pointer names the one after it. Linux lets 0 stand for itself.
fn urgent_byte(config: &Config, header: &TcpHeader) -> SeqNum {
    let beyond = usize::from(!config.urgent_pointer_names_last);
    header.seq + usize::from(header.urgent).saturating_sub(beyond)
}

impl Connection {
    /// Sixth of §3.10.7.4: the URG bit. `text` is the segment's, from `text_seq` on.
    pub(super) fn check_urg(&mut self, config: &Config, header: &TcpHeader, text: (SeqNum, &[u8])) {
        if header.flags.has(Flags::URG) {
            self.take_urgent_pointer(urgent_byte(config, header));
        }
        if self.rcv.urgent.collect(text.0, text.1) {
            self.arrivals = self.arrivals.wrapping_add(1);
            self.notify = true;
        }
    }

    fn take_urgent_pointer(&mut self, mark: SeqNum) {
        if mark.before(self.rcv.copied()) || mark.before(self.rcv.nxt) {
            return; // read already, or an old segment's
        }
        let at_older_mark = self.rcv.urgent.mark() == Some(self.rcv.copied());
        if self.rcv.urgent.announce(mark) && at_older_mark && !self.options.urgent_inline {
            // The older urgent byte stands at the head of the stream: with its mark it would become part of it.
            self.rcv.ring.consume(1);
        }
    }

    /// What a reader gets who has seen `offset` bytes and taken none of them.
    pub(crate) fn readable_run(&self, offset: usize) -> Run {
        let whole = Run {
            skip: 0,
            limit: usize::MAX,
        };
        let Some(mark) = self.rcv.urgent.mark() else {
            return whole;
        };
        match mark.distance_from(self.rcv.copied()) {
            0 if self.options.urgent_inline => whole,
            0 => Run { skip: 1, ..whole },
            ahead => Run {
                limit: ahead.saturating_sub(offset),
                ..whole
            },
        }
    }

    /// Reading has gone on: a mark that it has passed is forgotten.
    pub(super) fn pass_mark(&mut self) {
        if self
            .rcv
            .urgent
            .mark()
            .is_some_and(|mark| mark.before(self.rcv.copied()))
        {
            self.rcv.urgent = Urgent::None;
            self.notify = true;
        }
    }

    /// Bytes that a reader would get without looking at the urgent one (`FIONREAD`).
    pub(crate) fn queued_in(&self) -> usize {
        let queued = self.rcv.ring.len();
        match self.rcv.urgent.mark() {
            Some(mark) if !self.options.urgent_inline && mark.before(self.rcv.nxt) => {
                mark.distance_from(self.rcv.copied()).min(queued)
            }
            _ => queued,
        }
    }

    /// Bytes that can be read in one go: up to the mark, without the urgent byte at the head.
    pub(crate) fn readable(&self) -> usize {
        let run = self.readable_run(0);
        self.rcv.ring.len().saturating_sub(run.skip).min(run.limit)
    }

    /// `MSG_OOB`: the urgent byte, `None` at the end of the stream. `InvalidArgument` when there is none or it is in the
    /// stream (`SO_OOBINLINE`), `WouldBlock` while it is to come.
    pub(crate) fn recv_urgent(&mut self, peek: bool) -> Result<Option<u8>, Error> {
        if self.options.urgent_inline {
            return Err(Error::InvalidArgument);
        }
        match self.rcv.urgent {
            Urgent::None | Urgent::Taken(_) => Err(Error::InvalidArgument),
            Urgent::Announced(_) if self.read_shut || self.rcv.is_finished() || self.state == State::Closed => Ok(None),
            Urgent::Announced(_) => Err(Error::WouldBlock),
            Urgent::Held(mark, byte) => {
                if !peek {
                    self.rcv.urgent = Urgent::Taken(mark);
                    self.notify = true;
                }
                Ok(Some(byte))
            }
        }
    }

    /// An urgent byte waits: `POLLPRI`.
    pub(super) fn has_urgent(&self) -> bool {
        matches!(self.rcv.urgent, Urgent::Held(..))
    }

    /// The next byte to read is the urgent one (`SIOCATMARK`).
    pub(crate) fn at_mark(&self) -> bool {
        self.rcv.urgent.mark() == Some(self.rcv.copied())
    }

    /// The last byte written so far is urgent.
    pub(super) fn mark_urgent(&mut self) {
        self.snd.up = self.snd.text_end();
    }

    /// SND.UP is beyond what is acknowledged: "urgent mode".
    pub(super) fn is_urgent(&self) -> bool {
        self.snd.up.after(self.snd.una)
    }

    /// The URG bit and pointer of a segment that begins at `seq`.
    pub(super) fn urgent_pointer(&self, seq: SeqNum) -> (Flags, u16) {
        if !self.is_urgent() || !seq.before(self.snd.up) {
            return (Flags(0), 0);
        }
        match u16::try_from(self.snd.up.distance_from(seq)) {
            Ok(pointer) => (Flags::URG, pointer),
            // As Linux: too far for the field, but the peer shall know that something is to come; not so from segments
            // that are sent again.
            Err(_) if (seq + usize::from(u16::MAX)).after(self.snd.nxt) => (Flags::URG, u16::MAX),
            Err(_) => (Flags(0), 0),
        }
    }
}
