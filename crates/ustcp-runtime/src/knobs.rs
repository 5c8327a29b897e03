//! Knobs: the fields of [`Config`] by name, as text. A knob that Linux has too bears the name of Linux's sysctl and its
//! unit.
//!
//! A new knob is one line in `TABLE`: its name, its field, and what may be there.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use ustcp_proto::{Algorithm, Cidr, Config, EcnPolicy, SynCookies, TimeWaitReuse};

use crate::Errno;
use crate::settings::{addresses, number};

/// Longest time that can be set, in any unit: a day.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Largest buffer and most sockets that can be asked for.
const MOST: usize = 1 << 30;

type Field = fn(&mut Config) -> Knob<'_>;

/// Every knob, by name.
const TABLE: &[(&str, Field)] = &[
    // As in /proc/sys/net/ipv4 and /proc/sys/net/core.
    ("ip_default_ttl", |config| Knob::Octet(&mut config.default_ttl, 1..=255)),
    ("ip_local_port_range", |config| Knob::Ports(&mut config.ephemeral_ports)),
    ("mtu_expires", |config| Knob::Seconds(&mut config.mtu_expires)),
    ("somaxconn", |config| Knob::Size(&mut config.accept_backlog, 0..=MOST)),
    ("tcp_abort_on_overflow", |config| {
        Knob::Flag(&mut config.abort_on_overflow)
    }),
    ("tcp_base_mss", |config| Knob::Size(&mut config.base_mss, 48..=65_495)),
    ("tcp_congestion_control", |config| {
        Knob::Congestion(&mut config.congestion)
    }),
    ("tcp_dsack", |config| Knob::Flag(&mut config.dsack)),
    ("tcp_early_retrans", |config| Knob::Count(&mut config.early_retrans)),
    ("tcp_ecn", |config| Knob::Ecn(&mut config.ecn)),
    ("tcp_ecn_fallback", |config| Knob::Flag(&mut config.ecn_fallback)),
    ("tcp_fastopen", |config| Knob::Word(&mut config.fast_open, 0..=0x7ff)),
    ("tcp_fin_timeout", |config| Knob::Seconds(&mut config.fin_timeout)),
    ("tcp_frto", |config| Knob::Count(&mut config.frto)),
    ("tcp_max_syn_backlog", |config| {
        Knob::Size(&mut config.syn_backlog, 0..=MOST)
    }),
    ("tcp_max_tw_buckets", |config| {
        Knob::Size(&mut config.time_wait_limit, 0..=MOST)
    }),
    ("tcp_mem", |config| Knob::Size(&mut config.memory_limit, 0..=MOST)),
    ("tcp_moderate_rcvbuf", |config| {
        Knob::Flag(&mut config.moderate_receive_buffer)
    }),
    ("tcp_mtu_probe_floor", |config| {
        Knob::Size(&mut config.mtu_probe_floor, 48..=65_495)
    }),
    ("tcp_mtu_probing", |config| Knob::Octet(&mut config.mtu_probing, 0..=2)),
    ("tcp_notsent_lowat", |config| {
        Knob::Word(&mut config.notsent_low, 0..=u32::MAX)
    }),
    ("tcp_orphan_retries", |config| Knob::Count(&mut config.orphan_retries)),
    ("tcp_probe_interval", |config| Knob::Seconds(&mut config.probe_interval)),
    ("tcp_recovery", |config| Knob::Count(&mut config.recovery)),
    ("tcp_retries2", |config| Knob::Count(&mut config.retries)),
    ("tcp_rfc1337", |config| Knob::Flag(&mut config.rfc1337)),
    ("tcp_rmem", |config| {
        Knob::Buffer(Buffer {
            unit: 2,
            sizes: [
                &mut config.receive_buffer_min,
                &mut config.receive_buffer,
                &mut config.receive_buffer_max,
            ],
        })
    }),
    ("tcp_rto_max_ms", |config| Knob::Millis(&mut config.rto_max)),
    ("tcp_rto_min_us", |config| Knob::Micros(&mut config.rto_min)),
    ("tcp_sack", |config| Knob::Flag(&mut config.sack)),
    ("tcp_slow_start_after_idle", |config| {
        Knob::Flag(&mut config.slow_start_after_idle)
    }),
    ("tcp_stdurg", |config| Knob::Flag(&mut config.urgent_pointer_names_last)),
    ("tcp_syn_linear_timeouts", |config| {
        Knob::Count(&mut config.syn_linear_timeouts)
    }),
    ("tcp_syn_retries", |config| Knob::Count(&mut config.syn_retries)),
    ("tcp_synack_retries", |config| Knob::Count(&mut config.syn_ack_retries)),
    ("tcp_syncookies", |config| Knob::SynCookies(&mut config.syn_cookies)),
    ("tcp_timestamps", |config| Knob::Flag(&mut config.timestamps)),
    ("tcp_tw_reuse", |config| {
        Knob::TimeWaitReuse(&mut config.time_wait_reuse)
    }),
    ("tcp_window_scaling", |config| Knob::Flag(&mut config.window_scaling)),
    ("tcp_wmem", |config| {
        Knob::Buffer(Buffer {
            unit: 1,
            sizes: [
                &mut config.send_buffer_min,
                &mut config.send_buffer,
                &mut config.send_buffer_max,
            ],
        })
    }),
    // Our own: in Linux these are constants, or properties of a device or a route.
    ("address", |config| Knob::Addresses(&mut config.addresses)),
    ("any_address", |config| Knob::Flag(&mut config.any_address)),
    ("delayed_ack_max_ms", |config| Knob::Millis(&mut config.delayed_ack_max)),
    ("delayed_ack_ms", |config| Knob::Millis(&mut config.delayed_ack)),
    ("initcwnd", |config| Knob::Word(&mut config.initial_window, 1..=1000)),
    ("mtu", |config| Knob::Size(&mut config.mtu, 128..=65_535)),
    ("quick_acks", |config| Knob::Count(&mut config.quick_acks)),
    ("rto_initial_ms", |config| Knob::Millis(&mut config.rto_initial)),
    ("soft_errors_end_connect", |config| {
        Knob::Flag(&mut config.soft_errors_end_connect)
    }),
    ("socket_limit", |config| Knob::Size(&mut config.socket_limit, 0..=MOST)),
    ("time_wait_ms", |config| Knob::Millis(&mut config.time_wait)),
    ("trace", |config| Knob::Flag(&mut config.trace)),
    ("tso", |config| Knob::Size(&mut config.segmentation_offload, 0..=65_535)),
];

/// One field of a configuration, how its text is read, and what may be there.
enum Knob<'a> {
    /// 0 or 1.
    Flag(&'a mut bool),
    /// A number of tries, 0 to 255.
    Count(&'a mut u8),
    Octet(&'a mut u8, RangeInclusive<u8>),
    Word(&'a mut u32, RangeInclusive<u32>),
    Size(&'a mut usize, RangeInclusive<usize>),
    Buffer(Buffer<'a>),
    Seconds(&'a mut Duration),
    Millis(&'a mut Duration),
    Micros(&'a mut Duration),
    /// Two ports, the first and the last.
    Ports(&'a mut RangeInclusive<u16>),
    Congestion(&'a mut Algorithm),
    SynCookies(&'a mut SynCookies),
    TimeWaitReuse(&'a mut TimeWaitReuse),
    /// 0, 1 or 2.
    Ecn(&'a mut EcnPolicy),
    /// `address/prefix`, several with commas.
    Addresses(&'a mut Vec<Cidr>),
}

/// The least, the first and the largest size of a buffer, none below the one before. `unit` of Linux's bytes are one of
/// ours: in a receive buffer it counts its own overhead in, as much again as the bytes that it holds.
struct Buffer<'a> {
    unit: usize,
    sizes: [&'a mut usize; 3],
}

impl Buffer<'_> {
    fn set(self, value: &str) -> Option<()> {
        let given: Vec<usize> = value.split_whitespace().map(number).collect::<Option<_>>()?;
        let sizes: [usize; 3] = given.try_into().ok()?;
        let sane = sizes.is_sorted() && sizes[0] >= self.unit && sizes[2] <= MOST;
        sane.then(|| {
            for (field, size) in self.sizes.into_iter().zip(sizes) {
                *field = size / self.unit;
            }
        })
    }
}

impl fmt::Display for Buffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, first, largest] = self.sizes.each_ref().map(|size| **size * self.unit);
        write!(f, "{least}\t{first}\t{largest}")
    }
}

/// Sets a knob. `ENOENT` for a name that is none; `EINVAL` for a value that is malformed or out of range.
pub fn set(config: &mut Config, name: &str, value: &str) -> Result<(), Errno> {
    knob(config, name)?.set(value).ok_or(Errno(libc::EINVAL))
}

/// Tells a knob, in the form that [`set`] takes. `ENOENT` for a name that is none.
pub fn tell(config: &Config, name: &str) -> Result<String, Errno> {
    Ok(knob(&mut config.clone(), name)?.to_string())
}

/// Why [`set`] refuses, in words: what the knob takes, or, for a name that is none, which `names` there are.
pub(crate) fn complaint<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    match knob(&mut Config::default(), name) {
        Ok(knob) => format!("{name} takes {}", knob.allowed()),
        Err(_) => format!("there is no {name:?}, but {}", Vec::from_iter(names).join(", ")),
    }
}

/// The names of all knobs.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

fn knob<'a>(config: &'a mut Config, name: &str) -> Result<Knob<'a>, Errno> {
    let entry = TABLE.iter().find(|(known, _)| *known == name);
    entry.map(|(_, field)| field(config)).ok_or(Errno(libc::ENOENT))
}

impl Knob<'_> {
    /// `None` for what it cannot be.
    fn set(self, value: &str) -> Option<()> {
        let value = value.trim();
        match self {
            Knob::Flag(field) => *field = number::<u8>(value).filter(|flag| *flag <= 1)? == 1,
            Knob::Count(field) => *field = number(value)?,
            Knob::Octet(field, range) => *field = number(value).filter(|octet| range.contains(octet))?,
            Knob::Word(field, range) => *field = number(value).filter(|word| range.contains(word))?,
            Knob::Size(field, range) => *field = number(value).filter(|size| range.contains(size))?,
            Knob::Buffer(buffer) => buffer.set(value)?,
            Knob::Seconds(field) => *field = time(value, Duration::from_secs)?,
            Knob::Millis(field) => *field = time(value, Duration::from_millis)?,
            Knob::Micros(field) => *field = time(value, Duration::from_micros)?,
            Knob::Ports(field) => *field = ports(value)?,
            Knob::Congestion(field) => *field = Algorithm::from_name(value)?,
            Knob::SynCookies(field) => *field = *SynCookies::ALL.get(number::<usize>(value)?)?,
            Knob::TimeWaitReuse(field) => *field = *TimeWaitReuse::ALL.get(number::<usize>(value)?)?,
            Knob::Ecn(field) => *field = number(value).and_then(EcnPolicy::from_number)?,
            Knob::Addresses(field) => *field = addresses(value).ok()?,
        }
        Some(())
    }

    /// What `set` takes.
    fn allowed(&self) -> String {
        let most = LONGEST.as_secs();
        match self {
            Knob::Flag(_) => "0 or 1".to_owned(),
            Knob::Count(_) => "0 to 255".to_owned(),
            Knob::Octet(_, range) => format!("{} to {}", range.start(), range.end()),
            Knob::Word(_, range) => format!("{} to {}", range.start(), range.end()),
            Knob::Size(_, range) => format!("{} to {}", range.start(), range.end()),
            Knob::Buffer(Buffer { unit, .. }) => {
                format!("three sizes of {unit} to {MOST} bytes, the least, the first and the largest, with spaces")
            }
            Knob::Seconds(_) => format!("0 to {most} seconds"),
            Knob::Millis(_) => format!("0 to {most}000 milliseconds"),
            Knob::Micros(_) => format!("0 to {most}000000 microseconds"),
            Knob::Ports(_) => "two ports of 1 to 65535, the first and the last, with a space".to_owned(),
            Knob::Congestion(_) => Algorithm::ALL.map(Algorithm::name).join(", "),
            Knob::SynCookies(_) | Knob::TimeWaitReuse(_) | Knob::Ecn(_) => "0, 1 or 2".to_owned(),
            Knob::Addresses(_) => {
                "addresses of hosts with the length of their prefix, as 10.77.0.2/24, several with commas".to_owned()
            }
        }
    }
}

impl fmt::Display for Knob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Knob::Flag(field) => u8::from(**field).fmt(f),
            Knob::Count(field) => field.fmt(f),
            Knob::Octet(field, _) => field.fmt(f),
            Knob::Word(field, _) => field.fmt(f),
            Knob::Size(field, _) => field.fmt(f),
            Knob::Buffer(buffer) => buffer.fmt(f),
            Knob::Seconds(field) => field.as_secs().fmt(f),
            Knob::Millis(field) => field.as_millis().fmt(f),
            Knob::Micros(field) => field.as_micros().fmt(f),
            Knob::Ports(field) => write!(f, "{}\t{}", field.start(), field.end()), // as /proc has it
            Knob::Ecn(field) => field.number().fmt(f),
            Knob::Congestion(field) => f.write_str(field.name()),
            Knob::SynCookies(field) => (**field as u8).fmt(f),
            Knob::TimeWaitReuse(field) => (**field as u8).fmt(f),
            Knob::Addresses(field) => {
                let texts: Vec<String> = field.iter().map(text).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

fn text(Cidr { address, prefix }: &Cidr) -> String {
    format!("{address}/{prefix}")
}

fn time(value: &str, unit: fn(u64) -> Duration) -> Option<Duration> {
    number(value).map(unit).filter(|time| *time <= LONGEST)
}

fn ports(value: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = value.split_once(char::is_whitespace)?;
    let (first, last) = (number(first)?, number(last.trim_start())?);
    (first > 0 && first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests;
