//! TCP options: RFC 9293 §3.1, window scale and timestamps of RFC 7323, SACK of RFC 2018, Fast Open of RFC 7413.

use crate::SeqNum;
use crate::writer::Writer;

// Kinds, as IANA assigns them.
const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const FAST_OPEN: u8 = 34;

/// The most that a data offset of 15 leaves for options, and so the most steps that a walk over them can take.
const MAX_LEN: usize = 40;

/// Timestamps option, RFC 7323 §3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// TSval.
    pub value: u32,
    /// TSecr.
    pub echo: u32,
}

/// One block of a SACK option: `[start, end)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlock {
    /// First sequence number held.
    pub start: SeqNum,
    /// First sequence number not held any more.
    pub end: SeqNum,
}

/// Up to four SACK blocks, in the order of the option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [SackBlock; 4],
    len: u8,
}

impl SackBlocks {
    /// No block.
    pub const NONE: SackBlocks = SackBlocks {
        blocks: [SackBlock {
            start: SeqNum(0),
            end: SeqNum(0),
        }; 4],
        len: 0,
    };

    /// Appends a block; says no when four are there.
    pub fn push(&mut self, block: SackBlock) -> bool {
        let Some(place) = self.blocks.get_mut(usize::from(self.len)) else {
            return false;
        };
        *place = block;
        self.len += 1;
        true
    }

    /// The blocks in order.
    pub fn iter(&self) -> impl Iterator<Item = SackBlock> + '_ {
        self.blocks.iter().copied().take(usize::from(self.len))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The cookie of a Fast Open option, RFC 7413 §4.1.1: none, which asks for one, or an even number of bytes from 4 to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastOpenCookie {
    bytes: [u8; FastOpenCookie::MAX_LEN],
    len: u8,
}

impl FastOpenCookie {
    /// The longest cookie.
    pub const MAX_LEN: usize = 16;

    /// No cookie: the client asks for one.
    pub const REQUEST: FastOpenCookie = FastOpenCookie {
        bytes: [0; FastOpenCookie::MAX_LEN],
        len: 0,
    };

    /// A cookie of these bytes; `None` when there cannot be one of their number.
    #[must_use]
    pub fn new(cookie: &[u8]) -> Option<FastOpenCookie> {
        if !matches!(cookie.len(), 0 | 4 | 6 | 8 | 10 | 12 | 14 | 16) {
            return None;
        }
        let mut bytes = [0; FastOpenCookie::MAX_LEN];
        bytes.get_mut(..cookie.len())?.copy_from_slice(cookie);
        let len = cookie.len() as u8;
        Some(FastOpenCookie { bytes, len })
    }

    /// Its bytes; none in a request.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Whether it asks for a cookie.
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.len == 0
    }
}

/// The options of one segment. Unknown ones are skipped by their length; a length that cannot be ends the walk and
/// what was read before it counts (RFC 9293 MUST-6, MUST-7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale as sent; a value above 14 is the receiver's to clamp.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// Fast Open; means something in a SYN only.
    pub fast_open: Option<FastOpenCookie>,
    /// SACK blocks.
    pub sack: SackBlocks,
}

impl TcpOptions {
    /// Reads the option bytes of a TCP header. Total: never fails, never takes more than 40 steps.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> TcpOptions {
        let mut options = TcpOptions::default();
        let mut rest = bytes;
        for _ in 0..MAX_LEN {
            rest = match rest {
                [] | [END, ..] => break,
                [NOP, rest @ ..] => rest,
                [kind, len, ..] => {
                    // RFC 9293 MUST-7: a length below two or past the end is illegal; what follows it has no place.
                    let Some((option, rest)) = rest.split_at_checked(usize::from(*len)) else {
                        break;
                    };
                    let [_, _, value @ ..] = option else { break };
                    options.read(*kind, value);
                    rest
                }
                [_] => break,
            };
        }
        options
    }

    /// One option. RFC 9293 MUST-6: an unknown one is passed over, and so is a known one of a length not its own.
    fn read(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (MSS, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            (WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
                let (value, echo) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                self.timestamps = Some(Timestamps { value, echo });
            }
            // RFC 7413 §4.1.1: of any other length it is ignored.
            (FAST_OPEN, cookie) => self.fast_open = FastOpenCookie::new(cookie).or(self.fast_open),
            (SACK, blocks) => self.read_sack(blocks),
            _ => {}
        }
    }

    /// RFC 2018 §3: pairs of 32-bit edges, and nothing else.
    fn read_sack(&mut self, value: &[u8]) {
        let (blocks, []) = value.as_chunks::<8>() else { return };
        self.sack = SackBlocks::NONE;
        for &[a, b, c, d, e, f, g, h] in blocks {
            let (start, end) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
            self.sack.push(SackBlock {
                start: SeqNum(start),
                end: SeqNum(end),
            });
        }
    }

    /// Writes the options in Linux's order (MSS, SACK-permitted, timestamps, NOP, window scale, Fast Open; SACK last
    /// behind two NOPs) into `out`, padded to a multiple of four, and returns the length used. SACK blocks that do not
    /// fit in 40 bytes are left out; all others fit, the longest cookie to the last byte.
    pub fn emit(&self, out: &mut [u8; 40]) -> usize {
        let mut out = Writer::new(out);
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            out.put([MSS, 4, a, b]);
        }
        // Each option with its NOPs fills words of four bytes, so that no padding comes after them.
        match (self.sack_permitted, self.timestamps) {
            (true, None) => out.put([NOP, NOP, SACK_PERMITTED, 2]),
            (true, Some(stamps)) => write_timestamps([SACK_PERMITTED, 2], stamps, &mut out),
            (false, Some(stamps)) => write_timestamps([NOP, NOP], stamps, &mut out),
            (false, None) => {}
        }
        if let Some(shift) = self.window_scale {
            out.put([NOP, WINDOW_SCALE, 3, shift]);
        }
        if let Some(cookie) = &self.fast_open {
            write_fast_open(cookie, &mut out);
        }
        self.write_sack(&mut out);
        out.len()
    }

    /// As many blocks as the space left holds behind two NOPs, kind and length.
    #[inline]
    fn write_sack(&self, out: &mut Writer<'_>) {
        let space = MAX_LEN.saturating_sub(out.len() + 4);
        let count = self.sack.len().min(space / 8);
        if count > 0 {
            out.put([NOP, NOP, SACK, 2 + 8 * count as u8]);
        }
        for block in self.sack.iter().take(count) {
            out.put(block.start.0.to_be_bytes());
            out.put(block.end.0.to_be_bytes());
        }
    }
}

/// The Fast Open option, and behind it the NOPs that make a word of its end, as Linux puts them.
fn write_fast_open(cookie: &FastOpenCookie, out: &mut Writer<'_>) {
    out.put([FAST_OPEN, 2 + cookie.len]);
    cookie.bytes().iter().for_each(|&byte| out.put([byte]));
    if !out.len().is_multiple_of(4) {
        out.put([NOP, NOP]);
    }
}

/// The timestamps option behind two bytes that align it.
#[inline]
fn write_timestamps([first, second]: [u8; 2], stamps: Timestamps, out: &mut Writer<'_>) {
    out.put([first, second, TIMESTAMPS, 10]);
    out.put(stamps.value.to_be_bytes());
    out.put(stamps.echo.to_be_bytes());
}

#[cfg(test)]
mod tests;
