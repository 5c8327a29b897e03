//! Explicit congestion notification, RFC 3168: routers mark packets where they would lose them, the receiver echoes the
//! mark, and the sender slows down and says that it has.

use ustcp_wire::{Ecn, Flags, TcpHeader};

use super::connection::Connection;
use super::progress::Progress;
use crate::context::Context;
use crate::{EcnPolicy, Instant};

/// What a SYN says that asks for ECN, RFC 3168 §6.1.1.
const SETUP: Flags = Flags(Flags::ECE.0 | Flags::CWR.0);

/// Which feedback the two ends have agreed on. Accurate ECN (RFC 9768) is to be one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// None.
    Off,
    /// Our SYN has asked for it.
    Asked,
    /// ECE and CWR as in RFC 3168.
    Classic,
}

/// The part that ECN plays in one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EcnFeedback {
    mode: Mode,
    /// CE has come, and no CWR since: every acknowledgement says so.
    echoing: bool,
    /// Some text of the peer was ECN-capable.
    seen: bool,
    /// Echoes with a window of one segment: nothing leaves before.
    hold: Option<Instant>,
}

/// Whether text that came asks for an acknowledgement at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    AtOnce,
    AsUsual,
}

impl EcnFeedback {
    /// As agreed with a SYN that a listener took, or not.
    pub(crate) fn new(agreed: bool) -> EcnFeedback {
        EcnFeedback {
            mode: if agreed { Mode::Classic } else { Mode::Off },
            echoing: false,
            seen: false,
            hold: None,
        }
    }

    /// Whether a listener agrees to what this SYN asks for. One that is itself marked was meddled with (RFC 3168
    /// §6.1.1 forbids it), and Linux takes it for one that does not ask.
    pub(crate) fn accepts(policy: EcnPolicy, flags: Flags, ecn: Ecn) -> bool {
        policy != EcnPolicy::Off && flags.has(SETUP) && ecn == Ecn::NotCapable
    }

    /// The control bits of our SYN. The first one may ask; a later one does not, when `falls_back`, for somebody on the
    /// path may lose what he does not know (RFC 3168 §6.1.1.1).
    pub(crate) fn ask(&mut self, policy: EcnPolicy, again: bool, falls_back: bool) -> Flags {
        if policy != EcnPolicy::Request || again && falls_back {
            return Flags::NONE;
        }
        self.mode = Mode::Asked;
        SETUP
    }

    /// The control bits of our SYN-ACK.
    pub(crate) fn answer(&self) -> Flags {
        if self.is_agreed() { Flags::ECE } else { Flags::NONE }
    }

    /// The SYN or SYN-ACK that answers our SYN. ECE with CWR in a SYN-ACK is an old stack that returns bits it does not
    /// know, RFC 3168 §6.1.1.
    pub(crate) fn take_syn(&mut self, flags: Flags) {
        let wanted = if flags.has(Flags::ACK) { Flags::ECE } else { SETUP };
        let agrees = Flags(flags.0 & SETUP.0) == wanted;
        self.mode = match self.mode {
            Mode::Asked if agrees => Mode::Classic,
            Mode::Off | Mode::Asked | Mode::Classic => Mode::Off,
        };
    }

    pub(crate) fn is_agreed(&self) -> bool {
        self.mode == Mode::Classic
    }

    /// New text inside the window came, RFC 3168 §6.1.3: CE begins the echo, CWR ends that of earlier marks.
    pub(crate) fn take_text(&mut self, flags: Flags, ecn: Ecn) -> Urgency {
        if !self.is_agreed() {
            return Urgency::AsUsual;
        }
        let slowed_down = flags.has(Flags::CWR);
        self.echoing &= !slowed_down;
        let congested = ecn == Ecn::Congested;
        let news = congested && !self.echoing;
        self.echoing |= congested;
        // As Linux: text without the mark that others had is a retransmission, and its sender waits for the answer.
        let resent = self.seen && ecn == Ecn::NotCapable;
        self.seen |= ecn != Ecn::NotCapable;
        // A sender that has slowed down may have a window of one segment.
        if slowed_down || news || resent {
            Urgency::AtOnce
        } else {
            Urgency::AsUsual
        }
    }

    /// What every acknowledgement says beside.
    pub(crate) fn echo(&self) -> Flags {
        if self.echoing { Flags::ECE } else { Flags::NONE }
    }

    /// When text may leave, unless that is now.
    pub(crate) fn wait(&self, now: Instant) -> Option<Instant> {
        self.hold.filter(|until| *until > now)
    }
}

impl Connection {
    /// RFC 3168 §6.1.2: the peer echoes a mark. The window is reduced at most once for all that was in flight, and our
    /// next new text says CWR.
    pub(super) fn take_echo(&mut self, cx: &Context, header: &TcpHeader, progress: &Progress) {
        let is_echo = self.ecn.is_agreed() && header.flags.has(Flags::ECE);
        // What is older than the last acknowledgement, or acknowledges nothing of ours, tells of nothing in flight.
        if !is_echo || header.ack.before(self.snd.una) || progress.flight == 0 {
            return;
        }
        let at_least = self.congestion.cwnd() <= self.snd.mss;
        let signal = self.congestion.signal(self.snd.mss, progress.flight);
        let recover_fs = progress.flight - progress.sacked;
        if self.congestion.on_ecn(&signal, self.snd.nxt, recover_fs) && at_least {
            // The window cannot shrink, so the rate does: one segment in each retransmission timeout.
            self.ecn.hold = Some(cx.now + self.rtt.rto());
        }
    }

    /// The control bits that go with text sent for the first time.
    pub(super) fn slowed_down(&mut self) -> Flags {
        if self.ecn.is_agreed() && self.congestion.take_reduced() {
            Flags::CWR
        } else {
            Flags::NONE
        }
    }
}
