//! What an engine lists of itself and its sockets; docs/engine.md has the words.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use ustcp_proto::State;

use crate::control::Control;

/// An engine of this moment.
pub(crate) struct Listing {
    pub(crate) engine: Engine,
    pub(crate) sockets: Vec<Socket>,
    /// Those of a run that have ended and are too many to be told one by one.
    pub(crate) forgotten: Vec<Forgotten>,
}

/// So many were on this TCP.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Forgotten {
    #[serde(rename = "forgotten")]
    pub(crate) count: u64,
    pub(crate) place: Place,
    pub(crate) why: Option<String>,
}

/// The engine itself.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Engine {
    pub(crate) pid: u32,
    pub(crate) lifetime: Lifetime,
    /// What it was told, by the names and in the forms of the environment.
    pub(crate) variables: BTreeMap<String, String>,
    /// What it reaches by the stack besides the networks of its addresses.
    #[serde(default)]
    pub(crate) routes: Vec<String>,
    /// Where connections inside this host go.
    #[serde(default)]
    pub(crate) loopback: String,
    #[serde(default)]
    pub(crate) publish: bool,
}

/// When an engine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lifetime {
    /// With its last lease and connection.
    Idle,
    /// When it is told to.
    Stopped,
}

/// A socket of a program.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Socket {
    pub(crate) place: Place,
    pub(crate) why: Option<String>,
    /// What its connection failed with.
    pub(crate) errno: Option<i32>,
    pub(crate) family: u8,
    #[serde(deserialize_with = "state")]
    pub(crate) state: State,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<SocketAddr>,
    #[serde(default)]
    pub(crate) recv_q: u64,
    #[serde(default)]
    pub(crate) send_q: u64,
    /// Of the engine's end of its stream.
    pub(crate) inode: Option<u64>,
    pub(crate) timer: Option<Timer>,
    pub(crate) congestion: Option<String>,
    #[serde(default, deserialize_with = "hexadecimal")]
    pub(crate) tcp_info: Option<Vec<u8>>,
}

/// Whose TCP a socket is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Place {
    #[serde(rename = "ustcp")]
    Ustcp,
    #[serde(rename = "relay")]
    Relay,
    #[serde(rename = "passed by")]
    PassedBy,
}

/// The timer that goes off next.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Timer {
    pub(crate) name: String,
    pub(crate) milliseconds: u64,
    pub(crate) count: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Engine { engine: Engine },
    Forgotten(Forgotten),
    Socket(Box<Socket>),
}

impl Listing {
    /// Asks for it. `run`: one run's sockets, those that have ended too; 0: all that there are.
    pub(crate) fn of(control: &Control, run: u32) -> io::Result<Listing> {
        let mut engine = None;
        let (mut sockets, mut forgotten) = (Vec::new(), Vec::new());
        for line in control.list(run, |line| serde_json::from_slice(line))? {
            match line {
                Line::Engine { engine: described } => engine = Some(described),
                Line::Forgotten(some) => forgotten.push(some),
                Line::Socket(socket) => sockets.push(*socket),
            }
        }
        let engine = engine.ok_or_else(|| io::Error::other("the engine says nothing of itself"))?;
        Ok(Listing {
            engine,
            sockets,
            forgotten,
        })
    }

    /// How many sockets these are.
    pub(crate) fn count(&self) -> u64 {
        let forgotten: u64 = self.forgotten.iter().map(|some| some.count).sum();
        self.sockets.len() as u64 + forgotten
    }
}

fn state<'de, D: Deserializer<'de>>(from: D) -> Result<State, D::Error> {
    let name = String::deserialize(from)?;
    let state = State::ALL.into_iter().find(|state| state.to_string() == name);
    state.ok_or_else(|| D::Error::custom(format!("no state is called {name}")))
}

fn hexadecimal<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    let Some(digits) = Option::<String>::deserialize(from)? else {
        return Ok(None);
    };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    let bytes = bytes.filter(|_| rest.is_empty());
    bytes
        .map(Some)
        .ok_or_else(|| D::Error::custom("not in hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_the_documentation_has_them() {
        let engine = r#"{"engine":{"pid":12,"lifetime":"idle","variables":{"USTCP_TUN":"ustcp0"},"loopback":"relay"}}"#;
        let Line::Engine { engine } = serde_json::from_str(engine).unwrap() else {
            panic!("not an engine")
        };
        assert_eq!((engine.pid, engine.lifetime), (12, Lifetime::Idle));
        assert_eq!(engine.variables["USTCP_TUN"], "ustcp0");
        let socket = r#"{"run":1,"place":"passed by","why":"protocol","family":6,"state":"CLOSE-WAIT",
            "local":"[fd77::2]:80","peer":null,"timer":{"name":"on","milliseconds":200,"count":1},"tcp_info":"0aff"}"#;
        let Line::Socket(socket) = serde_json::from_str(socket).unwrap() else {
            panic!("not a socket")
        };
        assert_eq!((socket.place, socket.state), (Place::PassedBy, State::CloseWait));
        assert_eq!(socket.local, Some("[fd77::2]:80".parse().unwrap()));
        assert_eq!(socket.tcp_info, Some(vec![0x0a, 0xff]));
        let forgotten = r#"{"forgotten":700,"place":"relay","why":"loopback"}"#;
        let Line::Forgotten(forgotten) = serde_json::from_str(forgotten).unwrap() else {
            panic!("nothing forgotten")
        };
        assert_eq!((forgotten.count, forgotten.place), (700, Place::Relay));
    }

    #[test]
    fn what_is_malformed_is_an_error() {
        let socket = |more: &str| format!(r#"{{"place":"ustcp","family":4,{more}}}"#);
        for wrong in [
            r#""state":"OPEN""#,
            r#""state":"LISTEN","tcp_info":"0a0""#,
            r#""state":"LISTEN","tcp_info":"0g""#,
        ] {
            assert!(serde_json::from_str::<Line>(&socket(wrong)).is_err(), "{wrong}");
        }
    }
}
