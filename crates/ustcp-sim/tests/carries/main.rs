//! What arrives when a line is bad, worse, or gone for a while: every byte, or word that it cannot.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests that fail loudly"
)]

mod blackouts;
mod cells;
mod streams;
