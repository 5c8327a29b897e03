//! Which numbers of users mean somebody.

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, read};

/// As which every user shows that has no number in this user namespace, beside the one whose number it is:
/// `/proc/sys/kernel/overflowuid`, as every kernel has it from the start.
const NOBODY: u32 = 65534;

/// Whether the number is of one user alone. user_namespaces(7). `EMFILE`, `ENFILE`: there is no descriptor to see that by.
pub fn is_one_user(number: u32) -> Result<bool, Errno> {
    match number {
        NOBODY => has_all_users(),
        _ => Ok(true),
    }
}

/// Every user has a number here, as in the first of all namespaces. Where that cannot be told, not.
fn has_all_users() -> Result<bool, Errno> {
    let mut text = [0; 64];
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    match openat(CWD, c"/proc/self/uid_map", flags, Mode::empty()) {
        Err(errno @ (Errno::MFILE | Errno::NFILE)) => Err(errno),
        file => {
            let used = file.and_then(|file| read(file, &mut text));
            Ok(used.is_ok_and(|used| is_whole(text.get(..used).unwrap_or_default())))
        }
    }
}

/// Of all 2³² numbers the last is none.
fn is_whole(map: &[u8]) -> bool {
    let mut words = map.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.nth(2) == Some(b"4294967295")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_map_has_all_users() {
        assert!(is_whole(b"         0          0 4294967295\n"));
        for map in [
            &b""[..],
            b"         0       1000          1\n",
            b"0 100000 65536\n",
            b"0 0 1\n1 1 4294967294\n",
        ] {
            assert!(!is_whole(map), "{}", String::from_utf8_lossy(map));
        }
        assert_eq!([0, 1000].map(is_one_user), [Ok(true); 2]);
    }
}
