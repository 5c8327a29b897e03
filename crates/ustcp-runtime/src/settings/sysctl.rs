//! `USTCP_SYSCTL`: knobs of the stack, by the names and in the units of Linux's sysctls.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ustcp_proto::Config;

use crate::knobs;

/// Knobs that are the device's or somebody else's to say: the variable that does, if there is one.
const ELSEWHERE: [(&str, Option<&str>); 7] = [
    ("address", Some("USTCP_ADDRESS")),
    ("any_address", None),
    ("mtu", Some("USTCP_MTU")),
    ("tcp_congestion_control", Some("USTCP_CONGESTION")),
    ("time_wait_ms", Some("USTCP_TIME_WAIT")),
    ("trace", None),
    ("tso", None),
];

/// Knobs by name, each with a value that it takes. Of two values for one knob the later holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sysctls(BTreeMap<String, String>);

impl Sysctls {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets them.
    pub fn apply(&self, config: &mut Config) {
        for (name, value) in &self.0 {
            knobs::set(config, name, value).expect("a value that the knob has taken before");
        }
    }
}

/// `name=value`, several with commas; the error says what is allowed.
impl FromStr for Sysctls {
    type Err = String;

    fn from_str(text: &str) -> Result<Sysctls, String> {
        let pairs = text.split(',').filter(|_| !text.is_empty());
        pairs.map(pair).collect::<Result<_, _>>().map(Sysctls)
    }
}

/// In the form that is read, whatever the form that was given.
impl fmt::Display for Sysctls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        f.write_str(&pairs.join(","))
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("name=value, as tcp_sack=0, several with commas")?;
    let name = name.trim();
    if let Some((_, variable)) = ELSEWHERE.iter().find(|(other, _)| *other == name) {
        return Err(match variable {
            Some(variable) => format!("{name} is what {variable} says"),
            None => format!("{name} is not for a stack with a device"),
        });
    }
    let mut config = Config::default();
    knobs::set(&mut config, name, value).map_err(|_| knobs::complaint(name, known()))?;
    let told = knobs::tell(&config, name).unwrap_or_default();
    Ok((name.to_owned(), told.replace('\t', " ")))
}

fn known() -> impl Iterator<Item = &'static str> {
    let elsewhere = |name: &&str| ELSEWHERE.iter().any(|(other, _)| other == name);
    knobs::names().filter(move |name| !elsewhere(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysctls(text: &str) -> Sysctls {
        text.parse().unwrap()
    }

    #[test]
    fn the_stack_has_what_was_said_and_else_its_own() {
        let mut config = Config::default();
        sysctls("tcp_sack=0, tcp_rmem=4096 8192\t16384,initcwnd=3").apply(&mut config);
        let expected = Config {
            sack: false,
            receive_buffer_min: 2048,
            receive_buffer: 4096,
            receive_buffer_max: 8192,
            initial_window: 3,
            ..Config::default()
        };
        assert_eq!(format!("{config:?}"), format!("{expected:?}"));
    }

    #[test]
    fn nothing_is_no_knob_and_the_last_word_holds() {
        assert!(sysctls("").is_empty());
        assert_eq!(
            sysctls("tcp_sack=0,tcp_ecn=1,tcp_sack=1").to_string(),
            "tcp_ecn=1,tcp_sack=1"
        );
        assert_eq!(sysctls("tcp_rmem= 2  4\t8"), sysctls("tcp_rmem=2 4 8"));
    }

    #[test]
    fn every_knob_that_is_offered_takes_what_it_begins_with() {
        for name in known() {
            let told = knobs::tell(&Config::default(), name).unwrap();
            assert_eq!(
                sysctls(&format!("{name}={told}")).to_string(),
                format!("{name}={}", told.replace('\t', " "))
            );
        }
    }

    #[test]
    fn what_cannot_be_says_what_can() {
        let table = [
            ("tcp_sack", "name=value"),
            ("tcp_sack=0,", "name=value"),
            ("tcp_sack=2", "tcp_sack takes 0 or 1"),
            ("tcp_sack=0,tcp_retries2=256", "tcp_retries2 takes 0 to 255"),
            ("tcp_fin_timeout=-1", "tcp_fin_timeout takes 0 to 86400 seconds"),
            ("tcp_rmem=4096", "three sizes"),
            ("ip_local_port_range=2 1", "two ports"),
            (
                "tcp_sacks=1",
                "there is no \"tcp_sacks\", but ip_default_ttl, ip_local_port_range, ",
            ),
            ("net.ipv4.tcp_sack=1", "tcp_sack, "),
            ("time_wait_ms=1", "time_wait_ms is what USTCP_TIME_WAIT says"),
            ("tso=1", "tso is not for"),
        ];
        for (text, allowed) in table {
            let error = text.parse::<Sysctls>().unwrap_err();
            assert!(error.contains(allowed), "{text}: {error}");
        }
    }

    /// A knob of its own name elsewhere stays a knob of the manual port.
    #[test]
    fn what_is_said_elsewhere_is_a_knob() {
        for (name, _) in ELSEWHERE {
            assert!(knobs::names().any(|known| known == name), "{name}");
        }
    }
}
