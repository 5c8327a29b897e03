//! poll over our descriptors and everyone else's.

use std::time::Duration;

use libc::{c_int, nfds_t, pollfd};
use ustcp_runtime::{Errno, PollRequest, process};

use crate::boundary::waiting_boundary;
use crate::{engine, memory};

/// Waits until one of the descriptors is ready; poll(2). Takes descriptors of this library and others side by side, and
/// drives the stack while it waits, which a native poll leaves to a thread in the background: more quickly answered,
/// otherwise the same.
///
/// - `fds`: what to wait for, and room for the answer in `revents`; an entry with negative `fd` is passed over.
/// - `nfds`: entries, 0 to the limit of open files (`RLIMIT_NOFILE`).
/// - `timeout`: milliseconds; 0 does not wait, negative waits as long as it takes.
///
/// The events are those of a TCP socket in Linux: `POLLIN`, `POLLOUT`, `POLLRDHUP`, `POLLPRI`, and unasked `POLLERR`, `POLLHUP`
/// and, for a descriptor that is not open, `POLLNVAL`.
///
/// Returns how many entries have events, 0 when the time has passed, or -1 and sets `errno`:
/// - `EINTR`: a signal's handler ran, whatever its flags.
/// - `EINVAL`: `nfds` is over the limit. `EFAULT`: `fds` is not readable and writable. `ENOMEM`: no memory left.
///
/// # Safety
/// `fds` stays readable and writable for `nfds` entries during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_poll(fds: *mut pollfd, nfds: nfds_t, timeout: c_int) -> c_int {
    waiting_boundary(|| engine::choose(|| engine::poll(fds, nfds, timeout), || poll(fds, nfds, timeout)))
}

fn poll(fds: *mut pollfd, nfds: nfds_t, timeout: c_int) -> Result<c_int, Errno> {
    let count = usize::try_from(nfds).map_err(|_| Errno(libc::EINVAL))?;
    if nfds > open_files_limit() {
        return Err(Errno(libc::EINVAL));
    }
    let mut entries = memory::read_array(fds, count)?;
    let ready = poll_entries(&mut entries, timeout)?;
    memory::write_array(fds, &entries)?;
    c_int::try_from(ready).map_err(|_| Errno(libc::EINVAL))
}

fn poll_entries(entries: &mut [pollfd], timeout: c_int) -> Result<usize, Errno> {
    let mut requests = Vec::new();
    requests
        .try_reserve_exact(entries.len())
        .map_err(|_| Errno(libc::ENOMEM))?;
    requests.extend(entries.iter().map(|entry| PollRequest {
        fd: entry.fd,
        events: entry.events,
        revents: 0,
    }));
    // Only a negative timeout has no unsigned value.
    let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
    let ready = process::poll(&mut requests, timeout)?;
    for (entry, request) in entries.iter_mut().zip(&requests) {
        entry.revents = request.revents;
    }
    Ok(ready)
}

fn open_files_limit() -> libc::rlim_t {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place for the answer.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result == 0 { limit.rlim_cur } else { 0 }
}
