//! setsockopt(2) and getsockopt(2): bytes in, bytes out, with Linux's limits and errors. Sockets that block and those of
//! a manual stack, the C face and the Python module all speak through here.
//!
//! An option that is a field of [`Options`] is one line in [`set_field`] and one in [`field`]. One that acts, or that
//! needs more than the options to answer, is a line in [`set`] or [`get`].

mod ip;
mod kept;

use std::time::Duration;

use libc::{EDOM, EINVAL, ENOENT, ENOPROTOOPT, EOPNOTSUPP, c_int};
use ustcp_proto::{Algorithm, Error, Family, FastOpenKeys, Info, Instant, Options, SocketId, Stack, State};

use crate::tcp_info;
use crate::{Errno, Socket};

/// `TCP_INQ` of <linux/tcp.h>.
const TCP_INQ: c_int = 36;
/// `TCP_IS_MPTCP` of <linux/tcp.h>.
const TCP_IS_MPTCP: c_int = 43;
/// `SO_PEERCRED` of who is not on this machine: a `struct ucred`.
const NOBODY: [c_int; 3] = [0, -1, -1];
/// Largest buffer a program may ask for, in bytes (`net.core.rmem_max`, `net.core.wmem_max`).
const BUFFER_MAX: u32 = 16 << 20;
/// Linux's `SOCK_MIN_RCVBUF` and `SOCK_MIN_SNDBUF`, in doubled bytes as getsockopt tells them.
const RECEIVE_BUFFER_MIN: usize = 2304;
const SEND_BUFFER_MIN: usize = 4608;
/// What Linux takes for `TCP_MAXSEG`; 0 takes it back.
const MAX_SEGMENT: std::ops::RangeInclusive<c_int> = 88..=32767;
/// The most that `SO_RCVBUFFORCE` and `SO_SNDBUFFORCE` take, in bytes.
const FORCED_BUFFER_MAX: u32 = 1 << 30;
/// Linux's smallest `TCP_WINDOW_CLAMP`.
const WINDOW_CLAMP_MIN: usize = RECEIVE_BUFFER_MIN / 2;
/// Linux's longest `TCP_LINGER2`, in seconds.
const FIN_TIMEOUT_MAX: c_int = 120;
/// Linux's `TCP_DEFER_ACCEPT` counts timeouts of the SYN-ACK: the first and the longest, in seconds.
const SYN_ACK_TIMEOUT: c_int = 1;
const SYN_ACK_TIMEOUT_MAX: c_int = 120;
/// Seconds that Linux takes for `TCP_KEEPIDLE` and `TCP_KEEPINTVL`.
const KEEPALIVE_SECONDS: std::ops::RangeInclusive<c_int> = 1..=32767;
/// Bytes of a name of `TCP_CONGESTION` with its last zero (`TCP_CA_NAME_MAX`).
const CONGESTION_NAME: usize = 16;
/// `TCP_SAVE_SYN`: not at all, from the IP header on, from that of the link layer on, which there is none of.
const SAVE_SYN: std::ops::RangeInclusive<c_int> = 0..=2;
/// What Linux takes for `TCP_KEEPCNT`, and for `TCP_SYNCNT`.
const KEEPALIVE_COUNT: std::ops::RangeInclusive<c_int> = 1..=127;

impl Socket {
    /// setsockopt(2): `ENOPROTOOPT` for an option that is unknown, read-only or not honoured, `EINVAL` for a value
    /// too short or out of range, `EDOM` for microseconds that are none, `ENOENT` for a name that is.
    pub fn set_option(&self, level: c_int, name: c_int, value: &[u8]) -> Result<(), Errno> {
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => self.set_receive_timeout(timeout(value)?),
            (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => self.set_send_timeout(timeout(value)?),
            _ => self.call(|stack, now, id| set(stack, now, id, (level, name), value))?,
        }
        Ok(())
    }

    /// getsockopt(2): the whole value; a caller with less `room`, in bytes, takes its beginning, but nothing of
    /// `TCP_SAVED_SYN`, which is kept then. `ENOPROTOOPT` for an unknown option.
    pub fn option(&self, level: c_int, name: c_int, room: usize) -> Result<Vec<u8>, Errno> {
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => Ok(timeval(self.receive_timeout())),
            (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => Ok(timeval(self.send_timeout())),
            (libc::SOL_SOCKET, libc::SO_ERROR) => Ok(self.take_error()?.to_ne_bytes().to_vec()),
            (libc::IPPROTO_TCP, libc::TCP_SAVED_SYN) => {
                self.call(|stack, now, id| tell(stack, now, id, (level, name), room))
            }
            _ => self.ask(|stack, now, id| get(stack, now, id, (level, name))),
        }
    }
}

/// setsockopt(2) on a socket of a stack, but for the times that its calls wait, which are the caller's to keep.
pub(crate) fn set(
    stack: &mut Stack,
    now: Instant,
    id: SocketId,
    (level, name): (c_int, c_int),
    value: &[u8],
) -> Result<(), Errno> {
    let mut options = stack.options(id)?;
    if level == libc::IPPROTO_IPV6 && family(stack, id)? == Family::V4 {
        return Err(Errno(ENOPROTOOPT)); // as Linux
    }
    if let Some(outcome) = kept::set(&mut options.kept, (level, name), value) {
        outcome?;
        return Ok(stack.set_options(now, id, options)?);
    }
    match (level, name) {
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => {
            options.v6_only = int_at(value, 0)? != 0;
            if stack.local_address(id)?.port() != 0 {
                return Err(Errno(EINVAL)); // as Linux, also where nothing would change
            }
        }
        (libc::IPPROTO_IP | libc::IPPROTO_IPV6, _) => ip::set_field(&mut options, (level, name), value)?,
        (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => options.congestion = algorithm(value)?,
        (libc::SOL_SOCKET, libc::SO_RCVLOWAT) => {
            options.receive_low = receive_low(largest_mark(stack, id)?, int_at(value, 0)?);
        }
        (libc::IPPROTO_TCP, libc::TCP_QUICKACK) => return Ok(stack.set_quick_ack(now, id, int_at(value, 0)?)?),
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_KEY) => {
            options.fast_open_keys = Some(FastOpenKeys::from_bytes(value).ok_or(Errno(EINVAL))?);
        }
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN) => options.fast_open_backlog = fast_open_backlog(stack, id, value)?,
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT) => {
            options.fast_open_connect = fast_open_flag(stack, id, value, &[State::Closed])?;
            if stack.config().fast_open & 1 == 0 {
                return Err(Errno(EOPNOTSUPP));
            }
        }
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_NO_COOKIE) => {
            options.fast_open_no_cookie = fast_open_flag(stack, id, value, &[State::Closed, State::Listen])?;
        }
        (libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP) => {
            let number = int_at(value, 0)?;
            if number == 0 && stack.state(id)? != State::Closed {
                return Err(Errno(EINVAL)); // as Linux
            }
            options.window_clamp = window_clamp(number);
        }
        _ => set_field(&mut options, level, name, value)?,
    }
    Ok(stack.set_options(now, id, options)?)
}

/// getsockopt(2) on a socket of a stack, but for the times that its calls wait.
pub(crate) fn tell(
    stack: &mut Stack,
    now: Instant,
    id: SocketId,
    (level, name): (c_int, c_int),
    room: usize,
) -> Result<Vec<u8>, Errno> {
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_ERROR) => {
            let number = stack.take_error(id)?.map_or(0, |error| Errno::from(error).0);
            Ok(number.to_ne_bytes().to_vec())
        }
        (libc::IPPROTO_TCP, libc::TCP_SAVED_SYN) => Ok(stack.take_saved_syn(id, room)?),
        _ => get(stack, now, id, (level, name)),
    }
}

/// The same without `SO_ERROR` and `TCP_SAVED_SYN`, which change the socket.
pub(crate) fn get(stack: &Stack, now: Instant, id: SocketId, (level, name): (c_int, c_int)) -> Result<Vec<u8>, Errno> {
    let is_known = [libc::SOL_SOCKET, libc::IPPROTO_TCP, libc::IPPROTO_IP].contains(&level);
    if !is_known && family(stack, id)? == Family::V4 {
        return Err(Errno(EOPNOTSUPP)); // as Linux, where IPv6's sockets say ENOPROTOOPT of a level that is none
    }
    let options = stack.options(id)?;
    if let Some(told) = kept::get(&options.kept, (level, name)) {
        return told;
    }
    let number = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => libc::IPPROTO_TCP,
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => match family(stack, id)? {
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        },
        (libc::IPPROTO_TCP, libc::TCP_QUICKACK) => c_int::from(stack.quick_ack(id)?),
        (libc::SOL_SOCKET, libc::SO_SNDLOWAT) => 1,
        (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => c_int::from(stack.state(id)? == State::Listen),
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => receive_buffer(stack, id)?,
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => send_buffer(stack, id)?,
        (libc::SOL_SOCKET, libc::SO_PEERCRED) => return Ok(NOBODY.map(c_int::to_ne_bytes).concat()),
        (libc::SOL_SOCKET, libc::SO_INCOMING_NAPI_ID) => 0,
        (libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE) => return Ok(options.max_pacing_rate.to_ne_bytes().to_vec()),
        (libc::IPPROTO_TCP, TCP_IS_MPTCP) => 0,
        (libc::IPPROTO_IP, libc::IP_MTU) | (libc::IPPROTO_IPV6, libc::IPV6_MTU) => path_mtu(stack, now, id)?,
        (libc::IPPROTO_TCP, libc::TCP_INFO) => return Ok(tcp_info::bytes(&figures(stack, now, id)?).to_vec()),
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => max_segment(stack, now, id)?,
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_KEY) => {
            let keys = options.fast_open_keys;
            return Ok(keys.map_or_else(Vec::new, |keys| keys.to_bytes()));
        }
        (libc::IPPROTO_TCP, libc::TCP_SYNCNT) => {
            let retries = options.syn_retries;
            c_int::from(retries.unwrap_or(stack.config().syn_retries))
        }
        (libc::IPPROTO_TCP, libc::TCP_LINGER2) => match options.fin_timeout {
            Some(time) if time.is_zero() => -1,
            time => whole_seconds(time.unwrap_or(stack.config().fin_timeout)),
        },
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => c_int::from(options.v6_only),
        (libc::IPPROTO_IP | libc::IPPROTO_IPV6, _) => ip::field(stack, &options, (level, name))?,
        _ => return field(&options, level, name),
    };
    Ok(number.to_ne_bytes().to_vec())
}

/// `TCP_FASTOPEN`: before or while it listens, how many may be let in early.
fn fast_open_backlog(stack: &Stack, id: SocketId, value: &[u8]) -> Result<usize, Errno> {
    let number = usize::try_from(int_at(value, 0)?).map_err(|_| Errno(EINVAL))?;
    match stack.state(id)? {
        State::Closed | State::Listen => Ok(number.min(stack.config().accept_backlog)),
        _ => Err(Errno(EINVAL)),
    }
}

/// 0 or 1, in one of some states.
fn fast_open_flag(stack: &Stack, id: SocketId, value: &[u8], states: &[State]) -> Result<bool, Errno> {
    let number = int_at(value, 0)?;
    if !(0..=1).contains(&number) || !states.contains(&stack.state(id)?) {
        return Err(Errno(EINVAL));
    }
    Ok(number == 1)
}

/// `SO_RCVBUF`: what was asked for, or what the buffer is, as Linux books it.
fn receive_buffer(stack: &Stack, id: SocketId) -> Result<c_int, Error> {
    let asked = stack.options(id)?.receive_buffer;
    Ok(doubled(asked.unwrap_or(stack.buffers(id)?.0)))
}

/// `SO_SNDBUF`: Linux doubles what it was asked for, and nothing else.
fn send_buffer(stack: &Stack, id: SocketId) -> Result<c_int, Error> {
    let own = stack.buffers(id)?.1;
    let told = stack.options(id)?.send_buffer.map(doubled);
    Ok(told.unwrap_or(c_int::try_from(own).unwrap_or(c_int::MAX)))
}

/// The family that the socket was made with, in which it tells its addresses.
fn family(stack: &Stack, id: SocketId) -> Result<Family, Error> {
    stack.local_address(id).map(|local| Family::of(local.ip()))
}

/// `SO_MAX_PACING_RATE`: 64 bits, or 32 of which all set are no limit.
fn pacing_rate(value: &[u8]) -> Result<u64, Errno> {
    match <[u8; 8]>::try_from(value) {
        Ok(whole) => Ok(u64::from_ne_bytes(whole)),
        Err(_) => int_at(value, 0).map(|number| {
            if number == -1 {
                u64::MAX
            } else {
                u64::from(number.cast_unsigned())
            }
        }),
    }
}

/// `IP_MTU`: that of the way to the peer.
fn path_mtu(stack: &Stack, now: Instant, id: SocketId) -> Result<c_int, Error> {
    let info = stack.info(now, id)?;
    match info.state {
        State::Closed | State::TimeWait => Err(Error::NotConnected),
        _ => Ok(c_int::try_from(info.pmtu).unwrap_or(c_int::MAX)),
    }
}

/// `TCP_INFO`, which Linux also tells of a socket that has no connection.
fn figures(stack: &Stack, now: Instant, id: SocketId) -> Result<Info, Error> {
    match stack.info(now, id) {
        Err(Error::NotConnected) => {
            let queues = stack.overview_of(now, id).map_or((0, 0), |overview| overview.queues);
            Ok(tcp_info::unconnected(stack.state(id)?, queues))
        }
        info => info,
    }
}

/// `TCP_MAXSEG` is the user's wish before there is a connection, and what is sent with afterwards.
fn max_segment(stack: &Stack, now: Instant, id: SocketId) -> Result<c_int, Error> {
    let info = figures(stack, now, id)?;
    let wish = stack.options(id)?.max_segment.map(u32::from);
    let bytes = match (info.state, wish) {
        (State::Closed | State::Listen, Some(wish)) => wish,
        _ => info.snd_mss,
    };
    Ok(c_int::try_from(bytes).unwrap_or(c_int::MAX))
}

/// Changes the option that is a plain field of [`Options`].
fn set_field(options: &mut Options, level: c_int, name: c_int, value: &[u8]) -> Result<(), Errno> {
    if !matches!(level, libc::SOL_SOCKET | libc::IPPROTO_TCP) {
        return Err(Errno(ENOPROTOOPT));
    }
    let number = int_at(value, 0)?;
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) => options.reuse_address = number != 0,
        (libc::SOL_SOCKET, libc::SO_REUSEPORT) => options.reuse_port = number != 0,
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => options.keepalive = number != 0,
        (libc::SOL_SOCKET, libc::SO_OOBINLINE) => options.urgent_inline = number != 0,
        (libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE) => options.max_pacing_rate = pacing_rate(value)?,
        (libc::SOL_SOCKET, libc::SO_LINGER) => {
            options.linger = linger(value)?;
            options.linger_kept = options.linger.unwrap_or(options.linger_kept);
        }
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => {
            options.receive_buffer = Some(buffer(number, RECEIVE_BUFFER_MIN, BUFFER_MAX));
        }
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => options.send_buffer = Some(buffer(number, SEND_BUFFER_MIN, BUFFER_MAX)),
        (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE) => {
            options.receive_buffer = Some(buffer(number.max(0), RECEIVE_BUFFER_MIN, FORCED_BUFFER_MAX));
        }
        (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE) => {
            options.send_buffer = Some(buffer(number.max(0), SEND_BUFFER_MIN, FORCED_BUFFER_MAX));
        }
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => options.no_delay = number != 0,
        (libc::IPPROTO_TCP, libc::TCP_CORK) => options.cork = number != 0,
        (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT) => options.notsent_low = number.cast_unsigned(),
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => options.user_timeout = user_timeout(number)?,
        (libc::IPPROTO_TCP, libc::TCP_SYNCNT) => options.syn_retries = Some(within(number, &KEEPALIVE_COUNT)?),
        (libc::IPPROTO_TCP, libc::TCP_LINGER2) => options.fin_timeout = fin_timeout(number),
        (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT) => options.defer_accept = timeouts(number),
        (libc::IPPROTO_TCP, TCP_INQ) => options.tell_left = flag(number)?,
        (libc::IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS) => options.thin_linear = flag(number)?,
        (libc::IPPROTO_TCP, libc::TCP_THIN_DUPACK) => _ = flag(number)?, // as Linux since 4.17: no effect
        (libc::IPPROTO_TCP, libc::TCP_SAVE_SYN) => options.save_syn = within(number, &SAVE_SYN)?,
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
fn field(options: &Options, level: c_int, name: c_int) -> Result<Vec<u8>, Errno> {
    let number = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) => c_int::from(options.reuse_address),
        (libc::SOL_SOCKET, libc::SO_REUSEPORT) => c_int::from(options.reuse_port),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => c_int::from(options.keepalive),
        (libc::SOL_SOCKET, libc::SO_OOBINLINE) => c_int::from(options.urgent_inline),
        (libc::SOL_SOCKET, libc::SO_LINGER) => return Ok(linger_bytes(options)),
        (libc::SOL_SOCKET, libc::SO_RCVLOWAT) => c_int::try_from(options.receive_low).unwrap_or(c_int::MAX),
        (libc::IPPROTO_TCP, libc::TCP_SAVE_SYN) => c_int::from(options.save_syn),
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN) => c_int::try_from(options.fast_open_backlog).unwrap_or(c_int::MAX),
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT) => c_int::from(options.fast_open_connect),
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_NO_COOKIE) => c_int::from(options.fast_open_no_cookie),
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => c_int::from(options.no_delay),
        (libc::IPPROTO_TCP, libc::TCP_CORK) => c_int::from(options.cork),
        (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT) => options.notsent_low.cast_signed(),
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => whole_millis(options.user_timeout.unwrap_or_default()),
        (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT) => seconds_of_timeouts(options.defer_accept),
        (libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP) => {
            c_int::try_from(options.window_clamp.unwrap_or(0)).unwrap_or(c_int::MAX)
        }
        (libc::IPPROTO_TCP, TCP_INQ) => c_int::from(options.tell_left),
        (libc::IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS) => c_int::from(options.thin_linear),
        (libc::IPPROTO_TCP, libc::TCP_THIN_DUPACK) => 0,
        (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => return Ok(algorithm_name(options.congestion).to_vec()),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => whole_seconds(options.keepalive_idle),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => whole_seconds(options.keepalive_interval),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => c_int::from(options.keepalive_count),
        _ => return Err(Errno(ENOPROTOOPT)),
    };
    Ok(number.to_ne_bytes().to_vec())
}

/// Linux books its own overhead as buffer: it doubles what it is told and tells the doubled figure. We keep what was
/// asked for, which is the room for bytes in both, and double only when telling.
fn buffer(asked: c_int, doubled_min: usize, most: u32) -> usize {
    let asked = asked.cast_unsigned().min(most); // a negative number is a large one, as in Linux
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

fn whole_millis(time: Duration) -> c_int {
    c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX)
}

/// 0 or 1, and nothing else: for the options where Linux looks so closely.
fn flag(number: c_int) -> Result<bool, Errno> {
    within::<u8>(number, &(0..=1)).map(|flag| flag == 1)
}

/// `SO_RCVLOWAT`: 0 counts as 1, negative as high as it can be.
fn receive_low(largest: usize, number: c_int) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX).min(largest).max(1)
}

/// As Linux: what the largest buffer holds that the socket can have.
fn largest_mark(stack: &Stack, id: SocketId) -> Result<usize, Error> {
    let asked = stack.options(id)?.receive_buffer;
    Ok(match asked {
        Some(_) => stack.buffers(id)?.0,
        None => stack.config().receive_buffer_max,
    })
}

fn user_timeout(millis: c_int) -> Result<Option<Duration>, Errno> {
    let millis = u64::try_from(millis).map_err(|_| Errno(EINVAL))?;
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

/// Negative: FIN-WAIT-2 is left at once. 0: the configuration's time.
fn fin_timeout(seconds: c_int) -> Option<Duration> {
    let seconds = u64::try_from(seconds.clamp(-1, FIN_TIMEOUT_MAX)).ok();
    match seconds {
        None => Some(Duration::ZERO),
        Some(0) => None,
        Some(seconds) => Some(Duration::from_secs(seconds)),
    }
}

fn window_clamp(bytes: c_int) -> Option<usize> {
    (bytes != 0).then(|| usize::try_from(bytes).unwrap_or(0).max(WINDOW_CLAMP_MIN))
}

/// How many timeouts of a SYN-ACK it takes until `seconds` have passed.
fn timeouts(seconds: c_int) -> u8 {
    (1..u8::MAX)
        .find(|count| seconds_of_timeouts(*count) >= seconds)
        .filter(|_| seconds > 0)
        .unwrap_or(if seconds > 0 { u8::MAX } else { 0 })
}

/// How long so many timeouts of a SYN-ACK take, each twice the one before.
fn seconds_of_timeouts(count: u8) -> c_int {
    let timeout = |doublings: u8| (SYN_ACK_TIMEOUT << doublings.min(20)).min(SYN_ACK_TIMEOUT_MAX);
    (0..count).map(timeout).sum()
}

fn whole_seconds(time: Duration) -> c_int {
    c_int::try_from(time.as_secs()).unwrap_or(c_int::MAX)
}

/// The name ends with the value, with its first zero, or where Linux's longest name would.
fn algorithm(value: &[u8]) -> Result<Algorithm, Errno> {
    if value.is_empty() {
        return Err(Errno(EINVAL));
    }
    let name = value.iter().take(CONGESTION_NAME - 1).take_while(|byte| **byte != 0);
    let name: Vec<u8> = name.copied().collect();
    let known = str::from_utf8(&name).ok().and_then(Algorithm::from_name);
    known.ok_or(Errno(ENOENT))
}

fn algorithm_name(algorithm: Algorithm) -> [u8; CONGESTION_NAME] {
    let mut field = [0; CONGESTION_NAME];
    field
        .iter_mut()
        .zip(algorithm.name().bytes())
        .for_each(|(to, byte)| *to = byte);
    field
}

/// `struct linger`: two ints, whether and how many seconds.
fn linger(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let (on, seconds) = (int_at(value, 0)?, int_at(value, 4)?);
    Ok((on != 0).then(|| Duration::from_secs(u64::from(seconds.cast_unsigned()))))
}

fn linger_bytes(options: &Options) -> Vec<u8> {
    let on = c_int::from(options.linger.is_some());
    let time = whole_seconds(options.linger.unwrap_or(options.linger_kept));
    [on.to_ne_bytes(), time.to_ne_bytes()].concat()
}

/// `struct timeval`: all zero is for ever, negative seconds are no time at all, as in Linux.
pub(crate) fn timeout(value: &[u8]) -> Result<Option<Duration>, Errno> {
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

pub(crate) fn timeval(timeout: Option<Duration>) -> Vec<u8> {
    let time = timeout.unwrap_or_default();
    let seconds = libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX);
    let micros = libc::suseconds_t::from(time.subsec_micros());
    [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat()
}

/// Options of IPv4 may be a byte or an int; of no bytes at all Linux takes 0.
fn byte_or_int(value: &[u8]) -> Result<c_int, Errno> {
    match value {
        [] => Ok(0),
        [byte, ..] if value.len() < size_of::<c_int>() => Ok(c_int::from(*byte)),
        _ => int_at(value, 0),
    }
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
mod tests;
