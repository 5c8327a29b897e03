//! How many of something each has.

use std::collections::HashMap;

/// Counts by a process, or by a user. Who has none takes no room.
#[derive(Debug, Default)]
pub(crate) struct Counts(HashMap<u32, usize>);

impl Counts {
    pub(crate) fn of(&self, who: u32) -> usize {
        self.0.get(&who).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, who: u32) {
        *self.0.entry(who).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, who: u32) {
        if let Some(count) = self.0.get_mut(&who) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&who);
            }
        }
    }
}
