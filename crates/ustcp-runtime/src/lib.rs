//! The machine under the stack: device, clock, locks, blocking calls, real file descriptors, errno.
//!
//! [`Runtime`] is one stack on one device in this process. [`process`] holds the process-wide one and the table from
//! file descriptor to socket that the C face uses.

mod capture;
mod device;
mod errno;
mod journal;
pub mod process;
mod runtime;
mod settings;
mod sink;
mod socket;
mod sockopt;
mod sys;
mod tcp_info;

pub use errno::Errno;
pub use runtime::{Runtime, StartError};
pub use settings::{ExitWait, Offload, Settings};
pub use socket::{PollRequest, RecvFlags, SendFlags, Socket, Wait};
#[doc(hidden)]
pub use sys::namespace;
pub use ustcp_proto::{Census, Cidr, Counters, Family, Info, Options, Readiness, Shutdown, State};
