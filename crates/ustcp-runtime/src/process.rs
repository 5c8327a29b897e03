//! The process-wide runtime, and which descriptor is which socket.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::poll::{self, Ours};
use crate::sys::cancel::Uncancelled;
use crate::sys::{fd, fork};
use crate::{Errno, PollRequest, Runtime, Settings, Socket, StartError};

/// What one process has. A child made by fork gets one of its own: its parent's may be locked for ever.
struct Process {
    generation: u32,
    runtime: Mutex<Option<Arc<Runtime>>>,
    sockets: RwLock<Vec<Option<Entry>>>,
    /// The process of a descendant that uses the library too.
    next: OnceLock<Box<Process>>,
}

/// What a descriptor is.
struct Entry {
    socket: Socket,
    /// The descriptor, where it is a further one of the socket.
    copy: Option<OwnedFd>,
}

impl Process {
    const fn new(generation: u32) -> Process {
        Process {
            generation,
            runtime: Mutex::new(None),
            sockets: RwLock::new(Vec::new()),
            next: OnceLock::new(),
        }
    }

    /// This process's. What an ancestor left stays where it is, untouched.
    fn this() -> &'static Process {
        static FIRST: Process = Process::new(0);
        let generation = fork::generation();
        let mut process = &FIRST;
        while process.generation != generation {
            process = process.next.get_or_init(|| Box::new(Process::new(generation)));
        }
        process
    }
}

/// Starts the process-wide runtime; `EALREADY` when it runs. Registers the end at exit and the rules of fork.
pub fn init(settings: &Settings) -> Result<(), StartError> {
    let mut runtime = Process::this().runtime.lock();
    if runtime.is_some() {
        let message = "the stack runs already".to_owned();
        return Err(StartError {
            errno: Errno(libc::EALREADY),
            message,
        });
    }
    *runtime = Some(start(settings)?);
    Ok(())
}

/// The process-wide runtime, started from the environment when there is none yet. Its error line goes to standard
/// error once.
pub fn runtime() -> Result<Arc<Runtime>, Errno> {
    runtime_or_reason().map_err(|error| {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| error.tell());
        error.errno
    })
}

/// As [`runtime`], for callers that can tell the reason themselves.
pub fn runtime_or_reason() -> Result<Arc<Runtime>, StartError> {
    let _uncancelled = Uncancelled::new();
    let mut runtime = Process::this().runtime.lock();
    if let Some(runtime) = &*runtime {
        return Ok(Arc::clone(runtime));
    }
    let started = start(&Settings::from_environment())?;
    *runtime = Some(Arc::clone(&started));
    Ok(started)
}

fn start(settings: &Settings) -> Result<Arc<Runtime>, StartError> {
    static AT_EXIT: Once = Once::new();
    let runtime = Runtime::start(settings)?;
    AT_EXIT.call_once(|| fork::at_exit(at_exit));
    Ok(runtime)
}

extern "C" fn at_exit() {
    fini();
}

/// Ends it. A later [`init`] may start another.
pub fn fini() {
    let runtime = Process::this().runtime.lock().take();
    if let Some(runtime) = runtime {
        runtime.stop();
    }
}

/// Enters a socket under its descriptor.
pub fn register(socket: Socket) -> RawFd {
    enter(socket.fd(), Entry { socket, copy: None })
}

/// A further descriptor of the same socket, close-on-exec: dup(2). The connection ends with the last of them.
pub fn duplicate(fd: RawFd) -> Result<RawFd, Errno> {
    let socket = socket(fd)?;
    let copy = fd::duplicate(fd).map_err(|error| Errno::from(&error))?;
    socket.share();
    let number = copy.as_raw_fd();
    let copy = Some(copy);
    Ok(enter(number, Entry { socket, copy }))
}

fn enter(fd: RawFd, entry: Entry) -> RawFd {
    let Ok(index) = usize::try_from(fd) else { return fd };
    let before = {
        let mut sockets = Process::this().sockets.write();
        if sockets.len() <= index {
            sockets.resize_with(index + 1, || None);
        }
        sockets.get_mut(index).and_then(|place| place.replace(entry))
    };
    // Somebody closed it natively, or the number would not be free.
    if let Some(Entry { socket, copy }) = before {
        let _ = copy.map(OwnedFd::into_raw_fd);
        if socket.unshare() {
            socket.close_without_descriptor();
        }
    }
    fd
}

/// The socket behind a descriptor; `EBADF` for any other.
pub fn socket(fd: RawFd) -> Result<Socket, Errno> {
    let index = usize::try_from(fd).map_err(|_| Errno(libc::EBADF))?;
    let sockets = Process::this().sockets.read();
    let entry = sockets.get(index).and_then(Option::as_ref);
    entry.map(|entry| entry.socket.clone()).ok_or(Errno(libc::EBADF))
}

/// Takes a descriptor out of the table; the socket is closed with its last one.
pub fn close(fd: RawFd) -> Result<(), Errno> {
    let index = usize::try_from(fd).map_err(|_| Errno(libc::EBADF))?;
    // Out of the table first: once the descriptor is closed its number may be a new socket's.
    let entry = Process::this().sockets.write().get_mut(index).and_then(Option::take);
    let Entry { socket, copy } = entry.ok_or(Errno(libc::EBADF))?;
    drop(copy);
    if socket.unshare() { socket.close() } else { Ok(()) }
}

/// poll(2) over ustcp and foreign descriptors together: the caller drives the stack while it waits. Returns how many
/// entries have events. `None`: forever. `EINTR` as poll(2).
pub fn poll(requests: &mut [PollRequest], timeout: Option<Duration>) -> Result<usize, Errno> {
    let _uncancelled = Uncancelled::new();
    let mut ours = Vec::new();
    for (index, request) in requests.iter_mut().enumerate() {
        request.revents = 0;
        if let Ok(socket) = socket(request.fd) {
            ours.push(Ours { index, socket });
        }
    }
    let mut runtimes = ours.iter().map(|our| our.socket.runtime());
    let lives = |runtime: &&Arc<Runtime>| !runtime.shared().ended.load(Ordering::SeqCst);
    let Some(runtime) = runtimes.clone().find(lives).or_else(|| runtimes.next()).cloned() else {
        return poll::poll_foreign(requests, timeout);
    };
    match poll::poll(&runtime, &ours, requests, timeout) {
        Err(Errno(libc::ENETDOWN)) => Ok(poll::all_broken(&ours, requests)),
        result => result,
    }
}
