//! How the diagram looks: strokes and colours.

use super::Packet;
use crate::inferred::{Direction, Step};

/// How the text may look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Escape sequences of a terminal.
    pub(crate) colour: bool,
    /// Nothing beyond ASCII.
    pub(crate) ascii: bool,
}

/// Parameters of the terminal's SGR sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour(&'static str);

impl Colour {
    pub(crate) const BOLD: Colour = Colour("1");
    pub(super) const DIM: Colour = Colour("2");
    pub(super) const NOTE: Colour = Colour("35");

    pub(super) fn of(packet: &Packet) -> Colour {
        Colour(match packet.direction {
            _ if packet.lost => "31",
            _ if packet.again => "33",
            Direction::Out => "36",
            Direction::In => "32",
        })
    }
}

impl Look {
    pub(crate) fn paint(self, Colour(code): Colour, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// `ESTABLISHED → FIN-WAIT-1`, or the one state.
    pub(super) fn before_and_after(self, step: Step) -> String {
        let Step { before, after } = step;
        if before == after {
            after.to_string()
        } else {
            format!("{before} {} {after}", self.art().becomes)
        }
    }

    /// `→ FIN-WAIT-1`, or the state that stays.
    pub(super) fn after(self, step: Step) -> String {
        if step.before == step.after {
            step.after.to_string()
        } else {
            format!("{} {}", self.art().becomes, step.after)
        }
    }

    pub(super) fn art(self) -> &'static Art {
        if self.ascii { &ASCII } else { &LINES }
    }
}

/// The strokes; each is one column wide but for the arrow between states.
pub(super) struct Art {
    pub(super) line: &'static str,
    pub(super) broken: &'static str,
    pub(super) right: &'static str,
    pub(super) left: &'static str,
    pub(super) lost: &'static str,
    pub(super) again: &'static str,
    pub(super) lifeline: &'static str,
    pub(super) pause: &'static str,
    pub(super) times: &'static str,
    pub(super) becomes: &'static str,
}

const LINES: Art = Art {
    line: "─",
    broken: "╌",
    right: "▶",
    left: "◀",
    lost: "✗",
    again: "↻",
    lifeline: "│",
    pause: "┊",
    times: "×",
    becomes: "→",
};

const ASCII: Art = Art {
    line: "-",
    broken: ".",
    right: ">",
    left: "<",
    lost: "x",
    again: "@",
    lifeline: "|",
    pause: ":",
    times: "x",
    becomes: "->",
};
