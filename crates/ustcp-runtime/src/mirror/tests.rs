//! What the kernel shows of a mirror, state by state.

use std::time::Duration;

use super::*;
use crate::sys::wait::{self, Epoll, PollFd};

/// `I`, `O`, `R`, `H`, `E`: as in the tables of poll(2) masks.
fn readiness(mask: &str, arrivals: u32) -> Readiness {
    Readiness {
        readable: mask.contains('I'),
        writable: mask.contains('O'),
        read_closed: mask.contains('R'),
        hang_up: mask.contains('H'),
        error: mask.contains('E'),
        urgent: false,
        arrivals,
    }
}

fn letters(events: i32) -> String {
    let names = [
        (libc::EPOLLIN, 'I'),
        (libc::EPOLLOUT, 'O'),
        (libc::EPOLLRDHUP, 'R'),
        (libc::EPOLLHUP, 'H'),
        (libc::EPOLLERR, 'E'),
    ];
    names
        .iter()
        .filter(|(bit, _)| events & bit != 0)
        .map(|(_, name)| name)
        .collect()
}

struct Watched {
    mirror: Mirror,
    sinks: Sinks,
    epoll: Epoll,
}

impl Watched {
    fn new() -> Watched {
        let mut key = [0; 8];
        getrandom::fill(&mut key).unwrap();
        let mut sinks = Sinks::new(u64::from_ne_bytes(key)).unwrap();
        let mirror = Mirror::new(&mut sinks).unwrap();
        let epoll = Epoll::new().unwrap();
        epoll
            .add(
                mirror.fd(),
                libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET,
                0,
            )
            .unwrap();
        let watched = Watched { mirror, sinks, epoll };
        watched.edges();
        watched
    }

    fn show(&mut self, mask: &str, arrivals: u32) {
        self.mirror.show(&readiness(mask, arrivals), &mut self.sinks).unwrap();
    }

    /// The level-triggered mask.
    fn mask(&self) -> String {
        let events = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
        let mut entry = [PollFd {
            fd: self.mirror.fd(),
            events,
            revents: 0,
        }];
        wait::poll(&mut entry, Some(Duration::ZERO)).unwrap();
        letters(i32::from(entry[0].revents))
    }

    /// The edge-triggered mask, when there was an edge.
    fn edges(&self) -> Option<String> {
        let (events, ready) = self.epoll.wait::<1>(Some(Duration::ZERO)).unwrap();
        (ready > 0).then(|| letters(events[0].1 as i32))
    }
}

#[test]
fn every_state_is_shown_with_its_edges() {
    // Steps of a story: what is true, arrivals so far, and the edge expected on the way there.
    let stories: &[&[(&str, u32, Option<&str>)]] = &[
        // connecting, connected, data, more data, read out, end, both ends
        &[
            ("", 0, None),
            ("O", 0, Some("O")),
            ("IO", 1, Some("IO")),
            ("IO", 2, Some("IO")),
            ("O", 2, None),
        ],
        &[
            ("", 0, None),
            ("O", 0, Some("O")),
            ("IOR", 1, Some("IOR")),
            ("IORH", 1, Some("IORH")),
        ],
        // connecting, refused, asked for the error
        &[("", 0, None), ("IORHE", 0, Some("IORHE")), ("IORH", 0, None)],
        // full with data unread, drained by the peer, full again, read out
        &[
            ("IO", 1, Some("IO")),
            ("I", 1, None),
            ("IO", 1, Some("IO")),
            ("I", 1, None),
            ("", 1, None),
        ],
        // end of the peer's stream while full; then there is room
        &[("", 0, None), ("IR", 1, Some("IR")), ("IOR", 1, Some("IOR"))],
        // reset with data unread
        &[("IO", 1, Some("IO")), ("IORHE", 1, Some("IORHE"))],
        // data after our own reading half is shut down
        &[("IOR", 0, Some("IOR")), ("IOR", 1, Some("IOR"))],
        // a listener
        &[
            ("", 0, None),
            ("I", 1, Some("I")),
            ("I", 2, Some("I")),
            ("", 2, None),
            ("I", 3, Some("I")),
        ],
    ];
    for story in stories {
        let mut watched = Watched::new();
        for (step, (mask, arrivals, edge)) in story.iter().enumerate() {
            watched.show(mask, *arrivals);
            assert_eq!(watched.mask(), *mask, "step {step} of {story:?}");
            // A wake without news is allowed by epoll(7) where the mask only shrinks; an edge must never be missing.
            let seen = watched.edges();
            if edge.is_some() {
                assert_eq!(seen.as_deref(), *edge, "step {step} of {story:?}");
            }
        }
    }
}

#[test]
fn each_of_many_arrivals_is_an_edge_and_the_queue_stays_short() {
    let mut watched = Watched::new();
    for arrivals in 1..=100 {
        watched.show("IO", arrivals);
        assert_eq!(watched.edges().as_deref(), Some("IO"), "arrival {arrivals}");
        assert!(watched.mirror.pending <= MAX_PENDING);
    }
    watched.show("O", 100);
    assert_eq!(watched.mask(), "O");
}

#[test]
fn a_socket_that_connects_again_shows_it() {
    let mut watched = Watched::new();
    let fd = watched.mirror.fd();
    for mask in ["", "IORHE", "IORH", "", "O", "IO"] {
        watched.show(mask, 0);
        assert_eq!(watched.mask(), mask);
    }
    assert_eq!(watched.mirror.fd(), fd);
}

#[test]
fn a_fresh_socket_hangs_up_only_as_far_as_can_be_shown() {
    let mut watched = Watched::new();
    watched.show("OH", 0);
    assert_eq!(watched.mask(), "O");
}

#[test]
fn many_mirrors_are_readable_at_once_on_few_sinks() {
    let mut sinks = Sinks::new(u64::from(std::process::id())).unwrap();
    let mut mirrors: Vec<_> = (0..1000).map(|_| Mirror::new(&mut sinks).unwrap()).collect();
    for arrivals in 1..=8 {
        for mirror in &mut mirrors {
            mirror.show(&readiness("I", arrivals), &mut sinks).unwrap();
        }
    }
    assert_eq!(sinks.pairs.len(), 1000_usize.div_ceil(MIRRORS_PER_SINKS));
    for mirror in mirrors {
        sinks.release(mirror);
    }
    assert_eq!(sinks.pairs.len(), 1, "one to spare");
}

#[test]
fn a_program_that_writes_past_the_library_is_told() {
    let mut sinks = Sinks::new(u64::from(std::process::id()) << 32).unwrap();
    let mut mirror = Mirror::new(&mut sinks).unwrap();
    let mut write = |mask: &str| {
        mirror.show(&readiness(mask, 0), &mut sinks).unwrap();
        let file = std::fs::File::from(mirror.fd.try_clone().unwrap());
        std::io::Write::write(&mut &file, b"lost?").unwrap_err().raw_os_error()
    };
    assert_eq!(write("O"), Some(libc::ENOTCONN));
    assert_eq!(write(""), Some(libc::EAGAIN));
    assert_eq!(write("O"), Some(libc::EPIPE));
    assert_eq!(write("IO"), Some(libc::EPIPE));
    assert_eq!(write("OE"), Some(libc::ECONNRESET));
    assert_eq!(write("OE"), Some(libc::EPIPE), "the error is told once");
    assert_eq!(write("E"), Some(libc::EAGAIN));
    assert_eq!(write("O"), Some(libc::EPIPE));
}
