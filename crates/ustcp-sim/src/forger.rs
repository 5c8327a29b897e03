//! Someone who knows the two ends of a connection but sees none of its packets: RFC 5961's blind attacker, with more
//! luck than any real one. Nothing that it sends may change what the programs see.

use core::net::SocketAddr;

use ustcp_wire::{Checksum, Flags, Headers, IpHeader, Protocol, SeqNum, TcpHeader};

use crate::Rng;

/// Beyond all that a scenario ever sends.
const FAR: usize = 1 << 24;

/// What the two ways of a connection have come to, from the one who is to be deceived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Whom the segment pretends to come from.
    pub(crate) peer: SocketAddr,
    /// Who gets it.
    pub(crate) target: SocketAddr,
    /// The furthest that the peer has sent.
    pub(crate) peer_next: SeqNum,
    /// The furthest that the target has sent.
    pub(crate) target_next: SeqNum,
}

/// A segment that must be dropped, or answered and nothing more.
pub(crate) fn forge(rng: &mut Rng, standing: &Standing) -> Vec<u8> {
    // Beyond what the peer has sent: inside the window, mostly, and never what the target expects next.
    let inside = standing.peer_next + 1 + rng.size_within(0..=500);
    let outside = standing.peer_next - FAR - rng.size_within(0..=FAR);
    let right = standing.target_next;
    let (seq, ack, flags, text): (SeqNum, SeqNum, Flags, &[u8]) = match rng.below(6) {
        0 => (inside, right, Flags::RST, b""),
        1 => (inside, right, Flags::RST | Flags::ACK, b""),
        2 => (inside, right, Flags::SYN, b""),
        3 => (
            standing.peer_next,
            right + FAR + rng.size_within(0..=FAR),
            Flags::ACK,
            b"believe me",
        ),
        4 => (
            standing.peer_next,
            right - FAR - rng.size_within(0..=FAR),
            Flags::ACK,
            b"long ago",
        ),
        _ => (outside, right, Flags::ACK | Flags::FIN, b"from another life"),
    };
    let header = TcpHeader {
        source_port: standing.peer.port(),
        destination_port: standing.target.port(),
        seq,
        ack,
        flags,
        window: u16::MAX,
        ..TcpHeader::default()
    };
    let ip = IpHeader {
        source: standing.peer.ip(),
        destination: standing.target.ip(),
        protocol: Protocol::Tcp,
        traffic_class: 0,
        hop_limit: 64,
        identification: 0,
        dont_fragment: true,
        flow_label: 0,
    };
    let headers = Headers::new(&ip, &header, [text, &[]], Checksum::Full);
    [headers.bytes(), text].concat()
}
