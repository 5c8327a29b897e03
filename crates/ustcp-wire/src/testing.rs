//! Packets for the tests: fixed ones and any.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use crate::{
    Checksum, FastOpenCookie, Flags, Headers, IpHeader, Protocol, SackBlock, SackBlocks, SeqNum, TcpHeader, TcpOptions,
};
use crate::{Timestamps, writer::patch};

pub(crate) const IP: IpHeader = IpHeader {
    source: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2)),
    destination: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)),
    protocol: Protocol::Tcp,
    traffic_class: 0,
    hop_limit: 64,
    identification: 0,
    dont_fragment: true,
    flow_label: 0,
};

pub(crate) const IP6: IpHeader = IpHeader {
    source: IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
    destination: IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
    flow_label: 0x1_2345,
    ..IP
};

/// A whole packet with a full checksum.
pub(crate) fn packet(ip: &IpHeader, tcp: &TcpHeader, text: &[u8]) -> Vec<u8> {
    let headers = Headers::new(ip, tcp, [text, &[]], Checksum::Full);
    [headers.bytes(), text].concat()
}

/// A whole packet of any payload behind a right IP header.
pub(crate) fn ip_packet(ip: &IpHeader, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [0; 40];
    let mut out = crate::writer::Writer::new(&mut bytes);
    ip.write(payload.len(), &mut out);
    let len = out.len();
    [&bytes[..len], payload].concat()
}

/// IPv6 extension headers: of each its number, and its bytes but for the first, which names the next.
pub(crate) type Extensions<'a> = [(u8, &'a [u8])];

/// An IPv6 packet with `extensions` between header and payload.
pub(crate) fn extended_packet(ip: &IpHeader, extensions: &Extensions<'_>, payload: &[u8]) -> Vec<u8> {
    let mut next = ip.protocol.number();
    let mut bytes = payload.to_vec();
    for (number, rest) in extensions.iter().rev() {
        bytes = [&[next], *rest, &bytes].concat();
        next = *number;
    }
    let protocol = Protocol::Other(next);
    ip_packet(&IpHeader { protocol, ..*ip }, &bytes)
}

/// Makes the IPv4 header of `packet` right again after it was tampered with.
pub(crate) fn repair_ip_checksum(packet: &mut [u8]) {
    let header_len = usize::from(packet[0] & 0x0f) * 4;
    patch(packet, 10, [0, 0]);
    let checksum = crate::Sum::default().add(&packet[..header_len]).checksum();
    patch(packet, 10, checksum.to_be_bytes());
}

/// Any header of either family.
pub(crate) fn any_ip() -> impl Strategy<Value = IpHeader> {
    prop_oneof![any_ipv4(), any_ipv6()]
}

pub(crate) fn any_ipv6() -> impl Strategy<Value = IpHeader> {
    any::<(Ipv6Addr, Ipv6Addr, u8, u8, u32)>().prop_map(|(source, destination, class, hops, label)| IpHeader {
        source: source.into(),
        destination: destination.into(),
        traffic_class: class,
        hop_limit: hops,
        flow_label: label & 0xf_ffff,
        ..IP
    })
}

pub(crate) fn any_ipv4() -> impl Strategy<Value = IpHeader> {
    any::<(Ipv4Addr, Ipv4Addr, u8, u8, u16, bool)>().prop_map(|(source, destination, class, ttl, id, df)| IpHeader {
        source: source.into(),
        destination: destination.into(),
        protocol: Protocol::Tcp,
        traffic_class: class,
        hop_limit: ttl,
        identification: id,
        dont_fragment: df,
        flow_label: 0,
    })
}

pub(crate) fn any_options() -> impl Strategy<Value = TcpOptions> {
    let sack = prop::collection::vec(any::<(u32, u32)>(), 0..=4);
    let cookie = prop::option::of(any_cookie());
    (
        any::<(Option<u16>, Option<u8>, bool, Option<(u32, u32)>)>(),
        cookie,
        sack,
    )
        .prop_map(
            |((mss, window_scale, sack_permitted, stamps), fast_open, sack)| TcpOptions {
                mss,
                window_scale,
                sack_permitted,
                timestamps: stamps.map(|(value, echo)| Timestamps { value, echo }),
                fast_open,
                sack: blocks(&sack),
            },
        )
}

fn any_cookie() -> impl Strategy<Value = FastOpenCookie> {
    (
        any::<[u8; 16]>(),
        prop::sample::select(vec![0, 4, 6, 8, 10, 12, 14, 16]),
    )
        .prop_map(|(bytes, len)| FastOpenCookie::new(&bytes[..len]).unwrap())
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
