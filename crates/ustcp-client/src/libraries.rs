//! What `LD_PRELOAD` names.

/// The libraries in its value.
pub fn named(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| matches!(byte, b':' | b' '))
}

/// Whether one of them ends the program unless it is before all others: AddressSanitizer's, of gcc or of clang.
#[must_use]
pub fn has_a_first(value: &[u8]) -> bool {
    named(value).any(|library| {
        let name = library.rsplit(|byte| *byte == b'/').next().unwrap_or(library);
        name.starts_with(b"libasan.so") || name.starts_with(b"libclang_rt.asan")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sanitizer_of_addresses_is_known_by_its_name() {
        assert!(has_a_first(b"/usr/lib/x86_64-linux-gnu/libasan.so.8"));
        assert!(has_a_first(b"/l/other.so:/usr/lib/clang/libclang_rt.asan-x86_64.so"));
        assert!(!has_a_first(b"/libasan.so/other.so libtsan.so.2") && !has_a_first(b""));
    }
}
