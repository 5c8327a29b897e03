//! What the stack counts, and what it holds.

use crate::DropReason;

/// Counts since the stack was made. Named after RFC 4022's and Linux's where they have a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets handed in.
    pub packets_in: u64,
    /// Packets handed out; a super-segment is one.
    pub packets_out: u64,
    /// TCP segments received, well-formed ones.
    pub in_segs: u64,
    /// TCP segments sent.
    pub out_segs: u64,
    /// Segments that carried bytes sent before.
    pub retrans_segs: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Fast retransmits entered.
    pub fast_retransmits: u64,
    /// Retransmissions that were lost themselves (`TCPLostRetransmit`).
    pub lost_retransmits: u64,
    /// Tail loss probes sent (`TCPLossProbes`).
    pub loss_probes: u64,
    /// Losses that nothing but a tail loss probe has repaired (`TCPLossProbeRecovery`).
    pub loss_probe_recoveries: u64,
    /// Segments larger than the MSS sent to find out whether they come through (RFC 4821).
    pub mtu_probes: u64,
    /// Timeouts found spurious by F-RTO (`TCPSpuriousRTOs`).
    pub spurious_rtos: u64,
    /// Timeouts undone for whatever reason (`TCPLossUndo`).
    pub loss_undos: u64,
    /// Recoveries undone because everything sent again arrived twice (`TCPDSACKUndo`).
    pub dsack_undos: u64,
    /// Recoveries undone at their end because timestamps say that nothing sent again was needed (`TCPFullUndo`).
    pub full_undos: u64,
    /// The same before their end (`TCPPartialUndo`).
    pub partial_undos: u64,
    /// D-SACKs received that can be about what we sent again (`TCPDSACKRecv`).
    pub dsacks_received: u64,
    /// Timeouts that found SACKed text at the head of what is in flight (`TCPSACKReneging`).
    pub sack_renegings: u64,
    /// Acknowledgements that showed reordering (`TCPSACKReorder`).
    pub sack_reorderings: u64,
    /// connect calls that sent a SYN.
    pub active_opens: u64,
    /// SYNs that a listener took.
    pub passive_opens: u64,
    /// Connections that reached ESTABLISHED.
    pub established: u64,
    /// Attempts that failed.
    pub attempt_fails: u64,
    /// Connections that went from ESTABLISHED or CLOSE-WAIT straight to CLOSED: by RST, from either end, or timeout.
    pub estab_resets: u64,
    /// RSTs sent.
    pub out_rsts: u64,
    /// Challenge ACKs sent, RFC 5961.
    pub challenge_acks: u64,
    /// Connections that entered TIME-WAIT.
    pub time_waits: u64,
    /// Connections in TIME-WAIT that a new one of ours succeeded (`TWRecycled`).
    pub time_waits_reused: u64,
    /// SYNs answered with a cookie (`SyncookiesSent`).
    pub syncookies_sent: u64,
    /// Cookies that came back and made a connection (`SyncookiesRecv`).
    pub syncookies_recv: u64,
    /// ACKs to a listener in need that had none (`SyncookiesFailed`).
    pub syncookies_failed: u64,
    /// SYNs, and ACKs that would have completed a connection, that met a full queue of those that wait for accept
    /// (`ListenOverflows`).
    pub listen_overflows: u64,
    /// These and all others that a listener let drop for want of room or memory (`ListenDrops`).
    pub listen_drops: u64,
    /// SYNs that were to be answered with a cookie (`TCPReqQFullDoCookies`): the queue of half-open connections was full, or
    /// every SYN is.
    pub request_queue_full_cookies: u64,
    /// SYNs that met a full queue of half-open connections where there are no cookies (`TCPReqQFullDrop`). Linux drops
    /// them; here the oldest in the queue gives way.
    pub request_queue_full_drops: u64,
    /// Echo requests answered.
    pub echo_replies: u64,
    /// Events not recorded because nobody fetched the earlier ones.
    pub events_lost: u64,
    drops: [u64; DropReason::COUNT],
}

impl Counters {
    /// Packets dropped for `reason`.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    pub(crate) fn dropped(&mut self, reason: DropReason) {
        if let Some(count) = self.drops.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

/// What the stack holds at this moment: all zero when everything is closed and TIME-WAIT has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Sockets that the user holds.
    pub sockets: usize,
    /// Connections that the user has closed and that still live (FIN-WAIT, CLOSING, LAST-ACK).
    pub orphans: usize,
    /// Half-open connections of listeners.
    pub half_open: usize,
    /// Connections in TIME-WAIT.
    pub time_wait: usize,
    /// Completed connections that wait for accept.
    pub unaccepted: usize,
    /// Bytes of buffer allocated.
    pub buffer_bytes: usize,
    /// Headers of SYNs kept for their users (`TCP_SAVE_SYN`), in bytes.
    pub saved_syn_bytes: usize,
    /// Memory taken by fragments that wait for the rest of their packet.
    pub fragment_bytes: usize,
    /// Timers armed.
    pub timers: usize,
}
