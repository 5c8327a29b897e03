//! The variables of the environment: their names, their forms, their limits.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use ustcp_proto::{Algorithm, Cidr};
use ustcp_sim::Weather;

use super::{ExitWait, Offload, SecretFile, Settings};

/// Most addresses of one stack.
const ADDRESSES: usize = 16;
/// Longest time that can be set.
const LONGEST: Duration = Duration::from_secs(3600);
/// Bytes of a packet that a capture keeps: all of them, unless told otherwise.
const SNAPLEN: usize = 65_535;

/// A value that a variable cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Of the variable.
    pub name: String,
    /// What was said.
    pub value: OsString,
    /// What may be.
    pub allowed: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Malformed { name, value, allowed } = self;
        write!(f, "{name}={} is malformed: {allowed}", value.display())
    }
}

impl Settings {
    /// The settings that `variables` ask for, and every value that is malformed: the default stands in for it.
    pub fn from_variables(variables: impl IntoIterator<Item = (OsString, OsString)>) -> (Settings, Vec<Malformed>) {
        let mut settings = Settings::default();
        let mut complaints = Vec::new();
        let mut peers = None;
        let mut moved = false;
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let outcome = match name {
                "USTCP_PEER" => text(&value)
                    .and_then(self::peers)
                    .map(|addresses| peers = Some(addresses)),
                "USTCP_ADDRESS" => text(&value).and_then(addresses).map(|addresses| {
                    settings.addresses = addresses;
                    moved = true;
                }),
                _ => settings.set(name, &value),
            };
            if let Err(allowed) = outcome {
                let name = name.to_owned();
                complaints.push(Malformed { name, value, allowed });
            }
        }
        // The default peer belongs to the default address.
        if peers.is_some() || moved {
            settings.peers = peers.unwrap_or_default();
        }
        (settings, complaints)
    }

    /// Sets what one variable says; the error says what is allowed. Variables of others are none of our business.
    fn set(&mut self, name: &str, value: &OsStr) -> Result<(), String> {
        match name {
            "USTCP_TUN" => self.tun = tun(text(value)?)?,
            "USTCP_OFFLOAD" => self.offload = offload(text(value)?)?,
            "USTCP_MTU" => self.mtu = Some(mtu(text(value)?)?),
            "USTCP_TIME_WAIT" => self.time_wait = seconds(text(value)?)?,
            "USTCP_CONGESTION" => self.congestion = congestion(text(value)?)?,
            "USTCP_SYSCTL" => self.sysctl = text(value)?.parse()?,
            "USTCP_SECRET" => self.secret = secret(value)?,
            "USTCP_EXIT_WAIT" => self.exit_wait = exit_wait(text(value)?)?,
            "USTCP_WEATHER" => {
                self.weather = Some(weather(text(value)?)?).filter(|weather| *weather != Weather::default())
            }
            "USTCP_LOG" => self.log = Some(path(value.as_bytes())?),
            "USTCP_PCAP" => self.pcap = Some(pcap(value)?),
            _ => {}
        }
        Ok(())
    }
}

fn text(value: &OsStr) -> Result<&str, String> {
    value.to_str().ok_or_else(|| "not UTF-8".to_owned())
}

/// Whether the kernel accepts `name` for a device. `%` is left out: with `%d` it would choose a number.
pub(crate) fn is_device_name(name: &str) -> bool {
    let proper = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..libc::IFNAMSIZ).contains(&name.len()) && name.bytes().all(proper) && name != "." && name != ".."
}

fn tun(value: &str) -> Result<String, String> {
    if is_device_name(value) {
        Ok(value.to_owned())
    } else {
        Err("a device is 1 to 15 letters, digits, '-', '_' or '.'".to_owned())
    }
}

pub(crate) fn addresses(value: &str) -> Result<Vec<Cidr>, String> {
    let addresses: Vec<Cidr> = value
        .split(',')
        .map(str::trim)
        .map(cidr)
        .collect::<Option<_>>()
        .ok_or_else(|| {
            "addresses of hosts, not of networks, broadcast, multicast or loopback, with the length of their prefix, as \
             10.77.0.2/24, several with commas"
                .to_owned()
        })?;
    if addresses.len() > ADDRESSES {
        return Err(format!("at most {ADDRESSES} addresses"));
    }
    Ok(addresses)
}

fn cidr(value: &str) -> Option<Cidr> {
    let (address, prefix) = value.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let prefix: u8 = number(prefix)?;
    let fits = match address {
        IpAddr::V4(address) => prefix <= 32 && is_host(address, prefix),
        IpAddr::V6(address) => {
            let nobody = address.is_loopback() || address.is_multicast() || address.is_unspecified();
            prefix <= 128 && !nobody && address.to_ipv4_mapped().is_none()
        }
    };
    fits.then_some(Cidr { address, prefix })
}

/// RFC 1122 §3.2.1.3: neither a network nor a broadcast, multicast or loopback address is a host's.
fn is_host(address: Ipv4Addr, prefix: u8) -> bool {
    let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    let host = address.to_bits() & host_bits;
    // RFC 3021: networks of one or two addresses have hosts only.
    let of_network = prefix >= 31 || (host != 0 && host != host_bits);
    of_network
        && !(address.is_loopback() || address.is_multicast() || address.is_unspecified() || address.is_broadcast())
}

fn peers(value: &str) -> Result<Vec<IpAddr>, String> {
    let peers: Vec<IpAddr> = value
        .split(',')
        .map(|peer| peer.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|_| "an address without prefix, as 10.77.0.1, or one of each family with a comma".to_owned())?;
    match peers[..] {
        [one, other, ..] if peers.len() > 2 || one.is_ipv4() == other.is_ipv4() => {
            Err("at most one address of each family".to_owned())
        }
        _ => Ok(peers),
    }
}

fn offload(value: &str) -> Result<Offload, String> {
    match value {
        "auto" => Ok(Offload::Auto),
        "on" => Ok(Offload::On),
        "off" => Ok(Offload::Off),
        _ => Err("auto, on or off".to_owned()),
    }
}

fn mtu(value: &str) -> Result<usize, String> {
    let mtu = number(value).filter(|mtu| (128..=65_535).contains(mtu));
    mtu.ok_or_else(|| "128 to 65535 bytes".to_owned())
}

fn seconds(value: &str) -> Result<Duration, String> {
    let seconds = value
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|seconds| *seconds <= LONGEST)
        .ok_or_else(|| format!("0 to {} seconds, fractions allowed", LONGEST.as_secs()))
}

fn congestion(value: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(value).ok_or_else(|| Algorithm::ALL.map(Algorithm::name).join(", "))
}

fn weather(value: &str) -> Result<Weather, String> {
    // Of what it is is said already.
    let why = |why: String| why.strip_prefix("weather: ").map(str::to_owned).unwrap_or(why);
    value.parse().map_err(why)
}

fn secret(value: &OsStr) -> Result<SecretFile, String> {
    match value.as_bytes() {
        b"none" => Ok(SecretFile::None),
        bytes => path(bytes)
            .map(SecretFile::Path)
            .map_err(|allowed| format!("{allowed}, or 'none'")),
    }
}

fn exit_wait(value: &str) -> Result<ExitWait, String> {
    if value == "closed" {
        return Ok(ExitWait::Closed);
    }
    let wait = seconds(value).map(ExitWait::Acknowledged);
    wait.map_err(|allowed| format!("{allowed}; or 'closed'"))
}

/// `path`, or `path:snaplen`. A path may have colons of its own: only digits after the last one are a snap length.
fn pcap(value: &OsStr) -> Result<(PathBuf, usize), String> {
    let bytes = value.as_bytes();
    let colon = bytes.iter().rposition(|&byte| byte == b':');
    let split = colon.and_then(|colon| Some((bytes.get(..colon)?, bytes.get(colon + 1..)?)));
    let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    match split {
        Some((before, digits)) if is_number(digits) => Ok((path(before)?, snaplen(digits)?)),
        _ => Ok((path(bytes)?, SNAPLEN)),
    }
}

fn snaplen(digits: &[u8]) -> Result<usize, String> {
    let snaplen = std::str::from_utf8(digits).ok().and_then(number);
    let snaplen = snaplen.filter(|snaplen| (64..=SNAPLEN).contains(snaplen));
    snaplen.ok_or_else(|| format!("path:snaplen, with a snap length of 64 to {SNAPLEN} bytes"))
}

fn path(bytes: &[u8]) -> Result<PathBuf, String> {
    if bytes.is_empty() {
        return Err("a path".to_owned());
    }
    Ok(OsString::from_vec(bytes.to_vec()).into())
}

/// Digits and nothing else: `+5` is no number here.
pub(crate) fn number<T: std::str::FromStr>(value: &str) -> Option<T> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
