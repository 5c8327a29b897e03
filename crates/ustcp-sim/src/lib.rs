//! A seeded network between stacks under virtual time.
#![forbid(unsafe_code)]

mod weather;

pub use weather::{Link, Weather};
