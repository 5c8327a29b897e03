//! Packets that the stack has sent and its owner has not taken.

use std::collections::VecDeque;

use ustcp_proto::{Checksum, Instant, Stack, Transmit};

/// Bytes that may wait to be taken. What comes beyond waits in the stack, and is packed when it can be.
const LIMIT: usize = 16 << 20;

/// Buffers kept for packets to come.
const SPARE: usize = 64;

/// One packet to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The time of the call that made it.
    pub time: Instant,
    /// IP header and all that follows.
    pub bytes: Vec<u8>,
    /// Bytes of text in each of the packets that this one is to be split into; `None`: it is one packet.
    pub segment_size: Option<u16>,
    /// [`Checksum::Offloaded`], with the knob `tso`: the TCP checksum is that of the pseudo-header, and to be completed.
    pub checksum: Checksum,
}

impl Packet {
    /// Where the TCP header begins.
    #[must_use]
    pub fn tcp_offset(&self) -> u8 {
        match self.bytes.first() {
            Some(first) if first >> 4 == 6 => 40, // what we send has no extension headers
            _ => 20,
        }
    }
}

#[derive(Default)]
pub(super) struct Output {
    queue: VecDeque<Packet>,
    bytes: usize,
    spare: Vec<Vec<u8>>,
}

impl Output {
    /// Packs what the stack has to send, as far as there is room.
    pub(super) fn fill(&mut self, stack: &mut Stack, now: Instant) {
        while self.bytes < LIMIT {
            let Some(transmit) = stack.poll_transmit(now) else {
                return;
            };
            let packet = pack(now, &transmit, self.spare.pop().unwrap_or_default());
            self.bytes += packet.bytes.len();
            self.queue.push_back(packet);
        }
    }

    /// Bytes that wait.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<&Packet> {
        self.queue.front()
    }

    /// Drops the oldest; its buffer is used again.
    pub(super) fn remove_first(&mut self) {
        let Some(packet) = self.queue.pop_front() else {
            return;
        };
        self.bytes -= packet.bytes.len();
        if self.spare.len() < SPARE {
            self.spare.push(packet.bytes);
        }
    }
}

fn pack(time: Instant, transmit: &Transmit<'_>, mut bytes: Vec<u8>) -> Packet {
    let [first, second] = transmit.text;
    bytes.clear();
    bytes.extend_from_slice(transmit.headers.bytes());
    bytes.extend_from_slice(first);
    bytes.extend_from_slice(second);
    Packet {
        time,
        bytes,
        segment_size: transmit.segment_size,
        checksum: transmit.checksum,
    }
}
