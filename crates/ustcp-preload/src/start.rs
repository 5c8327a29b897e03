//! The engine's beginning and its end: which one it is, and what standard error is told of it.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::OnceLock;

use rustix::fs::fstat;
use rustix::io::Errno;
use ustcp_client::engine::Engine;
use ustcp_client::place::PlaceError;
use ustcp_client::sys;

/// Or why there is none, where that is to be told.
static ENGINE: OnceLock<Result<Engine, Option<PlaceError>>> = OnceLock::new();
/// The file that standard error was at the start: what has its number later may be one of the program's own.
static STANDARD_ERROR: OnceLock<Option<File>> = OnceLock::new();
static ABSENCE_TOLD: AtomicBool = AtomicBool::new(false);
static END_TOLD: AtomicBool = AtomicBool::new(false);

/// A file's device and number.
type File = (u64, u64);

/// The engine of this program; `None` leaves everything to the kernel. Another library's constructor may ask before ours
/// has run.
pub(crate) fn engine() -> Option<&'static Engine> {
    match ENGINE.get() {
        Some(engine) => engine.as_ref().ok(),
        None => ENGINE.get_or_init(|| sys::without_errno(find)).as_ref().ok(),
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    let _ = engine();
    let _ = STANDARD_ERROR.get_or_init(|| sys::without_errno(standard_error));
    crate::programs::find_next();
    crate::environment::keep();
}

fn find() -> Result<Engine, Option<PlaceError>> {
    if sys::has_borrowed_rights() {
        return Err(None);
    }
    // Who is started by `ustcp run` has an engine, or has been told; who preloads the library by hand is told here.
    let is_told = sys::variable(c"USTCP_RUN").is_some();
    Engine::from_environment().map_err(|error| (!is_told).then_some(error))
}

/// A socket of TCP is the kernel's for want of an engine. Not said at the start: most programs of a shell make none.
pub(crate) fn tell_of_absence() {
    let Some(Err(Some(error))) = ENGINE.get() else { return };
    if !ABSENCE_TOLD.swap(true, Ordering::Relaxed) && can_be_told() {
        say(format_args!("{error}: this program stays on the kernel's TCP"));
    }
}

/// What accept has failed with. A server may go on for ever with `ENETDOWN` and without a word of it, so this is one.
pub(crate) fn tell_of_end(engine: &Engine, errno: Errno) {
    if errno != Errno::NETDOWN || END_TOLD.swap(true, Ordering::Relaxed) {
        return;
    }
    if let Some(place) = engine.place().filter(|_| can_be_told()) {
        let directory = place.directory().display();
        say(format_args!(
            "the engine {directory} has ended: listeners of this program on it take no connection any more"
        ));
    }
}

/// Whether standard error is what it was at the start, and takes a line.
fn can_be_told() -> bool {
    STANDARD_ERROR.get().is_some_and(|before| *before == standard_error()) && is_heard()
}

fn standard_error() -> Option<File> {
    let file = fstat(std::io::stderr()).ok()?;
    Some((file.st_dev, file.st_ino))
}

/// Whether standard error takes a line at once: a full pipe has its writer wait, and one that nobody reads kills it.
fn is_heard() -> bool {
    let mut asked = libc::pollfd {
        fd: libc::STDERR_FILENO,
        events: libc::POLLOUT,
        revents: 0,
    };
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let arguments = [&raw mut asked as usize, 1, &raw const at_once as usize, 0, 0, 0];
    // SAFETY: both live across the call.
    let told = unsafe { sys::call(libc::SYS_ppoll, arguments) };
    told.is_ok() && asked.revents == libc::POLLOUT
}

fn say(what: fmt::Arguments<'_>) {
    let mut line = Line::default();
    // What does not fit is left out.
    let _ = writeln!(line, "ustcp: {what}");
    let text = line.text();
    let arguments = [
        libc::STDERR_FILENO as usize,
        text.as_ptr() as usize,
        text.len(),
        0,
        0,
        0,
    ];
    // SAFETY: `text` is ours and so long.
    let _ = unsafe { sys::call(libc::SYS_write, arguments) };
}

struct Line {
    bytes: [u8; 300],
    used: usize,
}

impl Default for Line {
    fn default() -> Line {
        Line {
            bytes: [0; 300],
            used: 0,
        }
    }
}

impl Line {
    fn text(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self
            .bytes
            .get_mut(self.used..self.used + text.len())
            .ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}
