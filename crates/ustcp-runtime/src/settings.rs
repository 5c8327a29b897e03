//! What a runtime is told: from a caller, or from the environment.

mod misspelt;
mod spelled;
mod sysctl;
mod variables;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ustcp_proto::{Algorithm, Cidr};

use crate::sink::probe_file;
use crate::stderr::complain;
use crate::sys::credentials;
use crate::{Errno, StartError};

#[doc(hidden)]
pub use misspelt::misspelt;
pub use sysctl::Sysctls;
pub use variables::Malformed;
pub(crate) use variables::{addresses, is_device_name, number};

/// `USTCP_OFFLOAD`: whether the device may be given super-segments and unsummed packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// Where the device grants it.
    #[default]
    Auto,
    /// Or fail.
    On,
    /// Never: plain packets, software checksums.
    Off,
}

/// `USTCP_EXIT_WAIT`: what the end of the process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitWait {
    /// At most so long for data and FINs to be acknowledged; never for TIME-WAIT.
    Acknowledged(Duration),
    /// Until every connection is CLOSED, TIME-WAIT included (`USTCP_EXIT_WAIT=closed`): for demonstrations.
    Closed,
}

/// `USTCP_SECRET`: where the keys are kept that make a connection of the next process newer than one of this to a peer
/// that still remembers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretFile {
    /// /var/lib/ustcp/secret for root, else ustcp/secret in `$XDG_STATE_HOME` or ~/.local/state.
    #[default]
    Default,
    /// There.
    Path(PathBuf),
    /// Nowhere (`USTCP_SECRET=none`): every process has its own.
    None,
}

/// Everything a [`Runtime`](crate::Runtime) is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `USTCP_TUN`: name of the device, 1 to 15 bytes.
    pub tun: String,
    /// A TUN descriptor handed over by someone else; wins over `tun`. Owned from then on.
    pub tun_fd: Option<RawFd>,
    /// `USTCP_ADDRESS`: the stack's addresses.
    pub addresses: Vec<Cidr>,
    /// `USTCP_PEER`: the kernel's end, set and brought up when we create the device, at most one of each family. Where
    /// none is named: the lowest host of the network of the family's first address.
    pub peers: Vec<IpAddr>,
    /// `USTCP_OFFLOAD`: auto, on or off.
    pub offload: Offload,
    /// `USTCP_MTU`: bytes; `None`: the device's own (1500 for one we create).
    pub mtu: Option<usize>,
    /// `USTCP_TIME_WAIT`: seconds, fractions allowed.
    pub time_wait: Duration,
    /// `USTCP_CONGESTION`: the congestion control that sockets begin with, `cubic`, `reno` or `bbr`
    /// (`tcp_congestion_control`).
    pub congestion: Algorithm,
    /// `USTCP_SYSCTL`: knobs of the stack, `name=value` with commas.
    pub sysctl: Sysctls,
    /// `USTCP_SECRET`: a file that is made where there is none, or `none`.
    pub secret: SecretFile,
    /// `USTCP_EXIT_WAIT`: seconds, or `closed`.
    pub exit_wait: ExitWait,
    /// `USTCP_WEATHER`: faults around the device.
    pub weather: Option<ustcp_sim::Weather>,
    /// `USTCP_LOG`: a file for events, one JSON object a line; `-` is readable text on standard error.
    pub log: Option<PathBuf>,
    /// `USTCP_PCAP`: a pcapng file; `path` or `path:snaplen`.
    pub pcap: Option<(PathBuf, usize)>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            tun: "ustcp0".to_owned(),
            tun_fd: None,
            addresses: vec![Cidr {
                address: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2)),
                prefix: 24,
            }],
            peers: vec![IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1))],
            offload: Offload::Auto,
            mtu: None,
            time_wait: Duration::from_secs(60),
            congestion: Algorithm::default(),
            sysctl: Sysctls::default(),
            secret: SecretFile::Default,
            exit_wait: ExitWait::Acknowledged(Duration::from_secs(2)),
            weather: None,
            log: None,
            pcap: None,
        }
    }
}

impl Settings {
    /// The settings that the environment asks for. What is malformed there counts as not set, and is told on standard
    /// error. A program with rights that its user has not gets the defaults: the environment could name files for it
    /// to write and networks for it to join.
    pub fn from_environment() -> Settings {
        let (settings, complaints) = Settings::from_variables(environment());
        complaints.iter().for_each(ignore);
        settings
    }

    /// The settings that a program asks for, by the names and in the forms of the variables; where it says nothing,
    /// the environment's. What is malformed in `given` is `EINVAL`, and a file there that cannot be written the error of
    /// opening it. The message calls what was given as the program does: `called` of the variable's name.
    pub fn over_environment(
        given: &[(OsString, OsString)],
        called: impl Fn(&str) -> String,
    ) -> Result<Settings, StartError> {
        Settings::check(given, called)?;
        let beneath = environment().filter(|(name, _)| given.iter().all(|(other, _)| other != name));
        let (settings, complaints) = Settings::from_variables(beneath.chain(given.iter().cloned()));
        complaints.iter().for_each(ignore);
        Ok(settings)
    }

    /// What [`Settings::over_environment`] fails with.
    pub fn check(given: &[(OsString, OsString)], called: impl Fn(&str) -> String) -> Result<(), StartError> {
        let (alone, complaints) = Settings::from_variables(given.iter().cloned());
        if let Some(malformed) = complaints.into_iter().next() {
            let name = called(&malformed.name);
            return Err(StartError {
                errno: Errno(libc::EINVAL),
                message: Malformed { name, ..malformed }.to_string(),
            });
        }
        alone.probe_files(called)
    }

    fn probe_files(&self, called: impl Fn(&str) -> String) -> Result<(), StartError> {
        let log = self.log.as_deref().filter(|path| *path != Path::new("-"));
        let pcap = self.pcap.as_ref().map(|(path, _)| path.as_path());
        for (name, path) in [("USTCP_LOG", log), ("USTCP_PCAP", pcap)] {
            let Some(path) = path else { continue };
            let what = || format!("{}={}", called(name), path.display());
            probe_file(path).map_err(|error| StartError::new(&what(), &error))?;
        }
        Ok(())
    }
}

/// The variables that may be heeded.
fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    let heeded = !credentials::has_borrowed_rights();
    heeded.then(std::env::vars_os).into_iter().flatten()
}

fn ignore(malformed: &Malformed) {
    complain(&format!("{malformed}; it is ignored"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_says_holds_and_malformed_is_einval() {
        let given = |value: &str| {
            Settings::over_environment(&[("USTCP_TIME_WAIT".into(), value.into())], |name| format!("<{name}>"))
        };
        assert_eq!(given("1.5").unwrap().time_wait, Duration::from_millis(1500));
        let error = given("soon").unwrap_err();
        assert_eq!(error.errno, Errno(libc::EINVAL));
        assert!(
            error.message.starts_with("<USTCP_TIME_WAIT>=soon is malformed: "),
            "{}",
            error.message
        );
    }

    #[test]
    fn a_file_that_cannot_be_written_is_the_error_of_opening_it() {
        for (name, value) in [("USTCP_LOG", "/nonexistent/x"), ("USTCP_PCAP", "/nonexistent/x:96")] {
            let error = Settings::over_environment(&[(name.into(), value.into())], str::to_lowercase).unwrap_err();
            assert_eq!(error.errno, Errno(libc::ENOENT));
            let told = format!("{}=/nonexistent/x: ", name.to_lowercase());
            assert!(error.message.starts_with(&told), "{}", error.message);
        }
        Settings::over_environment(&[("USTCP_LOG".into(), "-".into())], str::to_lowercase).unwrap();
    }
}
