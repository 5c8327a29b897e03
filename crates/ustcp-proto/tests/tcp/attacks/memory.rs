//! Text and acknowledgements chosen to cost memory: SegmentSmack (CVE-2018-5390), SACK Panic (CVE-2019-11477 to 11479).

use ustcp_proto::DropReason;

use crate::wire::*;

/// ATTACK-17, CVE-2018-5390: a byte here and a byte there, never the first: bounded in ranges and in memory.
#[test]
fn a_hundred_thousand_islands() {
    let mut config = config();
    config.receive_buffer = 256 * 1024;
    config.trace = false;
    let mut w = Wire::connected_to(config, "win 65535 <mss 1000,sackOK,ws 7>");
    w.peer(". 1:2(1) ack 1");
    assert_eq!(w.read(1), Ok(1));
    w.drain();
    let window = i64::from(w.info().rcv_wnd);
    for index in 0..100_000 {
        let seq = 3 + 2 * index % (window - 4);
        w.peer(&format!(". {seq}:{}(1) ack 1", seq + 1));
        w.drain();
    }
    assert!(w.stack.census().buffer_bytes <= 2 * 256 * 1024);
    assert!(w.drops(DropReason::Reassembly) > 0, "a limit of ranges");
    let end = 2 + window;
    for first in (2..end).step_by(1000) {
        let last = (first + 1000).min(end);
        w.peer(&format!(". {first}:{last}({}) ack 1", last - first));
        w.drain();
    }
    assert_eq!(
        w.read(1 << 20),
        Ok(usize::try_from(window).expect("positive")),
        "and the stream is whole"
    );
}

/// ATTACK-20, ATTACK-22, CVE-2019-11477 and its kin: SACK blocks that cut what is in flight into bytes: in the end the stream is whole. (The bound on the pieces is the scoreboard's own test.)
#[test]
fn a_flood_of_sacks() {
    let mut config = config();
    config.send_buffer = 1 << 20;
    config.initial_window = 1000;
    config.trace = false;
    let mut w = Wire::connected_to(config, "win 65535 <mss 1,sackOK,ws 7>");
    assert_eq!(w.info().snd_mss, 48);
    w.peer(". 1:1(0) ack 1");
    w.write(1 << 20);
    let in_flight = 48 * w.drain().len() as i64;
    assert!(in_flight >= 48_000);
    for index in 0..100_000 {
        let at = |step: i64| 2 + (2 * (4 * index + step)) % (in_flight - 2);
        let blocks: Vec<_> = (0..4).map(|step| format!("{}:{}", at(step), at(step) + 1)).collect();
        w.peer(&format!(". 1:1(0) ack 1 <sack {}>", blocks.join(" ")));
        w.drain();
    }
    let mut end = 1;
    while w.stack.queued_out(w.id()) != Ok(0) {
        let sent = w.elapse(secs(1));
        end = sent
            .iter()
            .map(|(_, segment)| segment.seq + segment.len as i64)
            .fold(end, i64::max);
        w.peer(&format!(". 1:1(0) ack {end}"));
    }
}
