//! `TCP_SAVE_SYN`: a listener keeps what the SYNs of its connections said.

use ustcp_proto::{Config, SynCookies};

use crate::wire::*;

/// A listener that keeps SYNs, for so many.
fn keeping(config: Config, backlog: usize) -> Wire {
    let mut w = Wire::listening(config, backlog);
    let id = w.listener();
    w.use_socket(id);
    w.set(|options| options.save_syn = 1);
    w
}

/// Injects the segment, and returns its headers.
fn headers_of(w: &mut Wire, script: &str) -> Vec<u8> {
    let segment = Segment::read(script);
    let packet = w.packet(&segment);
    w.inject(&packet);
    packet[..packet.len() - segment.len].to_vec()
}

fn held(w: &Wire) -> usize {
    w.stack.census().saved_syn_bytes
}

/// IP and TCP header with their options, without text: as they came, in both families, and once; whoever has no room for
/// them has not taken them.
#[test]
fn the_headers_are_told_once() {
    for config in [config(), config_v6()] {
        for way in [1, 2] {
            let mut w = keeping(config.clone(), 8);
            w.set(|options| options.save_syn = way);
            let headers = headers_of(&mut w, "S 0:100(100) win 4000 <mss 1000,sackOK,ws 7>");
            w.sees("S. 0:0(0) ack 1");
            headers_of(&mut w, "S 0:100(100) win 4000 <mss 900>"); // again: it is the first that counts
            w.peer(". 1:1(0) ack 1");
            w.accept();
            let id = w.id();
            assert_eq!(w.stack.options(id).map(|options| options.save_syn), Ok(way));
            assert_eq!(held(&w), headers.len());
            for room in [0, headers.len() - 1] {
                assert_eq!(w.stack.take_saved_syn(id, room).as_ref(), Ok(&headers));
                assert_eq!(held(&w), headers.len());
            }
            assert_eq!(w.stack.take_saved_syn(id, headers.len()), Ok(headers));
            assert_eq!((w.stack.take_saved_syn(id, 0), held(&w)), (Ok(Vec::new()), 0));
        }
    }
}

/// The field of differentiated services that the SYN came with is passed up with the rest.
#[test]
fn the_class_of_the_syn_is_told() {
    const EXPEDITED: u8 = 46 << 2;
    let mut w = keeping(config(), 8);
    w.peer_with_class("S 0:0(0) win 4000 <mss 1000>", EXPEDITED);
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    w.accept();
    let id = w.id();
    let headers = w.stack.take_saved_syn(id, 256).expect("a SYN");
    assert_eq!(headers.get(1), Some(&EXPEDITED));
}

/// A listener has none itself, nor has who connects, nor whose listener was not asked to keep any.
#[test]
fn who_has_none() {
    let mut w = keeping(config(), 8);
    let id = w.listener();
    assert_eq!(w.stack.take_saved_syn(id, 0), Ok(Vec::new()));
    w.set(|options| options.save_syn = 0);
    headers_of(&mut w, "S 0:0(0) win 4000 <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    w.accept();
    let id = w.id();
    assert_eq!((w.stack.take_saved_syn(id, 0), held(&w)), (Ok(Vec::new()), 0));
    let mut w = Wire::connected();
    let id = w.id();
    assert_eq!(w.stack.take_saved_syn(id, 0), Ok(Vec::new()));
}

/// As Linux: of a SYN that is answered with a cookie nothing is kept.
#[test]
fn a_cookie_keeps_no_syn() {
    let config = Config {
        syn_cookies: SynCookies::Always,
        ..config()
    };
    let mut w = keeping(config, 8);
    headers_of(&mut w, "S 0:0(0) win 4000 <mss 1000>");
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    w.accept();
    let id = w.id();
    assert_eq!(w.stack.take_saved_syn(id, 0), Ok(Vec::new()));
}

/// Of a thousand SYNs as many are kept as are half open, and none longer than those are.
#[test]
fn a_flood_is_not_kept() {
    let mut w = keeping(config(), 8);
    for port in 1..=1000 {
        w.ports = Ports(SERVER, port);
        w.peer("S 0:0(0) win 4000 <mss 1000>");
        w.drain();
    }
    assert_eq!((w.stack.census().half_open, held(&w)), (9, 9 * 44));
    w.elapse(secs(64));
    assert_eq!((w.stack.census().half_open, held(&w)), (0, 0));
}

/// Who never asks leaves nothing behind when the connection is closed, or undone.
#[test]
fn they_go_with_the_connection() {
    for undo in [false, true] {
        let mut w = keeping(config(), 8);
        headers_of(&mut w, "S 0:0(0) win 4000 <mss 1000>");
        w.sees("S. 0:0(0) ack 1");
        w.peer(". 1:1(0) ack 1");
        w.accept();
        assert_eq!(held(&w), 44);
        let (now, id) = (w.now, w.id());
        match undo {
            true => w.stack.disconnect(now, id),
            false => w.stack.abort(now, id).and_then(|()| w.stack.close(now, id)),
        }
        .expect("an end");
        assert_eq!(held(&w), 0, "{undo}");
    }
}

/// Extension headers of IPv6 are told with the rest; of more than 256 bytes nothing is kept.
#[test]
fn headers_of_any_length() {
    for (padding, kept) in [(0_u8, true), (23, true), (24, false), (30, false)] {
        let mut w = keeping(config_v6(), 8);
        let packet = w.packet(&Segment::read("S 0:0(0) win 4000 <mss 1000>"));
        // Destination options: one of a type that may be passed over, as long as it gets.
        let len = usize::from(padding) * 8 + 8;
        let mut payload = vec![0; len];
        (payload[0], payload[1]) = (6, padding);
        (payload[2], payload[3]) = (0x1e, u8::try_from(len - 4).expect("a byte"));
        payload.extend_from_slice(&packet[40..]);
        let packet = ip_packet(OURS_V6, 60, &payload);
        w.inject(&packet);
        w.sees("S. 0:0(0) ack 1");
        w.peer(". 1:1(0) ack 1");
        w.accept();
        let id = w.id();
        let told = w.stack.take_saved_syn(id, 256);
        assert_eq!(told, Ok(if kept { packet } else { Vec::new() }), "{padding}");
    }
}
