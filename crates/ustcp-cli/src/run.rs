//! `ustcp run`: a program as it is, on our TCP.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use ustcp_client::place::Place;

use crate::explain::{self, Explanation};
use crate::join::{Joined, enter, join};
use crate::listing::{self, Listing};
use crate::marks::Marks;
use crate::options::{EngineOptions, Named, tell_of_misspelt_variables};
use crate::rootless::Rootless;
use crate::{Failure, control, holder, preload, say, supervise, sys};

const NOTES: &str = "\
The engine: the one that --engine or USTCP_ENGINE names, else this user's `default`. Where it is not up it is started in the
background and stays until its last program and connection are gone and TIME-WAIT has passed; where it is up, the options
above must agree with it, or it stays for TIME-WAIT alone and makes way.

What is on our TCP: TCP sockets, IPv4 and IPv6, of dynamically linked programs of glibc and all their children. What is not:
statically linked programs, those of Go, and set-user-ID programs that change the user; they run unharmed on the kernel's TCP.

Exit status: the program's; of one that a signal ends, 128 and the signal's number; 126 when the program cannot be executed,
127 when it is not found, 125 when `ustcp run` itself fails, 2 for wrong usage.

Examples:
  ustcp run -- curl http://10.77.0.1/
  ustcp run --weather loss=2%,delay=30ms -- curl -O http://10.77.0.1/large
  ustcp run -- nginx -g 'daemon off;'";

/// What `ustcp run` itself fails with.
pub(crate) const FAILED: u8 = 125;

/// Run a program, unchanged, on ustcp.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
pub(crate) struct Options {
    #[command(flatten)]
    named: Named,

    /// Say before the start what of the program will be on ustcp and what not, and why; after its end, where each of its
    /// TCP sockets was. On standard error
    #[arg(long)]
    explain: bool,

    /// Fail with status 125 where something of the program escapes: before the start, where nothing of it can be on ustcp;
    /// after its end, where a TCP socket of it was passed by, or relayed to the kernel's TCP without --loopback relay or
    /// --publish, which ask for it. What no --route reaches is relayed unasked
    #[arg(long)]
    strict: bool,

    /// Start the engine, and run the program, in a network namespace of this user's own: there only the stack and the
    /// namespace's own end of its device are to be reached. Done without being asked where the device of that name cannot
    /// be made otherwise. An engine that is up is joined as it is
    #[arg(long, conflicts_with = "nat")]
    rootless: bool,

    /// The program and its arguments: from the first word on that is no option, or after --
    #[arg(trailing_var_arg = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,

    // Last, as its heading would be that of all that follows.
    #[command(flatten)]
    engine: EngineOptions,
}

/// Becomes the program, or, where there is something to say after it, its parent.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    start(options).map_err(|failure| failure.with_status(FAILED))
}

fn start(options: &Options) -> Result<ExitCode, Failure> {
    let Some((program, arguments)) = options.program.split_first() else {
        return Err(Failure::new("no program is named"));
    };
    tell_of_misspelt_variables();
    let library = preload::library()?;
    let place = control::place(options.named.engine.as_deref())?;
    let watched = options.explain || options.strict;
    let explanation = watched.then(|| explain::explain(program));
    if let Some(explanation) = &explanation {
        options.before(explanation)?;
    }
    let joined = options.join(&place)?;
    let marks = Marks::of(&joined).map_err(io::Error::from)?;
    let Some(explanation) = explanation else {
        // In this process's place, not below it: its signals, its terminal, its parent and its end are then as they would
        // be without us. So somebody else must hold the lease: of a run around this one, whoever does already.
        let around = marks.around();
        if around.is_none() {
            holder::hold(&joined.control.into_descriptor(), &marks)?;
        }
        let marks = around.unwrap_or(marks);
        return Err(execute(program, arguments, environment(&library, &place, &marks)));
    };
    let environment = environment(&library, &place, &marks);
    let status = supervise::run(|| {
        let failure = execute(program, arguments, environment);
        say(&failure);
        failure.status()
    })?;
    let told = options.after(&place, &joined, &explanation);
    if let Err(error) = holder::hold_on(&joined.control.into_descriptor(), &marks) {
        say(format_args!(
            "what the program leaves behind may lose its engine: {error}"
        ));
    }
    told.map(|()| ExitCode::from(status))
}

impl Options {
    fn before(&self, explanation: &Explanation) -> Result<(), Failure> {
        if self.explain {
            explanation.lines.iter().for_each(say);
        }
        match &explanation.obstacle {
            Some(why) if self.strict => Err(Failure::new(format!("--strict: nothing of it can be on ustcp: {why}"))),
            _ => Ok(()),
        }
    }

    fn after(&self, place: &Place, joined: &Joined, explanation: &Explanation) -> Result<(), Failure> {
        let listing = Listing::of(&joined.control, joined.run).map_err(|error| untold(place, &error))?;
        // Where nobody can be told, the exit status is what it is all the same.
        if self.explain {
            let _ = explain::write_table(&mut io::stderr(), &listing, explanation.obstacle.as_deref());
        }
        let escaped = self.escaped(listing);
        let count = escaped.count();
        if !self.strict || count == 0 {
            return Ok(());
        }
        if !self.explain {
            let _ = explain::write_escaped(&mut io::stderr(), &escaped);
        }
        Err(Failure::new(format!(
            "--strict: passed by, or relayed unasked: {count}"
        )))
    }

    /// Those that were on the kernel's TCP, and nobody had asked for that.
    fn escaped(&self, mut listing: Listing) -> Listing {
        let has_escaped = |place, why: &Option<String>| match place {
            listing::Place::Ustcp => false,
            listing::Place::Relay => {
                let why = why.as_deref().unwrap_or_default();
                !self.engine.destinations.ask_for_relay(why)
            }
            listing::Place::PassedBy => true,
        };
        listing.sockets.retain(|socket| has_escaped(socket.place, &socket.why));
        listing.forgotten.retain(|some| has_escaped(some.place, &some.why));
        listing
    }

    /// In a network of this user's own where that is asked for, or where the machine's is closed to it.
    fn join(&self, place: &Place) -> Result<Joined, Failure> {
        let closed = match self.rootless {
            true => enter(place, &self.engine).transpose(),
            false => Some(join(place, &self.engine)),
        };
        match closed {
            Some(Ok(joined)) => Ok(joined),
            Some(Err(why)) if why.errno == libc::EPERM => {
                let message = why.message.clone();
                let rootless = Rootless::enter().map_err(|_| Failure::from(why))?;
                say(message);
                say("until then it runs in a network namespace of its own, as by --rootless");
                self.join_inside(place, rootless)
            }
            Some(Err(why)) => Err(why.into()),
            None => self.join_inside(place, Rootless::enter().map_err(no_namespace)?),
        }
    }

    fn join_inside(&self, place: &Place, rootless: Rootless) -> Result<Joined, Failure> {
        let joined = join(place, &self.engine)?;
        rootless.leave_root()?;
        Ok(joined)
    }
}

fn no_namespace(error: io::Error) -> Failure {
    Failure::new(format!("no network namespace of this user's own can be had: {error}"))
}

fn execute(program: &OsStr, arguments: &[OsString], environment: Vec<(OsString, OsString)>) -> Failure {
    let error = sys::execute(program, arguments, environment);
    not_executed(program, &error)
}

/// The program's environment: ours, and what lets it in.
fn environment(library: &Path, place: &Place, marks: &Marks) -> Vec<(OsString, OsString)> {
    let before = std::env::var_os("LD_PRELOAD");
    let [token, run] = marks.variables();
    let set: [(&str, OsString); 4] = [
        ("LD_PRELOAD", preload::variable(library, before.as_deref())),
        ("USTCP_ENGINE", place.directory().into()),
        token,
        run,
    ];
    let others = std::env::vars_os().filter(|(name, _)| set.iter().all(|(ours, _)| name != ours));
    let set = set.clone().into_iter().map(|(name, value)| (name.into(), value));
    others.chain(set).collect()
}

/// What became of the program's sockets is not to be had.
fn untold(place: &Place, error: &io::Error) -> Failure {
    let place = place.directory().display();
    Failure::new(match control::has_ended(error) {
        true => format!("the engine ended before the program; its connections were broken. {place}/log may say why"),
        false => format!("what became of its sockets the engine does not say: {error}"),
    })
}

/// As a shell has it: 127 for what is not there, 126 for what is and cannot be run.
fn not_executed(program: &OsStr, error: &io::Error) -> Failure {
    let is_there = Path::new(program).components().count() > 1 && Path::new(program).exists();
    let status = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) if !is_there => 127,
        _ => 126,
    };
    let why = match error.raw_os_error() {
        Some(libc::ENOENT) if is_there => "its interpreter is not there".to_owned(),
        Some(libc::ENOENT) if !program.as_encoded_bytes().contains(&b'/') => "not found in PATH".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(format!("cannot run {}: {why}", program.display())).with_status(status)
}
