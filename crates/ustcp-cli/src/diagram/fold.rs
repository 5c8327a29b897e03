//! A long transfer without its middle: what moves a state is always shown, of the rest the beginning and the end.

use ustcp_wire::Flags;

use super::Row;

/// Rows that move no state are shown up to so many.
const MOST: usize = 200;

/// A row to draw, or a run of rows that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Shown(&'a Row),
    Folded(&'a [Row]),
}

/// `rows` in their order.
pub(super) fn folded(rows: &[Row]) -> Vec<Part<'_>> {
    let plain = rows.iter().filter(|row| is_plain(row)).count();
    let hidden = if plain > MOST { MOST / 2..plain - MOST / 2 } else { 0..0 };
    let mut seen = 0;
    let is_hidden = |row: &Row| {
        let place = seen;
        seen += usize::from(is_plain(row));
        is_plain(row) && hidden.contains(&place)
    };
    let marks: Vec<bool> = rows.iter().map(is_hidden).collect();
    let mut parts = Vec::new();
    let mut start = 0;
    for run in marks.chunk_by(|one, next| *one && *next) {
        let rows = rows.get(start..start + run.len()).unwrap_or(&[]);
        start += run.len();
        if run.first() == Some(&true) {
            parts.push(Part::Folded(rows));
        } else {
            parts.extend(rows.iter().map(Part::Shown));
        }
    }
    parts
}

/// Whether neither end changes its state, and no SYN, FIN or RST asks for it.
fn is_plain(row: &Row) -> bool {
    let moves = row.ours.before != row.ours.after || row.peers.is_some_and(|step| step.before != step.after);
    let controls = [Flags::SYN, Flags::FIN, Flags::RST];
    let asks = |segment: &crate::segment::Segment| controls.iter().any(|flag| segment.has(*flag));
    !moves && !row.packet().is_some_and(|packet| asks(&packet.segment))
}
