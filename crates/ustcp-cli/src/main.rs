//! The command `ustcp`.
fn main() {}
