//! A ring of bytes that grows on demand up to a limit.

use crate::Error;

/// First in, first out.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    head: usize,
    len: usize,
    limit: usize,
    /// The most it held since [`reclaim`](Ring::reclaim) last looked.
    peak: usize,
}

impl Ring {
    const FIRST_ALLOCATION: usize = 4096;

    /// Not worth giving back.
    const ALWAYS_KEPT: usize = 16 * 1024;

    pub(crate) fn new(limit: usize) -> Ring {
        Ring {
            limit,
            ..Ring::default()
        }
    }

    /// Bytes in order.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most bytes it may hold.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Changes the limit. What is held already stays.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// How many more bytes it takes.
    pub(crate) fn space(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }

    /// Bytes of memory it has.
    pub(crate) fn allocated(&self) -> usize {
        self.bytes.len()
    }

    /// Takes as much of `data` as there is space for; the count may be 0.
    pub(crate) fn append(&mut self, data: &[u8]) -> Result<usize, Error> {
        let taken = data.len().min(self.space());
        self.write(data.get(..taken).unwrap_or(&[]))?;
        self.len += taken;
        Ok(taken)
    }

    /// Writes `data` behind the end, without counting it in.
    fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        let start = self.len;
        self.reserve(start + data.len())?;
        self.peak = self.peak.max(start + data.len());
        let capacity = self.bytes.len();
        let position = self.position(start);
        let (first, second) = data.split_at(data.len().min(capacity - position));
        if let Some(place) = self.bytes.get_mut(position..position + first.len()) {
            place.copy_from_slice(first);
        }
        if let Some(place) = self.bytes.get_mut(..second.len()) {
            place.copy_from_slice(second);
        }
        Ok(())
    }

    /// `len` bytes from `offset`, in two parts; fewer when fewer are there.
    pub(crate) fn slices(&self, offset: usize, len: usize) -> [&[u8]; 2] {
        let len = len.min(self.len.saturating_sub(offset));
        if len == 0 {
            return [&[], &[]];
        }
        let start = self.position(offset);
        let first = len.min(self.bytes.len() - start);
        [
            self.bytes.get(start..start + first).unwrap_or(&[]),
            self.bytes.get(..len - first).unwrap_or(&[]),
        ]
    }

    /// Drops `count` bytes from the front, or all there are.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.len);
        if count > 0 {
            self.head = self.position(count);
            self.len -= count;
        }
    }

    /// If it is empty, gives back the memory that it has not needed since the last time. Says whether there is an empty one
    /// left to look at.
    pub(crate) fn reclaim(&mut self) -> bool {
        let peak = core::mem::replace(&mut self.peak, self.len);
        let little = peak < self.allocated() / 4 && self.allocated() > Ring::ALWAYS_KEPT;
        if self.is_empty() && (peak == 0 || little) {
            self.clear();
        }
        self.is_empty() && self.allocated() > 0
    }

    /// Gives its memory back.
    pub(crate) fn clear(&mut self) {
        *self = Ring::new(self.limit);
    }

    fn position(&self, offset: usize) -> usize {
        let position = self.head + offset;
        if position >= self.bytes.len() {
            position - self.bytes.len()
        } else {
            position
        }
    }

    /// Makes room for `needed` bytes in all: doubling, so that growing costs little, but never far beyond the limit.
    fn reserve(&mut self, needed: usize) -> Result<(), Error> {
        let capacity = self.bytes.len();
        if needed <= capacity {
            return Ok(());
        }
        // Beyond the limit, which was lowered under what is held, in steps too.
        let most = if needed > self.limit {
            needed + needed / 4
        } else {
            self.limit
        };
        let doubled = (capacity * 2).max(Ring::FIRST_ALLOCATION).min(most);
        let target = needed.max(doubled);
        let mut grown = Vec::new();
        grown.try_reserve_exact(target).map_err(|_| Error::NoBuffers)?;
        let (wrapped, front) = self.bytes.split_at(self.head.min(capacity));
        grown.extend_from_slice(front);
        grown.extend_from_slice(wrapped);
        grown.resize(target, 0);
        self.bytes = grown;
        self.head = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
