//! What each socket call becomes, in a hook and in the libraries alike.
//!
//! The calls are [`Engine`](crate::engine::Engine)'s, on a [`Socket`](crate::sys::Socket), with the errno of their namesakes. What is not here is
//! native: the descriptor is the kernel's own.

mod accept;
mod address;
mod attach;
mod connect;
mod faults;
mod life;
mod names;
mod numbers;
mod options;
mod receive;
mod reserved;
mod send;

pub use address::AddressRoom;
pub use faults::{Direction, fault};
pub use life::{Kind, kind};
pub use numbers::{ask_host, is_asked, is_of_host};
pub use options::{is_native, is_told_whole};
pub use receive::{is_otherwise as is_received_otherwise, next_is_there, receive};
pub use reserved::bind_reserved;
pub use send::OTHERWISE as SENT_OTHERWISE;
