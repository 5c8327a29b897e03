//! The states of a connection and the arrows between them: RFC 9293 §3.3.2, Figure 5.

use core::fmt;

/// RFC 9293's eleven states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum State {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

/// What moves a connection from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Cause {
    /// Passive OPEN: listen.
    PassiveOpen,
    /// Active OPEN: connect.
    ActiveOpen,
    /// A SYN without ACK arrived.
    PeerSyn,
    /// A SYN that acknowledges ours arrived.
    PeerSynAck,
    /// Our SYN was acknowledged.
    OurSynAcked,
    /// CLOSE: close or shutdown by the user.
    UserClosed,
    /// The peer's FIN arrived, and all before it.
    PeerFin,
    /// Our FIN was acknowledged.
    OurFinAcked,
    /// The 2 MSL of TIME-WAIT have passed.
    TwoMslPassed,
    /// RST arrived.
    PeerReset,
    /// ABORT, a user or retransmission timeout, or the end of the stack.
    Aborted,
}

impl Cause {
    /// All of them, in the order of their declaration.
    pub const ALL: [Cause; 11] = [
        Cause::PassiveOpen,
        Cause::ActiveOpen,
        Cause::PeerSyn,
        Cause::PeerSynAck,
        Cause::OurSynAcked,
        Cause::UserClosed,
        Cause::PeerFin,
        Cause::OurFinAcked,
        Cause::TwoMslPassed,
        Cause::PeerReset,
        Cause::Aborted,
    ];
}

impl State {
    /// All of them, in the RFC's order.
    pub const ALL: [State; 11] = [
        State::Listen,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
        State::Closed,
    ];

    /// Where `cause` leads from here; `None` where Figure 5 has no such arrow.
    #[must_use]
    pub fn on(self, cause: Cause) -> Option<State> {
        use Cause::*;
        use State::*;
        Some(match (self, cause) {
            (Closed, PassiveOpen) => Listen,
            (Closed | Listen, ActiveOpen) => SynSent,
            (Listen, PeerSyn) => SynReceived,
            (SynSent, PeerSyn) => SynReceived, // simultaneous open
            (SynSent, PeerSynAck) => Established,
            (SynReceived, OurSynAcked) => Established,
            (SynReceived | Established, UserClosed) => FinWait1,
            (CloseWait, UserClosed) => LastAck,
            (Listen | SynSent, UserClosed) => Closed,
            (SynReceived | Established, PeerFin) => CloseWait,
            (FinWait1, PeerFin) => Closing,
            (FinWait2, PeerFin) => TimeWait,
            (FinWait1, OurFinAcked) => FinWait2,
            (Closing, OurFinAcked) => TimeWait,
            (LastAck, OurFinAcked) => Closed,
            (TimeWait, TwoMslPassed) => Closed,
            // RFC 1337: an RST does not end TIME-WAIT; LISTEN ignores it (RFC 9293 §3.10.7.2).
            (SynSent | SynReceived | Established | FinWait1 | FinWait2 | CloseWait | Closing | LastAck, PeerReset) => {
                Closed
            }
            (Closed, Aborted) => return None,
            (_, Aborted) => Closed,
            _ => return None,
        })
    }

    /// The peer's SYN has been seen and ours acknowledged, or will have been: RFC 9293's "synchronized" states.
    #[must_use]
    pub fn is_synchronized(self) -> bool {
        !matches!(
            self,
            State::Closed | State::Listen | State::SynSent | State::SynReceived
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
        })
    }
}

#[cfg(test)]
mod tests;
