//! The engine as a program sees it: who it is, and how it is asked.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_timeout};
use rustix::net::{Shutdown, SocketAddrUnix, getpeername, shutdown};
use rustix::process::geteuid;

use crate::place::{Place, PlaceError, Seeker};
use crate::protocol::{Operation, PATH_MAX, PassedBy, Reply, Request};
use crate::sys::{self, Peer, Socket, Source, Transient, Wait};
use crate::whereabouts::{Listener, Whereabouts};

/// An engine that serves this program.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    whereabouts: Whereabouts,
    /// Its directory, for its listeners by path; `None` where it has no name that fits.
    place: Option<Place>,
    /// Its file is there, and so are its listeners.
    is_at_its_place: bool,
    /// The run this program belongs to; 0: none.
    run: u32,
}

/// What is asked of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// For what.
    pub operation: Operation,
    /// The socket's number; 0: of none.
    pub socket: u64,
    /// As the operation says.
    pub a: u32,
    /// As the operation says.
    pub b: u32,
}

/// How long a listener's queue may be full, and an engine that is looked for silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for an answer's payload: no option's value and no address is longer.
const ANSWER_MAX: usize = 512;

/// What came back.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    packet: [u8; Reply::LEN + ANSWER_MAX],
    len: usize,
}

impl Answer {
    /// What the operation says.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.packet.get(Reply::LEN..self.len).unwrap_or_default()
    }

    /// The payload as a number.
    pub fn number(&self) -> Result<i32, Errno> {
        let bytes = self.payload().first_chunk();
        bytes.map(|bytes| i32::from_ne_bytes(*bytes)).ok_or(Errno::PROTO)
    }
}

impl Engine {
    /// The engine that the environment names: that of `USTCP_TOKEN`, or, where it is not there, the one that its
    /// directory names now, and somebody must answer there. Of a program that was given a token nothing goes by the kernel's
    /// TCP unasked: where neither answers, every socket of it is `ENETDOWN`.
    pub fn from_environment() -> Result<Engine, PlaceError> {
        Engine::answering_in_environment().or_else(|error| Engine::told().ok_or(error))
    }

    /// The same, if it answers.
    pub fn answering_in_environment() -> Result<Engine, PlaceError> {
        if let Some(engine) = Engine::told().filter(Engine::is_there) {
            return Ok(engine);
        }
        // The lease that the program belonged to was the other engine's.
        Engine::answering_at(Engine::named_place()?, geteuid().as_raw())
    }

    /// The engine of `USTCP_TOKEN`, which may have ended.
    fn told() -> Option<Engine> {
        let whereabouts = sys::variable(c"USTCP_TOKEN").and_then(Whereabouts::from_variable)?;
        let place = Engine::named_place().ok();
        let file = place.and_then(|place| place.whereabouts(geteuid().as_raw()).ok());
        Some(Engine {
            whereabouts,
            place,
            is_at_its_place: file.is_some_and(|file| file.id == whereabouts.id),
            run: sys::variable(c"USTCP_RUN").and_then(number).unwrap_or(0),
        })
    }

    /// Where that is known by its name or its file it is not asked, or each program of a run would wait for one that is stopped.
    /// By path another may be reached by now, which does not know its token.
    fn is_there(&self) -> bool {
        let Ok(control) = self.control() else { return false };
        if self.is_at_its_place {
            return true;
        }
        let reached = getpeername(&control).ok().flatten();
        let reached = reached.and_then(|reached| SocketAddrUnix::try_from(reached).ok());
        reached.is_some_and(|reached| reached.abstract_name().is_some()) || self.answering().is_ok()
    }

    fn named_place() -> Result<Place, PlaceError> {
        let uid = geteuid().as_raw();
        let runtime_directory = sys::variable(c"XDG_RUNTIME_DIR");
        Place::of(sys::variable(c"USTCP_ENGINE"), Seeker { uid, runtime_directory })
    }

    /// This user's engine of that name, or the one of that directory: as its file says, and somebody must answer there.
    pub fn called(name: &[u8]) -> Result<Engine, PlaceError> {
        let uid = geteuid().as_raw();
        let runtime_directory = sys::variable(c"XDG_RUNTIME_DIR");
        let place = Place::of(Some(name), Seeker { uid, runtime_directory })?;
        Engine::answering_at(place, uid)
    }

    fn answering_at(place: Place, uid: u32) -> Result<Engine, PlaceError> {
        let engine = Engine::at(place, place.whereabouts(uid)?, 0);
        engine.answering().map_err(|errno| match errno {
            Errno::NETDOWN => PlaceError::NoEngine(place),
            other => PlaceError::System(other),
        })
    }

    /// The same, if it answers before long.
    fn answering(self) -> Result<Engine, Errno> {
        let control = self.put(Question::of_none(Operation::Hello), Source::of(&[]))?;
        set_socket_timeout(&control, Timeout::Recv, Some(PATIENCE))?;
        match answer(control, Wait::Short) {
            Err(Errno::AGAIN) => Err(Errno::NETDOWN),
            answer => answer.map(|_| self),
        }
    }

    /// The engine of that place.
    #[must_use]
    pub fn at(place: Place, whereabouts: Whereabouts, run: u32) -> Engine {
        let place = Some(place);
        Engine {
            whereabouts,
            place,
            is_at_its_place: true,
            run,
        }
    }

    /// Asks, and has the answer at once. `ENETDOWN`: the engine is not there.
    pub fn ask(&self, question: Question, payload: &[u8]) -> Result<Answer, Errno> {
        self.ask_with(question, Source::of(payload))
    }

    /// The same with a payload of the program's memory; `EFAULT`.
    pub fn ask_with(&self, question: Question, payload: Source) -> Result<Answer, Errno> {
        answer(self.put(question, payload)?, Wait::Short)
    }

    /// Asks, and waits for the answer as long as the socket's `SO_SNDTIMEO` says: `EAGAIN` after it; `EINTR`. What was
    /// asked for goes on. A cancellation point.
    pub(crate) fn ask_and_wait(&self, socket: &Socket, question: Question, payload: Source) -> Result<Answer, Errno> {
        let control = self.put(question, payload)?;
        if let Some(time) = socket_timeout(socket, Timeout::Send)? {
            set_socket_timeout(&control, Timeout::Recv, Some(time))?;
        }
        answer(control, Wait::Long)
    }

    /// Tells the engine of a socket that stays the kernel's, for `ustcp run --explain`.
    pub fn passed_by(&self, why: PassedBy) {
        self.tell_passed_by(why, &[]);
    }

    /// The same of all that the program or the library of that path will have.
    pub fn passed_by_file(&self, why: PassedBy, path: &[u8]) {
        self.tell_passed_by(why, path.get(..PATH_MAX).unwrap_or(path));
    }

    /// Whether this program is of a run that may be asked about.
    #[must_use]
    pub fn is_of_run(&self) -> bool {
        self.run != 0
    }

    fn tell_passed_by(&self, why: PassedBy, payload: &[u8]) {
        let a = why as u32;
        let b = self.run;
        // Nobody waits for this: where it is lost, the table has one line less.
        let _ = self.ask(
            Question {
                a,
                b,
                ..Question::of_none(Operation::PassedBy)
            },
            payload,
        );
    }

    /// Its directory; `None` where it has no name that fits.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    pub(crate) fn token(&self) -> crate::protocol::Token {
        self.whereabouts.token
    }

    pub(crate) fn run(&self) -> u32 {
        self.run
    }

    fn put(&self, question: Question, payload: Source) -> Result<Transient, Errno> {
        let Question {
            operation,
            socket,
            a,
            b,
        } = question;
        let token = self.whereabouts.token;
        let head = Request {
            operation,
            token,
            socket,
            a,
            b,
        };
        let control = self.control()?;
        match sys::send(control.as_fd(), &[Source::of(&head.to_bytes()), payload], 0) {
            // One that is closed already may hold the answer why.
            Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(control),
            Err(errno @ (Errno::FAULT | Errno::NOBUFS | Errno::NOMEM)) => Err(errno),
            Err(_) => Err(Errno::NETDOWN),
        }
    }

    /// A connection for one question. `ENETDOWN`: the engine is not there.
    fn control(&self) -> Result<Transient, Errno> {
        let control = Transient::socket(libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC)?;
        self.reach(Listener::Control, &control, |to, patience| {
            set_socket_timeout(&control, Timeout::Send, Some(patience))?;
            rustix::net::connect(&control, to)
        })?;
        Ok(control)
    }

    /// Connects to a listener, and makes sure that it is the engine's: its name is anybody's once the engine has ended.
    /// `ENETDOWN` where it is not there. Whoever has its name may have a full queue and never take anybody: `connect` ends
    /// with `EAGAIN` after the time that it is given.
    pub(crate) fn reach(
        &self,
        listener: Listener,
        stream: impl AsFd,
        connect: impl Fn(&SocketAddrUnix, Duration) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let may_be_of = self.whereabouts.judge()?;
        self.dial(listener, connect)?;
        match Peer::of(&stream) {
            Ok(peer) if may_be_of(peer.user) => Ok(()),
            _ => {
                // What the program may still write is for nobody.
                let _ = shutdown(&stream, Shutdown::Both); // or the other end has gone by now
                Err(Errno::NETDOWN)
            }
        }
    }

    /// By path, where nobody but its user comes, if that is known to be its own; by its abstract name, which survives chroot
    /// and a change of user, and where anybody may crowd; and else by the path that it may have, which reaches other network
    /// namespaces. Signals make neither take longer.
    fn dial(
        &self,
        listener: Listener,
        connect: impl Fn(&SocketAddrUnix, Duration) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let connect = |to: &_| {
            let begun = Instant::now();
            loop {
                let left = PATIENCE.saturating_sub(begun.elapsed());
                if left.is_zero() {
                    return Err(Errno::AGAIN);
                }
                match connect(to, left) {
                    Err(Errno::INTR) => {}
                    result => return result,
                }
            }
        };
        let name = self.whereabouts.address(listener);
        let path = self.place.ok_or(Errno::NOENT).and_then(|place| place.address(listener));
        let [first, then] = if self.is_at_its_place {
            [path, name]
        } else {
            [name, path]
        };
        match first.and_then(|to| connect(&to)) {
            Err(errno) if is_nobody(errno) => {}
            result => return result,
        }
        let reached = then.and_then(|to| connect(&to));
        reached.map_err(|errno| if is_nobody(errno) { Errno::NETDOWN } else { errno })
    }
}

impl Question {
    /// A question about a socket.
    #[must_use]
    pub fn of(socket: &Socket, operation: Operation) -> Question {
        let socket = socket.tag.socket;
        Question {
            socket,
            ..Question::of_none(operation)
        }
    }

    /// A question about no socket.
    #[must_use]
    pub fn of_none(operation: Operation) -> Question {
        Question {
            operation,
            socket: 0,
            a: 0,
            b: 0,
        }
    }
}

/// Whether that says that nobody is to be reached at an address: not there, or not by this program, or not now.
fn is_nobody(errno: Errno) -> bool {
    use Errno as E;
    let unreachable = matches!(
        errno,
        E::NOENT | E::NOTDIR | E::LOOP | E::NAMETOOLONG | E::ACCESS | E::PERM
    );
    unreachable || matches!(errno, E::CONNREFUSED | E::AGAIN)
}

/// Waits for what comes back. `ENETDOWN` where that is the end of the connection, or no answer.
fn answer(control: Transient, wait: Wait) -> Result<Answer, Errno> {
    let mut packet = [0; Reply::LEN + ANSWER_MAX];
    let len = match sys::wait_for_reply(control, &mut packet, wait) {
        Ok(len) => len,
        Err(errno @ (Errno::AGAIN | Errno::INTR)) => return Err(errno),
        Err(_) => return Err(Errno::NETDOWN),
    };
    let reply = packet.get(..len).and_then(Reply::from_bytes).ok_or(Errno::NETDOWN)?;
    match reply.errno {
        0 => Ok(Answer { packet, len }),
        errno => Err(sys::checked(errno)),
    }
}

fn number(text: &[u8]) -> Option<u32> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, accept, bind, connect, listen, socket_with};

    use super::*;

    fn unix(flags: SocketFlags) -> OwnedFd {
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    /// A directory of this test alone, gone with it.
    struct Scratch(PathBuf);

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn an_engine_is_reached_by_its_own_path_and_else_by_its_name() {
        let directory = std::env::temp_dir().join(format!("ustcp-engine-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let scratch = Scratch(directory);
        let uid = geteuid().as_raw();
        let runtime_directory = None;
        let place = Place::of(
            Some(scratch.0.as_os_str().as_bytes()),
            Seeker { uid, runtime_directory },
        )
        .unwrap();
        let whereabouts = Whereabouts {
            id: u128::from(std::process::id()).to_ne_bytes(),
            token: [0; 16],
            user: uid,
            pid: None,
        };
        let listener = |address: &SocketAddrUnix| {
            let listener = unix(SocketFlags::NONBLOCK);
            bind(&listener, address).unwrap();
            listen(&listener, 1).unwrap();
            listener
        };
        let by_name = listener(&whereabouts.address(Listener::Control).unwrap());
        let by_path = listener(&place.address(Listener::Control).unwrap());
        let its_own = Engine::at(place, whereabouts, 0);
        let perhaps = Engine {
            is_at_its_place: false,
            ..its_own
        };
        let reach = |engine: Engine| {
            let stream = unix(SocketFlags::empty());
            engine
                .reach(Listener::Control, &stream, |to, _| connect(&stream, to))
                .unwrap();
            stream
        };
        for (engine, there, not_there) in [(its_own, &by_path, &by_name), (perhaps, &by_name, &by_path)] {
            let _stream = reach(engine);
            assert_eq!(accept(not_there).err(), Some(Errno::AGAIN));
            accept(there).unwrap();
        }
        drop(by_path);
        let _stream = reach(its_own);
        accept(&by_name).unwrap();
        drop(by_name);
        let path = unix(SocketFlags::empty());
        let reached = its_own.reach(Listener::Control, &path, |to, _| connect(&path, to));
        assert_eq!(reached, Err(Errno::NETDOWN));
    }
}
