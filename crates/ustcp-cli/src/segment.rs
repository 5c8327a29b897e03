//! A segment as the diagram reads it.

use ustcp_proto::SegmentSummary;
use ustcp_wire::{Flags, SeqNum, TcpSegment};

/// A segment's figures with their types, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) flags: Flags,
    pub(crate) seq: SeqNum,
    /// `None` without the ACK bit.
    pub(crate) ack: Option<SeqNum>,
    /// Bytes of text.
    pub(crate) len: u32,
    /// Window in bytes.
    pub(crate) window: u32,
    /// How many packets it makes on the wire: more than one for a super-segment.
    pub(crate) packets: u32,
}

impl Segment {
    pub(crate) fn has(&self, flags: Flags) -> bool {
        self.flags.has(flags)
    }

    /// The sequence number after it: RFC 9293's SEG.SEQ + SEG.LEN, where SYN and FIN count as one each.
    pub(crate) fn end(&self) -> SeqNum {
        let controls = usize::from(self.has(Flags::SYN)) + usize::from(self.has(Flags::FIN));
        self.seq + self.len as usize + controls
    }

    /// Whether it takes sequence space, so that the peer must acknowledge it.
    pub(crate) fn occupies(&self) -> bool {
        self.end() != self.seq
    }

    /// Whether it acknowledges everything before `end`.
    pub(crate) fn acknowledges(&self, end: SeqNum) -> bool {
        self.ack.is_some_and(|ack| ack.at_or_after(end))
    }
}

impl From<SegmentSummary> for Segment {
    fn from(summary: SegmentSummary) -> Segment {
        let flags = Flags(summary.flags);
        Segment {
            flags,
            seq: SeqNum(summary.seq),
            ack: flags.has(Flags::ACK).then_some(SeqNum(summary.ack)),
            len: summary.len,
            window: summary.window,
            packets: match summary.segment_size {
                0 => 1,
                size => summary.len.div_ceil(u32::from(size)).max(1),
            },
        }
    }
}

/// As it crossed the device: one packet, its window not scaled.
impl From<&TcpSegment<'_>> for Segment {
    fn from(segment: &TcpSegment<'_>) -> Segment {
        let header = &segment.header;
        Segment {
            flags: header.flags,
            seq: header.seq,
            ack: header.flags.has(Flags::ACK).then_some(header.ack),
            len: u32::try_from(segment.payload.len()).unwrap_or(u32::MAX),
            window: header.window.into(),
            packets: 1,
        }
    }
}
