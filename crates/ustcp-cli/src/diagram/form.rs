//! Widths of the diagram's columns, and how numbers stand in them.

use ustcp_proto::Instant;
use ustcp_wire::{Flags, SeqNum};

use super::{Look, Packet, Row, What};
use crate::inferred::Direction;
use crate::segment::Segment;

/// As wide as the diagram is, unless its numbers need more.
pub(super) const COLUMNS: usize = 100;
/// Between the time and our state; on either side of a lifeline stands one space.
pub(super) const GAP: usize = 2;

/// Widths of the columns, and where sequence numbers begin.
pub(super) struct Form {
    pub(super) time: usize,
    pub(super) ours: usize,
    pub(super) middle: usize,
    pub(super) flags: usize,
    pub(super) seq: usize,
    pub(super) ack: usize,
    pub(super) len: usize,
    our_start: SeqNum,
    peers_start: SeqNum,
}

impl Form {
    pub(super) fn of(rows: &[Row], look: Look) -> Form {
        let start = rows.first().map_or(Instant::ZERO, |row| row.at);
        let our_start = start_of(rows, Direction::Out);
        let peers_start = start_of(rows, Direction::In);
        let mut form = Form {
            time: 0,
            ours: 22,
            middle: 0,
            flags: 0,
            seq: 1,
            ack: 1,
            len: 1,
            our_start,
            peers_start,
        };
        for row in rows {
            form.time = form.time.max(milliseconds(start, row.at).len());
            form.ours = form.ours.max(width(&look.before_and_after(row.ours)));
            let packet = match &row.what {
                What::Packet(packet) => packet,
                What::Note { text, .. } => {
                    form.middle = form.middle.max(width(text) + 2);
                    continue;
                }
            };
            let (seq, ack) = form.relative(packet);
            form.flags = form.flags.max(packet.segment.flags.to_string().len());
            form.seq = form.seq.max(digits(seq));
            form.ack = form.ack.max(ack.map_or(1, digits));
            form.len = form.len.max(width(&length(&packet.segment, look)));
        }
        let peers = rows
            .iter()
            .filter_map(|row| row.peers)
            .map(|step| width(&look.after(step)))
            .max()
            .unwrap_or(1);
        let around = form.time + GAP + form.ours + 1 + 1 + 1 + 1 + peers;
        let label = form.flags + form.seq + form.ack + form.len + " seq  ack  len  ".len();
        let arrow = label + "──  ─▶".chars().count();
        form.middle = form.middle.max(arrow).max(COLUMNS.saturating_sub(around));
        form
    }

    /// Sequence and acknowledgement number, each from the SYN of the end that counts so.
    pub(super) fn relative(&self, packet: &Packet) -> (u32, Option<u32>) {
        let (from, to) = match packet.direction {
            Direction::Out => (self.our_start, self.peers_start),
            Direction::In => (self.peers_start, self.our_start),
        };
        let since = |number: SeqNum, start: SeqNum| number.0.wrapping_sub(start.0);
        (
            since(packet.segment.seq, from),
            packet.segment.ack.map(|ack| since(ack, to)),
        )
    }
}

/// The sequence number that counts as zero: that of the SYN, or where there is none, of the first packet.
fn start_of(rows: &[Row], direction: Direction) -> SeqNum {
    let segments = || {
        rows.iter()
            .filter_map(Row::packet)
            .filter(|p| p.direction == direction)
            .map(|p| p.segment)
    };
    let syn = segments().find(|segment| segment.has(Flags::SYN));
    syn.or_else(|| segments().next())
        .map_or(SeqNum(0), |segment| segment.seq)
}

/// Bytes of text; of a super-segment, in how many packets; and a closed window, which is what a sender waits on.
pub(super) fn length(segment: &Segment, look: Look) -> String {
    let Segment {
        len, packets, window, ..
    } = *segment;
    match packets {
        _ if window == 0 && !segment.has(Flags::RST) => format!("{len} win 0"),
        1 => len.to_string(),
        several => format!("{len} {}{several}", look.art().times),
    }
}

pub(super) fn milliseconds(start: Instant, at: Instant) -> String {
    let micros = at.since(start).as_micros();
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

fn digits(number: u32) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}
