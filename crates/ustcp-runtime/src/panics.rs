//! A panic of ours stops here: the program lives, and reads one line about it.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use crate::stderr::complain;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

static INSTALL: Once = Once::new();

/// Has panics inside [`caught`] noted instead of printed; every other one goes where it went before.
pub(crate) fn install() {
    INSTALL.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(
            move |info| if INSIDE.get() { note(info) } else { before(info) },
        ));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let what = info.payload_as_str().unwrap_or("panic");
    LAST.set(Some(format!("{what} ({place})")));
}

/// Runs `body`; `Err` is what its panic said.
pub(crate) fn caught<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    let before = INSIDE.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    INSIDE.set(before);
    result.map_err(|_| LAST.take().unwrap_or_else(|| "panic".to_owned()))
}

/// Says it once, on standard error, in one line.
pub(crate) fn report(what: &str) {
    complain(&format!("internal error, the stack has stopped: {what}"));
}
