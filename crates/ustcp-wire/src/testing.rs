//! Packets for the tests: fixed ones and any.

use core::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use crate::{Checksum, Flags, Headers, IpHeader, Protocol, SackBlock, SackBlocks, SeqNum, TcpHeader, TcpOptions};
use crate::{Timestamps, writer::patch};

pub(crate) const IP: IpHeader = IpHeader {
    source: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2)),
    destination: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)),
    protocol: Protocol::Tcp,
    traffic_class: 0,
    hop_limit: 64,
    identification: 0,
    dont_fragment: true,
};

/// A whole packet with a full checksum.
pub(crate) fn packet(ip: &IpHeader, tcp: &TcpHeader, text: &[u8]) -> Vec<u8> {
    let headers = Headers::new(ip, tcp, [text, &[]], Checksum::Full);
    [headers.bytes(), text].concat()
}

/// A whole packet of any payload behind a right IPv4 header.
pub(crate) fn ip_packet(ip: &IpHeader, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [0; 20];
    ip.write(payload.len(), &mut crate::writer::Writer::new(&mut bytes));
    [&bytes, payload].concat()
}

/// Makes the IPv4 header of `packet` right again after it was tampered with.
pub(crate) fn repair_ip_checksum(packet: &mut [u8]) {
    let header_len = usize::from(packet[0] & 0x0f) * 4;
    patch(packet, 10, [0, 0]);
    let checksum = crate::Sum::default().add(&packet[..header_len]).checksum();
    patch(packet, 10, checksum.to_be_bytes());
}

pub(crate) fn any_ip() -> impl Strategy<Value = IpHeader> {
    any::<(Ipv4Addr, Ipv4Addr, u8, u8, u16, bool)>().prop_map(|(source, destination, class, ttl, id, df)| IpHeader {
        source: source.into(),
        destination: destination.into(),
        protocol: Protocol::Tcp,
        traffic_class: class,
        hop_limit: ttl,
        identification: id,
        dont_fragment: df,
    })
}

pub(crate) fn any_options() -> impl Strategy<Value = TcpOptions> {
    let sack = prop::collection::vec(any::<(u32, u32)>(), 0..=4);
    (any::<(Option<u16>, Option<u8>, bool, Option<(u32, u32)>)>(), sack).prop_map(
        |((mss, window_scale, sack_permitted, stamps), sack)| TcpOptions {
            mss,
            window_scale,
            sack_permitted,
            timestamps: stamps.map(|(value, echo)| Timestamps { value, echo }),
            sack: blocks(&sack),
        },
    )
}

pub(crate) fn blocks(edges: &[(u32, u32)]) -> SackBlocks {
    let mut blocks = SackBlocks::NONE;
    for &(start, end) in edges {
        blocks.push(SackBlock {
            start: SeqNum(start),
            end: SeqNum(end),
        });
    }
    blocks
}

/// Any header whose SACK blocks fit behind its other options.
pub(crate) fn any_tcp() -> impl Strategy<Value = TcpHeader> {
    (any::<(u16, u16, u32, u32, u8, u16, u16)>(), any_options()).prop_map(|(fixed, mut options)| {
        let (source_port, destination_port, seq, ack, flags, window, urgent) = fixed;
        let mut bytes = [0; 40];
        let len = options.emit(&mut bytes);
        options.sack = TcpOptions::parse(&bytes[..len]).sack;
        let (seq, ack, flags) = (SeqNum(seq), SeqNum(ack), Flags(flags));
        TcpHeader {
            source_port,
            destination_port,
            seq,
            ack,
            flags,
            window,
            urgent,
            options,
        }
    })
}

pub(crate) fn any_bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=max)
}
