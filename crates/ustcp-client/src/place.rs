//! Where an engine is: its directory, and the files in it. docs/engine.md has the rules.
//!
//! What programs need of it allocates nothing: it runs in constructors of other people's programs.

use core::fmt;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, Stat, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

use crate::whereabouts::{Listener, Whereabouts};

/// The engine's name where nobody said another.
pub const DEFAULT: &[u8] = b"default";

/// Most bytes of a directory's name: a socket's path in it (`/streams`, `/control`) with its zero must fit `sun_path`.
pub const DIRECTORY_MAX: usize = 108 - 1 - "/streams".len();

/// An engine's directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place {
    bytes: [u8; DIRECTORY_MAX],
    len: u8,
    /// How much of it is the directory in which engines of this user are; `None` where it is none of these.
    parent: Option<u8>,
    /// Whether it was named.
    said: bool,
}

/// Who looks for an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeker<'a> {
    /// Its effective uid.
    pub uid: u32,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_directory: Option<&'a [u8]>,
}

/// Why a place is none, or its engine is not to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// The name is empty, has a character in it that a terminal obeys, or is `.` or `..`.
    Name,
    /// The directory has more than [`DIRECTORY_MAX`] bytes: its sockets would have no address.
    TooLong,
    /// This one on the way to it, or itself, is not a directory: a symbolic link, for one.
    NotADirectory(Place),
    /// This one belongs to another user, of this uid, so what it says is that user's word.
    Foreign(Place, u32),
    /// Others than its owner may look into this one.
    Open(Place),
    /// This one can be neither made nor looked into.
    Closed(Place, Errno),
    /// No engine runs there.
    NoEngine(Place),
    /// Its `engine` file is none of this version.
    Malformed,
    /// The system's answer.
    System(Errno),
}

impl PlaceError {
    /// The number that a call fails with.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            PlaceError::Name => Errno::INVAL,
            PlaceError::TooLong => Errno::NAMETOOLONG,
            PlaceError::NotADirectory(_) => Errno::NOTDIR,
            PlaceError::Foreign(..) | PlaceError::Open(_) => Errno::ACCESS,
            PlaceError::NoEngine(_) => Errno::NETDOWN,
            PlaceError::Malformed => Errno::PROTO,
            PlaceError::Closed(_, errno) | PlaceError::System(errno) => *errno,
        }
    }
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlaceError::Name => {
                f.write_str("an engine's name is a file's name or an absolute directory, without control characters")
            }
            PlaceError::TooLong => write!(
                f,
                "an engine's directory may have {DIRECTORY_MAX} bytes, for its sockets' sake"
            ),
            PlaceError::NotADirectory(place) => write!(f, "{place} is no directory (a symbolic link will not do)"),
            PlaceError::Foreign(place, owner) => write!(
                f,
                "{place} belongs to another user, as whom its engine is reached (sudo -u '#{owner}' ustcp ...); --engine or \
                 USTCP_ENGINE may name a directory elsewhere"
            ),
            PlaceError::Open(place) => write!(
                f,
                "{place} is open to others; if it is for engines alone, chmod 700 closes it"
            ),
            PlaceError::Closed(place, errno) => write!(f, "{place}: {errno}"),
            PlaceError::NoEngine(place) => write!(f, "no engine runs there; ustcp up{} starts one", place.option()),
            PlaceError::Malformed => f.write_str("its engine is of another version of ustcp"),
            PlaceError::System(errno) => errno.fmt(f),
        }
    }
}

impl std::error::Error for PlaceError {}

impl From<Errno> for PlaceError {
    fn from(errno: Errno) -> PlaceError {
        PlaceError::System(errno)
    }
}

impl Place {
    /// The place of the engine called `name` (`USTCP_ENGINE`, `--engine`): a name with a `/` in it is the directory itself,
    /// and must be absolute; any other is one of this user's engines. The directory of one of these is that engine too.
    pub fn of(name: Option<&[u8]>, seeker: Seeker<'_>) -> Result<Place, PlaceError> {
        let said = name.filter(|name| !name.is_empty());
        let name = said.unwrap_or(DEFAULT);
        if name.utf8_chunks().any(|chunk| chunk.valid().contains(char::is_control)) {
            return Err(PlaceError::Name);
        }
        let place = match name.contains(&b'/') {
            true => Place::by_directory(name, seeker)?,
            false => Place::by_name(name, seeker)?,
        };
        let said = said.is_some();
        Ok(Place { said, ..place })
    }

    fn by_name(name: &[u8], seeker: Seeker<'_>) -> Result<Place, PlaceError> {
        if matches!(name, b"" | b"." | b"..") {
            return Err(PlaceError::Name);
        }
        let mut digits = [0; 10];
        let runtime = seeker.runtime_directory.filter(|directory| directory.starts_with(b"/"));
        match (seeker.uid, runtime) {
            (0, _) => Place::below(&[b"/run/ustcp"], name),
            (_, Some(directory)) => Place::below(&[directory, b"/ustcp"], name),
            (uid, None) => Place::below(&[b"/tmp/ustcp-", decimal(uid, &mut digits)], name),
        }
    }

    fn by_directory(directory: &[u8], seeker: Seeker<'_>) -> Result<Place, PlaceError> {
        let mut place = Place::empty();
        directory.starts_with(b"/").then_some(()).ok_or(PlaceError::Name)?;
        place.push(directory)?;
        let name = directory.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let named = Place::by_name(name, seeker);
        Ok(named
            .ok()
            .filter(|named| named.directory() == place.directory())
            .unwrap_or(place))
    }

    fn below(parent: &[&[u8]], name: &[u8]) -> Result<Place, PlaceError> {
        let mut place = Place::empty();
        parent.iter().try_for_each(|piece| place.push(piece))?;
        place.parent = Some(place.len);
        place.push(b"/")?;
        place.push(name)?;
        Ok(place)
    }

    fn empty() -> Place {
        Place {
            bytes: [0; DIRECTORY_MAX],
            len: 0,
            parent: None,
            said: false,
        }
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), PlaceError> {
        let begin = usize::from(self.len);
        let end = begin + piece.len();
        let room = self.bytes.get_mut(begin..end).ok_or(PlaceError::TooLong)?;
        room.copy_from_slice(piece);
        self.len = u8::try_from(end).map_err(|_| PlaceError::TooLong)?;
        Ok(())
    }

    fn prefix(&self, len: u8) -> &Path {
        Path::new(OsStr::from_bytes(self.bytes.get(..len.into()).unwrap_or_default()))
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.prefix(self.len)
    }

    /// What the commands are told so that they mean this engine: nothing where it was not named, else ` --engine` and its name.
    #[must_use]
    pub fn option(&self) -> EngineOption<'_> {
        EngineOption(self)
    }

    /// A file in it: `lock`, `engine`, `log`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// A listener's address by path.
    pub fn address(&self, listener: Listener) -> Result<SocketAddrUnix, Errno> {
        let mut path = [0; DIRECTORY_MAX + "/streams".len()];
        let pieces = self
            .bytes
            .iter()
            .take(self.len.into())
            .chain(b"/")
            .chain(listener.file().as_bytes());
        let used = path.iter_mut().zip(pieces).map(|(to, from)| *to = *from).count();
        SocketAddrUnix::new(path.get(..used).unwrap_or_default())
    }

    /// Makes the directory, and the one that holds this user's engines; what is there already must be safe.
    pub fn create(&self, uid: u32) -> Result<(), PlaceError> {
        for len in self.parent.into_iter().chain([self.len]) {
            match mkdirat(CWD, self.prefix(len), Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => drop(self.opened(len, uid)?),
                Err(errno) => return Err(PlaceError::Closed(self.shortened(len), errno)),
            }
        }
        Ok(())
    }

    /// The engine that runs there, as its `engine` file says.
    pub fn whereabouts(&self, uid: u32) -> Result<Whereabouts, PlaceError> {
        self.read(uid, "engine")
    }

    /// The engine that is ending there: no program is to begin with it.
    pub fn ending(&self, uid: u32) -> Result<Whereabouts, PlaceError> {
        self.read(uid, "ending")
    }

    fn read(&self, uid: u32, name: &str) -> Result<Whereabouts, PlaceError> {
        self.look(uid, name).map_err(|error| match error {
            PlaceError::Closed(_, Errno::NOENT) | PlaceError::System(Errno::NOENT) => PlaceError::NoEngine(*self),
            other => other,
        })
    }

    fn look(&self, uid: u32, name: &str) -> Result<Whereabouts, PlaceError> {
        self.parent.map(|len| self.opened(len, uid)).transpose()?;
        let directory = self.opened(self.len, uid)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&directory, name, flags, Mode::empty())?;
        let mut line = [0; 128];
        let used = rustix::io::read(&file, &mut line)?;
        let owner = fstat(&file)?.st_uid;
        Whereabouts::from_line(line.get(..used).unwrap_or_default(), owner).ok_or(PlaceError::Malformed)
    }

    /// A directory on the way, if nobody but its owner has a say in it, who is this user or root.
    fn opened(&self, len: u8, uid: u32) -> Result<OwnedFd, PlaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let this = self.shortened(len);
        let directory = openat(CWD, this.directory(), flags, Mode::empty()).map_err(|errno| match errno {
            Errno::LOOP | Errno::NOTDIR => PlaceError::NotADirectory(this), // O_NOFOLLOW of a link, O_DIRECTORY of anything else
            other => PlaceError::Closed(this, other),
        })?;
        this.judged(&fstat(&directory)?, uid)?;
        Ok(directory)
    }

    /// A directory that this one is in.
    fn shortened(&self, len: u8) -> Place {
        Place { len, ..*self }
    }

    fn judged(self, directory: &Stat, uid: u32) -> Result<(), PlaceError> {
        if directory.st_uid != uid && directory.st_uid != 0 {
            return Err(PlaceError::Foreign(self, directory.st_uid));
        }
        let others = Mode::RWXG | Mode::RWXO;
        if Mode::from_raw_mode(directory.st_mode).intersects(others) {
            return Err(PlaceError::Open(self));
        }
        Ok(())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.directory().fmt(f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.directory().display().fmt(f)
    }
}

/// The option of a command that names an engine, with the space before it.
#[derive(Debug)]
pub struct EngineOption<'a>(&'a Place);

impl fmt::Display for EngineOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EngineOption(place) = self;
        let name = match place.parent {
            Some(_) => place.directory().file_name().unwrap_or_default(),
            None => place.directory().as_os_str(),
        };
        match place.said {
            true => write!(f, " --engine {}", name.display()),
            false => Ok(()),
        }
    }
}

fn decimal(number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut rest = number;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    digits.get(10 - used..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn seeker(uid: u32, runtime_directory: Option<&[u8]>) -> Seeker<'_> {
        Seeker { uid, runtime_directory }
    }

    #[test]
    fn an_engine_has_a_directory_for_each_kind_of_user() {
        let place =
            |name, uid, runtime| Place::of(name, seeker(uid, runtime)).map(|place| place.directory().to_owned());
        let at = |path: &str| Ok(PathBuf::from(path));
        assert_eq!(place(None, 0, Some(b"/run/user/0")), at("/run/ustcp/default"));
        assert_eq!(place(Some(b"web"), 0, None), at("/run/ustcp/web"));
        assert_eq!(
            place(Some(b""), 1000, Some(b"/run/user/1000")),
            at("/run/user/1000/ustcp/default")
        );
        assert_eq!(place(None, 4_294_967_295, None), at("/tmp/ustcp-4294967295/default"));
        assert_eq!(place(Some(b"/srv/e"), 7, None), at("/srv/e"));
        assert_eq!(place(None, 7, Some(b"run")), at("/tmp/ustcp-7/default"));
        for wrong in [
            &b"."[..],
            b"..",
            b"a/b",
            b"a\0b",
            b"a\nb",
            b"/a/\x1b[2J",
            "\u{9b}2J".as_bytes(),
        ] {
            assert_eq!(place(Some(wrong), 0, None), Err(PlaceError::Name));
        }
    }

    #[test]
    fn what_names_an_engine_to_the_commands() {
        let option = |name, uid| Place::of(name, seeker(uid, None)).unwrap().option().to_string();
        assert_eq!((option(None, 0), option(Some(b""), 7)), (String::new(), String::new()));
        assert_eq!(option(Some(b"web"), 7), " --engine web");
        // Or it would be another's that the environment names.
        assert_eq!(option(Some(b"default"), 7), " --engine default");
        // As `ustcp run` has it for its programs.
        assert_eq!(option(Some(b"/run/ustcp/web"), 0), " --engine web");
        assert_eq!(option(Some(b"/tmp/ustcp-7/web"), 7), " --engine web");
        for other in ["/run/ustcp/web", "/tmp/ustcp-7/..", "/tmp/ustcp-7/", "/srv/web"] {
            assert_eq!(option(Some(other.as_bytes()), 7), format!(" --engine {other}"));
        }
        let place = Place::of(Some(b"web"), seeker(0, None)).unwrap();
        assert_eq!(
            PlaceError::NoEngine(place).to_string(),
            "no engine runs there; ustcp up --engine web starts one"
        );
    }

    #[test]
    fn a_directory_too_long_for_its_sockets_is_refused_and_the_longest_is_not() {
        let longest = format!("/{}", "d".repeat(DIRECTORY_MAX - 1));
        let place = Place::of(Some(longest.as_bytes()), seeker(0, None)).unwrap();
        let address = place.address(Listener::Control).unwrap();
        let path = address.path().unwrap();
        assert_eq!(
            path.to_str().unwrap().trim_end_matches('\0'),
            format!("{longest}/control")
        );
        let longer = format!("{longest}d");
        assert_eq!(
            Place::of(Some(longer.as_bytes()), seeker(0, None)),
            Err(PlaceError::TooLong)
        );
    }

    /// A directory of this test alone, gone with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("ustcp-place-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Scratch(path)
        }

        fn place(&self, name: &str) -> Place {
            Place::of(Some(self.0.join(name).as_os_str().as_bytes()), seeker(0, None)).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn this_user() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn what_an_engine_writes_a_program_finds() {
        let scratch = Scratch::new("finds");
        let place = scratch.place("engine");
        assert_eq!(place.whereabouts(this_user()), Err(PlaceError::NoEngine(place)));
        place.create(this_user()).unwrap();
        place.create(this_user()).unwrap();
        assert_eq!(place.whereabouts(this_user()), Err(PlaceError::NoEngine(place)));
        let written = Whereabouts {
            id: [1; 16],
            token: [2; 16],
            user: this_user(),
            pid: Some(3),
        };
        fs::write(place.file("engine"), written.line().to_string()).unwrap();
        assert_eq!(place.whereabouts(this_user()), Ok(written));
        fs::write(place.file("engine"), "ustcp-engine 2 what comes\n").unwrap();
        assert_eq!(place.whereabouts(this_user()), Err(PlaceError::Malformed));
    }

    #[test]
    fn what_others_may_have_a_say_in_is_refused() {
        let scratch = Scratch::new("others");
        let place = scratch.place("open");
        place.create(this_user()).unwrap();
        fs::set_permissions(place.directory(), fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(place.create(this_user()), Err(PlaceError::Open(place)));
        assert_eq!(place.whereabouts(this_user()), Err(PlaceError::Open(place)));

        symlink("/", scratch.0.join("link")).unwrap();
        let place = scratch.place("link");
        assert_eq!(place.create(this_user()), Err(PlaceError::NotADirectory(place)));
    }

    #[test]
    fn the_directory_that_is_wrong_is_named() {
        let scratch = Scratch::new("wrong");
        let runtime = scratch.0.as_os_str().as_bytes();
        let place = Place::of(Some(b"web"), seeker(7, Some(runtime))).unwrap();
        let told = |result: Result<(), PlaceError>| result.unwrap_err().to_string();
        place.create(this_user()).unwrap();
        let parent = scratch.0.join("ustcp");
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o755)).unwrap();
        let open = format!(
            "{} is open to others; if it is for engines alone, chmod 700 closes it",
            parent.display()
        );
        assert_eq!(told(place.create(this_user())), open);
        assert_eq!(told(place.whereabouts(this_user()).map(drop)), open);

        let nowhere = scratch.0.join("none");
        let place = Place::of(None, seeker(7, Some(nowhere.as_os_str().as_bytes()))).unwrap();
        let parent = nowhere.join("ustcp");
        assert_eq!(
            told(place.create(this_user())),
            format!("{}: {}", parent.display(), Errno::NOENT)
        );
    }

    #[test]
    fn a_directory_of_another_user_is_refused_and_one_of_roots_is_not() {
        let place = Place::of(Some(b"/srv/e"), seeker(1000, None)).unwrap();
        let of = |st_uid, st_mode| {
            let mut stat = fstat(fs::File::open("/").unwrap()).unwrap();
            (stat.st_uid, stat.st_mode) = (st_uid, st_mode);
            place.judged(&stat, 1000)
        };
        assert_eq!(of(1000, 0o40700), Ok(()));
        assert_eq!(of(0, 0o40700), Ok(()));
        let foreign = of(1001, 0o40700).unwrap_err();
        assert_eq!(foreign, PlaceError::Foreign(place, 1001));
        assert!(foreign.to_string().contains("sudo -u '#1001' ustcp"), "{foreign}");
        assert_eq!(of(1000, 0o40710), Err(PlaceError::Open(place)));
        assert_eq!(of(1000, 0o40704), Err(PlaceError::Open(place)));
    }
}
