use ustcp_wire::{Flags, Headers, IpHeader, Protocol, SeqNum, TcpHeader, TcpOptions};

use super::*;

const OURS: &str = "10.77.0.2:40000";
const PEERS: &str = "10.77.0.1:80";

fn packet(from: &str, to: &str, text: &[u8]) -> Vec<u8> {
    let [from, to]: [SocketAddr; 2] = [from, to].map(|end| end.parse().unwrap());
    let ip = IpHeader {
        source: from.ip(),
        destination: to.ip(),
        protocol: Protocol::Tcp,
        traffic_class: 0,
        hop_limit: 64,
        identification: 0,
        dont_fragment: true,
        flow_label: 0,
    };
    let tcp = TcpHeader {
        source_port: from.port(),
        destination_port: to.port(),
        seq: SeqNum(7),
        ack: SeqNum(8),
        flags: Flags::ACK,
        window: 500,
        urgent: 0,
        options: TcpOptions::default(),
    };
    let headers = Headers::new(&ip, &tcp, [text, &[]], Checksum::Full);
    [headers.bytes(), text].concat()
}

/// An enhanced packet block as ustcp writes it; an option before the flags must not matter.
fn enhanced(time: u64, direction: u32, packet: &[u8]) -> Vec<u8> {
    let length = u32::try_from(packet.len()).unwrap();
    let mut body = Vec::new();
    for word in [0, (time >> 32) as u32, time as u32, length, length] {
        body.extend(word.to_le_bytes());
    }
    body.extend(packet);
    body.extend(vec![0; packet.len().wrapping_neg() % 4]);
    body.extend(*b"\x01\0\x03\0abc\0\x02\0\x04\0");
    body.extend(direction.to_le_bytes());
    body.extend([0; 4]);
    block_of(ENHANCED_PACKET, &body)
}

fn block_of(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
    [&kind.to_le_bytes(), &length, body, &length].concat()
}

fn a_file() -> Vec<u8> {
    let mut spoilt = packet(OURS, PEERS, b"text");
    *spoilt.last_mut().unwrap() ^= 1;
    [
        block_of(0x0A0D_0D0A, &[0; 16]),
        enhanced(5 << 32 | 6, 2, &packet(OURS, PEERS, b"hello")),
        enhanced(1, 1, b"\x60not a packet"),
        enhanced(2, 1, &spoilt),
        enhanced(5 << 32 | 7, 1, &packet(PEERS, OURS, b"")),
    ]
    .concat()
}

#[test]
fn segments_are_read_with_their_time_and_their_way() {
    let flow = Flow {
        local: OURS.parse().unwrap(),
        remote: PEERS.parse().unwrap(),
    };
    let record = |time, direction, len| Record {
        time,
        direction,
        flow,
        segment: Segment {
            flags: Flags::ACK,
            seq: SeqNum(7),
            ack: Some(SeqNum(8)),
            len,
            window: 500,
            packets: 1,
        },
    };
    let expected = [
        record(5 << 32 | 6, Direction::Out, 5),
        record(5 << 32 | 7, Direction::In, 0),
    ];
    assert_eq!(read(&a_file()), expected);
}

#[test]
fn a_file_that_breaks_off_or_lies_is_read_as_far_as_it_goes() {
    let file = a_file();
    for end in 0..file.len() {
        assert!(read(&file[..end]).len() < 2);
    }
    for at in 0..file.len() {
        for wrong in [0, 1, 0x7f, 0xff] {
            let mut file = file.clone();
            file[at] = wrong;
            assert!(read(&file).len() <= 2);
        }
    }
}
