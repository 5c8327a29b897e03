//! setsockopt(2) and getsockopt(2): bytes in, bytes out, with Linux's limits and errors. The C face and the Python
//! module both speak through here.

use std::time::Duration;

use libc::{EDOM, EINVAL, ENOPROTOOPT, EOPNOTSUPP, c_int};
use ustcp_proto::{Family, Info, Options, State};

use crate::tcp_info;
use crate::{Errno, Socket};

/// Largest buffer a program may ask for, in bytes (`net.core.rmem_max`, `net.core.wmem_max`).
const BUFFER_MAX: u32 = 16 << 20;
/// Linux's `SOCK_MIN_RCVBUF` and `SOCK_MIN_SNDBUF`, in doubled bytes as getsockopt tells them.
const RECEIVE_BUFFER_MIN: usize = 2304;
const SEND_BUFFER_MIN: usize = 4608;
/// What Linux takes for `TCP_MAXSEG`; 0 takes it back.
const MAX_SEGMENT: std::ops::RangeInclusive<c_int> = 88..=32767;
/// Seconds that Linux takes for `TCP_KEEPIDLE` and `TCP_KEEPINTVL`.
const KEEPALIVE_SECONDS: std::ops::RangeInclusive<c_int> = 1..=32767;
/// What Linux takes for `TCP_KEEPCNT`.
const KEEPALIVE_COUNT: std::ops::RangeInclusive<c_int> = 1..=127;

impl Socket {
    /// setsockopt(2): `ENOPROTOOPT` for an option that is unknown, read-only or not honoured, `EINVAL` for a value
    /// too short or out of range, `EDOM` for microseconds that are none.
    pub fn set_option(&self, level: c_int, name: c_int, value: &[u8]) -> Result<(), Errno> {
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => self.set_receive_timeout(timeout(value)?),
            (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => self.set_send_timeout(timeout(value)?),
            (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) if self.family() == Family::V6 => {
                self.set_v6_only(int_at(value, 0)? != 0)?;
            }
            _ => {
                let mut outcome = Ok(());
                self.change_options(|options| outcome = set(options, level, name, value))?;
                return outcome;
            }
        }
        Ok(())
    }

    /// getsockopt(2): the whole value; a caller with less room takes its beginning. `ENOPROTOOPT` for an unknown
    /// option.
    pub fn option(&self, level: c_int, name: c_int) -> Result<Vec<u8>, Errno> {
        let number = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => self.take_error()?,
            (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
            (libc::SOL_SOCKET, libc::SO_PROTOCOL) => libc::IPPROTO_TCP,
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => match self.family() {
                Family::V4 => libc::AF_INET,
                Family::V6 => libc::AF_INET6,
            },
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => c_int::from(self.state()? == State::Listen),
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => return Ok(timeval(self.receive_timeout())),
            (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => return Ok(timeval(self.send_timeout())),
            (libc::IPPROTO_TCP, libc::TCP_INFO) => return Ok(tcp_info::bytes(&self.figures()?).to_vec()),
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => self.max_segment()?,
            (libc::IPPROTO_IPV6, _) if self.family() == Family::V4 => return Err(Errno(EOPNOTSUPP)), // as Linux
            (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => c_int::from(self.options()?.v6_only),
            _ => return get(&self.options()?, level, name),
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    /// As on Linux, `EINVAL` once the socket has its local address.
    fn set_v6_only(&self, v6_only: bool) -> Result<(), Errno> {
        if self.local_address()?.port() != 0 {
            return Err(Errno(EINVAL));
        }
        self.change_options(|options| options.v6_only = v6_only)
    }

    /// `TCP_INFO`, which Linux also tells of a socket that has no connection.
    fn figures(&self) -> Result<Info, Errno> {
        match self.info() {
            Err(Errno(libc::ENOTCONN)) => Ok(tcp_info::unconnected(self.state()?)),
            info => info,
        }
    }

    /// `TCP_MAXSEG` is the user's wish before there is a connection, and what is sent with afterwards.
    fn max_segment(&self) -> Result<c_int, Errno> {
        let info = self.figures()?;
        let wish = self.options()?.max_segment.map(u32::from);
        let bytes = match (info.state, wish) {
            (State::Closed | State::Listen, Some(wish)) => wish,
            _ => info.snd_mss,
        };
        Ok(c_int::try_from(bytes).unwrap_or(c_int::MAX))
    }
}

/// Changes the option that is a plain field of [`Options`].
fn set(options: &mut Options, level: c_int, name: c_int, value: &[u8]) -> Result<(), Errno> {
    if !matches!(level, libc::SOL_SOCKET | libc::IPPROTO_TCP) {
        return Err(Errno(ENOPROTOOPT));
    }
    let number = int_at(value, 0)?;
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) => options.reuse_address = number != 0,
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => options.keepalive = number != 0,
        (libc::SOL_SOCKET, libc::SO_LINGER) => options.linger = linger(value)?,
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => options.receive_buffer = buffer(number, RECEIVE_BUFFER_MIN),
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => options.send_buffer = buffer(number, SEND_BUFFER_MIN),
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => options.no_delay = number != 0,
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) if number == 0 => options.max_segment = None,
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => options.max_segment = Some(within(number, &MAX_SEGMENT)?),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => options.keepalive_idle = seconds(number)?,
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => options.keepalive_interval = seconds(number)?,
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => options.keepalive_count = within(number, &KEEPALIVE_COUNT)?,
        _ => return Err(Errno(ENOPROTOOPT)),
    }
    Ok(())
}

/// Tells the option that is a plain field of [`Options`].
fn get(options: &Options, level: c_int, name: c_int) -> Result<Vec<u8>, Errno> {
    let number = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) => c_int::from(options.reuse_address),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => c_int::from(options.keepalive),
        (libc::SOL_SOCKET, libc::SO_LINGER) => return Ok(linger_bytes(options.linger)),
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => doubled(options.receive_buffer),
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => doubled(options.send_buffer),
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => c_int::from(options.no_delay),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => whole_seconds(options.keepalive_idle),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => whole_seconds(options.keepalive_interval),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => c_int::from(options.keepalive_count),
        _ => return Err(Errno(ENOPROTOOPT)),
    };
    Ok(number.to_ne_bytes().to_vec())
}

/// Linux books its own overhead as buffer: it doubles what it is told and tells the doubled figure. We keep what was
/// asked for, which is the room for bytes in both, and double only when telling.
fn buffer(asked: c_int, doubled_min: usize) -> usize {
    let asked = asked.cast_unsigned().min(BUFFER_MAX); // a negative number is a large one, as in Linux
    usize::try_from(asked).unwrap_or(usize::MAX).max(doubled_min / 2)
}

fn doubled(bytes: usize) -> c_int {
    c_int::try_from(bytes.saturating_mul(2)).unwrap_or(c_int::MAX)
}

fn within<T: TryFrom<c_int>>(number: c_int, range: &std::ops::RangeInclusive<c_int>) -> Result<T, Errno> {
    if !range.contains(&number) {
        return Err(Errno(EINVAL));
    }
    T::try_from(number).map_err(|_| Errno(EINVAL))
}

fn seconds(number: c_int) -> Result<Duration, Errno> {
    Ok(Duration::from_secs(within(number, &KEEPALIVE_SECONDS)?))
}

fn whole_seconds(time: Duration) -> c_int {
    c_int::try_from(time.as_secs()).unwrap_or(c_int::MAX)
}

/// `struct linger`: two ints, whether and how many seconds.
fn linger(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let (on, seconds) = (int_at(value, 0)?, int_at(value, 4)?);
    Ok((on != 0).then(|| Duration::from_secs(u64::from(seconds.cast_unsigned()))))
}

fn linger_bytes(linger: Option<Duration>) -> Vec<u8> {
    let on = c_int::from(linger.is_some());
    [
        on.to_ne_bytes(),
        whole_seconds(linger.unwrap_or_default()).to_ne_bytes(),
    ]
    .concat()
}

/// `struct timeval`: all zero is for ever, negative seconds are no time at all, as in Linux.
fn timeout(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let (seconds, micros) = (long_at(value, 0)?, long_at(value, size_of::<libc::time_t>())?);
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno(EDOM));
    }
    let Ok(seconds) = u64::try_from(seconds) else {
        return Ok(Some(Duration::ZERO));
    };
    let time = Duration::from_secs(seconds) + Duration::from_micros(micros.unsigned_abs());
    Ok((!time.is_zero()).then_some(time))
}

fn timeval(timeout: Option<Duration>) -> Vec<u8> {
    let time = timeout.unwrap_or_default();
    let seconds = libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX);
    let micros = libc::suseconds_t::from(time.subsec_micros());
    [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat()
}

fn int_at(value: &[u8], offset: usize) -> Result<c_int, Errno> {
    bytes_at(value, offset).map(c_int::from_ne_bytes)
}

fn long_at(value: &[u8], offset: usize) -> Result<i64, Errno> {
    bytes_at(value, offset).map(i64::from_ne_bytes)
}

fn bytes_at<const N: usize>(value: &[u8], offset: usize) -> Result<[u8; N], Errno> {
    value
        .get(offset..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .ok_or(Errno(EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use libc::{IPPROTO_IP, IPPROTO_TCP, SOL_SOCKET};

    const OPTIONS: Options = Options {
        reuse_address: false,
        v6_only: false,
        keepalive: false,
        keepalive_idle: Duration::from_secs(7200),
        keepalive_interval: Duration::from_secs(75),
        keepalive_count: 9,
        no_delay: false,
        linger: None,
        receive_buffer: 65536,
        send_buffer: 65536,
        max_segment: None,
        congestion: ustcp_proto::Algorithm::Cubic,
    };

    fn set_int(level: c_int, name: c_int, number: c_int) -> Result<Options, Errno> {
        let mut options = OPTIONS;
        set(&mut options, level, name, &number.to_ne_bytes()).map(|()| options)
    }

    fn get_int(options: &Options, level: c_int, name: c_int) -> c_int {
        c_int::from_ne_bytes(get(options, level, name).unwrap().try_into().unwrap())
    }

    #[test]
    fn numbers_are_told_as_linux_tells_them() {
        // (level, name, set to, then told): but for the largest buffer, what a kernel socket answers.
        let table = [
            (SOL_SOCKET, libc::SO_REUSEADDR, 5, Ok(1)),
            (SOL_SOCKET, libc::SO_KEEPALIVE, -1, Ok(1)),
            (SOL_SOCKET, libc::SO_KEEPALIVE, 0, Ok(0)),
            (SOL_SOCKET, libc::SO_RCVBUF, 0, Ok(2304)),
            (SOL_SOCKET, libc::SO_RCVBUF, 1000, Ok(2304)),
            (SOL_SOCKET, libc::SO_RCVBUF, 100_000, Ok(200_000)),
            (SOL_SOCKET, libc::SO_SNDBUF, 0, Ok(4608)),
            (SOL_SOCKET, libc::SO_SNDBUF, 100_000, Ok(200_000)),
            (SOL_SOCKET, libc::SO_SNDBUF, -1, Ok(2 * BUFFER_MAX.cast_signed())),
            (IPPROTO_TCP, libc::TCP_NODELAY, 2, Ok(1)),
            (IPPROTO_TCP, libc::TCP_KEEPIDLE, 0, Err(EINVAL)),
            (IPPROTO_TCP, libc::TCP_KEEPIDLE, 1, Ok(1)),
            (IPPROTO_TCP, libc::TCP_KEEPIDLE, 32767, Ok(32767)),
            (IPPROTO_TCP, libc::TCP_KEEPIDLE, 32768, Err(EINVAL)),
            (IPPROTO_TCP, libc::TCP_KEEPINTVL, 0, Err(EINVAL)),
            (IPPROTO_TCP, libc::TCP_KEEPINTVL, 32767, Ok(32767)),
            (IPPROTO_TCP, libc::TCP_KEEPINTVL, 32768, Err(EINVAL)),
            (IPPROTO_TCP, libc::TCP_KEEPCNT, 0, Err(EINVAL)),
            (IPPROTO_TCP, libc::TCP_KEEPCNT, 127, Ok(127)),
            (IPPROTO_TCP, libc::TCP_KEEPCNT, 128, Err(EINVAL)),
            (SOL_SOCKET, libc::SO_TYPE, 1, Err(ENOPROTOOPT)),
            (SOL_SOCKET, libc::SO_ERROR, 1, Err(ENOPROTOOPT)),
            (SOL_SOCKET, libc::SO_ACCEPTCONN, 1, Err(ENOPROTOOPT)),
            (SOL_SOCKET, libc::SO_REUSEPORT, 1, Err(ENOPROTOOPT)),
            (IPPROTO_TCP, libc::TCP_INFO, 1, Err(ENOPROTOOPT)),
            (IPPROTO_TCP, 99, 1, Err(ENOPROTOOPT)),
            (IPPROTO_IP, libc::IP_TOS, 1, Err(ENOPROTOOPT)),
            (99, 1, 1, Err(ENOPROTOOPT)),
        ];
        for (level, name, number, told) in table {
            let answer = set_int(level, name, number).map(|options| get_int(&options, level, name));
            assert_eq!(answer, told.map_err(Errno), "level {level} name {name} number {number}");
        }
    }

    #[test]
    fn max_segment_has_linux_limits_and_0_takes_it_back() {
        let max_segment = |number| set_int(IPPROTO_TCP, libc::TCP_MAXSEG, number).map(|options| options.max_segment);
        assert_eq!(max_segment(0), Ok(None));
        assert_eq!(max_segment(87), Err(Errno(EINVAL)));
        assert_eq!(max_segment(88), Ok(Some(88)));
        assert_eq!(max_segment(32767), Ok(Some(32767)));
        assert_eq!(max_segment(32768), Err(Errno(EINVAL)));
        assert_eq!(max_segment(-1), Err(Errno(EINVAL)));
    }

    #[test]
    fn a_short_value_is_einval_and_changes_nothing() {
        for (level, name, len) in [
            (SOL_SOCKET, libc::SO_REUSEADDR, 3),
            (SOL_SOCKET, libc::SO_LINGER, 7),
            (IPPROTO_TCP, libc::TCP_NODELAY, 0),
        ] {
            let mut options = OPTIONS;
            assert_eq!(set(&mut options, level, name, &[1; 8][..len]), Err(Errno(EINVAL)));
            assert_eq!(options, OPTIONS);
        }
        assert_eq!(timeout(&[0; 15]), Err(Errno(EINVAL)));
    }

    #[test]
    fn a_long_value_is_read_from_its_beginning() {
        let mut options = OPTIONS;
        set(&mut options, SOL_SOCKET, libc::SO_KEEPALIVE, &[1, 0, 0, 0, 9]).unwrap();
        assert!(options.keepalive);
    }

    #[test]
    fn linger_is_two_ints() {
        for (on, seconds, kept) in [(0, 5, None), (1, 0, Some(0)), (7, 5, Some(5)), (1, -1, Some(u32::MAX))] {
            let value = [i32::to_ne_bytes(on), i32::to_ne_bytes(seconds)].concat();
            let mut options = OPTIONS;
            set(&mut options, SOL_SOCKET, libc::SO_LINGER, &value).unwrap();
            assert_eq!(options.linger, kept.map(|seconds| Duration::from_secs(seconds.into())));
        }
        assert_eq!(linger_bytes(None), [0; 8]);
        assert_eq!(
            linger_bytes(Some(Duration::from_secs(5))),
            [1i32.to_ne_bytes(), 5i32.to_ne_bytes()].concat()
        );
    }

    #[test]
    fn a_timeval_of_zero_is_for_ever_and_a_negative_one_is_no_time() {
        let timeval_of = |seconds: i64, micros: i64| [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat();
        assert_eq!(timeout(&timeval_of(0, 0)), Ok(None));
        assert_eq!(timeout(&timeval_of(1, 500_000)), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(timeout(&timeval_of(-1, 5)), Ok(Some(Duration::ZERO)));
        assert_eq!(timeout(&timeval_of(1, 1_000_000)), Err(Errno(EDOM)));
        assert_eq!(timeout(&timeval_of(1, -1)), Err(Errno(EDOM)));
        assert_eq!(timeval(Some(Duration::from_millis(1500))), timeval_of(1, 500_000));
        assert_eq!(timeval(None), timeval_of(0, 0));
    }
}
