//! The size that a path carries: what routers have said counts for the destination and not for ever (RFC 1191, RFC 8201),
//! and where they say nothing, what comes through (RFC 4821).

use core::time::Duration;

use ustcp_proto::Config;

use crate::wire::*;

const SACKING: &str = "win 65535 <mss 1460,sackOK>";
const NO_SACK: &str = "win 65535 <mss 1460>";
const HEADERS: usize = 40;

/// 10 ms there and back.
const ROUND_TRIP: Duration = Duration::from_millis(10);

fn probing(mtu_probing: u8) -> Config {
    Config {
        mtu_probing,
        ..config()
    }
}

/// A router's word about `segment`.
fn too_large(segment: &[u8], mtu: u16) -> Vec<u8> {
    let [high, low] = mtu.to_be_bytes();
    icmp_packet(OURS, 3, 4, [0, 0, high, low], &segment[..28])
}

/// Sends `len` bytes, of which the peer has all in the end, and says how large the segments were.
fn exchange(w: &mut Wire, end: i64, len: usize) -> Vec<usize> {
    w.write(len);
    let sent = w.drain().iter().map(|segment| segment.len).collect();
    w.peer(&format!(". 1:1(0) ack {}", end + len as i64));
    w.quiet();
    sent
}

/// 1191-3: ICMP lowers and never raises; after ten minutes the whole size is tried again.
#[test]
fn what_a_router_said_expires() {
    let mut w = Wire::connected_to(config(), NO_SACK);
    w.write(1460);
    let first = w.next_packet().expect("text");
    for (named, pmtu) in [(1400, 1400), (1450, 1400), (1500, 1400), (1300, 1300)] {
        w.inject(&too_large(&first, named));
        w.drain();
        assert_eq!(w.info().pmtu, pmtu, "{named}");
    }
    w.peer(". 1:1(0) ack 1461");
    w.elapse(secs(599));
    assert_eq!(exchange(&mut w, 1461, 1460), [1260, 200]);
    w.elapse(secs(1));
    assert_eq!(exchange(&mut w, 2921, 1460), [1460]);
    assert_eq!(w.info().pmtu, 1500);
}

/// 1191-3: who says it again is believed for ten minutes more.
#[test]
fn a_router_may_repeat_itself() {
    let mut w = Wire::connected_to(config(), NO_SACK);
    for end in [1, 1461] {
        w.write(1460);
        let first = w.next_packet().expect("text");
        w.inject(&too_large(&first, 1400));
        w.drain();
        w.peer(&format!(". 1:1(0) ack {}", end + 1460));
        w.elapse(secs(400));
    }
    assert_eq!(exchange(&mut w, 2921, 1460), [1360, 100]);
    w.elapse(secs(200));
    assert_eq!(exchange(&mut w, 4381, 1460), [1460]);
}

/// 8201-2: what one connection has learnt of a path counts for those that stand, for new ones, and as long for all; not for
/// other destinations.
#[test]
fn what_is_learnt_counts_for_the_destination() {
    let mut w = Wire::connected_to(config(), NO_SACK);
    let first = w.id();
    let ports = w.ports;
    let another = |w: &mut Wire, local| {
        w.ports = Ports(local, SERVER);
        w.connect();
        w.sees("S 0:0(0)");
        w.peer(&format!("S. 0:0(0) ack 1 {NO_SACK}"));
        w.sees(". 1:1(0) ack 1");
        w.id()
    };
    let standing = another(&mut w, 40_001);
    w.ports = ports;
    w.use_socket(first);
    w.write(1460);
    let segment = w.next_packet().expect("text");
    w.inject(&too_large(&segment, 1400));
    w.drain();
    w.peer(". 1:1(0) ack 1461");

    w.ports = Ports(40_001, SERVER);
    w.use_socket(standing);
    assert_eq!(exchange(&mut w, 1, 2000), [1360, 640]);
    another(&mut w, 40_002);
    assert_eq!(exchange(&mut w, 1, 2000), [1360, 640]);
    w.elapse(secs(600));
    assert_eq!(exchange(&mut w, 2001, 2000), [1460, 540]);
    another(&mut w, 40_003);
    assert_eq!(exchange(&mut w, 1, 2000), [1460, 540]);
}

/// 8201-2: a connection that has heard it from another still sends again at once what its own router drops.
#[test]
fn each_connection_repairs_its_own() {
    let mut w = Wire::connected_to(config(), NO_SACK);
    w.write(1460);
    let ours = w.next_packet().expect("text");
    w.ports = Ports(40_001, SERVER);
    w.connect();
    w.sees("S 0:0(0)");
    w.peer(&format!("S. 0:0(0) ack 1 {NO_SACK}"));
    w.sees(". 1:1(0) ack 1");
    w.write(2920);
    let theirs = w.next_packet().expect("text");
    w.drain();
    w.inject(&too_large(&ours, 1400));
    w.drain();
    w.write(10);
    w.drain();
    assert_eq!(w.info().pmtu, 1400);
    w.inject(&too_large(&theirs, 1400));
    w.sees(". 1:1361(1360) ack 1");
    w.drain();
    w.inject(&too_large(&theirs, 1400));
    w.quiet();
}

/// A path that drops packets of more than `mtu` bytes without a word, and a peer that acknowledges what comes through.
struct BlackHole {
    mtu: usize,
    sacks: bool,
    /// What has come beyond the first hole, and where that is.
    beyond: Vec<(i64, i64)>,
    next: i64,
    dropped: Vec<usize>,
}

impl BlackHole {
    fn new(mtu: usize, offer: &str) -> BlackHole {
        BlackHole {
            mtu,
            sacks: offer == SACKING,
            beyond: Vec::new(),
            next: 1,
            dropped: Vec::new(),
        }
    }

    /// Carries `len` bytes.
    fn carry(&mut self, w: &mut Wire, len: usize) {
        let end = self.next + len as i64;
        w.write(len);
        for _ in 0..10_000 {
            if self.next == end {
                return;
            }
            let sent = w.elapse(ROUND_TRIP);
            for (_, segment) in sent.into_iter().filter(|(_, segment)| segment.len > 0) {
                self.take(w, segment.seq, segment.len);
            }
        }
        panic!("{} of {end} came through", self.next);
    }

    fn take(&mut self, w: &mut Wire, seq: i64, len: usize) {
        if len + HEADERS > self.mtu {
            return self.dropped.push(len);
        }
        let came = (seq, seq + len as i64);
        self.beyond.push(came);
        self.beyond.sort_unstable();
        for (start, end) in &self.beyond {
            if *start <= self.next {
                self.next = self.next.max(*end);
            }
        }
        self.beyond.retain(|(_, end)| *end > self.next);
        let sack = if self.sacks && came.0 > self.next {
            format!(" <sack {}:{}>", came.0, came.1)
        } else {
            String::new()
        };
        w.peer(&format!(". 1:1(0) ack {}{sack}", self.next));
    }
}

/// 4821-1: full segments that time out four times in a row meet a black hole: the fourth time they go in pieces of
/// `tcp_base_mss`, then of half, down to `tcp_mtu_probe_floor`.
#[test]
fn a_black_hole_is_found_by_timeouts() {
    for (floor, last) in [(48, 256), (300, 300)] {
        let config = Config {
            mtu_probe_floor: floor,
            ..probing(1)
        };
        let mut w = Wire::connected_over(config, NO_SACK, ms(100));
        w.write(14_600);
        assert_eq!(w.places().len(), 10);
        let sent = w.elapse(secs(40));
        let sizes: Vec<usize> = sent.iter().map(|(_, segment)| segment.len).collect();
        assert_eq!(sizes[..6], [1460, 1460, 1460, 1024, 512, last], "{sizes:?}");
        assert!(sent.iter().all(|(_, segment)| segment.seq == 1));
    }
}

/// 4821-1: where full segments have come through before, timeouts in a row may be bad luck: what answers in the end is no
/// sign that a smaller size helped, and the next segments are as large as before. The third time the path has changed, unless
/// they have come through in between.
#[test]
fn a_size_that_came_through_is_tried_again() {
    let mut w = Wire::connected_over(probing(1), NO_SACK, ROUND_TRIP);
    let mut una = 1;
    let mut acknowledge = |w: &mut Wire, len: i64| {
        una += len;
        w.peer(&format!(". 1:1(0) ack {una}"));
        w.drain();
    };
    let four_timeouts = |w: &mut Wire| {
        let sizes = [(); 4].map(|()| {
            let rto = w.info().rto;
            w.elapse(rto)[0].1.len
        });
        assert_eq!(sizes, [1460, 1460, 1460, 1024]);
    };
    for _ in 0..4 {
        w.write(1460);
        w.drain();
        w.after(ROUND_TRIP);
        acknowledge(&mut w, 1460);
        w.write(2920);
        w.drain();
        for _ in 0..2 {
            four_timeouts(&mut w);
            acknowledge(&mut w, 1024);
            assert_eq!(w.info().snd_mss, 1460);
            acknowledge(&mut w, 436);
        }
    }
    w.write(1460);
    w.drain();
    four_timeouts(&mut w);
    acknowledge(&mut w, 1024);
    assert!(w.info().snd_mss <= 1024, "{}", w.info().snd_mss);
}

/// 4821-1: an acknowledgement of more than the smaller segment says that a full one has come through, and that it was
/// acknowledgements that were lost; so does a SACK of a full one.
#[test]
fn what_arrives_whole_is_no_victim_of_a_black_hole() {
    for sacked in [false, true] {
        let config = Config {
            early_retrans: 0,
            ..probing(1)
        };
        let mut w = Wire::connected_over(config, SACKING, ROUND_TRIP);
        exchange(&mut w, 1, 1460);
        for una in (1461..).step_by(2920).take(6) {
            w.write(2920);
            w.drain();
            let (second, end) = (una + 1460, una + 2920);
            if sacked {
                w.peer(&format!(". 1:1(0) ack {una} <sack {second}:{end}>"));
                w.drain();
            }
            while w.info().snd_mss == 1460 {
                let rto = w.info().rto;
                w.elapse(rto);
            }
            let ack = if sacked { una + 1024 } else { second };
            w.peer(&format!(". 1:1(0) ack {ack}"));
            assert_eq!(w.info().snd_mss, 1460, "at {una}, sacked: {sacked}");
            w.drain();
            w.after(ROUND_TRIP);
            w.peer(&format!(". 1:1(0) ack {end}"));
            w.drain();
        }
    }
}

/// 4821-1: where it is switched off they stay as they are; and so do segments that are small anyway, which no size of
/// ours would help.
#[test]
fn what_is_no_black_hole() {
    for (knob, len) in [(0, 14_600), (1, 1000)] {
        let mut w = Wire::connected_over(probing(knob), NO_SACK, ms(100));
        w.write(len);
        w.drain();
        w.elapse(secs(40));
        assert_eq!(
            (w.info().snd_mss, w.stack.counters().timeouts),
            (1460, 7),
            "{knob} {len}"
        );
    }
}

/// 4821-1, 4821-2: a transfer gets through a black hole with no ICMP, and finds the size that the path carries, within
/// the 8 bytes where the search ends.
#[test]
fn a_transfer_gets_through_a_black_hole() {
    for offer in [SACKING, NO_SACK] {
        let mut w = Wire::connected_over(probing(1), offer, ROUND_TRIP);
        let mut path = BlackHole::new(1300, offer);
        for _ in 0..4 {
            path.carry(&mut w, 200_000);
        }
        let found = w.info().snd_mss as usize + HEADERS;
        assert!((1293..=1300).contains(&found), "{found}");
        assert_eq!(w.stack.counters().timeouts, 4, "the black hole's own");
        assert!(w.stack.counters().mtu_probes <= 8);
    }
}

/// 4821-2: the loss of a probe is no sign of congestion: the windows stay, the timeout does not back off, and the text goes
/// again at once in segments that come through.
#[test]
fn a_lost_probe_is_no_congestion() {
    for offer in [SACKING, NO_SACK] {
        let mut w = Wire::connected_over(probing(2), offer, ROUND_TRIP);
        let mut path = BlackHole::new(1200, offer);
        path.carry(&mut w, 200_000);
        let info = w.info();
        assert!(!path.dropped.is_empty(), "some probe was too large");
        assert_eq!(
            w.stack.counters().mtu_probes as usize,
            path.dropped.len() + raised(info.snd_mss)
        );
        assert_eq!((info.ssthresh, w.stack.counters().timeouts), (u32::MAX, 0));
        assert_eq!(w.stack.counters().fast_retransmits, 0);
        assert!(info.cwnd > 100, "{}", info.cwnd);
        let pieces = path.dropped.len() * 2;
        assert_eq!(w.stack.counters().retrans_segs as usize, pieces);
    }
}

/// Probes that came through between 1,024 and 1,160: halfway each time, the last of them found `mss`.
fn raised(mss: u32) -> usize {
    let (mut low, mut high, mut count) = (1024_u32, 1460, 0);
    while high - low >= 8 {
        let size = low + (high - low).div_ceil(2);
        if size <= 1160 {
            (low, count) = (size, count + 1);
        } else {
            high = size - 1;
        }
    }
    assert_eq!(low, mss);
    count
}

/// 4821-2: with 2 the search begins with the connection, and ends near the largest size, with nothing lost.
#[test]
fn sizes_are_searched_from_the_start() {
    let mut w = Wire::connected_over(probing(2), SACKING, ROUND_TRIP);
    assert_eq!(w.info().snd_mss, 1024);
    let mut path = BlackHole::new(1500, SACKING);
    (0..4).for_each(|_| path.carry(&mut w, 200_000));
    assert!(w.info().snd_mss > 1460 - 8, "{}", w.info().snd_mss);
    assert_eq!(w.info().total_retrans, 0);
}

/// 4821-2: a search is over when its range is narrow, and begins again after `tcp_probe_interval`, for paths change.
#[test]
fn the_search_begins_again() {
    let mut w = Wire::connected_over(probing(2), SACKING, ROUND_TRIP);
    let mut path = BlackHole::new(1300, SACKING);
    (0..4).for_each(|_| path.carry(&mut w, 200_000));
    let (found, probes) = (w.info().snd_mss, w.stack.counters().mtu_probes);
    path.mtu = 1500;
    w.elapse(secs(590));
    path.carry(&mut w, 200_000);
    assert_eq!((w.info().snd_mss, w.stack.counters().mtu_probes), (found, probes));
    w.elapse(secs(10));
    (0..4).for_each(|_| path.carry(&mut w, 200_000));
    assert!(w.info().snd_mss > 1460 - 8, "{}", w.info().snd_mss);
}

/// 4821-2: while there is room for a segment, but none for the probe, new text waits.
#[test]
fn new_text_waits_for_room_for_the_probe() {
    let mut w = Wire::connected_over(probing(2), SACKING, ROUND_TRIP);
    w.write(11 * 1024);
    assert_eq!(w.drain().len(), 10);
    w.after(ROUND_TRIP);
    w.peer(". 1:1(0) ack 1025");
    assert_eq!(w.places(), [1 + 10 * 1024], "too little is left for a probe");
    assert_eq!((w.info().cwnd, w.info().unacked), (11, 10));
    w.write(100_000);
    w.quiet();
    w.peer(". 1:1(0) ack 2049");
    assert_eq!(w.drain()[0].len, 1242);
}

/// 4821-2: no probe where little is to be sent, where the peer's window is small, or before the congestion window has
/// 11 segments.
#[test]
fn when_there_is_no_probe() {
    let mut w = Wire::connected_over(probing(2), SACKING, ROUND_TRIP);
    BlackHole::new(1500, SACKING).carry(&mut w, 5000);
    assert_eq!(w.stack.counters().mtu_probes, 0);

    let mut w = Wire::connected_over(probing(2), SACKING, ROUND_TRIP);
    w.peer_window = 5000;
    w.peer(". 1:1(0) ack 1");
    BlackHole::new(1500, SACKING).carry(&mut w, 100_000);
    assert_eq!(w.stack.counters().mtu_probes, 0);

    let mut w = Wire::connected_over(probing(2), SACKING, ROUND_TRIP);
    w.write(100_000);
    assert!(w.drain().iter().all(|segment| segment.len == 1024));
    w.elapse(ROUND_TRIP);
    w.peer(". 1:1(0) ack 2049");
    assert_eq!(w.drain()[0].len, 1242);
}
