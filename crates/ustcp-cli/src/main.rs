//! The command `ustcp`.
mod diagram;
mod inferred;
mod segment;
fn main() {}
