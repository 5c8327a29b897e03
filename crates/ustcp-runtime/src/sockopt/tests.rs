use super::*;
use libc::{IPPROTO_TCP, SOL_SOCKET};

fn set_int(level: c_int, name: c_int, number: c_int) -> Result<Options, Errno> {
    let mut options = Options::default();
    set_field(&mut options, level, name, &number.to_ne_bytes()).map(|()| options)
}

fn get_int(options: &Options, level: c_int, name: c_int) -> c_int {
    c_int::from_ne_bytes(field(options, level, name).unwrap().try_into().unwrap())
}

#[test]
fn numbers_are_told_as_linux_tells_them() {
    // (level, name, set to, then told): but for the largest buffer, what a kernel socket answers.
    let table = [
        (SOL_SOCKET, libc::SO_REUSEADDR, 5, Ok(1)),
        (SOL_SOCKET, libc::SO_KEEPALIVE, -1, Ok(1)),
        (SOL_SOCKET, libc::SO_KEEPALIVE, 0, Ok(0)),
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
        (SOL_SOCKET, libc::SO_SNDLOWAT, 1, Err(ENOPROTOOPT)),
        (IPPROTO_TCP, libc::TCP_CORK, -1, Ok(1)),
        (IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, -1, Ok(-1)),
        (IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, 65536, Ok(65536)),
        (IPPROTO_TCP, libc::TCP_USER_TIMEOUT, -1, Err(EINVAL)),
        (IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 0, Ok(0)),
        (IPPROTO_TCP, libc::TCP_USER_TIMEOUT, c_int::MAX, Ok(c_int::MAX)),
        (IPPROTO_TCP, libc::TCP_SYNCNT, 0, Err(EINVAL)),
        (IPPROTO_TCP, libc::TCP_SYNCNT, 128, Err(EINVAL)),
        (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, -1, Ok(0)),
        (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1, Ok(1)),
        (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 2, Ok(3)),
        (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 128, Ok(247)),
        (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 255, Ok(367)),
        (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 32767, Ok(29887)),
        (IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS, 1, Ok(1)),
        (IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS, 2, Err(EINVAL)),
        (IPPROTO_TCP, libc::TCP_THIN_DUPACK, 1, Ok(0)),
        (IPPROTO_TCP, libc::TCP_THIN_DUPACK, 2, Err(EINVAL)),
        (SOL_SOCKET, libc::SO_TYPE, 1, Err(ENOPROTOOPT)),
        (SOL_SOCKET, libc::SO_ERROR, 1, Err(ENOPROTOOPT)),
        (SOL_SOCKET, libc::SO_ACCEPTCONN, 1, Err(ENOPROTOOPT)),
        (SOL_SOCKET, libc::SO_REUSEPORT, 7, Ok(1)),
        (IPPROTO_TCP, libc::TCP_INFO, 1, Err(ENOPROTOOPT)),
        (IPPROTO_TCP, 99, 1, Err(ENOPROTOOPT)),
        (99, 1, 1, Err(ENOPROTOOPT)),
    ];
    for (level, name, number, told) in table {
        let answer = set_int(level, name, number).map(|options| get_int(&options, level, name));
        assert_eq!(answer, told.map_err(Errno), "level {level} name {name} number {number}");
    }
}

/// A buffer that nobody sized is told as Linux's figures for it are; one that was, doubled.
#[test]
fn buffers_are_told_as_linux_tells_them() {
    let mut stack = Stack::new(ustcp_proto::Config::default());
    let id = stack.socket(Family::V4).unwrap();
    let told = |stack: &Stack, name| {
        let value = get(stack, Instant::ZERO, id, (SOL_SOCKET, name)).unwrap();
        c_int::from_ne_bytes(value.try_into().unwrap())
    };
    assert_eq!(told(&stack, libc::SO_RCVBUF), 131_072);
    assert_eq!(told(&stack, libc::SO_SNDBUF), 16_384);
    for (name, asked, answer) in [
        (libc::SO_RCVBUF, 0, 2304),
        (libc::SO_RCVBUF, 1000, 2304),
        (libc::SO_RCVBUF, 100_000, 200_000),
        (libc::SO_SNDBUF, 0, 4608),
        (libc::SO_SNDBUF, 100_000, 200_000),
        (libc::SO_SNDBUF, -1, 2 * BUFFER_MAX.cast_signed()),
        (libc::SO_RCVLOWAT, 0, 1),
        (libc::SO_RCVLOWAT, 100, 100),
    ] {
        let value = c_int::to_ne_bytes(asked);
        set(&mut stack, Instant::ZERO, id, (SOL_SOCKET, name), &value).unwrap();
        assert_eq!(told(&stack, name), answer, "{name} {asked}");
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
fn a_congestion_control_has_a_name_of_at_most_15_bytes() {
    assert_eq!(algorithm(b"bbr"), Ok(Algorithm::Bbr));
    assert_eq!(algorithm(b"reno\0beyond"), Ok(Algorithm::Reno));
    assert_eq!(algorithm(b"cubi"), Err(Errno(ENOENT)));
    assert_eq!(algorithm(b"\0"), Err(Errno(ENOENT)));
    assert_eq!(algorithm(b"\xff"), Err(Errno(ENOENT)));
    assert_eq!(algorithm(b""), Err(Errno(EINVAL)));
    assert_eq!(&algorithm_name(Algorithm::Cubic), b"cubic\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn a_short_value_is_einval_and_changes_nothing() {
    for (level, name, len) in [
        (SOL_SOCKET, libc::SO_REUSEADDR, 3),
        (SOL_SOCKET, libc::SO_LINGER, 7),
        (IPPROTO_TCP, libc::TCP_NODELAY, 0),
    ] {
        let mut options = Options::default();
        assert_eq!(set_field(&mut options, level, name, &[1; 8][..len]), Err(Errno(EINVAL)));
        assert_eq!(options, Options::default());
    }
    assert_eq!(timeout(&[0; 15]), Err(Errno(EINVAL)));
}

#[test]
fn a_long_value_is_read_from_its_beginning() {
    let mut options = Options::default();
    set_field(&mut options, SOL_SOCKET, libc::SO_KEEPALIVE, &[1, 0, 0, 0, 9]).unwrap();
    assert!(options.keepalive);
}

#[test]
fn linger_is_two_ints() {
    for (on, seconds, kept) in [(0, 5, None), (1, 0, Some(0)), (7, 5, Some(5)), (1, -1, Some(u32::MAX))] {
        let value = [i32::to_ne_bytes(on), i32::to_ne_bytes(seconds)].concat();
        let mut options = Options::default();
        set_field(&mut options, SOL_SOCKET, libc::SO_LINGER, &value).unwrap();
        assert_eq!(options.linger, kept.map(|seconds| Duration::from_secs(seconds.into())));
    }
}

/// As Linux: what was said when it was on is told when it is off.
#[test]
fn linger_keeps_its_seconds() {
    let two_ints = |on: i32, seconds: i32| [on.to_ne_bytes(), seconds.to_ne_bytes()].concat();
    let mut options = Options::default();
    assert_eq!(field(&options, SOL_SOCKET, libc::SO_LINGER), Ok(two_ints(0, 0)));
    for (set, told) in [((1, 7), (1, 7)), ((0, 3), (0, 7)), ((1, 0), (1, 0)), ((0, 9), (0, 0))] {
        set_field(&mut options, SOL_SOCKET, libc::SO_LINGER, &two_ints(set.0, set.1)).unwrap();
        assert_eq!(
            field(&options, SOL_SOCKET, libc::SO_LINGER),
            Ok(two_ints(told.0, told.1))
        );
    }
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
