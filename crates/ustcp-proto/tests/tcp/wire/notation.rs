//! Segments as a trace writes them: `P. 1:11(10) ack 1 win 1000 <sack 21:31>`.
//!
//! Flags are `S F R P U E W`, `.` is ACK and `-` none at all. Numbers count from the initial sequence number of whoever
//! sent what they number: the SYN is 0, the first byte of text 1. Timestamps are `<ts TSval TSecr>`: the peer's clock is
//! what a script says it is, ours counts in ms from our first SYN.

use core::fmt;

use ustcp_wire::{FastOpenCookie, Flags, SackBlock, SackBlocks, SeqNum, TcpHeader, TcpOptions, Timestamps};

const LETTERS: [(char, Flags); 8] = [
    ('S', Flags::SYN),
    ('F', Flags::FIN),
    ('R', Flags::RST),
    ('P', Flags::PSH),
    ('U', Flags::URG),
    ('E', Flags::ECE),
    ('W', Flags::CWR),
    ('.', Flags::ACK),
];

/// A segment with relative numbers. What is `None` was not written down.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Segment {
    pub(crate) flags: Flags,
    pub(crate) seq: i64,
    pub(crate) len: usize,
    pub(crate) ack: Option<i64>,
    pub(crate) win: Option<u16>,
    pub(crate) urgent: u16,
    pub(crate) options: Option<TcpOptions>,
}

/// Two initial sequence numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Isns {
    pub(crate) sender: u32,
    pub(crate) receiver: u32,
}

impl Segment {
    /// Reads the notation; panics at what it does not understand, for a typing error in a test is a failed test.
    pub(crate) fn read(text: &str) -> Segment {
        let (fixed, options) = match text.split_once('<') {
            Some((fixed, rest)) => (fixed, Some(read_options(rest.trim_end().trim_end_matches('>')))),
            None => (text, None),
        };
        let mut words = fixed.split_whitespace();
        let flags = read_flags(words.next().expect("flags"));
        let (seq, len) = read_range(words.next().expect("a range"));
        let mut segment = Segment {
            flags,
            seq,
            len,
            ack: None,
            win: None,
            urgent: 0,
            options,
        };
        while let Some(word) = words.next() {
            let value: i64 = words.next().expect("a number").parse().expect("a number");
            match word {
                "ack" => segment.ack = Some(value),
                "win" => segment.win = Some(value.try_into().expect("16 bits")),
                "urg" => segment.urgent = value.try_into().expect("16 bits"),
                _ => panic!("what is {word:?} in {text:?}?"),
            }
        }
        assert_eq!(
            flags.has(Flags::ACK),
            segment.ack.is_some(),
            "`.` goes with `ack`: {text}"
        );
        segment
    }

    /// The header of it with absolute numbers.
    pub(crate) fn header(&self, isns: Isns, window: u16) -> TcpHeader {
        let mut options = self.options.unwrap_or_default();
        options.sack = map_blocks(options.sack, |seq| SeqNum(absolute(i64::from(seq.0), isns.receiver)));
        TcpHeader {
            seq: SeqNum(absolute(self.seq, isns.sender)),
            ack: SeqNum(self.ack.map_or(0, |ack| absolute(ack, isns.receiver))),
            flags: self.flags,
            window: self.win.unwrap_or(window),
            urgent: self.urgent,
            options,
            ..TcpHeader::default()
        }
    }

    /// The relative form of a header.
    pub(crate) fn of(header: &TcpHeader, len: usize, isns: Isns) -> Segment {
        let mut options = header.options;
        options.sack = map_blocks(options.sack, |seq| SeqNum(seq.0.wrapping_sub(isns.receiver)));
        Segment {
            flags: header.flags,
            seq: relative(header.seq, isns.sender),
            len,
            ack: header
                .flags
                .has(Flags::ACK)
                .then(|| relative(header.ack, isns.receiver)),
            win: Some(header.window),
            urgent: header.urgent,
            options: Some(options),
        }
    }

    /// Whether `seen` is what this says, as far as this says anything. PSH is not compared unless written.
    pub(crate) fn describes(&self, seen: &Segment) -> bool {
        let flags = if self.flags.has(Flags::PSH) {
            seen.flags
        } else {
            seen.flags.without(Flags::PSH)
        };
        (self.flags, self.seq, self.len, self.ack) == (flags, seen.seq, seen.len, seen.ack)
            && (self.win.is_none() || self.win == seen.win)
            && (!self.flags.has(Flags::URG) || self.urgent == seen.urgent)
            && (self.options.is_none() || self.options == seen.options)
    }
}

fn map_blocks(blocks: SackBlocks, map: impl Fn(SeqNum) -> SeqNum) -> SackBlocks {
    let mut mapped = SackBlocks::NONE;
    for block in blocks.iter() {
        let (start, end) = (map(block.start), map(block.end));
        mapped.push(SackBlock { start, end });
    }
    mapped
}

fn absolute(relative: i64, isn: u32) -> u32 {
    u32::try_from((i64::from(isn) + relative).rem_euclid(1 << 32)).expect("32 bits")
}

fn relative(seq: SeqNum, isn: u32) -> i64 {
    i64::from(seq - SeqNum(isn))
}

fn read_flags(text: &str) -> Flags {
    text.chars()
        .filter(|letter| *letter != '-')
        .fold(Flags::NONE, |flags, letter| {
            let (_, flag) = LETTERS.iter().find(|(name, _)| *name == letter).expect("a flag");
            flags | *flag
        })
}

/// `first:end(len)`; the length may be left out when the numbers say it.
fn read_range(text: &str) -> (i64, usize) {
    let (numbers, len) = match text.split_once('(') {
        Some((numbers, len)) => (numbers, Some(len.trim_end_matches(')'))),
        None => (text, None),
    };
    let (first, end) = numbers.split_once(':').expect("first:end");
    let (first, end): (i64, i64) = (first.parse().expect("a number"), end.parse().expect("a number"));
    let difference = usize::try_from(end - first).expect("end after first");
    if let Some(len) = len {
        assert_eq!(len.parse(), Ok(difference), "{text}");
    }
    (first, difference)
}

fn read_options(text: &str) -> TcpOptions {
    let mut options = TcpOptions::default();
    for option in text.split(',').map(str::trim).filter(|option| !option.is_empty()) {
        match option.split_once(' ') {
            Some(("mss", value)) => options.mss = Some(value.parse().expect("mss")),
            Some(("ws", value)) => options.window_scale = Some(value.parse().expect("ws")),
            Some(("ts", stamps)) => options.timestamps = Some(read_stamps(stamps)),
            Some(("sack", blocks)) => options.sack = read_blocks(blocks),
            Some(("fo", cookie)) => options.fast_open = FastOpenCookie::new(cookie.as_bytes()),
            None if option == "fo" => options.fast_open = Some(FastOpenCookie::REQUEST),
            None if option == "sackOK" => options.sack_permitted = true,
            _ => panic!("what is option {option:?}?"),
        }
    }
    options
}

fn read_stamps(text: &str) -> Timestamps {
    let (value, echo) = text.split_once(' ').expect("TSval TSecr");
    let number = |text: &str| absolute(text.parse().expect("a number"), 0);
    let (value, echo) = (number(value), number(echo));
    Timestamps { value, echo }
}

fn read_blocks(text: &str) -> SackBlocks {
    let mut blocks = SackBlocks::NONE;
    for block in text.split_whitespace() {
        let (start, end) = block.split_once(':').expect("first:end");
        let number = |text: &str| SeqNum(absolute(text.parse().expect("a number"), 0));
        let (start, end) = (number(start), number(end));
        blocks.push(SackBlock { start, end });
    }
    blocks
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.flags == Flags::NONE {
            f.write_str("-")?;
        }
        for (letter, _) in LETTERS.iter().filter(|(_, flag)| self.flags.has(*flag)) {
            write!(f, "{letter}")?;
        }
        write!(f, " {}:{}({})", self.seq, self.seq + self.len as i64, self.len)?;
        if let Some(ack) = self.ack {
            write!(f, " ack {ack}")?;
        }
        if let Some(win) = self.win {
            write!(f, " win {win}")?;
        }
        if let Some(options) = &self.options {
            let mut names = Vec::new();
            names.extend(options.mss.map(|mss| format!("mss {mss}")));
            names.extend(options.sack_permitted.then(|| "sackOK".to_string()));
            names.extend(
                options
                    .timestamps
                    .map(|stamps| format!("ts {} {}", stamps.value, stamps.echo)),
            );
            names.extend(options.window_scale.map(|shift| format!("ws {shift}")));
            let blocks: Vec<_> = options
                .sack
                .iter()
                .map(|block| format!("{}:{}", block.start, block.end))
                .collect();
            names.extend((!blocks.is_empty()).then(|| format!("sack {}", blocks.join(" "))));
            names.extend(options.fast_open.map(|cookie| format!("fo {:x?}", cookie.bytes())));
            write!(f, " <{}>", names.join(","))?;
        }
        Ok(())
    }
}
