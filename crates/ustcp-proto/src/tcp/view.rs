//! What the user of a connection can see: its readiness, what is queued, and `TCP_INFO`.

use super::FastOpen;
use super::connection::Connection;
use crate::context::Context;
use crate::{Config, Info, Instant, Phase, Readiness, State};

impl Connection {
    /// Linux's `tcp_poll`.
    pub(crate) fn readiness(&self, cx: &Context) -> Readiness {
        let opening = self.is_opening();
        let deferred = matches!(self.fast_open, FastOpen::Deferred(_));
        let dead = self.state == State::Closed;
        let read_closed = self.read_shut || self.rcv.is_finished() || dead;
        let write_closed = self.snd.fin_queued || dead;
        let room = self.snd.is_worth_writing(self.send_space(cx)) && self.is_below_low_water(&cx.config);
        Readiness {
            readable: (!opening && self.readable() > 0 && self.rcv.is_worth_reading(self.options.receive_low))
                || read_closed,
            writable: deferred || !opening && (write_closed || room) || dead,
            read_closed,
            hang_up: (read_closed && write_closed) || dead,
            error: self.error.is_some() || !self.reports.is_empty(),
            urgent: self.has_urgent(),
            arrivals: self.arrivals,
        }
    }

    /// Bytes, and a FIN, that the peer has not acknowledged: `SIOCOUTQ`.
    pub(crate) fn queued_out(&self) -> usize {
        if self.snd.syn_acked() {
            self.snd.end().distance_from(self.snd.una)
        } else {
            0
        }
    }

    /// Bytes, and a FIN, that were never sent: `SIOCOUTQNSD`.
    pub(crate) fn not_sent(&self) -> usize {
        if self.snd.syn_acked() {
            self.snd.end().distance_from(self.snd.nxt)
        } else {
            0
        }
    }

    /// Whether bytes or a FIN are still to be acknowledged.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        !matches!(self.state, State::Closed | State::TimeWait) && self.queued_out() > 0
    }

    pub(crate) fn buffer_bytes(&self) -> usize {
        self.snd.ring.allocated() + self.rcv.ring.allocated()
    }

    /// Linux's `tcpi_ca_state`.
    fn phase(&self) -> Phase {
        if self.congestion.is_after_timeout() || self.timeouts > 0 {
            Phase::Loss
        } else if self.congestion.is_recovering() {
            Phase::Recovery
        } else if self.snd.in_flight.sacked() > 0 || self.duplicate_acks > 0 {
            Phase::Disorder
        } else {
            Phase::Open
        }
    }

    pub(crate) fn info(&self, config: &Config, now: Instant) -> Info {
        let mss = self.snd.mss.max(1);
        let (busy, window_limited, buffer_limited) = self.tally.times(now);
        let segments = |bytes: usize| count32(bytes.div_ceil(mss));
        Info {
            state: self.state,
            rto: self.rtt.rto(),
            srtt: self.rtt.srtt().unwrap_or_default(),
            rttvar: self.rtt.variation(),
            min_rtt: self.rtt.min().unwrap_or_default(),
            cwnd: segments(self.congestion.cwnd()),
            ssthresh: if self.congestion.ssthresh() == usize::MAX {
                u32::MAX
            } else {
                segments(self.congestion.ssthresh())
            },
            congestion: self.congestion.algorithm(),
            pacing_rate: self.pacing_rate(),
            max_pacing_rate: self.options.max_pacing_rate,
            snd_mss: count32(mss),
            rcv_mss: count32(self.rcv.largest_text.min(self.largest_segment())),
            advmss: u32::from(self.announced_mss()).saturating_sub(count32(self.timestamps.overhead())),
            pmtu: count32(self.path.mtu),
            snd_wnd: count32(self.snd.wnd),
            rcv_wnd: count32(self.rcv.window()),
            unacked: segments(self.snd.in_flight.outstanding()),
            sacked: segments(self.snd.in_flight.sacked()),
            lost: segments(self.snd.in_flight.lost()),
            retrans: segments(self.snd.in_flight.retransmitted()),
            total_retrans: self.retransmissions,
            reordering: count32(self.snd.in_flight.rack.reordering),
            reord_seen: self.snd.in_flight.rack.reorderings,
            dsack_dups: self.duplicates_told,
            delivered: count32(
                usize::try_from(self.snd.in_flight.delivered())
                    .unwrap_or(usize::MAX)
                    .div_ceil(mss),
            ),
            retransmits: self.timeouts,
            probes: self.probes,
            backoff: self.rtt.backoff().max(self.probe_backoff),
            window_scale: self.window_scaling.then_some((self.snd.scale, self.rcv.scale)),
            sack: self.rcv.sack,
            timestamps: self.timestamps.are_on(),
            bytes_acked: self.bytes_acked,
            bytes_received: self.rcv.bytes_received,
            bytes_sent: self.bytes_sent,
            bytes_retrans: self.bytes_retransmitted,
            segs_out: self.segments_out,
            segs_in: self.segments_in,
            notsent: count32(self.snd.unsent()),
            last_data_sent: now.since(self.last_text_sent),
            last_data_received: now.since(self.last_text_received),
            last_ack_received: now.since(self.last_received),
            phase: self.phase(),
            ack_timeout: config.delayed_ack,
            text_segs_in: self.tally.text_segments_in,
            text_segs_out: self.tally.text_segments_out,
            out_of_order: self.tally.out_of_order,
            delivery_rate: self.tally.delivery.map_or(0, |(rate, _)| rate),
            delivery_app_limited: self.tally.delivery.is_some_and(|(_, limited)| limited),
            busy,
            window_limited,
            buffer_limited,
            timeouts: self.tally.timeouts,
            timeout_recoveries: self.tally.timeout_recoveries,
            timeout_time: self.tally.timeout_time(now, self.first_timeout),
        }
    }
}

fn count32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
