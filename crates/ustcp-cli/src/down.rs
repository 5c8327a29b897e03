//! `ustcp down`: has an engine end, and waits for that.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use ustcp_client::place::Place;
use ustcp_client::protocol::Operation;
use ustcp_proto::State;

use crate::control::{self, Control, NoControl};
use crate::listing::{Listing, Socket};
use crate::nat;
use crate::options::Named;
use crate::{Failure, say};

/// After which the user is told what is waited for.
const SILENCE: Duration = Duration::from_secs(1);

const NOTES: &str = "\
Exit status: 0 when the engine has ended, 1 when none was up or it could not be told, 2 for wrong usage.";

/// End an engine, and return when it has ended.
///
/// Without --now it goes when its last connection is gone: programs go on until they close, TIME-WAIT passes, and new
/// programs are no longer taken in. ustcp ss and ustcp down --now reach it until it has ended.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
pub(crate) struct Options {
    #[command(flatten)]
    named: Named,

    /// Close listeners and connections now, as the end of a process does, instead of waiting for programs to close them
    #[arg(long)]
    now: bool,
}

/// Ends it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let place = control::place(options.named.engine.as_deref())?;
    let control = match Control::open_any(&place) {
        Ok(control) => control,
        // One that was killed cannot take back what it had this host do.
        Err(NoControl::NoEngine) if nat::ensure_taken_back(&place)? => {
            say("no engine was up; the forwarding that it left behind is taken back");
            return Ok(());
        }
        Err(none) => return Err(none.into_failure(&place)),
    };
    let process = control.process(); // and no other's: it answers after that
    match control.ask(Operation::Stop, u32::from(options.now)) {
        // One that closes already hears nobody, and says so or breaks the connection off.
        Ok(_) | Err(Errno::NETDOWN | Errno::CONNRESET | Errno::PIPE) => {}
        Err(errno) => return Err(control::unanswered(&place, &errno.into()).into_failure(&place)),
    }
    if !options.now && !control.ends_within(SILENCE) {
        tell_what_is_waited_for(&place, &control);
    }
    see_out(&place, &control, process)
}

/// Waits for the end of an engine that has been told to end.
pub(crate) fn see_out(place: &Place, control: &Control, process: Option<OwnedFd>) -> Result<(), Failure> {
    control.wait_for_end();
    // It has closed our connection; with its process everything else goes, the device too.
    if let Some(process) = process {
        poll(&mut [PollFd::new(&process, PollFlags::IN)], None).map_err(std::io::Error::from)?;
    }
    nat::ensure_taken_back(place)?;
    Ok(())
}

fn tell_what_is_waited_for(place: &Place, control: &Control) {
    // It may end just now.
    if let Ok(listing) = Listing::of(control, 0) {
        let what = what_is_left(&listing.sockets);
        let option = place.option();
        say(format_args!("waiting for {what}; ustcp down{option} --now ends them"));
    }
}

/// `1 listener, 2 connections, 1 in TIME-WAIT`.
pub(crate) fn what_is_left(sockets: &[Socket]) -> String {
    let [mut listeners, mut connections, mut waits, mut unused] = [0; 4];
    for socket in sockets {
        match socket.state {
            State::Listen => listeners += 1,
            State::TimeWait => waits += 1,
            State::Closed => unused += 1,
            State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => connections += 1,
        }
    }
    let told = [
        counted(listeners, "listener", "listeners"),
        counted(connections, "connection", "connections"),
        counted(waits, "in TIME-WAIT", "in TIME-WAIT"),
        counted(unused, "unconnected socket", "unconnected sockets"),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    match told.is_empty() {
        true => "its last socket".to_owned(),
        false => told.join(", "),
    }
}

fn counted(number: usize, one: &str, more: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {more}")),
    }
}
