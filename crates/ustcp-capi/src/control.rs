//! fcntl and ioctl. Stable Rust cannot define variadic functions, so the third argument is fixed.

use libc::{c_int, c_long, c_ulong, c_void};
use ustcp_runtime::{Errno, Socket};

use crate::boundary::boundary;
use crate::{engine, memory};

/// Reads and changes the descriptor's flags; fcntl(2). The third argument is not optional in the binary interface; the
/// macro of this name makes it so in C (0 when left out).
///
/// - `cmd`: `F_GETFL`: `O_RDWR`, and `O_NONBLOCK` when set. `F_SETFL`: sets or clears `O_NONBLOCK`; other flags are
///   ignored. `F_GETFD`: always `FD_CLOEXEC`. `F_SETFD`: takes `FD_CLOEXEC` only: what the descriptor stands for does
///   not outlive exec.
/// - `arg`: the flags, for the two that set.
///
/// At an engine it is the kernel's, with all its commands.
///
/// Returns the flags or 0, or -1 and sets `errno`:
/// - `EINVAL`: another `cmd` (also `F_DUPFD`: the library cannot follow copies), or `F_SETFD` without `FD_CLOEXEC`.
/// - `EBADF`: not a descriptor of this library.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_fcntl(fd: c_int, cmd: c_int, arg: c_long) -> c_int {
    boundary(|| engine::on(fd, |there| there.fcntl(cmd, arg), |socket| flags(&socket, cmd, arg)))
}

fn flags(socket: &Socket, cmd: c_int, arg: c_long) -> Result<c_int, Errno> {
    match cmd {
        libc::F_GETFL => Ok(libc::O_RDWR | if socket.nonblocking() { libc::O_NONBLOCK } else { 0 }),
        libc::F_SETFL => {
            socket.set_nonblocking(arg & c_long::from(libc::O_NONBLOCK) != 0);
            Ok(0)
        }
        libc::F_GETFD => Ok(libc::FD_CLOEXEC),
        libc::F_SETFD if arg & c_long::from(libc::FD_CLOEXEC) != 0 => Ok(0),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Asks for queue lengths and sets flags; ioctl(2). The third argument is not optional in the binary interface; the
/// macro of this name makes it so in C (a null pointer when left out).
///
/// - `request`: `FIONREAD` (`SIOCINQ`): bytes that can be read now, into `*(int *)arg`. `SIOCOUTQ` (`TIOCOUTQ`): bytes
///   written that the peer has not acknowledged. `SIOCOUTQNSD`: bytes written that were never sent. `SIOCATMARK`: 1 when the next byte to read is the urgent one, else 0.
///   `FIONBIO`: `O_NONBLOCK` from `*(int *)arg`. `FIOCLEX`: nothing to do,
///   close-on-exec is always on.
/// - `arg`: an `int`, for those that have one.
///
/// Returns 0, or -1 and sets `errno`:
/// - `ENOTTY`: another request. `EINVAL`: a queue's length of a listening socket; `FIONCLEX`, as for `F_SETFD`.
/// - `EFAULT`: `arg` is not readable or writable. `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has
///   ended.
///
/// # Safety
/// `arg` stays readable and writable as an `int` during the call, for those requests that have one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_ioctl(fd: c_int, request: c_ulong, arg: *mut c_void) -> c_int {
    boundary(|| {
        engine::on(
            fd,
            |there| there.ioctl(request, arg),
            |socket| number(&socket, request, arg),
        )
    })
}

fn number(socket: &Socket, request: c_ulong, arg: *mut c_void) -> Result<c_int, Errno> {
    match request {
        libc::FIONBIO => set_nonblocking(socket, arg),
        libc::FIOCLEX => Ok(0),
        libc::FIONCLEX => Err(Errno(libc::EINVAL)),
        _ => write_number(arg, socket.ask_number(request)?),
    }
}

/// Writes the answer of a request that asks for a number.
pub(crate) fn write_number(to: *mut c_void, number: c_int) -> Result<c_int, Errno> {
    memory::write(to.cast(), &number)?;
    Ok(0)
}

fn set_nonblocking(socket: &Socket, from: *const c_void) -> Result<c_int, Errno> {
    let on: c_int = memory::read(from.cast())?;
    socket.set_nonblocking(on != 0);
    Ok(0)
}
