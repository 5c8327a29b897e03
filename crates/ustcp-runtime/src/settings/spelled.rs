//! Settings as variables of the environment again: for whoever hands them on, or shows them.

use std::ffi::OsString;
use std::time::Duration;

use super::{ExitWait, Offload, SecretFile, Settings};

impl Settings {
    /// The variables that say the same: [`Settings::from_variables`] makes these settings of them. What is at its
    /// default is there too, where it can be said; `tun_fd` cannot.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let told = [
            ("USTCP_TUN", Some(self.tun.clone().into())),
            ("USTCP_ADDRESS", Some(by_comma(addresses))),
            (
                "USTCP_PEER",
                (!self.peers.is_empty()).then(|| by_comma(self.peers.iter().map(ToString::to_string))),
            ),
            ("USTCP_OFFLOAD", Some(offload(self.offload).into())),
            ("USTCP_MTU", self.mtu.map(|mtu| mtu.to_string().into())),
            ("USTCP_TIME_WAIT", Some(seconds(self.time_wait))),
            ("USTCP_CONGESTION", Some(self.congestion.name().into())),
            (
                "USTCP_SYSCTL",
                (!self.sysctl.is_empty()).then(|| self.sysctl.to_string().into()),
            ),
            ("USTCP_SECRET", secret(&self.secret)),
            ("USTCP_EXIT_WAIT", Some(exit_wait(self.exit_wait))),
            (
                "USTCP_WEATHER",
                self.weather.as_ref().map(|weather| weather.to_string().into()),
            ),
            ("USTCP_LOG", self.log.clone().map(OsString::from)),
            (
                "USTCP_PCAP",
                self.pcap.as_ref().map(|(path, snaplen)| {
                    let mut value = path.clone().into_os_string();
                    value.push(format!(":{snaplen}"));
                    value
                }),
            ),
        ];
        let said = |(name, value): (&'static str, Option<OsString>)| Some((name, value?));
        told.into_iter().filter_map(said).collect()
    }
}

fn by_comma(items: impl Iterator<Item = String>) -> OsString {
    items.collect::<Vec<_>>().join(",").into()
}

fn offload(offload: Offload) -> &'static str {
    match offload {
        Offload::Auto => "auto",
        Offload::On => "on",
        Offload::Off => "off",
    }
}

fn seconds(time: Duration) -> OsString {
    time.as_secs_f64().to_string().into()
}

fn secret(file: &SecretFile) -> Option<OsString> {
    match file {
        SecretFile::Default => None,
        SecretFile::Path(path) => Some(path.clone().into()),
        SecretFile::None => Some("none".into()),
    }
}

fn exit_wait(wait: ExitWait) -> OsString {
    match wait {
        ExitWait::Acknowledged(time) => seconds(time),
        ExitWait::Closed => "closed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Settings {
        let variables = variables.iter().map(|&(name, value)| (name.into(), value.into()));
        let (settings, complaints) = Settings::from_variables(variables);
        assert_eq!(complaints, []);
        settings
    }

    fn again(settings: &Settings) -> Settings {
        let variables = settings.variables().into_iter();
        let (settings, complaints) = Settings::from_variables(variables.map(|(name, value)| (name.into(), value)));
        assert_eq!(complaints, []);
        settings
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let every = [
            ("USTCP_TUN", "my-tun_1.0"),
            ("USTCP_ADDRESS", "10.9.0.2/16,10.9.0.3/32,fd00::2/64"),
            ("USTCP_PEER", "10.9.0.9,fd00::9"),
            ("USTCP_OFFLOAD", "on"),
            ("USTCP_MTU", "9000"),
            ("USTCP_TIME_WAIT", "1.5"),
            ("USTCP_CONGESTION", "bbr"),
            ("USTCP_SYSCTL", "tcp_rmem=4096 8192 16384,tcp_sack=0"),
            ("USTCP_SECRET", "/tmp/secret"),
            ("USTCP_EXIT_WAIT", "closed"),
            ("USTCP_WEATHER", "loss=3%,delay=10ms,seed=7"),
            ("USTCP_LOG", "-"),
            ("USTCP_PCAP", "/tmp/a:65000:96"),
        ];
        let settings = read(&every);
        assert_eq!(again(&settings), settings);
        assert_eq!(settings.variables().len(), every.len());
        for variables in [
            &[][..],
            &[("USTCP_ADDRESS", "10.9.0.2/16")],
            &[("USTCP_SECRET", "none")],
        ] {
            let settings = read(variables);
            assert_eq!(again(&settings), settings, "{variables:?}");
        }
    }
}
