//! The table: columns as wide as what stands in them, addresses to the right against their colon.

use std::io::{self, Write};

/// One socket, in words.
pub(super) struct Row {
    pub(super) state: &'static str,
    /// Recv-Q and Send-Q.
    pub(super) queues: [u64; 2],
    pub(super) local: Ends,
    pub(super) peer: Ends,
    pub(super) process: String,
    /// A line of its own below.
    pub(super) detail: Option<String>,
}

/// Address and port.
pub(super) type Ends = [String; 2];

/// The cells of a line, and on which side each has its room.
type Cells<'a> = [(&'a str, Side); 7];

#[derive(Clone, Copy)]
enum Side {
    Left,
    /// With a colon behind it.
    Right,
}

pub(super) fn write(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    let queues: Vec<[String; 2]> = rows
        .iter()
        .map(|row| row.queues.map(|queue| queue.to_string()))
        .collect();
    let head = cells([
        "State",
        "Recv-Q",
        "Send-Q",
        "Local Address",
        "Port",
        "Peer Address",
        "Port",
    ]);
    let body: Vec<Cells> = rows
        .iter()
        .zip(&queues)
        .map(|(row, [recv_q, send_q])| {
            let ([local, port], [peer, peers_port]) = (&row.local, &row.peer);
            cells([row.state, recv_q, send_q, local, port, peer, peers_port])
        })
        .collect();
    let widths = widths(std::iter::once(&head).chain(&body));
    line(out, &head, &widths, "Process")?;
    for (row, cells) in rows.iter().zip(&body) {
        line(out, cells, &widths, &row.process)?;
        if let Some(detail) = &row.detail {
            writeln!(out, "\t {detail}")?;
        }
    }
    Ok(())
}

fn cells(words: [&str; 7]) -> Cells<'_> {
    let [state, recv_q, send_q, local, port, peer, peers_port] = words;
    [
        (state, Side::Left),
        (recv_q, Side::Left),
        (send_q, Side::Left),
        (local, Side::Right),
        (port, Side::Left),
        (peer, Side::Right),
        (peers_port, Side::Left),
    ]
}

fn widths<'a>(lines: impl Iterator<Item = &'a Cells<'a>>) -> [usize; 7] {
    lines.fold([0; 7], |mut widest, cells| {
        let each = widest.iter_mut().zip(cells);
        each.for_each(|(widest, (word, _))| *widest = (*widest).max(word.len()));
        widest
    })
}

fn line(out: &mut impl Write, cells: &Cells, widths: &[usize; 7], process: &str) -> io::Result<()> {
    let mut text = String::new();
    for ((word, side), width) in cells.iter().zip(widths) {
        match side {
            Side::Left => text.push_str(&format!("{word:<width$} ")),
            Side::Right => text.push_str(&format!("{word:>width$}:")),
        }
    }
    text.push_str(process);
    writeln!(out, "{}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &'static str, local: [&str; 2], process: &str, detail: Option<&str>) -> Row {
        Row {
            state,
            queues: [0, 128],
            local: local.map(str::to_owned),
            peer: ["0.0.0.0", "*"].map(str::to_owned),
            process: process.to_owned(),
            detail: detail.map(str::to_owned),
        }
    }

    #[test]
    fn columns_as_ss_has_them() {
        let rows = [
            row("LISTEN", ["0.0.0.0", "80"], "users:((\"nginx\",pid=1,fd=6))", None),
            row("FIN-WAIT-2", ["[fd77::1:2:3:4]", "40000"], "", Some("cubic cwnd:10")),
        ];
        let mut out = Vec::new();
        write(&mut out, &rows).unwrap();
        let expected = "\
State      Recv-Q Send-Q   Local Address:Port  Peer Address:Port Process
LISTEN     0      128            0.0.0.0:80         0.0.0.0:*    users:((\"nginx\",pid=1,fd=6))
FIN-WAIT-2 0      128    [fd77::1:2:3:4]:40000      0.0.0.0:*
\t cubic cwnd:10
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
