//! After the end: where each of the program's TCP sockets was.

use std::io::{self, Write};
use std::net::SocketAddr;

use ustcp_proto::State;

use crate::listing::{Forgotten, Listing, Place, Socket};

/// The table. `obstacle`: what was known before the start.
pub(crate) fn write(out: &mut impl Write, listing: &Listing, obstacle: Option<&str>) -> io::Result<()> {
    write_sockets(out, &listing.sockets, obstacle)?;
    write_forgotten(out, &listing.forgotten)
}

fn write_forgotten(out: &mut impl Write, forgotten: &[Forgotten]) -> io::Result<()> {
    for Forgotten { count, place, why } in forgotten {
        let why = why.as_ref().map_or_else(String::new, |why| format!(", {why}"));
        writeln!(out, "  and {count} that ended before these: {}{why}", name(*place))?;
    }
    Ok(())
}

fn write_sockets(out: &mut impl Write, sockets: &[Socket], obstacle: Option<&str>) -> io::Result<()> {
    if sockets.is_empty() {
        let reason = obstacle.unwrap_or("it made none; or children of Go did");
        return writeln!(out, "ustcp: no TCP socket of it came to ustcp: {reason}");
    }
    writeln!(out, "ustcp: its TCP sockets:")?;
    write_lines(out, sockets)
}

/// Those that were on the kernel's TCP.
pub(crate) fn write_escaped(out: &mut impl Write, escaped: &Listing) -> io::Result<()> {
    writeln!(out, "ustcp: not on ustcp:")?;
    write_lines(out, &escaped.sockets)?;
    write_forgotten(out, &escaped.forgotten)
}

fn write_lines(out: &mut impl Write, sockets: &[Socket]) -> io::Result<()> {
    let lines: Vec<[String; 4]> = sockets.iter().map(line).collect();
    let widest = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max();
    let widths: Vec<usize> = (0..3).map(|column| widest(column).unwrap_or(0)).collect();
    for [place, local, peer, why] in &lines {
        let [first, second, third] = widths[..] else { continue };
        let text = format!("  {place:<first$}  {local:>second$}  {peer:<third$}  {why}");
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

fn line(socket: &Socket) -> [String; 4] {
    let peer = match (socket.state, socket.peer) {
        (State::Listen, _) => "(listener)".to_owned(),
        (_, peer) => format!("-> {}", end(peer)),
    };
    let failure = socket
        .errno
        .map(|errno| io::Error::from_raw_os_error(errno).to_string());
    let why: Vec<String> = socket.why.clone().into_iter().chain(failure).collect();
    [name(socket.place).to_owned(), end(socket.local), peer, why.join(": ")]
}

fn name(place: Place) -> &'static str {
    match place {
        Place::Ustcp => "on ustcp",
        Place::Relay => "relayed to the kernel's TCP",
        Place::PassedBy => "passed by",
    }
}

fn end(end: Option<SocketAddr>) -> String {
    end.map_or_else(|| "*".to_owned(), |end| end.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(lines: &[&str], obstacle: Option<&str>) -> String {
        let sockets: Vec<Socket> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut out = Vec::new();
        write_sockets(&mut out, &sockets, obstacle).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_socket_has_its_place_and_why() {
        let table = written(
            &[
                r#"{"place":"ustcp","family":4,"state":"CLOSED","local":"10.77.0.2:40000","peer":"10.77.0.1:80"}"#,
                r#"{"place":"relay","why":"loopback","errno":111,"family":4,"state":"CLOSED","peer":"127.0.0.1:80"}"#,
                r#"{"place":"ustcp","family":6,"state":"LISTEN","local":"[::]:80"}"#,
                r#"{"place":"passed by","why":"protocol","family":4,"state":"CLOSED"}"#,
            ],
            None,
        );
        let expected = "\
ustcp: its TCP sockets:
  on ustcp                     10.77.0.2:40000  -> 10.77.0.1:80
  relayed to the kernel's TCP                *  -> 127.0.0.1:80  loopback: Connection refused (os error 111)
  on ustcp                             [::]:80  (listener)
  passed by                                  *  -> *             protocol
";
        assert_eq!(table, expected);
    }

    #[test]
    fn where_there_was_none_the_likely_reason_stands() {
        assert!(written(&[], Some("it is statically linked")).ends_with("came to ustcp: it is statically linked\n"));
        assert!(written(&[], None).contains("it made none"));
    }
}
