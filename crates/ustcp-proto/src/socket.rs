//! What a user of a socket sees.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use crate::{Algorithm, Config, FastOpenKeys, Owner, State};

/// Names a socket of one stack. Never reused: a stale id is [`Error::BadSocket`](crate::Error::BadSocket).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl SocketId {
    /// No socket's id.
    pub(crate) const NOBODY: SocketId = SocketId {
        index: u32::MAX,
        generation: 0,
    };

    /// A small number that no other socket has which is there at the same time: a place in a table.
    #[must_use]
    pub fn place(self) -> usize {
        self.index as usize
    }
}

/// Address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
}

impl Family {
    /// The family of `address`: that of ::ffff:a.b.c.d is IPv6.
    #[must_use]
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// IP and TCP headers without options, in bytes.
    #[must_use]
    pub fn headers(self) -> usize {
        match self {
            Family::V4 => 40,
            Family::V6 => 60,
        }
    }

    /// The segment size assumed of a peer that names none, RFC 9293 MUST-15.
    #[must_use]
    pub fn default_mss(self) -> u16 {
        match self {
            Family::V4 => 536,
            Family::V6 => 1220,
        }
    }

    /// No router makes us believe in a smaller path MTU than this: Linux's `min_pmtu`; RFC 8201 §4.
    pub(crate) fn min_path_mtu(self) -> usize {
        match self {
            Family::V4 => 552,
            Family::V6 => 1280,
        }
    }

    /// The address of no host.
    pub(crate) fn unspecified(self) -> IpAddr {
        match self {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

/// Which half to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// `SHUT_RD`.
    Read,
    /// `SHUT_WR`.
    Write,
    /// `SHUT_RDWR`.
    Both,
}

/// What one send says of its bytes beside the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Framing {
    /// `MSG_MORE`: more follows at once, so less than a whole segment may wait for it.
    pub more: bool,
    /// `MSG_EOR`: a record ends here, and what follows shares no segment with it.
    pub ends_record: bool,
    /// `MSG_OOB`: the last byte taken is urgent, RFC 9293 §3.8.5.
    pub urgent: bool,
}

/// What poll would say, in Linux's terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// `POLLIN`: data, end of stream, or a connection to accept.
    pub readable: bool,
    /// `POLLOUT`.
    pub writable: bool,
    /// `POLLRDHUP`: the peer sent FIN, or our reading half is shut down.
    pub read_closed: bool,
    /// `POLLHUP`: both halves are closed, or there never was a connection.
    pub hang_up: bool,
    /// `POLLERR`: an error waits in `SO_ERROR`.
    pub error: bool,
    /// `POLLPRI`: an urgent byte waits.
    pub urgent: bool,
    /// Bytes have arrived (or a connection to accept, or FIN) so often: each change is an edge for `EPOLLET`.
    pub arrivals: u32,
}

/// Options of a socket. Read with [`Stack::options`](crate::Stack::options), changed with
/// [`Stack::set_options`](crate::Stack::set_options); accepted connections begin with their listener's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `SO_REUSEADDR`: bind although connections of an earlier life are in TIME-WAIT there.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`: share address and port, listening too, with sockets that have it as well. Of several listeners each
    /// connection comes to one, by a hash of its ends.
    pub reuse_port: bool,
    /// `IP_TRANSPARENT`: bind takes any address that a host can have, and a listener takes connections to every port of
    /// its address (or of all, as it is bound) for which there is no other listener.
    pub transparent: bool,
    /// `IPV6_V6ONLY`: an IPv6 socket that has nothing to do with IPv4. Without it IPv4 addresses are ::ffff:a.b.c.d.
    pub v6_only: bool,
    /// `SO_KEEPALIVE`.
    pub keepalive: bool,
    /// `TCP_KEEPIDLE`.
    pub keepalive_idle: Duration,
    /// `TCP_KEEPINTVL`.
    pub keepalive_interval: Duration,
    /// `TCP_KEEPCNT`.
    pub keepalive_count: u8,
    /// `SO_OOBINLINE`: urgent data stays in the stream.
    pub urgent_inline: bool,
    /// `TCP_USER_TIMEOUT` (RFC 5482): how long a peer may leave unanswered what is sent again, probes of its closed
    /// window, and those of keepalive. `None`: as the configuration's counts of retries say.
    pub user_timeout: Option<Duration>,
    /// `TCP_QUICKACK` before there is a connection, see [`Stack::set_quick_ack`](crate::Stack::set_quick_ack).
    pub quick_ack: bool,
    /// `TCP_NODELAY`: no Nagle.
    pub no_delay: bool,
    /// `TCP_CORK`: less than a whole segment waits for more, for a retransmission timeout at most.
    pub cork: bool,
    /// `TCP_NOTSENT_LOWAT`: bytes that may wait to be sent for the first time before no more are taken. 0: as the
    /// configuration says.
    pub notsent_low: u32,
    /// `SO_RCVLOWAT`: readable from so many bytes on.
    pub receive_low: usize,
    /// `TCP_THIN_LINEAR_TIMEOUTS`: a stream with less than four segments in flight does not wait twice as long with every
    /// timeout.
    pub thin_linear: bool,
    /// `SO_LINGER`: `Some(0)` makes close send RST. Longer times are the runtime's to wait.
    pub linger: Option<Duration>,
    /// What `SO_LINGER` said when it was last switched on: as Linux, told while it is off.
    pub linger_kept: Duration,
    /// `TCP_LINGER2`: how long a closed user's connection may stay in FIN-WAIT-2. `None`: as the configuration says;
    /// zero: not at all, the peer gets RST.
    pub fin_timeout: Option<Duration>,
    /// `TCP_SYNCNT`: retransmissions of a SYN, or a listener's of its SYN-ACKs. `None`: as the configuration says.
    pub syn_retries: Option<u8>,
    /// `TCP_DEFER_ACCEPT`: a listener's connections wait for their first text, for so many timeouts of the SYN-ACK.
    pub defer_accept: u8,
    /// `SO_RCVBUF`, in bytes; `None`: the stack's, which grows with what the path carries.
    pub receive_buffer: Option<usize>,
    /// `SO_SNDBUF`, in bytes; `None` as well.
    pub send_buffer: Option<usize>,
    /// `TCP_WINDOW_CLAMP`: the largest window to announce, in bytes.
    pub window_clamp: Option<usize>,
    /// `TCP_MAXSEG` as set by the user, in bytes.
    pub max_segment: Option<u16>,
    /// `TCP_SAVE_SYN`: 1 or 2, a listener keeps the headers of the SYNs that its connections begin with. What Linux has of
    /// the link layer with 2, a TUN device has not.
    pub save_syn: u8,
    /// `TCP_FASTOPEN`: how many connections of a listener may be let in before their handshake is done; 0: none.
    pub fast_open_backlog: usize,
    /// `TCP_FASTOPEN_KEY`: what a listener's cookies are made with; `None`: the stack's own key.
    pub fast_open_keys: Option<FastOpenKeys>,
    /// `TCP_FASTOPEN_CONNECT`: connect returns at once, and the SYN waits for text, where the server is known.
    pub fast_open_connect: bool,
    /// `TCP_FASTOPEN_NO_COOKIE`: text in the SYN without a cookie, both ways.
    pub fast_open_no_cookie: bool,
    /// `TCP_CONGESTION`.
    pub congestion: Algorithm,
    /// `TCP_INQ`: recvmsg tells how much is left to read.
    pub tell_left: bool,
    /// `IP_RECVERR`, `IPV6_RECVERR`: an ICMP error that ends nothing is told by the next call nevertheless.
    pub error_queue: bool,
    /// `IP_TOS`, `IPV6_TCLASS`: goes with every packet from now on. The lower two bits are ECN's and stay so.
    pub traffic_class: u8,
    /// `IP_TTL`, `IPV6_UNICAST_HOPS`; `None` (−1 to the user): the stack's own.
    pub hop_limit: Option<u8>,
    /// `IP_FREEBIND`: bind takes any address that a host can have.
    pub free_bind: bool,
    /// `IP_BIND_ADDRESS_NO_PORT`: bind with port 0 chooses no port; connect does, for the place it goes to.
    pub bind_without_port: bool,
    /// `SO_MAX_PACING_RATE`: bytes a second that leave at most. 0 and `u64::MAX` are no limit.
    pub max_pacing_rate: u64,
    /// Whose it is, where a stack serves several: what all sockets of an owner may hold is limited by `tcp_mem`.
    pub owner: Option<Owner>,
    /// What means nothing here.
    pub kept: Kept,
}

/// What a user has set that means nothing to the stack: kept to be told, and handed on to accepted connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// A bit for each flag that is not as it was at first; which is which, whoever sets them knows.
    pub flags: u64,
    /// `SO_PRIORITY`.
    pub priority: i32,
    /// `SO_MARK`.
    pub mark: i32,
    /// `SO_BUSY_POLL`, in microseconds.
    pub busy_poll: i32,
    /// `SO_INCOMING_CPU`; −1: none in particular.
    pub incoming_cpu: i32,
    /// `IP_MTU_DISCOVER`, `IPV6_MTU_DISCOVER`.
    pub mtu_discovery: u8,
}

impl Default for Kept {
    fn default() -> Kept {
        Kept {
            flags: 0,
            priority: 0,
            mark: 0,
            busy_poll: 0,
            incoming_cpu: -1,
            mtu_discovery: 1,
        }
    }
}

/// What a user wants of IP, RFC 9293 MUST-48 and MUST-49.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) traffic_class: u8,
    pub(crate) hop_limit: Option<u8>,
}

impl Options {
    pub(crate) fn service(&self) -> Service {
        Service {
            traffic_class: self.traffic_class & !0b11,
            hop_limit: self.hop_limit,
        }
    }
}

impl Default for Options {
    /// Those of a new socket of a stack that was told nothing else.
    fn default() -> Options {
        let config = Config::default();
        Options {
            reuse_address: false,
            reuse_port: false,
            transparent: false,
            v6_only: false,
            keepalive: false,
            keepalive_idle: Duration::from_secs(7200), // RFC 9293 MUST-28
            keepalive_interval: Duration::from_secs(75),
            keepalive_count: 9,
            urgent_inline: false,
            user_timeout: None,
            quick_ack: true,
            no_delay: false,
            cork: false,
            notsent_low: 0,
            receive_low: 1,
            thin_linear: false,
            linger: None,
            linger_kept: Duration::ZERO,
            fin_timeout: None,
            syn_retries: None,
            defer_accept: 0,
            receive_buffer: None,
            send_buffer: None,
            window_clamp: None,
            max_segment: None,
            save_syn: 0,
            fast_open_backlog: 0,
            fast_open_keys: None,
            fast_open_connect: false,
            fast_open_no_cookie: false,
            congestion: config.congestion,
            tell_left: false,
            error_queue: false,
            traffic_class: 0,
            hop_limit: None,
            free_bind: false,
            bind_without_port: false,
            max_pacing_rate: u64::MAX,
            owner: None,
            kept: Kept::default(),
        }
    }
}

/// How a connection's loss recovery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is missing.
    Open,
    /// Acknowledgements are out of order, which may mean anything.
    Disorder,
    /// Losses are repaired.
    Recovery,
    /// The same after a timeout.
    Loss,
}

/// What `TCP_INFO` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// State.
    pub state: State,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Smoothed round-trip time; zero before the first sample.
    pub srtt: Duration,
    /// Its variation.
    pub rttvar: Duration,
    /// Smallest round trip seen; zero before the first sample.
    pub min_rtt: Duration,
    /// Congestion window in segments.
    pub cwnd: u32,
    /// Slow-start threshold in segments; `u32::MAX` before the first loss.
    pub ssthresh: u32,
    /// The congestion control at work.
    pub congestion: Algorithm,
    /// At how many bytes a second segments leave; `None` where neither it nor the user wants them paced.
    pub pacing_rate: Option<u64>,
    /// `SO_MAX_PACING_RATE`.
    pub max_pacing_rate: u64,
    /// Segment size we send with, in bytes.
    pub snd_mss: u32,
    /// Largest segment seen from the peer, in bytes.
    pub rcv_mss: u32,
    /// Segment size we advertised, in bytes.
    pub advmss: u32,
    /// Path MTU in bytes.
    pub pmtu: u32,
    /// The peer's window in bytes.
    pub snd_wnd: u32,
    /// Our window in bytes.
    pub rcv_wnd: u32,
    /// Segments in flight.
    pub unacked: u32,
    /// Of these, SACKed.
    pub sacked: u32,
    /// Of these, held to be lost.
    pub lost: u32,
    /// Of these, retransmitted.
    pub retrans: u32,
    /// Segments retransmitted in the connection's life.
    pub total_retrans: u32,
    /// By how many segments the path was seen to reorder, at most; 3 to begin with.
    pub reordering: u32,
    /// How often it was.
    pub reord_seen: u32,
    /// Segments that the peer says it got twice.
    pub dsack_dups: u32,
    /// Segments delivered to the peer in the connection's life, as far as acknowledgements tell.
    pub delivered: u32,
    /// Timeouts in a row.
    pub retransmits: u8,
    /// Unanswered probes.
    pub probes: u8,
    /// Backoff exponent.
    pub backoff: u8,
    /// Window scale of the peer, then ours; `None` when not negotiated.
    pub window_scale: Option<(u8, u8)>,
    /// SACK negotiated.
    pub sack: bool,
    /// Timestamps negotiated.
    pub timestamps: bool,
    /// Bytes of text the peer acknowledged.
    pub bytes_acked: u64,
    /// Bytes of text received in order.
    pub bytes_received: u64,
    /// Bytes of text sent, retransmissions included.
    pub bytes_sent: u64,
    /// Bytes of text retransmitted.
    pub bytes_retrans: u64,
    /// Segments sent.
    pub segs_out: u32,
    /// Segments received.
    pub segs_in: u32,
    /// Bytes written by the user and not yet sent.
    pub notsent: u32,
    /// Time since text was last sent.
    pub last_data_sent: Duration,
    /// Time since text was last received.
    pub last_data_received: Duration,
    /// Time since an acknowledgement was last received.
    pub last_ack_received: Duration,
    /// How loss recovery stands.
    pub phase: Phase,
    /// How long an acknowledgement may wait.
    pub ack_timeout: Duration,
    /// Segments with text received.
    pub text_segs_in: u32,
    /// Segments with text sent, retransmissions included.
    pub text_segs_out: u32,
    /// Segments received ahead of a hole.
    pub out_of_order: u32,
    /// Bytes a second that were last delivered; 0 before the first.
    pub delivery_rate: u64,
    /// The user left the network idle while that was measured.
    pub delivery_app_limited: bool,
    /// Time with text to send.
    pub busy: Duration,
    /// Of this, held up by the peer's window.
    pub window_limited: Duration,
    /// Of this, held up by the send buffer.
    pub buffer_limited: Duration,
    /// Retransmission timeouts, those of SYNs among them.
    pub timeouts: u16,
    /// The same, those in a row counted once.
    pub timeout_recoveries: u16,
    /// From the first timeout in a row to the answer, all together.
    pub timeout_time: Duration,
}
