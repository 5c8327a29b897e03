//! The command as a user meets it: its output, its exit codes, its one line when something is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

fn ustcp(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ustcp"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asserts that `parts` stand in `text` in this order.
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some(at) = rest.find(part) else {
            panic!("no {part:?} in the rest of\n{text}")
        };
        rest = &rest[at + part.len()..];
    }
}

const WHOLE_LIFE: &[&str] = &[
    "handshake",
    "CLOSED → SYN-SENT │ connect()",
    "SYN-SENT │── SYN ",
    "SYN-SENT → ESTABLISHED │◀─ SYN,ACK seq 0 ",
    "data",
    "ESTABLISHED │── PSH,ACK seq 1 ",
    "close",
    "ESTABLISHED → FIN-WAIT-1 │ close()",
    "FIN-WAIT-1 │── FIN,ACK",
    "→ CLOSE-WAIT",
    "TIME-WAIT │── ACK",
    "→ CLOSED",
    "TIME-WAIT → CLOSED │ 2 MSL timer",
];

#[test]
fn in_memory_both_ends_are_drawn_to_closed() {
    let output = ustcp(&["demo", "--in-memory"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert_in_order(
        &text,
        &["TIME-WAIT  2 s, shortened for this demonstration", "HTTP/1.1 200 OK"],
    );
    assert_in_order(&text, WHOLE_LIFE);
    assert_in_order(&text, &["TIME-WAIT lasted 2.000 s"]);
    assert!(!text.contains('\x1b'), "no terminal, no colour");
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert_eq!(stderr(&output), "");
}

#[test]
fn in_memory_is_the_same_every_time() {
    let weather = "loss=20%,delay=3ms,seed=11";
    let runs = [(); 2].map(|()| stdout(&ustcp(&["demo", "--in-memory", "--weather", weather])));
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn ascii_is_ascii() {
    let output = ustcp(&["demo", "--in-memory", "--ascii", "--weather", "drop=out:FIN#1"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).is_ascii());
    assert_in_order(
        &stdout(&output),
        &["..x|", "-@ FIN,ACK", "@ sent again     x lost on the way"],
    );
}

#[test]
fn a_lost_fin_is_sent_again() {
    let output = ustcp(&["demo", "--in-memory", "--weather", "drop=out:FIN#1"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert_in_order(
        &text,
        &[
            "weather    drop=out:FIN#1",
            "│── FIN,ACK",
            "╌✗│",
            "loss probe timer",
            "│─↻ FIN,ACK",
        ],
    );
    assert!(text.contains("sent again, 1 lost."), "{text}");
}

/// Over either kind of link, who counts wrong is told.
#[test]
fn a_drop_that_no_packet_met_is_told() {
    for more in [&["--in-memory"][..], &["--time-wait", "0.25"]] {
        let drops = "drop=out:FIN#2,drop=in:fin#1,drop=out:fin,drop=rst#9";
        let output = ustcp(&[&["demo", "--weather", drops][..], more].concat());
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
        let told: Vec<&str> = text.lines().filter(|line| line.starts_with("drop=")).collect();
        assert_eq!(told, ["drop=RST#9: there was no such packet."], "{text}");
    }
    let text = stdout(&ustcp(&["demo", "--in-memory", "--weather", "drop=FIN#2"]));
    assert!(text.contains("\ndrop=FIN#2: there was no such packet.\n"), "{text}");
}

/// A knob is our stack's over either kind of link: without tail loss probes a lost FIN waits for its timeout.
#[test]
fn a_knob_of_our_stack() {
    for more in [&["--in-memory"][..], &["--time-wait", "0.25"]] {
        let knobs = ["--sysctl", "tcp_early_retrans=0", "--sysctl", "tcp_dsack=0"];
        let demo = ["demo", "--weather", "drop=out:FIN#1"];
        let output = ustcp(&[&demo[..], more, &knobs].concat());
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
        if text.starts_with("No TUN device can be had here: ") {
            println!("over the link in memory: {}", text.lines().next().unwrap());
        }
        assert_in_order(
            &text,
            &[
                "sysctl     tcp_early_retrans=0,tcp_dsack=0",
                "│── FIN,ACK",
                "retransmission timer",
                "│─↻ FIN,ACK",
            ],
        );
        assert!(!text.contains("loss probe timer"), "{text}");
    }
}

/// What is shown is what the options say, over either kind of link.
#[test]
fn a_knob_of_the_environment_changes_nothing() {
    for more in [&["--in-memory"][..], &["--time-wait", "0.25"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_ustcp"))
            .args(["demo", "--weather", "drop=out:FIN#1"])
            .args(more)
            .env("USTCP_SYSCTL", "tcp_early_retrans=0")
            .output()
            .unwrap();
        let text = stdout(&output);
        if text.starts_with("No TUN device can be had here: ") {
            println!("over the link in memory: {}", text.lines().next().unwrap());
        }
        assert!(text.contains("loss probe timer") && !text.contains("sysctl"), "{text}");
    }
}

#[test]
fn a_lost_last_ack_makes_the_peer_repeat_its_fin_in_time_wait() {
    let output = ustcp(&["demo", "--in-memory", "--weather", "drop=out:ACK#3"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert_in_order(
        &text,
        &[
            "TIME-WAIT │── ACK",
            "╌✗│ LAST-ACK",
            "TIME-WAIT │◀─ FIN,ACK",
            "↻│",
            "TIME-WAIT │── ACK",
        ],
    );
}

#[test]
fn a_network_that_loses_everything_is_a_failure_of_one_line() {
    let lossy = ["demo", "--weather", "loss=100%", "--sysctl", "tcp_syn_retries=1"];
    for more in [&["--in-memory"][..], &[]] {
        let output = ustcp(&[&lossy[..], more].concat());
        assert_eq!(output.status.code(), Some(1));
        let told = stderr(&output);
        let last = told.lines().last().unwrap_or_default();
        assert!(last.starts_with("ustcp: nothing came back: of "), "{told}");
        assert!(last.ends_with(" SYNs that were sent none was answered"), "{told}");
        assert_in_order(&stdout(&output), &["│── SYN ", "│─↻ SYN ", "given up"]);
    }
}

/// On this machine's own terms: over a TUN device where one can be had, else in memory, and the output says why.
#[test]
fn the_page_comes_with_or_without_a_tun() {
    let output = ustcp(&["demo", "--time-wait", "0.25"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert_in_order(&text, &["TIME-WAIT  0.25 s, shortened", "HTTP/1.1 200 OK"]);
    assert_in_order(&text, WHOLE_LIFE);
    if text.starts_with("No TUN device can be had here: ") {
        println!("over the link in memory: {}", text.lines().next().unwrap());
        assert!(text.contains("a second ustcp"));
    } else {
        assert_in_order(
            &text,
            &[
                "a network of its own",
                "Linux kernel",
                "state after, inferred from the packets",
            ],
        );
    }
}

/// The stack never sees that FIN; the capture does.
#[test]
fn a_fin_of_the_peer_that_is_lost_is_drawn_where_it_was_lost() {
    let weather = "drop=in:FIN#1";
    let output = ustcp(&["demo", "--time-wait", "0.25", "--weather", weather]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    if text.starts_with("No TUN device can be had here: ") {
        println!("over the link in memory: {}", text.lines().next().unwrap());
    }
    assert_in_order(
        &text,
        &[
            "FIN-WAIT-2 │✗╌ FIN,ACK",
            "→ LAST-ACK",
            "FIN-WAIT-2 → TIME-WAIT │◀─ FIN,ACK",
            "↻│ LAST-ACK",
            "TIME-WAIT │── ACK",
            "1 lost (0 ours, 1 theirs).",
        ],
    );
}

#[test]
fn a_capture_that_cannot_be_written_is_told_before_anything_starts() {
    for (file, why) in [("/nonexistent/x", "No such file"), ("/", "Is a directory")] {
        let output = ustcp(&["demo", "--pcap", file]);
        if stdout(&output).starts_with("No TUN device can be had here: ") {
            return println!("over the link in memory no capture is written");
        }
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stdout(&output), "");
        let told = stderr(&output);
        assert!(told.starts_with(&format!("ustcp: --pcap={file}: {why}")), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn a_program_that_cannot_be_run_or_does_nothing_is_a_failure() {
    let output = ustcp(&["demo", "--", "/nonexistent/program"]);
    if stdout(&output).starts_with("No TUN device can be had here: ") {
        return println!("over the link in memory no program is run");
    }
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot run /nonexistent/program: No such file"),
        "{}",
        stderr(&output)
    );
    let output = ustcp(&["demo", "--", "true"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("did not fetch http://10.77.0.1/; it never started ustcp"),
        "{}",
        stderr(&output)
    );
    let output = ustcp(&["demo", "--", "false"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("the program failed (exit status: 1)"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_is_right() {
    for (arguments, says) in [
        (&["demo", "--weather", "rain=3%"][..], "no fault is called 'rain'"),
        (&["demo", "--sysctl", "tcp_sack=2"], "tcp_sack takes 0 or 1"),
        (&["demo", "--time-wait", "0"], "give seconds from 0.001 to 3600"),
        (&["demo", "--in-memory", "--", "curl"], "cannot be used with"),
        (&["demo", "--in-memory", "--pcap", "x"], "cannot be used with"),
        (&["demo", "--colour"], "--colour"),
        (&["dance"], "dance"),
        (&[], "Usage: ustcp"),
    ] {
        let output = ustcp(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn help_and_version() {
    let version = ustcp(&["--version"]);
    assert_eq!(stdout(&version), concat!("ustcp ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = ustcp(&["--help"]);
    assert_in_order(&stdout(&help), &["Usage: ustcp", "Commands:", "demo"]);
    assert!(
        !stdout(&help).contains("fetch  "),
        "the demonstration's client is not for users"
    );
    let help = stdout(&ustcp(&["demo", "--help"]));
    for option in [
        "--time-wait <SECONDS>",
        "--sysctl <NAME=VALUE>",
        "--weather <SPEC>",
        "--pcap <FILE>",
        "--in-memory",
        "--ascii",
        "[PROGRAM]",
    ] {
        assert!(help.contains(option), "{option} in\n{help}");
    }
}

/// With their units and defaults, and what the exit status says.
#[test]
fn the_commands_of_the_engine_explain_themselves() {
    let engine = [
        "--tun <DEVICE>",
        "[default: ustcp0]",
        "--mtu <BYTES>",
        "128 to 65535",
        "--time-wait <SECONDS>",
        "[default: 60]",
        "--nat",
        "--route <CIDR>",
        "--loopback <WHERE>",
        "[default: relay]",
        "--publish",
    ];
    let table: [(&str, &[&str]); 4] = [
        ("up", &["--engine <NAME>", "--detach", "Exit status:", "Examples:"]),
        (
            "run",
            &[
                "--explain",
                "--strict",
                "--rootless",
                "Exit status:",
                "126",
                "127",
                "125",
            ],
        ),
        ("down", &["--engine <NAME>", "--now", "Exit status:"]),
        (
            "ss",
            &[
                "--all",
                "--listening",
                "--processes",
                "milliseconds",
                "--json",
                "Examples:",
            ],
        ),
    ];
    for (command, words) in table {
        let help = stdout(&ustcp(&[command, "--help"]));
        let of_engine = ["up", "run"].contains(&command).then_some(engine).into_iter().flatten();
        for word in words.iter().copied().chain(of_engine) {
            assert!(help.contains(word), "{word} in\n{help}");
        }
        for hidden in ["--report", "--away", "--until-idle"] {
            assert!(!help.contains(hidden), "{hidden} in\n{help}");
        }
    }
    assert_eq!(ustcp(&["run"]).status.code(), Some(2));
}

/// What is not of the engine does not stand among what is.
#[test]
fn help_has_its_headings() {
    let engine = "\nThe engine, where it is started:\n";
    for (command, options) in [
        ("up", &["--engine ", "--detach"][..]),
        ("run", &["--engine ", "--explain", "--strict", "--rootless"]),
    ] {
        let help = stdout(&ustcp(&[command, "--help"]));
        let (before, after) = help.split_once(engine).unwrap();
        for option in options {
            let row = format!("      {option}");
            assert!(before.contains(&row) && !after.contains(&row), "{option} in\n{help}");
        }
    }
    assert_in_order(
        &stdout(&ustcp(&["run", "--help"])),
        &["[OPTIONS] <PROGRAM>...", "\nArguments:\n", "<PROGRAM>..."],
    );
    assert_in_order(&stdout(&ustcp(&["demo", "--help"])), &["[OPTIONS] [PROGRAM]..."]);
}

/// Its directory is named once, and nothing is shown that a terminal would obey.
#[test]
fn an_engine_that_cannot_be_reached_is_told_of_in_one_line() {
    let directory = std::env::temp_dir().join(format!("ustcp-command-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let name = directory.to_str().unwrap();
    let told = stderr(&ustcp(&["ss", "--engine", name]));
    fs::remove_dir(&directory).unwrap();
    let rest = told
        .strip_prefix(&format!("ustcp: {name} is open to others; "))
        .unwrap();
    assert!(!rest.contains(name), "{told}");
    let told = stderr(&ustcp(&["ss", "--engine", "two\nlines"]));
    let why = "an engine's name is a file's name or an absolute directory, without control characters";
    assert_eq!(told, format!("ustcp: two\u{fffd}lines: {why}\n"));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ustcp"));
    command
        .args(["demo", "--in-memory"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert_eq!(said, "");
}
