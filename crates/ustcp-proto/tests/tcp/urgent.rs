//! Urgent data: RFC 9293 §3.8.5, with Linux's meaning.

use ustcp_proto::{Error, Framing};

use crate::wire::*;

fn write_urgent(w: &mut Wire, seq: i64, len: usize) {
    let (now, id) = (w.now, w.id());
    let framing = Framing {
        urgent: true,
        ..Framing::default()
    };
    assert_eq!(w.stack.send_framed(now, id, &text(seq, len), framing), Ok(len));
}

fn take_urgent(w: &mut Wire) -> Result<Option<u8>, Error> {
    let (now, id) = (w.now, w.id());
    w.stack.recv_urgent(now, id, false)
}

fn read(w: &mut Wire, len: usize) -> Result<Vec<u8>, Error> {
    let (now, id) = (w.now, w.id());
    let mut bytes = vec![0; len];
    let count = w.stack.recv(now, id, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn at_mark(w: &Wire) -> bool {
    w.stack.at_mark(w.id()).unwrap()
}

fn queued(w: &Wire) -> usize {
    w.stack.queued_in(w.id()).unwrap()
}

/// MUST-30, MUST-62: what is written as urgent leaves with URG, and the pointer names the byte after the last urgent one.
#[test]
fn the_pointer_names_the_byte_after_the_urgent_one() {
    let mut w = Wire::connected();
    w.write(10);
    w.sees("P. 1:11(10) ack 1");
    write_urgent(&mut w, 11, 3);
    w.sees("PU. 11:14(3) ack 1 urg 3"); // no Nagle for what is urgent
    w.peer(". 1:1(0) ack 14");
    let now = w.now;
    w.stack.send(now, w.id(), &text(14, 5)).unwrap();
    w.sees("P. 14:19(5) ack 1");
}

/// MUST-31: an urgent run of any length; every segment of it tells how far it goes, as far as the field reaches.
#[test]
fn a_long_urgent_run() {
    let mut w = Wire::connected_to(
        ustcp_proto::Config {
            initial_window: 200,
            ..config()
        },
        "win 65535 <mss 1000,ws 4>",
    );
    w.peer(". 1:1(0) ack 1 win 65535");
    write_urgent(&mut w, 1, 100_000);
    let sent = w.drain();
    assert_eq!(sent.len(), 100);
    for segment in &sent {
        assert!(segment.flags.has(ustcp_wire::Flags::URG), "{segment}");
        let left = 100_001 - segment.seq;
        assert_eq!(i64::from(segment.urgent), left.min(65_535), "{segment}");
    }
    w.peer(". 1:1(0) ack 100001");
    assert_eq!(w.info().unacked, 0);
}

/// MUST-32: the user is told, by POLLPRI, and gets the byte beside the stream.
#[test]
fn the_urgent_byte_beside_the_stream() {
    let mut w = Wire::connected();
    assert_eq!(take_urgent(&mut w), Err(Error::InvalidArgument));
    w.peer("PU. 1:6(5) ack 1 urg 3");
    assert!(w.readiness().urgent && w.readiness().readable);
    assert_eq!(queued(&w), 2); // MUST-33: how much comes before it
    assert_eq!(take_urgent(&mut w), Ok(Some(byte_at(3))));
    assert!(!w.readiness().urgent);
    assert_eq!(take_urgent(&mut w), Err(Error::InvalidArgument));
    assert_eq!(read(&mut w, 10), Ok(text(1, 2)));
    assert!(at_mark(&w)); // MUST-33
    assert_eq!(read(&mut w, 10), Ok(text(4, 2)));
    assert!(!at_mark(&w));
    assert_eq!(read(&mut w, 10), Err(Error::WouldBlock));
}

/// MUST-33: with SO_OOBINLINE the byte stays in the stream, and reading stops before it.
#[test]
fn the_urgent_byte_in_the_stream() {
    let mut w = Wire::connected();
    w.set(|options| options.urgent_inline = true);
    w.peer("PU. 1:6(5) ack 1 urg 3");
    assert!(w.readiness().urgent);
    assert_eq!(take_urgent(&mut w), Err(Error::InvalidArgument));
    assert_eq!((queued(&w), at_mark(&w)), (5, false));
    assert_eq!(read(&mut w, 10), Ok(text(1, 2)));
    assert!(at_mark(&w));
    assert_eq!(read(&mut w, 10), Ok(text(3, 3)));
    assert!(!at_mark(&w) && !w.readiness().urgent);
}

/// MUST-30: a pointer ahead of its byte announces it; the byte is taken when it comes.
#[test]
fn a_pointer_ahead_of_its_byte() {
    let mut w = Wire::connected();
    w.peer("U. 1:1(0) ack 1 urg 4");
    assert!(!w.readiness().urgent);
    assert_eq!(take_urgent(&mut w), Err(Error::WouldBlock));
    w.peer("P. 1:11(10) ack 1");
    assert_eq!(take_urgent(&mut w), Ok(Some(byte_at(4))));
    assert_eq!(read(&mut w, 10), Ok(text(1, 3)));
    assert_eq!(read(&mut w, 10), Ok(text(5, 6)));
}

/// The urgent byte alone makes nothing readable: a reader of the stream would get nothing.
#[test]
fn an_urgent_byte_alone_is_nothing_to_read() {
    let mut w = Wire::connected();
    w.peer("PU. 1:2(1) ack 1 urg 1");
    assert!(w.readiness().urgent && !w.readiness().readable);
    assert_eq!((queued(&w), at_mark(&w)), (0, true));
    assert_eq!(read(&mut w, 10), Err(Error::WouldBlock));
    assert!(!at_mark(&w), "as Linux: who looked for text beyond it has passed it");
    assert!(!w.readiness().urgent);
}

/// A newer pointer takes the place of an older one, which was never fetched: that byte is lost to MSG_OOB (RFC 6093
/// §3.2), and to the stream where reading has come to it.
#[test]
fn a_newer_pointer_replaces_an_older_one() {
    let mut w = Wire::connected();
    w.peer("PU. 1:4(3) ack 1 urg 3");
    assert_eq!(read(&mut w, 10), Ok(text(1, 2)));
    w.peer("PU. 4:7(3) ack 1 urg 3");
    assert_eq!(take_urgent(&mut w), Ok(Some(byte_at(6))));
    assert_eq!(read(&mut w, 10), Ok(text(4, 2)));
}

/// ATTACK-54, URGENT/11: pointers of 0, far beyond the text, and from old segments do no harm.
#[test]
fn hostile_pointers() {
    for pointer in [0, 1, 2, 5, 6, 7, 1000, 65_534, 65_535] {
        let mut w = Wire::connected();
        w.peer(&format!("PU. 1:6(5) ack 1 urg {pointer}"));
        let inside = (0..=5).contains(&pointer);
        assert_eq!(w.readiness().urgent, inside, "pointer {pointer}");
        w.peer("P. 6:11(5) ack 1");
        let mut total = 0;
        while let Ok(bytes) = read(&mut w, 10) {
            total += bytes.len();
        }
        let skipped = pointer <= 10;
        assert_eq!(total, 10 - usize::from(skipped), "pointer {pointer}");
        w.peer(&format!("PU. 1:6(5) ack 1 urg {pointer}")); // old
        assert!(!w.readiness().urgent);
        let mut w = Wire::connected();
        w.set(|options| options.urgent_inline = true);
        w.peer(&format!("PU. 1:11(10) ack 1 urg {pointer}"));
        let mut total = 0;
        while let Ok(bytes) = read(&mut w, 10) {
            total += bytes.len();
        }
        assert_eq!(total, 10, "pointer {pointer}: the bytes stay in line");
    }
}

/// MUST-66: URG counts at a closed window, RST and ACK too.
#[test]
fn a_pointer_at_a_closed_window() {
    let mut w = Wire::connected();
    w.set(|options| options.receive_buffer = Some(2304));
    while w.info().rcv_wnd > 0 {
        let (seq, len) = (1 + w.info().bytes_received, w.info().rcv_wnd.min(1000));
        w.peer(&format!(". {seq}:{}({len}) ack 1", seq + u64::from(len)));
        w.drain();
    }
    let next = 1 + w.info().bytes_received;
    w.peer(&format!("U. {next}:{next}(0) ack 1 urg 1"));
    assert_eq!(take_urgent(&mut w), Err(Error::WouldBlock)); // announced
}

/// What is peeked stops at the mark like what is read.
#[test]
fn peeking_stops_at_the_mark() {
    let mut w = Wire::connected();
    w.peer("PU. 1:6(5) ack 1 urg 3");
    let mut bytes = [0; 10];
    assert_eq!(w.stack.peek(w.id(), 0, &mut bytes), Ok(2));
    assert_eq!(w.stack.peek(w.id(), 2, &mut bytes), Err(Error::WouldBlock));
    let now = w.now;
    assert_eq!(w.stack.discard(now, w.id(), 10), Ok(2));
    assert_eq!(w.stack.peek(w.id(), 0, &mut bytes), Ok(2));
    assert_eq!(bytes[..2], text(4, 2));
}

/// `tcp_stdurg`: the pointer names the urgent byte itself.
#[test]
fn a_pointer_as_rfc_1122_had_it() {
    let mut w = Wire::connected_to(
        ustcp_proto::Config {
            urgent_pointer_names_last: true,
            ..config()
        },
        PLAIN,
    );
    w.peer("PU. 1:6(5) ack 1 urg 2");
    assert_eq!(take_urgent(&mut w), Ok(Some(byte_at(3))));
    assert_eq!(read(&mut w, 10), Ok(text(1, 2)));
    assert_eq!(read(&mut w, 10), Ok(text(4, 2)));
}

/// As Linux: a probe of a closed window brings the pointer where the peer heeds it, and then the question.
#[test]
fn a_probe_tells_what_is_urgent() {
    let mut w = Wire::connected();
    w.peer(". 1:1(0) ack 1 win 0");
    write_urgent(&mut w, 1, 5);
    w.after(ms(200));
    w.sees("U. 1:1(0) ack 1 urg 5");
    w.sees("U. 0:0(0) ack 1 urg 6");
    w.quiet();
    w.peer(". 1:1(0) ack 1 win 1000");
    w.sees("PU. 1:6(5) ack 1 urg 5");
}

/// One that lies too far ahead for the field is not told so.
#[test]
fn a_probe_does_not_tell_what_is_far_off() {
    let mut w = Wire::connected();
    w.peer(". 1:1(0) ack 1 win 0");
    write_urgent(&mut w, 1, 70_000);
    w.after(ms(200));
    w.sees("U. 0:0(0) ack 1 urg 65535");
    w.quiet();
}

/// Nobody is at the mark without a connection.
#[test]
fn no_mark_without_a_connection() {
    let w = Wire::listening(config(), 1);
    assert_eq!(w.stack.at_mark(w.listener()), Ok(false));
}
