//! Packetization layer path MTU discovery, RFC 4821: the segment size that comes through, found by what comes through,
//! where routers drop what is too large without a word. Sizes here are those of the MSS option: no TCP option taken off.

use core::ops::ControlFlow;

use ustcp_wire::SeqNum;

use super::MIN_MSS;
use super::connection::Connection;
use super::segment::Outgoing;
use crate::context::Context;
use crate::{Config, Instant};

/// `tcp_mtu_probing`: from the start, not only after a black hole was found.
const ALWAYS: u8 = 2;
/// Timeouts in a row that may be bad luck: Linux's `tcp_retries1`.
const PATIENCE: u8 = 3;
/// How often so many may be, where segments of that size had come through before.
const TRUST: u8 = 2;
/// A range as narrow as this is not searched any more: Linux's `tcp_probe_threshold`.
const NARROW: usize = 8;
/// The congestion window that a probe takes at least, in segments: as Linux, so that its loss is found by what follows it.
const LEAST_WINDOW: usize = 11;
/// Segments that wait behind a probe at least, which show its loss by duplicate acknowledgements.
const FOLLOWERS: usize = 4;

/// A segment larger than those that are known to come through.
#[derive(Clone, Copy, Debug)]
struct Probe {
    start: SeqNum,
    end: SeqNum,
    size: usize,
}

/// The search for the size, between what comes through and what does not.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// Sent with: it is held to come through.
    low: usize,
    /// Nothing larger does.
    high: usize,
    probe: Option<Probe>,
    /// The range is narrow: the search begins again at this time.
    again: Option<Instant>,
}

impl Search {
    fn new(low: usize) -> Search {
        Search {
            low,
            high: usize::MAX,
            probe: None,
            again: None,
        }
    }

    /// The next size to try, RFC 4821 §7.3: halfway. None while the range is narrow, unless it was so for long enough.
    fn next_size(&mut self, cx: &Context, ceiling: usize) -> Option<usize> {
        if self.again.is_some_and(|at| cx.now >= at) {
            self.high = usize::MAX;
            self.again = None;
        }
        let high = self.high.min(ceiling);
        let low = self.low.min(high);
        if self.again.is_none() && high - low < NARROW {
            self.again = Some(cx.now + cx.config.probe_interval);
        }
        self.again.is_none().then(|| low + (high - low).div_ceil(2))
    }

    fn fail(&mut self, probe: Probe) {
        self.high = (probe.size - 1).max(self.low);
        self.probe = None;
    }
}

/// Whether a connection searches, and how far it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MtuProbing {
    search: Option<Search>,
    /// Full segments have come through: so often may timeouts in a row be bad luck, until they do so again.
    trust: u8,
    before_timeouts: Option<Before>,
}

/// How things were when segments that had come through before began to time out again and again.
#[derive(Clone, Copy, Debug)]
struct Before {
    search: Option<Search>,
    size: usize,
    /// What was left.
    trust: u8,
}

impl MtuProbing {
    /// A connection's options are known.
    pub(super) fn begin(config: &Config) -> MtuProbing {
        MtuProbing {
            search: (config.mtu_probing == ALWAYS).then(|| Search::new(config.base_mss)),
            ..MtuProbing::default()
        }
    }

    /// The size to send with where `ceiling` is the largest allowed.
    pub(super) fn limit(&self, ceiling: usize) -> usize {
        self.search.map_or(ceiling, |search| search.low.min(ceiling))
    }

    /// Something was sent again: an acknowledgement says nothing about the probe any more.
    pub(super) fn on_resent(&mut self) {
        if let Some(search) = &mut self.search {
            search.probe = None;
        }
    }

    /// Full segments of `size` have timed out: what is left of the trust in them is for what comes after.
    fn spend_trust(&mut self, size: usize) {
        if let Some(trust) = self.trust.checked_sub(1) {
            let search = self.search;
            self.before_timeouts = Some(Before { search, size, trust });
        }
    }

    /// Segments have another size from here on.
    pub(super) fn on_new_size(&mut self) {
        self.trust = 0;
    }

    /// The probe, if nothing before it is unacknowledged.
    fn first_in_flight(&mut self, una: SeqNum) -> Option<(&mut Search, Probe)> {
        let search = self.search.as_mut()?;
        let probe = search.probe.filter(|probe| probe.start == una)?;
        Some((search, probe))
    }
}

impl Connection {
    /// RFC 4821 §7.7: full segments time out again and again. As Linux, the size falls to `tcp_base_mss`, then by half
    /// with each further timeout.
    pub(super) fn suspect_black_hole(&mut self, config: &Config) {
        if let Some((search, probe)) = self.mtu_probing.first_in_flight(self.snd.una) {
            search.fail(probe);
        }
        let full = self.snd.in_flight.first_len() >= self.packet_text();
        if config.mtu_probing == 0 || self.timeouts <= PATIENCE || !full {
            return;
        }
        self.mtu_probing.spend_trust(self.packet_text());
        let low = match self.mtu_probing.search {
            None => config.base_mss,
            Some(search) => (search.low / 2).min(config.base_mss),
        };
        let low = low.max(config.mtu_probe_floor).max(MIN_MSS).min(self.segment_ceiling());
        let high = self.mtu_probing.search.map_or(usize::MAX, |search| search.high);
        self.mtu_probing.search = Some(Search {
            high,
            ..Search::new(low)
        });
        self.update_mss();
    }

    /// Something was acknowledged. Timeouts in a row, if it ends such, may have been bad luck where segments of that size
    /// had come through before: the size is what it was, and stays so until they have failed that often with none of
    /// them coming through. Else a path that loses much would make them ever smaller, and a small window never lets them
    /// grow again.
    pub(super) fn judge_size(&mut self) {
        if let Some(before) = self.mtu_probing.before_timeouts.take() {
            self.mtu_probing.search = before.search;
            self.update_mss();
            self.mtu_probing.trust = before.trust;
        }
        self.take_answer_to_mtu_probe();
    }

    /// What arrived, in whatever order, shows that segments of its size come through.
    pub(super) fn weigh_evidence(&mut self) {
        let came = self.snd.in_flight.largest_delivered();
        if came >= self.packet_text() {
            self.mtu_probing.trust = TRUST;
        }
        if let Some(before) = &mut self.mtu_probing.before_timeouts
            && came >= before.size
        {
            before.trust = TRUST;
        }
    }

    /// What was acknowledged may end with the probe: then its size comes through.
    fn take_answer_to_mtu_probe(&mut self) {
        if let Some(search) = &mut self.mtu_probing.search
            && let Some(probe) = search.probe.filter(|probe| self.snd.una.at_or_after(probe.end))
        {
            search.low = probe.size;
            search.probe = None;
            self.update_mss();
            self.mtu_probing.trust = TRUST;
        }
    }

    /// RFC 4821 §7.6: the probe alone was lost, which is no sign of congestion: its text goes again in segments of a size
    /// that comes through.
    pub(super) fn forgives_lost_probe(&mut self) -> bool {
        let una = self.snd.una;
        let Some((search, probe)) = self.mtu_probing.first_in_flight(una) else {
            return false;
        };
        let board = &mut self.snd.in_flight;
        if board.lost() > probe.end.distance_from(una) || board.first_lost().is_none_or(|range| range.start != una) {
            return false;
        }
        search.fail(probe);
        board.mark_lost_before(probe.end);
        drop(board.take_losses());
        self.recover = self.snd.nxt;
        self.tail_probe.cancel();
        self.timers.loss_probe = None;
        self.congestion.repair_without_blame(self.snd.nxt);
        self.retransmit_pending = true;
        true
    }

    /// RFC 4821 §7.2, §7.4: a larger segment of new text, when enough of it waits, both windows are wide enough, and
    /// nothing is being recovered. As Linux, other new text waits until there is room for it (`Break(None)`).
    pub(super) fn transmit_mtu_probe(&mut self, cx: &mut Context) -> ControlFlow<Option<Outgoing>> {
        let Some(size) = self.next_probe_size(cx) else {
            return ControlFlow::Continue(());
        };
        let len = size - self.timestamps.overhead();
        let needed = len + FOLLOWERS * self.snd.mss;
        let cwnd = self.congestion.cwnd();
        let window = cwnd >= needed.max(LEAST_WINDOW * self.snd.mss) && self.snd.wnd >= needed;
        let text = self.snd.unsent().min(self.snd.records.left(self.snd.nxt));
        if !window || text < needed {
            return ControlFlow::Continue(());
        }
        let room = self.pipe() + len <= cwnd && self.snd.usable() >= needed;
        if !room && self.snd.in_flight.outstanding() > 0 {
            self.cwnd_limited = true;
            return ControlFlow::Break(None);
        }
        ControlFlow::Break(Some(self.send_mtu_probe(cx, size, len)))
    }

    fn next_probe_size(&mut self, cx: &Context) -> Option<usize> {
        let board = &self.snd.in_flight;
        let repairs = self.congestion.is_recovering() || board.lost() > 0 || board.sacked() > 0;
        let ceiling = self.segment_ceiling();
        let search = self.mtu_probing.search.as_mut()?;
        if search.probe.is_some() || repairs || self.duplicate_acks > 0 {
            return None;
        }
        let size = search.next_size(cx, ceiling)?;
        let plain = self.rcv.sack_block_count() == 0 && !self.is_urgent(); // room for text alone
        plain.then_some(size)
    }

    fn send_mtu_probe(&mut self, cx: &mut Context, size: usize, len: usize) -> Outgoing {
        let (start, end) = (self.snd.nxt, self.snd.nxt + len);
        let small_end = self.snd.small_end;
        let mut outgoing = self.send_new(cx, start, end);
        self.snd.small_end = small_end;
        outgoing.segment_size = None; // in one piece: that is what is asked
        if let Some(search) = &mut self.mtu_probing.search {
            search.probe = Some(Probe { start, end, size });
        }
        cx.counters.mtu_probes += 1;
        self.schedule_tail_probe(cx);
        outgoing
    }
}
