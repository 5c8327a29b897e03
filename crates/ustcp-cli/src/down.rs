//! `ustcp down`: has an engine end, and waits for that.

use rustix::event::{PollFd, PollFlags, poll};
use ustcp_client::protocol::Operation;

use crate::Failure;
use crate::control::{self, Control, NoControl};
use crate::nat;
use crate::options::Named;

const NOTES: &str = "\
Exit status: 0 when the engine has ended, 1 when none was up or it could not be told, 2 for wrong usage.";

/// End an engine, and return when it has ended.
///
/// Without --now it goes when its last connection is gone: programs go on until they close, TIME-WAIT passes, and new
/// programs are no longer taken in.
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
    let control = match Control::open(&place) {
        Ok(control) => control,
        // One that was killed cannot take back what it had this host do.
        Err(NoControl::NoEngine) if nat::ensure_taken_back(&place)? => {
            eprintln!("ustcp: no engine was up; the forwarding that it left behind is taken back");
            return Ok(());
        }
        Err(none) => return Err(none.into_failure(&place)),
    };
    let process = control.process(); // and no other's: it answers after that
    let told = control.ask(Operation::Stop, u32::from(options.now));
    told.map_err(|errno| Failure::new(format!("the engine {}: {errno}", place.directory().display())))?;
    control.wait_for_end();
    // It has closed our connection; with its process everything else goes, the device too.
    if let Some(process) = process {
        poll(&mut [PollFd::new(&process, PollFlags::IN)], None).map_err(std::io::Error::from)?;
    }
    nat::ensure_taken_back(&place)?;
    Ok(())
}
