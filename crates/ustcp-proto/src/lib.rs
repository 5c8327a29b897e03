//! The TCP/IP stack as a value.
//!
//! Packets and the time go in ([`Stack::on_packet`], [`Stack::on_timeout`]), user calls are plain methods, and what
//! the stack wants comes out of the `poll_*` methods: packets, the next deadline, sockets whose readiness changed,
//! events. There is no clock, no file descriptor, no thread and no randomness in here: the same inputs give the same
//! outputs, bit for bit.
#![forbid(unsafe_code)]

mod address;
mod answers;
mod books;
mod calls;
mod closing;
mod config;
mod context;
mod cookies;
mod counters;
mod disconnect;
mod ephemeral;
mod error;
mod event;
mod fast_open;
mod fast_open_keys;
mod icmp;
mod ingress;
mod keys;
mod listeners;
mod memory;
mod overview;
mod path_mtus;
mod ports;
mod reassembly;
mod report;
mod route;
mod saved_syn;
mod schedule;
mod socket;
mod stack;
mod state;
mod table;
mod tcp;
mod time;
mod transfer;

pub use config::{Cidr, Config, EcnPolicy, Identity, Secret, SynCookies, TimeWaitReuse};
pub use counters::{Census, Counters};
pub use error::Error;
pub use event::{DropReason, Event, EventKind, Flow, SegmentSummary, Timer};
pub use fast_open_keys::FastOpenKeys;
pub use memory::Owner;
pub use overview::{Overview, Waiting};
pub use reassembly::{Reassembler, ReassemblyCounts};
pub use report::ErrorReport;
pub use socket::{Family, Framing, Info, Kept, Options, Phase, Readiness, Shutdown, SocketId};
pub use stack::{Stack, Transmit};
pub use state::{Cause, State};
pub use tcp::Algorithm;
pub use time::Instant;
pub use ustcp_wire::Checksum;
