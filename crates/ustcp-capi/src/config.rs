//! The stack of this process: what it is told, its start and its end.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libc::{c_char, c_int, size_t};
use ustcp_runtime::{Errno, Settings, StartError, process};

use crate::boundary::boundary;
use crate::{engine, memory};

/// What the stack is told; for `ustcp_init`. Begin with `USTCP_CONFIG_INIT`. A member that is 0 or null is as its
/// environment variable says, and without that has the default named here. Strings are copied.
///
/// Later versions add members at the end and change none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ustcp_config {
    /// `sizeof(struct ustcp_config)`: tells the library which members its caller knows.
    pub size: size_t,
    /// Name of the TUN device (`USTCP_TUN`), 1 to 15 bytes: an existing one, or one to make. `ustcp0`.
    pub tun: *const c_char,
    /// Addresses of the stack (`USTCP_ADDRESS`), IPv4 and IPv6, as `address/prefix`, separated by commas.
    /// `10.77.0.2/24`.
    pub address: *const c_char,
    /// Address of the kernel's end (`USTCP_PEER`), set and brought up when we make the device; with a comma one of each
    /// family. `10.77.0.1`; where `address` is set, the lowest other host of its networks.
    pub peer: *const c_char,
    /// Super-segments and checksums left to the device (`USTCP_OFFLOAD`): `auto`, `on` (or fail) or `off`. `auto`.
    pub offload: *const c_char,
    /// Faults around the device (`USTCP_WEATHER`), as `loss=3%,reorder=1%,seed=7`. None.
    pub weather: *const c_char,
    /// File for events, one JSON object a line (`USTCP_LOG`); `-`: readable text on standard error. None.
    pub log: *const c_char,
    /// pcapng file of all packets (`USTCP_PCAP`), as `path` or `path:snaplen`. None.
    pub pcap: *const c_char,
    /// A TUN descriptor opened by someone else, instead of `tun`; the library's when `ustcp_init` has succeeded, and
    /// still the caller's when it has failed. Descriptor 0 cannot be given.
    pub tun_fd: c_int,
    /// Largest IP packet in bytes (`USTCP_MTU`), 128 (with an IPv6 address 1280) to 65535. The device's own; 1500 for one
    /// that we make.
    pub mtu: u32,
    /// How long TIME-WAIT lasts (`USTCP_TIME_WAIT`, in seconds there), in milliseconds. 60000.
    pub time_wait_ms: u32,
    /// How long the end of the stack waits at most for data and FINs to be acknowledged (`USTCP_EXIT_WAIT`, in seconds
    /// there), in milliseconds; or `USTCP_EXIT_WAIT_NONE`, or `USTCP_EXIT_WAIT_CLOSED`: until every connection is
    /// CLOSED, TIME-WAIT included. 2000.
    pub exit_wait_ms: i32,
    /// Congestion control that sockets begin with (`USTCP_CONGESTION`): `cubic`, `reno` or `bbr`. `cubic`.
    pub congestion: *const c_char,
    /// Knobs of the stack by the names of Linux's sysctls (`USTCP_SYSCTL`), as `tcp_sack=0,tcp_rmem=4096 131072 6291456`.
    /// None.
    pub sysctl: *const c_char,
}

/// For `exit_wait_ms`: until every connection is CLOSED, TIME-WAIT included.
pub const USTCP_EXIT_WAIT_CLOSED: i32 = -1;
/// For `exit_wait_ms`: not at all.
pub const USTCP_EXIT_WAIT_NONE: i32 = -2;

/// Length of the struct in the first release: no caller has a shorter one.
const FIRST_SIZE: usize = 80;
/// No caller has a struct longer than a page.
const LONGEST_SIZE: usize = 4096;
/// Longest string of a configuration, in bytes: a path.
const LONGEST_STRING: usize = 4096;

/// Starts the stack of this process, on its TUN device. Optional: the first `ustcp_socket` does what
/// `ustcp_init(NULL)` does. At a failure one line on standard error says what to do about it.
///
/// - `config`: what differs from the environment and the defaults; null: nothing does. Not used after the call.
///
/// At exit(3), and in `ustcp_fini`, connections get their FIN and at most `exit_wait_ms` for its acknowledgement. A child
/// after fork has no stack: every call on an inherited socket is `EBADF` there, and it may start a stack of its own.
///
/// With `USTCP_ENGINE` set it makes sure of that engine, which has its configuration: any member that is set is an error.
///
/// Returns 0, or -1 and sets `errno`:
/// - `EALREADY`: it runs already.
/// - `EPERM`: no permission to make or open the device. `EBUSY`: another program, or stack, has it.
/// - `EADDRINUSE`: another device has the network of `address`, so that one made here would hear nothing.
/// - `ENODEV`: there are no TUN devices here. `EBADF`, `EBADFD`, `ENOTTY`: `tun_fd` is not open, or no TUN device.
/// - `EINVAL`: a member makes no sense (a variable that does is told of and ignored), or the size of `config` does not.
///   `E2BIG`: it has members that this library does not know, and they are set.
/// - `EOPNOTSUPP`: `offload` is `on` and the device does not grant it; or there is a configuration and an engine.
/// - with `USTCP_ENGINE`: `ENETDOWN`: no engine runs there. `EACCES`: its directory is another user's or open to others, or
///   the token is wrong. `EPROTO`: it is of another version. `EINVAL`, `ENAMETOOLONG`, `ENOTDIR`: its name is none.
/// - `EFAULT`: `config`, or a string of it, is not readable.
/// - `EMFILE`, `ENFILE`, `ENOMEM`, and what opening the log and capture files sets.
///
/// # Safety
/// `config` and its strings stay readable during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_init(config: *const ustcp_config) -> c_int {
    boundary(|| {
        let config = if config.is_null() {
            memory::zeroed()
        } else {
            read(config)?
        };
        engine::choose(
            || engine::init(variables(&config)?.len() + usize::from(config.tun_fd != 0)),
            || start(&config),
        )?;
        Ok(0)
    })
}

/// Ends the stack of this process: listening ends, connections get their FIN, and the call returns when the peers have
/// acknowledged everything or the configured time has passed; connections in TIME-WAIT are dropped. Sockets that are
/// still open fail with `ENETDOWN` from then on, and are still to be closed. Another `ustcp_init` may follow.
///
/// Also happens at exit(3). Does nothing when there is no stack. Calls of other threads that wait return with `ENETDOWN`.
/// At an engine nothing ends: its connections outlive the program.
///
/// Returns 0.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_fini() -> c_int {
    boundary(|| {
        engine::choose(engine::fini, process::fini);
        Ok(0)
    })
}

/// The version of the library that runs, as `"0.1.0"`; `USTCP_VERSION` is that of the header. The string is the
/// library's and stays as it is. Never fails.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Starts the stack as configuration, environment and defaults say, in this order.
fn start(config: &ustcp_config) -> Result<(), Errno> {
    let mut settings = Settings::over_environment(&variables(config)?, member).map_err(|error| tell(&error))?;
    if config.tun_fd == 0 {
        return process::init(&settings).map_err(|error| tell(&error));
    }
    // The runtime keeps what it is given, also when it fails. So it is given a copy.
    let copy = descriptor::copy(config.tun_fd)?;
    settings.tun_fd = Some(copy);
    if let Err(error) = process::init(&settings) {
        if error.errno == Errno(libc::EALREADY) {
            descriptor::close(copy); // the one failure that comes before the runtime looks at it
        }
        return Err(tell(&error));
    }
    descriptor::close(config.tun_fd);
    Ok(())
}

/// A descriptor as a number, whoever owns it.
mod descriptor {
    use libc::c_int;
    use ustcp_runtime::Errno;

    pub(super) fn copy(fd: c_int) -> Result<c_int, Errno> {
        // SAFETY: numbers only.
        let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
        if copy < 0 {
            Err(Errno(
                std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EBADF),
            ))
        } else {
            Ok(copy)
        }
    }

    pub(super) fn close(fd: c_int) {
        // SAFETY: the callers own `fd`.
        unsafe { libc::close(fd) };
    }
}

/// The caller's configuration: what it knows of, and 0 for what came later.
fn read(from: *const ustcp_config) -> Result<ustcp_config, Errno> {
    let size = memory::read(from.cast::<size_t>())?;
    if !(FIRST_SIZE..=LONGEST_SIZE).contains(&size) {
        return Err(Errno(libc::EINVAL));
    }
    let beyond = from.cast::<u8>().wrapping_add(size_of::<ustcp_config>());
    let unknown = memory::read_array(beyond, size.saturating_sub(size_of::<ustcp_config>()))?;
    if unknown.iter().any(|&byte| byte != 0) {
        return Err(Errno(libc::E2BIG));
    }
    memory::read_prefix(from.cast(), size)
}

/// The members that are set, as the environment variables that they stand for: one syntax, one set of limits.
fn variables(config: &ustcp_config) -> Result<Vec<(OsString, OsString)>, Errno> {
    let strings = [
        ("USTCP_TUN", config.tun),
        ("USTCP_ADDRESS", config.address),
        ("USTCP_PEER", config.peer),
        ("USTCP_OFFLOAD", config.offload),
        ("USTCP_WEATHER", config.weather),
        ("USTCP_LOG", config.log),
        ("USTCP_PCAP", config.pcap),
        ("USTCP_CONGESTION", config.congestion),
        ("USTCP_SYSCTL", config.sysctl),
    ];
    let numbers = [
        ("USTCP_MTU", (config.mtu != 0).then(|| config.mtu.to_string())),
        (
            "USTCP_TIME_WAIT",
            (config.time_wait_ms != 0).then(|| seconds(config.time_wait_ms)),
        ),
        ("USTCP_EXIT_WAIT", exit_wait(config.exit_wait_ms)?),
    ];
    let mut variables = Vec::new();
    for (name, member) in strings.into_iter().filter(|(_, member)| !member.is_null()) {
        variables.push((
            name.into(),
            OsString::from_vec(memory::read_string(member, LONGEST_STRING)?),
        ));
    }
    for (name, member) in numbers {
        variables.extend(member.map(|value| (name.into(), value.into())));
    }
    Ok(variables)
}

/// The member that a variable stands for.
fn member(variable: &str) -> String {
    let name = match variable {
        "USTCP_TIME_WAIT" => "time_wait_ms (in seconds)".to_owned(),
        "USTCP_EXIT_WAIT" => "exit_wait_ms (in seconds)".to_owned(),
        other => other.trim_start_matches("USTCP_").to_lowercase(),
    };
    format!("config.{name}")
}

fn exit_wait(millis: i32) -> Result<Option<String>, Errno> {
    match millis {
        0 => Ok(None),
        USTCP_EXIT_WAIT_NONE => Ok(Some(seconds(0))),
        USTCP_EXIT_WAIT_CLOSED => Ok(Some("closed".to_owned())),
        millis => u32::try_from(millis)
            .map(|millis| Some(seconds(millis)))
            .map_err(|_| Errno(libc::EINVAL)),
    }
}

/// Milliseconds as the seconds of a variable.
fn seconds(millis: u32) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// Says on standard error what to do about it.
fn tell(error: &StartError) -> Errno {
    error.tell();
    error.errno
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_speak_as_their_variables() {
        let config = ustcp_config {
            tun: c"ust7".as_ptr(),
            pcap: c"/tmp/x:96".as_ptr(),
            mtu: 1400,
            time_wait_ms: 1500,
            exit_wait_ms: USTCP_EXIT_WAIT_CLOSED,
            congestion: c"reno".as_ptr(),
            sysctl: c"tcp_sack=0".as_ptr(),
            ..memory::zeroed()
        };
        let expected = [
            ("USTCP_TUN", "ust7"),
            ("USTCP_PCAP", "/tmp/x:96"),
            ("USTCP_CONGESTION", "reno"),
            ("USTCP_SYSCTL", "tcp_sack=0"),
            ("USTCP_MTU", "1400"),
            ("USTCP_TIME_WAIT", "1.500"),
            ("USTCP_EXIT_WAIT", "closed"),
        ];
        assert_eq!(
            variables(&config),
            Ok(expected.map(|(name, value)| (name.into(), value.into())).to_vec())
        );
        assert_eq!(variables(&memory::zeroed()), Ok(Vec::new()));
    }

    #[test]
    fn the_runtime_takes_what_members_say() {
        let config = ustcp_config {
            mtu: 1400,
            time_wait_ms: 30_000,
            exit_wait_ms: USTCP_EXIT_WAIT_NONE,
            ..memory::zeroed()
        };
        let settings = Settings::over_environment(&variables(&config).unwrap(), member).unwrap();
        assert_eq!(settings.mtu, Some(1400));
        assert_eq!(settings.time_wait.as_millis(), 30_000);
        assert_eq!(
            settings.exit_wait,
            ustcp_runtime::ExitWait::Acknowledged(std::time::Duration::ZERO)
        );
    }

    #[test]
    fn an_error_names_the_member() {
        let config = |mtu, time_wait_ms| ustcp_config {
            mtu,
            time_wait_ms,
            ..memory::zeroed()
        };
        for (config, told) in [
            (config(127, 0), "config.mtu=127 is malformed: 128 to 65535 bytes"),
            (
                config(0, 3_600_001),
                "config.time_wait_ms (in seconds)=3600.001 is malformed: 0 to 3600 seconds, fractions allowed",
            ),
        ] {
            let error = Settings::over_environment(&variables(&config).unwrap(), member).unwrap_err();
            assert_eq!(error.message, told);
        }
    }

    #[test]
    fn the_size_says_what_the_caller_knows() {
        /// A configuration of a later release.
        #[repr(C)]
        struct Later {
            known: ustcp_config,
            unknown: u64,
        }
        let with = |size: usize, unknown: u64| {
            let later = Later {
                known: ustcp_config {
                    size,
                    mtu: 1400,
                    ..memory::zeroed()
                },
                unknown,
            };
            read((&raw const later).cast()).map(|config| config.mtu)
        };
        let known = size_of::<ustcp_config>();
        assert_eq!(with(FIRST_SIZE, 1), Ok(1400));
        assert_eq!(with(known, 1), Ok(1400));
        assert_eq!(with(known + 8, 0), Ok(1400));
        assert_eq!(with(known + 8, 1), Err(Errno(libc::E2BIG)));
        for size in [0, 79, 4097, usize::MAX] {
            assert_eq!(with(size, 0), Err(Errno(libc::EINVAL)), "size {size}");
        }
        assert_eq!(read(std::ptr::without_provenance(8)).err(), Some(Errno(libc::EFAULT)));
    }
}
