//! `--json`: the same for programs, with `struct tcp_info` taken apart.

use std::io::{self, Write};
use std::mem::offset_of;

use libc::tcp_info;
use serde_json::{Map, Value, json};

use super::detail::Info;
use super::state_name;
use crate::listing::{Place, Socket};
use crate::users::{Holder, Users};

/// Without `users` nobody has looked who holds them, and the key is not there: none would look as if there were none.
pub(super) fn write(out: &mut impl Write, sockets: &[Socket], users: Option<&Users>) -> io::Result<()> {
    let with_users = |socket| {
        let mut object = object(socket);
        if let (Some(users), Some(keys)) = (users, object.as_object_mut()) {
            keys.insert("processes".to_owned(), processes(socket, users));
        }
        object
    };
    let all: Vec<Value> = sockets.iter().map(with_users).collect();
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)
}

fn object(socket: &Socket) -> Value {
    json!({
        "place": place(socket.place),
        "why": socket.why,
        "state": state_name(socket.state),
        "recv_q": socket.recv_q,
        "send_q": socket.send_q,
        "local": socket.local,
        "peer": socket.peer,
        "timer": socket.timer.as_ref().map(|timer| {
            json!({"name": timer.name, "milliseconds": timer.milliseconds, "count": timer.count})
        }),
        "congestion": socket.congestion,
        "tcp_info": socket.tcp_info.as_deref().map(|bytes| fields(Info(bytes))),
    })
}

fn place(place: Place) -> &'static str {
    match place {
        Place::Ustcp => "ustcp",
        Place::Relay => "relay",
        Place::PassedBy => "passed by",
    }
}

fn processes(socket: &Socket, users: &Users) -> Value {
    let holders = users.of(socket);
    holders
        .into_iter()
        .flat_map(|holders| holders.0.iter().map(process))
        .collect()
}

fn process(Holder { name, pid, fd }: &Holder) -> Value {
    json!({"name": name, "pid": pid, "fd": fd})
}

/// By the names of the system's header without their `tcpi_`.
fn fields(info: Info) -> Map<String, Value> {
    let words = [
        ("rto_us", offset_of!(tcp_info, tcpi_rto)),
        ("ato_us", offset_of!(tcp_info, tcpi_ato)),
        ("snd_mss", offset_of!(tcp_info, tcpi_snd_mss)),
        ("rcv_mss", offset_of!(tcp_info, tcpi_rcv_mss)),
        ("unacked", offset_of!(tcp_info, tcpi_unacked)),
        ("sacked", offset_of!(tcp_info, tcpi_sacked)),
        ("lost", offset_of!(tcp_info, tcpi_lost)),
        ("retrans", offset_of!(tcp_info, tcpi_retrans)),
        ("last_data_sent_ms", offset_of!(tcp_info, tcpi_last_data_sent)),
        ("last_data_recv_ms", offset_of!(tcp_info, tcpi_last_data_recv)),
        ("last_ack_recv_ms", offset_of!(tcp_info, tcpi_last_ack_recv)),
        ("pmtu", offset_of!(tcp_info, tcpi_pmtu)),
        ("rcv_ssthresh", offset_of!(tcp_info, tcpi_rcv_ssthresh)),
        ("rtt_us", offset_of!(tcp_info, tcpi_rtt)),
        ("rttvar_us", offset_of!(tcp_info, tcpi_rttvar)),
        ("snd_ssthresh", offset_of!(tcp_info, tcpi_snd_ssthresh)),
        ("snd_cwnd", offset_of!(tcp_info, tcpi_snd_cwnd)),
        ("advmss", offset_of!(tcp_info, tcpi_advmss)),
        ("reordering", offset_of!(tcp_info, tcpi_reordering)),
        ("rcv_space", offset_of!(tcp_info, tcpi_rcv_space)),
        ("total_retrans", offset_of!(tcp_info, tcpi_total_retrans)),
        ("segs_out", offset_of!(tcp_info, tcpi_segs_out)),
        ("segs_in", offset_of!(tcp_info, tcpi_segs_in)),
        ("notsent_bytes", offset_of!(tcp_info, tcpi_notsent_bytes)),
        ("min_rtt_us", offset_of!(tcp_info, tcpi_min_rtt)),
        ("data_segs_in", offset_of!(tcp_info, tcpi_data_segs_in)),
        ("data_segs_out", offset_of!(tcp_info, tcpi_data_segs_out)),
        ("delivered", offset_of!(tcp_info, tcpi_delivered)),
        ("dsack_dups", offset_of!(tcp_info, tcpi_dsack_dups)),
        ("reord_seen", offset_of!(tcp_info, tcpi_reord_seen)),
        ("rcv_ooopack", offset_of!(tcp_info, tcpi_rcv_ooopack)),
        ("snd_wnd", offset_of!(tcp_info, tcpi_snd_wnd)),
    ];
    let longs = [
        ("pacing_rate_bytes_per_s", offset_of!(tcp_info, tcpi_pacing_rate)),
        ("delivery_rate_bytes_per_s", offset_of!(tcp_info, tcpi_delivery_rate)),
        ("bytes_sent", offset_of!(tcp_info, tcpi_bytes_sent)),
        ("bytes_retrans", offset_of!(tcp_info, tcpi_bytes_retrans)),
        ("bytes_acked", offset_of!(tcp_info, tcpi_bytes_acked)),
        ("bytes_received", offset_of!(tcp_info, tcpi_bytes_received)),
        ("busy_time_us", offset_of!(tcp_info, tcpi_busy_time)),
        ("rwnd_limited_us", offset_of!(tcp_info, tcpi_rwnd_limited)),
        ("sndbuf_limited_us", offset_of!(tcp_info, tcpi_sndbuf_limited)),
    ];
    let word = |(name, offset): (&str, usize)| (name.to_owned(), info.word(offset).into());
    let long = |(name, offset): (&str, usize)| (name.to_owned(), info.long(offset).into());
    words.into_iter().map(word).chain(longs.into_iter().map(long)).collect()
}
