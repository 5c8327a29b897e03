//! The beginning: which engine it is.

use core::fmt::{self, Write};
use std::sync::OnceLock;

use ustcp_client::engine::Engine;
use ustcp_client::place::PlaceError;
use ustcp_client::sys;

static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();

/// The engine of this program; `None` leaves everything to the kernel. Another library's constructor may ask before ours
/// has run.
pub(crate) fn engine() -> Option<&'static Engine> {
    match ENGINE.get() {
        Some(engine) => engine.as_ref(),
        None => ENGINE.get_or_init(|| sys::without_errno(find)).as_ref(),
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    let _ = engine();
    crate::programs::find_next();
}

fn find() -> Option<Engine> {
    if sys::has_borrowed_rights() {
        return None;
    }
    match Engine::from_environment() {
        Ok(engine) => Some(engine),
        Err(error) => {
            complain(error);
            None
        }
    }
}

/// Who is started by `ustcp run` has an engine, or has been told; who preloads the library by hand is told here.
fn complain(error: PlaceError) {
    if sys::variable(c"USTCP_RUN").is_some() {
        return;
    }
    let mut line = Line::default();
    // What does not fit is left out.
    let _ = writeln!(line, "ustcp: {error}: this program stays on the kernel's TCP");
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
    bytes: [u8; 200],
    used: usize,
}

impl Default for Line {
    fn default() -> Line {
        Line {
            bytes: [0; 200],
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
