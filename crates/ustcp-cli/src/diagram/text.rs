//! Rows as text: our end at the left, the other at the right, time downwards; 100 columns where the numbers allow.

use std::time::Duration;

use ustcp_proto::{Instant, State};
use ustcp_wire::Flags;

use super::fold::{self, Part};
use super::form::{COLUMNS, Form, GAP, length, milliseconds, width};
use super::look::Colour;
use super::{Look, Packet, Row, Side, What};
use crate::inferred::{Direction, Step};

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
    for part in fold::folded(rows) {
        let row = match part {
            Part::Shown(row) => row,
            Part::Folded(omitted) => {
                page.omission(omitted);
                before = omitted.last().map_or(before, |row| row.at);
                continue;
            }
        };
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

/// From here on, time in which nothing happened gets a line of its own.
const SILENCE: Duration = Duration::from_millis(100);
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
        self.line(&self.look.paint(Colour::BOLD, &name));
        self.line(&format!("{our_address:>left$}{peers_address:>right$}"));
        let ours = left - self.form.time;
        let states = format!("state before {} after", self.look.art().becomes);
        let head = format!(
            "{:>time$}{states:>ours$}{:>right$}",
            "ms",
            titles.peers_state,
            time = self.form.time
        );
        self.line(&self.look.paint(Colour::DIM, &head));
    }

    /// Time that passed.
    fn silence(&mut self, length: Duration) {
        if length >= SILENCE {
            self.gap(&format!("{:.3} s later", length.as_secs_f64()));
        }
    }

    /// Rows that are not shown, and what of them the eye would look for.
    fn omission(&mut self, rows: &[Row]) {
        let packets = || rows.iter().filter_map(Row::packet);
        let bytes: u64 = packets().map(|packet| u64::from(packet.segment.len)).sum();
        self.gap(&format!("{} packets with {bytes} bytes left out", packets().count()));
        let again = packets().filter(|packet| packet.again).count();
        let lost = packets().filter(|packet| packet.lost).count();
        if again + lost > 0 {
            self.gap(&format!("{again} of them sent again, {lost} lost"));
        }
    }

    /// A line that stands for what is not drawn.
    fn gap(&mut self, text: &str) {
        let left = " ".repeat(self.form.time + GAP + self.form.ours + 1);
        let lifeline = self.look.paint(Colour::DIM, self.look.art().pause);
        let text = self.look.paint(Colour::DIM, &format!("{text:^0$}", self.form.middle));
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
        self.line(&[self.look.paint(Colour::BOLD, &name), lifelines].concat());
    }

    fn row(&mut self, row: &Row) {
        let time = format!("{:>1$}", milliseconds(self.start, row.at), self.form.time);
        let ours = self.look.before_and_after(row.ours);
        let gap = " ".repeat(GAP + self.form.ours - width(&ours));
        let middle = match &row.what {
            What::Packet(packet) => self.packet(packet),
            What::Note { side, text } => self.note(*side, text),
        };
        let peers = row.peers.map_or("?".to_owned(), |step| self.look.after(step));
        let line = [
            self.look.paint(Colour::DIM, &time),
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
        let art = self.look.art();
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
        self.look.paint(Colour::of(packet), &arrow)
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
        self.look.paint(
            Colour::NOTE,
            &match side {
                Side::Ours => format!(" {text:<0$}", room - 1),
                Side::Peers => format!("{text:>0$} ", room - 1),
            },
        )
    }

    fn legend(&mut self, titles: &Titles, rows: &[Row]) {
        let art = self.look.art();
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
            self.look.paint(Colour::BOLD, text)
        }
    }

    fn lifeline(&self) -> String {
        self.look.paint(Colour::DIM, self.look.art().lifeline)
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}
