//! What `-i` tells of a connection, read from Linux's `struct tcp_info` and written in the words of ss(8).

use std::mem::offset_of;

use libc::tcp_info;
use ustcp_proto::State;

use crate::listing::Socket;

/// `TCP_INFINITE_SSTHRESH` and all above that ss takes for none.
const SOME_SSTHRESH: u64 = 0xffff;
/// The retransmission timeout of a socket that has measured nothing.
const NO_RTO: u64 = 3_000_000;

/// Two bytes of bit fields behind `tcpi_options`.
const SCALES: usize = offset_of!(tcp_info, tcpi_options) + 1;
const DELIVERY: usize = SCALES + 1;

/// How it is written.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// With the TCP options that are in use.
    pub(super) with_options: bool,
    /// Rates without units of a thousand.
    pub(super) in_figures: bool,
}

/// The words of one socket.
pub(super) fn text(socket: &Socket, how: How) -> String {
    let Some(info) = socket.tcp_info.as_deref().map(Info) else {
        return socket.congestion.clone().unwrap_or_default();
    };
    let mut words = Words(Vec::new(), how);
    options(&mut words, info);
    words.flag(
        socket.congestion.as_deref().unwrap_or_default(),
        socket.congestion.is_some(),
    );
    path(&mut words, info);
    traffic(&mut words, info);
    rates(&mut words, info);
    trouble(&mut words, info, socket.state);
    receiver(&mut words, info);
    words.0.join(" ")
}

fn options(words: &mut Words, info: Info) {
    let options = info.byte(offset_of!(tcp_info, tcpi_options));
    for (bit, name) in [(0, "ts"), (1, "sack"), (3, "ecn"), (4, "ecnseen"), (5, "fastopen")] {
        words.flag(name, words.1.with_options && options >> bit & 1 == 1);
    }
}

fn path(words: &mut Words, info: Info) {
    let options = info.byte(offset_of!(tcp_info, tcpi_options));
    // Two fields of four bits, what the peer told first.
    let scales = info.byte(SCALES);
    if options >> 2 & 1 == 1 {
        words.push(format!("wscale:{},{}", scales & 0xf, scales >> 4));
    }
    let rto = info.word(offset_of!(tcp_info, tcpi_rto));
    words.milliseconds("rto", if rto == NO_RTO { 0 } else { rto });
    words.number("backoff", info.byte(offset_of!(tcp_info, tcpi_backoff)));
    let rtt = info.word(offset_of!(tcp_info, tcpi_rtt));
    if rtt > 0 {
        let variance = info.word(offset_of!(tcp_info, tcpi_rttvar));
        words.push(format!("rtt:{}/{}", milliseconds(rtt), milliseconds(variance)));
    }
    words.milliseconds("ato", info.word(offset_of!(tcp_info, tcpi_ato)));
    words.number("mss", info.word(offset_of!(tcp_info, tcpi_snd_mss)));
    words.number("pmtu", info.word(offset_of!(tcp_info, tcpi_pmtu)));
    words.number("rcvmss", info.word(offset_of!(tcp_info, tcpi_rcv_mss)));
    words.number("advmss", info.word(offset_of!(tcp_info, tcpi_advmss)));
    words.number("cwnd", info.word(offset_of!(tcp_info, tcpi_snd_cwnd)));
    let ssthresh = info.word(offset_of!(tcp_info, tcpi_snd_ssthresh));
    words.number("ssthresh", if ssthresh < SOME_SSTHRESH { ssthresh } else { 0 });
}

fn traffic(words: &mut Words, info: Info) {
    words.number("bytes_sent", info.long(offset_of!(tcp_info, tcpi_bytes_sent)));
    words.number("bytes_retrans", info.long(offset_of!(tcp_info, tcpi_bytes_retrans)));
    words.number("bytes_acked", info.long(offset_of!(tcp_info, tcpi_bytes_acked)));
    words.number("bytes_received", info.long(offset_of!(tcp_info, tcpi_bytes_received)));
    words.number("segs_out", info.word(offset_of!(tcp_info, tcpi_segs_out)));
    words.number("segs_in", info.word(offset_of!(tcp_info, tcpi_segs_in)));
    words.number("data_segs_out", info.word(offset_of!(tcp_info, tcpi_data_segs_out)));
    words.number("data_segs_in", info.word(offset_of!(tcp_info, tcpi_data_segs_in)));
}

fn rates(words: &mut Words, info: Info) {
    let (mss, cwnd, rtt) = (
        info.word(offset_of!(tcp_info, tcpi_snd_mss)),
        info.word(offset_of!(tcp_info, tcpi_snd_cwnd)),
        info.word(offset_of!(tcp_info, tcpi_rtt)),
    );
    let window = mss * cwnd * 8_000_000;
    // Rounded, as printf(3) does.
    words.rate("send", (window + rtt / 2).checked_div(rtt).unwrap_or(0));
    words.number("lastsnd", info.word(offset_of!(tcp_info, tcpi_last_data_sent)));
    words.number("lastrcv", info.word(offset_of!(tcp_info, tcpi_last_data_recv)));
    words.number("lastack", info.word(offset_of!(tcp_info, tcpi_last_ack_recv)));
    let pacing = info.long(offset_of!(tcp_info, tcpi_pacing_rate));
    words.rate(
        "pacing_rate",
        if pacing == u64::MAX {
            0
        } else {
            pacing.saturating_mul(8)
        },
    );
    words.rate(
        "delivery_rate",
        info.long(offset_of!(tcp_info, tcpi_delivery_rate)).saturating_mul(8),
    );
    words.number("delivered", info.word(offset_of!(tcp_info, tcpi_delivered)));
    let bits = info.byte(DELIVERY);
    words.flag("app_limited", bits & 1 == 1);
    let busy = info.long(offset_of!(tcp_info, tcpi_busy_time));
    if busy > 0 {
        words.push(format!("busy:{}ms", busy / 1000));
        words.share("rwnd_limited", info.long(offset_of!(tcp_info, tcpi_rwnd_limited)), busy);
        words.share(
            "sndbuf_limited",
            info.long(offset_of!(tcp_info, tcpi_sndbuf_limited)),
            busy,
        );
    }
}

fn trouble(words: &mut Words, info: Info, state: State) {
    words.number("unacked", info.word(offset_of!(tcp_info, tcpi_unacked)));
    let now = info.word(offset_of!(tcp_info, tcpi_retrans));
    let total = info.word(offset_of!(tcp_info, tcpi_total_retrans));
    if now + total > 0 {
        words.push(format!("retrans:{now}/{total}"));
    }
    words.number("lost", info.word(offset_of!(tcp_info, tcpi_lost)));
    // Of a listener it is the backlog, which stands in Send-Q.
    let sacked = info.word(offset_of!(tcp_info, tcpi_sacked));
    words.number("sacked", if state == State::Listen { 0 } else { sacked });
    words.number("dsack_dups", info.word(offset_of!(tcp_info, tcpi_dsack_dups)));
    let reordering = info.word(offset_of!(tcp_info, tcpi_reordering));
    words.number("reordering", if reordering == 3 { 0 } else { reordering });
    words.number("reord_seen", info.word(offset_of!(tcp_info, tcpi_reord_seen)));
}

fn receiver(words: &mut Words, info: Info) {
    words.milliseconds("rcv_rtt", info.word(offset_of!(tcp_info, tcpi_rcv_rtt)));
    words.number("rcv_space", info.word(offset_of!(tcp_info, tcpi_rcv_space)));
    words.number("rcv_ssthresh", info.word(offset_of!(tcp_info, tcpi_rcv_ssthresh)));
    words.number("notsent", info.word(offset_of!(tcp_info, tcpi_notsent_bytes)));
    let least = info.word(offset_of!(tcp_info, tcpi_min_rtt));
    words.milliseconds("minrtt", if least == u64::from(u32::MAX) { 0 } else { least });
    words.number("rcv_ooopack", info.word(offset_of!(tcp_info, tcpi_rcv_ooopack)));
    words.number("snd_wnd", info.word(offset_of!(tcp_info, tcpi_snd_wnd)));
}

/// The struct's bytes. A field beyond their end is one that its maker does not know: zero.
#[derive(Clone, Copy)]
pub(super) struct Info<'a>(pub(super) &'a [u8]);

impl Info<'_> {
    fn byte(self, offset: usize) -> u64 {
        self.0.get(offset).copied().unwrap_or(0).into()
    }

    pub(super) fn word(self, offset: usize) -> u64 {
        let bytes = self.0.get(offset..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes)).into()
    }

    pub(super) fn long(self, offset: usize) -> u64 {
        let bytes = self.0.get(offset..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }
}

/// What is zero is not said.
struct Words(Vec<String>, How);

impl Words {
    fn push(&mut self, word: String) {
        self.0.push(word);
    }

    fn flag(&mut self, name: &str, holds: bool) {
        if holds {
            self.push(name.to_owned());
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        if value > 0 {
            self.push(format!("{name}:{value}"));
        }
    }

    fn milliseconds(&mut self, name: &str, microseconds: u64) {
        if microseconds > 0 {
            self.push(format!("{name}:{}", milliseconds(microseconds)));
        }
    }

    fn rate(&mut self, name: &str, bits_per_second: u64) {
        if bits_per_second > 0 {
            let rate = if self.1.in_figures {
                bits_per_second.to_string()
            } else {
                rate(bits_per_second)
            };
            self.push(format!("{name} {rate}bps"));
        }
    }

    fn share(&mut self, name: &str, part: u64, whole: u64) {
        if part > 0 {
            let percent = 100.0 * part as f64 / whole as f64;
            self.push(format!("{name}:{}ms({percent:.1}%)", part / 1000));
        }
    }
}

fn milliseconds(microseconds: u64) -> String {
    significant(microseconds as f64 / 1000.0, 6)
}

/// Three figures and a unit.
fn rate(bits_per_second: u64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let rate = bits_per_second as f64;
    let unit = units.into_iter().find(|(size, _)| rate >= *size);
    let (size, name) = unit.unwrap_or((1.0, ""));
    format!("{}{name}", significant(rate / size, 3))
}

/// As many significant digits, without zeros at the end: `%.6g`, for what is no power of ten away from one.
fn significant(value: f64, digits: i32) -> String {
    let before = if value >= 1.0 {
        value.log10().floor() as i32 + 1
    } else {
        1
    };
    let places = usize::try_from(digits - before).unwrap_or(0);
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_as_c_writes_them() {
        assert_eq!(milliseconds(28), "0.028");
        assert_eq!(milliseconds(204_000), "204");
        assert_eq!(milliseconds(1_234_567), "1234.57");
        assert_eq!(milliseconds(5272), "5.272");
        assert_eq!(rate(27_624_824), "27.6M");
        assert_eq!(rate(287_904_345_936), "288G");
        assert_eq!(rate(1_011_569_044), "1.01G");
        assert_eq!(rate(999), "999");
    }

    fn socket(state: State, info: &[(usize, &[u8])]) -> Socket {
        let mut bytes = vec![0; size_of::<tcp_info>()];
        for (offset, value) in info {
            bytes[*offset..offset + value.len()].copy_from_slice(value);
        }
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let line =
            format!(r#"{{"place":"ustcp","family":4,"state":"{state}","congestion":"cubic","tcp_info":"{text}"}}"#);
        serde_json::from_str(&line).unwrap()
    }

    const PLAIN: How = How {
        with_options: false,
        in_figures: true,
    };

    #[test]
    fn what_is_there_is_said_in_order() {
        let word = |value: u32| value.to_ne_bytes();
        let all = u64::MAX.to_ne_bytes();
        let fields: &[(usize, &[u8])] = &[
            (offset_of!(tcp_info, tcpi_options), &[7]),
            (SCALES, &[0x97]),
            (offset_of!(tcp_info, tcpi_rto), &word(204_000)),
            (offset_of!(tcp_info, tcpi_rtt), &word(28)),
            (offset_of!(tcp_info, tcpi_rttvar), &word(14)),
            (offset_of!(tcp_info, tcpi_snd_mss), &word(1000)),
            (offset_of!(tcp_info, tcpi_snd_cwnd), &word(10)),
            (offset_of!(tcp_info, tcpi_snd_ssthresh), &word(0x7fff_ffff)),
            (offset_of!(tcp_info, tcpi_pacing_rate), &all),
            (offset_of!(tcp_info, tcpi_min_rtt), &word(u32::MAX)),
            (offset_of!(tcp_info, tcpi_total_retrans), &word(3)),
            (offset_of!(tcp_info, tcpi_reordering), &word(3)),
        ];
        let socket = socket(State::Established, fields);
        let said = "cubic wscale:7,9 rto:204 rtt:0.028/0.014 mss:1000 cwnd:10 send 2857142857bps retrans:0/3";
        assert_eq!(text(&socket, PLAIN), said);
        let more = How {
            with_options: true,
            in_figures: false,
        };
        assert_eq!(
            text(&socket, more),
            format!("ts sack {}", said.replace("2857142857", "2.86G"))
        );
    }

    #[test]
    fn a_short_struct_is_one_of_an_older_kernel() {
        let mut socket = socket(
            State::Established,
            &[(offset_of!(tcp_info, tcpi_rto), &200_000_u32.to_ne_bytes())],
        );
        socket.tcp_info.as_mut().unwrap().truncate(12);
        assert_eq!(text(&socket, PLAIN), "cubic rto:200");
        socket.tcp_info = None;
        assert_eq!(text(&socket, PLAIN), "cubic");
    }
}
