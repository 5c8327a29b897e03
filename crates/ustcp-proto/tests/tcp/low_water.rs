//! What the user says about receiving: `SO_RCVLOWAT`, `TCP_WINDOW_CLAMP`; and about the last of it: `TCP_LINGER2`.

use ustcp_proto::State;

use crate::wire::*;

/// `SO_RCVLOWAT`: poll waits for so many bytes, a read that does not wait takes what is there.
#[test]
fn receive_low_water() {
    let mut w = Wire::connected();
    w.set(|options| options.receive_low = 100);
    w.peer("P. 1:100(99) ack 1");
    assert!(!w.readiness().readable);
    w.peer("P. 100:101(1) ack 1");
    assert!(w.readiness().readable);
    assert_eq!(w.read(1000), Ok(100));
    w.peer("P. 101:102(1) ack 1");
    assert!(!w.readiness().readable);
    assert_eq!(w.read(1000), Ok(1));
}

/// The end of the stream is told whatever the mark.
#[test]
fn the_end_is_above_the_mark() {
    let mut w = Wire::connected();
    w.set(|options| options.receive_low = 100);
    w.peer("FP. 1:11(10) ack 1");
    assert!(w.readiness().readable);
}

/// As Linux: with a window too small for another segment there is nothing to wait for.
#[test]
fn a_mark_beyond_the_buffer() {
    let mut small = config();
    small.receive_buffer = 4000;
    small.mtu = 1040;
    let mut w = Wire::connected_to(small, PLAIN);
    w.set(|options| options.receive_low = 1_000_000);
    for seq in [1, 1001, 2001] {
        assert!(!w.readiness().readable);
        w.peer(&format!(". {seq}:{}(1000) ack 1", seq + 1000));
        w.drain();
    }
    assert!(w.readiness().readable);
}

/// As Linux: a buffer that may grow has room for what its user waits for; one of the user's own size stays.
#[test]
fn a_mark_beyond_the_first_buffer() {
    for (asked, room) in [(None, 8000), (Some(4000), 4000)] {
        let mut growing = config();
        growing.receive_buffer = 4000;
        growing.receive_buffer_max = 8000;
        let mut w = Wire::connected_to(growing, PLAIN);
        w.set(|options| options.receive_buffer = asked);
        w.set(|options| options.receive_low = 1_000_000);
        assert_eq!(w.stack.buffers(w.id()).map(|(receive, _)| receive), Ok(room));
    }
}

/// `TCP_WINDOW_CLAMP`: no window is larger, from the SYN on.
#[test]
fn the_window_is_clamped() {
    let mut w = Wire::new(config(), WE_CONNECT);
    w.connect();
    w.set(|options| options.window_clamp = Some(5000));
    assert_eq!(w.sees("S 0:0(0)").win, Some(4380)); // whole segments
    w.peer(&format!("S. 0:0(0) ack 1 {PLAIN}"));
    let first = w.sees(". 1:1(0) ack 1").win.expect("a window");
    assert!(first <= 5000, "{first}");
    for seq in (1..20_000).step_by(1000) {
        w.peer(&format!(". {seq}:{}(1000) ack 1", seq + 1000));
        assert_eq!(w.read(1000), Ok(1000));
        assert!(w.info().rcv_wnd <= 5000);
        w.drain();
    }
}

/// SHLD-14: a clamp set later takes back nothing that was announced.
#[test]
fn a_clamp_takes_nothing_back() {
    let mut w = Wire::connected();
    let before = w.info().rcv_wnd;
    w.set(|options| options.window_clamp = Some(5000));
    assert_eq!(w.info().rcv_wnd, before);
    w.peer("P. 1:1001(1000) ack 1");
    w.after(ms(40));
    w.sees(". 1:1(0) ack 1001");
    assert_eq!(w.info().rcv_wnd, before - 1000);
}

fn lingering(time: Option<core::time::Duration>) -> Wire {
    let mut w = Wire::connected();
    w.set(|options| options.fin_timeout = time);
    w.close();
    w.sees("F. 1:1(0) ack 1");
    w
}

/// `TCP_LINGER2`: FIN-WAIT-2 without a user lasts so long, and never less than three and a half timeouts.
#[test]
fn fin_wait_2_lasts_as_long_as_the_user_says() {
    for (asked, lasts) in [(None, secs(60)), (Some(secs(5)), secs(5)), (Some(ms(1)), ms(700))] {
        let mut w = lingering(asked);
        w.peer(". 1:1(0) ack 2");
        w.elapse_in_silence(lasts - ms(1));
        assert_eq!(w.stack.census().orphans, 1, "{asked:?}");
        w.elapse_in_silence(ms(1));
        assert_eq!(w.stack.census().orphans, 0, "{asked:?}");
    }
}

/// Below zero it does not last at all: the peer hears RST.
#[test]
fn no_fin_wait_2() {
    let mut w = lingering(Some(ms(0)));
    w.peer(". 1:1(0) ack 2");
    w.sees("R 2:2(0)");
    assert_eq!(w.stack.census().orphans, 0);
}

/// A user who closes in FIN-WAIT-2 has the same.
#[test]
fn no_fin_wait_2_after_shutdown() {
    let mut w = Wire::connected();
    w.set(|options| options.fin_timeout = Some(ms(0)));
    w.shutdown(ustcp_proto::Shutdown::Write);
    w.sees("F. 1:1(0) ack 1");
    w.peer(". 1:1(0) ack 2");
    assert_eq!(w.state(), State::FinWait2);
    w.after(secs(100));
    w.close();
    w.sees("R. 2:2(0) ack 1");
    assert_eq!(w.stack.census(), ustcp_proto::Census::default());
}
