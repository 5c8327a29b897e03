//! Habits of Linux that no rule asks for and that show in captures.

use ustcp_proto::Config;

use crate::wire::*;

/// The window of a SYN-ACK is one of whole segments as the peer will send them, timestamps taken off.
#[test]
fn a_syn_ack_offers_whole_segments() {
    for (offer, segment) in [("<mss 1460,ts 1000 0>", 1448), ("<mss 1460>", 1460)] {
        let mut w = Wire::listening(
            Config {
                timestamps: true,
                receive_buffer: 8192,
                ..config()
            },
            8,
        );
        w.peer(&format!("S 0:0(0) win 65535 {offer}"));
        w.sees(&format!("S. 0:0(0) ack 1 win {}", 5 * segment));
    }
}

/// The RST that ends a connection repeats the window, one that answers a stranger has none.
#[test]
fn an_rst_of_a_connection_has_its_window() {
    let mut w = Wire::connected_to(
        Config {
            receive_buffer: 8192,
            ..config()
        },
        PLAIN,
    );
    w.peer("P. 1:101(100) ack 1");
    w.after(ms(40));
    let window = w.next().expect("an acknowledgement").1.win.expect("a window");
    assert!(window > 0);
    w.close();
    w.sees(&format!("R. 1:1(0) ack 101 win {window}"));
    w.peer("P. 101:201(100) ack 1");
    w.sees("R 1:1(0) win 0");
}
