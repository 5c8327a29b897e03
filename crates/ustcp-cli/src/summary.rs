//! A connection in two sentences.

use std::fmt;
use std::time::Duration;

use ustcp_proto::State;
use ustcp_wire::Flags;

use crate::diagram::{Packet, Row};
use crate::inferred::{Direction, Step};

/// What the rows of one connection come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    ours: usize,
    peers: usize,
    again: usize,
    lost: usize,
    /// Of those, on their way to us.
    lost_to_us: usize,
    /// How long our end was in TIME-WAIT, where it was and left it.
    time_wait: Option<Duration>,
    /// FINs that arrived meanwhile: each starts the 2 MSL anew.
    fins_in_time_wait: usize,
    /// Whether our end came to CLOSED.
    pub(crate) closed: bool,
}

impl Summary {
    pub(crate) fn of(rows: &[Row]) -> Summary {
        let packets: Vec<&Packet> = rows.iter().filter_map(Row::packet).collect();
        let count = |what: fn(&Packet) -> bool| packets.iter().filter(|packet| what(packet)).count();
        let is_fin = |row: &&Row| {
            let fin = |packet: &Packet| packet.direction == Direction::In && packet.segment.has(Flags::FIN);
            row.ours == Step::stay(State::TimeWait) && row.packet().is_some_and(|packet| !packet.lost && fin(packet))
        };
        let moved = |row: &&Row| row.ours.before != row.ours.after;
        let entered = rows.iter().filter(moved).find(|row| row.ours.after == State::TimeWait);
        let left = rows.iter().filter(moved).find(|row| row.ours.before == State::TimeWait);
        Summary {
            ours: count(|packet| packet.direction == Direction::Out),
            peers: count(|packet| packet.direction == Direction::In),
            again: count(|packet| packet.again),
            lost: count(|packet| packet.lost),
            lost_to_us: count(|packet| packet.lost && packet.direction == Direction::In),
            time_wait: entered.zip(left).map(|(entered, left)| left.at.since(entered.at)),
            fins_in_time_wait: rows.iter().filter(is_fin).count(),
            closed: rows.last().is_some_and(|row| row.ours.after == State::Closed),
        }
    }

    /// Whether our end was in TIME-WAIT and left it.
    pub(crate) fn was_in_time_wait(&self) -> bool {
        self.time_wait.is_some()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            ours,
            peers,
            again,
            lost,
            ..
        } = self;
        write!(
            f,
            "{} packets: {ours} ours, {peers} theirs; {again} sent again, {lost} lost",
            ours + peers
        )?;
        if self.lost_to_us > 0 {
            write!(f, " ({} ours, {} theirs)", lost - self.lost_to_us, self.lost_to_us)?;
        }
        f.write_str(".")?;
        let Some(length) = self.time_wait else { return Ok(()) };
        write!(f, "\nTIME-WAIT lasted {:.3} s", length.as_secs_f64())?;
        match self.fins_in_time_wait {
            0 => {}
            1 => f.write_str(", started anew by a repeated FIN")?,
            several => write!(f, ", started anew by {several} repeated FINs")?,
        }
        f.write_str("; then port and buffers were free.")
    }
}

#[cfg(test)]
mod tests {
    use ustcp_proto::Instant;
    use ustcp_wire::SeqNum;

    use super::*;
    use crate::diagram::{Side, What};
    use crate::segment::Segment;

    fn row(seconds: u64, before: State, after: State, what: What) -> Row {
        Row {
            at: Instant::from_nanos(seconds * 1_000_000_000),
            ours: Step { before, after },
            peers: None,
            what,
        }
    }

    fn packet(flags: Flags, direction: Direction, again: bool, lost: bool) -> What {
        let segment = Segment {
            flags,
            seq: SeqNum(1),
            ack: None,
            len: 0,
            window: 1,
            packets: 1,
        };
        What::Packet(Packet {
            direction,
            segment,
            again,
            lost,
        })
    }

    #[test]
    fn counts_and_the_length_of_time_wait() {
        let timer = What::Note {
            side: Side::Ours,
            text: "2 MSL timer".into(),
        };
        let mut rows = vec![
            row(
                1,
                State::FinWait2,
                State::FinWait2,
                packet(Flags::ACK, Direction::Out, false, true),
            ),
            row(
                2,
                State::FinWait2,
                State::TimeWait,
                packet(Flags::FIN, Direction::In, true, false),
            ),
            row(
                3,
                State::TimeWait,
                State::TimeWait,
                packet(Flags::ACK, Direction::Out, false, false),
            ),
        ];
        assert!(!Summary::of(&rows).closed);
        assert_eq!(
            Summary::of(&rows).to_string(),
            "3 packets: 2 ours, 1 theirs; 1 sent again, 1 lost."
        );
        rows.push(row(4, State::TimeWait, State::Closed, timer));
        assert!(Summary::of(&rows).closed);
        assert!(
            Summary::of(&rows)
                .to_string()
                .ends_with("TIME-WAIT lasted 2.000 s; then port and buffers were free.")
        );
    }

    #[test]
    fn what_was_lost_on_its_way_to_us_is_counted_for_itself() {
        let stays = |direction| {
            row(
                1,
                State::FinWait2,
                State::FinWait2,
                packet(Flags::ACK, direction, false, true),
            )
        };
        let rows = [Direction::In, Direction::Out, Direction::In].map(stays);
        assert_eq!(
            Summary::of(&rows).to_string(),
            "3 packets: 1 ours, 2 theirs; 0 sent again, 3 lost (1 ours, 2 theirs)."
        );
    }

    #[test]
    fn repeated_fins_are_told_of() {
        let stays = |seconds, direction| {
            row(
                seconds,
                State::TimeWait,
                State::TimeWait,
                packet(Flags::FIN, direction, true, false),
            )
        };
        let timer = What::Note {
            side: Side::Ours,
            text: "2 MSL timer".into(),
        };
        let end = row(9, State::TimeWait, State::Closed, timer);
        let start = row(
            1,
            State::FinWait2,
            State::TimeWait,
            packet(Flags::FIN, Direction::In, false, false),
        );
        let mut rows = vec![start, stays(2, Direction::In), end];
        assert!(
            Summary::of(&rows)
                .to_string()
                .contains("TIME-WAIT lasted 8.000 s, started anew by a repeated FIN;")
        );
        rows.insert(2, stays(3, Direction::In));
        assert!(Summary::of(&rows).to_string().contains("by 2 repeated FINs;"));
    }
}
