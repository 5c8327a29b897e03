//! What a stack is told when it is made.

use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;

use crate::Algorithm;

/// Whether connections use explicit congestion notification, RFC 3168: the values of Linux's `tcp_ecn`. Those above 2
/// are Accurate ECN's, which is not spoken here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EcnPolicy {
    /// 0: never.
    Off,
    /// 1: asked for, and agreed to when a peer asks.
    Request,
    /// 2: agreed to when a peer asks.
    #[default]
    Accept,
}

impl EcnPolicy {
    /// The policy that Linux gives this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<EcnPolicy> {
        match number {
            0 => Some(EcnPolicy::Off),
            1 => Some(EcnPolicy::Request),
            2 => Some(EcnPolicy::Accept),
            _ => None,
        }
    }

    /// Its number in Linux.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            EcnPolicy::Off => 0,
            EcnPolicy::Request => 1,
            EcnPolicy::Accept => 2,
        }
    }
}

/// An address of the stack with the length of its network prefix in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// Prefix length, 0 to 32 for IPv4 and 0 to 128 for IPv6.
    pub prefix: u8,
}

impl Cidr {
    /// Whether `address` is of its network. No address of IPv4 is of one of IPv6, in whatever clothes.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let hosts = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & !hosts == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let hosts = u128::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & !hosts == 0
            }
            _ => false,
        }
    }
}

impl core::fmt::Display for Cidr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Keys for initial sequence numbers, ports and tables: 32 bytes from the operating system, or a seed to replay by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)") // RFC 9293 MUST-9: a key is never printed
    }
}

/// Whether connect may take a pair of ends in TIME-WAIT, when timestamps show the peer that the new connection is newer
/// (RFC 6191 seen from the other side). The numbers are those of Linux's `tcp_tw_reuse`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeWaitReuse {
    /// 0.
    Never,
    /// 1.
    Always,
    /// 2: inside the host only; Linux's default.
    #[default]
    Loopback,
}

impl TimeWaitReuse {
    /// All, in the order of their numbers.
    pub const ALL: [TimeWaitReuse; 3] = [TimeWaitReuse::Never, TimeWaitReuse::Always, TimeWaitReuse::Loopback];
}

/// What a listener does with SYNs, RFC 4987. The numbers are those of Linux's `tcp_syncookies`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SynCookies {
    /// 0: it keeps them all, and beyond its queue of half-open connections it forgets the oldest. (Linux forgets the
    /// newest.)
    Never,
    /// 1: beyond that queue it keeps nothing, and sends what it must know along as its sequence number.
    #[default]
    WhenFull,
    /// 2: it never keeps anything: for tests.
    Always,
}

impl SynCookies {
    /// All, in the order of their numbers.
    pub const ALL: [SynCookies; 3] = [SynCookies::Never, SynCookies::WhenFull, SynCookies::Always];
}

/// What a host keeps over the life of one process, so that initial sequence numbers and timestamps towards a peer go on
/// where they were (RFC 6528 §3, RFC 6191 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Keys of both.
    pub secret: Secret,
    /// How far their clocks are ahead of the one that hands in the time: what that one loses when it begins anew.
    pub ahead: Duration,
}

/// Everything a [`Stack`](crate::Stack) is told at birth.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses of the stack. 127.0.0.0/8 and ::1 are always its own as well, inside it only.
    pub addresses: Vec<Cidr>,
    /// Every address that a host can have counts as the stack's own: packets to it are taken, and answered from it. For
    /// whoever terminates the connections of others, as at the end of a tunnel. What stays inside the stack, and what the
    /// stack calls itself, are still `addresses` alone.
    pub any_address: bool,
    /// Largest IP packet the device carries, in bytes; 128 to 65,535.
    pub mtu: usize,
    /// Largest text of a super-segment handed to the device, in bytes; 0: the device does not split, so none are made.
    pub segmentation_offload: usize,
    /// Who sums what is sent.
    pub checksum: ustcp_wire::Checksum,
    /// Keys that are new in every process.
    pub secret: Secret,
    /// What stays from one process to the next; `None`: nothing does, and a peer that remembers the last one may take a
    /// new connection between the same ends for an old one.
    pub identity: Option<Identity>,
    /// Selective acknowledgements of RFC 2018 (`tcp_sack`): permitted in SYNs, and used when the peer permits them too.
    pub sack: bool,
    /// Timestamps of RFC 7323 (`tcp_timestamps`): offered in SYNs, and used when the peer offers them too.
    pub timestamps: bool,
    /// Window scaling of RFC 7323 (`tcp_window_scaling`): offered in SYNs, and used when the peer offers it too.
    pub window_scaling: bool,
    /// The urgent pointer names the urgent byte itself and not the one after it, as RFC 1122 had it (`tcp_stdurg`).
    pub urgent_pointer_names_last: bool,
    /// An RST does not end TIME-WAIT, RFC 1337 (`tcp_rfc1337`). Linux's default is that it does.
    pub rfc1337: bool,
    /// Whether connect may take a pair of ends in TIME-WAIT (`tcp_tw_reuse`).
    pub time_wait_reuse: TimeWaitReuse,
    /// How long TIME-WAIT lasts: 2 MSL. RFC 9293 says 4 minutes; Linux and we, 60 s.
    pub time_wait: Duration,
    /// Shortest retransmission timeout. RFC 6298 says 1 s; Linux and we, 200 ms.
    pub rto_min: Duration,
    /// Longest retransmission timeout, and longest gap between window probes.
    pub rto_max: Duration,
    /// Retransmission timeout before the first round-trip sample, RFC 6298 (2.1).
    pub rto_initial: Duration,
    /// Retransmissions of a SYN before connect gives up (`tcp_syn_retries`): 7 is 247 s, for RFC 9293 MUST-23 wants 3
    /// minutes at least. Linux's own 6 is 127 s.
    pub syn_retries: u8,
    /// Retransmissions of a SYN, before those, that do not double the timeout (`tcp_syn_linear_timeouts`). RFC 6298 (5.5)
    /// has none; Linux's default is 4.
    pub syn_linear_timeouts: u8,
    /// Whether an ICMP error that RFC 9293 calls soft (network or host unreachable, time exceeded, parameter problem) ends
    /// an attempt to connect, and in IPv4 a half-open connection. MUST-56 says no; Linux does so, and RFC 5461 §4 says why.
    pub soft_errors_end_connect: bool,
    /// Retransmissions of a SYN-ACK before the half-open connection is forgotten (`tcp_synack_retries`).
    pub syn_ack_retries: u8,
    /// Retransmissions of data before the connection is given up (`tcp_retries2`): 15 is 924 s at least.
    pub retries: u8,
    /// The same for a connection that its user has closed (`tcp_orphan_retries`).
    pub orphan_retries: u8,
    /// How long a closed user's connection may stay in FIN-WAIT-2 (`tcp_fin_timeout`).
    pub fin_timeout: Duration,
    /// Text that arrived twice is told to the peer, RFC 2883 (`tcp_dsack`).
    pub dsack: bool,
    /// What RACK may do (`tcp_recovery`), a sum: 1 find losses by time, which with SACK it does anyway; 2 keep the
    /// reordering window as it is when D-SACKs say that it was too small; 4 let the third duplicate say nothing.
    pub recovery: u8,
    /// Tail loss probes (`tcp_early_retrans`): 0 none, 3 or 4 after two round trips of silence.
    pub early_retrans: u8,
    /// Timeouts are doubted as RFC 5682 says (`tcp_frto`): 0 never, else whenever that may show something.
    pub frto: u8,
    /// How long what a router says of a path counts, RFC 1191 §6.3 (`mtu_expires`).
    pub mtu_expires: Duration,
    /// Segment sizes are searched for by what comes through, RFC 4821 (`tcp_mtu_probing`): 0 never; 1 when full segments
    /// have timed out four times in a row, where such have come through before three times over; 2 always. Linux's
    /// default is 0.
    pub mtu_probing: u8,
    /// The size that such a search begins with, in bytes of the MSS (`tcp_base_mss`).
    pub base_mss: usize,
    /// The size that it falls to at least (`tcp_mtu_probe_floor`).
    pub mtu_probe_floor: usize,
    /// How long after a search larger sizes are tried again (`tcp_probe_interval`).
    pub probe_interval: Duration,
    /// How long an acknowledgement is held back at first and at least (Linux's `TCP_DELACK_MIN`).
    pub delayed_ack: Duration,
    /// How long at most, when text comes slowly (`TCP_DELACK_MAX`); RFC 9293 MUST-40 says below 500 ms.
    pub delayed_ack_max: Duration,
    /// Acknowledgements that are not held back when a peer begins to send (`TCP_MAX_QUICKACKS`): it is in slow start.
    pub quick_acks: u8,
    /// Receive buffer a connection begins with, in bytes: the window that it announces. Linux's `tcp_rmem` counts twice
    /// as much, for there half of a buffer is window.
    pub receive_buffer: usize,
    /// The least that a user can make of it, in bytes (the first figure of `tcp_rmem`, halved).
    pub receive_buffer_min: usize,
    /// The most to which it grows by itself; also fixes the window scale.
    pub receive_buffer_max: usize,
    /// Whether it does (`tcp_moderate_rcvbuf`).
    pub moderate_receive_buffer: bool,
    /// Send buffer a connection begins with, in bytes (`tcp_wmem`).
    pub send_buffer: usize,
    /// Bytes that may wait to be sent for the first time before a socket takes no more (`tcp_notsent_lowat`).
    pub notsent_low: u32,
    /// The least that a user can make of it, in bytes.
    pub send_buffer_min: usize,
    /// The most to which it grows by itself.
    pub send_buffer_max: usize,
    /// Hop limit of what is sent (`ip_default_ttl`), RFC 9293 MUST-49.
    pub default_ttl: u8,
    /// Initial congestion window in segments, RFC 6928.
    pub initial_window: u32,
    /// Bytes of all buffers together beyond which SYNs and text out of order are refused (`tcp_mem`, in bytes).
    pub memory_limit: usize,
    /// After a pause of a retransmission timeout sending begins with the initial window again, RFC 5681 §4.1
    /// (`tcp_slow_start_after_idle`).
    pub slow_start_after_idle: bool,
    /// Congestion control that a socket begins with (`tcp_congestion_control`).
    pub congestion: Algorithm,
    /// Who may use Fast Open, as bits (`tcp_fastopen`): 1 our connections, 2 listeners that ask for it, 4 connections
    /// without a cookie, 0x200 listeners without one.
    pub fast_open: u32,
    /// Explicit congestion notification (`tcp_ecn`).
    pub ecn: EcnPolicy,
    /// Whether a SYN that asked for it and had no answer is sent again without asking (`tcp_ecn_fallback`).
    pub ecn_fallback: bool,
    /// Ports handed out by the stack itself (`ip_local_port_range`).
    pub ephemeral_ports: RangeInclusive<u16>,
    /// What a listener does with SYNs beyond its queue of half-open connections (`tcp_syncookies`).
    pub syn_cookies: SynCookies,
    /// Whether a peer is told by RST that the queue of completed connections is full (`tcp_abort_on_overflow`); else it
    /// may try again.
    pub abort_on_overflow: bool,
    /// Most half-open connections of one listener (`tcp_max_syn_backlog`).
    pub syn_backlog: usize,
    /// Most completed connections that may wait for accept (`somaxconn`).
    pub accept_backlog: usize,
    /// Most connections in TIME-WAIT (`tcp_max_tw_buckets`).
    pub time_wait_limit: usize,
    /// Most sockets.
    pub socket_limit: usize,
    /// Whether [`Stack::poll_event`](crate::Stack::poll_event) is fed.
    pub trace: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            addresses: Vec::new(),
            any_address: false,
            mtu: 1500,
            segmentation_offload: 0,
            checksum: ustcp_wire::Checksum::Full,
            secret: Secret([0; 32]),
            identity: None,
            sack: true,
            timestamps: true,
            window_scaling: true,
            urgent_pointer_names_last: false,
            rfc1337: true,
            time_wait_reuse: TimeWaitReuse::Loopback,
            time_wait: Duration::from_secs(60),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(120),
            rto_initial: Duration::from_secs(1),
            syn_retries: 7,
            syn_linear_timeouts: 0,
            soft_errors_end_connect: false,
            syn_ack_retries: 5,
            retries: 15,
            orphan_retries: 8,
            fin_timeout: Duration::from_secs(60),
            dsack: true,
            recovery: 1,
            early_retrans: 3,
            frto: 2,
            mtu_expires: Duration::from_secs(600),
            mtu_probing: 1,
            base_mss: 1024,
            mtu_probe_floor: 48,
            probe_interval: Duration::from_secs(600),
            delayed_ack: Duration::from_millis(40),
            delayed_ack_max: Duration::from_millis(200),
            quick_acks: 16,
            receive_buffer: 64 * 1024,
            receive_buffer_min: 2048,
            receive_buffer_max: 16 << 20,
            moderate_receive_buffer: true,
            send_buffer: 16 * 1024,
            send_buffer_min: 4096,
            send_buffer_max: 4 << 20,
            default_ttl: 64,
            notsent_low: u32::MAX,
            initial_window: 10,
            memory_limit: 1 << 30,
            slow_start_after_idle: true,
            congestion: Algorithm::Cubic,
            fast_open: 1,
            ecn: EcnPolicy::Accept,
            ecn_fallback: true,
            ephemeral_ports: 32768..=60999,
            syn_cookies: SynCookies::WhenFull,
            abort_on_overflow: false,
            syn_backlog: 4096,
            accept_backlog: 4096,
            time_wait_limit: 65_536,
            socket_limit: 1 << 20,
            trace: false,
        }
    }
}
