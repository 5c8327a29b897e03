//! What the path of a connection lets through, as far as the device and routers say: RFC 1191, RFC 8201.

use core::net::IpAddr;

use super::connection::Connection;
use super::{MIN_MSS, announced_mss};
use crate::context::Context;
use crate::path_mtus::PathMtu;
use crate::{Family, Instant};

/// RFC 1191 §7: sizes that paths have.
const PLATEAUS: [usize; 6] = [32_000, 17_914, 8166, 4352, 1492, 1006];

/// What a connection knows of its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// Bytes of the largest IP packet.
    pub(crate) mtu: usize,
    /// Our packets may be fragmented on their way (no DF).
    pub(super) fragmentable: bool,
    /// What the device lets through.
    whole: usize,
    /// The smallest that a router has named about a packet of this connection: what was too large for it went again.
    repaired_for: usize,
    /// When what routers have said is forgotten.
    until: Option<Instant>,
    /// Up to which edition of the destinations' sizes this is.
    edition: Option<u64>,
}

impl Path {
    pub(super) fn towards(cx: &Context, destination: IpAddr) -> Path {
        let whole = cx.config.mtu;
        let mut path = Path {
            mtu: whole,
            fragmentable: false,
            whole,
            repaired_for: whole,
            until: None,
            edition: None,
        };
        path.take(cx.paths.of(cx.now, destination), cx.paths.edition());
        path.repaired_for = path.mtu; // nothing larger will ever have been sent
        path
    }

    fn is_current(&self, cx: &Context) -> bool {
        self.edition == Some(cx.paths.edition()) && self.until.is_none_or(|until| cx.now < until)
    }

    fn take(&mut self, known: Option<PathMtu>, edition: u64) {
        let mtu = known.map_or(self.whole, |known| known.mtu.min(self.whole));
        if mtu > self.mtu {
            self.repaired_for = mtu;
        }
        self.mtu = mtu;
        self.fragmentable = known.is_some_and(|known| known.fragmentable);
        self.until = known.map(|known| known.until);
        self.edition = Some(edition);
    }
}

impl Connection {
    /// What the path carries in one packet, headers without options taken off.
    pub(super) fn largest_segment(&self) -> usize {
        self.path.mtu.saturating_sub(self.family().headers())
    }

    /// The peer has said how large segments may be. The user has a say in that, and as in Linux none later.
    pub(super) fn take_peer_mss(&mut self, mss: u16) {
        self.peer_mss = usize::from(mss.min(self.options.max_segment.unwrap_or(u16::MAX)));
        self.update_mss();
    }

    /// The MSS that we announce. As Linux, what routers have said of the way there is taken to hold for the way back.
    pub(super) fn announced_mss(&self) -> u16 {
        announced_mss(self.path.mtu, self.family(), &self.options)
    }

    /// RFC 9293 MUST-16: the peer's MSS, the path and the user all have a say.
    pub(super) fn segment_ceiling(&self) -> usize {
        self.peer_mss.min(self.largest_segment()).max(MIN_MSS)
    }

    /// The segment size to send with, which may be less while it is being searched for.
    pub(crate) fn update_mss(&mut self) {
        let mss = self.mtu_probing.limit(self.segment_ceiling()).max(MIN_MSS);
        let text = mss - self.timestamps.overhead(); // no packet goes without them
        self.snd.in_flight.segment_size = text;
        if core::mem::replace(&mut self.snd.mss, text) != text {
            self.mtu_probing.on_new_size();
        }
    }

    /// RFC 8201 §5.2: what other connections to this destination have learnt holds here too, and as long.
    pub(super) fn follow_path(&mut self, cx: &Context) {
        if !self.path.is_current(cx) {
            let known = cx.paths.of(cx.now, self.flow.remote.ip());
            self.path.take(known, cx.paths.edition());
            self.update_mss();
        }
    }

    /// RFC 1191 §6.4: a router says that the path carries less. What is in flight was too large for it and goes again,
    /// without blame on congestion.
    pub(crate) fn on_fragmentation_needed(&mut self, cx: &mut Context, mtu: usize) {
        if self.family() == Family::V6 && mtu < self.family().min_path_mtu() {
            return; // RFC 8201 §4
        }
        // Routers older than RFC 1191 name no size: its §7 table, the step below.
        let named = if mtu == 0 {
            PLATEAUS.into_iter().find(|step| *step < self.path.mtu)
        } else {
            Some(mtu)
        };
        // As Linux: below the least we believe in, routers may cut our packets instead; in IPv6 no router does.
        let least = self.family().min_path_mtu().min(self.path.whole);
        let fragmentable = self.family() == Family::V4 && named.is_some_and(|named| named < least);
        let mtu = named.unwrap_or(least).max(least);
        if mtu > self.path.mtu || mtu == self.path.whole && !fragmentable {
            return;
        }
        let learnt = PathMtu {
            mtu,
            fragmentable: fragmentable || self.path.fragmentable,
            until: cx.now + cx.config.mtu_expires,
        };
        cx.paths.learn(cx.now, self.flow.remote.ip(), learnt);
        self.follow_path(cx);
        let largest = self
            .mtu_probing
            .limit(self.peer_mss)
            .min(self.snd.in_flight.outstanding());
        let fits = largest <= self.largest_segment();
        if mtu < self.path.repaired_for && !fits {
            self.path.repaired_for = mtu;
            self.repair_without_blame();
        }
    }

    /// Everything in flight goes again, and it is no sign of congestion.
    fn repair_without_blame(&mut self) {
        self.snd.in_flight.mark_all_lost();
        drop(self.snd.in_flight.take_losses());
        self.congestion.repair_without_blame(self.snd.nxt);
        self.retransmit_pending = true;
    }
}
