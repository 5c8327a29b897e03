//! The requests of ioctl(2) that ask a socket for a number.

use libc::{c_int, c_ulong};
use ustcp_proto::{SocketId, Stack};

use crate::{Errno, Socket};

/// `SIOCINQ` is `FIONREAD` and `SIOCOUTQ` is `TIOCOUTQ` on a socket.
const SIOCOUTQ: c_ulong = libc::TIOCOUTQ;
/// Of `<linux/sockios.h>`: what was never sent.
const SIOCOUTQNSD: c_ulong = 0x894b;

/// Of `<asm-generic/sockios.h>`; libc has it for some targets only.
const SIOCATMARK: c_ulong = 0x8905;

/// All that there is an answer to.
pub(crate) const REQUESTS: [c_ulong; 4] = [libc::FIONREAD, SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK];

impl Socket {
    /// ioctl(2) where the answer is a number: `SIOCINQ`, `SIOCOUTQ` and `SIOCOUTQNSD`, all `EINVAL` for a listener, and `SIOCATMARK`.
    /// `ENOTTY` for another request.
    pub fn ask_number(&self, request: c_ulong) -> Result<c_int, Errno> {
        self.ask(|stack, _, id| answer(stack, id, request))
    }
}

/// The answer of a socket of a stack.
pub(crate) fn answer(stack: &Stack, id: SocketId, request: c_ulong) -> Result<c_int, Errno> {
    let number = match request {
        libc::FIONREAD => stack.queued_in(id)?,
        SIOCOUTQ => stack.queued_out(id)?,
        SIOCOUTQNSD => stack.not_sent(id)?,
        SIOCATMARK => usize::from(stack.at_mark(id)?),
        _ => return Err(Errno(libc::ENOTTY)),
    };
    Ok(c_int::try_from(number).unwrap_or(c_int::MAX))
}
