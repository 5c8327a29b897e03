//! What an engine tells of its sockets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails loudly"
)]

mod common;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::{Control, Program, Running, STACK, at, engine, engine_in_turns, engine_with, random_tag};
use serde_json::{Value, json};
use ustcp_client::protocol::{Address, Operation, PATH_MAX, PAYLOAD_MAX, PassedBy, Tag};

/// The engine's line, and the sockets'.
fn list(engine: &Running, run: u32) -> (Value, Vec<Value>) {
    let control = engine.control();
    control.send(Operation::List, 0, run.cast_signed(), 0, &[]);
    let mut lines = lines(&control);
    let engine = lines.remove(0)["engine"].take();
    (engine, lines)
}

fn lines(control: &Control) -> Vec<Value> {
    let mut lines = Vec::new();
    loop {
        let line = control.answer().unwrap();
        if line.is_empty() {
            return lines;
        }
        lines.push(serde_json::from_slice(&line).unwrap());
    }
}

/// The line of a socket that there is.
fn of(lines: &[Value], program: &Program) -> Value {
    let local = program.address(Operation::LocalAddress).unwrap();
    let peer = program.address(Operation::PeerAddress).ok();
    let is_it = |line: &&Value| line["local"] == json!(local) && line["peer"] == json!(peer);
    lines.iter().find(is_it).unwrap().clone()
}

#[test]
fn the_engine_and_each_socket_are_told() {
    let Some(engine) = engine_with(|settings, _| settings.time_wait = Duration::from_secs(60)) else {
        return;
    };
    let (listener, port) = engine.listener(5);
    let client = engine.socket();
    client.connect(at(STACK, port)).unwrap();
    let (server, _) = listener.accept();
    let waiting = engine.socket();
    waiting.connect(at(STACK, port)).unwrap();
    let kernel = TcpListener::bind("127.0.0.1:0").unwrap();
    let relayed = engine.socket();
    relayed.connect(kernel.local_addr().unwrap()).unwrap();
    client.write(b"12345");
    assert_eq!(server.read_exact(5), b"12345");

    let (told, lines) = list(&engine, 0);
    assert_eq!(told["pid"], json!(std::process::id()));
    assert_eq!(
        (&told["lifetime"], &told["loopback"]),
        (&json!("stopped"), &json!("relay"))
    );
    assert_eq!(told["variables"]["USTCP_ADDRESS"], json!(format!("{STACK}/24")));
    assert_eq!(told["routes"], json!([]));

    let line = of(&lines, &listener);
    assert_eq!((&line["state"], &line["peer"]), (&json!("LISTEN"), &Value::Null));
    assert_eq!(line["local"], json!(format!("0.0.0.0:{port}")));
    assert_eq!((&line["recv_q"], &line["send_q"]), (&json!(1), &json!(5)));

    let line = of(&lines, &client);
    assert_eq!(
        (&line["place"], &line["state"]),
        (&json!("ustcp"), &json!("ESTABLISHED"))
    );
    assert_eq!(line["peer"], json!(format!("{STACK}:{port}")));
    assert_eq!((&line["family"], &line["congestion"]), (&json!(4), &json!("cubic")));
    assert!(line["inode"].as_u64().unwrap() > 0);
    assert_eq!(&line["tcp_info"].as_str().unwrap()[..2], "01");

    let line = of(&lines, &relayed);
    assert_eq!((&line["place"], &line["why"]), (&json!("relay"), &json!("loopback")));
    assert_eq!(
        (&line["state"], &line["peer"]),
        (&json!("ESTABLISHED"), &json!(kernel.local_addr().unwrap().to_string()))
    );

    client.shut_writing();
    assert_eq!(server.read_to_end().unwrap(), b"");
    server.shut_writing();
    assert_eq!(client.read_to_end().unwrap(), b"");
    drop((client, server));
    let is_time_wait = |line: &Value| line["state"] == json!("TIME-WAIT");
    let line = std::iter::repeat_with(|| list(&engine, 0).1).find_map(|lines| lines.into_iter().find(is_time_wait));
    let line = line.unwrap();
    assert_eq!(line["timer"]["name"], json!("timewait"));
    assert!(
        (50_000..=60_000).contains(&line["timer"]["milliseconds"].as_u64().unwrap()),
        "{line}"
    );
}

#[test]
fn a_run_hears_of_its_sockets_as_long_as_its_lease_is_open() {
    let Some(engine) = engine() else { return };
    let lease = engine.control();
    let run = lease.ask(Operation::Lease, 0, 0, 0, &[]).unwrap();
    let run = u32::from_ne_bytes(run.try_into().unwrap());
    let (_others, port) = engine.listener(1);
    let mine = engine.attached_in(
        Tag {
            socket: 77,
            is_v6: false,
        },
        run,
    );
    mine.connect(at(STACK, port)).unwrap();
    let peer = Address("[2001:db8::1]:53".parse().unwrap()).to_bytes();
    let why = PassedBy::Protocol as i32;
    engine
        .ask(Operation::PassedBy, 0, why, run.cast_signed(), &peer)
        .unwrap();

    let (_, lines) = list(&engine, run);
    assert_eq!(lines.len(), 2);
    assert_eq!(of(&lines, &mine)["state"], json!("ESTABLISHED"));
    let line = lines.iter().find(|line| line["place"] == json!("passed by")).unwrap();
    assert_eq!(line["why"], json!("protocol"));
    assert_eq!(
        (&line["peer"], &line["family"]),
        (&json!("[2001:db8::1]:53"), &json!(6))
    );

    drop(mine);
    let ended = |line: &Value| line["place"] == json!("ustcp") && line["state"] == json!("CLOSED");
    let line = std::iter::repeat_with(|| list(&engine, run).1).find_map(|lines| lines.into_iter().find(ended));
    assert_eq!(line.unwrap()["peer"], json!(format!("{STACK}:{port}")));
    drop(lease);
    assert!(std::iter::repeat_with(|| list(&engine, run).1).any(|lines| lines.is_empty()));
}

/// The path is the client's word: the engine keeps a part, and no line is longer than a reply.
#[test]
fn of_a_path_only_so_much_is_kept() {
    let Some(engine) = engine() else { return };
    let lease = engine.control();
    let run = lease.ask(Operation::Lease, 0, 0, 0, &[]).unwrap();
    let run = u32::from_ne_bytes(run.try_into().unwrap());
    let why = PassedBy::Static as i32;
    for byte in [b'a', b'"', 0xFF] {
        engine
            .ask(Operation::PassedBy, 0, why, run.cast_signed(), &[byte; PAYLOAD_MAX])
            .unwrap();
    }
    let control = engine.control();
    control.send(Operation::List, 0, run.cast_signed(), 0, &[]);
    let told = std::iter::repeat_with(|| control.answer().unwrap()).take_while(|line| !line.is_empty());
    let (lines, whys): (Vec<_>, Vec<_>) = told
        .map(|line| {
            (
                line.len(),
                serde_json::from_slice::<Value>(&line).unwrap()["why"].take(),
            )
        })
        .unzip();
    assert_eq!(lines.len(), 4); // the engine's, and one of each
    assert!(lines.into_iter().all(|len| len <= PAYLOAD_MAX));
    let most = "static program ".len() + PATH_MAX;
    assert!(whys.iter().filter_map(Value::as_str).all(|why| why.len() <= most));
}

/// Whoever has the number of a socket may steer it, so that is for the holders of its descriptor.
#[test]
fn no_number_of_a_socket_is_told() {
    let Some(engine) = engine() else { return };
    let lease = engine.control();
    let run = lease.ask(Operation::Lease, 0, 0, 0, &[]).unwrap();
    let run = u32::from_ne_bytes(run.try_into().unwrap());
    let (listener, port) = engine.listener(1);
    let mine = engine.attached_in(random_tag(), run);
    mine.connect(at(STACK, port)).unwrap();
    let (accepted, _) = listener.accept();
    for run in [0, run] {
        let (told, lines) = list(&engine, run);
        let text = format!("{told}{}", json!(lines));
        assert!(text.contains("ESTABLISHED"));
        for number in [mine.number, listener.number, accepted.number] {
            assert!(!text.contains(&number.to_string()) && !text.contains(&format!("{number:x}")));
        }
    }
}

#[test]
fn a_long_list_is_made_little_by_little() {
    let Some((engine, turns)) = engine_in_turns() else {
        return;
    };
    let programs: Vec<_> = (0..200).map(|_| engine.socket()).collect();
    let control = engine.control();
    control.send(Operation::Hello, 0, 0, 0, &[]);
    turns.take();
    control.answer().unwrap();
    control.send(Operation::List, 0, 0, 0, &[]);
    turns.take();
    let count = programs.len();
    drop(programs);
    drop(turns);
    let lines = lines(&control);
    assert_eq!(lines.len(), 1 + count); // as they were when it was asked for
    let late = lines.iter().filter(|line| line.get("inode") == Some(&Value::Null));
    assert!(late.count() > count / 2, "made before anybody else had a turn");
}

#[test]
fn lists_that_nobody_reads_give_way() {
    let Some(engine) = engine() else { return };
    let _programs: Vec<_> = (0..1000).map(|_| engine.socket()).collect();
    let ask = || {
        let control = engine.control();
        control.send(Operation::List, 0, 0, 0, &[]);
        control
    };
    let unread: Vec<_> = (0..4).map(|_| ask()).collect();
    assert!(unread.iter().all(|control| control.answer().is_ok()));
    let begun = Instant::now();
    loop {
        match ask().answer() {
            Ok(_) => break,
            Err(error) => assert_eq!(error, libc::EBUSY),
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "they do not");
    }
}

#[test]
fn a_long_list_waits_for_its_reader() {
    let Some(engine) = engine() else { return };
    let programs: Vec<_> = (0..1000).map(|_| engine.socket()).collect();
    let control = engine.control();
    control.send(Operation::List, 0, 0, 0, &[]);
    control.send(Operation::Hello, 0, 0, 0, &[]);
    assert_eq!(engine.ask(Operation::Hello, 0, 0, 0, &[]).unwrap().len(), 4); // nobody else waits for that
    assert_eq!(lines(&control).len(), 1 + programs.len());
    assert_eq!(control.answer().unwrap().len(), 4);
}
