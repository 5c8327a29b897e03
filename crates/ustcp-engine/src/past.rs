//! Sockets of programs that run, which are no more, or never were ours: for what is said after a program's end.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use serde_json::{Value, json};
use ustcp_proto::{Family, State};

/// Most that are remembered of all programs together.
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

/// Those of all runs whose lease is open.
#[derive(Debug, Default)]
pub(crate) struct Pasts {
    by_run: HashMap<u32, Run>,
    /// How many are remembered of all of them.
    count: usize,
}

/// Those of one.
#[derive(Debug, Default)]
struct Run {
    /// In the order of their ends.
    remembered: VecDeque<Past>,
    /// How many there were before these, by place and, where it is a word of ours, why: whether something was not on ustcp is
    /// never forgotten.
    forgotten: BTreeMap<(&'static str, Option<&'static str>), u64>,
}

impl Pasts {
    /// Somebody will ask for this run.
    pub(crate) fn begin(&mut self, run: u32) {
        self.by_run.entry(run).or_default();
    }

    /// Where there are too many, the run that has most loses its oldest: no program crowds out another's.
    pub(crate) fn remember(&mut self, past: Past) {
        let Some(run) = self.by_run.get_mut(&past.run) else {
            return; // of no run that anybody asks for
        };
        run.remembered.push_back(past);
        self.count += 1;
        if self.count > MOST
            && let Some(most) = self.by_run.values_mut().max_by_key(|run| run.remembered.len())
        {
            most.forget_oldest();
            self.count -= 1;
        }
    }

    pub(crate) fn of(&self, run: u32) -> impl Iterator<Item = &Past> {
        self.by_run.get(&run).into_iter().flat_map(|run| &run.remembered)
    }

    /// How many are forgotten.
    pub(crate) fn forgotten(&self, run: u32) -> impl Iterator<Item = Value> {
        let forgotten = self.by_run.get(&run).into_iter().flat_map(|run| &run.forgotten);
        forgotten.map(|((place, why), count)| json!({"forgotten": count, "place": place, "why": why}))
    }

    /// Nobody asks for this run any more.
    pub(crate) fn forget(&mut self, run: u32) {
        if let Some(run) = self.by_run.remove(&run) {
            self.count -= run.remembered.len();
        }
    }
}

impl Run {
    fn forget_oldest(&mut self) {
        if let Some(Past { place, why, .. }) = self.remembered.pop_front() {
            let why = match why {
                Some(Cow::Borrowed(why)) => Some(why),
                Some(Cow::Owned(_)) | None => None,
            };
            *self.forgotten.entry((place, why)).or_default() += 1;
        }
    }
}

impl Past {
    pub(crate) fn value(&self) -> Value {
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
    fn each_run_has_its_own_and_none_crowds_out_another() {
        let mut pasts = Pasts::default();
        [1, 2].into_iter().for_each(|run| pasts.begin(run));
        (0..=3).for_each(|run| pasts.remember(past(run)));
        assert_eq!([0, 1, 2, 3].map(|run| pasts.of(run).count()), [0, 1, 1, 0]);
        (0..MOST).for_each(|_| pasts.remember(past(2)));
        assert_eq!([1, 2].map(|run| pasts.of(run).count()), [1, MOST - 1]);
        pasts.forget(2);
        assert_eq!((pasts.count, pasts.by_run.len()), (1, 1));
    }

    #[test]
    fn what_is_forgotten_is_counted() {
        let mut pasts = Pasts::default();
        pasts.begin(1);
        let relayed = Past {
            place: "relay",
            why: Some("loopback".into()),
            ..past(1)
        };
        let passed_by = |name: &str| Past {
            place: "passed by",
            why: Some(format!("static program {name}").into()),
            ..past(1)
        };
        let others = [relayed.clone(), passed_by("a"), passed_by("b"), relayed];
        others.into_iter().for_each(|past| pasts.remember(past));
        (0..MOST).for_each(|_| pasts.remember(past(1)));
        let told: Vec<Value> = pasts.forgotten(1).collect();
        assert_eq!(
            told,
            [
                json!({"forgotten": 2, "place": "passed by", "why": null}),
                json!({"forgotten": 2, "place": "relay", "why": "loopback"}),
            ]
        );
    }
}
