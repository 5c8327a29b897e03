//! The end of a process that does not say goodbye: what it wrote arrives all the same, and FIN after it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use common::{KERNEL, pattern, recv, send, socket};
use ustcp_runtime::{Settings, Wait, process};

const BYTES: usize = 1 << 20;

/// Without the test harness: this program is its own child, and the way a process ends is what is tested.
fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "child").skip(1);
    if let Some(address) = arguments.next() {
        let unread = arguments.next().is_some();
        return child(address.parse().expect("an address"), unread);
    }
    let Some(_network) = common::settings() else { return };
    data_and_fin_arrive();
    unread_data_makes_it_a_reset();
    println!("exit: 2 passed");
}

fn data_and_fin_arrive() {
    let (mut stream, status) = with_child(&[], |_| ());
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("an end, and no reset");
    assert!(got == pattern(BYTES));
    assert!(status.wait_with_output().expect("the child").status.success());
}

fn unread_data_makes_it_a_reset() {
    let (mut stream, status) = with_child(&["unread"], |stream| {
        io::Write::write_all(stream, b"nobody reads all of this").expect("written");
    });
    let error = io::copy(&mut stream, &mut io::sink()).expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(status.wait_with_output().expect("the child").status.success());
}

fn with_child(
    more: &[&str],
    first: impl FnOnce(&mut std::net::TcpStream),
) -> (std::net::TcpStream, std::process::Child) {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["child", &format!("{KERNEL}:{port}")])
        .args(more)
        .spawn()
        .expect("a child");
    let mut stream = listener.accept().expect("a connection").0;
    first(&mut stream);
    (stream, child)
}

fn child(address: SocketAddr, unread: bool) {
    let settings = Settings {
        tun: "ustcp0".into(),
        addresses: vec![ustcp_runtime::Cidr {
            address: common::STACK.parse().expect("an address"),
            prefix: 24,
        }],
        peers: vec![KERNEL.parse().expect("an address")],
        ..Settings::default()
    };
    process::init(&settings).unwrap_or_else(|error| panic!("{}", error.message));
    let runtime = process::runtime().expect("the runtime");
    let ours = socket(&runtime);
    ours.connect(address, Wait::Forever).expect("connected");
    if unread {
        recv(&ours, &mut [0; 1], Wait::Forever).expect("the first byte");
    } else {
        send(&ours, &pattern(BYTES), Wait::Forever).expect("sent");
    }
    process::register(ours);
    // Another thread sits in a call for ever.
    let listening = socket(&runtime);
    listening.listen(1).expect("listening");
    std::thread::spawn(move || listening.accept(Wait::Forever).err());
    // Neither closed nor ended: `exit` does it.
}
