//! Rows as text: our end at the left, the other at the right, time downwards; 100 columns where the numbers allow.

use std::time::Duration;

use ustcp_proto::{Instant, State};
use ustcp_wire::{Flags, SeqNum};

use super::{Packet, Row, Side, What};
use crate::inferred::{Direction, Step};
use crate::segment::Segment;

/// How the text may look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Escape sequences of a terminal.
    pub(crate) colour: bool,
    /// Nothing beyond ASCII.
    pub(crate) ascii: bool,
}

/// What stands above the two ends.
#[derive(Clone, Debug)]
pub(crate) struct Titles {
    /// Our end: a name, then the address.
    pub(crate) ours: [String; 2],
    /// The other end.
    pub(crate) peers: [String; 2],
    /// Where the other end's states come from.
    pub(crate) peers_state: &'static str,
    /// What the mark of a lost packet says.
    pub(crate) lost: &'static str,
}

/// The whole diagram. Every line ends with a newline.
pub(crate) fn write(titles: &Titles, rows: &[Row], look: Look) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    let mut page = Page {
        text: String::new(),
        look,
        form: Form::of(rows, look),
        start: first.at,
    };
    page.head(titles);
    let mut phase = None;
    let mut before = first.at;
    for row in rows {
        page.silence(row.at.since(before));
        before = row.at;
        let next = Phase::at(row, phase);
        if phase != Some(next) {
            page.heading(next);
            phase = Some(next);
        }
        page.row(row);
    }
    page.legend(titles, rows);
    page.text
}

const COLUMNS: usize = 100;
/// From here on, time in which nothing happened gets a line of its own.
const SILENCE: Duration = Duration::from_millis(100);
/// Between the time and our state; on either side of a lifeline stands one space.
const GAP: usize = 2;

/// What a connection is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Handshake,
    Data,
    Close,
}

impl Phase {
    /// Text begins the data; the first FIN, RST or CLOSE begins the close; there is no way back.
    fn at(row: &Row, so_far: Option<Phase>) -> Phase {
        let packet = row.packet().map(|packet| &packet.segment);
        let leaves = |step: Step| step.before != step.after && is_closing(step.after);
        let closes = leaves(row.ours) || row.peers.is_some_and(leaves);
        let here = match packet {
            _ if closes => Phase::Close,
            Some(segment) if segment.has(Flags::FIN) || segment.has(Flags::RST) => Phase::Close,
            Some(segment) if segment.len > 0 => Phase::Data,
            _ => Phase::Handshake,
        };
        so_far.map_or(here, |so_far| so_far.max(here))
    }
}

fn is_closing(state: State) -> bool {
    !matches!(
        state,
        State::Listen | State::SynSent | State::SynReceived | State::Established
    )
}

/// Widths of the columns, and where sequence numbers begin.
struct Form {
    time: usize,
    ours: usize,
    middle: usize,
    flags: usize,
    seq: usize,
    ack: usize,
    len: usize,
    our_start: SeqNum,
    peers_start: SeqNum,
}

impl Form {
    fn of(rows: &[Row], look: Look) -> Form {
        let start = rows.first().map_or(Instant::ZERO, |row| row.at);
        let our_start = start_of(rows, Direction::Out);
        let peers_start = start_of(rows, Direction::In);
        let mut form = Form {
            time: 0,
            ours: 22,
            middle: 0,
            flags: 0,
            seq: 1,
            ack: 1,
            len: 1,
            our_start,
            peers_start,
        };
        for row in rows {
            form.time = form.time.max(milliseconds(start, row.at).len());
            form.ours = form.ours.max(width(&before_and_after(row.ours, look.ascii)));
            let packet = match &row.what {
                What::Packet(packet) => packet,
                What::Note { text, .. } => {
                    form.middle = form.middle.max(width(text) + 2);
                    continue;
                }
            };
            let (seq, ack) = form.relative(packet);
            form.flags = form.flags.max(packet.segment.flags.to_string().len());
            form.seq = form.seq.max(digits(seq));
            form.ack = form.ack.max(ack.map_or(1, digits));
            form.len = form.len.max(width(&length(&packet.segment, look)));
        }
        let peers = rows
            .iter()
            .filter_map(|row| row.peers)
            .map(|step| width(&after(step, look.ascii)))
            .max()
            .unwrap_or(1);
        let around = form.time + GAP + form.ours + 1 + 1 + 1 + 1 + peers;
        let label = form.flags + form.seq + form.ack + form.len + " seq  ack  len  ".len();
        let arrow = label + "──  ─▶".chars().count();
        form.middle = form.middle.max(arrow).max(COLUMNS.saturating_sub(around));
        form
    }

    /// Sequence and acknowledgement number, each from the SYN of the end that counts so.
    fn relative(&self, packet: &Packet) -> (u32, Option<u32>) {
        let (from, to) = match packet.direction {
            Direction::Out => (self.our_start, self.peers_start),
            Direction::In => (self.peers_start, self.our_start),
        };
        let since = |number: SeqNum, start: SeqNum| number.0.wrapping_sub(start.0);
        (
            since(packet.segment.seq, from),
            packet.segment.ack.map(|ack| since(ack, to)),
        )
    }
}

/// The sequence number that counts as zero: that of the SYN, or where there is none, of the first packet.
fn start_of(rows: &[Row], direction: Direction) -> SeqNum {
    let segments = || {
        rows.iter()
            .filter_map(Row::packet)
            .filter(|p| p.direction == direction)
            .map(|p| p.segment)
    };
    let syn = segments().find(|segment| segment.has(Flags::SYN));
    syn.or_else(|| segments().next())
        .map_or(SeqNum(0), |segment| segment.seq)
}

struct Page {
    text: String,
    look: Look,
    form: Form,
    start: Instant,
}

impl Page {
    fn head(&mut self, titles: &Titles) {
        let left = self.form.time + GAP + self.form.ours;
        let right = COLUMNS.max(left + self.form.middle + 3) - left;
        let [our_name, our_address] = &titles.ours;
        let [peers_name, peers_address] = &titles.peers;
        let name = format!("{our_name:>left$}{peers_name:>right$}");
        self.line(&self.paint(BOLD, &name));
        self.line(&format!("{our_address:>left$}{peers_address:>right$}"));
        let ours = left - self.form.time;
        let states = if self.look.ascii {
            "state before -> after"
        } else {
            "state before → after"
        };
        let head = format!(
            "{:>time$}{states:>ours$}{:>right$}",
            "ms",
            titles.peers_state,
            time = self.form.time
        );
        self.line(&self.paint(DIM, &head));
    }

    /// Time that passed.
    fn silence(&mut self, length: Duration) {
        if length < SILENCE {
            return;
        }
        let left = " ".repeat(self.form.time + GAP + self.form.ours + 1);
        let lifeline = self.paint(DIM, Art::of(self.look).pause);
        let text = format!("{:.3} s later", length.as_secs_f64());
        let text = self.paint(DIM, &format!("{text:^0$}", self.form.middle));
        self.line(&[left, lifeline.clone(), text, lifeline].concat());
    }

    fn heading(&mut self, phase: Phase) {
        let name = match phase {
            Phase::Handshake => "handshake",
            Phase::Data => "data",
            Phase::Close => "close",
        };
        let left = self.form.time + GAP + self.form.ours + 1;
        let empty = " ".repeat(self.form.middle);
        let lifelines = [self.lifeline(), empty, self.lifeline()].concat();
        self.line(&[" ".repeat(left), lifelines.clone()].concat());
        let name = format!("{name:<left$}");
        self.line(&[self.paint(BOLD, &name), lifelines].concat());
    }

    fn row(&mut self, row: &Row) {
        let time = format!("{:>1$}", milliseconds(self.start, row.at), self.form.time);
        let ours = before_and_after(row.ours, self.look.ascii);
        let gap = " ".repeat(GAP + self.form.ours - width(&ours));
        let middle = match &row.what {
            What::Packet(packet) => self.packet(packet),
            What::Note { side, text } => self.note(*side, text),
        };
        let peers = row.peers.map_or("?".to_owned(), |step| after(step, self.look.ascii));
        let line = [
            self.paint(DIM, &time),
            gap,
            self.state(row.ours, &ours),
            " ".to_owned(),
            self.lifeline(),
            middle,
            self.lifeline(),
            " ".to_owned(),
            row.peers.map_or(peers.clone(), |step| self.state(step, &peers)),
        ];
        self.line(&line.concat());
    }

    /// `── SYN,ACK seq 0 ack 1 len 0 ───▶`
    fn packet(&self, packet: &Packet) -> String {
        let art = Art::of(self.look);
        let label = format!(" {} ", self.label(packet));
        let from = if packet.again { art.again } else { art.line };
        let way = if packet.lost { art.broken } else { art.line };
        let rest = self.form.middle - width(&label);
        let arrow = match packet.direction {
            Direction::Out => {
                let head = if packet.lost { art.lost } else { art.right };
                [art.line, from, &label, &way.repeat(rest - 3), head].concat()
            }
            Direction::In => {
                let head = if packet.lost { art.lost } else { art.left };
                [head, way, &label, &art.line.repeat(rest - 3), from].concat()
            }
        };
        self.paint(colour_of(packet), &arrow)
    }

    fn label(&self, packet: &Packet) -> String {
        let Form { flags, seq, ack, .. } = self.form;
        let (from, to) = self.form.relative(packet);
        let to = match to {
            Some(to) => format!("ack {to:<ack$}"),
            None => " ".repeat("ack ".len() + ack),
        };
        let bits = packet.segment.flags.to_string();
        let len = length(&packet.segment, self.look);
        format!("{bits:<flags$} seq {from:<seq$} {to} len {len}")
    }

    fn note(&self, side: Side, text: &str) -> String {
        let room = self.form.middle;
        self.paint(
            NOTE,
            &match side {
                Side::Ours => format!(" {text:<0$}", room - 1),
                Side::Peers => format!("{text:>0$} ", room - 1),
            },
        )
    }

    fn legend(&mut self, titles: &Titles, rows: &[Row]) {
        let art = Art::of(self.look);
        let packets = || rows.iter().filter_map(Row::packet);
        let again = packets()
            .any(|packet| packet.again)
            .then(|| format!("{} sent again", art.again));
        let lost = packets()
            .any(|packet| packet.lost)
            .then(|| format!("{} {}", art.lost, titles.lost));
        let split = packets().any(|packet| packet.segment.packets > 1);
        let split = split.then(|| format!("{}n a super-segment of n packets", art.times));
        let marks: Vec<String> = again.into_iter().chain(lost).chain(split).collect();
        if !marks.is_empty() {
            self.line("");
            self.line(&marks.join("     "));
        }
    }

    fn state(&self, step: Step, text: &str) -> String {
        if step.before == step.after {
            text.to_owned()
        } else {
            self.paint(BOLD, text)
        }
    }

    fn lifeline(&self) -> String {
        self.paint(DIM, Art::of(self.look).lifeline)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.look.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

const BOLD: &str = "1";
const DIM: &str = "2";
const NOTE: &str = "35";

fn colour_of(packet: &Packet) -> &'static str {
    match packet {
        Packet { lost: true, .. } => "31",
        Packet { again: true, .. } => "33",
        Packet {
            direction: Direction::Out,
            ..
        } => "36",
        Packet {
            direction: Direction::In,
            ..
        } => "32",
    }
}

/// The strokes; each is one column wide.
struct Art {
    line: &'static str,
    broken: &'static str,
    right: &'static str,
    left: &'static str,
    lost: &'static str,
    again: &'static str,
    lifeline: &'static str,
    pause: &'static str,
    times: &'static str,
}

impl Art {
    fn of(look: Look) -> Art {
        if look.ascii {
            Art {
                line: "-",
                broken: ".",
                right: ">",
                left: "<",
                lost: "x",
                again: "@",
                lifeline: "|",
                pause: ":",
                times: "x",
            }
        } else {
            Art {
                line: "─",
                broken: "╌",
                right: "▶",
                left: "◀",
                lost: "✗",
                again: "↻",
                lifeline: "│",
                pause: "┊",
                times: "×",
            }
        }
    }
}

fn before_and_after(step: Step, ascii: bool) -> String {
    let Step { before, after } = step;
    if before == after {
        after.to_string()
    } else {
        format!("{before} {} {after}", arrow(ascii))
    }
}

fn after(step: Step, ascii: bool) -> String {
    if step.before == step.after {
        step.after.to_string()
    } else {
        format!("{} {}", arrow(ascii), step.after)
    }
}

/// Bytes of text; of a super-segment, in how many packets; and a closed window, which is what a sender waits on.
fn length(segment: &Segment, look: Look) -> String {
    let Segment {
        len, packets, window, ..
    } = *segment;
    match packets {
        _ if window == 0 && !segment.has(Flags::RST) => format!("{len} win 0"),
        1 => len.to_string(),
        several => format!("{len} {}{several}", Art::of(look).times),
    }
}

fn arrow(ascii: bool) -> &'static str {
    if ascii { "->" } else { "→" }
}

fn milliseconds(start: Instant, at: Instant) -> String {
    let micros = at.since(start).as_micros();
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn digits(number: u32) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}
