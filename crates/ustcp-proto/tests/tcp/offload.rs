//! Super-segments: what a device splits and merges counts by the segment's size, never by packets.

use ustcp_proto::{Config, Error};
use ustcp_wire::{Flags, IpPacket};

use crate::wire::*;

/// A peer with a scaled window behind a device that splits, and a megabyte written.
fn offloaded(offer: &str) -> Wire {
    let mut w = Wire::connected_to(
        Config {
            segmentation_offload: 65_535,
            send_buffer: 4 << 20,
            ..config()
        },
        &format!("win 65535 <mss 1000,ws 7{offer}>"),
    );
    w.peer(". 1:1(0) ack 1");
    w
}

/// Text lengths and segment sizes of all that goes out now.
fn sizes(w: &mut Wire) -> Vec<(usize, Option<u16>)> {
    let mut sizes = Vec::new();
    while let Some(transmit) = w.stack.poll_transmit(w.now) {
        let len = transmit.text.iter().map(|part| part.len()).sum();
        sizes.push((len, transmit.segment_size));
        let packet = transmit.to_vec();
        let ip = IpPacket::parse(&packet).expect("a packet");
        assert_eq!(ip.payload.len(), len + 20);
    }
    sizes
}

/// 5681-1: the initial window is ten segments, in one piece or more.
#[test]
fn the_first_flight_is_one_piece() {
    let mut w = offloaded("");
    w.write(1 << 20);
    assert_eq!(sizes(&mut w), [(10_000, Some(1000))]);
}

/// A piece that needs no split says so, and the rest of a write is a small segment of its own or the end of the last.
#[test]
fn small_pieces_are_not_split() {
    let mut w = offloaded("");
    w.write(1000);
    assert_eq!(sizes(&mut w), [(1000, None)]);
    w.write(2500);
    let sent = sizes(&mut w);
    assert_eq!(sent.iter().map(|(len, _)| len).sum::<usize>(), 2500);
    assert!(sent.iter().all(|(len, size)| (*len > 1000) == size.is_some()));
}

/// 5681-4: an ACK of a whole piece grows the window by what it acknowledges.
#[test]
fn slow_start_in_bytes() {
    let mut w = offloaded("");
    w.write(4 << 20);
    let mut acked = 1;
    for flight in [10_000, 20_000, 40_000, 80_000, 160_000] {
        let sent: usize = sizes(&mut w).iter().map(|(len, _)| len).sum();
        assert_eq!(sent, flight);
        acked += sent as i64;
        w.after(ms(10));
        w.now = w.now + ms(1);
        w.peer(&format!(". 1:1(0) ack {acked}"));
    }
    assert!(sizes(&mut w).iter().all(|(len, _)| *len <= 65_535));
}

/// 6298-7: a timeout sends one segment, not the piece it left in.
#[test]
fn a_timeout_sends_one_segment() {
    let mut w = offloaded("");
    w.write(1 << 20);
    assert_eq!(sizes(&mut w), [(10_000, Some(1000))]);
    w.after(ms(200));
    w.sees(". 1:1001(1000) ack 1");
    w.quiet();
    w.peer(". 1:1(0) ack 1001");
    let again: Vec<_> = w.drain().iter().map(|segment| (segment.seq, segment.len)).collect();
    assert_eq!(
        again,
        [(10_001, 2000)],
        "new text, which shows whether the timeout was right"
    );
    w.peer(". 1:1(0) ack 1001");
    let again: Vec<_> = w.drain().iter().map(|segment| (segment.seq, segment.len)).collect();
    assert_eq!(again, [(1001, 1000)]);
}

/// SACK of parts of a piece: only what is missing goes again, segment by segment.
#[test]
fn sack_cuts_a_piece() {
    let mut w = offloaded(",sackOK");
    w.write(10_000);
    assert_eq!(sizes(&mut w).len(), 1);
    w.peer(". 1:1(0) ack 1 <sack 2001:4001 5001:10001>");
    let again: Vec<_> = w.drain().iter().map(|segment| (segment.seq, segment.len)).collect();
    assert_eq!(again, [(1, 1000), (1001, 1000), (4001, 1000)]);
    assert_eq!(w.info().sacked, 7);
}

/// The FIN goes with the last piece.
#[test]
fn the_fin_of_a_piece() {
    let mut w = offloaded("");
    w.write(2500);
    w.shutdown(ustcp_proto::Shutdown::Write);
    let last = w.drain().pop().expect("text");
    assert_eq!(
        (last.seq + last.len as i64, last.flags),
        (2501, Flags::FIN | Flags::PSH | Flags::ACK)
    );
    assert_eq!(w.try_write(1), Err(Error::BrokenPipe));
}

/// SHLD-19: a merged segment of several is acknowledged at once, and its pieces count as segments.
#[test]
fn a_merged_segment_is_acknowledged_at_once() {
    let mut w = Wire::connected();
    w.peer(". 1:30001(30000) ack 1");
    w.sees(". 1:1(0) ack 30001");
    w.quiet();
    assert_eq!(w.read(99_999), Ok(30_000));
}

/// The limit that the user has set by the time the peer names its own is the size of the segments that the device makes.
#[test]
fn the_users_limit_is_the_segments_size() {
    let mut w = Wire::connecting(Config {
        segmentation_offload: 65_535,
        ..config()
    });
    w.set(|options| options.max_segment = Some(500));
    w.peer(&format!("S. 0:0(0) ack 1 {PLAIN}"));
    w.sees(". 1:1(0) ack 1");
    w.write(5000);
    assert_eq!(sizes(&mut w), [(5000, Some(500))]);
}
