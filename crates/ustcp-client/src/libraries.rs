//! What `LD_PRELOAD` names.

/// The libraries in its value.
pub fn named(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| matches!(byte, b':' | b' '))
}
