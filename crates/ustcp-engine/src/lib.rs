//! The stack as a process of its own: one device, one stack, many programs.
//!
//! A socket of a program is one end of an AF_UNIX stream; the engine holds the other end, *E*, and moves the bytes between
//! it and a connection. One thread, one epoll, no locks. docs/engine.md tells the story; `ustcp_client::protocol` has the
//! words.
#![forbid(unsafe_code)]

mod closing;
mod control;
mod count;
mod departed;
mod descriptors;
mod ending;
mod engine;
mod far;
mod greeting;
mod ground;
mod host;
mod kernel;
mod key;
mod lifetime;
mod list;
mod listener;
mod options;
mod order;
mod passed;
mod past;
mod pump;
mod relay;
mod request;
mod rights;
mod route;
mod shortage;
mod site;
mod socket;
mod stranger;
mod stream;
mod text;

pub use engine::Engine;
pub use options::{Lifetime, Loopback, Options, Quotas};
pub use rights::give_up_rights;
pub use ustcp_runtime::StartError;
