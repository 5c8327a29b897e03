//! The receive buffer: a queue of bytes in pages, which exist only where something was received.
//!
//! So a byte at the far edge of the window costs a page and not the window.

use std::collections::VecDeque;

use crate::Error;

/// Bytes of a page.
const PAGE: usize = 4096;

/// Pages not worth giving back.
const ALWAYS_KEPT: usize = 4;

type Page = Box<[u8; PAGE]>;

/// First in, first out; can also hold bytes beyond its end, for text that arrived before what comes first.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// From the page of the first byte on.
    pages: VecDeque<Option<Page>>,
    /// Where in the first page the first byte stands.
    first: usize,
    len: usize,
    limit: usize,
    /// Pages that have memory, the spare ones among them.
    held: usize,
    /// The most of them in use since [`reclaim`](Pages::reclaim) last looked.
    peak: usize,
    spare: Vec<Page>,
}

impl Pages {
    pub(crate) fn new(limit: usize) -> Pages {
        Pages {
            limit,
            ..Pages::default()
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

    /// Bytes of memory it has.
    pub(crate) fn allocated(&self) -> usize {
        self.held * PAGE + (self.pages.capacity() + self.spare.capacity()) * size_of::<Option<Page>>()
    }

    /// Writes `data` at `offset` beyond the end, without counting it in.
    pub(crate) fn write_at(&mut self, offset: usize, data: &[u8]) -> Result<(), Error> {
        let mut place = self.first + self.len + offset;
        let mut rest = data;
        while !rest.is_empty() {
            let inside = place % PAGE;
            let (now, later) = rest.split_at(rest.len().min(PAGE - inside));
            let page = self.page(place / PAGE)?;
            if let Some(bytes) = page.get_mut(inside..inside + now.len()) {
                bytes.copy_from_slice(now);
            }
            place += now.len();
            rest = later;
        }
        Ok(())
    }

    /// Counts in `count` bytes that [`write_at`](Pages::write_at) put right behind the end.
    pub(crate) fn extend(&mut self, count: usize) {
        self.len += count;
    }

    /// Copies bytes from `offset` on; returns how many.
    pub(crate) fn copy_to(&self, offset: usize, into: &mut [u8]) -> usize {
        let mut copied = 0;
        for piece in self.pieces(offset, into.len()) {
            if let Some(room) = into.get_mut(copied..copied + piece.len()) {
                room.copy_from_slice(piece);
            }
            copied += piece.len();
        }
        copied
    }

    /// At most so many bytes from `offset` on, where they are.
    pub(crate) fn pieces(&self, offset: usize, most: usize) -> impl Iterator<Item = &[u8]> {
        let end = self.first + self.len.min(offset.saturating_add(most));
        let mut place = self.first + offset;
        core::iter::from_fn(move || {
            let inside = place % PAGE;
            let count = end.saturating_sub(place).min(PAGE - inside);
            let page = self.pages.get(place / PAGE).and_then(Option::as_ref);
            let piece = page.and_then(|page| page.get(inside..inside + count))?;
            place += count;
            (count > 0).then_some(piece)
        })
    }

    /// Drops `count` bytes from the front, or all there are.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.len);
        self.len -= count;
        self.first += count;
        while self.first >= PAGE {
            self.first -= PAGE;
            self.retire_first();
        }
    }

    /// It is empty, and nothing is held beyond its end: what comes next begins with a page of its own.
    pub(crate) fn relax(&mut self) {
        while !self.pages.is_empty() {
            self.retire_first();
        }
        self.first = 0;
    }

    /// Memory is short: keeps few pages for later, or none where as many are in use.
    pub(crate) fn trim(&mut self) {
        self.keep(ALWAYS_KEPT.saturating_sub(self.in_use()));
    }

    /// Gives back the memory that it has not needed since the last time. Says whether the next look may give back more.
    pub(crate) fn reclaim(&mut self) -> bool {
        let in_use = self.in_use();
        let peak = core::mem::replace(&mut self.peak, in_use);
        if peak == 0 {
            self.clear(); // nothing is held, not beyond its end either
        }
        self.keep(peak.max(ALWAYS_KEPT).saturating_sub(in_use));
        self.spare.len() > ALWAYS_KEPT || self.is_empty() && self.allocated() > 0
    }

    fn in_use(&self) -> usize {
        self.held - self.spare.len()
    }

    /// Keeps at most so many pages for later.
    fn keep(&mut self, most: usize) {
        let kept = most.min(self.spare.len());
        self.held -= self.spare.len() - kept;
        self.spare.truncate(kept);
        self.spare.shrink_to(ALWAYS_KEPT);
    }

    /// Gives its memory back.
    pub(crate) fn clear(&mut self) {
        *self = Pages::new(self.limit);
    }

    fn retire_first(&mut self) {
        self.spare.extend(self.pages.pop_front().flatten());
    }

    /// The page at `index`, made when there is none.
    fn page(&mut self, index: usize) -> Result<&mut Page, Error> {
        let missing = (index + 1).saturating_sub(self.pages.len());
        self.pages.try_reserve(missing).map_err(|_| Error::NoBuffers)?;
        self.pages.extend(core::iter::repeat_with(|| None).take(missing));
        let place = self.pages.get_mut(index).ok_or(Error::NoBuffers)?;
        if place.is_none() {
            let spare = self.spare.pop();
            self.held += usize::from(spare.is_none());
            self.peak = self.peak.max(self.held - self.spare.len());
            *place = spare.or_else(blank);
            self.held -= usize::from(place.is_none());
        }
        place.as_mut().ok_or(Error::NoBuffers)
    }
}

/// A new page, if there is memory for it.
fn blank() -> Option<Page> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(PAGE).ok()?;
    bytes.resize(PAGE, 0);
    bytes.into_boxed_slice().try_into().ok()
}

#[cfg(test)]
mod tests;
