//! TCP options: RFC 9293 §3.1, window scale and timestamps of RFC 7323, SACK of RFC 2018.

use crate::SeqNum;

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
    pub const NONE: SackBlocks = SackBlocks { blocks: [SackBlock { start: SeqNum(0), end: SeqNum(0) }; 4], len: 0 };

    /// Appends a block; says no when four are there.
    pub fn push(&mut self, block: SackBlock) -> bool {
        let Some(place) = self.blocks.get_mut(usize::from(self.len)) else { return false };
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
    /// SACK blocks.
    pub sack: SackBlocks,
}

impl TcpOptions {
    /// Reads the option bytes of a TCP header. Total: never fails, never takes more than 40 steps.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> TcpOptions {
        let _ = bytes;
        todo!()
    }

    /// Writes the options in Linux's order (MSS, SACK-permitted, timestamps, NOP, window scale; SACK last behind two
    /// NOPs) into `out`, padded to a multiple of four, and returns the length used. SACK blocks that do not fit in
    /// 40 bytes are left out.
    pub fn emit(&self, out: &mut [u8; 40]) -> usize {
        let _ = out;
        todo!()
    }
}
