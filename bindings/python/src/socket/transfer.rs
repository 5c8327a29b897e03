//! How bytes go out of a socket and into it.

use libc::c_int;
use pyo3::prelude::*;
use ustcp_runtime::{RecvFlags, SendFlags};

use super::Socket;
use crate::end::End;
use crate::failure::Failure;
use crate::patience::{Interest, Patience};
use crate::payload::{Place, Room};
use crate::receive::Receive;

/// How send is asked for it.
#[derive(Clone, Copy)]
pub(super) struct Sending {
    pub(super) flags: SendFlags,
    patience: Patience,
}

impl Socket {
    pub(super) fn send_plan(&self, flags: c_int) -> Result<Sending, Failure> {
        // Python ignores SIGPIPE and raises BrokenPipeError; so it is under programs that embed it and do not.
        let flags = SendFlags::from_bits(flags | libc::MSG_NOSIGNAL);
        let patience = match flags.dont_wait {
            true => Patience::NONE,
            false => Patience::new(*self.timeout.lock(), self.end()?.send_wait()),
        };
        Ok(Sending { flags, patience })
    }

    pub(super) fn send_some(&self, py: Python<'_>, bytes: &[u8], sending: Sending) -> Result<usize, Failure> {
        let end = self.end()?;
        let Sending { flags, patience } = sending;
        patience.wait(py, &end, Interest::Write, |wait| end.send(bytes, flags, wait))
    }

    pub(super) fn send_whole(&self, py: Python<'_>, mut rest: &[u8], sending: Sending) -> PyResult<()> {
        while !rest.is_empty() {
            let sent = self.send_some(py, rest, sending)?;
            rest = rest.get(sent..).unwrap_or_default();
            py.check_signals()?;
        }
        Ok(())
    }

    /// Receives, and makes the bytes into what the caller wants.
    pub(super) fn receive<T>(
        &self,
        py: Python<'_>,
        most: usize,
        flags: c_int,
        make: impl FnOnce(&[u8]) -> PyResult<T>,
    ) -> PyResult<T> {
        let mut room = Room::new();
        let len = self.receive_into(py, most, flags, &mut room)?;
        let bytes = room.part(0, len)?;
        if flags & libc::MSG_TRUNC != 0 {
            bytes.fill(0); // not what was there from some other call
        }
        make(bytes)
    }

    /// Receives into that place: how much.
    pub(super) fn receive_into<P: Place>(
        &self,
        py: Python<'_>,
        most: usize,
        flags: c_int,
        place: &mut P,
    ) -> PyResult<usize> {
        let end = self.end()?;
        let receive = self.plan(&end, most, flags, P::PIECE)?;
        receive.fill(py, &end, place)
    }

    fn plan(&self, end: &End, most: usize, flags: c_int, piece: usize) -> Result<Receive, Failure> {
        let flags = RecvFlags::from_bits(flags)?;
        let patience = match flags.dont_wait {
            true => Patience::NONE,
            false => Patience::new(*self.timeout.lock(), end.receive_wait()),
        };
        Ok(Receive {
            most: if flags.wait_all && !flags.peek {
                most
            } else {
                most.min(piece)
            },
            flags,
            patience: if flags.wait_all { patience.whole() } else { patience },
        })
    }
}
