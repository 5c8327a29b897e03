//! The machine under the stack: device, clock, locks, blocking calls, real file descriptors, errno.
//!
//! [`Runtime`] is one stack on one device in this process. [`process`] holds the process-wide one and the table from
//! file descriptor to socket that the C face uses.

mod alarm;
mod background;
mod capture;
mod clock;
mod core;
mod device;
mod drive;
mod entries;
mod errno;
mod flags;
mod identity;
mod ioctl;
mod journal;
pub mod knobs;
mod machine;
pub mod manual;
mod mirror;
mod panics;
mod poll;
pub mod process;
#[doc(hidden)]
pub mod relay;
mod runtime;
mod settings;
mod sink;
mod socket;
mod sockopt;
mod stderr;
mod sys;
mod tcp_info;
mod transfer;
mod waiter;

pub use errno::Errno;
pub use flags::{RecvFlags, SendFlags};
pub use machine::Machine;
pub use poll::PollRequest;
pub use runtime::{Runtime, StartError};
#[doc(hidden)]
pub use settings::misspelt;
pub use settings::{ExitWait, Malformed, Offload, SecretFile, Settings, Sysctls};
#[doc(hidden)]
pub use sink::probe_file;
pub use socket::{Socket, Wait};
#[doc(hidden)]
pub use sys::cancel::{Uncancelled, cancellation_point};
#[doc(hidden)]
pub use sys::namespace;
#[doc(hidden)]
pub use sys::option as kernel;
pub use tcp_info::{bytes as tcp_info, state as state_number};
pub use ustcp_proto::{Census, Cidr, Counters, ErrorReport, Family, Info, Options, Readiness, Shutdown, State};
