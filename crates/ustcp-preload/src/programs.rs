//! Hooks of the calls that start programs: one that is linked statically will have sockets of the kernel's, and
//! `ustcp run` is to know, which may be asked (`--explain`, `--strict`); any other finds in its environment what puts it on
//! ustcp. Outside of a run they are their namesakes.

use core::ffi::CStr;

use libc::{c_char, c_int, c_void, pid_t};
use rustix::path::DecInt;
use ustcp_client::protocol::{PATH_MAX, PassedBy};
use ustcp_client::sys::{self, Source, program};

use crate::environment::{Text, Words, completed};
use crate::hook::pass;
use crate::next::Next;
use crate::start::engine;

type Spawn = unsafe extern "C" fn(*mut pid_t, *const c_char, *const c_void, *const c_void, Words, Words) -> c_int;

static EXECVPE: Next = Next::new(c"execvpe");
static FEXECVE: Next = Next::new(c"fexecve");
static SPAWN: Next = Next::new(c"posix_spawn");
static SPAWNP: Next = Next::new(c"posix_spawnp");

/// Finds the C library's own before there is a child of vfork or a second thread.
pub(crate) fn find_next() {
    for next in [&EXECVPE, &FEXECVE, &SPAWN, &SPAWNP] {
        let _ = next.get();
    }
}

unsafe extern "C" {
    static environ: Words;
}

/// execve(2).
///
/// # Safety
/// As of execve(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execve(path: *const c_char, words: Words, environment: Words) -> c_int {
    look_at(libc::AT_FDCWD, path);
    let start = |environment: Words| {
        let arguments = [path as usize, words as usize, environment as usize, 0, 0, 0];
        // SAFETY: the caller's promise.
        unsafe { pass(libc::SYS_execve, arguments) as c_int }
    };
    // SAFETY: the caller's promise.
    unsafe { completed(environment, &start) }
}

/// execveat(2).
///
/// # Safety
/// As of execveat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execveat(
    directory: c_int,
    path: *const c_char,
    words: Words,
    environment: Words,
    flags: c_int,
) -> c_int {
    match flags & libc::AT_EMPTY_PATH != 0 && is_empty(path) {
        true => look_at_descriptor(directory),
        false => look_at(directory, path),
    }
    let start = |environment: Words| {
        let arguments = [
            directory as usize,
            path as usize,
            words as usize,
            environment as usize,
            flags as usize,
            0,
        ];
        // SAFETY: the caller's promise.
        unsafe { pass(libc::SYS_execveat, arguments) as c_int }
    };
    // SAFETY: the caller's promise.
    unsafe { completed(environment, &start) }
}

/// execv(3).
///
/// # Safety
/// As of execv(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execv(path: *const c_char, words: Words) -> c_int {
    // SAFETY: the caller's promise; the environment is the program's.
    unsafe { execve(path, words, environ) }
}

/// execvp(3).
///
/// # Safety
/// As of execvp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvp(name: *const c_char, words: Words) -> c_int {
    // SAFETY: the caller's promise; the environment is the program's.
    unsafe { execvpe(name, words, environ) }
}

/// execvpe(3).
///
/// # Safety
/// As of execvpe(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvpe(name: *const c_char, words: Words, environment: Words) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { search(name) };
    // SAFETY: it is what the C library has under that name.
    let next: Option<unsafe extern "C" fn(*const c_char, Words, Words) -> c_int> =
        unsafe { core::mem::transmute(EXECVPE.get()) };
    // SAFETY: the caller's promise.
    next.map_or(-1, |next| unsafe {
        completed(environment, &|environment| next(name, words, environment))
    })
}

/// fexecve(3).
///
/// # Safety
/// As of fexecve(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fexecve(fd: c_int, words: Words, environment: Words) -> c_int {
    look_at_descriptor(fd);
    // SAFETY: it is what the C library has under that name.
    let next: Option<unsafe extern "C" fn(c_int, Words, Words) -> c_int> =
        unsafe { core::mem::transmute(FEXECVE.get()) };
    let start = |environment: Words| {
        // SAFETY: the caller's promise.
        next.map_or(-1, |next| unsafe { next(fd, words, environment) })
    };
    match environment.is_null() {
        true => start(environment), // it is refused here, and an empty one to execve(2)
        // SAFETY: the caller's promise.
        false => unsafe { completed(environment, &start) },
    }
}

/// posix_spawn(3).
///
/// # Safety
/// As of posix_spawn(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawn(
    child: *mut pid_t,
    path: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    words: Words,
    environment: Words,
) -> c_int {
    look_at(libc::AT_FDCWD, path);
    // SAFETY: the caller's promise.
    spawner(&SPAWN).map_or(libc::ENOSYS, |next| unsafe {
        completed(environment, &|environment| {
            next(child, path, actions, attributes, words, environment)
        })
    })
}

/// posix_spawnp(3).
///
/// # Safety
/// As of posix_spawnp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawnp(
    child: *mut pid_t,
    name: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    words: Words,
    environment: Words,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { search(name) };
    // SAFETY: the caller's promise.
    spawner(&SPAWNP).map_or(libc::ENOSYS, |next| unsafe {
        completed(environment, &|environment| {
            next(child, name, actions, attributes, words, environment)
        })
    })
}

/// The C library's own posix_spawn(3) or posix_spawnp(3).
fn spawner(next: &Next) -> Option<Spawn> {
    // SAFETY: it is what the C library has under that name; null where there is none.
    unsafe { core::mem::transmute(next.get()) }
}

/// Tells the engine of a program that will be on the kernel's TCP, in a run.
fn look_at(directory: c_int, path: *const c_char) {
    // SAFETY: the kernel has read it to its zero.
    tell_of_program(directory, path, |tell| tell(unsafe { CStr::from_ptr(path) }.to_bytes()));
}

/// The same of one that is open.
#[inline(never)]
fn look_at_descriptor(fd: c_int) {
    let mut link = Text::EMPTY;
    link.put(&[b"/proc/self/fd/", DecInt::new(fd).as_bytes()]);
    tell_of_program(libc::AT_FDCWD, link.pointer(), |tell| {
        let mut path = [0; PATH_MAX];
        let (to, room) = (path.as_mut_ptr() as usize, path.len());
        let arguments = [libc::AT_FDCWD as usize, link.pointer() as usize, to, room, 0, 0];
        // SAFETY: the link ends with a zero, and `path` has so much room.
        let len = unsafe { sys::call(libc::SYS_readlinkat, arguments) }.unwrap_or_default();
        tell(path.get(..len).unwrap_or_default());
    });
}

/// `name` hands the path on by which the program is told of.
fn tell_of_program(directory: c_int, path: *const c_char, name: impl FnOnce(&dyn Fn(&[u8]))) {
    sys::without_errno(|| {
        if let Some(engine) = engine().filter(|engine| engine.is_of_run())
            && let Some(why) = passes_by(directory, path)
        {
            name(&|path| engine.passed_by_file(why, path));
        }
    });
}

/// Whether it is the text of no bytes.
fn is_empty(path: *const c_char) -> bool {
    let mut first = [1];
    // SAFETY: only the kernel reads there.
    let read = unsafe { Source::new(path.cast(), first.len()) }.read(&mut first);
    read.is_ok() && first == [0]
}

fn passes_by(directory: c_int, path: *const c_char) -> Option<PassedBy> {
    if program::is_static(directory, path) {
        return Some(PassedBy::Static);
    }
    (sys::lends_rights() && program::may_execute(directory, path)).then_some(PassedBy::Rights)
}

/// The same of a library that will not find this one first.
pub(crate) fn tell_of_library(why: PassedBy, path: *const c_char) {
    sys::without_errno(|| {
        if let Some(engine) = engine().filter(|engine| engine.is_of_run()) {
            // SAFETY: dlopen(3) reads it to its zero.
            engine.passed_by_file(why, unsafe { CStr::from_ptr(path) }.to_bytes());
        }
    });
}

/// The same of one that is looked for in `PATH`, as execvp(3) does.
///
/// # Safety
/// `name` ends with a zero.
unsafe fn search(name: *const c_char) {
    if name.is_null() || engine().is_none_or(|engine| !engine.is_of_run()) {
        return;
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    if bytes.contains(&b'/') {
        return look_at(libc::AT_FDCWD, name);
    }
    let path = sys::variable(c"PATH").unwrap_or(b"/bin:/usr/bin");
    let mut candidate = Text::EMPTY;
    for directory in path.split(|byte| *byte == b':') {
        let separator: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        if candidate.put(&[directory, separator, bytes]) && program::may_execute(libc::AT_FDCWD, candidate.pointer()) {
            return look_at(libc::AT_FDCWD, candidate.pointer());
        }
    }
}
