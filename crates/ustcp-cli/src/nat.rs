//! `--nat`: this host forwards the stack's packets and masquerades them, and takes both back.
//!
//! What was changed stands in the engine's directory, in the file `nat`, which who takes it back holds locked: whoever finds
//! it there unlocked takes it back too, after a crash.

mod guard;
mod rules;

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ustcp_client::place::Place;
use ustcp_proto::Cidr;
use ustcp_runtime::Settings;

use crate::Failure;
use rules::Rules;

pub(crate) use guard::serve;

/// Whether IPv4 packets are forwarded, here and for all devices.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const FILE: &str = "nat";

/// What was changed.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    rules: Rules,
    /// Forwarding was off, and nobody else wants it on.
    forwarding_was_off: bool,
}

/// Sets it up. An engine's own device must be told before: the rules name it. As long as what is returned is open, nobody
/// else takes it back.
fn set_up(place: &Place, settings: &Settings) -> Result<File, Failure> {
    let networks: Vec<_> = settings
        .addresses
        .iter()
        .filter(|cidr| cidr.address.is_ipv4())
        .collect();
    if networks.is_empty() {
        return Err(Failure::new("--nat is for IPv4, and the stack has no address of it"));
    }
    let networks = networks.iter().map(ToString::to_string).collect();
    let record = Record {
        rules: Rules::new(&settings.tun, networks)?,
        forwarding_was_off: forwarding()?.trim() == "0",
    };
    // First the note, then the deed: what is killed between the two leaves too much to take back and not too little.
    let text = serde_json::to_string(&record).map_err(io::Error::from)?;
    let mut note = File::create(file(place))?;
    note.lock()?;
    note.write_all(text.as_bytes())?;
    let done = fs::write(FORWARDING, "1").map_err(|error| Failure::new(format!("{FORWARDING}: {error}")));
    done.and_then(|()| record.rules.add()).inspect_err(|_| {
        let _ = take_back(place); // the first failure is the one to tell
    })?;
    Ok(note)
}

/// Takes back what the file says, if there is one.
fn take_back(place: &Place) -> Result<(), Failure> {
    let Some(record) = record(place)? else { return Ok(()) };
    record.rules.remove()?;
    fs::remove_file(file(place))?;
    if record.forwarding_was_off && !hand_over(place)? {
        fs::write(FORWARDING, "0")?;
    }
    Ok(())
}

/// Another engine of this user that wants forwarding takes over that it was off before all of them.
fn hand_over(place: &Place) -> io::Result<bool> {
    let siblings = place
        .directory()
        .parent()
        .map(fs::read_dir)
        .transpose()?
        .into_iter()
        .flatten();
    for file in siblings.flatten().map(|entry| entry.path().join(FILE)) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let Ok(record) = serde_json::from_str::<Record>(&text) else {
            continue;
        };
        let heir = Record {
            forwarding_was_off: true,
            ..record
        };
        fs::write(&file, serde_json::to_string(&heir)?)?;
        return Ok(true);
    }
    Ok(false)
}

fn forwarding() -> Result<String, Failure> {
    fs::read_to_string(FORWARDING).map_err(|error| Failure::new(format!("{FORWARDING}: {error}")))
}

/// Whether an engine's packets are forwarded.
pub(crate) fn is_set_up(place: &Place) -> bool {
    file(place).exists()
}

/// What is reached by a stack with these settings whose packets are forwarded: everything.
fn everything(settings: &Settings) -> Vec<Cidr> {
    let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let forwarded = settings.addresses.iter().any(|cidr| cidr.address.is_ipv4());
    forwarded.then_some(Cidr { address, prefix: 0 }).into_iter().collect()
}

fn file(place: &Place) -> PathBuf {
    place.file(FILE)
}

fn record(place: &Place) -> io::Result<Option<Record>> {
    match fs::read_to_string(file(place)) {
        Ok(text) if text.is_empty() => Ok(None), // killed before it was written, and so before the deed
        Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// After an engine's end: waits for whoever takes it back, and does so itself where that was killed. Whether there was
/// anything.
pub(crate) fn ensure_taken_back(place: &Place) -> Result<bool, Failure> {
    let note = match File::open(file(place)) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    note.lock()?;
    take_back(place)?;
    Ok(true)
}
