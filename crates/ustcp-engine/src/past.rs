//! Sockets of programs that run, which are no more, or never were ours: for what is said after a program's end.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;

use serde_json::{Value, json};
use ustcp_proto::{Family, State};

/// Most that are remembered of all programs together; the oldest go.
const MOST: usize = 16_384;

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) run: u32,
    /// `ustcp` or `passed by`.
    pub(crate) place: &'static str,
    pub(crate) why: Option<Cow<'static, str>>,
    pub(crate) family: Family,
    /// LISTEN for what was a listener, else CLOSED.
    pub(crate) state: State,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<SocketAddr>,
    /// What it failed with.
    pub(crate) errno: Option<i32>,
}

/// Those of all runs whose lease is open, in the order of their ends.
#[derive(Debug, Default)]
pub(crate) struct Pasts(VecDeque<Past>);

impl Pasts {
    pub(crate) fn remember(&mut self, past: Past) {
        if past.run == 0 {
            return; // of no run that anybody asks for
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(past);
    }

    pub(crate) fn of(&self, run: u32) -> impl Iterator<Item = &Past> {
        self.0.iter().filter(move |past| past.run == run)
    }

    /// Nobody asks for this run any more.
    pub(crate) fn forget(&mut self, run: u32) {
        self.0.retain(|past| past.run != run);
    }
}

impl Past {
    pub(crate) fn line(&self) -> Value {
        json!({
            "run": self.run,
            "place": self.place,
            "why": self.why,
            "family": if self.family == Family::V4 { 4 } else { 6 },
            "state": self.state.to_string(),
            "local": self.local,
            "peer": self.peer,
            "errno": self.errno,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(run: u32) -> Past {
        Past {
            run,
            place: "ustcp",
            why: None,
            family: Family::V4,
            state: State::Closed,
            local: None,
            peer: Some("10.77.0.1:80".parse().unwrap()),
            errno: None,
        }
    }

    #[test]
    fn each_run_has_its_own_and_all_together_are_bounded() {
        let mut pasts = Pasts::default();
        pasts.remember(past(0));
        pasts.remember(past(1));
        assert_eq!((pasts.of(0).count(), pasts.of(1).count()), (0, 1));
        (0..MOST).for_each(|_| pasts.remember(past(2)));
        assert_eq!((pasts.of(1).count(), pasts.of(2).count()), (0, MOST));
        pasts.forget(2);
        assert!(pasts.0.is_empty());
    }
}
