//! What a program says to the engine, and how.
//!
//! The engine is the stack as a process of its own. A socket of a program is one end of an AF_UNIX stream whose other
//! end the engine holds; the bytes flow through it, and everything else about it is asked for here. This crate runs
//! inside hooks of other people's programs, in children of vfork and between threads: it allocates nothing, locks
//! nothing, starts nothing and keeps no descriptor.

pub mod calls;
pub mod engine;
pub mod libraries;
pub mod named;
pub mod place;
pub mod protocol;
pub mod sys;
pub mod whereabouts;
