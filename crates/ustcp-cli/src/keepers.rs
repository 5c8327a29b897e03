//! Who keeps an engine that `ustcp run` has started: the processes of its runs, and those that hold its sockets.

use std::collections::BTreeMap;
use std::fmt;

use crate::control::Control;
use crate::listing::Socket;
use crate::marks;
use crate::processes;
use crate::users::{Holder, Users};

/// How many are named.
const NAMED: usize = 3;

/// Their names by their numbers; those that may not be looked at are not among them.
pub(crate) struct Keepers(BTreeMap<u32, String>);

impl Keepers {
    /// Of the engine, which has these sockets. `None`: none that can be seen.
    pub(crate) fn of(control: &Control, sockets: &[Socket]) -> Option<Keepers> {
        let token = control.variable().ok();
        let of_runs = token.into_iter().flat_map(|token| marks::processes_with(token.into()));
        let of_runs = of_runs.filter_map(|pid| Some((pid, processes::name(pid)?)));
        let users = Users::find().ok();
        let holders = sockets.iter().filter_map(|socket| users.as_ref()?.of(socket));
        let of_sockets =
            holders.flat_map(|holders| holders.0.iter().map(|Holder { name, pid, .. }| (*pid, name.clone())));
        let mut all: BTreeMap<u32, String> = of_runs.chain(of_sockets).collect();
        all.remove(&std::process::id()); // who asks may be of a run
        (!all.is_empty()).then_some(Keepers(all))
    }
}

/// `sleep (pid 12), nginx (pid 13)`.
impl fmt::Display for Keepers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Keepers(all) = self;
        let one = |(pid, name): (&u32, &String)| format!("{name} (pid {pid})");
        let named: Vec<String> = all.iter().take(NAMED).map(one).collect();
        f.write_str(&named.join(", "))?;
        match all.len().checked_sub(NAMED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_named_and_the_others_counted() {
        let of = |count: u32| Keepers((1..=count).map(|pid| (pid, format!("p{pid}"))).collect()).to_string();
        assert_eq!(of(1), "p1 (pid 1)");
        assert_eq!(of(3), "p1 (pid 1), p2 (pid 2), p3 (pid 3)");
        assert_eq!(of(5), "p1 (pid 1), p2 (pid 2), p3 (pid 3) and 2 more");
    }
}
