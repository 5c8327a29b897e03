//! What lets this library into a child, under `ustcp run`. A program that starts another with an environment of its own
//! making (a master that hands listeners to its workers, for one) would leave it out, and the child could do nothing with the
//! sockets that it inherits; so it is put in again.
//!
//! Who has cleared nothing but `LD_PRELOAD` means this library, and is obeyed.

use core::ffi::CStr;
use std::sync::OnceLock;

use libc::{c_char, c_int};
use ustcp_client::libraries::named;
use ustcp_client::sys::{self, Source};

/// Words or an environment, as execve(2) has them.
pub(crate) type Words = *const *const c_char;

const PRELOAD: &[u8] = b"LD_PRELOAD=";
const RUN: &[u8] = b"USTCP_RUN=";
/// How the name of this library's file ends.
const LIBRARY: &[u8] = b"libustcp_preload.so";

/// An environment with more variables stays as it is: there is no heap here, and the stack is the program's.
const MOST: usize = 1000;

/// What `ustcp run` has set, as it was at the start: the program may write over its own environment. The library's name is
/// first, the others are variables.
static KEPT: OnceLock<Option<[Text; KEPT_MAX]>> = OnceLock::new();
const KEPT_MAX: usize = 4;

/// Text with the zero behind it: `NAME=VALUE`, a name, or a path.
pub(crate) struct Text([u8; 1024]);

impl Text {
    pub(crate) const EMPTY: Text = Text([0; 1024]);

    /// Makes it the pieces, if there is room for them. In its place: to hand it on would be a copy on a stack that may be small.
    pub(crate) fn put(&mut self, pieces: &[&[u8]]) -> bool {
        let len = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let text = pieces.iter().copied().flatten().chain(&[0]);
        self.0.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        len < self.0.len()
    }

    fn of(pieces: &[&[u8]]) -> Option<Text> {
        let mut text = Text::EMPTY;
        text.put(pieces).then_some(text)
    }

    fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        self.0.get(..end.unwrap_or_default()).unwrap_or_default()
    }

    pub(crate) fn pointer(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

/// Keeps what a child needs; for a constructor.
pub(crate) fn keep() {
    let _ = KEPT.get_or_init(|| {
        let libraries = sys::variable(c"LD_PRELOAD")?;
        let ours = named(libraries).find(|library| library.ends_with(LIBRARY))?;
        Some([
            Text::of(&[ours])?,
            Text::of(&[b"USTCP_ENGINE=", sys::variable(c"USTCP_ENGINE")?])?,
            Text::of(&[b"USTCP_TOKEN=", sys::variable(c"USTCP_TOKEN")?])?,
            Text::of(&[RUN, sys::variable(c"USTCP_RUN")?])?,
        ])
    });
}

/// Starts something with the environment that was handed in, or with a copy that has what it lacks.
///
/// # Safety
/// As of execve(2).
pub(crate) unsafe fn completed(environment: Words, start: &dyn Fn(Words) -> c_int) -> c_int {
    let kept = KEPT.get().and_then(Option::as_ref);
    // SAFETY: the caller's promise.
    let Some((kept, variables)) = kept.and_then(|kept| Some((kept, unsafe { Variables::of(environment) }?))) else {
        return start(environment);
    };
    if is_meant(variables.value(PRELOAD), &variables) {
        return start(environment);
    }
    // On the stack of a handler, perhaps, so it is no larger than it must be.
    match variables.1 {
        ..60 => with_copy::<{ 60 + KEPT_MAX }>(kept, &variables, start),
        60..250 => with_copy::<{ 250 + KEPT_MAX }>(kept, &variables, start),
        _ => with_copy::<{ MOST + 1 + KEPT_MAX }>(kept, &variables, start),
    }
}

/// With a copy that has room for `ROOM` pointers, the last of which is null.
#[inline(never)]
fn with_copy<const ROOM: usize>(
    kept: &[Text; KEPT_MAX],
    variables: &Variables,
    start: &dyn Fn(Words) -> c_int,
) -> c_int {
    let [library, others @ ..] = kept;
    let mut both = Text::EMPTY;
    let fits = match variables.value(PRELOAD) {
        // Behind, as those stand before what they pass on to.
        Some(theirs) => both.put(&[PRELOAD, theirs, b":", library.bytes()]),
        None => both.put(&[PRELOAD, library.bytes()]),
    };
    if !fits {
        return start(variables.0);
    }
    let lacking = others.iter().filter(|text| !variables.has_name_of(text.bytes()));
    let theirs = variables.all().filter(|text| !text.to_bytes().starts_with(PRELOAD));
    let whole = theirs
        .map(CStr::as_ptr)
        .chain(lacking.map(Text::pointer))
        .chain([both.pointer()]);
    let mut copy = [core::ptr::null(); ROOM];
    copy.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    start(copy.as_ptr())
}

/// Whether a child is to have no library of ours, or has it.
fn is_meant(libraries: Option<&[u8]>, variables: &Variables) -> bool {
    match libraries {
        None => variables.value(RUN).is_some(),
        Some(libraries) => libraries.is_empty() || named(libraries).any(|library| library.ends_with(LIBRARY)),
    }
}

/// An environment that was looked at: so many variables from there on.
struct Variables(Words, usize);

impl Variables {
    /// None where it cannot be read, which the kernel will say, or has too many.
    ///
    /// # Safety
    /// As of execve(2).
    unsafe fn of(environment: Words) -> Option<Variables> {
        if environment.is_null() {
            return Some(Variables(environment, 0)); // Linux takes that for an empty one
        }
        let mut first = [0; size_of::<*const c_char>()];
        // SAFETY: only the kernel reads there.
        unsafe { Source::new(environment.cast(), first.len()) }
            .read(&mut first)
            .ok()?;
        // SAFETY: the caller's promise: it ends with a null pointer.
        let count = (0..=MOST).find(|index| unsafe { *environment.add(*index) }.is_null())?;
        Some(Variables(environment, count))
    }

    fn all(&self) -> impl Iterator<Item = &CStr> {
        // SAFETY: so many pointers are there, each to text that ends with a zero.
        (0..self.1).map(|index| unsafe { CStr::from_ptr(*self.0.add(index)) })
    }

    /// The value of the variable whose name, with `=`, is `name`.
    fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.all().find_map(|text| text.to_bytes().strip_prefix(name))
    }

    /// Whether there is a variable of the same name as in `text`.
    fn has_name_of(&self, text: &[u8]) -> bool {
        let name = text.split_inclusive(|byte| *byte == b'=').next();
        name.is_some_and(|name| self.value(name).is_some())
    }
}
