//! What there is, for `ustcp ss` and `ustcp run --explain`: a line of JSON for each thing, a packet for each line.

use std::time::Duration;

use rustix::fs::fstat;
use rustix::io::Errno as SystemErrno;
use rustix::net::{SendFlags, send};
use serde_json::{Value, json};
use ustcp_client::protocol::Reply;
use ustcp_proto::{Family, Instant, Overview, State, Timer, Waiting};
use ustcp_runtime::{Errno, Settings, state_number, tcp_info};

use crate::engine::Engine;
use crate::ground::Ground;
use crate::options::Lifetime;
use crate::past::Past;
use crate::socket::{Phase, Socket, Sockets};
use crate::stream;

/// Lists on their way at once.
const LISTS: usize = 4;

/// After so long a list gives way to one more: who does not take his keeps nobody else from theirs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lines of a list that are made before everybody else has a turn.
const LINES_IN_A_TURN: usize = 32;

/// A list on its way: what there was when it was asked for. Its lines are made when they are sent.
#[derive(Debug)]
pub(crate) struct List {
    begun: Instant,
    rest: std::vec::IntoIter<Item>,
    /// A line that was not taken.
    left: Option<Vec<u8>>,
    /// epoll tells when more is taken.
    pub(crate) is_full: bool,
}

/// What a line is about.
#[derive(Debug)]
enum Item {
    Seen(Box<Seen>),
    Past(Past),
    /// Something else.
    Other(Value),
    /// The empty line.
    End,
}

/// A socket, or a connection without one.
#[derive(Debug)]
struct Seen {
    overview: Overview,
    number: Option<u64>,
    run: u32,
    place: &'static str,
    why: Option<&'static str>,
}

impl Engine {
    /// Begins to list `run`, or everything where that is 0. `EBUSY` while others do so.
    pub(crate) fn list(&mut self, control: u64, run: u32) -> Result<(), Errno> {
        if self.lists.len() >= LISTS {
            let oldest = self.lists.first().copied().filter(|oldest| self.is_overdue(*oldest));
            self.forget_control(oldest.ok_or(Errno(libc::EBUSY))?);
        }
        let rest = self.items(run).into_iter();
        if let Some(asking) = self.controls.get_mut(&control) {
            asking.list = Some(List {
                begun: self.ground.now,
                rest,
                left: None,
                is_full: false,
            });
            self.lists.push(control);
        }
        Ok(())
    }

    fn is_overdue(&self, number: u64) -> bool {
        let list = self.controls.get(&number).and_then(|control| control.list.as_ref());
        list.is_none_or(|list| list.begun + PATIENCE <= self.ground.now)
    }

    /// Whether there are lines that can be sent.
    pub(crate) fn has_lines(&self) -> bool {
        let list = |number| self.controls.get(number)?.list.as_ref();
        self.lists.iter().filter_map(list).any(|list| !list.is_full)
    }

    /// Lets each list go on.
    pub(crate) fn go_on_listing(&mut self) {
        for number in self.lists.clone() {
            self.send_lines(number);
        }
    }

    /// Sends as many lines as are taken, and others can wait for.
    fn send_lines(&mut self, number: u64) {
        for _ in 0..LINES_IN_A_TURN {
            let Some(control) = self.controls.get_mut(&number) else {
                return;
            };
            let Some(list) = control.list.as_mut().filter(|list| !list.is_full) else {
                return;
            };
            let left = list.left.take();
            let next = || Some(list.rest.next()?.line(&self.sockets, &mut self.ground));
            let Some(line) = left.or_else(next) else {
                control.list = None;
                control.waits = false;
                self.lists.retain(|other| *other != number);
                self.answered.push(number);
                return;
            };
            let packet = [&Reply { errno: 0 }.to_bytes()[..], &line].concat();
            match send(&control.stream, &packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => {}
                Err(SystemErrno::AGAIN) => (list.left, list.is_full) = (Some(line), true),
                Err(_) => self.forget_control(number),
            }
        }
    }

    fn items(&mut self, run: u32) -> Vec<Item> {
        let mut items = vec![Item::Other(self.description())];
        for overview in self.ground.machine.stack().overview(self.ground.now) {
            let number = overview.socket.and_then(|id| self.sockets.number(id));
            let socket = number.and_then(|number| self.sockets.get(number));
            let seen = Seen {
                overview,
                number,
                run: socket.map_or(0, |socket| socket.run),
                place: socket.map_or("ustcp", Socket::place),
                why: socket.and_then(Socket::why),
            };
            if run == 0 || seen.run == run {
                items.push(Item::Seen(Box::new(seen)));
            }
        }
        items.extend(self.pasts.of(run).cloned().map(Item::Past));
        items.extend(self.pasts.forgotten(run).map(Item::Other));
        items.push(Item::End);
        items
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

impl Item {
    fn line(self, sockets: &Sockets, ground: &mut Ground) -> Vec<u8> {
        let value = match self {
            Item::Seen(seen) => seen.value(sockets, ground),
            Item::Past(past) => past.value(),
            Item::Other(value) => value,
            Item::End => return Vec::new(),
        };
        value.to_string().into_bytes()
    }
}

impl Seen {
    /// What its descriptors hold is asked for now, if they are there still. A socket's number is not told: who has it may speak
    /// for the socket.
    fn value(&self, sockets: &Sockets, ground: &mut Ground) -> Value {
        let Seen { overview, .. } = self;
        let socket = self.number.and_then(|number| sockets.get(number));
        let socket = socket.filter(|socket| overview.socket == Some(socket.id));
        let (received, sent) = overview.queues;
        let unsent = socket.map_or(0, unsent);
        let offered = socket.map_or(0, |socket| match &socket.phase {
            Phase::Listening(listening) => listening.offered,
            _ => 0,
        });
        let info = overview.info.as_deref();
        let mut value = json!({
            "run": self.run,
            "place": self.place,
            "why": self.why,
            "family": if overview.family == Family::V4 { 4 } else { 6 },
            "state": overview.state.to_string(),
            "local": (overview.local.port() != 0).then_some(overview.local),
            "peer": overview.remote,
            "recv_q": received + offered,
            "send_q": sent + unsent,
            "inode": socket.and_then(|socket| fstat(&socket.stream).ok()).map(|stat| stat.st_ino),
            "timer": overview.timer.map(timer),
            "congestion": info.map(|info| info.congestion.name()),
            "tcp_info": info.map(|info| hexadecimal(&tcp_info(info))),
        });
        if let Some(socket) = socket.filter(|socket| socket.kernel.is_some()) {
            relayed(ground, socket, &mut value);
        }
        value
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
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
        "state": state.to_string(),
        "local": far.local(ground).ok(),
        "peer": far.peer(ground).ok(),
        "congestion": name.ok().and_then(|name| String::from_utf8(name).ok()),
        "tcp_info": hexadecimal(&info),
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
