//! A capture that ustcp wrote (`USTCP_PCAP`), read back: the packets that the device gave and took. The weather stands
//! between the device and the stack, so what it keeps from us is in here and in no event.

use std::net::SocketAddr;

use ustcp_proto::Flow;
use ustcp_wire::{Checksum, IpPacket, TcpSegment};

use crate::inferred::Direction;
use crate::segment::Segment;

/// pcapng's enhanced packet block; the other blocks that ustcp writes are of no interest here.
const ENHANCED_PACKET: u32 = 6;
/// Before the packet in its block: interface, time, two lengths.
const PACKET_AT: usize = 20;
const OPT_END: u16 = 0;
const EPB_FLAGS: u16 = 2;

/// One TCP segment on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
    pub(crate) direction: Direction,
    pub(crate) flow: Flow,
    /// Its window is as on the wire, not scaled.
    pub(crate) segment: Segment,
}

/// The sound TCP segments of a file, up to where it ends or breaks off.
pub(crate) fn read(mut file: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((kind, body, rest)) = block(file) {
        if kind == ENHANCED_PACKET {
            records.extend(record(body));
        }
        file = rest;
    }
    records
}

/// Type, body, and what follows.
fn block(file: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (kind, length) = (word(file, 0)?, usize::try_from(word(file, 4)?).ok()?);
    let body = file.get(8..length.checked_sub(4)?)?;
    Some((kind, body, file.get(length..)?))
}

fn record(body: &[u8]) -> Option<Record> {
    let time = u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?);
    let kept = usize::try_from(word(body, 12)?).ok()?;
    let packet = body.get(PACKET_AT..PACKET_AT.checked_add(kept)?)?;
    let direction = direction(body.get(PACKET_AT + kept.next_multiple_of(4)..)?)?;
    let ip = IpPacket::parse(packet).ok()?;
    let tcp = TcpSegment::parse(&ip.header, ip.payload, Checksum::Full).ok()?;
    let source = SocketAddr::new(ip.header.source, tcp.header.source_port);
    let destination = SocketAddr::new(ip.header.destination, tcp.header.destination_port);
    let (local, remote) = match direction {
        Direction::Out => (source, destination),
        Direction::In => (destination, source),
    };
    Some(Record {
        time,
        direction,
        flow: Flow { local, remote },
        segment: Segment::from(&tcp),
    })
}

/// The lowest two bits of the option: 1 inbound, 2 outbound.
fn direction(mut options: &[u8]) -> Option<Direction> {
    loop {
        let (code, length) = (half(options, 0)?, usize::from(half(options, 2)?));
        match code {
            OPT_END => return None,
            EPB_FLAGS => break,
            _ => options = options.get(4 + length.next_multiple_of(4)..)?,
        }
    }
    match word(options, 4)? & 3 {
        1 => Some(Direction::In),
        2 => Some(Direction::Out),
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*word))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let half = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*half))
}

#[cfg(test)]
mod tests;
