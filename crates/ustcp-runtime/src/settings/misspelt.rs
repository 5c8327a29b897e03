//! Variables of the environment whose names are nearly ours: nobody reads them, and who set them thinks otherwise.

use std::ffi::OsString;

/// All that a program or a command of ours reads.
const NAMES: [&str; 16] = [
    "USTCP_TUN",
    "USTCP_ADDRESS",
    "USTCP_PEER",
    "USTCP_OFFLOAD",
    "USTCP_MTU",
    "USTCP_TIME_WAIT",
    "USTCP_CONGESTION",
    "USTCP_SYSCTL",
    "USTCP_SECRET",
    "USTCP_EXIT_WAIT",
    "USTCP_WEATHER",
    "USTCP_LOG",
    "USTCP_PCAP",
    "USTCP_ENGINE",
    "USTCP_TOKEN",
    "USTCP_RUN",
];

/// Each of `names` that is nearly one of ours, and the one that may be meant.
pub fn misspelt(names: impl IntoIterator<Item = OsString>) -> Vec<(String, &'static str)> {
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    names
        .filter_map(|name| meant_by(&name).map(|meant| (name, meant)))
        .collect()
}

fn meant_by(name: &str) -> Option<&'static str> {
    if !name.starts_with("USTCP") || NAMES.contains(&name) {
        return None;
    }
    let nearest = NAMES.into_iter().min_by_key(|known| distance(name, known))?;
    // A short name is near to many.
    let near = (nearest.len() - "USTCP_".len()).div_ceil(4).min(2);
    (distance(name, nearest) <= near).then_some(nearest)
}

/// How many letters are to be put in, left out or changed to make the one the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.bytes().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let cells = row.iter_mut();
        let letters = [None].into_iter().chain(other.bytes().map(Some));
        for (cell, another) in cells.zip(letters) {
            let above = *cell;
            if let Some(another) = another {
                let changed = diagonal + usize::from(another != letter);
                left = changed.min(above + 1).min(left + 1);
            }
            (*cell, diagonal) = (left, above);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn letters_that_differ_are_counted() {
        let table = [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("USTCP_ADRESS", "USTCP_ADDRESS", 1),
            ("ab", "ba", 2),
        ];
        for (one, other, letters) in table {
            assert_eq!(distance(one, other), letters, "{one} {other}");
        }
    }

    #[test]
    fn who_meant_one_of_ours_is_told_which() {
        let table = [
            ("USTCP_ADRESS", Some("USTCP_ADDRESS")),
            ("USTCP_TIMEWAIT", Some("USTCP_TIME_WAIT")),
            ("USTCP_SYSCTLS", Some("USTCP_SYSCTL")),
            ("USTCP_WHEATER", Some("USTCP_WEATHER")),
            ("USTCPLOG", Some("USTCP_LOG")),
            ("USTCP_PCAPS", Some("USTCP_PCAP")),
            ("USTCP_RUN", None),
            ("USTCP_TUN", None),
            ("USTCP_SIM_SEEDS", None),
            ("USTCP_X", None),
            ("USTCP", None),
            ("ADDRESS", None),
        ];
        for (name, meant) in table {
            assert_eq!(meant_by(name), meant, "{name}");
        }
    }

    #[test]
    fn every_setting_is_among_them() {
        let settings = Settings {
            mtu: Some(1500),
            secret: crate::SecretFile::None,
            weather: Some(Default::default()),
            log: Some("l".into()),
            pcap: Some(("p".into(), 96)),
            sysctl: "tcp_sack=0".parse().unwrap(),
            ..Settings::default()
        };
        let variables = settings.variables();
        assert_eq!(variables.len(), NAMES.len() - 3);
        assert!(variables.iter().all(|(name, _)| NAMES.contains(name)));
    }
}
