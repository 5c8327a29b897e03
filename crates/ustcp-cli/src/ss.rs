//! `ustcp ss`: the sockets of an engine, as `ss -t` shows those of the kernel.

mod columns;
mod detail;
mod json;
mod services;
mod timer;

use std::io::{self, Write};

use ustcp_proto::State;

use crate::Failure;
use crate::control::{self, Control};
use crate::listing::{Listing, Place, Socket};
use crate::options::Named;
use crate::users::Users;
use columns::Row;
use services::Services;

const EXAMPLES: &str = "\
Examples:
  ustcp ss -tan
          Every socket, in figures
  ustcp ss -tlnp
          Who listens
  ustcp ss -tino
          What TCP knows of each connection, and which timer runs";

/// Show the sockets of an engine that are on ustcp, in the columns and words of ss(8).
///
/// Without -a and -l: those with a connection, TIME-WAIT left out. Of a listener Recv-Q is how many connections wait in
/// accept, and Send-Q how many may; of the others they are bytes that the program has not read, and that the peer has not
/// acknowledged. What an engine relays to the kernel's TCP is a connection of the engine's process in ss(8).
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES, args_override_self = true)]
pub(crate) struct Options {
    #[command(flatten)]
    named: Named,

    /// All sockets
    #[arg(short, long, overrides_with = "listening")]
    all: bool,

    /// Listeners only
    #[arg(short, long, overrides_with = "all")]
    listening: bool,

    /// What TCP knows of each connection, in a second line: times in milliseconds, rates in bits per second
    #[arg(short, long)]
    info: bool,

    /// The timer that runs: its name, when it goes off, how often it has; with -i also the options in use
    #[arg(short = 'o', long)]
    options: bool,

    /// The processes that hold the socket; those of other users are seen by root only
    #[arg(short, long)]
    processes: bool,

    /// TCP, which all of them are
    #[arg(short, long)]
    tcp: bool,

    /// Ports in figures, not by the names of /etc/services; rates too
    #[arg(short, long)]
    numeric: bool,

    /// Sockets of IPv4 only
    #[arg(short = '4', long)]
    ipv4: bool,

    /// Sockets of IPv6 only
    #[arg(short = '6', long)]
    ipv6: bool,

    /// One JSON array, relayed sockets too; times are in the units that the keys name
    #[arg(long)]
    json: bool,
}

/// Shows them.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let place = control::place(options.named.engine.as_deref())?;
    let control = Control::open_any(&place).map_err(|none| none.into_failure(&place))?;
    let listing = Listing::of(&control, 0);
    let listing = listing.map_err(|error| control::unanswered(&place, &error).into_failure(&place))?;
    let sockets: Vec<Socket> = listing
        .sockets
        .into_iter()
        .filter(|socket| options.wants(socket))
        .collect();
    let users = options.processes.then(Users::find).transpose()?;
    let mut out = io::stdout().lock();
    if options.json {
        json::write(&mut out, &sockets, users.as_ref())?;
    } else {
        columns::write(&mut out, &options.rows(&sockets, users.as_ref()))?;
    }
    Ok(out.flush()?)
}

impl Options {
    fn wants(&self, socket: &Socket) -> bool {
        let of_family = match socket.family {
            4 => self.ipv4 || !self.ipv6,
            _ => self.ipv6 || !self.ipv4,
        };
        of_family && (self.json || socket.place == Place::Ustcp) && self.wants_state(socket.state)
    }

    fn wants_state(&self, state: State) -> bool {
        match state {
            _ if self.all => true,
            State::Listen | State::Closed => self.listening,
            State::SynReceived | State::TimeWait => false,
            State::SynSent
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => !self.listening,
        }
    }

    fn rows(&self, sockets: &[Socket], users: Option<&Users>) -> Vec<Row> {
        let services = if self.numeric {
            Services::default()
        } else {
            Services::read()
        };
        sockets
            .iter()
            .map(|socket| self.row(socket, users, &services))
            .collect()
    }

    fn row(&self, socket: &Socket, users: Option<&Users>, services: &Services) -> Row {
        let holders = users
            .and_then(|users| users.of(socket))
            .map(|holders| holders.to_string());
        let timer = socket.timer.as_ref().filter(|_| self.options).map(timer::text);
        Row {
            state: state_name(socket.state),
            queues: [socket.recv_q, socket.send_q],
            local: services.ends(socket.local, socket.family),
            peer: services.ends(socket.peer, socket.family),
            process: holders.into_iter().chain(timer).collect::<Vec<_>>().join(" "),
            detail: self.info.then(|| {
                let how = detail::How {
                    with_options: self.options,
                    in_figures: self.numeric,
                };
                detail::text(socket, how)
            }),
        }
    }
}

/// The name that ss(8) has for a state.
fn state_name(state: State) -> &'static str {
    match state {
        State::Closed => "UNCONN",
        State::Listen => "LISTEN",
        State::SynSent => "SYN-SENT",
        State::SynReceived => "SYN-RECV",
        State::Established => "ESTAB",
        State::FinWait1 => "FIN-WAIT-1",
        State::FinWait2 => "FIN-WAIT-2",
        State::CloseWait => "CLOSE-WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST-ACK",
        State::TimeWait => "TIME-WAIT",
    }
}
