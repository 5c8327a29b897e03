use proptest::prelude::*;

use super::*;

const BASE: SeqNum = SeqNum(u32::MAX - 2000);

/// One byte in flight, as the model keeps it.
#[derive(Clone, Copy, Default)]
struct Byte {
    sacked: bool,
    lost: bool,
    retransmitted: bool,
    sent_at: Instant,
    departure: u64,
}

/// Every byte by itself: slow and obvious.
#[derive(Default)]
struct Model {
    una: usize,
    bytes: Vec<Byte>,
    now: Instant,
    /// The latest departure among what was delivered, with the place in the stream, and how long it took.
    newest: Option<(u64, usize, Duration)>,
    departures: u64,
}

impl Model {
    fn count(&self, what: impl Fn(&Byte) -> bool) -> usize {
        self.bytes.iter().filter(|byte| what(byte)).count()
    }

    /// `[at, at + len)` is delivered; ranges end where `ends` says.
    fn deliver(&mut self, at: usize, len: usize, ends: &[usize]) {
        for offset in at..at + len {
            let byte = self.bytes[offset];
            let end = *ends
                .iter()
                .find(|end| **end > self.una + offset)
                .expect("it lies in a range");
            if !byte.sacked
                && self
                    .newest
                    .is_none_or(|(departure, newest, _)| (byte.departure, end) > (departure, newest))
            {
                self.newest = Some((byte.departure, end, self.now.since(byte.sent_at)));
            }
        }
    }

    /// The first `len` bytes are acknowledged: when the first and the last of the segments were sent of which nothing is left
    /// then, apart from SACKed ones. A range has as many of them as it has `unit`s.
    fn completed(&self, len: usize, ends: &[usize], unit: usize) -> Option<(Instant, Instant)> {
        let mut start = 0;
        let mut times = Vec::new();
        for end in ends.iter().map(|end| end - self.una) {
            let left = end - end.min(len.max(start));
            let completed = left.div_ceil(unit) < (end - start).div_ceil(unit);
            if let Some(byte) = self.bytes.get(start).filter(|byte| completed && !byte.sacked) {
                times.push(byte.sent_at);
            }
            start = end;
        }
        times.first().copied().zip(times.last().copied())
    }

    fn first_lost(&self) -> Option<usize> {
        self.bytes.iter().position(|byte| byte.lost)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Acknowledge(usize),
    Sack(usize, usize),
    Wait(u64),
    LoseOvertaken(u64),
    LoseFirst(usize),
    LoseAll,
    LoseTimedOut(u64),
    LoseNothing,
    Renege,
    Resend(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..300_usize).prop_map(Step::Send),
        3 => (0..400_usize).prop_map(Step::Acknowledge),
        5 => (0..900_usize, 1..200_usize).prop_map(|(at, len)| Step::Sack(at, len)),
        5 => (1..40_u64).prop_map(Step::Wait),
        4 => (0..20_u64).prop_map(Step::LoseOvertaken),
        1 => (1..200_usize).prop_map(Step::LoseFirst),
        1 => Just(Step::LoseAll),
        1 => (0..100_u64).prop_map(Step::LoseTimedOut),
        1 => Just(Step::LoseNothing),
        1 => Just(Step::Renege),
        4 => (1..200_usize).prop_map(Step::Resend),
    ]
}

impl Model {
    /// Does `step` to both; what they return must agree.
    fn apply(&mut self, board: &mut Scoreboard, step: &Step) {
        let now = self.now;
        let end = self.una + self.bytes.len();
        match *step {
            Step::Wait(millis) => self.now = now + Duration::from_millis(millis),
            Step::Send(len) => {
                board.sent(BASE + end, BASE + (end + len), now);
                self.departures += 1;
                let byte = Byte {
                    sent_at: now,
                    departure: self.departures,
                    ..Byte::default()
                };
                self.bytes.extend(vec![byte; len]);
            }
            Step::Acknowledge(len) => {
                let len = len.min(self.bytes.len());
                let ends = ends(board, self.una);
                self.deliver(0, len, &ends);
                let measured = self.completed(len, &ends, 10);
                let result = board.acknowledge(BASE + (self.una + len), now, None, 10);
                assert_eq!(result.bytes, len);
                let mut covered = self.bytes.drain(..len);
                let once = covered.all(|byte| !byte.retransmitted);
                drop(covered);
                assert_eq!(result.sent_once, measured.filter(|_| once), "Karn");
                self.una += len;
            }
            Step::Sack(at, len) => {
                let at = at.min(self.bytes.len());
                let len = len.min(self.bytes.len() - at);
                if len == 0 {
                    return;
                }
                let (start, end) = (BASE + (self.una + at), BASE + (self.una + at + len));
                let news = board.sack(SackBlock { start, end }, now, 1);
                self.deliver(at, len, &ends(board, self.una));
                let block = &mut self.bytes[at..at + len];
                assert_eq!(news, block.iter().filter(|byte| !byte.sacked).count());
                for byte in block {
                    (byte.sacked, byte.lost) = (true, false);
                }
            }
            Step::LoseOvertaken(millis) => {
                let window = Duration::from_millis(millis);
                let ends = ends(board, self.una);
                let again = board.mark_overtaken(now, window);
                let Some((departure, newest, rtt)) = self.newest else {
                    assert_eq!(again, None);
                    return;
                };
                let mut next = None;
                for (offset, byte) in self.bytes.iter_mut().enumerate() {
                    let end = *ends.iter().find(|end| **end > self.una + offset).expect("a range");
                    if byte.sacked || byte.lost || (byte.departure, end) >= (departure, newest) {
                        continue;
                    }
                    let due = byte.sent_at + rtt + window;
                    byte.lost = due <= now;
                    next = if due > now {
                        Some(next.map_or(due, |next: Instant| next.min(due)))
                    } else {
                        next
                    };
                }
                assert_eq!(again, next);
            }
            Step::LoseFirst(len) => {
                board.mark_first_lost(len);
                // Ranges may be shorter than that: the model follows the first range's length.
                let first = board.ranges.front().filter(|range| range.lost);
                let marked = first.map_or(0, |range| range.end.distance_from(BASE + self.una));
                let is_first = first.is_some();
                for byte in self.bytes.iter_mut().take(if is_first { marked.min(len) } else { 0 }) {
                    byte.lost |= !byte.sacked;
                }
            }
            Step::LoseAll => {
                board.mark_all_lost();
                for byte in &mut self.bytes {
                    byte.lost = !byte.sacked;
                }
            }
            Step::LoseTimedOut(millis) => {
                let alive = now - Duration::from_millis(millis);
                let first = ends(board, self.una).first().map_or(0, |end| end - self.una);
                board.mark_timed_out(alive);
                for (offset, byte) in self.bytes.iter_mut().enumerate() {
                    byte.lost |= !byte.sacked && (offset < first || byte.sent_at <= alive);
                }
            }
            Step::LoseNothing => {
                board.unmark_lost();
                for byte in &mut self.bytes {
                    byte.lost = false;
                }
            }
            Step::Renege => {
                board.renege();
                for byte in &mut self.bytes {
                    (byte.sacked, byte.lost) = (false, true);
                }
            }
            Step::Resend(most) => {
                let Some(range) = board.first_lost() else {
                    assert_eq!(self.first_lost(), None);
                    return;
                };
                let at = range.start.distance_from(BASE + self.una);
                assert_eq!(self.first_lost(), Some(at));
                let len = range.end.distance_from(range.start).min(most);
                board.resent(range.start, range.start + len, now);
                self.departures += 1;
                for byte in &mut self.bytes[at..at + len] {
                    (byte.lost, byte.retransmitted, byte.sent_at) = (false, true, now);
                    byte.departure = self.departures;
                }
            }
        }
    }
}

/// Where the ranges end, counted from the beginning of the stream.
fn ends(board: &Scoreboard, una: usize) -> Vec<usize> {
    let from_una = |range: &SentRange| range.end.distance_from(BASE + una);
    board.ranges.iter().map(|range| una + from_una(range)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    /// outstanding, sacked, lost, retransmitted and pipe are what a count byte by byte says, whatever happened.
    #[test]
    fn it_agrees_with_a_count_of_bytes(steps in prop::collection::vec(step(), 1..60)) {
        let (mut board, mut model) = (Scoreboard::default(), Model::default());
        for step in &steps {
            let delivered = board.delivered();
            model.apply(&mut board, step);
            prop_assert!(board.delivered() >= delivered);
            prop_assert_eq!(board.outstanding(), model.bytes.len(), "{:?}", step);
            prop_assert_eq!(board.sacked(), model.count(|byte| byte.sacked), "{:?}", step);
            prop_assert_eq!(board.lost(), model.count(|byte| byte.lost), "{:?}", step);
            prop_assert_eq!(board.retransmitted(), model.count(|byte| byte.retransmitted && !byte.sacked && !byte.lost), "{:?}", step);
            let in_network = model.count(|byte| !byte.sacked && !byte.lost);
            prop_assert_eq!(board.pipe(), in_network, "{:?}", step);
            let mut at = BASE + model.una;
            for range in &board.ranges {
                prop_assert_eq!(range.start, at, "without gaps");
                prop_assert!(range.start.before(range.end) && !(range.sacked && range.lost));
                at = range.end;
            }
        }
    }

    /// Every byte is delivered once, also when a timeout has forgotten that it was SACKed.
    #[test]
    fn every_byte_is_delivered_once(steps in prop::collection::vec(step(), 1..60)) {
        let (mut board, mut model) = (Scoreboard::default(), Model::default());
        let mut sent = 0;
        for step in &steps {
            sent += if let Step::Send(len) = step { *len } else { 0 };
            model.apply(&mut board, step);
        }
        model.apply(&mut board, &Step::Acknowledge(usize::MAX));
        prop_assert_eq!(board.delivered(), sent as u64);
    }
}

/// ATTACK-21, CVE-2019-11478: tiny writes and tiny SACK blocks do not grow the list beyond its limit by more than a few.
#[test]
fn the_number_of_ranges_is_bounded() {
    let mut board = Scoreboard::default();
    for index in 0..20_000 {
        board.sent(BASE + index, BASE + (index + 1), Instant::ZERO);
    }
    assert_eq!((board.ranges.len(), board.outstanding()), (Scoreboard::LIMIT, 20_000));

    let mut board = Scoreboard::default();
    board.sent(BASE, BASE + 20_000, Instant::ZERO);
    for index in 0..10_000 {
        let start = BASE + (2 * index + 1);
        board.sack(SackBlock { start, end: start + 1 }, Instant::ZERO, 1);
    }
    assert!(board.ranges.len() <= Scoreboard::LIMIT + 2);
    assert_eq!(board.outstanding(), 20_000);
}

/// As many segments of 1,000 bytes in flight as are kept apart.
fn full_board() -> Scoreboard {
    let mut board = Scoreboard::default();
    for index in 0..Scoreboard::LIMIT {
        board.sent(BASE + 1000 * index, BASE + 1000 * (index + 1), Instant::ZERO);
    }
    board
}

/// safety.md: what an ACK costs, in ranges looked at: of a hole at the head and a block behind it that grows, two.
#[test]
fn a_growing_block_costs_what_is_new() {
    let mut board = full_board();
    let now = Instant::ZERO + Duration::from_millis(50);
    for index in 2..=Scoreboard::LIMIT {
        let before = board.steps;
        let block = SackBlock {
            start: BASE + 1000,
            end: BASE + 1000 * index,
        };
        assert_eq!(board.sack(block, now, 1000), 1000);
        board.mark_overtaken(now, Duration::from_secs(1));
        assert!(board.steps - before <= 2, "{} for block {index}", board.steps - before);
    }
}

/// safety.md, CVE-2019-11477: a hundred thousand blocks anywhere, each four of them followed by the search for losses and a
/// retransmission: a few steps for each ACK, and a list that stays bounded.
#[test]
fn crafted_blocks_cost_little() {
    let mut board = full_board();
    let mut random = 1_u64;
    let mut draw = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 40).unwrap() % below
    };
    for count in 1..=25_000_u64 {
        let now = Instant::from_nanos(count * 400_000);
        board.begin_acknowledgement(Some(Duration::from_millis(10)));
        for _ in 0..4 {
            let (start, len) = (1 + draw(4_095_000), 1 + draw(100_000));
            let (start, end) = (BASE + start, BASE + (start + len).min(4_096_000));
            board.sack(SackBlock { start, end }, now, 1000);
        }
        board.mark_overtaken(now, Duration::from_millis(2));
        if let Some(range) = board.first_lost() {
            board.resent(range.start, range.end, now);
        }
        drop(board.take_losses());
    }
    assert!(board.steps <= 8 * 25_000, "{} steps", board.steps);
    assert!(board.ranges.len() <= Scoreboard::LIMIT + 1);
}

/// Every second segment SACKed from the top down, block by block: the worst order for what was sent from the bottom up.
#[test]
fn losses_are_found_once() {
    let mut board = full_board();
    let mut marked = 0;
    for index in (1..Scoreboard::LIMIT).rev().step_by(2) {
        let now = Instant::from_nanos(100_000_000 + index as u64);
        let block = SackBlock {
            start: BASE + 1000 * index,
            end: BASE + 1000 * (index + 1),
        };
        board.sack(block, now, 1000);
        board.mark_overtaken(now, Duration::ZERO);
        marked += board.take_losses().len();
        if let Some(range) = board.first_lost() {
            board.resent(range.start, range.end, now);
        }
    }
    assert_eq!(marked, Scoreboard::LIMIT - 1, "all but the last, by the first ACK");
    assert!(board.steps <= 5 * Scoreboard::LIMIT, "{} steps", board.steps);
}
