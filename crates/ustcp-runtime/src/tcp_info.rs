//! [`Info`] as Linux lays out `struct tcp_info`.

use std::time::Duration;

use ustcp_proto::{Algorithm, Info, Phase, State};

/// Length of Linux's struct since 6.7: up to and with `tcpi_total_rto_time`. What 6.18 tells beyond is of AccECN.
pub(crate) const LEN: usize = 248;

/// `TCP_INFINITE_SSTHRESH`: what Linux tells before the first loss.
const INFINITE_SSTHRESH: u32 = 0x7fff_ffff;
/// `tcpi_options`.
const OPTION_TIMESTAMPS: u8 = 1;
const OPTION_SACK: u8 = 2;
const OPTION_WINDOW_SCALE: u8 = 4;
/// `tcpi_ca_state`.
const CA_OPEN: u8 = 0;
const CA_DISORDER: u8 = 1;
const CA_RECOVERY: u8 = 3;
const CA_LOSS: u8 = 4;

/// The struct's bytes. A field that we keep no figure for is zero; a rate without a limit is all ones, as in Linux.
#[must_use]
pub fn bytes(info: &Info) -> [u8; LEN] {
    let mut out = Layout([0; LEN]);
    out.put(0, [state(info.state), phase(info.phase), info.retransmits, info.probes]);
    out.put(
        4,
        [info.backoff, options(info), window_scales(info), delivery_bits(info)],
    );
    out.put(240, info.timeouts.to_ne_bytes());
    out.put(242, info.timeout_recoveries.to_ne_bytes());
    for (offset, value) in words(info) {
        out.put(offset, value.to_ne_bytes());
    }
    for (offset, value) in long_words(info) {
        out.put(offset, value.to_ne_bytes());
    }
    out.0
}

/// What Linux tells of a socket in `state` that never had a connection: the figures that one would begin with, and of a
/// listener how many connections wait in accept, and its backlog, in tcpi_unacked and tcpi_sacked.
pub(crate) fn unconnected(state: State, (waiting, backlog): (usize, usize)) -> Info {
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Info {
        state,
        rto: Duration::from_secs(1), // RFC 6298 (2.1)
        srtt: Duration::ZERO,
        rttvar: Duration::from_millis(250),
        min_rtt: Duration::ZERO,
        cwnd: 10, // RFC 6928
        ssthresh: u32::MAX,
        congestion: Algorithm::default(),
        pacing_rate: None,
        max_pacing_rate: u64::MAX,
        snd_mss: 536, // RFC 9293 MUST-15
        rcv_mss: 0,
        advmss: 0,
        pmtu: 0,
        snd_wnd: 0,
        rcv_wnd: 0,
        unacked: count(waiting),
        sacked: count(backlog),
        lost: 0,
        retrans: 0,
        total_retrans: 0,
        reordering: 3, // RFC 5681: duplicate ACKs that make a fast retransmit
        reord_seen: 0,
        dsack_dups: 0,
        delivered: 0,
        retransmits: 0,
        probes: 0,
        backoff: 0,
        window_scale: None,
        sack: false,
        timestamps: false,
        bytes_acked: 0,
        bytes_received: 0,
        bytes_sent: 0,
        bytes_retrans: 0,
        segs_out: 0,
        segs_in: 0,
        notsent: 0,
        last_data_sent: Duration::ZERO,
        last_data_received: Duration::ZERO,
        last_ack_received: Duration::ZERO,
        phase: Phase::Open,
        ack_timeout: Duration::ZERO,
        text_segs_in: 0,
        text_segs_out: 0,
        out_of_order: 0,
        delivery_rate: 0,
        delivery_app_limited: false,
        busy: Duration::ZERO,
        window_limited: Duration::ZERO,
        buffer_limited: Duration::ZERO,
        timeouts: 0,
        timeout_recoveries: 0,
        timeout_time: Duration::ZERO,
    }
}

fn words(info: &Info) -> [(usize, u32); 35] {
    [
        (8, micros(info.rto)),
        (12, micros(info.ack_timeout)),
        (16, info.snd_mss),
        (20, info.rcv_mss),
        (24, info.unacked),
        (28, info.sacked),
        (32, info.lost),
        (36, info.retrans),
        (44, millis(info.last_data_sent)),
        (52, millis(info.last_data_received)),
        (56, millis(info.last_ack_received)),
        (60, info.pmtu),
        (64, info.rcv_wnd), // rcv_ssthresh: the most the window may be now
        (68, micros(info.srtt)),
        (72, micros(info.rttvar)),
        (76, info.ssthresh.min(INFINITE_SSTHRESH)),
        (80, info.cwnd),
        (84, info.advmss),
        (88, info.reordering),
        (96, info.rcv_wnd), // rcv_space
        (100, info.total_retrans),
        (136, info.segs_out),
        (140, info.segs_in),
        (144, info.notsent),
        (
            148,
            if info.min_rtt.is_zero() {
                u32::MAX
            } else {
                micros(info.min_rtt)
            },
        ),
        (152, info.text_segs_in),
        (156, info.text_segs_out),
        (192, info.delivered),
        (216, info.dsack_dups),
        (220, info.reord_seen),
        (224, info.out_of_order),
        (228, info.snd_wnd),
        (232, info.rcv_wnd),
        (236, 0), // rehash: times another path was tried
        (244, millis(info.timeout_time)),
    ]
}

fn long_words(info: &Info) -> [(usize, u64); 10] {
    [
        (104, info.pacing_rate.unwrap_or(u64::MAX)),
        (112, info.max_pacing_rate),
        (120, info.bytes_acked),
        (128, info.bytes_received),
        (160, info.delivery_rate),
        (168, long_micros(info.busy)),
        (176, long_micros(info.window_limited)),
        (184, long_micros(info.buffer_limited)),
        (200, info.bytes_sent),
        (208, info.bytes_retrans),
    ]
}

/// The state by its number in Linux: `TCP_ESTABLISHED` and so on.
#[must_use]
pub fn state(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}

fn phase(phase: Phase) -> u8 {
    match phase {
        Phase::Open => CA_OPEN,
        Phase::Disorder => CA_DISORDER,
        Phase::Recovery => CA_RECOVERY,
        Phase::Loss => CA_LOSS,
    }
}

/// Two bit fields: whether the user held down the delivery rate, and of two bits why Fast Open failed.
fn delivery_bits(info: &Info) -> u8 {
    let limited = u8::from(info.delivery_app_limited);
    if cfg!(target_endian = "little") {
        limited
    } else {
        limited << 7
    }
}

fn options(info: &Info) -> u8 {
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    flag(info.timestamps, OPTION_TIMESTAMPS)
        | flag(info.sack, OPTION_SACK)
        | flag(info.window_scale.is_some(), OPTION_WINDOW_SCALE)
}

/// Two bit fields of four bits, `tcpi_snd_wscale` (what the peer told) first.
fn window_scales(info: &Info) -> u8 {
    let (snd, rcv) = info.window_scale.unwrap_or_default();
    if cfg!(target_endian = "little") {
        snd & 0xf | rcv << 4
    } else {
        snd << 4 | rcv & 0xf
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn long_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

struct Layout([u8; LEN]);

impl Layout {
    fn put<const N: usize>(&mut self, offset: usize, field: [u8; N]) {
        if let Some(place) = self.0.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
            *place = field;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;
    use libc::tcp_info;

    /// Every field another number, so that two that change places are seen.
    fn info() -> Info {
        Info {
            state: State::CloseWait,
            rto: Duration::from_micros(201),
            srtt: Duration::from_micros(202),
            rttvar: Duration::from_micros(203),
            min_rtt: Duration::from_micros(204),
            cwnd: 205,
            ssthresh: 206,
            congestion: Algorithm::Cubic,
            pacing_rate: None,
            max_pacing_rate: u64::MAX,
            snd_mss: 207,
            rcv_mss: 208,
            advmss: 209,
            pmtu: 210,
            snd_wnd: 211,
            rcv_wnd: 212,
            unacked: 213,
            sacked: 214,
            lost: 215,
            retrans: 216,
            total_retrans: 217,
            reordering: 232,
            reord_seen: 233,
            dsack_dups: 234,
            delivered: 231,
            retransmits: 218,
            probes: 219,
            backoff: 220,
            window_scale: Some((7, 9)),
            sack: true,
            timestamps: true,
            bytes_acked: 221,
            bytes_received: 222,
            bytes_sent: 223,
            bytes_retrans: 224,
            segs_out: 225,
            segs_in: 226,
            notsent: 227,
            last_data_sent: Duration::from_millis(228),
            last_data_received: Duration::from_millis(229),
            last_ack_received: Duration::from_millis(230),
            phase: Phase::Loss,
            ack_timeout: Duration::from_micros(240),
            text_segs_in: 241,
            text_segs_out: 242,
            out_of_order: 243,
            delivery_rate: 244,
            delivery_app_limited: true,
            busy: Duration::from_micros(245),
            window_limited: Duration::from_micros(246),
            buffer_limited: Duration::from_micros(247),
            timeouts: 248,
            timeout_recoveries: 249,
            timeout_time: Duration::from_millis(250),
        }
    }

    fn word(bytes: &[u8; LEN], offset: usize) -> u32 {
        u32::from_ne_bytes(bytes[offset..offset + 4].try_into().unwrap())
    }

    fn long_word(bytes: &[u8; LEN], offset: usize) -> u64 {
        u64::from_ne_bytes(bytes[offset..offset + 8].try_into().unwrap())
    }

    #[test]
    fn every_word_is_where_the_system_header_has_it() {
        let bytes = bytes(&info());
        let table = [
            (offset_of!(tcp_info, tcpi_rto), 201),
            (offset_of!(tcp_info, tcpi_ato), 240),
            (offset_of!(tcp_info, tcpi_data_segs_in), 241),
            (offset_of!(tcp_info, tcpi_data_segs_out), 242),
            (offset_of!(tcp_info, tcpi_rcv_ooopack), 243),
            (offset_of!(tcp_info, tcpi_total_rto_time), 250),
            (offset_of!(tcp_info, tcpi_rtt), 202),
            (offset_of!(tcp_info, tcpi_rttvar), 203),
            (offset_of!(tcp_info, tcpi_min_rtt), 204),
            (offset_of!(tcp_info, tcpi_snd_cwnd), 205),
            (offset_of!(tcp_info, tcpi_snd_ssthresh), 206),
            (offset_of!(tcp_info, tcpi_snd_mss), 207),
            (offset_of!(tcp_info, tcpi_rcv_mss), 208),
            (offset_of!(tcp_info, tcpi_advmss), 209),
            (offset_of!(tcp_info, tcpi_pmtu), 210),
            (offset_of!(tcp_info, tcpi_snd_wnd), 211),
            (offset_of!(tcp_info, tcpi_rcv_wnd), 212),
            (offset_of!(tcp_info, tcpi_rcv_ssthresh), 212),
            (offset_of!(tcp_info, tcpi_rcv_space), 212),
            (offset_of!(tcp_info, tcpi_unacked), 213),
            (offset_of!(tcp_info, tcpi_sacked), 214),
            (offset_of!(tcp_info, tcpi_lost), 215),
            (offset_of!(tcp_info, tcpi_retrans), 216),
            (offset_of!(tcp_info, tcpi_total_retrans), 217),
            (offset_of!(tcp_info, tcpi_segs_out), 225),
            (offset_of!(tcp_info, tcpi_segs_in), 226),
            (offset_of!(tcp_info, tcpi_notsent_bytes), 227),
            (offset_of!(tcp_info, tcpi_last_data_sent), 228),
            (offset_of!(tcp_info, tcpi_last_data_recv), 229),
            (offset_of!(tcp_info, tcpi_last_ack_recv), 230),
            (offset_of!(tcp_info, tcpi_delivered), 231),
            (offset_of!(tcp_info, tcpi_reordering), 232),
            (offset_of!(tcp_info, tcpi_reord_seen), 233),
            (offset_of!(tcp_info, tcpi_dsack_dups), 234),
        ];
        for (offset, value) in table {
            assert_eq!(word(&bytes, offset), value, "at byte {offset}");
        }
        assert_eq!(offset_of!(tcp_info, tcpi_total_rto_time) + 4, LEN);
        assert_eq!(bytes[240..244], [248u16.to_ne_bytes(), 249u16.to_ne_bytes()].concat());
    }

    #[test]
    fn every_long_word_is_where_the_system_header_has_it() {
        let bytes = bytes(&info());
        let table = [
            (offset_of!(tcp_info, tcpi_pacing_rate), u64::MAX),
            (offset_of!(tcp_info, tcpi_max_pacing_rate), u64::MAX),
            (offset_of!(tcp_info, tcpi_delivery_rate), 244),
            (offset_of!(tcp_info, tcpi_busy_time), 245),
            (offset_of!(tcp_info, tcpi_rwnd_limited), 246),
            (offset_of!(tcp_info, tcpi_sndbuf_limited), 247),
            (offset_of!(tcp_info, tcpi_bytes_acked), 221),
            (offset_of!(tcp_info, tcpi_bytes_received), 222),
            (offset_of!(tcp_info, tcpi_bytes_sent), 223),
            (offset_of!(tcp_info, tcpi_bytes_retrans), 224),
        ];
        for (offset, value) in table {
            assert_eq!(long_word(&bytes, offset), value, "at byte {offset}");
        }
    }

    #[test]
    fn the_first_eight_bytes_are_small_fields() {
        let (scales, limited) = if cfg!(target_endian = "little") {
            (0x97, 1)
        } else {
            (0x79, 0x80)
        };
        assert_eq!(bytes(&info())[..8], [8, 4, 218, 219, 220, 7, scales, limited]);
        let bare = Info {
            retransmits: 0,
            phase: Phase::Open,
            delivery_app_limited: false,
            window_scale: None,
            sack: false,
            timestamps: false,
            ..info()
        };
        assert_eq!(bytes(&bare)[..8], [8, 0, 0, 219, 220, 0, 0, 0]);
    }

    #[test]
    fn figures_that_are_not_there_yet_are_told_as_linux_tells_them() {
        let fresh = bytes(&Info {
            ssthresh: u32::MAX,
            min_rtt: Duration::ZERO,
            ..info()
        });
        assert_eq!(word(&fresh, offset_of!(tcp_info, tcpi_snd_ssthresh)), 0x7fff_ffff);
        assert_eq!(word(&fresh, offset_of!(tcp_info, tcpi_min_rtt)), u32::MAX);
    }

    #[test]
    fn states_have_linux_numbers() {
        // include/net/tcp_states.h, from 1.
        use State::*;
        let order = [
            Established,
            SynSent,
            SynReceived,
            FinWait1,
            FinWait2,
            TimeWait,
            Closed,
            CloseWait,
            LastAck,
            Listen,
            Closing,
        ];
        for (number, name) in (1..).zip(order) {
            assert_eq!(state(name), number, "{name}");
        }
    }
}
