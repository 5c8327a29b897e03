//! The native module `_ustcp`.
