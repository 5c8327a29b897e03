//! An engine as this command speaks to it: requests on its control listener.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use ustcp_client::place::{Place, PlaceError, Seeker};
use ustcp_client::protocol::{Operation, PAYLOAD_MAX, Reply, Request};
use ustcp_client::sys::Peer;
use ustcp_client::whereabouts::{Listener, Whereabouts};

use crate::{Failure, WRONG_USAGE};

/// How long an engine may take to answer: it does nothing that takes time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts where others come first.
const PAUSE: Duration = Duration::from_millis(20);

/// The place of the engine that is meant: the option, else `USTCP_ENGINE`, else this user's `default`.
pub(crate) fn place(named: Option<&OsStr>) -> Result<Place, Failure> {
    let unusable = |message: String| Failure::new(message).with_status(WRONG_USAGE);
    if named.is_some_and(OsStr::is_empty) {
        return Err(unusable("--engine is empty, and names none".to_owned())); // a script's variable was, perhaps
    }
    let from_environment = std::env::var_os("USTCP_ENGINE");
    let name = named.or(from_environment.as_deref()).unwrap_or_default();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR");
    let seeker = Seeker {
        uid: uid(),
        runtime_directory: runtime.as_deref().map(OsStrExt::as_bytes),
    };
    let shown = || name.to_string_lossy().replace(char::is_control, "\u{fffd}"); // without what a terminal would obey
    Place::of(Some(name.as_bytes()), seeker).map_err(|error| unusable(format!("{}: {error}", shown())))
}

/// This user, as far as engines are concerned.
pub(crate) fn uid() -> u32 {
    geteuid().as_raw()
}

/// A control connection.
pub(crate) struct Control {
    socket: OwnedFd,
    pub(crate) whereabouts: Whereabouts,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NoControl {
    /// There is no engine, or none any more.
    NoEngine,
    /// It is there and cannot be used.
    Unusable(String),
}

impl Control {
    /// Speaks to the engine at `place`. That it answers is not asked yet.
    pub(crate) fn open(place: &Place) -> Result<Control, NoControl> {
        Control::open_at(place, place.whereabouts(uid()))
    }

    /// Speaks to the engine that is ending at `place`.
    pub(crate) fn open_ending(place: &Place) -> Result<Control, NoControl> {
        Control::open_at(place, place.ending(uid()))
    }

    /// Speaks to the engine at `place`, be it ending or not.
    pub(crate) fn open_any(place: &Place) -> Result<Control, NoControl> {
        match Control::open(place) {
            Err(NoControl::NoEngine) => Control::open_ending(place),
            other => other,
        }
    }

    fn open_at(place: &Place, whereabouts: Result<Whereabouts, PlaceError>) -> Result<Control, NoControl> {
        let whereabouts = match whereabouts {
            Ok(whereabouts) => whereabouts,
            Err(PlaceError::NoEngine(_)) => return Err(NoControl::NoEngine),
            Err(error @ (PlaceError::Malformed | PlaceError::System(_))) => return Err(unusable(place, error)),
            Err(error) => return Err(NoControl::Unusable(error.to_string())), // it names the directory
        };
        let socket = dial(place, &whereabouts).map_err(|errno| match errno {
            // Its file is there and it is not: it was killed, or ends just now.
            Errno::CONNREFUSED | Errno::NOENT => NoControl::NoEngine,
            other => unanswered(place, &other.into()),
        })?;
        Ok(Control { socket, whereabouts })
    }

    /// `USTCP_TOKEN` for a program that this process starts or becomes. The engine's user has the number there that it has
    /// here and now, which may be in another user namespace than the one that the connection was made in.
    pub(crate) fn variable(&self) -> Result<String, Errno> {
        let user = Peer::of(&self.socket)?.user;
        let seen = Whereabouts {
            user,
            ..self.whereabouts
        };
        Ok(seen.variable().to_string())
    }

    /// The engine's process, as long as it answers: its number in this process namespace may be another than in its own.
    pub(crate) fn process(&self) -> Option<OwnedFd> {
        let number = Peer::of(&self.socket).ok()?.process;
        pidfd_open(Pid::from_raw(number.cast_signed())?, PidfdFlags::empty()).ok()
    }

    /// One request and its answer's payload.
    pub(crate) fn ask(&self, operation: Operation, a: u32) -> Result<Vec<u8>, Errno> {
        self.tell(operation, a)?;
        self.answer()
    }

    /// Takes the program in. The engine stays as long as this connection does. The run's number.
    pub(crate) fn lease(&self) -> Result<u32, Errno> {
        let payload = self.ask(Operation::Lease, 0)?;
        let number = payload.first_chunk().ok_or(Errno::PROTO)?;
        Ok(u32::from_ne_bytes(*number))
    }

    /// The lines of a list, each of which is a `T`.
    pub(crate) fn list<T>(&self, run: u32, read: impl Fn(&[u8]) -> Result<T, serde_json::Error>) -> io::Result<Vec<T>> {
        let mut lines = Vec::new();
        let mut line = self.begin_list(run)?;
        loop {
            if line.is_empty() {
                return Ok(lines);
            }
            lines.push(read(&line)?);
            line = self.answer()?;
        }
    }

    /// The first line, once others have had their lists.
    fn begin_list(&self, run: u32) -> Result<Vec<u8>, Errno> {
        let begun = Instant::now();
        loop {
            match self.ask(Operation::List, run) {
                Err(Errno::BUSY) if begun.elapsed() < PATIENCE => thread::sleep(PAUSE),
                other => return other,
            }
        }
    }

    /// What is said of an engine that is ending, to who would have another.
    pub(crate) fn ending(&self, place: &Place) -> String {
        let (directory, pid) = (place.directory().display(), self.whereabouts.pid.unwrap_or(0));
        let option = place.option();
        format!(
            "the engine {directory} (pid {pid}) is ending, and waits for its connections; ustcp down{option} --now ends it at \
             once"
        )
    }

    /// Whether the engine ends this connection within that time.
    pub(crate) fn ends_within(&self, time: Duration) -> bool {
        let time = Timespec::try_from(time).ok();
        poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], time.as_ref()) != Ok(0)
    }

    /// The engine's end of this connection has been closed, once this returns.
    pub(crate) fn wait_for_end(&self) {
        let patient = set_socket_timeout(&self.socket, Timeout::Recv, None);
        while patient.is_ok() && self.answer().is_ok() {}
    }

    pub(crate) fn into_descriptor(self) -> OwnedFd {
        self.socket
    }

    fn tell(&self, operation: Operation, a: u32) -> Result<(), Errno> {
        let request = Request {
            operation,
            token: self.whereabouts.token,
            socket: 0,
            a,
            b: 0,
        };
        retry_on_intr(|| send(&self.socket, &request.to_bytes(), SendFlags::NOSIGNAL)).map(drop)
    }

    fn answer(&self) -> Result<Vec<u8>, Errno> {
        let mut packet = vec![0; Reply::LEN + PAYLOAD_MAX];
        let (len, _) = retry_on_intr(|| recv(&self.socket, packet.as_mut_slice(), RecvFlags::empty()))?;
        packet.truncate(len);
        let reply = Reply::from_bytes(&packet).ok_or(Errno::CONNRESET)?;
        match reply.errno {
            0 => Ok(packet.split_off(Reply::LEN)),
            errno => Err(Errno::from_raw_os_error(errno)),
        }
    }
}

impl NoControl {
    /// What the user is told, where an engine was needed.
    pub(crate) fn into_failure(self, place: &Place) -> Failure {
        match self {
            NoControl::NoEngine => Failure::new(format!("no engine runs in {}", place.directory().display())),
            NoControl::Unusable(why) => Failure::new(why),
        }
    }
}

/// By path, where nobody but the engine's user comes; else by its abstract name, where anybody may crowd.
fn dial(place: &Place, whereabouts: &Whereabouts) -> Result<OwnedFd, Errno> {
    let by_path = dial_at(&place.address(Listener::Control)?, whereabouts);
    by_path.or_else(|errno| dial_at(&whereabouts.address(Listener::Control)?, whereabouts).map_err(|_| errno))
}

/// `ECONNREFUSED` too where somebody else is there, who has taken the name after the engine's end.
///
/// Its waits have a limit, and such a wait ends with `EINTR` also where this process is stopped and goes on: signal(7).
fn dial_at(address: &SocketAddrUnix, whereabouts: &Whereabouts) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?; // connect waits while the queue is full
    retry_on_intr(|| connect(&socket, address))?;
    let may_be_of = whereabouts.judge()?;
    match may_be_of(Peer::of(&socket)?.user) {
        true => Ok(socket),
        false => Err(Errno::CONNREFUSED),
    }
}

/// It is there and cannot be used, for this reason.
pub(crate) fn unusable(place: &Place, why: impl std::fmt::Display) -> NoControl {
    NoControl::Unusable(format!("the engine {}: {why}", place.directory().display()))
}

/// The same, where it was asked something.
pub(crate) fn unanswered(place: &Place, error: &io::Error) -> NoControl {
    match error.kind() {
        io::ErrorKind::WouldBlock => unusable(place, "it does not answer"), // for PATIENCE
        _ if has_ended(error) => NoControl::NoEngine,
        _ => unusable(place, error),
    }
}

/// It may end between two words of ours; then it is as if it had not been there.
pub(crate) fn has_ended(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NetworkDown, NotConnected};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NetworkDown | NotConnected
    )
}
