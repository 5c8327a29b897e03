//! Fast Open, RFC 7413.

use core::net::SocketAddr;

use ustcp_proto::{Config, Error, FastOpenKeys, SocketId, State};
use ustcp_wire::FastOpenCookie;

use crate::wire::*;

/// Both sides are allowed.
fn allowed() -> Config {
    Config {
        fast_open: 3,
        ..config()
    }
}

/// What our next packet carries of the option.
fn cookie_seen(w: &mut Wire) -> Option<FastOpenCookie> {
    w.next().expect("a packet").1.options.expect("options").fast_open
}

/// sendto with `MSG_FASTOPEN` from the client's port.
fn connect_with(w: &mut Wire, len: usize) -> Result<usize, Error> {
    let id = w.fresh();
    w.use_socket(id);
    let local = SocketAddr::new(w.ours, w.ports.0);
    w.stack.bind(id, local).unwrap();
    let (now, remote) = (w.now, SocketAddr::new(w.peers, SERVER));
    w.stack.connect_with(now, id, remote, &text(1, len))
}

/// A client that has a cookie, from a connection that is over.
fn client_with_cookie(config: Config) -> Wire {
    let mut w = Wire::new(config, WE_CONNECT);
    assert_eq!(connect_with(&mut w, 10), Err(Error::InProgress));
    let seen = w.sees("S 0:0(0)");
    assert_eq!(seen.options.unwrap().fast_open, Some(FastOpenCookie::REQUEST));
    w.peer("S. 0:0(0) ack 1 win 65535 <mss 1000,fo abcdefgh>");
    w.sees(". 1:1(0) ack 1");
    w.peer("R 1:1(0)");
    w.ports = Ports(40_001, SERVER);
    w
}

/// 7413-1: off unless asked: no option by itself.
#[test]
fn no_option_unless_asked() {
    let mut w = Wire::new(allowed(), WE_CONNECT);
    w.connect();
    assert_eq!(cookie_seen(&mut w), None);
    let mut w = Wire::new(config(), WE_LISTEN);
    w.listen_early(0);
    w.peer("S 0:0(0) win 65535 <mss 1000,fo>");
    assert_eq!(cookie_seen(&mut w), None);
}

/// 7413-1: a client asks for a cookie and uses it: its text goes with the SYN.
#[test]
fn text_goes_with_the_syn_once_there_is_a_cookie() {
    let mut w = client_with_cookie(allowed());
    assert_eq!(connect_with(&mut w, 100), Ok(100));
    let seen = w.sees("S 0:100(100)");
    assert_eq!(seen.options.unwrap().fast_open, FastOpenCookie::new(b"abcdefgh"));
    w.quiet();
    w.peer("S. 0:0(0) ack 101 win 65535 <mss 1000>");
    w.sees(". 101:101(0) ack 1");
    w.quiet();
    assert_eq!((w.state(), w.info().unacked), (State::Established, 0));
}

/// 7413-4: what a server leaves unacknowledged of the SYN's text goes again at once.
#[test]
fn text_that_the_server_did_not_take_goes_again() {
    let mut w = client_with_cookie(allowed());
    assert_eq!(connect_with(&mut w, 100), Ok(100));
    w.sees("S 0:100(100)");
    w.peer("S. 0:0(0) ack 1 win 65535 <mss 1000>");
    w.sees("P. 1:101(100) ack 1");
    w.quiet();
    assert_eq!(w.info().cwnd, 10, "no sign of congestion");
    w.peer(". 1:1(0) ack 101");
    assert_eq!(w.info().unacked, 0);
}

/// 7413-4: a SYN that is not answered goes again without option and text, and the server is left in peace for a while.
#[test]
fn a_lost_syn_goes_again_plain() {
    let mut w = client_with_cookie(allowed());
    assert_eq!(connect_with(&mut w, 100), Ok(100));
    w.sees("S 0:100(100)");
    w.after(secs(1));
    let seen = w.sees("S 0:0(0)");
    assert_eq!(seen.options.unwrap().fast_open, None);
    w.peer("S. 0:0(0) ack 1 win 65535 <mss 1000>");
    w.sees("P. 1:101(100) ack 1");
    w.ports = Ports(40_002, SERVER);
    assert_eq!(connect_with(&mut w, 10), Err(Error::InProgress));
    assert_eq!(cookie_seen(&mut w), None);
}

/// 7413-4: and when the silence was only the way back, an answer to the first SYN counts for its text.
#[test]
fn an_answer_to_the_first_syn_after_the_second() {
    let mut w = client_with_cookie(allowed());
    assert_eq!(connect_with(&mut w, 100), Ok(100));
    w.sees("S 0:100(100)");
    w.after(secs(1));
    w.sees("S 0:0(0)");
    w.peer("S. 0:0(0) ack 101 win 65535 <mss 1000>");
    w.sees(". 101:101(0) ack 1");
    w.quiet();
}

/// More than the SYN holds follows the handshake.
#[test]
fn what_does_not_fit_into_the_syn_follows() {
    let mut w = client_with_cookie(allowed());
    assert_eq!(connect_with(&mut w, 3000), Ok(3000));
    let seen = w.sees("S 0:960(960)");
    let end = 1 + seen.len as i64;
    w.peer(&format!("S. 0:0(0) ack {end} win 65535 <mss 1000>"));
    w.sees(&format!(". {end}:{}(1000) ack 1", end + 1000));
    w.sees(&format!(". {}:{}(1000) ack 1", end + 1000, end + 2000));
}

/// `TCP_FASTOPEN_CONNECT`: connect returns, and the first text takes the SYN along.
#[test]
fn connect_that_waits_for_text() {
    let mut w = client_with_cookie(allowed());
    let id = w.fresh();
    w.use_socket(id);
    w.set(|options| options.fast_open_connect = true);
    let local = SocketAddr::new(w.ours, 40_001);
    w.stack.bind(id, local).unwrap();
    let (now, remote) = (w.now, SocketAddr::new(w.peers, SERVER));
    assert_eq!(w.stack.connect(now, id, remote), Ok(()));
    assert!(w.readiness().writable);
    w.quiet();
    assert_eq!(w.stack.connect(now, id, remote), Err(Error::AlreadyConnected));
    w.write(50);
    w.sees("S 0:50(50)");
    w.peer("S. 0:0(0) ack 51 win 65535 <mss 1000>");
    w.sees(". 51:51(0) ack 1");
    assert_eq!(w.state(), State::Established);
}

/// 7413-1: `MSG_FASTOPEN` where the configuration forbids it.
#[test]
fn forbidden_by_the_configuration() {
    let mut w = Wire::new(
        Config {
            fast_open: 0,
            ..config()
        },
        WE_CONNECT,
    );
    assert_eq!(connect_with(&mut w, 10), Err(Error::NotSupported));
}

impl Wire {
    /// A listener with `TCP_FASTOPEN`.
    fn listen_early(&mut self, backlog: usize) {
        let id = self.fresh();
        self.stack.bind(id, SocketAddr::new(self.ours, SERVER)).unwrap();
        let mut options = self.stack.options(id).unwrap();
        options.fast_open_backlog = backlog;
        self.stack.set_options(self.now, id, options).unwrap();
        self.stack.listen(self.now, id, 8).unwrap();
        self.use_listener(id);
    }

    /// Injects a SYN with a cookie and `len` bytes.
    fn syn_with(&mut self, cookie: FastOpenCookie, len: usize) {
        let mut segment = Segment::read(&format!("S 0:{len}({len}) win 65535 <mss 1000>"));
        segment.options.as_mut().unwrap().fast_open = Some(cookie);
        let packet = self.packet(&segment);
        self.inject(&packet);
    }
}

/// A server whose cookie its client has, and the cookie.
fn server(backlog: usize) -> (Wire, FastOpenCookie) {
    let mut w = Wire::new(allowed(), WE_LISTEN);
    w.listen_early(backlog);
    w.peer("S 0:0(0) win 65535 <mss 1000,fo>");
    let cookie = cookie_seen(&mut w).expect("a cookie");
    assert_eq!(cookie.bytes().len(), 8);
    w.peer("R 1:1(0)");
    w.ports = Ports(SERVER, 40_001);
    (w, cookie)
}

fn read(w: &mut Wire, id: SocketId) -> Result<usize, Error> {
    let now = w.now;
    w.stack.recv(now, id, &mut [0; 100])
}

/// 7413-2: text is the user's before the handshake ends, and the user may answer at once.
#[test]
fn text_is_taken_before_the_handshake_ends() {
    let (mut w, cookie) = server(4);
    w.syn_with(cookie, 20);
    w.accept();
    let id = w.id();
    assert_eq!(w.state(), State::SynReceived);
    assert!(w.readiness().readable && w.readiness().writable);
    assert!(w.stack.peer_address(id).is_ok());
    assert_eq!(read(&mut w, id), Ok(20));
    w.write(30);
    w.sees("S. 0:0(0) ack 21");
    w.sees("P. 1:31(30) ack 21");
    w.quiet();
    w.peer(". 21:21(0) ack 31");
    assert_eq!((w.state(), w.info().unacked), (State::Established, 0));
}

/// 7413-2: without the right cookie only the SYN is acknowledged, and a good one comes with the answer.
#[test]
fn a_wrong_cookie_lets_no_text_in() {
    let (mut w, cookie) = server(4);
    w.syn_with(FastOpenCookie::new(b"whatever").unwrap(), 20);
    let seen = w.sees("S. 0:0(0) ack 1");
    assert_eq!(seen.options.unwrap().fast_open, Some(cookie));
    assert_eq!(w.stack.census().unaccepted, 0);
}

/// 7413-2: the cookie is bound to the client's address and to the key.
#[test]
fn a_cookie_is_for_one_client_of_one_server() {
    let (_, cookie) = server(4);
    let mut other = Wire::new(
        Config {
            secret: ustcp_proto::Secret([7; 32]),
            ..allowed()
        },
        WE_LISTEN,
    );
    other.listen_early(4);
    other.syn_with(cookie, 20);
    other.sees("S. 0:0(0) ack 1");
}

/// 7413-2: with keys of its own a listener knows nothing of the stack's; with two it takes cookies of both, and replaces
/// those of the second.
#[test]
fn keys_of_a_listener() {
    let keys = |first: u8, second: Option<u8>| {
        let bytes = [Some(first), second].into_iter().flatten().flat_map(|byte| [byte; 16]);
        FastOpenKeys::from_bytes(&bytes.collect::<Vec<u8>>()).expect("keys")
    };
    let (mut w, of_stack) = server(8);
    let id = w.listener();
    w.use_socket(id);
    let mut next = 41_000;
    // What a SYN with that cookie is answered with: how much is acknowledged, and the option.
    let mut answered = |w: &mut Wire, keys, cookie| {
        w.set(|options| options.fast_open_keys = Some(keys));
        (w.ports, next) = (Ports(SERVER, next), next + 1);
        w.syn_with(cookie, 20);
        let (_, segment) = w.next().expect("a SYN-ACK");
        (segment.ack, segment.options.expect("options").fast_open)
    };
    let (acked, of_one) = answered(&mut w, keys(1, None), of_stack);
    let of_one = of_one.expect("one of the new key");
    assert_eq!((acked, of_one == of_stack), (Some(1), false));
    assert_eq!(answered(&mut w, keys(1, None), of_one), (Some(21), None));
    let (_, of_two) = answered(&mut w, keys(2, Some(1)), of_stack);
    assert_eq!(answered(&mut w, keys(2, Some(1)), of_one), (Some(21), of_two));
    assert_eq!(answered(&mut w, keys(2, None), of_one), (Some(1), of_two));
}

/// As Linux: what is accepted has neither its listener's keys nor its number of early connections.
#[test]
fn what_is_not_handed_on() {
    let (mut w, cookie) = server(4);
    let listener = w.listener();
    w.use_socket(listener);
    w.set(|options| options.fast_open_keys = FastOpenKeys::from_bytes(&[7; 16]));
    w.syn_with(cookie, 0);
    w.sees("S. 0:0(0) ack 1");
    w.peer(". 1:1(0) ack 1");
    w.accept();
    let id = w.id();
    let options = w.stack.options(id).expect("options");
    assert_eq!((options.fast_open_keys, options.fast_open_backlog), (None, 0));
}

/// The headers of a SYN are kept for a connection that begins with it, too.
#[test]
fn an_early_connection_has_its_syn() {
    let (mut w, cookie) = server(4);
    let id = w.listener();
    w.use_socket(id);
    w.set(|options| options.save_syn = 1);
    w.syn_with(cookie, 20);
    w.accept();
    let id = w.id();
    let syn = w.stack.take_saved_syn(id, 256).expect("a SYN");
    assert_eq!(syn.len(), 20 + 20 + 4 + 2 + cookie.bytes().len() + 2);
}

/// 7413-3: at most so many are let in before their handshake is done; the rest go the common way.
#[test]
fn the_limit_of_those_let_in() {
    let (mut w, cookie) = server(2);
    for port in 41_000..41_002 {
        w.ports = Ports(SERVER, port);
        w.syn_with(cookie, 20);
        w.sees("S. 0:0(0) ack 21");
    }
    w.ports = Ports(SERVER, 41_002);
    w.syn_with(cookie, 20);
    w.sees("S. 0:0(0) ack 1");
    w.ports = Ports(SERVER, 41_000);
    w.peer(". 21:21(0) ack 1"); // one handshake is done
    w.ports = Ports(SERVER, 41_003);
    w.syn_with(cookie, 20);
    w.sees("S. 0:0(0) ack 21");
}

/// 7413-3: one that an RST ended counts on for a minute.
#[test]
fn one_that_was_reset_counts_on() {
    let (mut w, cookie) = server(1);
    w.syn_with(cookie, 20);
    w.sees("S. 0:0(0) ack 21");
    w.peer("R 21:21(0)");
    w.ports = Ports(SERVER, 40_002);
    w.syn_with(cookie, 20);
    w.sees("S. 0:0(0) ack 1");
    w.elapse(secs(61));
    w.ports = Ports(SERVER, 40_003);
    w.syn_with(cookie, 20);
    w.sees("S. 0:0(0) ack 21");
}

/// The SYN-ACK of one that was let in goes again like any other, and at last it is given up.
#[test]
fn an_unanswered_syn_ack_goes_again() {
    let (mut w, cookie) = server(4);
    w.syn_with(cookie, 20);
    w.sees("S. 0:0(0) ack 21");
    w.after(secs(1));
    w.sees("S. 0:0(0) ack 21");
    w.accept();
    w.elapse(secs(200));
    assert_eq!(w.state(), State::Closed);
    assert_eq!(w.take_error(), Some(Error::TimedOut));
}

/// A SYN again brings the SYN-ACK again, and no text twice.
#[test]
fn the_same_syn_again() {
    let (mut w, cookie) = server(4);
    w.syn_with(cookie, 20);
    w.sees("S. 0:0(0) ack 21");
    w.syn_with(cookie, 20);
    w.sees("S. 0:0(0) ack 21");
    w.accept();
    let id = w.id();
    assert_eq!(read(&mut w, id), Ok(20));
    assert_eq!(read(&mut w, id), Err(Error::WouldBlock));
}
