//! How a connection is opened: by connect, or with the first bytes.

use std::net::SocketAddr;

use libc::c_int;
use pyo3::prelude::*;
use ustcp_runtime::{Errno, SendFlags, Wait};

use super::Socket;
use crate::address;
use crate::end::End;
use crate::failure::Failure;
use crate::patience::{Interest, Patience};
use crate::payload::View;

impl Socket {
    pub(super) fn attempt_connect(&self, py: Python<'_>, address: &Bound<'_, PyAny>) -> Result<(), Failure> {
        let end = self.end()?;
        let address = address::from_python(end.family(), address)?;
        self.finish_connect(py, &end, address, false)
    }

    /// `MSG_FASTOPEN`: connect and send in one.
    pub(super) fn sendto_with(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        flags: c_int,
        address: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        match self.open_with(py, data, flags, address)? {
            Some(taken) => Ok(taken),
            None => self.send(py, data, flags & !libc::MSG_FASTOPEN),
        }
    }

    /// What was taken to go with the SYN; `None` when nothing could, but there is a connection now.
    fn open_with(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        flags: c_int,
        address: &Bound<'_, PyAny>,
    ) -> Result<Option<usize>, Failure> {
        let end = self.end()?;
        let towards = address::from_python(end.family(), address)?;
        let plan = self.send_plan(flags)?;
        let flags = SendFlags {
            towards: Some(towards),
            ..plan.flags
        };
        let bytes = View::new(data)?.piece(0)?;
        match end.send(bytes.as_bytes(), flags, Wait::Never) {
            Ok(taken) => Ok(Some(taken)),
            Err(Errno(libc::EINPROGRESS)) if !flags.dont_wait => {
                self.finish_connect(py, &end, towards, true)?;
                Ok(None)
            }
            Err(errno) => Err(Failure::System(errno)),
        }
    }

    /// Waits for a connection. `begun`: by this very call.
    fn finish_connect(&self, py: Python<'_>, end: &End, address: SocketAddr, mut begun: bool) -> Result<(), Failure> {
        let patience = Patience::new(*self.timeout.lock(), end.send_wait());
        patience.wait(py, end, Interest::Write, |wait| {
            let outcome = end.connect(address, wait);
            match outcome {
                // A later slice of the same call: still the attempt that this call began.
                Err(Errno(libc::EALREADY)) if begun => Err(Errno(libc::EINPROGRESS)),
                _ => {
                    begun = true;
                    outcome
                }
            }
        })
    }
}
