//! Text and acknowledgements chosen to cost memory: SegmentSmack (CVE-2018-5390), SACK Panic (CVE-2019-11477 to 11479).

use ustcp_proto::{Config, DropReason, Error, Owner};

use super::figure;
use crate::wire::*;

/// What its SYN says.
const PEER_WITH_SACK: &str = "win 65535 <mss 1000,sackOK>";

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
    let held = w.stack.census().buffer_bytes;
    assert!(held <= 256 * 1024 + 16 * 1024, "{held}");
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

/// ATTACK-17: a byte in every page of the window, which costs as much as bytes can: the buffer, and what keeps account of it.
#[test]
fn an_island_in_every_page() {
    let config = Config {
        receive_buffer: 4 << 20,
        trace: false,
        ..config()
    };
    let mut w = Wire::connected_to(config, "win 65535 <mss 1000,sackOK,ws 7>");
    w.peer(". 1:2(1) ack 1");
    assert_eq!(w.read(1), Ok(1));
    w.drain();
    let window = i64::from(w.info().rcv_wnd);
    for seq in (3..window).step_by(4096) {
        w.peer(&format!(". {seq}:{}(1) ack 1", seq + 1));
        w.drain();
    }
    let held = w.stack.census().buffer_bytes as i64;
    assert!(
        (window / 2..=window + window / 64).contains(&held),
        "{held} for a window of {window}"
    );
    figure(
        "ATTACK-17",
        format!("{} KiB for a window of {} KiB", held / 1024, window / 1024),
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

/// ATTACK-32: when all buffers together are beyond the limit, a SYN and text out of order find no place; text in order does,
/// and when it has been read all is as before.
#[test]
fn the_memory_of_the_whole_stack() {
    let config = Config {
        memory_limit: 200_000,
        receive_buffer: 60_000,
        ..config()
    };
    let mut w = Wire::listening(config, 16);
    let mut ids = Vec::new();
    for port in 1..=8 {
        w.ports = Ports(SERVER, port);
        w.peer("S 0:0(0) win 65535 <mss 1000,sackOK>");
        if w.drain().is_empty() {
            break; // no more room for connections
        }
        w.peer(". 1:1(0) ack 1");
        w.accept();
        ids.push((w.ports, w.id()));
        w.peer(". 1:50001(50000) ack 1");
        w.drain();
    }
    let full = w.stack.census().buffer_bytes;
    assert!((200_000..270_000).contains(&full), "{full}");
    assert_eq!((ids.len(), w.drops(DropReason::Limit)), (4, 1));
    for (ports, id) in &ids {
        w.ports = *ports;
        w.use_socket(*id);
        w.peer(". 52001:53001(1000) ack 1");
        w.sees(". 1:1(0) ack 50001 <>");
        w.peer(". 50001:51001(1000) ack 1");
        w.elapse(ms(40));
        assert_eq!(w.stack.queued_in(*id), Ok(51_000));
    }
    assert_eq!(w.drops(DropReason::Limit), 5);
    figure(
        "ATTACK-32",
        format!("{} KiB with a limit of 195 KiB", w.stack.census().buffer_bytes / 1024),
    );
    for (ports, id) in &ids {
        w.ports = *ports;
        w.use_socket(*id);
        assert_eq!(w.read(99_999), Ok(51_000));
    }
    w.drain();
    w.peer(". 52001:53001(1000) ack 1");
    w.sees(". 1:1(0) ack 51001 <sack 52001:53001>");
    w.ports = Ports(SERVER, 99);
    w.peer("S 0:0(0)");
    w.sees("S. 0:0(0) ack 1");
}

/// Where a stack serves several, one owner's sockets have a quarter of that together, and a user's half. Beyond it a connection
/// takes 16 KiB, and more when some of that has been read, or acknowledged. Others notice nothing.
#[test]
fn the_memory_of_one_owner() {
    let config = Config {
        memory_limit: 400_000,
        receive_buffer: 60_000,
        ..config()
    };
    let mut w = Wire::listening(config, 16);
    let owned_by = |w: &mut Wire, process| {
        let owner = Some(Owner { process, user: 7 });
        w.set(|options| options.owner = owner);
    };
    w.use_socket(w.listener());
    owned_by(&mut w, 1);
    // The third finds its process beyond its share; the sixth its user.
    let expected = [
        (1, 50_000),
        (1, 50_000),
        (1, 16_384),
        (2, 50_000),
        (2, 50_000),
        (3, 16_384),
    ];
    let mut ids = Vec::new();
    for (port, (process, _)) in (1..).zip(expected) {
        w.accept_from(port, PEER_WITH_SACK);
        owned_by(&mut w, process); // at first it is the listener's
        ids.push(w.id());
    }
    for ((port, (_, queued)), id) in (1..).zip(expected).zip(ids) {
        w.ports = Ports(SERVER, port);
        w.use_socket(id);
        w.peer(". 1:50001(50000) ack 1");
        w.elapse(ms(40));
        assert_eq!(w.stack.queued_in(w.id()), Ok(queued), "port {port}");
    }
    let full = w.stack.census().buffer_bytes;
    assert!((200_000..300_000).contains(&full), "{full}");
    w.peer(". 16385:17385(1000) ack 1");
    w.sees(". 1:1(0) ack 16385 win 0 <>");
    w.peer(". 18385:19385(1000) ack 1");
    w.sees(". 1:1(0) ack 16385 win 0 <>");
    assert_eq!(w.read(99_999), Ok(16_384));
    w.sees(". 1:1(0) ack 16385 win 16384");
    w.peer(". 16385:17385(1000) ack 1");
    w.elapse(ms(40));
    assert_eq!(w.stack.queued_in(w.id()), Ok(1000));

    assert_eq!((w.stack.room(w.id()), w.try_write(50_000)), (Ok(16_384), Ok(16_384)));
    assert_eq!(
        (w.stack.room(w.id()), w.try_write(4000)),
        (Ok(0), Err(Error::WouldBlock))
    );
    w.sees(". 1:1001(1000) ack 17385");
    w.peer(". 17385:17385(0) ack 1001");
    assert_eq!(w.try_write(4000), Ok(1000));

    // Somebody else.
    w.use_socket(w.listener());
    w.set(|options| options.owner = Some(Owner { process: 4, user: 8 }));
    w.accept_from(7, PEER_WITH_SACK);
    w.peer(". 1:40001(40000) ack 1");
    assert_eq!(
        (w.stack.queued_in(w.id()), w.try_write(50_000)),
        (Ok(40_000), Ok(50_000))
    );
}

/// ATTACK-66: one remote host lets a server write to it on 64 connections and takes nothing, until all that the server's owner
/// may have waits for it. The server's other connections go on, 16 KiB each way at a time.
#[test]
fn a_host_that_takes_nothing_starves_nobody_else() {
    let config = Config {
        memory_limit: 4 * 64 * 256 * 1024,
        trace: false,
        ..config()
    };
    let mut w = Wire::listening(config, 100);
    w.use_socket(w.listener());
    w.set(|options| options.owner = Some(Owner { process: 1, user: 7 }));
    for port in 1..=64 {
        w.accept_from(port, PEER_WITH_SACK);
        w.peer(". 1:1(0) ack 1 win 0");
        assert_eq!(w.try_write(1 << 20), Ok(256 * 1024), "port {port}");
    }
    w.accept_from(100, PEER_WITH_SACK);
    let (mut sent, mut received) = (1, 1);
    for _ in 0..100 {
        assert_eq!(w.try_write(1 << 20), Ok(16 * 1024));
        sent += 16 * 1024;
        while w.info().notsent > 0 {
            w.drain();
            let acked = 1 + i64::try_from(w.info().bytes_sent).expect("small");
            w.peer(&format!(". {received}:{received}(0) ack {acked}"));
        }
        for _ in 0..16 {
            w.peer(&format!(". {received}:{}(1000) ack {sent}", received + 1000));
            received += 1000;
        }
        assert_eq!(w.read(1 << 20), Ok(16_000));
        w.drain();
    }
    assert_eq!((w.info().total_retrans, w.drops(DropReason::Limit)), (0, 0));
    let held = w.stack.census().buffer_bytes / 1024;
    figure(
        "ATTACK-66",
        format!("16 KiB each way in a round trip, 100 times; {held} KiB held with a share of 16384 KiB"),
    );
}
