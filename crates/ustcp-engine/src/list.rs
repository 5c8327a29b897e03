//! What there is, for `ustcp ss` and `ustcp run --explain`: a line of JSON for each thing, a packet for each line.

use std::collections::VecDeque;

use rustix::fs::fstat;
use rustix::io::Errno as SystemErrno;
use rustix::net::{SendFlags, send};
use serde_json::{Value, json};
use ustcp_client::protocol::Reply;
use ustcp_proto::{Family, Overview, State, Timer, Waiting};
use ustcp_runtime::{Errno, Settings, state_number, tcp_info};

use crate::engine::Engine;
use crate::ground::Ground;
use crate::options::Lifetime;
use crate::socket::{Phase, Socket};
use crate::stream;

/// Lists on their way at once. Each is of this moment and whole.
const LISTS: usize = 4;

/// The lines of a list that are not sent yet; an empty one ends it.
pub(crate) type Lines = VecDeque<Vec<u8>>;

impl Engine {
    /// Begins to list `run`, or everything where that is 0. `EBUSY` while others do so.
    pub(crate) fn list(&mut self, control: u64, run: u32) -> Result<(), Errno> {
        let on_their_way = self.controls.values().filter(|control| control.list.is_some());
        if on_their_way.count() >= LISTS {
            return Err(Errno(libc::EBUSY));
        }
        let lines = self.lines(run).map(|line| line.to_string().into_bytes());
        let lines: Lines = lines.chain([Vec::new()]).collect();
        if let Some(control) = self.controls.get_mut(&control) {
            control.list = Some(lines);
        }
        self.go_on_listing(control);
        Ok(())
    }

    /// Sends as many lines as are taken.
    pub(crate) fn go_on_listing(&mut self, number: u64) {
        while let Some(control) = self.controls.get_mut(&number) {
            let Some(lines) = &mut control.list else { return };
            let Some(line) = lines.front() else {
                control.list = None;
                control.waits = false;
                self.answered.push(number);
                return;
            };
            let packet = [&Reply { errno: 0 }.to_bytes()[..], line].concat();
            match send(&control.stream, &packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => drop(lines.pop_front()),
                Err(SystemErrno::AGAIN) => return, // epoll tells when more is taken
                Err(_) => self.forget_control(number),
            }
        }
    }

    fn lines(&mut self, run: u32) -> impl Iterator<Item = Value> {
        let now = self.ground.now;
        let mut lines = vec![self.description()];
        for overview in self.ground.machine.stack().overview(now) {
            let number = overview.socket.and_then(|id| self.sockets.number(id));
            let socket = number.and_then(|number| self.sockets.get(number));
            if run == 0 || socket.is_some_and(|socket| socket.run == run) {
                let mut line = line(&overview, socket);
                if let Some(socket) = socket.filter(|socket| socket.kernel.is_some()) {
                    relayed(&mut self.ground, socket, &mut line);
                }
                lines.push(line);
            }
        }
        lines.extend(self.pasts.lines(run));
        lines.into_iter()
    }

    fn description(&self) -> Value {
        let lifetime = match self.options.lifetime {
            Lifetime::UntilIdle => "idle",
            Lifetime::UntilStopped => "stopped",
        };
        let routes = self.options.routes.iter().map(ToString::to_string);
        json!({"engine": {
            "pid": std::process::id(),
            "lifetime": lifetime,
            "variables": self.variables,
            "routes": routes.collect::<Vec<String>>(),
            "loopback": self.options.loopback.name(),
            "publish": self.options.publish,
        }})
    }
}

/// The settings as variables, for whoever wants to know whether they are what it would have.
pub(crate) fn variables(settings: &Settings) -> Value {
    let text = |(name, value): (&str, std::ffi::OsString)| (name.to_owned(), value.to_string_lossy().into());
    Value::Object(settings.variables().into_iter().map(text).collect())
}

/// A socket's number is not told: who has it may speak for the socket.
fn line(overview: &Overview, socket: Option<&Socket>) -> Value {
    let (received, sent) = overview.queues;
    let unsent = socket.map_or(0, unsent);
    let offered = socket.map_or(0, |socket| match &socket.phase {
        Phase::Listening(listening) => listening.offered,
        _ => 0,
    });
    let info = overview.info.as_deref();
    json!({
        "run": socket.map_or(0, |socket| socket.run),
        "place": "ustcp",
        "family": if overview.family == Family::V4 { 4 } else { 6 },
        "state": overview.state.to_string(),
        "local": (overview.local.port() != 0).then_some(overview.local),
        "peer": overview.remote,
        "recv_q": received + offered,
        "send_q": sent + unsent,
        "inode": socket.and_then(|socket| fstat(&socket.stream).ok()).map(|stat| stat.st_ino),
        "timer": overview.timer.map(timer),
        "congestion": info.map(|info| info.congestion.name()),
        "tcp_info": info.map(|info| tcp_info(info).map(|byte| format!("{byte:02x}")).concat()),
    })
}

/// Bytes that a connected program has written and the connection has not taken yet. Of others it is junk.
fn unsent(socket: &Socket) -> usize {
    match socket.phase {
        Phase::Connected | Phase::Offered { .. } => {
            stream::queued(&socket.stream).saturating_sub(socket.head_taken.into())
        }
        Phase::Idle | Phase::Connecting { .. } | Phase::Listening(_) => 0,
    }
}

/// What the kernel tells of a connection that it has in the program's stead.
fn relayed(ground: &mut Ground, socket: &Socket, line: &mut Value) {
    let far = socket.far();
    let info = far
        .option(ground, (libc::IPPROTO_TCP, libc::TCP_INFO), usize::MAX)
        .unwrap_or_default();
    let name = far.option(ground, (libc::IPPROTO_TCP, libc::TCP_CONGESTION), usize::MAX);
    let name = name.map(|name| name.into_iter().take_while(|byte| *byte != 0).collect::<Vec<u8>>());
    let queue = |request| far.ask_number(ground, request).unwrap_or(0);
    let queues = [queue(libc::FIONREAD), queue(libc::TIOCOUTQ)].map(|bytes| usize::try_from(bytes).unwrap_or(0));
    let state = info.first().copied().and_then(state).unwrap_or(State::Closed);
    let told = json!({
        "place": socket.place(),
        "why": socket.why(),
        "state": state.to_string(),
        "local": far.local(ground).ok(),
        "peer": far.peer(ground).ok(),
        "congestion": name.ok().and_then(|name| String::from_utf8(name).ok()),
        "tcp_info": info.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    });
    if let (Some(line), Value::Object(told)) = (line.as_object_mut(), told) {
        line.extend(told);
        if state != State::Listen {
            line.insert("recv_q".to_owned(), json!(queues[0]));
            line.insert("send_q".to_owned(), json!(queues[1] + unsent(socket)));
        }
    }
}

/// The state that Linux gives this number.
fn state(number: u8) -> Option<State> {
    State::ALL.into_iter().find(|state| state_number(*state) == number)
}

/// By the names that ss(8) has.
fn timer(waiting: Waiting) -> Value {
    let name = match waiting.timer {
        Timer::Persist => "persist",
        Timer::Keepalive => "keepalive",
        Timer::FinWait2 | Timer::TimeWait => "timewait",
        Timer::Retransmission
        | Timer::Reordering
        | Timer::LossProbe
        | Timer::DelayedAck
        | Timer::Pacing
        | Timer::Reclaim
        | Timer::Reassembly => "on",
    };
    let milliseconds = u64::try_from(waiting.left.as_millis()).unwrap_or(u64::MAX);
    json!({"name": name, "milliseconds": milliseconds, "count": waiting.count})
}
