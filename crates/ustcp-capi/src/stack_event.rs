//! What happens inside a stack of the manual port, event by event.

use libc::{c_char, c_int, size_t, sockaddr_storage};
use ustcp_runtime::manual::{Kind, Report};
use ustcp_runtime::{State, state_number};

use crate::stack_table::{on, ustcp_stack};
use crate::{address, memory};

/// For `kind` of `struct ustcp_event`: the state changed from `before` to `after`; `why` is the cause.
pub const USTCP_EVENT_TRANSITION: c_int = 1;
/// A segment arrived and was processed, in state `before`, which is `after` since; its transitions came just before.
pub const USTCP_EVENT_RECEIVED: c_int = 2;
/// A segment left in state `after`, which is `before` too.
pub const USTCP_EVENT_SENT: c_int = 3;
/// The timer `why` went off.
pub const USTCP_EVENT_EXPIRED: c_int = 4;
/// A packet was dropped for the reason `why`.
pub const USTCP_EVENT_DROPPED: c_int = 5;

/// An event; for `ustcp_stack_event`. Set `size` before the call. Later versions add members at the end, and kinds, and
/// change none. A member that a kind has no use for is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ustcp_event {
    /// In: `sizeof(struct ustcp_event)`: members beyond it are not written.
    pub size: size_t,
    /// When, in nanoseconds.
    pub time: u64,
    /// `USTCP_EVENT_TRANSITION` and so on.
    pub kind: c_int,
    /// The states before and after, by Linux's numbers (`TCP_ESTABLISHED` of <netinet/tcp.h>); 0: none.
    pub before: c_int,
    /// See `before`.
    pub after: c_int,
    /// Of a segment: whether it had been sent before.
    pub retransmission: c_int,
    /// Of a segment: sequence number, as on the wire.
    pub seq: u32,
    /// Acknowledgement number, as on the wire.
    pub ack: u32,
    /// Bytes of text.
    pub length: u32,
    /// The window in bytes, scaled.
    pub window: u32,
    /// Control bits as on the wire: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u32,
    /// Bytes of text of each packet that a super-segment is split into; 0: it is one packet.
    pub segment_size: u32,
    /// Cause, timer or reason, by its name in the event log: `PeerFin`, `Retransmission`, `OutOfWindow`.
    pub why: [c_char; 32],
    /// The connection's local end; family `AF_UNSPEC`: no connection.
    pub local: sockaddr_storage,
    /// Its peer.
    pub remote: sockaddr_storage,
}

/// Fetches the oldest event not yet fetched. There are events while the knob `trace` is 1; at most 65536 are kept.
///
/// - `event`: out.
///
/// Returns 1, or 0 when there is none, or negative:
/// - `-EINVAL`: `event->size` is below 16. `-EFAULT`: `stack` is null, or `event` is not readable and writable.
/// - `-EBADF`: no stack, or freed already. `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an
///   internal error.
///
/// # Safety
/// `event` stays readable and writable for its size during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_event(stack: *mut ustcp_stack, event: *mut ustcp_event) -> c_int {
    on(stack, |stack| {
        let size = memory::struct_size(event.cast())?;
        let Some(next) = stack.event()? else { return Ok(0) };
        memory::write_prefix(event.cast(), &flat(size, &next.into()), size)?;
        Ok(1)
    })
}

/// The name of a state in RFC 9293, as `"SYN-SENT"`, by Linux's number (`TCP_SYN_SENT`); `"?"` for another number. The
/// string is the library's and stays as it is. Never fails.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_state_name(state: c_int) -> *const c_char {
    let is = |candidate: &State| c_int::from(state_number(*candidate)) == state;
    let name = match State::ALL.into_iter().find(is) {
        Some(State::Listen) => c"LISTEN",
        Some(State::SynSent) => c"SYN-SENT",
        Some(State::SynReceived) => c"SYN-RECEIVED",
        Some(State::Established) => c"ESTABLISHED",
        Some(State::FinWait1) => c"FIN-WAIT-1",
        Some(State::FinWait2) => c"FIN-WAIT-2",
        Some(State::CloseWait) => c"CLOSE-WAIT",
        Some(State::Closing) => c"CLOSING",
        Some(State::LastAck) => c"LAST-ACK",
        Some(State::TimeWait) => c"TIME-WAIT",
        Some(State::Closed) => c"CLOSED",
        None => c"?",
    };
    name.as_ptr()
}

fn flat(size: size_t, report: &Report) -> ustcp_event {
    let mut event = ustcp_event {
        size,
        time: report.time,
        kind: match report.kind {
            Kind::Transition => USTCP_EVENT_TRANSITION,
            Kind::Received => USTCP_EVENT_RECEIVED,
            Kind::Sent => USTCP_EVENT_SENT,
            Kind::Expired => USTCP_EVENT_EXPIRED,
            Kind::Dropped => USTCP_EVENT_DROPPED,
        },
        retransmission: c_int::from(report.retransmission),
        ..memory::zeroed()
    };
    if let Some((before, after)) = report.states {
        event.before = state_number(before).into();
        event.after = state_number(after).into();
    }
    if let Some(segment) = report.segment {
        event.seq = segment.seq;
        event.ack = segment.ack;
        event.length = segment.len;
        event.window = segment.window;
        event.flags = segment.flags.into();
        event.segment_size = segment.segment_size.into();
    }
    if let Some(flow) = report.flow {
        event.local = address::storage(flow.local);
        event.remote = address::storage(flow.remote);
    }
    let longest = event.why.len() - 1;
    let why = report.why.as_deref().unwrap_or_default().bytes().take(longest);
    for (place, byte) in event.why.iter_mut().zip(why) {
        *place = c_char::from_ne_bytes([byte]);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn every_state_has_its_name() {
        for state in State::ALL {
            let name = ustcp_state_name(state_number(state).into());
            // SAFETY: a static string.
            let name = unsafe { CStr::from_ptr(name) };
            assert_eq!(name.to_str().unwrap(), state.to_string());
        }
        for number in [-1, 0, 12, c_int::MAX] {
            // SAFETY: a static string.
            assert_eq!(unsafe { CStr::from_ptr(ustcp_state_name(number)) }, c"?");
        }
    }
}
