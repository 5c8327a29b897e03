//! ICMP: RFC 792, RFC 1122 §3.2.2 and §4.2.3.9, RFC 1191, RFC 5927.

use ustcp_proto::{DropReason, Error, State};
use ustcp_wire::{IpPacket, Protocol, Sum};

use crate::wire::*;

fn icmp(kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    icmp_packet(OURS, kind, code, rest, body)
}

/// An error about a segment of ours: its first 28 bytes are quoted.
fn about(segment: &[u8], kind: u8, code: u8, mtu: u16) -> Vec<u8> {
    let [high, low] = mtu.to_be_bytes();
    icmp(kind, code, [0, 0, high, low], &segment[..28])
}

const UNREACHABLE: u8 = 3;

/// A text segment of 1,460 bytes in flight, as bytes.
fn in_flight() -> (Wire, Vec<u8>) {
    let mut w = Wire::connected_to(config(), "win 65535 <mss 1460>");
    w.write(14_600);
    let first = w.next_packet().expect("text");
    w.drain();
    (w, first)
}

/// 1122-4: an echo request comes back with its data, whatever its length.
#[test]
fn echo() {
    let mut w = Wire::new(config(), WE_LISTEN);
    for len in [0, 1, 56, 1000, 20_000] {
        let data = text(1, len);
        w.inject(&icmp(8, 0, [1, 2, 3, 4], &data));
        let reply = w.next_packet().expect("a reply");
        let ip = IpPacket::parse(&reply).expect("a packet");
        assert_eq!(
            (ip.header.source, ip.header.destination, ip.header.protocol),
            (OURS, PEERS, Protocol::Icmp)
        );
        assert_eq!(
            (ip.payload[..2].to_vec(), &ip.payload[4..8], &ip.payload[8..]),
            (vec![0, 0], &[1, 2, 3, 4][..], &data[..])
        );
        assert!(Sum::default().add(ip.payload).verifies());
    }
    assert_eq!(w.stack.counters().echo_replies, 5);
}

/// A wrong checksum or another type brings no answer.
#[test]
fn no_answer_to_other_icmp() {
    let mut w = Wire::new(config(), WE_LISTEN);
    let mut bad = icmp(8, 0, [0; 4], b"data");
    bad[30] ^= 1;
    w.inject(&bad);
    for kind in (0..=255).filter(|kind| *kind != 8) {
        w.inject(&icmp(kind, 0, [0; 4], b"data"));
    }
    assert!(w.next_packet().is_none());
    assert_eq!(w.drops(DropReason::Checksum), 1);
}

/// 1191-1: the path carries less: the segment size falls, and what was too large goes again at once, with no word to
/// congestion control.
#[test]
fn fragmentation_needed() {
    let (mut w, first) = in_flight();
    let before = w.info();
    w.inject(&about(&first, UNREACHABLE, 4, 1400));
    assert_eq!((w.info().pmtu, w.info().snd_mss), (1400, 1360));
    w.sees(". 1:1361(1360) ack 1");
    assert_eq!((w.info().ssthresh, w.info().retransmits), (before.ssthresh, 0));
    let mut end = 1361;
    while w.stack.queued_out(w.id()) != Ok(0) {
        w.peer(&format!(". 1:1(0) ack {end}"));
        for segment in w.drain() {
            assert!(segment.len <= 1360);
            end = end.max(segment.seq + segment.len as i64);
        }
    }
}

/// 5927-1, MUST-54: only what quotes a segment that may be in flight is believed.
#[test]
fn a_quote_out_of_flight_is_ignored() {
    let (mut w, first) = in_flight();
    for offset in [-1, 14_601, 1_000_000, -1_000_000] {
        let mut quoted = first.clone();
        let seq = u32::from_be_bytes(*quoted[24..28].first_chunk().expect("four")).wrapping_add_signed(offset);
        quoted[24..28].copy_from_slice(&seq.to_be_bytes());
        w.inject(&about(&quoted, UNREACHABLE, 4, 1000));
        assert_eq!(w.info().pmtu, 1500, "{offset}");
    }
    let mut other = first.clone();
    other[20] ^= 1; // another port
    w.inject(&about(&other, UNREACHABLE, 4, 1000));
    assert_eq!((w.info().pmtu, w.drops(DropReason::OutOfWindow)), (1500, 5));
}

/// ATTACK-9, 5927-3, 1191-2: never up, never below 552, and where the router names no size, the next plateau.
#[test]
fn sizes_that_routers_name() {
    for (named, pmtu) in [
        (1499, 1499),
        (1500, 1500),
        (9000, 1500),
        (68, 552),
        (1, 552),
        (551, 552),
        (0, 1492),
    ] {
        let (mut w, first) = in_flight();
        w.inject(&about(&first, UNREACHABLE, 4, named));
        assert_eq!(w.info().pmtu, pmtu, "{named}");
    }
}

/// SHLD-26: in SYN-SENT port and protocol unreachable are believed; and so is, as in Linux, what RFC 9293 does not list.
#[test]
fn hard_errors_end_an_attempt() {
    for (code, error) in [
        (2, Error::ProtocolUnreachable),
        (3, Error::ConnectionRefused),
        (6, Error::NetworkUnreachable),
        (7, Error::HostDown),
        (8, Error::HostIsolated),
        (9, Error::NetworkUnreachable),
        (10, Error::HostUnreachable),
        (11, Error::NetworkUnreachable),
        (12, Error::HostUnreachable),
        (13, Error::HostUnreachable),
        (15, Error::HostUnreachable),
    ] {
        let mut w = Wire::new(config(), WE_CONNECT);
        w.connect();
        let syn = w.next_packet().expect("a SYN");
        w.inject(&about(&syn, UNREACHABLE, code, 0));
        assert_eq!((w.state(), w.take_error()), (State::Closed, Some(error)), "{code}");
    }
}

/// MUST-56, SHLD-25, MUST-47, 5461-1: the others are hints: the attempt goes on, and when it fails they say why.
#[test]
fn soft_errors_are_the_reason_in_the_end() {
    for (kind, code, reason) in [
        (UNREACHABLE, 0, Error::NetworkUnreachable),
        (UNREACHABLE, 1, Error::HostUnreachable),
        (UNREACHABLE, 5, Error::SourceRouteFailed),
        (11, 0, Error::HostUnreachable),
        (12, 0, Error::ProtocolError),
    ] {
        let mut w = Wire::new(config(), WE_CONNECT);
        w.connect();
        let syn = w.next_packet().expect("a SYN");
        w.inject(&about(&syn, kind, code, 0));
        assert_eq!(w.state(), State::SynSent);
        w.sees_syns();
        w.elapse(secs(300));
        assert_eq!(w.take_error(), Some(reason), "{kind} {code}");
    }
}

/// RFC 5461 §4: where the configuration says so, the soft ones end an attempt at once, as in Linux, and no connection.
#[test]
fn soft_errors_end_an_attempt_where_configured() {
    let mut eager = config();
    eager.soft_errors_end_connect = true;
    for (kind, code, error) in [
        (UNREACHABLE, 0, Error::NetworkUnreachable),
        (UNREACHABLE, 1, Error::HostUnreachable),
        (UNREACHABLE, 5, Error::SourceRouteFailed),
        (11, 0, Error::HostUnreachable),
        (12, 0, Error::ProtocolError),
    ] {
        let mut w = Wire::new(eager.clone(), WE_CONNECT);
        w.connect();
        let syn = w.next_packet().expect("a SYN");
        w.inject(&about(&syn, kind, code, 0));
        assert_eq!(
            (w.state(), w.take_error()),
            (State::Closed, Some(error)),
            "{kind} {code}"
        );
    }
    let mut w = Wire::connected_to(eager, PLAIN);
    w.write(10);
    let sent = w.next_packet().expect("text");
    w.inject(&about(&sent, UNREACHABLE, 1, 0));
    assert_eq!(w.state(), State::Established);
}

/// MUST-47, SHLD-25: `SO_ERROR` tells what was said of a connection that goes on, once; what comes through ends it.
#[test]
fn a_soft_error_can_be_asked_for() {
    let (mut w, first) = in_flight();
    w.inject(&about(&first, UNREACHABLE, 1, 0));
    assert!(!w.readiness().error);
    assert_eq!((w.take_error(), w.take_error()), (Some(Error::HostUnreachable), None));
    w.inject(&about(&first, UNREACHABLE, 0, 0));
    w.peer(". 1:1(0) ack 1461");
    assert_eq!((w.take_error(), w.state()), (None, State::Established));
}

/// MUST-47, SHLD-20: with `IP_RECVERR` the next call says so, and the connection goes on.
#[test]
fn a_soft_error_is_told_to_who_wants_it() {
    let (mut w, first) = in_flight();
    w.set(|options| options.error_queue = true);
    w.inject(&about(&first, UNREACHABLE, 1, 0));
    assert!(w.readiness().error && !w.readiness().readable);
    assert_eq!(w.read(10), Err(Error::HostUnreachable));
    assert_eq!(w.read(10), Err(Error::WouldBlock));
    assert_eq!(w.stack.take_report(w.id()), Err(Error::WouldBlock)); // as Linux: only attempts to connect are quoted
    w.peer("P. 1:11(10) ack 14601");
    assert_eq!((w.read(10), w.state()), (Ok(10), State::Established));
}

/// SHLD-25: what ended an attempt lies in the error queue, with the segment that it is about; fetching it fetches the error.
#[test]
fn the_error_queue_quotes_the_syn() {
    let mut w = Wire::new(config(), WE_CONNECT);
    w.connect();
    let syn = w.next_packet().expect("a SYN");
    w.inject(&icmp(UNREACHABLE, 3, [0; 4], &syn));
    assert!(w.readiness().error);
    let report = w.stack.take_report(w.id()).expect("a report");
    assert_eq!(
        (report.error, report.kind, report.code, report.offender),
        (Error::ConnectionRefused, 3, 3, PEERS)
    );
    assert_eq!(report.destination, core::net::SocketAddr::new(PEERS, SERVER));
    assert_eq!(report.quoted, syn[20..]);
    assert_eq!((w.take_error(), w.readiness().error), (None, false));
    assert_eq!(w.stack.take_report(w.id()), Err(Error::WouldBlock));
}

/// A soft error of an attempt that goes on is queued for who wants it, and not without bound.
#[test]
fn the_error_queue_is_bounded() {
    for wants in [false, true] {
        let mut w = Wire::new(config(), WE_CONNECT);
        w.connect();
        w.set(|options| options.error_queue = wants);
        let syn = w.next_packet().expect("a SYN");
        for _ in 0..100 {
            w.inject(&about(&syn, UNREACHABLE, 1, 0));
        }
        assert_eq!(w.state(), State::SynSent);
        let told = core::iter::from_fn(|| w.stack.take_report(w.id()).ok()).count();
        assert_eq!(told, if wants { 8 } else { 0 });
        assert!(!w.readiness().error);
    }
}

/// MUST-56, 5927-2: nothing of the kind ends a connection that stands.
#[test]
fn no_icmp_ends_a_connection() {
    let (mut w, first) = in_flight();
    for (kind, codes) in [(UNREACHABLE, 0..=15), (11, 0..=1), (12, 0..=2), (4, 0..=0), (5, 0..=3)] {
        for code in codes.filter(|code| (kind, *code) != (UNREACHABLE, 4)) {
            w.inject(&about(&first, kind, code, 0));
            assert_eq!(w.state(), State::Established);
        }
    }
    w.peer(". 1:1(0) ack 14601");
    assert_eq!((w.stack.queued_out(w.id()), w.take_error()), (Ok(0), None));
}

/// MUST-55: source quench says nothing.
#[test]
fn source_quench_is_ignored() {
    let (mut w, first) = in_flight();
    let before = w.info();
    w.inject(&about(&first, 4, 0, 0));
    assert_eq!(w.info(), before);
}

/// A quote cut short anywhere is no quote.
#[test]
fn short_quotes() {
    let (mut w, first) = in_flight();
    for len in 0..28 {
        w.inject(&icmp(UNREACHABLE, 4, [0, 0, 3, 232], &first[..len]));
    }
    assert_eq!(w.info().pmtu, 1500);
}

impl Wire {
    /// After the SYN was taken as bytes: learns its ISN from the next one.
    fn sees_syns(&mut self) {
        self.after(secs(1));
        self.sees("S 0:0(0)");
    }
}

/// 5927-3: a path smaller than the least we believe in is not a dead end: routers may cut what we send (no DF), and each
/// packet then has an identification of its own.
#[test]
fn a_tiny_path_may_fragment() {
    let (mut w, first) = in_flight();
    let dont_fragment = |packet: &[u8]| packet[6] & 0x40 != 0;
    assert!(dont_fragment(&first));
    w.inject(&about(&first, UNREACHABLE, 4, 296));
    let mut identifications = Vec::new();
    while let Some(packet) = w.next_packet() {
        assert!(!dont_fragment(&packet) && packet.len() <= 552);
        identifications.push(u16::from_be_bytes([packet[4], packet[5]]));
    }
    assert!(identifications.len() > 1);
    assert!(
        identifications
            .windows(2)
            .all(|pair| pair[1] == pair[0].wrapping_add(1))
    );
}

/// What is in flight and was not too large does not go again.
#[test]
fn what_fits_the_path_stays_where_it_is() {
    let mut w = Wire::connected();
    w.write(100);
    let sent = w.next_packet().expect("text");
    w.inject(&about(&sent, UNREACHABLE, 4, 600));
    assert_eq!((w.info().pmtu, w.info().snd_mss), (600, 560));
    w.quiet();
}

/// As Linux: with nothing out, an error that quotes what would come next is heeded.
#[test]
fn an_error_with_nothing_out() {
    let mut w = Wire::connected();
    w.write(10);
    let sent = w.next_packet().expect("text");
    w.peer(". 1:1(0) ack 11");
    let mut next = sent;
    let seq = u32::from_be_bytes(*next[24..28].first_chunk().expect("four")).wrapping_add(10);
    next[24..28].copy_from_slice(&seq.to_be_bytes());
    w.inject(&about(&next, UNREACHABLE, 1, 0));
    assert_eq!(w.take_error(), Some(Error::HostUnreachable));
    w.inject(&about(&next, UNREACHABLE, 4, 600));
    w.write(1000);
    w.sees(". 11:571(560) ack 1");
}

/// As Linux: a path that carries less on the way there is taken to carry less on the way back, in a SYN that is sent again
/// and in whatever is opened later.
#[test]
fn the_mss_announced_follows_the_path() {
    let mut w = Wire::new(config(), WE_CONNECT);
    w.connect();
    let syn = w.next_packet().expect("a SYN");
    w.inject(&about(&syn, UNREACHABLE, 4, 600));
    w.after(secs(1));
    w.sees("S 0:0(0) <mss 560,sackOK,ws 3>");
    let id = w.fresh();
    w.stack.bind(id, core::net::SocketAddr::new(OURS, 81)).expect("bind");
    w.stack.listen(w.now, id, 8).expect("listen");
    w.ports = Ports(81, 50_000);
    w.peer("S 0:0(0) <mss 1000>");
    w.sees("S. 0:0(0) ack 1 <mss 560>");
}

/// MUST-56: a soft error leaves a half-open connection alone, and, as in Linux, so does a hard one. Where the configuration
/// says so, a soft one is the end of it; the quote must be of the SYN-ACK.
#[test]
fn errors_about_half_open_connections() {
    for (eager, code, forged, left) in [
        (false, 1, 0, 1),
        (false, 3, 0, 1),
        (true, 1, 0, 0),
        (true, 1, 1, 1),
        (true, 3, 0, 1),
    ] {
        let mut w = Wire::listening(
            ustcp_proto::Config {
                soft_errors_end_connect: eager,
                ..config()
            },
            8,
        );
        w.peer("S 0:0(0) <mss 1000>");
        let mut syn_ack = w.next_packet().expect("a SYN-ACK");
        syn_ack[27] ^= forged;
        w.inject(&about(&syn_ack, UNREACHABLE, code, 0));
        assert_eq!(w.stack.census().half_open, left, "{eager} {code} {forged}");
    }
}
