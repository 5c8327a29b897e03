//! What a Python socket stands for: a socket of a stack on a device, or of one by hand.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{c_int, c_ulong};
use ustcp_runtime::manual::Handle;
use ustcp_runtime::{
    Errno, Family, PollRequest, RecvFlags, Runtime, SendFlags, Shutdown, Socket, State, Wait, process,
};

use crate::manual::Shared;

/// Which stack a socket is made on.
pub(crate) enum Origin {
    /// One on a device.
    Device(Arc<Runtime>),
    /// One by hand.
    Manual(Arc<Shared>),
}

/// One socket object's hold on its socket. A clone is the same hold.
#[derive(Clone)]
pub(crate) enum End {
    /// On a device, under this descriptor: the socket's own, or a further one.
    Device { socket: Socket, fd: c_int },
    /// On a stack by hand.
    Manual(Arc<Manual>),
}

/// A hold on a socket of a stack by hand.
pub(crate) struct Manual {
    connection: Arc<Connection>,
    /// A descriptor that keeps a number for this hold, where numbers have to be the process's own.
    place: Option<OwnedFd>,
}

struct Connection {
    stack: Arc<Shared>,
    handle: Handle,
    family: Family,
    holds: AtomicUsize,
}

impl Manual {
    /// The hold on a socket just made, accepted, or given up by another object.
    fn new(stack: &Arc<Shared>, handle: Handle, family: Family) -> Result<Arc<Manual>, Errno> {
        let connection = Arc::new(Connection {
            stack: Arc::clone(stack),
            handle,
            family,
            holds: AtomicUsize::new(0),
        });
        Manual::of(connection)
    }

    fn of(connection: Arc<Connection>) -> Result<Arc<Manual>, Errno> {
        let place = connection.stack.keeps_places().then(place).transpose()?;
        if let Some(place) = &place {
            connection.stack.places().insert(place.as_raw_fd(), connection.handle);
        }
        connection.holds.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(Manual { connection, place }))
    }

    /// The stack.
    pub(crate) fn stack(&self) -> &Arc<Shared> {
        &self.connection.stack
    }

    /// The socket's number in its stack.
    pub(crate) fn handle(&self) -> Handle {
        self.connection.handle
    }
}

impl Drop for Manual {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            self.stack().places().remove(&place.as_raw_fd());
        }
    }
}

/// A number that is nobody else's. Whoever polls it natively is told "ready" at once, and never left waiting.
fn place() -> Result<OwnedFd, Errno> {
    File::open("/dev/null")
        .map(OwnedFd::from)
        .map_err(|error| Errno::from(&error))
}

impl End {
    /// A new socket.
    pub(crate) fn new(origin: &Origin, family: Family) -> Result<End, Errno> {
        match origin {
            Origin::Device(runtime) => End::registered(runtime.socket(family)?),
            Origin::Manual(stack) => {
                let handle = stack.lock().socket(family)?;
                Ok(End::Manual(Manual::new(stack, handle, family)?))
            }
        }
    }

    /// The socket under a number that another object gave up.
    pub(crate) fn adopt(origin: Option<&Origin>, number: c_int) -> Result<End, Errno> {
        match origin {
            Some(Origin::Manual(stack)) => {
                let family = stack.lock().family(number)?;
                Ok(End::Manual(Manual::new(stack, number, family)?))
            }
            _ => Ok(End::Device {
                socket: process::socket(number).map_err(|errno| foreign(number, errno))?,
                fd: number,
            }),
        }
    }

    /// Entered in the table, so that its number finds it.
    fn registered(socket: Socket) -> Result<End, Errno> {
        let fd = process::register(socket.clone());
        Ok(End::Device { socket, fd })
    }

    /// One more hold on it, under another number.
    pub(crate) fn duplicate(&self) -> Result<End, Errno> {
        match self {
            End::Device { socket, fd } => Ok(End::Device {
                socket: socket.clone(),
                fd: process::duplicate(*fd)?,
            }),
            End::Manual(manual) => Ok(End::Manual(Manual::of(Arc::clone(&manual.connection))?)),
        }
    }

    /// Gives this hold up; the last one closes the socket.
    pub(crate) fn close(&self) -> Result<(), Errno> {
        match self {
            End::Device { fd, .. } => process::close(*fd),
            End::Manual(manual) => match manual.connection.holds.fetch_sub(1, Ordering::SeqCst) {
                1 => manual.stack().lock().close(manual.handle()),
                _ => Ok(()),
            },
        }
    }

    pub(crate) fn number(&self) -> c_int {
        match self {
            End::Device { fd, .. } => *fd,
            End::Manual(manual) => manual.place.as_ref().map_or(manual.handle(), AsRawFd::as_raw_fd),
        }
    }

    /// `EBADF` when another object has closed it.
    pub(crate) fn check(&self) -> Result<(), Errno> {
        match self {
            End::Device { fd, .. } => process::socket(*fd).map(drop),
            End::Manual(manual) => manual.stack().lock().family(manual.handle()).map(drop),
        }
    }

    /// The number under which [`adopt`](End::adopt) finds it when this hold is forgotten.
    pub(crate) fn given_up(&self) -> c_int {
        match self {
            End::Device { fd, .. } => *fd,
            End::Manual(manual) => manual.handle(),
        }
    }

    pub(crate) fn family(&self) -> Family {
        match self {
            End::Device { socket, .. } => socket.family(),
            End::Manual(manual) => manual.connection.family,
        }
    }

    /// How long a reading call of a blocking socket waits by `SO_RCVTIMEO`.
    pub(crate) fn receive_wait(&self) -> Wait {
        match self {
            End::Device { socket, .. } => socket.receive_wait(),
            End::Manual(_) => Wait::Forever,
        }
    }

    /// How long a writing call of a blocking socket waits by `SO_SNDTIMEO`.
    pub(crate) fn send_wait(&self) -> Wait {
        match self {
            End::Device { socket, .. } => socket.send_wait(),
            End::Manual(_) => Wait::Forever,
        }
    }

    pub(crate) fn bind(&self, address: SocketAddr) -> Result<(), Errno> {
        match self {
            End::Device { socket, .. } => socket.bind(address),
            End::Manual(manual) => manual.stack().lock().bind(manual.handle(), address),
        }
    }

    pub(crate) fn listen(&self, backlog: c_int) -> Result<(), Errno> {
        match self {
            End::Device { socket, .. } => socket.listen(backlog),
            End::Manual(manual) => manual.stack().lock().listen(manual.handle(), backlog),
        }
    }

    pub(crate) fn accept(&self, wait: Wait) -> Result<(End, SocketAddr), Errno> {
        match self {
            End::Device { socket, .. } => {
                let (connection, peer) = socket.accept(wait)?;
                Ok((End::registered(connection)?, peer))
            }
            End::Manual(manual) => {
                let (handle, peer) = manual.stack().lock().accept(manual.handle())?;
                let accepted = Manual::new(manual.stack(), handle, manual.connection.family)?;
                Ok((End::Manual(accepted), peer))
            }
        }
    }

    pub(crate) fn connect(&self, address: SocketAddr, wait: Wait) -> Result<(), Errno> {
        match self {
            End::Device { socket, .. } => socket.connect(address, wait),
            End::Manual(manual) => manual.stack().lock().connect(manual.handle(), address),
        }
    }

    pub(crate) fn send(&self, bytes: &[u8], flags: SendFlags, wait: Wait) -> Result<usize, Errno> {
        let data = [IoSlice::new(bytes)];
        match self {
            End::Device { socket, .. } => socket.send(&data, flags, wait),
            End::Manual(manual) => manual.stack().lock().send(manual.handle(), &data, flags),
        }
    }

    pub(crate) fn recv(&self, into: &mut [u8], flags: RecvFlags, wait: Wait) -> Result<usize, Errno> {
        let mut into = [IoSliceMut::new(into)];
        match self {
            End::Device { socket, .. } => socket.recv(&mut into, flags, wait),
            End::Manual(manual) => manual.stack().lock().recv(manual.handle(), &mut into, flags),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        match self {
            End::Device { socket, .. } => socket.shutdown(how),
            End::Manual(manual) => manual.stack().lock().shutdown(manual.handle(), how),
        }
    }

    pub(crate) fn local_address(&self) -> Result<SocketAddr, Errno> {
        match self {
            End::Device { socket, .. } => socket.local_address(),
            End::Manual(manual) => manual.stack().lock().local_address(manual.handle()),
        }
    }

    pub(crate) fn peer_address(&self) -> Result<SocketAddr, Errno> {
        match self {
            End::Device { socket, .. } => socket.peer_address(),
            End::Manual(manual) => manual.stack().lock().peer_address(manual.handle()),
        }
    }

    pub(crate) fn set_option(&self, level: c_int, option: c_int, value: &[u8]) -> Result<(), Errno> {
        match self {
            End::Device { socket, .. } => socket.set_option(level, option, value),
            End::Manual(manual) => manual.stack().lock().set_option(manual.handle(), level, option, value),
        }
    }

    pub(crate) fn option(&self, level: c_int, option: c_int, room: usize) -> Result<Vec<u8>, Errno> {
        match self {
            End::Device { socket, .. } => socket.option(level, option, room),
            End::Manual(manual) => manual.stack().lock().option(manual.handle(), level, option, room),
        }
    }

    /// With `TCP_INQ`, how much is left to read.
    pub(crate) fn left_to_read(&self) -> Result<Option<i32>, Errno> {
        match self {
            End::Device { socket, .. } => socket.left_to_read(),
            End::Manual(manual) => manual.stack().lock().left_to_read(manual.handle()),
        }
    }

    pub(crate) fn ask_number(&self, request: c_ulong) -> Result<c_int, Errno> {
        match self {
            End::Device { socket, .. } => socket.ask_number(request),
            End::Manual(manual) => manual.stack().lock().ask_number(manual.handle(), request),
        }
    }

    pub(crate) fn state(&self) -> Result<State, Errno> {
        match self {
            End::Device { socket, .. } => socket.state(),
            End::Manual(manual) => manual.stack().lock().state(manual.handle()),
        }
    }

    /// poll(2) of this socket alone, without waiting.
    pub(crate) fn poll(&self, events: i16) -> Result<i16, Errno> {
        match self {
            End::Device { fd, .. } => {
                let (fd, revents) = (*fd, 0);
                let mut request = [PollRequest { fd, events, revents }];
                process::poll(&mut request, Some(std::time::Duration::ZERO))?;
                let [PollRequest { revents, .. }] = request;
                Ok(revents)
            }
            End::Manual(manual) => manual.stack().lock().poll(manual.handle(), events),
        }
    }
}

/// Why a number is no socket of ours: there is no such descriptor, or it is something else.
fn foreign(number: c_int, errno: Errno) -> Errno {
    let known = std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
    if known { Errno(libc::ENOTSOCK) } else { errno }
}
