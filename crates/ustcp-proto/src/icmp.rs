//! ICMP of both families: what it tells connections, and what we tell others.

use core::time::Duration;

use ustcp_wire::{IcmpError, IcmpMessage, IpPacket, Malformed, Quoted};

use crate::report::{ErrorReport, Severity, detail, meaning};
use crate::stack::Target;
use crate::{Cause, DropReason, Family, Flow, Instant, SocketId, Stack, route};

/// How many errors we send: this many at once, and one more in each interval (Linux's `icmp_msgs_burst` and
/// `icmp_msgs_per_sec`).
#[derive(Debug)]
pub(crate) struct ErrorLimit {
    left: u32,
    /// Up to when the intervals are counted.
    counted: Instant,
}

impl ErrorLimit {
    const BURST: u32 = 50;
    const INTERVAL: Duration = Duration::from_millis(1);

    pub(crate) fn new() -> ErrorLimit {
        ErrorLimit {
            left: ErrorLimit::BURST,
            counted: Instant::ZERO,
        }
    }

    /// Whether one more may go.
    fn take(&mut self, now: Instant) -> bool {
        let earned = now.since(self.counted).as_nanos() / ErrorLimit::INTERVAL.as_nanos();
        if earned > 0 {
            self.left = self
                .left
                .saturating_add(u32::try_from(earned).unwrap_or(u32::MAX))
                .min(ErrorLimit::BURST);
            self.counted = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

impl Stack {
    pub(crate) fn receive_icmp(&mut self, ip: &IpPacket<'_>) {
        let message = match Family::of(ip.header.source) {
            Family::V4 => IcmpMessage::parse(ip.payload),
            Family::V6 => IcmpMessage::parse_v6(&ip.header, ip.payload),
        };
        match message {
            Ok(IcmpMessage::EchoRequest {
                identifier,
                sequence,
                data,
            }) => {
                self.cx.counters.echo_replies += 1;
                self.reply(IcmpMessage::echo_reply(&ip.header, identifier, sequence, data));
            }
            Ok(IcmpMessage::FragmentationNeeded { mtu, quoted }) => self.on_fragmentation_needed(&quoted, mtu),
            Ok(
                IcmpMessage::Unreachable { quoted, .. }
                | IcmpMessage::TimeExceeded { quoted }
                | IcmpMessage::ParameterProblem { quoted },
            ) => self.on_icmp_error(ip, &quoted),
            Ok(IcmpMessage::EchoReply { .. } | IcmpMessage::Ignored) => self.cx.dropped(None, DropReason::Protocol),
            Err(malformed) => self.cx.dropped(None, reason_for(malformed)),
        }
    }

    /// The connection an ICMP error quotes, if the quoted segment may be in flight: RFC 5927 §4.1, MUST-54. As Linux, SND.NXT
    /// itself counts too.
    fn quoted_connection(&mut self, quoted: &Quoted) -> Option<SocketId> {
        let Some(&Target::Connection(id)) = self.demux.get(&quoted_flow(quoted)) else {
            return None;
        };
        let snd = &self.sockets.connection(id)?.snd;
        (quoted.seq.at_or_after(snd.una) && quoted.seq.at_or_before(snd.nxt)).then_some(id)
    }

    /// The half-open connection whose SYN-ACK an ICMP error quotes.
    fn quoted_half_open(&self, quoted: &Quoted) -> Option<usize> {
        let Some(&Target::HalfOpen(key)) = self.demux.get(&quoted_flow(quoted)) else {
            return None;
        };
        (self.half_open.get(key)?.iss == quoted.seq).then_some(key)
    }

    fn on_fragmentation_needed(&mut self, quoted: &Quoted, mtu: u32) {
        let Some(id) = self.quoted_connection(quoted) else {
            return self.cx.dropped(None, DropReason::OutOfWindow);
        };
        if let Some(connection) = self.sockets.connection_mut(id) {
            connection.on_fragmentation_needed(&mut self.cx, usize::try_from(mtu).unwrap_or(usize::MAX));
        }
        self.settle(id);
    }

    /// RFC 9293 MUST-56, SHLD-25, SHLD-26, MUST-47: what ends an attempt to connect, and what is only told.
    fn on_icmp_error(&mut self, ip: &IpPacket<'_>, quoted: &Quoted) {
        let [kind, code, _, _, word @ ..] = ip.payload.first_chunk::<8>().copied().unwrap_or_default();
        let family = Family::of(ip.header.source);
        let (error, severity) = meaning(family, kind, code);
        if let Some(key) = self.quoted_half_open(quoted) {
            if ends_half_open(family, severity, self.cx.config.soft_errors_end_connect) {
                self.forget_half_open(key, Cause::Aborted);
            }
            return;
        }
        let Some(id) = self.quoted_connection(quoted) else {
            return self.cx.dropped(None, DropReason::OutOfWindow);
        };
        let report = ErrorReport {
            error,
            family,
            kind,
            code,
            info: detail(family, kind, word),
            offender: ip.header.source,
            destination: quoted.destination,
            quoted: IcmpMessage::quoted_segment(ip.payload).to_vec(),
        };
        if let Some(connection) = self.sockets.connection_mut(id) {
            connection.on_icmp_error(&mut self.cx, report, severity);
        }
        self.settle(id);
    }

    /// Tells the sender of `packet` what is wrong with it, within the limits of RFC 1122 §3.2.2 and RFC 4443 §2.4.
    pub(crate) fn complain(&mut self, error: IcmpError, packet: &[u8]) {
        let Some(answer) = error.packet(packet) else { return };
        if self.may_speak(&answer) && self.icmp_limit.take(self.cx.now) {
            self.reply(answer);
        }
    }

    /// Whether a packet goes from an address of ours to a host that is not us: what came to a broadcast address or past
    /// us is not answered, and no group is ours, so neither is what came to one.
    fn may_speak(&self, packet: &[u8]) -> bool {
        let config = &self.cx.config;
        IpPacket::parse(packet).is_ok_and(|ip| {
            let to = ip.header.destination;
            route::is_taken(config, ip.header.source) && !route::is_no_host(config, to) && !route::is_local(config, to)
        })
    }

    /// Counts the fragments and datagrams that reassembly gave up since this was last asked.
    pub(crate) fn count_lost_fragments(&mut self) {
        let lost = self.reassembler.counts().lost();
        for _ in core::mem::replace(&mut self.fragments_lost, lost)..lost {
            self.cx.dropped(None, DropReason::Fragment);
        }
    }
}

/// The flow of ours that a quoted segment belongs to.
fn quoted_flow(quoted: &Quoted) -> Flow {
    Flow {
        local: quoted.source,
        remote: quoted.destination,
    }
}

/// Whether an error about a SYN-ACK is the end of it. As Linux: in IPv6 hard ones are (RFC 9293 SHLD-26), and in IPv4, where
/// that is asked for, the soft ones.
fn ends_half_open(family: Family, severity: Severity, soft_ones_end: bool) -> bool {
    match family {
        Family::V4 => severity == Severity::Soft && soft_ones_end,
        Family::V6 => severity == Severity::Hard,
    }
}

/// Why bytes were dropped.
pub(crate) fn reason_for(malformed: Malformed) -> DropReason {
    match malformed {
        Malformed::BadChecksum => DropReason::Checksum,
        Malformed::Truncated | Malformed::BadLength | Malformed::Unsupported | Malformed::Problem(_) => {
            DropReason::Malformed
        }
    }
}
