//! Buffers that grow with what the path carries, and give back what they do not need.

use core::time::Duration;

use ustcp_proto::{Config, Error};

use crate::wire::*;

/// Buffers as they are by default.
fn own() -> Config {
    let Config {
        receive_buffer,
        receive_buffer_min,
        receive_buffer_max,
        send_buffer,
        send_buffer_min,
        send_buffer_max,
        ..
    } = Config::default();
    Config {
        receive_buffer,
        receive_buffer_min,
        receive_buffer_max,
        send_buffer,
        send_buffer_min,
        send_buffer_max,
        ..config()
    }
}

fn connected(config: Config) -> Wire {
    let mut w = Wire::connecting(config);
    w.after(ms(50));
    w.peer("S. 0:0(0) ack 1 win 65535 <mss 1460,ws 7>");
    w.sees(". 1:1(0) ack 1");
    w.peer_window = 60_000;
    w.peer(". 1:1(0) ack 1");
    w
}

/// One round trip of 50 ms in which the peer sends all that the window allows and the user reads it: the window then.
fn one_round(w: &mut Wire, next: &mut i64) -> usize {
    let window = w.info().rcv_wnd as usize;
    for _ in 0..window / 1460 {
        w.peer(&format!(". {next}:{}(1460) ack 1", *next + 1460));
        *next += 1460;
        let _acks = w.drain();
        while w.read(65_536).is_ok() {}
    }
    let _acks = w.elapse(ms(50));
    w.info().rcv_wnd as usize
}

/// Our SYN's window and shift are those of Linux's defaults: whole segments of 64 KiB, and room for all it may become.
#[test]
fn what_the_syn_says() {
    let mut w = Wire::connecting(own());
    w.after(secs(1));
    let syn = w.sees("S 0:0(0)");
    assert_eq!(
        (syn.win, syn.options.expect("options").window_scale),
        (Some(64_240), Some(10))
    );

    let mut w = Wire::new(own(), WE_CONNECT);
    let id = w.fresh();
    let mut options = w.stack.options(id).expect("options");
    options.receive_buffer = Some(100_000);
    w.stack.set_options(w.now, id, options).expect("set");
    let peer = core::net::SocketAddr::new(w.peers, SERVER);
    assert_eq!(w.stack.connect(w.now, id, peer), Err(Error::InProgress));
    let (_, syn) = w.next().expect("a SYN");
    // A size that the user chose stays, so the shift is for no more.
    assert_eq!(
        (syn.win, syn.options.expect("options").window_scale),
        (Some(65_535), Some(1))
    );
}

/// The window grows while it is what holds the sender back, as fast as a sender in slow start, up to the largest.
#[test]
fn the_window_grows_with_what_is_read() {
    let mut w = connected(own());
    let (mut next, mut windows) = (1, vec![w.info().rcv_wnd as usize]);
    while windows.len() < 8 {
        windows.push(one_round(&mut w, &mut next));
    }
    assert!(windows[2] > 2 * windows[0], "{windows:?}");
    assert!(windows[4] > 1 << 20, "{windows:?}");
    assert!(windows[2..].is_sorted() && windows[7] <= 16 << 20, "{windows:?}");
    assert!(windows[7] > (15 << 20), "{windows:?}");
}

/// It does not where the user has sized it, where the configuration says no, or where nobody reads.
#[test]
fn a_window_that_stays() {
    let fixed = |config: Config| {
        let mut w = connected(config);
        w.set(|options| options.receive_buffer = Some(65_536));
        w
    };
    let off = Config {
        moderate_receive_buffer: false,
        ..own()
    };
    for mut w in [fixed(own()), connected(off)] {
        let mut next = 1;
        for _ in 0..4 {
            assert!(one_round(&mut w, &mut next) <= 65_536);
        }
    }
    let mut w = connected(own());
    for first in (1..40_000).step_by(1000) {
        w.peer(&format!(". {first}:{}(1000) ack 1", first + 1000));
        let _acks = w.elapse(ms(50));
    }
    assert_eq!(w.stack.buffers(w.id()).expect("a socket").0, 65_536);
}

/// The send buffer holds twice the congestion window, from the first one on, and not more than the largest.
#[test]
fn the_send_buffer_grows_with_the_congestion_window() {
    let config = Config {
        send_buffer_max: 100_000,
        ..own()
    };
    let mut w = connected(config);
    assert_eq!(w.try_write(1 << 20), Ok(29_200), "two initial windows");
    let mut flight = w.drain();
    let mut sizes = Vec::new();
    for _ in 0..6 {
        w.after(ms(50));
        for segment in core::mem::take(&mut flight) {
            w.peer(&format!(". 1:1(0) ack {}", segment.seq + segment.len as i64));
            while w.try_write(1 << 20).is_ok() {}
            flight.extend(w.drain());
        }
        sizes.push(w.stack.buffers(w.id()).expect("a socket").1);
    }
    assert!(sizes.is_sorted() && sizes[1] > 29_200, "{sizes:?}");
    assert_eq!(sizes.last(), Some(&100_000), "{sizes:?}");
}

/// On a path of less than a millisecond not beyond what stays within the cache.
#[test]
fn the_send_buffer_of_a_short_path() {
    for (rtt, most) in [(Duration::from_micros(999), 512 << 10), (ms(1), 1 << 20)] {
        let config = Config {
            send_buffer_max: 1 << 20,
            trace: false,
            ..own()
        };
        let mut w = Wire::connected_over(config, "win 65535 <mss 1460,ws 7>", rtt);
        while w.try_write(10_000).is_ok() {}
        for _ in 0..8 {
            let flight = w.drain();
            w.after(rtt);
            for segment in flight {
                w.peer(&format!(". 1:1(0) ack {}", segment.seq + segment.len as i64));
                while w.try_write(10_000).is_ok() {}
            }
        }
        assert_eq!(w.stack.buffers(w.id()).expect("a socket").1, most, "{rtt:?}");
    }
}

/// Neither does it where the user has sized it.
#[test]
fn a_send_buffer_that_stays() {
    let mut w = connected(own());
    w.set(|options| options.send_buffer = Some(20_000));
    assert_eq!(w.try_write(1 << 20), Ok(20_000));
    let flight = w.drain();
    w.peer(&format!(
        ". 1:1(0) ack {}",
        1 + flight.iter().map(|sent| sent.len as i64).sum::<i64>()
    ));
    let _more = w.drain();
    assert!(w.try_write(1 << 20).is_ok());
    assert_eq!(w.stack.buffers(w.id()).expect("a socket").1, 20_000);
}

/// A buffer that is larger already does not shrink because its user asks for the stack's own again.
#[test]
fn the_least_that_a_user_can_ask_for() {
    let mut w = connected(own());
    w.set(|options| {
        options.send_buffer = Some(1);
        options.receive_buffer = Some(1);
    });
    assert_eq!(w.stack.buffers(w.id()), Ok((2048, 4096)));
}

/// Memory is there while it is used: a connection that has been idle for two seconds holds none.
#[test]
fn idle_connections_hold_no_memory() {
    let mut w = connected(own());
    assert_eq!(w.stack.census().buffer_bytes, 0);
    w.write(5000);
    w.peer(". 1:1001(1000) ack 1");
    let _sent = w.drain();
    assert!(w.stack.census().buffer_bytes > 0);
    assert_eq!(w.read(1000), Ok(1000));
    w.peer(". 1001:1001(0) ack 5001");
    w.elapse(secs(1));
    w.elapse(secs(1));
    assert_eq!(w.stack.census().buffer_bytes, 0);
    assert_eq!(w.stack.poll_timeout(), None);

    w.peer(". 1001:2001(1000) ack 5001"); // nobody reads it: it stays, and no timer goes on for it
    w.elapse(secs(5));
    assert!(w.stack.census().buffer_bytes > 0);
    assert_eq!(w.stack.poll_timeout(), None);
    assert_eq!(w.read(1000), Ok(1000));
    w.elapse(secs(3));
    assert_eq!(w.stack.census().buffer_bytes, 0);
}

/// What is in use once a second keeps its memory.
#[test]
fn busy_connections_keep_their_memory() {
    let mut w = connected(own());
    for first in (1..10_000).step_by(1000) {
        w.peer(&format!(". {first}:{}(1000) ack 1", first + 1000));
        assert_eq!(w.read(1000), Ok(1000));
        w.elapse(ms(600));
        assert!(w.stack.census().buffer_bytes > 0);
    }
}
