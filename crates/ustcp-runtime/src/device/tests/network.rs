//! A network of the test's own.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::credentials;
use crate::sys::namespace::{probe_tun, unshare_network};

/// How long anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Says why a test does not run, past the test harness, which hides what passing tests print.
pub(super) fn skip(reason: &str) {
    let _ = writeln!(
        io::stderr(),
        "skipped: {}: {reason}",
        thread::current().name().unwrap_or("a test")
    );
}

/// Runs the body of `test` in a thread whose network is a new one. A user who is not root gets it in a user namespace,
/// which wants a process of its own: the test runs itself again in one.
pub(super) fn in_own_network(test: &'static str, body: impl FnOnce() + Send) {
    if credentials::user() != 0 {
        return again_as_root(test);
    }
    let in_new_network = || match unshare_network().and_then(|_| probe_tun()) {
        Ok(()) => body(),
        Err(error) => skip(&error.to_string()),
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(test.to_owned());
        let body = thread.spawn_scoped(scope, in_new_network).unwrap();
        body.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn again_as_root(test: &str) {
    let user_namespace = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user"]);
        unshare
    };
    let possible = user_namespace().arg("true").stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        return skip("neither root nor user namespaces");
    }
    let name = format!("device::tests::{test}");
    let again = user_namespace()
        .arg(env::current_exe().unwrap())
        .args(["--exact", &name])
        .output()
        .unwrap();
    let said = String::from_utf8([again.stdout, again.stderr].concat()).unwrap();
    assert!(again.status.success(), "{said}");
    if let Some(reason) = said.lines().find_map(|line| line.strip_prefix("skipped: ")) {
        let _ = writeln!(io::stderr(), "skipped: {reason}");
    }
}

/// Runs ip(8) and returns what it prints.
pub(super) fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("iproute2 is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A path for one test.
pub(super) fn temporary(name: &str) -> PathBuf {
    let test = thread::current().name().unwrap_or_default().replace("::", "-");
    env::temp_dir().join(format!("ustcp-{}-{test}-{name}", std::process::id()))
}

/// Asks until there is an answer. A device that was let go may stay busy for a moment: a program that another test
/// starts holds copies of all descriptors between its fork and its exec.
pub(super) fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "no answer");
        thread::yield_now();
    }
}
